"""Noise that only the student hears: as strong and as frequent as said, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compression.distill import TeacherCache
from beatlens.compression.training_noise import LEAST_MV, TrainingNoise
from beatlens.errors import RecipeError
from beatlens.recipe import DistillSection
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.sampling import WindowSampler

from ..nets.networks import CLASSES, SMALL, lively
from ..tasks.recipes import change_recipe
from ..tasks.tracks import make_track

SILENT = np.zeros((400, 1024), np.float32)


def test_so_many_crops_are_noisy_and_the_noise_is_as_strong_as_said() -> None:
    noisy = TrainingNoise(0.2, 0.3).added(SILENT, 0, seed=1)
    strength = noisy.std(axis=1)
    assert (strength > 0).mean() == pytest.approx(0.3, abs=0.07)
    heard = strength[strength > 0]
    middle = np.sqrt(LEAST_MV * 0.2)  # of one kind; there are up to three, two of which come and go
    assert middle < np.median(heard) < 2 * middle
    assert heard.min() > 0.01
    assert heard.max() < 0.2 * np.sqrt(3) * 1.6  # three kinds at once, one of which comes and goes


def test_noise_depends_on_the_number_and_the_seed_only() -> None:
    noise = TrainingNoise(0.2, 1.0)
    whole = noise.added(SILENT[:20], 0, seed=1)
    np.testing.assert_array_equal(noise.added(SILENT[:8], 12, seed=1), whole[12:])
    assert not np.array_equal(noise.added(SILENT[:20], 0, seed=2), whole)
    assert not np.array_equal(noise.added(SILENT[:20], 20, seed=1), whole)
    assert not SILENT.any()  # what was given is left as it is


def test_noisy_crops_are_on_the_front_ends_grid() -> None:
    loud = np.full((20, 1024), 3.0, np.float32)
    steps = TrainingNoise(1.0, 1.0).added(loud, 0, seed=1) / LSB_MV
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.abs(steps).max() == pytest.approx(127)


@pytest.mark.parametrize(("mv", "share"), [(0.01, 0.5), (0.2, -0.1), (0.2, 1.1)])
def test_noise_that_is_none_is_refused(mv: float, share: float) -> None:
    with pytest.raises(RecipeError, match=r"expected at least 0\.02 mV, and a share of 0"):
        TrainingNoise(mv, share)


def test_students_hear_it_and_learn_what_was_said_without_it(tmp_path: Path) -> None:
    tracks = [make_track([(600, "V"), (2000, "A")], known=("pvc", "sve"))]
    sampler = WindowSampler(tracks, CLASSES, 3, {"pvc": 0.5})
    teacher = lively(SMALL["residual"], seed=7)
    noise = TrainingNoise(0.3, 0.5)
    clean, heard = (TeacherCache(teacher, sampler, 12, span=SPAN, noise=n) for n in (None, noise))
    quiet, loud = clean.batch(0, 12), heard.batch(0, 12)
    changed = (quiet[0] != loud[0]).any(dim=1)
    assert 0 < changed.sum() < 12
    torch.testing.assert_close(loud[1:], quiet[1:], equal_nan=True)  # labels, evidence
    x = teacher.geometry.trim(loud[0], SPAN).unsqueeze(1)
    with torch.no_grad():
        moved = (teacher.evidence(x) - loud[2]).abs().amax(dim=(1, 2)) > 1e-3
    assert torch.equal(moved, changed)
    # The next pass has other noise, the same one asked for again has the same.
    assert torch.equal(heard.batch(0, 12)[0], loud[0])
    again = {row.numpy().tobytes() for row in heard.batch(12, 12)[0]}
    assert len(again & {row.numpy().tobytes() for row in loud[0]}) < 12
    # A file has crops without it, so that caches can be shared.
    heard.save(tmp_path / "cache.pt")
    assert torch.equal(TeacherCache.load(tmp_path / "cache.pt", teacher).batch(0, 12)[0], quiet[0])
    loaded = TeacherCache.load(tmp_path / "cache.pt", teacher, noise)
    assert torch.equal(loaded.batch(0, 12)[0], loud[0])


def test_a_recipe_says_how_much() -> None:
    assert DistillSection().noise is None
    assert DistillSection(noise_share=0.5).noise == TrainingNoise(0.2, 0.5)
    with pytest.raises(RecipeError, match=r"distill\.noise_mv is 0\.001"):
        change_recipe("windows", distill={"noise_mv": 0.001})

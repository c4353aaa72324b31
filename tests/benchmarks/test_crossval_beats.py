"""`python -m benchmarks beats-crossval`: every recording is decided once, by another's network."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.tasks.beats.data import PreparedBeats, prepare_beats
from beatlens.tasks.beats.labels import ABSENT
from beatlens.tasks.beats.recipe import BeatRecipe, UnlabelledSection
from benchmarks.crossval.beats import build_row, out_of_fold

from ..pipeline.tiny import NETWORK, TINY_BEATS

UNLABELLED = {"databases": ["cinc2017"], "student_share": 0.5}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedBeats:
    return prepare_beats(BeatRecipe.parse(TINY_BEATS), tmp_path_factory.mktemp("beats"))


def test_every_recording_is_decided_once(prepared: PreparedBeats, tmp_path: Path) -> None:
    recipe = BeatRecipe.parse(TINY_BEATS)
    found = out_of_fold(recipe, prepared, tmp_path)
    records = [track.record for track in found.labelled.tracks]
    assert sorted(records) == sorted(t.record for t in prepared.train + prepared.validation)
    assert not found.fibrillating.tracks
    row = build_row(recipe, found)
    assert row["fibrillating"] == 0
    for key in ("s_simulated", "v_simulated"):
        assert 0 < row[f"ap_{key}"] <= 1
        assert {f"ap_{key}_lo", f"ap_{key}_hi"} <= row.keys()
        assert 0 < row[f"predictivity_{key}"] <= 100


def test_recordings_in_fibrillation_are_decided_too(tmp_path: Path) -> None:
    recipe = BeatRecipe.parse({
        **TINY_BEATS,
        "teacher": {**NETWORK, "members": 2},
        "unlabelled": {**UNLABELLED, "members": 1},
    })  # fmt: skip
    prepared = prepare_beats(recipe, tmp_path / "run")
    found = out_of_fold(recipe, prepared, tmp_path)
    quiet = [track.record for track in prepared.unlabelled if (track.labels == ABSENT).any()]
    assert sorted(track.record for track in found.fibrillating.tracks) == sorted(quiet)
    again = out_of_fold(recipe, prepared, tmp_path, say=pytest.fail)
    for one, other in ((found.labelled, again.labelled), (found.fibrillating, again.fibrillating)):
        assert all((a == b).all() for a, b in zip(one.logits, other.logits, strict=True))
    row = build_row(recipe, found)
    assert row["fibrillating"] == len(quiet)
    assert 0 <= row["s_in_fibrillation_lo"] <= row["s_in_fibrillation"] <= 100
    without = recipe.model_copy(update={"unlabelled": UnlabelledSection()})
    first = out_of_fold(without, prepared, tmp_path / "without")
    assert any(
        (a != b).any() for a, b in zip(first.labelled.logits, found.labelled.logits, strict=True)
    )

"""Deletion, insertion and bridged waves on a network whose evidence is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from beatlens.errors import SignalError
from beatlens.geometry import Geometry
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.beats.labels import BeatTrack
from benchmarks.clinical.contributions import BeatContributions
from benchmarks.clinical.faithfulness import (
    BeatMargin,
    beat_windows,
    margin_curves,
    randomisation,
    sample_beats,
    wave_drops,
)
from benchmarks.clinical.waves import WAVES

pytestmark = pytest.mark.rounding
COLUMNS, STRIDE, BEATS = 17, 8, 24
V, N = 2, 0


class Bumps:
    """Evidence for V is the mean of a column in mV, for everything else 0."""

    geometry = Geometry(stride=STRIDE, receptive_field=16)

    def evidence(self, x: Tensor) -> Tensor:
        inner = x[..., self.geometry.left : x.shape[-1] - self.geometry.right]
        v = inner.reshape(len(x), -1, STRIDE).mean(dim=2)
        return torch.stack([0 * v, 0 * v, v, 0 * v], dim=1)


def recordings() -> tuple[list[BeatTrack], BeatContributions, np.ndarray]:
    """Beats with one bump each at a random column; the bump's column `[b]`."""
    rng = np.random.default_rng(0)
    at = rng.integers(1, COLUMNS - 2, BEATS)
    tracks, evidence = [], np.zeros((BEATS, 4, COLUMNS), np.float32)
    for number, column in enumerate(at):
        x = np.zeros(400, np.int8)
        x[100 + STRIDE * column : 100 + STRIDE * (column + 2)] = 80
        peaks = np.array([164])
        tracks.append(BeatTrack(str(number), "mitdb", x, x == x, peaks, peaks, peaks, 360, 1125))
        evidence[number, V, column : column + 2] = 80 * LSB_MV
    every = np.arange(BEATS)
    contributions = BeatContributions(
        every.astype(str), every, np.full(BEATS, 100), np.full(BEATS, V), np.full(BEATS, V),
        evidence, np.zeros((BEATS, 7, 4)), np.zeros(4), STRIDE,
    )  # fmt: skip
    return tracks, contributions, at


def margin_of(net: Bumps) -> BeatMargin:
    return BeatMargin(net, np.full(BEATS, V), np.full(BEATS, N))


def test_windows_hold_the_span_with_its_context() -> None:
    tracks, contributions, _ = recordings()
    x = beat_windows(tracks, contributions, Bumps.geometry)
    assert x.shape == (BEATS, 1, COLUMNS * STRIDE + 8)
    expected = tracks[3].x[96 : 96 + x.shape[2]] * LSB_MV
    np.testing.assert_allclose(x[3, 0], expected, rtol=1e-6)


def test_the_margin_is_the_sum_of_the_reasons() -> None:
    tracks, contributions, _ = recordings()
    margin = margin_of(Bumps())
    x = beat_windows(tracks, contributions, Bumps.geometry)
    np.testing.assert_allclose(margin(x)[:, 0], contributions.contrast(V, N).total, rtol=1e-5)
    off_grid = x + 0.3 * LSB_MV
    assert torch.equal(margin(off_grid), margin(x))
    with pytest.raises(SignalError, match=f"1 beats, expected {BEATS}"):
        margin(x[:1])


def test_known_evidence_wins_and_its_inverse_loses() -> None:
    tracks, contributions, _ = recordings()
    x = beat_windows(tracks, contributions, Bumps.geometry)

    class Inverse(BeatMargin):
        """The same decisions with evidence that points away from their contributions."""

        def maps(self, x: Tensor) -> Tensor:
            return -super().maps(x)

        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    right = margin_curves(margin_of(Bumps()), x, Bumps.geometry)
    wrong = margin_curves(Inverse(Bumps(), np.full(BEATS, V), np.full(BEATS, N)), x, Bumps.geometry)
    np.testing.assert_allclose(right["at_stake"], 2 * 80 * LSB_MV / COLUMNS, rtol=1e-4)
    for key in ("deletion_random", "deletion_shifted", "insertion_shifted"):
        assert right[key].mean() > 0.1 * right["at_stake"].mean()
        assert right[key].mean() > wrong[key].mean()
    assert wrong["deletion_random"].mean() < 0


def test_bridging_matters_where_the_bump_is_and_nowhere_else() -> None:
    tracks, contributions, at = recordings()
    x = beat_windows(tracks, contributions, Bumps.geometry)
    place = np.arange(COLUMNS * STRIDE)
    samples = np.full((BEATS, len(place)), WAVES.index("later"))
    bump = (place >= STRIDE * at[:, None]) & (place < STRIDE * (at[:, None] + 2))
    samples[bump] = WAVES.index("qrs")
    samples[0, :4] = WAVES.index("p")
    found = wave_drops(margin_of(Bumps()), x, samples, Bumps.geometry)
    whole = 2 * 80 * LSB_MV / COLUMNS
    np.testing.assert_allclose(found["drop_qrs"], whole, rtol=1e-4)
    assert found["elsewhere_qrs"].mean() < 0.5 * whole
    np.testing.assert_allclose(found["beyond_qrs"], found["drop_qrs"] - found["elsewhere_qrs"])
    assert found["drop_p"][0] == pytest.approx(0, abs=1e-6)
    assert np.isnan(found["drop_p"][1:]).all()
    assert np.isnan(found["drop_st_t"]).all()


def test_randomisation_tells_maps_that_ignore_the_weights() -> None:
    rng = np.random.default_rng(0)
    intact = rng.normal(size=(200, COLUMNS)).cumsum(axis=1)

    def compute_maps(layers: list[str], seed: int) -> np.ndarray:
        if not layers:
            return intact
        if layers == ["turned"]:
            return -intact
        return np.random.default_rng(100 + seed).normal(size=intact.shape).cumsum(axis=1)

    depths = {"none": [], "turned": ["turned"], "all": ["head"]}
    found = {k: v.mean() for k, v in randomisation(intact, compute_maps, depths, range(5)).items()}
    assert found["none_spearman"] == pytest.approx(1)
    assert (found["turned_spearman"], found["turned_size"]) == pytest.approx((-1, 1))
    assert abs(found["all_spearman"]) < 0.05
    # Smooth maps of 17 columns correlate by chance; the floor says how much.
    assert found["all_size"] == pytest.approx(found["all_floor"], abs=0.1)
    assert found["all_size"] > 0.2
    constant = randomisation(intact, lambda layers, seed: 0 * intact, {"all": ["head"]}, [0])
    assert (constant["all_spearman"] == 0).all()


def test_a_sample_has_every_class_of_every_recording() -> None:
    _, contributions, _ = recordings()
    record, decided = np.repeat(["a", "b"], 12), np.tile([0, 0, 0, 0, 0, 2], 4)
    mixed = replace(contributions, record=record, labels=decided, decided=decided)
    chosen = sample_beats(mixed, 3)
    assert (np.diff(chosen) > 0).all()
    for name in ("a", "b"):
        mine = decided[chosen][record[chosen] == name]
        assert (np.sum(mine == 0), np.sum(mine == 2)) == (3, 2)
    assert chosen.tolist() == sample_beats(mixed, 3).tolist() != sample_beats(mixed, 3, 1).tolist()

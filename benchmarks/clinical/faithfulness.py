"""Do decisions on beats rest on what their evidence points at? Deletion, insertion, whole waves.

What is watched is the margin: how much likelier, in logits, the class decided on is than the one
that came second. Rhythm and offsets are a constant in it and cancel out of every difference here;
R peaks are not looked for again, so that only what the network makes of the signal is asked.

What is deleted becomes a straight line between the samples left on both sides. A constant, or the
median, would put steps into the signal at both ends, and a step is what a QRS looks like; a line is
the least there can be without leaving the places of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from beatlens.attribution.fidelity import fidelity
from beatlens.errors import SignalError
from beatlens.geometry import Geometry
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.beats.labels import BeatTrack
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.common.tracks import to_millivolts
from benchmarks.attribution.faithfulness import Control, deletion, insertion, take_out
from benchmarks.clinical.contributions import BeatContributions
from benchmarks.clinical.waves import WAVES

Floats = NDArray[np.float64]
BATCH = 64
STEPS, REPEATS = 6, 3


def beat_windows(
    tracks: Sequence[BeatTrack], contributions: BeatContributions, geometry: Geometry
) -> Tensor:
    """Beats' spans in millivolts with the context a network needs, `[b, 1, N]`, edges held."""
    columns = contributions.evidence.shape[2]
    at = np.arange(-geometry.left, columns * geometry.stride + geometry.right)
    rows = []
    for track, first in zip(contributions.track, contributions.first, strict=True):
        x = tracks[track].x
        rows.append(x[(first + at).clip(0, len(x) - 1)])
    return torch.from_numpy(to_millivolts(np.stack(rows))).unsqueeze(1)


class BeatMargin(nn.Module):
    """Margin of one class over another, of every beat of a batch: `[B, 1, N] -> [B, 1]`, logits.

    Inputs are rounded to the front end's grid, which every network here has been trained on and an
    int8 one takes.

    Args:
        net: over windows of a beat's span with its context.
        decided, other: classes of each beat, int64 `[B]`.
    """

    def __init__(
        self, net: Explaining, decided: NDArray[np.int64], other: NDArray[np.int64]
    ) -> None:
        super().__init__()
        self._net = (net,)  # in a tuple: whoever made it sets its mode
        self._decided, self._other = torch.from_numpy(decided), torch.from_numpy(other)

    def maps(self, x: Tensor) -> Tensor:
        """Evidence for the one class less the other's, `[B, T]`.

        Raises:
            SignalError: another number of beats than classes.
        """
        if len(x) != len(self._decided):
            raise SignalError(
                f"{len(x)} beats, expected {len(self._decided)}, as there are classes"
            )
        (net,) = self._net
        on_grid = torch.round(x / LSB_MV) * LSB_MV
        parts = []
        for begin in range(0, len(x), BATCH):
            found = net.evidence(on_grid[begin : begin + BATCH].float())
            rows = torch.arange(len(found))
            decided, other = (
                self._decided[begin : begin + BATCH],
                self._other[begin : begin + BATCH],
            )
            parts.append(found[rows, decided] - found[rows, other])
        return torch.cat(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the margin, the mean of `maps`, `[B, 1]`."""
        return self.maps(x).mean(dim=1, keepdim=True)


def margin_curves(
    margin: BeatMargin, x: Tensor, geometry: Geometry, seed: int = 0
) -> dict[str, Floats]:
    """Areas between the evidence's order of columns and other orders, in logits, `[B]`.

    Keys `deletion_random`, `deletion_shifted`, `insertion_random` and `insertion_shifted`, see
    `benchmarks.attribution.faithfulness`; positive is faithful, 0 what an order that knows nothing
    would give. `at_stake` is how much of the margin goes when the whole span does.

    Args:
        margin: of the beats.
        x: their windows, see `beat_windows`.
        geometry: of the network.
        seed: of the orders.
    """
    with torch.no_grad():
        maps = margin.maps(x)
    found: dict[str, Floats] = {}
    controls: tuple[Control, ...] = ("random", "shifted")
    for control in controls:
        for name, curve in (("deletion", deletion), ("insertion", insertion)):
            curves = curve(
                margin, x, maps, 0, stride=geometry.stride, left=geometry.left, steps=STEPS,
                control=control, repeats=REPEATS, seed=seed, watch="logit",
            )  # fmt: skip
            found[f"{name}_{control}"] = curves.area_between
            if name == "deletion":
                found["at_stake"] = curves.by_map[:, 0] - curves.by_map[:, -1]
    return found


def wave_drops(
    margin: BeatMargin,
    x: Tensor,
    samples: NDArray[np.int64],
    geometry: Geometry,
    seed: int = 0,
) -> dict[str, Floats]:
    """How much the margin falls when a wave is bridged, in logits, `[B]`.

    Keys `drop_WAVE`; `elsewhere_WAVE`, with the same number of samples bridged at another place of
    the span, at random (a segment that would leave it goes on at its beginning); and `beyond_WAVE`,
    the one less the other, 0 for a wave that matters no more than any. NaN where the beat has no
    such wave.

    Args:
        margin, x: of the beats, as for `margin_curves`.
        samples: number in `WAVES` of the span's samples, `[B, n]`; see `sample_waves`.
        geometry: of the network.
        seed: of the places.
    """
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        whole = margin(x)[:, 0]
    found: dict[str, Floats] = {}
    for number, name in enumerate(WAVES):
        inside = samples == number
        by = rng.integers(1, samples.shape[1], (len(samples), 1))
        rolled = np.take_along_axis(
            inside, (np.arange(samples.shape[1]) - by) % samples.shape[1], 1
        )
        for key, gone in (("drop", inside), ("elsewhere", rolled)):
            bridged = take_out(x, torch.from_numpy(gone), 1, left=geometry.left)
            with torch.no_grad():
                fall = (whole - margin(bridged)[:, 0]).double().numpy()
            found[f"{key}_{name}"] = np.where(inside.any(axis=1), fall, np.nan)
        found[f"beyond_{name}"] = found[f"drop_{name}"] - found[f"elsewhere_{name}"]
    return found


def sample_beats(contributions: BeatContributions, each: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of at most `each` beats of every class decided on in every recording, in order."""
    rng = np.random.default_rng(seed)
    chosen = []
    for record in np.unique(contributions.record):
        for decided in np.unique(contributions.decided):
            there = np.flatnonzero(
                (contributions.record == record) & (contributions.decided == decided)
            )
            chosen.append(rng.permutation(there)[:each])
    return np.sort(np.concatenate(chosen))


def randomisation(
    intact: Floats,
    compute_maps: Callable[[Sequence[str], int], Floats],
    depths: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
) -> dict[str, Floats]:
    """Agreement of maps with those of the same network after its weights were drawn anew, `[B]`.

    Adebayo et al. (NeurIPS 2018, section 3). Keys, for each depth: `NAME_spearman`, the mean over
    seeds, 0 if the map does not depend on the weights; `NAME_size`, the mean magnitude (a
    head drawn anew turns signs), and `NAME_floor`, its value where the same new map is rolled by a
    random number of columns: short smooth maps correlate by chance. A new map that is constant
    counts 0.

    Args:
        intact: maps of the network as it is, `[B, T]`.
        compute_maps: maps `[B, T]` with the layers of these names drawn anew, by a seed.
        depths: names of layers, by depth.
        seeds: of the draws.
    """
    every = np.ones((len(intact), 1), bool)

    def spearman(maps: Floats) -> Floats:
        return fidelity(intact[:, None], maps[:, None], every).scores["spearman"][:, 0]

    found: dict[str, Floats] = {}
    for name, layers in depths.items():
        own, rolled = [], []
        for seed in seeds:
            maps = compute_maps(layers, seed)
            by = np.random.default_rng(seed).integers(1, maps.shape[1], (len(maps), 1))
            own.append(spearman(maps))
            at = (np.arange(maps.shape[1]) + by) % maps.shape[1]
            rolled.append(spearman(np.take_along_axis(maps, at, axis=1)))
        found[f"{name}_spearman"] = np.mean(own, axis=0)
        found[f"{name}_size"] = np.mean(np.abs(own), axis=0)
        found[f"{name}_floor"] = np.mean(np.abs(rolled), axis=0)
    return found

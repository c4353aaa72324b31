"""`python -m benchmarks clinical`: where the evidence lies, and whether decisions rest on it.

Of a run's teacher and int8 model, side by side:

- in which waves the evidence for the class decided on lies, against the time they take,
- contributions to S or V rather than N: of the signal, wave by wave, and of each beat feature,
- whether deleting what the evidence points at changes the decision more than deleting other parts,
  and what bridging whole waves does,
- whether the evidence falls apart when weights are drawn anew,
- how far the int8 model's evidence is the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beatlens.evaluate.figures import merge_figures
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.beats.labels import UNKNOWN
from benchmarks.clinical.classes import CLASSES, N, S, V
from benchmarks.clinical.contributions import BeatContributions
from benchmarks.clinical.data import ClinicalBeats, as_diagnosed
from benchmarks.clinical.delineation import BeatWaves
from benchmarks.clinical.faithfulness import (
    BeatMargin,
    beat_windows,
    margin_curves,
    randomisation,
    sample_beats,
    wave_drops,
)
from benchmarks.clinical.networks import Explained, list_depths
from benchmarks.clinical.statistics import (
    agreement_row,
    check_row,
    contribution_row,
    kinds,
    outcomes,
    wave_row,
)
from benchmarks.clinical.waves import sample_waves, wave_columns

Row = dict[str, Any]
Say = Callable[[str], None]
SEEDS = range(5)


@dataclass(frozen=True)
class ClinicalFigures:
    """Rows of the three figures files: `waves`, `contributions` and `checks`."""

    waves: list[Row]
    contributions: list[Row]
    checks: list[Row]

    def merge(self, command: str, data: str, out: Path) -> None:
        """Put the rows into `clinical.json`, `clinical_contributions.json`, `clinical_checks.json`.

        All older rows of the same networks go: there may be beats of fewer outcomes now.
        """
        for name, rows in (
            ("clinical.json", self.waves),
            ("clinical_contributions.json", self.contributions),
            ("clinical_checks.json", self.checks),
        ):
            merge_figures(out / name, command, data, rows, ("model", "form"))


def clinical_figures(
    networks: Sequence[Explained],
    sets: Sequence[ClinicalBeats],
    each: int,
    say: Say = lambda text: None,
) -> ClinicalFigures:
    """Measure networks on sets of beats.

    Args:
        networks: the first is the teacher that others are held against.
        sets: the first is the one that checks are made on, which run the networks many times.
        each: beats of every class and recording that checks look at, at most.
        say: called with what is measured next.
    """
    found = ClinicalFigures([], [], [])
    for number, beats in enumerate(sets):
        kept, waves = beats.kept(), beats.all_waves()
        about = {"data": beats.data, "boundaries": beats.boundaries}
        teacher: BeatContributions | None = None
        for network in networks:
            say(f"{beats.data}, boundaries by {beats.boundaries}: {network.model}")
            contributions = labelled(network.contributions(beats.tracks), beats)[kept]
            teacher = contributions if teacher is None else teacher
            line = {**about, **network.key}
            found.waves.extend(_waves(line, contributions, waves[kept]))
            found.contributions.extend(_contributions(line, contributions, waves[kept]))
            if number == 0:
                rows = _checks(network, beats, contributions, teacher, waves[kept], each)
                found.checks.extend({**line, **row} for row in rows)
    return found


def labelled(contributions: BeatContributions, beats: ClinicalBeats) -> BeatContributions:
    """Decisions with the labels of a set whose beats are not annotated; others as they are."""
    if beats.ectopic is None:
        return contributions
    return replace(
        contributions,
        labels=as_diagnosed(contributions.decided, contributions.record, beats.ectopic),
    )


def _columns(contributions: BeatContributions, waves: BeatWaves) -> np.ndarray:
    return wave_columns(
        waves, contributions.first, contributions.evidence.shape[2], contributions.stride
    )


def _waves(line: Row, contributions: BeatContributions, waves: BeatWaves) -> list[Row]:
    """A row for each class decided on, right and wrong, where there are such beats."""
    rows = []
    for number in (N, S, V):
        for outcome, mask in outcomes(contributions, number).items():
            if mask.any():
                about = {**line, "class": CLASSES[number], "outcome": outcome}
                chosen = contributions[mask]
                rows.append({**about, **wave_row(chosen, _columns(chosen, waves[mask]))})
    return rows


def _contributions(line: Row, contributions: BeatContributions, waves: BeatWaves) -> list[Row]:
    rows = []
    for number in (S, V):
        for kind, mask in kinds(contributions, number).items():
            if mask.any():
                about = {**line, "class": CLASSES[number], "beat": kind}
                chosen = contributions[mask]
                columns = _columns(chosen, waves[mask])
                rows.append({**about, **contribution_row(chosen, columns, number)})
    return rows


def _checks(
    network: Explained,
    beats: ClinicalBeats,
    contributions: BeatContributions,
    teacher: BeatContributions,
    waves: BeatWaves,
    each: int,
) -> list[Row]:
    """A row for each class: faithfulness and randomisation of a sample, agreement of all."""
    rows = []
    known = np.flatnonzero(contributions.labels != UNKNOWN)
    sample = known[sample_beats(contributions[known], each)]
    measured = _measured(network, beats, contributions[sample], waves[sample])
    for number in (N, S, V):
        called = contributions[sample].decided == number
        if not called.any():
            continue
        row: Row = {"class": CLASSES[number]}
        values = {key: value[called] for key, value in measured.items()}
        row |= check_row(values, contributions[sample].record[called])
        of_class = known[teacher.decided[known] == number]
        if contributions is not teacher and len(of_class):
            of_teacher = teacher[of_class]
            row |= agreement_row(
                of_teacher, contributions[of_class], _columns(of_teacher, waves[of_class])
            )
        rows.append(row)
    return rows


def _measured(
    network: Explained, beats: ClinicalBeats, contributions: BeatContributions, waves: BeatWaves
) -> dict[str, np.ndarray]:
    """What is measured of each sampled beat, `[b]`: curves, drops, randomisation."""
    geometry, second = network.net.geometry, contributions.second()
    x = beat_windows(beats.tracks, contributions, geometry)
    span = contributions.evidence.shape[2] * contributions.stride
    samples = sample_waves(waves, contributions.first, span)
    margin = BeatMargin(network.net, contributions.decided, second)

    def compute_maps(layers: Sequence[str], seed: int) -> np.ndarray:
        redrawn = BeatMargin(network.redrawn(layers, seed), contributions.decided, second)
        with torch.no_grad():
            return redrawn.maps(x).double().numpy()

    intact = contributions.contrast(contributions.decided, second).columns
    depths = list_depths(network.net)  # type: ignore[arg-type]
    if not isinstance(network.net, EvidenceNet):
        depths = {"none": [], **depths}
    return {
        **margin_curves(margin, x, geometry),
        **wave_drops(margin, x, samples, geometry),
        **randomisation(intact, compute_maps, depths, SEEDS),
    }

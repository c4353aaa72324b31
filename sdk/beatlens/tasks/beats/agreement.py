"""How far a student's evidence and decisions on beats agree with its teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from beatlens.attribution.fidelity import fidelity
from beatlens.nets.teacher import Teacher
from beatlens.tasks.beats.labels import BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import BeatRun, run_beats
from beatlens.tasks.beats.offsets import is_scored, score_databases
from beatlens.tasks.beats.recipe import BeatRecipe, BeatTask
from beatlens.tasks.common.runs import CROP_SPAN, Explaining

COMPARED_S = 600
"""Seconds of each validation recording that agreement is measured on while training."""


class BeatAgreement:
    """Validates a student: agreement with its teacher, and `f_score`.

    Called with a network, returns `spearman` and `f`, of the first `COMPARED_S` seconds of the
    validation recordings, and their mean `score`.
    """

    def __init__(self, recipe: BeatRecipe, teacher: Teacher, tracks: Sequence[BeatTrack]) -> None:
        self._task = recipe.task
        self._tracks = [track.first(COMPARED_S) for track in tracks]
        self._tables = add_set_entries(teacher.table_values, recipe.task.classes)
        self._teacher = run_beats(teacher.net, self._tables, self._tracks)

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network."""
        run = run_beats(net, self._tables, self._tracks)
        spearman = beat_fidelity(self._teacher, run, self._task)["spearman"]
        f = score_databases(run, self._task.classes)
        return {"spearman": spearman, "f": f, "score": (spearman + f) / 2}


def compared_classes(task: BeatTask) -> tuple[int, ...]:
    """Classes whose evidence is compared: those that are scored, but the first.

    Beats of the first class are everywhere, those of a fusion class nowhere.
    """
    numbers = [n for n, one in enumerate(task.classes.values()) if n and is_scored(one)]
    return tuple(numbers) or tuple(range(1, len(task.classes)))


def beat_fidelity(teacher: BeatRun, student: BeatRun, task: BeatTask) -> dict[str, float]:
    """Agreement of evidence maps, less the classes' mean, over spans of 7.5 s.

    A span counts for a class where the teacher decides a beat of it to be of that class; see
    `beatlens.attribution.fidelity`.
    """
    compared = compared_classes(task)
    reference, own = (_cut_spans(run)[:, compared] for run in (teacher, student))
    decided = _find_decided(teacher, len(task.classes))[:, compared]
    return fidelity(reference, own, decided).summary()


def _cut_spans(run: BeatRun) -> np.ndarray:
    """Evidence in spans of 7.5 s, less the classes' mean, `[S, C, T]`; the rest is left out."""
    parts = []
    for track, evidence in zip(run.tracks, run.evidence, strict=True):
        columns = CROP_SPAN * evidence.shape[1] // len(track.x)
        whole = evidence.shape[1] // columns * columns
        cut = evidence[:, :whole].reshape(len(evidence), -1, columns).transpose(1, 0, 2)
        parts.append(cut - cut.mean(axis=1, keepdims=True))
    return np.concatenate(parts)


def _find_decided(run: BeatRun, classes: int) -> np.ndarray:
    """Which classes a network decides some beat of each span to be of, bool `[S, C]`."""
    parts = []
    for track, logits in zip(run.tracks, run.logits, strict=True):
        decided = np.zeros((len(track.x) // CROP_SPAN, classes), bool)
        span = track.peaks // CROP_SPAN
        inside = span < len(decided)
        decided[span[inside], logits[inside].argmax(axis=1)] = True
        parts.append(decided)
    return np.concatenate(parts)

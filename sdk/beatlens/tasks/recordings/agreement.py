"""How far a student's evidence and decisions on recordings agree with its teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.nets.teacher import Teacher
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.recordings.labels import RecordingTrack
from beatlens.tasks.recordings.metrics import ChallengeScore, RecordingRun, run_recordings


class RecordingAgreement:
    """Validates a student: agreement with its teacher, and score, on validation recordings.

    Called with a network, returns `spearman`, `challenge` and their mean `score`.
    """

    def __init__(
        self, score: ChallengeScore, teacher: Teacher, tracks: Sequence[RecordingTrack]
    ) -> None:
        self._score, self._tracks, self._tables = score, tracks, teacher.table_values
        self._teacher = run_recordings(teacher.net, self._tables, tracks)

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network, in `eval()` mode while it is."""
        training = isinstance(net, nn.Module) and net.training
        if isinstance(net, nn.Module):
            net.eval()
        run = run_recordings(net, self._tables, self._tracks)
        if isinstance(net, nn.Module):
            net.train(training)
        spearman = float(np.nanmean(map_agreement(self._teacher, run)["spearman"]))
        score = score_likeliest(self._score, run)
        return {"spearman": spearman, "challenge": score, "score": (spearman + score) / 2}


def score_likeliest(score: ChallengeScore, run: RecordingRun) -> float:
    """The score of the likeliest classes, without offsets."""
    return float(score(run.logits.argmax(axis=1), run.labels))


def map_agreement(teacher: RecordingRun, other: RecordingRun) -> dict[str, NDArray[np.float64]]:
    """Agreement of evidence maps, less the classes' mean, by measure: `[n]`, one a recording.

    Compared is the map of the class that the teacher finds likeliest; see
    `beatlens.attribution.fidelity`.
    """
    found: dict[str, list[float]] = {}
    for wanted, own, logits in zip(teacher.evidence, other.evidence, teacher.logits, strict=True):
        likeliest = np.zeros((1, len(logits)), bool)
        likeliest[0, logits.argmax()] = True
        reference, compressed = ((m - m.mean(axis=0))[None] for m in (wanted, own))
        for name, scores in fidelity(reference, compressed, likeliest).scores.items():
            found.setdefault(name, []).append(float(scores[likeliest][0]))
    return {name: np.array(values) for name, values in found.items()}

"""Records of a ward, and pauses in them: RR intervals longer than 2 s, as a rhythm `(PAUSE`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Codes, Published, WfdbDatabase
from beatlens.signals.wfdb_header import Expected

PAUSE_S = 2.0
"""Seconds of an RR interval from which on it is a pause."""


class Ward(WfdbDatabase):
    """One record each of a few patients; beats are annotated by machine and checked by nurses."""

    published: ClassVar[Published] = Published(
        name="ward",
        title="Records of a ward",
        records=8,
        expected=Expected(rate_hz=250, leads=1),
        annotators=("atr",),
    )
    annotated: ClassVar[Codes] = Codes.of("N", ["PAUSE"])

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """The beats as the file has them, and each pause from its first R peak to its second."""
        rate_hz = self.header(record).rate_hz
        return mark_pauses(super().annotations(record, annotator), rate_hz)


def mark_pauses(annotations: Annotations, rate_hz: int) -> Annotations:
    """Annotations with rhythm changes `(PAUSE` and `(N` where a pause begins and ends."""
    beats = annotations.beats.sample
    long = np.flatnonzero(np.diff(beats) > PAUSE_S * rate_hz)
    marks = [(0, "(N")]
    for number in long.tolist():
        marks += [(int(beats[number]), "(PAUSE"), (int(beats[number + 1]), "(N")]
    at = np.array([sample for sample, _ in marks], np.int64)
    sample = np.concatenate([annotations.sample, at])
    symbol = np.concatenate([annotations.symbol, np.full(len(at), "+")])
    subtype = np.concatenate([annotations.subtype, np.zeros(len(at), np.int64)])
    aux = (*annotations.aux, *(text for _, text in marks))
    order = np.argsort(sample, kind="stable")
    return Annotations(
        annotations.name,
        annotations.length,
        sample[order],
        symbol[order],
        subtype[order],
        tuple(aux[i] for i in order.tolist()),
    )

"""Rules of rhythms against annotated rhythms, on annotations made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from beatlens.signals.annotations import Annotations
from benchmarks.robustness.rhythms import find_marked, rhythm_rows


def made(beats: str, every: int = 288, **at: tuple[str, str]) -> Annotations:
    """Beats every 0.8 s at 360 Hz; marks before beats: `b3=("+", "(VT")`."""
    marks = [(1000 + every * n, code, "") for n, code in enumerate(beats)]
    marks += [(1000 + every * int(k[1:]) - 50, code, aux) for k, (code, aux) in at.items()]
    marks.sort()
    samples, codes, aux = zip(*marks, strict=True)
    return Annotations("made", 100_000, np.array(samples), np.array(codes),
                       np.zeros(len(codes), int), aux)  # fmt: skip


def test_rhythms_of_annotations() -> None:
    marked = find_marked(
        made("NVVVNN", b0=("+", "(N"), b1=("+", "(IVR"), b4=("+", "(N")), 360
    )  # fmt: skip
    first = marked.events[0]
    assert (first.kind, first.first, first.last) == ("idioventricular_rhythm", 1, 3)
    assert [label for label, _, _ in marked.labels] == ["N", "IVR", "N"]


def test_nothing_reaches_over_flutter() -> None:
    kinds = [e.kind for e in find_marked(made("VVVV", b2=("[", "")), 360).events]
    assert kinds[0] == "ventricular_couplet"
    assert "idioventricular_rhythm" not in kinds


def test_rows_count_both_ways() -> None:
    records = {
        "a": made("NVVVNVVVN", b0=("+", "(N"), b1=("+", "(IVR"), b4=("+", "(N")),
        "b": made("NNNN", b0=("+", "(N"), b2=("+", "(IVR")),
    }
    database = SimpleNamespace(
        read=lambda record: SimpleNamespace(rate_hz=360), annotations=records.__getitem__
    )
    rows = rhythm_rows([("set", database, list(records))])  # type: ignore[list-item]
    row = next(row for row in rows if row["kind"] == "idioventricular_rhythm")
    assert (row["found"], row["records"], row["annotated"], row["touched"], row["right"]) == (
        2, 1, 2, 1, 1,
    )  # fmt: skip
    pause = next(row for row in rows if row["kind"] == "pause")
    assert (pause["found"], pause["annotated"]) == (0, None)

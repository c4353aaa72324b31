"""An algorithm's boundaries of waves against people's in ludb."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.signals.databases import find_database
from benchmarks.clinical.boundaries import delineation_rows


def test_boundaries_are_near_peoples(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = find_database("ludb", data_dir)
    monkeypatch.setattr(type(database), "records", lambda self: tuple(map(str, range(1, 26))))
    rows = {(r["method"], r["wave"]): r for r in delineation_rows(database)}
    for wave, most_ms in (("p", 24), ("qrs, narrow", 16), ("qrs, wide", 24), ("t", 24)):
        row = rows["used here", wave]
        assert row["found"] > 90
        assert row["beats"] > 20
        assert max(row["onset_ms_abs"], row["end_ms_abs"]) <= most_ms
    theirs, ours = (rows[m, "qrs, wide"] for m in ("neurokit2 prominence", "used here"))
    assert ours["end_ms_abs"] < theirs["end_ms_abs"]

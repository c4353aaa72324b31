"""`beatlens score` with a model of beats: rhythms behind the findings, and in the summary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beatlens.pipeline.score import choose_lead, findings_in, open_record
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.beats.rhythm_log import RhythmLog

from .test_score import rows_of, scored, write_record

pytestmark = pytest.mark.export


def test_rhythms_of_beats_are_written_and_counted(tmp_path: Path) -> None:
    record, out = write_record(tmp_path, "sim", 5, 130), tmp_path / "out"
    scored(record, "--bundle", "beats", "--out", out)
    [row] = rows_of(out)
    _, *lines, end = map(json.loads, (out / row["file"]).read_text().splitlines())
    findings = [line for line in lines if "rhythm" not in line]
    events = lines[len(findings) :]
    assert all("rhythm" in line for line in events)
    model, opened = Bundle.load("beats"), open_record(str(record))
    log = RhythmLog(model)
    for finding in findings_in(model, opened, choose_lead(opened)):
        log.take(finding)
    log.end()
    assert [line["rhythm"] for line in events] == [event.kind for event in log.events]
    assert [line["first_beat"] for line in events] == [event.first for event in log.events]
    assert sum(line["rhythm"] == "minute" for line in events) == 3
    summary = log.summary().as_dict()
    assert end["rhythms"] == pytest.approx(summary, rel=1e-4)
    assert {name: float(row[name]) for name in summary} == pytest.approx(summary, rel=1e-4)
    assert end["findings"] == len(findings) == int(row["findings"])
    # The second time nothing is computed, and the row is the same.
    scored(record, "--bundle", "beats", "--out", out)
    assert rows_of(out) == [row]


def test_other_models_have_no_rhythms(tmp_path: Path) -> None:
    record, out = write_record(tmp_path, "sim", 5, 40), tmp_path / "out"
    scored(record, "--bundle", "strips", "--out", out)
    [row] = rows_of(out)
    assert not any(name.startswith(("rhythm", "rate", "burden")) for name in row)
    assert json.loads((out / row["file"]).read_text().splitlines()[-1])["rhythms"] == {}

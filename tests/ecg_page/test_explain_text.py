"""What `beatlens explain` prints: whole lines, times as h:mm:ss, a summary last."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from beatlens.ecg_page.lines import lead_words
from beatlens.ecg_page.rhythm_words import SHORT, rhythm_line
from beatlens.ecg_page.words import clock, printable, share
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.beats.rhythm_log import find_rhythms

from .records import RATE, ectopic_counts, explain, findings, printed, write_record

pytestmark = pytest.mark.export
FINDING = re.compile(r"\d+:\d\d:\d\d(\.\d\d)?( to \d+:\d\d:\d\d)?  +\S")
RHYTHM = re.compile(r"\d+:\d\d:\d\d\.\d\d to \d+:\d\d:\d\d\.\d\d  [a-z ]+: [\d,.]+ \w+")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("record")
    return write_record(folder, "one", {"MLII": ectopic_counts(90)})


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0, 0, "0:00:00"),
        (59.996, 2, "0:01:00.00"),
        (59.994, 2, "0:00:59.99"),
        (3599.5, 0, "1:00:00"),
        (86_399.4, 0, "23:59:59"),
        (90_000, 0, "25:00:00"),
        (-1.25, 2, "-0:00:01.25"),
    ],
)
def test_clock(seconds: float, decimals: int, text: str) -> None:
    assert clock(seconds, decimals) == text


def test_a_share_that_is_not_zero_is_not_called_zero() -> None:
    assert share(1, 100_000) == "< 0.1 %"
    assert share(0, 100_000) == "0 %"
    assert share(100_000, 100_000) == "100 %"


@pytest.mark.parametrize("bundle", ["beats", "strips"])
def test_lines_are_whole_when_piped(record: Path, bundle: str) -> None:
    done = printed(record, bundle)
    assert done.returncode == 0, done.stderr
    findings, summary = done.stdout.split("\n\n")
    head, statement, *lines = findings.splitlines()
    assert head.endswith(f"lead MLII, model {bundle}")
    assert statement == "Evidence used by the model, not cause. Not a medical device."
    assert lines
    assert all(FINDING.match(line) or RHYTHM.match(line) for line in lines), lines
    assert max(map(len, lines)) > 80, "one finding is longer than a terminal's line"
    assert "\x1b" not in done.stdout
    assert summary.startswith("duration    0:01:30\n")


def test_the_summary_counts_the_findings(record: Path) -> None:
    done = findings(record, "beats")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    counts = Counter(name for f in found for name in f["predicted"])
    assert counts["v"] >= 5
    text = printed(record, "beats").stdout
    assert f"beats       {len(found):,} found" in text
    for name in "nsvf":
        shown = re.search(rf"^{name.upper()} +(\d+) \(([\d.<> ]+)%\)", text, re.MULTILINE)
        assert shown is not None
        assert int(shown[1]) == counts[name]
    percent = 100 * counts["v"] / sum(counts[name] for name in "nsvf")
    assert f"({percent:.1f} %) ventricular ectopic beat" in text
    beats = np.array([f["peak_s"] for f in found])
    mean = 60 * (len(beats) - 1) / (beats[-1] - beats[0])
    assert re.search(rf"^heart rate  \d+ – {mean:.0f} – \d+ a minute", text, re.MULTILINE)


def test_every_ectopic_beat_has_a_line_with_its_time(record: Path) -> None:
    found = [json.loads(line) for line in findings(record, "beats").stdout.splitlines()]
    wanted = [
        f"{clock(f['peak_s'], 2)}  {f['predicted'][0]}" for f in found if f["predicted"] != ["n"]
    ]
    lines = printed(record, "beats").stdout.split("\n\n")[0].splitlines()[2:]
    lines = [line for line in lines if not RHYTHM.match(line)]
    assert [line[: len(want)] for line, want in zip(lines, wanted, strict=True)] == wanted


def test_rhythms_have_lines_and_are_counted(tmp_path: Path) -> None:
    """Each rhythm of the findings has a line, minutes left out, and each kind one below."""
    counts, bundle = ectopic_counts(120), Bundle.load("beats")
    events = find_rhythms(bundle.explain(counts, RATE, 200.0), bundle)
    with_line = [event for event in events if event.kind != "minute"]
    text = explain(write_record(tmp_path, "long", {"MLII": counts}), "beats").stdout
    lines = [line for line in text.split("\n\n")[0].splitlines() if RHYTHM.match(line)]
    assert lines == [rhythm_line(event) for event in with_line]
    assert lines
    for kind, count in Counter(event.kind for event in with_line).items():
        assert re.search(rf"^{SHORT[kind]} +{count}\b", text, re.MULTILINE), kind


@pytest.mark.parametrize("bundle", ["beats", "strips", "wearable-af"])
def test_no_beats_found_is_said(tmp_path: Path, bundle: str) -> None:
    flat = write_record(tmp_path, "flat", {"EEG Fp1": np.zeros(30 * 360), "Resp": np.ones(10_800)})
    done = explain(flat, bundle)
    assert done.returncode == 0, done.stderr
    assert "no beats found in 0:00:30" in done.stdout
    assert (
        "lead EEG Fp1 (a guess: no lead is called MLII or II; leads: EEG Fp1, Resp;" in done.stdout
    )
    assert "no signal   0:00:30 (100 %) is missing, flat or saturated" in done.stdout


def test_the_lead_is_no_guess_where_it_is_named_or_usual() -> None:
    assert lead_words(("V5", "ii"), 1, asked=False) == "lead ii"
    assert lead_words(("V5", "V1"), 1, asked=True) == "lead V1"
    assert "a guess" in lead_words(("V5", "V1"), 0, asked=False)


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    leads = {"[/red]": ectopic_counts(20), "[bold]V5 :smile:": ectopic_counts(20, seed=5)}
    done = explain(write_record(tmp_path, "odd", leads), "beats")
    assert done.returncode == 0, done.stderr
    assert (
        "lead [/red] (a guess: no lead is called MLII or II; leads: [/red], [bold]V5 :smile:;"
        in (done.stdout)
    )
    assert printable("a\x1b[31m\n\u202eb") == "a\ufffd[31m\ufffd\ufffdb"


def test_json_has_findings_only(record: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    plain = findings(record, "beats")
    both = explain(record, "beats", "--json", "--html", str(page))
    assert both.stdout == plain.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")

"""The page of a recording: whole, self-contained, honest, safe to open, and what was found."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from beatlens.ecg_page.words import STATEMENT, clock

from .records import Page, ectopic_counts, explain, findings, write_record

pytestmark = pytest.mark.export
HOSTILE = "<script>alert(1)</script>\"'&[/red]"


def page_of(record: Path | str, bundle: str, folder: Path, *options: str) -> Page:
    path = folder / f"{bundle}.html"
    done = explain(record, bundle, "--html", str(path), *options)
    assert done.returncode == 0, done.stderr
    assert f"page        {path}" in done.stdout
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def record(folder: Path) -> Path:
    leads = {"MLII": ectopic_counts(90)}
    return write_record(folder, "one", leads, when="11:05:48 1/05/2000")


@pytest.fixture(scope="module")
def beats_page(record: Path, folder: Path) -> Page:
    return page_of(record, "beats", folder)


@pytest.mark.parametrize("bundle", ["beats", "strips", "wearable-af"])
def test_a_page_needs_nothing_else(
    record: Path, folder: Path, beats_page: Page, bundle: str
) -> None:
    page = beats_page if bundle == "beats" else page_of(record, bundle, folder)
    text = (folder / f"{bundle}.html").read_text(encoding="utf-8")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert all(a["href"].startswith("#") for _, a in page.tags if a.get("href"))
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    idents = [a["id"] for _, a in page.tags if "id" in a]
    assert len(idents) == len(set(idents))
    assert {a["href"][1:] for _, a in page.tags if a.get("href")} <= set(idents)
    assert STATEMENT in page.text
    assert "Duration 0:01:30" in page.text
    assert "Recorded 2000-05-01 11:05:48, says the header." in page.text
    assert len(page.of_class("wide")) == len(page.of_class("strip")) >= 1
    assert len(page.of_class("row")) == 3 * len(page.of_class("wide"))


def test_counts_and_burden_are_those_of_the_findings(record: Path, beats_page: Page) -> None:
    found = [json.loads(line) for line in findings(record, "beats").stdout.splitlines()]
    counts = Counter(name for f in found for name in f["predicted"])
    share = 100 * counts["v"] / len(found)
    assert f"V ventricular ectopic beat {counts['v']} {share:.1f} %" in beats_page.text
    assert f"Beats {len(found)} 0 beats not assessable" in beats_page.text


def test_strips_show_the_beats_with_most_evidence(record: Path, beats_page: Page) -> None:
    """Every finding on a strip is one of the findings, with the probability it has."""
    found = [json.loads(line) for line in findings(record, "beats").stdout.splitlines()]
    by_time = {clock(f["peak_s"], 2): f for f in found}
    said = re.findall(
        r"Beat at (\S+): \w+ ectopic beat \((\w)\), probability (\d+) %", beats_page.text
    )
    assert {name for _, name, _ in said} >= {"V"}
    for when, name, chance in said:
        finding = by_time[when]
        assert finding["predicted"] == [name.lower()]
        assert int(chance) == round(100 * finding["probabilities"][name.lower()])
    assert "To compare with: normal beats" in beats_page.text
    assert "V rather than N" in beats_page.text


def test_parts_of_a_decision_sum_to_what_is_printed(beats_page: Page) -> None:
    tables = re.findall(
        r"What the decision is the sum of: (.*?)together \(above 0: decided so\) (\S+)",
        beats_page.text,
    )
    assert tables
    for body, total in tables:
        parts = [
            float(n.replace("\N{MINUS SIGN}", "-"))
            for n in re.findall(r"(?:^| )([+\N{MINUS SIGN}]\d+\.\d|0\.0)(?= |$)", body)
        ]
        assert sum(parts) == pytest.approx(float(total), abs=0.05 * (len(parts) + 1) + 0.01)
        assert float(total) > 0


def test_hostile_names_are_text(tmp_path: Path) -> None:
    leads = {HOSTILE: ectopic_counts(20)}
    page = page_of(write_record(tmp_path, "odd", leads), "beats", tmp_path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert f"lead {HOSTILE}" in page.text


def test_a_page_without_beats_says_so(tmp_path: Path) -> None:
    flat = write_record(tmp_path, "flat", {"EEG": np.zeros(30 * 360), "V9": np.zeros(30 * 360)})
    for bundle in ("beats", "strips", "wearable-af"):
        page = page_of(flat, bundle, tmp_path)
        assert "No R peaks were found: is this an ECG lead, and was it attached?" in page.text
        assert "a guess: no lead is called MLII or II; leads: EEG, V9" in page.text
        assert "No usable signal for 0:00:30 of 0:00:30 (100 %)" in page.text
        assert page.of_class("strip") == []


@pytest.mark.parametrize("samples", [36, 720, 1800, 4000])
@pytest.mark.parametrize("bundle", ["beats", "wearable-af"])
def test_short_recordings_have_a_page(tmp_path: Path, samples: int, bundle: str) -> None:
    record = write_record(tmp_path, "short", {"MLII": ectopic_counts(20)[:samples]})
    page = page_of(record, bundle, tmp_path)
    assert f"Duration {clock(samples / 360)}" in page.text
    drawn = len(page.of_class("strip"))
    assert drawn <= 4
    assert drawn or "Strips" in page.text


def test_decisions_may_overlap(record: Path, tmp_path: Path) -> None:
    page = page_of(record, "strips", tmp_path, "--every", "2")
    decisions = int(re.findall(r"Decisions (\d+)", page.text)[0])
    assert decisions == 41, "spans of 10 s in 90 s, one every 2 s"
    for burden in re.findall(r"beat \d+ (\d+(?:\.\d)?) %", page.text):
        assert float(burden) <= 100


def test_a_gap_is_not_drawn_and_is_counted(tmp_path: Path) -> None:
    counts = ectopic_counts(60)
    counts[20 * 360 : 26 * 360] = -(1 << 15)
    page = page_of(write_record(tmp_path, "gap", {"MLII": counts}), "beats", tmp_path)
    assert re.search(r"No usable signal for 0:00:0[67] of 0:01:00", page.text)
    assert "missing for 0:00:06.00 (10 %)" in page.text.replace("10.0 %", "10 %")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("page.pdf", "expected a name that ends in .html"),
        ("one.dat", "expected a name that ends in .html"),
        ("nowhere/page.html", "is no folder"),
        ("folder.html", "is a folder"),
    ],
)
def test_bad_paths_are_one_sentence(record: Path, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.html").mkdir()
    done = explain(record, "beats", "--html", str(tmp_path / name))
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == "", "nothing is computed before the path is looked at"
    assert [p.name for p in tmp_path.iterdir()] == ["folder.html"]


def test_a_failed_page_leaves_the_old_one(record: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old", encoding="utf-8")
    done = explain(record, "beats", "--lead", "V6", "--html", str(path))
    assert done.returncode == 1
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("record", "bundle", "said"),
    [
        ("mitdb/119", "beats", "V ventricular ectopic beat"),
        ("mitdb/201", "strips-31k", "Atrial fibrillation or flutter"),
        ("cinc2017/A00004", "wearable-af", "Decision AFIB"),
        ("svdb/800", "beats", "S supraventricular ectopic beat"),
    ],
)
def test_real_records(data_dir: Path, tmp_path: Path, record: str, bundle: str, said: str) -> None:
    page = page_of(record, bundle, tmp_path, "--data", str(data_dir))
    assert said in page.text
    assert page.of_class("strip")
    assert (tmp_path / f"{bundle}.html").stat().st_size < 1_500_000

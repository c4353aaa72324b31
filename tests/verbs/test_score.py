"""`beatlens score`: many recordings, by one process, by several, by a cluster: the same files.

What is silently wrong elsewhere is tested here by its kind: findings of another recording, of
changed data, of a cut file; one bad recording among good ones.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from beatlens.errors import BeatlensError, OutputError
from beatlens.pipeline import score as scoring
from beatlens.pipeline.result_files import read_result, result_name, rounded
from beatlens.pipeline.score import ABOUT, SUMMARY, cell
from beatlens.pipeline.whole_files import WholeFile, remove_parts, write_first
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.databases import find_database
from beatlens.signals.simulate import simulate_patient
from beatlens.verbs.app import app

from ..runtime.conftest import make_bundle

pytestmark = pytest.mark.export
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "dense"
    make_bundle("dense", folder)
    return folder


def write_record(
    folder: Path, name: str, seed: int = 0, seconds: int = 40, lead: str = "MLII"
) -> Path:
    """A simulated recording as WFDB files; returns its path without extension."""
    counts = simulate_patient(seed, seconds, pvc_per_minute=8).recording.counts[0].astype("<i2")
    folder.mkdir(parents=True, exist_ok=True)
    counts.tofile(folder / f"{name}.dat")
    total = int(counts.sum(dtype=np.int64)) % 65536
    (folder / f"{name}.hea").write_text(
        f"{name} 1 360 {len(counts)}\n{name}.dat 16 200 16 0 {counts[0]} {total} 0 {lead}\n"
    )
    return folder / name


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four recordings of 40 s."""
    folder = tmp_path_factory.mktemp("records")
    return [str(write_record(folder, f"sim{number}", number)) for number in range(4)]


def scored(*arguments: object) -> str:
    """Output of a call that ends well."""
    done = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return " ".join(done.output.split())


def refused(*arguments: object) -> str:
    """What a call that ends badly says: one error that beatlens raises on purpose."""
    done = CliRunner().invoke(app, ["score", *map(str, arguments)])
    assert isinstance(done.exception, BeatlensError), done.output + repr(done.exception)
    assert "\n" not in str(done.exception)
    return str(done.exception)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / SUMMARY).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines_of(folder: Path) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in folder.glob("*.jsonl")}


def times_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.jsonl")}


def left_over(folder: Path) -> list[str]:
    """Parts of files that were never whole."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_each_recording_gets_the_findings_of_explain(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "findings"
    said = scored(*records, "--bundle", bundle, "--out", out)
    assert "16 findings in 4 recordings" in said
    found = lines_of(out)
    rows = rows_of(out)
    assert [row["record"] for row in rows] == records
    assert {row["file"] for row in rows} == found.keys()
    for row in rows:
        head, *findings, end = found[row["file"]]
        facts = json.loads(head)
        assert (facts["record"], facts["lead"], facts["seconds"]) == (row["record"], "MLII", 40.0)
        name = Path(row["record"]).name
        assert facts["files"].keys() == {f"{name}.hea", f"{name}.dat"}
        assert json.loads(end)["findings"] == len(findings) == int(row["findings"])
        explained = CliRunner().invoke(
            app, ["explain", row["record"], "--bundle", str(bundle), "--json"]
        )
        assert findings == explained.output.splitlines()
        assert (row["lead"], row["seconds"], row["error"]) == ("MLII", "40.0", "")
    decided = [json.loads(line) for lines in found.values() for line in lines[1:-1]]
    for name in ("pvc", "sve", "afib", "bbb"):
        wanted = sum(name in d["predicted"] for d in decided)
        assert sum(int(row.get(f"class {name}", 0)) for row in rows) == wanted
    assert not left_over(out)


def test_several_processes_and_a_cluster_write_the_same(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    """With a bad record among the good ones, which ends none of the batches."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    bad = write_record(tmp_path, "bad")
    bad.with_suffix(".dat").write_bytes(b"short")
    given = [*records[:2], bad, tmp_path / "nosuch", *records[2:]]
    options = ["--bundle", bundle, "--out"]
    said = {refused(*given, *options, tmp_path / "one"),
            refused(*given, *options, tmp_path / "two", "--jobs", 2)}  # fmt: skip
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        said.add(refused(*given, *options, tmp_path / "three", "--scheduler", address))
    assert len({text.replace("/two/", "/one/").replace("/three/", "/one/") for text in said}) == 1
    wanted = lines_of(tmp_path / "one")
    assert len(wanted) == 4
    assert lines_of(tmp_path / "two") == wanted
    assert lines_of(tmp_path / "three") == wanted
    summaries = {(tmp_path / name / SUMMARY).read_text() for name in ("one", "two", "three")}
    assert len(summaries) == 1
    assert ["size is 5, expected" in row["error"] for row in rows_of(tmp_path / "one")] == [
        False, False, True, False, False, False,
    ]  # fmt: skip


# One recording's findings are never another's


def test_names_that_look_alike_have_their_own_findings(bundle: Path, tmp_path: Path) -> None:
    """`a/b_c` and `a_b/c` were one file; so were `a/b` and `/a/b`."""
    given = [
        write_record(tmp_path / folder, name, seed, seconds=20 + 10 * seed)
        for seed, (folder, name) in enumerate(
            [("a", "b_c"), ("a_b", "c"), ("a/b", "c"), ("a-b", "c"), ("deep/a/b", "c")]
        )
    ]
    out = tmp_path / "out"
    scored(*given, "--bundle", bundle, "--out", out)
    rows = rows_of(out)
    assert len({row["file"] for row in rows}) == len(given)
    assert [float(row["seconds"]) for row in rows] == [20, 30, 40, 50, 60]
    for row in rows:
        assert json.loads(lines_of(out)[row["file"]][0])["record"] == row["record"]


def test_file_names_are_readable_injective_and_short() -> None:
    names = {
        result_name(*given)
        for given in [
            ("mitdb/100", "/d/mitdb/100", True), ("mitdb_100", "/x/mitdb_100", False),
            ("mitdb.100", "/x/mitdb.100", False), ("mitdb/100", "/x/mitdb/100", False),
            ("mitdb/100", "/y/mitdb/100", False), ("a b", "/x/a b", False),
            ("a+b", "/x/a+b", False), ("A b", "/x/A b", False), ("r" * 250, "/x/r", False),
            ("mitdb/" + "r" * 250, "/d/mitdb/r", True),
        ]
    }  # fmt: skip
    assert len(names) == len({name.lower() for name in names}) == 10
    assert all(len(name) < 120 and "/" not in name and " " not in name for name in names)
    assert result_name("mitdb/100", "/d/mitdb/100", True) == "mitdb.100.jsonl"
    assert result_name("ward/100", "/x/ward/100", False).startswith("100-")


def test_a_recording_named_twice_is_scored_once(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = write_record(tmp_path / "data", "r")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    scored("data/r", "./data/r", record, "data/../data/r.hea", "data/r.dat", "link/r",
           "--bundle", bundle, "--out", out)  # fmt: skip
    assert [row["record"] for row in rows_of(out)] == ["data/r"]
    made = times_of(out)
    scored(record, "--bundle", bundle, "--out", out)
    assert times_of(out) == made
    assert [row["record"] for row in rows_of(out)] == [str(record)]


# Findings are kept while everything they come from is the same


def test_it_goes_on_where_it_stopped(bundle: Path, records: list[str], tmp_path: Path) -> None:
    out = tmp_path / "findings"
    scored(*records[:2], "--bundle", bundle, "--out", out)
    made = times_of(out)
    scored(*records, "--bundle", bundle, "--out", out)
    assert {name: time for name, time in times_of(out).items() if name in made} == made
    assert len(lines_of(out)) == 4


@pytest.mark.parametrize("what", ["samples", "header", "lead"])
def test_a_changed_recording_is_scored_again(bundle: Path, tmp_path: Path, what: str) -> None:
    kept, out = write_record(tmp_path, "kept", 1), tmp_path / "out"
    changed = write_record(tmp_path, "changed", 2)
    scored(kept, changed, "--bundle", bundle, "--out", out)
    made, before = times_of(out), lines_of(out)
    if what == "samples":
        write_record(tmp_path, "changed", 3)
    else:
        header = changed.with_suffix(".hea")
        old, new = ("16 200 16", "16 190 16") if what == "header" else ("MLII", "V5")
        header.write_text(header.read_text().replace(old, new))
    scored(kept, changed, "--bundle", bundle, "--out", out)
    same, other = (row["file"] for row in rows_of(out))
    assert times_of(out)[same] == made[same]
    assert lines_of(out)[other][0] != before[other][0]
    fresh = tmp_path / "fresh"
    scored(kept, changed, "--bundle", bundle, "--out", fresh)
    assert lines_of(fresh) == lines_of(out)
    assert (fresh / SUMMARY).read_text() == (out / SUMMARY).read_text()


def test_other_data_under_one_name_are_scored_again(bundle: Path, tmp_path: Path) -> None:
    for folder, seed in (("first", 1), ("second", 2)):
        write_record(tmp_path / folder / "ludb", "1", seed)
    wfdb_leads(tmp_path)
    out = tmp_path / "out"
    options = ["--bundle", bundle, "--out", out, "--data"]
    scored("ludb/1", *options, tmp_path / "first")
    before = lines_of(out)
    scored("ludb/1", *options, tmp_path / "second")
    assert lines_of(out).keys() == before.keys() == {"ludb.1.jsonl"}
    assert lines_of(out) != before


def wfdb_leads(folder: Path) -> None:
    """Make the records of `folder/*/ludb` as ludb's are: twelve leads at 500 Hz."""
    for header in folder.glob("*/ludb/*.hea"):
        counts = np.fromfile(header.with_suffix(".dat"), "<i2")
        np.repeat(counts[:, None], 12, axis=1).tofile(header.with_suffix(".dat"))
        lead = header.read_text().splitlines()[1].rpartition(" ")[0]
        leads = [f"{lead} l{number}" for number in range(12)]
        text = "\n".join([f"{header.stem} 12 500 {len(counts)}", *leads])
        header.write_text(text + "\n")


def test_a_folder_belongs_to_one_bundle_and_hop(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "findings"
    scored(records[0], "--bundle", bundle, "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    said = refused(records[0], "--bundle", bundle, "--out", out, "--every", 5)
    assert "findings with every_s 10.0, these are with 5.0; use another folder" in said
    make_bundle("residual", tmp_path / "other")
    said = refused(records[0], "--bundle", tmp_path / "other", "--out", out)
    assert "use another folder" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_findings_of_another_version_are_made_again(
    bundle: Path, records: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "findings"
    monkeypatch.setattr(scoring, "__version__", "0.0.9")
    scored(records[0], "--bundle", bundle, "--out", out)
    assert '"beatlens":"0.0.9"' in next(iter(lines_of(out).values()))[0]
    monkeypatch.undo()
    scored(records[0], "--bundle", bundle, "--out", out)
    assert "0.0.9" not in next(iter(lines_of(out).values()))[0]


# A file that is not whole is known


def test_a_file_cut_anywhere_is_made_again(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "findings"
    scored(records[0], "--bundle", bundle, "--out", out)
    (path,) = out.glob("*.jsonl")
    whole = path.read_bytes()
    head = json.loads(whole.splitlines()[0])
    assert read_result(path, head) is not None
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read_result(path, head) is None, size
    ends = [number + 1 for number, byte in enumerate(whole) if byte == 10]
    for size in (0, 100, ends[0], ends[1], ends[-2], len(whole) - 1):
        path.write_bytes(whole[:size])
        scored(records[0], "--bundle", bundle, "--out", out)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], "[]", *lines[1:]],
        lambda lines: ["[]", *lines[1:]],
        lambda lines: ["[" * 100_000],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: [*lines[:-1], '{"end":true}'],
        lambda lines: [*lines[:-1], "null"],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [line.replace("0", "1") for line in lines],
        lambda lines: ["\xff\x00", *lines],
    ],
)
def test_a_damaged_file_is_made_again(damage, bundle: Path, records, tmp_path: Path) -> None:
    out = tmp_path / "findings"
    scored(records[0], "--bundle", bundle, "--out", out)
    (path,) = out.glob("*.jsonl")
    whole = path.read_text()
    path.write_text("\n".join(damage(whole.splitlines())) + "\n", encoding="latin-1")
    scored(records[0], "--bundle", bundle, "--out", out)
    assert path.read_text() == whole


# One bad recording among good ones


def test_a_bad_recording_is_a_row_with_its_reason(bundle: Path, tmp_path: Path) -> None:
    good = [write_record(tmp_path, name, seed) for seed, name in enumerate(("one", "two"))]
    short = write_record(tmp_path, "short")
    short.with_suffix(".dat").write_bytes(b"ab")
    pressure = write_record(tmp_path, "pressure")
    header = pressure.with_suffix(".hea")
    header.write_text(header.read_text().replace("200 16 0", "200/mmHg 16 0"))
    lost = write_record(tmp_path, "lost")
    lost.with_suffix(".dat").unlink()
    rate = write_record(tmp_path, "rate")
    rate.with_suffix(".hea").write_text(rate.with_suffix(".hea").read_text().replace("360", "257"))
    folder = tmp_path / "folder"
    folder.mkdir()
    given = [good[0], short, pressure, folder, lost, rate, "nosuch", "abcdb/1", good[1]]
    out = tmp_path / "out"
    said = refused(*given, "--bundle", bundle, "--out", out)
    assert said.startswith("7 of 9 recordings refused, the first because: ")
    assert str(out / SUMMARY) in said
    rows = rows_of(out)
    expected = ["", "size is 2", "mmHg", "is a folder", "no such file", "257", "no such file",
                "no such file", ""]  # fmt: skip
    for row, wanted in zip(rows, expected, strict=True):
        assert (wanted in row["error"]) if wanted else row["error"] == "", row
        numbers = {name: text for name, text in row.items() if name not in ("record", "error")}
        assert any(numbers.values()) == (not wanted), row
    assert len(lines_of(out)) == 2
    assert not left_over(out)
    # What was good is kept; what is mended is scored.
    made = times_of(out)
    write_record(tmp_path, "short")
    said = refused(*given, "--bundle", bundle, "--out", out)
    assert said.startswith("6 of 9 recordings refused")
    assert {name: time for name, time in times_of(out).items() if name in made} == made


def test_a_fault_of_beatlens_does_not_end_the_batch(
    bundle: Path, records: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = scoring.findings_in

    def faulty(model, recording, *rest, **options):
        if recording.name == "sim1":
            raise ZeroDivisionError("of no use")
        return real(model, recording, *rest, **options)

    monkeypatch.setattr(scoring, "findings_in", faulty)
    said = refused(*records, "--bundle", bundle, "--out", tmp_path / "out")
    assert "1 of 4 recordings refused, the first because: a fault in beatlens" in said
    assert len(lines_of(tmp_path / "out")) == 3


def test_a_recording_that_changes_while_it_is_read_is_refused(
    bundle: Path, records: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = write_record(tmp_path, "r")
    real = scoring.findings_in

    def touching(*given, **options):
        yield from real(*given, **options)
        os.utime(record.with_suffix(".dat"), ns=(1, 1))

    monkeypatch.setattr(scoring, "findings_in", touching)
    said = refused(record, "--bundle", bundle, "--out", tmp_path / "out")
    assert "changed while it was read" in said
    assert not lines_of(tmp_path / "out")
    assert not left_over(tmp_path / "out")


def test_names_of_nothing_make_no_folder(bundle: Path, tmp_path: Path) -> None:
    said = refused("nosuch", tmp_path, "--bundle", bundle, "--out", tmp_path / "out")
    assert said.startswith("2 of 2 recordings refused, the first because: no such file: nosuch.hea")
    assert not (tmp_path / "out").exists()


# The folder of findings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"), (b"{", "damaged"), (b"\xff\xfe", "damaged"), (b"[" * 9999, "damaged"),
        (b"[]", "not of a folder of findings"), (b"{}", "not of a folder of findings"),
        (b"3", "not of a folder of findings"),
        (b'{"bundle": "x", "checksums": "y", "every_s": 10.0}', "not of a folder of findings"),
    ],
)  # fmt: skip
def test_a_damaged_claim_is_one_sentence(
    content: bytes, message: str, bundle: Path, records: list[str], tmp_path: Path
) -> None:
    (tmp_path / ABOUT).write_bytes(content)
    said = refused(records[0], "--bundle", bundle, "--out", tmp_path)
    assert f"{ABOUT}: {message}" in said
    assert [path.name for path in tmp_path.iterdir()] == [ABOUT]
    assert (tmp_path / ABOUT).read_bytes() == content


@pytest.mark.parametrize("name", [SUMMARY, "mitdb.100.jsonl"])
def test_files_of_something_else_are_not_replaced(
    name: str, bundle: Path, records: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    said = refused(records[0], "--bundle", bundle, "--out", tmp_path)
    assert f"holds {name} but no {ABOUT}" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("below", ["", "more"])
def test_a_file_is_no_folder(below: str, bundle: Path, records: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    said = refused(records[0], "--bundle", bundle, "--out", tmp_path / "out" / below)
    assert "cannot be the folder of findings" in said
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: UNTESTED")
def test_a_folder_that_refuses_is_one_sentence(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    said = refused(records[0], "--bundle", bundle, "--out", tmp_path / "out")
    assert "cannot be written (Permission denied)" in said


def run_limited(limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process that may write files of at most so many bytes."""
    return subprocess.run(
        [sys.executable, "-m", "beatlens", "score", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--jobs", 2)])
def test_a_full_disk_leaves_nothing_half_written(
    options: tuple[object, ...], bundle: Path, tmp_path: Path
) -> None:
    small, large = write_record(tmp_path, "s", seconds=12), write_record(tmp_path, "l", seconds=300)
    out = tmp_path / "out"
    scored(small, large, "--bundle", bundle, "--out", tmp_path / "all")
    sizes = sorted(path.stat().st_size for path in (tmp_path / "all").glob("*.jsonl"))
    limit = (sizes[0] + sizes[1]) // 2
    done = run_limited(limit, small, large, "--bundle", bundle, "--out", out, *options)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written (File too large); check the space on disk" in done.stderr
    assert not left_over(out)
    assert not (out / SUMMARY).exists()
    whole = lines_of(tmp_path / "all")
    assert all(lines == whole[name] for name, lines in lines_of(out).items())
    scored(small, large, "--bundle", bundle, "--out", out)
    assert lines_of(out) == whole


def test_two_processes_in_one_folder_do_not_break_each_other(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "beatlens", "score", *records, "--bundle", str(bundle),
               "--out", str(out)]  # fmt: skip
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert (process.returncode, errors) == (0, "")
    scored(*records, "--bundle", bundle, "--out", tmp_path / "alone")
    assert lines_of(out) == lines_of(tmp_path / "alone")
    assert (out / SUMMARY).read_text() == (tmp_path / "alone" / SUMMARY).read_text()
    assert not left_over(out)


def test_whole_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    file = WholeFile(path).__enter__()
    file.write("new")
    file.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert (path.read_text(), left_over(tmp_path)) == ("old", [])
    with WholeFile(path) as file, WholeFile(path) as other:
        file.write("first")
        other.write("second")
    assert (path.read_text(), left_over(tmp_path)) == ("first", [])
    with pytest.raises(OutputError, match="cannot be written"), WholeFile(tmp_path / "x" / "a"):
        raise AssertionError
    left = WholeFile(path, run="killed").__enter__()
    remove_parts(tmp_path, "other")
    remove_parts(tmp_path, older_than_s=60)
    assert len(left_over(tmp_path)) == 1
    remove_parts(tmp_path, "killed")
    assert not left_over(tmp_path)
    left.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not write_first(path, "late")
    assert path.read_text() == "first"


# What is written


def test_cells_that_a_spreadsheet_would_run_are_text(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = write_record(tmp_path, "r", lead='=HYPERLINK("http://x")')
    record.with_suffix(".hea").rename(tmp_path / "-1+2.hea")
    out = tmp_path / "out"
    scored("--bundle", bundle, "--out", out, "--", "-1+2")
    (row,) = rows_of(out)
    assert row["record"] == "'-1+2"
    assert row["lead"] == '\'=HYPERLINK("http://x")'
    assert row["file"].startswith("'-1_2-")
    assert (out / row["file"].removeprefix("'")).exists()
    assert float(row["seconds"]) == 40
    for text in ("=1", "+1", "-1", "@x", "\t1", "\r1", "\n1", " =1", "＝1"):
        assert cell(text) == f"'{text}"
    assert [cell(value) for value in ("1=2", "MLII", "", -1, 2.5)] == ["1=2", "MLII", "", -1, 2.5]


def test_numbers_are_rounded_and_lines_compact(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    assert rounded(
        {"time_s": 604_800.123456, "probabilities": {"v": 1 / 3},
         "contributions": [{"start_s": -0.123456}],
         "beats": 123_456_789, "assessable": True, "ratio": 123_456.789, "class": None}
    ) == {
        "time_s": 604_800.1235, "probabilities": {"v": 0.33333},
         "contributions": [{"start_s": -0.1235}],
        "beats": 123_456_789, "assessable": True, "ratio": 123_460.0, "class": None,
    }  # fmt: skip
    scored(records[0], "--bundle", bundle, "--out", tmp_path)
    (lines,) = lines_of(tmp_path).values()
    assert not any(", " in line or ": " in line for line in [lines[0], lines[-1]])
    for line in lines:
        assert json.dumps(rounded(json.loads(line)), separators=(",", ":")) == line


MEASURE = """
import resource, sys
from beatlens.verbs.app import app
try:
    app(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.skipif(not has_compiler(), reason="NO C COMPILER: memory of engine 'c' UNTESTED")
def test_memory_does_not_grow_with_the_findings(bundle: Path, tmp_path: Path) -> None:
    """Peak memory of the whole process, in KiB: a finding a second was 8 KiB kept."""

    def peak(seconds: int) -> int:
        record = write_record(tmp_path, f"r{seconds}", seconds=200)
        counts = np.resize(np.fromfile(record.with_suffix(".dat"), "<i2"), seconds * 360)
        counts.tofile(record.with_suffix(".dat"))
        record.with_suffix(".hea").write_text(
            f"{record.name} 1 360 {len(counts)}\n{record.name}.dat 16 200 16 0 0 0 0 MLII\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, "score", record, "--bundle", bundle, "--engine", "c",
             "--every", "1", "--out", tmp_path / f"out{seconds}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(done.stderr.splitlines()[-1])

    short = peak(600)
    assert peak(7_200) < short + 15_000


def test_a_database_is_scored_by_its_name(data_dir: Path, tmp_path: Path) -> None:
    wanted = find_database("ludb", data_dir).records()
    bundle = ROOT / "models" / "strips-6k" / "bundle"
    out = tmp_path / "ludb"
    scored("ludb", "--bundle", bundle, "--data", data_dir, "--out", out, "--jobs", 2)
    rows = rows_of(out)
    assert [row["record"] for row in rows] == [f"ludb/{record}" for record in wanted]
    assert [row["file"] for row in rows] == [f"ludb.{record}.jsonl" for record in wanted]
    assert {row["lead"] for row in rows} == {"ii"}
    assert sum(int(row["class afib"]) for row in rows) > 0


def test_beats_are_scored_too(mitdb_dir: Path, tmp_path: Path) -> None:
    bundle = ROOT / "models" / "beats-6k" / "bundle"
    out = tmp_path / "beats"
    scored("mitdb/119", mitdb_dir / "119", "--bundle", bundle, "--data", mitdb_dir.parent,
           "--out", out, "--engine", "simulator")  # fmt: skip
    (row,) = rows_of(out)
    assert int(row["class v"]) == pytest.approx(444, abs=40)  # annotated
    beats = lines_of(out)[row["file"]][1:-1]
    assert sum(map(len, beats)) / len(beats) < 480  # 562 with all digits

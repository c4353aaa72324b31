"""`beatlens score`: many recordings, by one process, by several, by a cluster: the same files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.errors import DataError
from beatlens.pipeline.score import ABOUT, summary_of
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


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four simulated recordings of 40 s as WFDB files."""
    import wfdb

    folder = tmp_path_factory.mktemp("records")
    for number in range(4):
        patient = simulate_patient(number, 40, pvc_per_minute=8).recording
        wfdb.wrsamp(
            f"sim{number}", fs=patient.rate_hz, units=["mV"], sig_name=["MLII"], fmt=["16"],
            d_signal=patient.counts.T.astype("int64"), adc_gain=[200.0], baseline=[0],
            write_dir=str(folder),
        )  # fmt: skip
    return [str(folder / f"sim{number}") for number in range(4)]


def beatlens(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def lines_of(folder: Path) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in folder.glob("*.jsonl")}


def test_each_recording_gets_the_findings_of_explain(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "findings"
    said = beatlens("score", *records, "--bundle", bundle, "--out", out)
    assert "16 findings in 4 recordings" in " ".join(said.split())
    found = lines_of(out)
    assert len(found) == len(records)
    for record in records:
        head, *findings = found[f"{record.strip('/').replace('/', '_')}.jsonl"]
        assert json.loads(head) == {"record": record, "lead": "MLII", "seconds": 40.0}
        one = beatlens("explain", record, "--bundle", bundle, "--json")
        assert findings == one.splitlines()
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["record"] for row in rows] == records
    decided = [json.loads(line) for lines in found.values() for line in lines[1:]]
    for name in ("pvc", "sve", "afib", "bbb"):
        wanted = sum(bool(d["decisions"] and d["decisions"][name]) for d in decided)
        assert sum(int(row.get(f"class {name}", 0)) for row in rows) == wanted


def test_several_processes_and_a_cluster_write_the_same(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    beatlens("score", *records, "--bundle", bundle, "--out", tmp_path / "one")
    beatlens("score", *records, "--bundle", bundle, "--out", tmp_path / "two", "--jobs", 2)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        beatlens("score", *records, "--bundle", bundle, "--out", tmp_path / "three",
                 "--scheduler", cluster.scheduler_address)  # fmt: skip
    wanted = lines_of(tmp_path / "one")
    assert lines_of(tmp_path / "two") == wanted
    assert lines_of(tmp_path / "three") == wanted
    summaries = {(tmp_path / name / "summary.csv").read_text() for name in ("one", "two", "three")}
    assert len(summaries) == 1


def test_it_goes_on_where_it_stopped_with_the_same_bundle_only(
    bundle: Path, records: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "findings"
    beatlens("score", *records[:2], "--bundle", bundle, "--out", out)
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    beatlens("score", *records, "--bundle", bundle, "--out", out)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(lines_of(out)) == 4
    other = CliRunner().invoke(app, ["score", records[0], "--bundle", str(bundle), "--out",
                                     str(out), "--every", "5"])  # fmt: skip
    assert "use another folder" in str(other.exception)
    assert json.loads((out / ABOUT).read_text())["every_s"] == 10.0


@pytest.mark.parametrize("content", ["", "{}\n{", '{"record": "x"}\n{"doubts": []}\n'])
def test_damaged_findings_are_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "100.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"100\.jsonl: not a file of findings .*delete it"):
        summary_of(path)


def test_a_database_is_scored_by_its_name(data_dir: Path, tmp_path: Path) -> None:
    wanted = find_database("ludb", data_dir).records()
    bundle = ROOT / "models" / "strips-6k" / "bundle"
    out = tmp_path / "ludb"
    beatlens("score", "ludb", "--bundle", bundle, "--data", data_dir, "--out", out, "--jobs", 2)
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["record"] for row in rows] == [f"ludb/{record}" for record in wanted]
    assert {row["lead"] for row in rows} == {"ii"}
    assert sum(int(row["class afib"]) for row in rows) > 0


def test_beats_are_scored_too(mitdb_dir: Path, tmp_path: Path) -> None:
    bundle = ROOT / "models" / "beats-6k" / "bundle"
    out = tmp_path / "beats"
    beatlens("score", "mitdb/119", "--bundle", bundle, "--data", mitdb_dir.parent, "--out", out,
             "--engine", "simulator")  # fmt: skip
    (row,) = csv.DictReader((out / "summary.csv").open())
    assert int(row["class v"]) == pytest.approx(444, abs=40)  # annotated

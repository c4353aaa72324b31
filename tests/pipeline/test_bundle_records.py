"""A bundle on records that somebody names: `evaluate --bundle --database --records`."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from beatlens.errors import DataError, ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.files import save_net
from beatlens.pipeline.bundle_records import (
    measure_records,
    read_record_list,
    recipe_for_records,
)
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases.mitdb import VALIDATION
from beatlens.signals.simulate import simulate_patient
from beatlens.tasks.beats.evaluation import ALL, OUTPUT
from beatlens.tasks.common.sources import TEST
from beatlens.tasks.contract import Row
from beatlens.verbs.records import RecordsAsked, evaluate_records

ROOT = Path(__file__).resolve().parents[2]
UNSEEN = ROOT / "models" / "unseen-svdb.txt"
NAMES = ("100", "103", "105")
SPEC = NetworkSpec("dense", (4, 6), (8, 8), (4, 2))


def released(name: str) -> Bundle:
    return Bundle.load(ROOT / "models" / name / "bundle")


def measure(
    name: str, database: str, records: Sequence[str], data: Path, teacher: Path | None = None
) -> list[Row]:
    """Rows of a released bundle on records of a database."""
    bundle = released(name)
    recipe = recipe_for_records(bundle, None, database, records, teacher is not None)
    return measure_records(recipe, bundle, teacher, data).rows


def of_beats(rows: list[Row], decided: str) -> Row:
    """The row of all records, in the literature's mapping."""
    wanted = {"mapping": "aami", "split": TEST, "decided": decided}
    return next(row for row in rows if wanted.items() <= row.items())


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated patients in the layout of mitdb: those measured, 6 min long, and validation's."""
    data = tmp_path_factory.mktemp("data")
    (data / "mitdb").mkdir()
    for seed, name in enumerate((*NAMES, *VALIDATION)):
        seconds = 360 if name in NAMES else 60
        patient = simulate_patient(seed, seconds, pvc_per_minute=12)
        recording, beats = patient.recording, patient.annotations.beats
        counts = np.stack([recording.counts[0]] * 2, axis=1).astype(np.int64)
        wfdb.wrsamp(
            name, fs=recording.rate_hz, units=["mV", "mV"], sig_name=["MLII", "V1"],
            d_signal=counts, fmt=["16", "16"], adc_gain=[float(recording.counts_per_mv[0])] * 2,
            baseline=[0, 0], write_dir=str(data / "mitdb"),
        )  # fmt: skip
        wfdb.wrann(
            name, "atr", beats.sample, symbol=list(beats.symbol), write_dir=str(data / "mitdb")
        )
    (data / "mitdb" / "RECORDS").write_text("\n".join((*NAMES, *VALIDATION)))
    return data


def test_a_list_is_a_name_a_line_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# two records\n801\n\n  803  # the second\n")
    assert read_record_list(path) == ("801", "803")
    for text, message in (
        ("801 803", "line 1 is '801 803', expected one record's name"),
        ("801\n803\n801\n", "record 801 is there twice"),
        ("# none\n", "no record in it"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_record_list(path)
    with pytest.raises(DataError, match="cannot be read as a list of records"):
        read_record_list(tmp_path / "nowhere.txt")


def test_the_unseen_records_of_svdb_are_those_that_no_recipe_reads(data_dir: Path) -> None:
    unseen = set(read_record_list(UNSEEN))
    read = {path.stem for path in (data_dir / "svdb").glob("*.hea")}
    assert len(unseen) == 26
    assert not unseen & read
    published = {str(n) for n in (*range(800, 813), *range(820, 830), *range(840, 895))}
    assert unseen | read == published


def test_windows_with_a_teacher_and_without(simulated: Path, tmp_path: Path) -> None:
    (alone,) = measure("strips-6k", "mitdb", NAMES, simulated)
    assert (alone["model"], alone["form"]) == ("student", "int8")
    assert 0 <= alone["f1_pvc_lo"] <= alone["f1_pvc"] <= alone["f1_pvc_hi"] <= 1
    assert not any(key.startswith(("spearman", "label_set")) for key in alone)
    torch.manual_seed(0)
    save_net(tmp_path / "teacher.pt", build(SPEC, released("strips-6k").classes), SPEC)
    rows = measure("strips-6k", "mitdb", NAMES, simulated, tmp_path / "teacher.pt")
    teacher, device, _floor = rows
    assert teacher["label_set"] == 1
    assert 0 <= device["label_set"] <= 1
    assert device["f1_pvc"] == alone["f1_pvc"]
    assert device["ap_pvc"] == alone["ap_pvc"]


def test_beats_are_counted_as_the_device_outputs_them(simulated: Path) -> None:
    rows = measure("beats-6k", "mitdb", NAMES, simulated)
    output, every = of_beats(rows, OUTPUT), of_beats(rows, ALL)
    assert (output["model"], output["records"]) == ("beats-6k", 3)
    assert every["veb_sensitivity"] > 50
    assert output["qrs_sensitivity"] == pytest.approx(every["qrs_sensitivity"], abs=0.5)


def test_a_table_is_printed_and_a_file_written(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, out = tmp_path / "list.txt", tmp_path / "figures.json"
    chosen.write_text("\n".join(NAMES))
    bundle = ROOT / "models" / "strips-6k" / "bundle"
    evaluate_records(RecordsAsked(bundle, "mitdb", chosen), None, None, simulated, out)
    assert "Test patients" in capsys.readouterr().out
    found = load_figures(out)
    assert found.rows[0]["database"] == "mitdb"
    assert found.command.endswith(f"--database mitdb --records {chosen}")
    assert "3 records of mitdb, nothing chosen on them" in found.data


def test_what_is_not_there_is_an_error(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split names record '802', which mitdb does not have"):
        measure("strips-6k", "mitdb", ("100", "802", "999"), simulated)
    with pytest.raises(RecipeError, match="--records FILE is missing"):
        RecordsAsked.check(ROOT / "models" / "strips" / "bundle", "svdb", None, ec57=False)
    with pytest.raises(RecipeError, match="mitdb has no labels of recordings"):
        measure("wearable-af-6k", "mitdb", NAMES, simulated)
    torch.manual_seed(0)
    save_net(tmp_path / "teacher.pt", build(SPEC, released("strips-6k").classes), SPEC)
    with pytest.raises(ModelError, match="expected the bundle's teacher, for n, s, v, f"):
        measure("beats-6k", "mitdb", NAMES, simulated, tmp_path / "teacher.pt")


def test_recordings_of_the_challenge(data_dir: Path) -> None:
    folder = data_dir / "cinc2017"
    names = sorted(path.stem for path in folder.glob("*.hea"))[:40]
    (row,) = measure("wearable-af-6k", "cinc2017", names, data_dir)
    assert row["recordings"] == 40
    assert row["score"] > 0.6  # trained on most of them: this says that the counting works
    assert row["published_score_lo"] < row["published_score"] < row["published_score_hi"]


def test_a_database_that_no_recipe_trains_on(data_dir: Path) -> None:
    records = ("sele0106", "sel301")
    (windows,) = measure("strips-6k", "qtdb", records, data_dir)
    assert isnan(windows["f1_afib"])  # qtdb has no rhythm labels
    rows = measure("beats-6k", "qtdb", records, data_dir)
    assert min(row["qrs_sensitivity"] for row in rows) > 99

"""`beatlens adapt`: a bundle for one patient, and one sentence where there can be none."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import wfdb

from beatlens.errors import DataError, ModelError
from beatlens.pipeline.adapt import ReviewedRecord, adapt_bundle
from beatlens.pipeline.score import findings_in, open_record
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.annotations import write_annotations
from beatlens.signals.simulate import simulate_patient

from ..firmware.beat_bundles import beat_bundle

pytestmark = pytest.mark.export
SECONDS = 150


def write_patient(folder: Path, name: str = "p", seed: int = 3) -> Path:
    """A simulated heart with many ventricular beats, as a WFDB record with annotations."""
    made = simulate_patient(seed, SECONDS, rate_hz=250, pvc_per_minute=20)
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        name, fs=250, units=["mV"], sig_name=["MLII"], fmt=["16"], adc_gain=[200.0], baseline=[0],
        d_signal=made.recording.counts.T.astype("int64"), write_dir=str(folder),
    )  # fmt: skip
    write_annotations(folder, "atr", replace(made.annotations, name=name), 250)
    return folder / name


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patient(tmp_path_factory.mktemp("ward"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """It calls nearly every beat normal."""
    return beat_bundle(tmp_path_factory.mktemp("model"), likely="n")


def found_in(bundle: Bundle, record: Path, engine: str) -> list[Finding]:
    recording = open_record(str(record))
    return list(findings_in(bundle, recording, 0, engine=engine))


def test_an_adapted_bundle_is_one_like_any_other(
    bundle: Bundle, patient: Path, tmp_path: Path
) -> None:
    given = ReviewedRecord(str(patient), end_s=100.0)
    made = adapt_bundle(bundle, given, tmp_path / "new", engine="simulator")
    assert made.folder == tmp_path / "new"
    assert made.adapted.summary is not None
    adapted = Bundle.load(tmp_path / "new")
    assert adapted.name == "by-chance-p"
    assert adapted.measured["adapted_from"] == bundle.name
    assert adapted.measured["reviewed_s"] == [0.0, 100.0]
    assert adapted.measured["judged"] == "on the beats after 100 s"
    assert adapted.measured["wrong_after"] < adapted.measured["wrong_before"]
    assert "rule" in adapted.versions
    assert adapted.tflite == bundle.tflite
    assert adapted.packed == bundle.packed
    assert (adapted.golden.evidence == bundle.golden.evidence).all()
    found = found_in(adapted, patient, "simulator")
    assert sum(one.class_name == "v" for one in found) > 20
    if not has_compiler():
        pytest.skip("NO C COMPILER: the adapted bundle was not run in C")
    for one, other in zip(found, found_in(adapted, patient, "c"), strict=True):
        for field in fields(Finding):
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def test_without_later_annotations_blocks_are_judged(
    bundle: Bundle, patient: Path, tmp_path: Path
) -> None:
    given = ReviewedRecord(str(patient) + ".atr")
    made = adapt_bundle(bundle, given, tmp_path / "new", "mine", engine="simulator")
    assert made.name == Bundle.load(tmp_path / "new").name == "mine"
    assert str(made.adapted.measured["judged"]).startswith("in 5 blocks of the reviewed time")


def reviewed_as(patient: Path, folder: Path, codes: str | None, shift_s: float = 0.0) -> Path:
    """The same record with other annotations; `codes`: of all beats, None: as they are."""
    folder.mkdir()
    for end in ("hea", "dat"):
        (folder / f"p.{end}").write_bytes(patient.with_suffix(f".{end}").read_bytes())
    beats = wfdb.rdann(str(patient), "atr")
    kept = np.flatnonzero(np.isin(beats.symbol, list("NVA")))
    at = np.asarray(beats.sample)[kept]
    if shift_s:
        at = (np.arange(len(at)) * 250 * shift_s).astype(int)
        at = at[at < SECONDS * 250]
    symbols = [beats.symbol[i] if codes is None else codes for i in kept][: len(at)]
    wfdb.wrann("p", "atr", at, symbol=symbols, write_dir=str(folder), fs=250)
    return folder / "p"


@pytest.mark.parametrize(
    ("codes", "shift_s", "end_s", "message"),
    [
        (None, 1.37, None, "are the annotations of this recording?"),
        ("Q", 0.0, None, "0 annotated beats of the model's classes, expected 30 or more"),
        (None, 0.0, 2.0, "annotated beats of the model's classes, expected 30 or more"),
        (None, 0.0, 0.0, "no time from 0 to 0 s was reviewed"),
    ],
)
def test_annotations_that_cannot_be_used(
    bundle: Bundle,
    patient: Path,
    tmp_path: Path,
    codes: str | None,
    shift_s: float,
    end_s: float | None,
    message: str,
) -> None:
    record = reviewed_as(patient, tmp_path / "ward", codes, shift_s)
    given = ReviewedRecord(str(record), end_s=end_s)
    with pytest.raises(DataError) as refused:
        adapt_bundle(bundle, given, tmp_path / "new", engine="simulator")
    assert message in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_normal_beats_alone_say_nothing_of_others(
    bundle: Bundle, patient: Path, tmp_path: Path
) -> None:
    record = reviewed_as(patient, tmp_path / "ward", "N")
    made = adapt_bundle(bundle, ReviewedRecord(str(record)), tmp_path / "new", engine="simulator")
    assert made.folder is None
    assert "fewer than 5 beats of any class but n were reviewed" in made.adapted.reason
    assert not (tmp_path / "new").exists()


def test_missing_and_damaged_annotations(bundle: Bundle, patient: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such annotation file"):
        adapt_bundle(bundle, ReviewedRecord(str(patient), annotator="qrs"), tmp_path / "new")
    record = reviewed_as(patient, tmp_path / "ward", None)
    record.with_suffix(".atr").write_bytes(b"\x01\x02\x03")
    with pytest.raises(DataError, match="size is 3"):
        adapt_bundle(bundle, ReviewedRecord(str(record)), tmp_path / "new")


@pytest.mark.parametrize("name", ["strips-6k", "wearable-af-6k"])
def test_models_of_other_kinds_are_refused(name: str, patient: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected one of beats: others cannot be adapted"):
        adapt_bundle(Bundle.load(name), ReviewedRecord(str(patient)), tmp_path / "new")


def test_a_folder_in_use_is_refused_before_anything_runs(
    bundle: Bundle, patient: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "note").write_text("mine\n")
    with pytest.raises(ModelError, match="no part of a bundle"):
        adapt_bundle(bundle, ReviewedRecord(str(patient)), tmp_path / "new")


def test_measured_can_be_read_as_json(bundle: Bundle, patient: Path, tmp_path: Path) -> None:
    given = ReviewedRecord(str(patient), end_s=100.0)
    adapt_bundle(bundle, given, tmp_path / "new", engine="simulator")
    document = json.loads((tmp_path / "new" / "bundle.json").read_text())
    assert set(document["measured"]["reviewed_beats"]) == set(bundle.classes)


def test_a_real_patient_gets_better(data_dir: Path, tmp_path: Path) -> None:
    """A patient that the released network was not trained on; counted after the five minutes."""
    if not has_compiler():
        pytest.skip("NO C COMPILER: no real record was adapted to")
    given = ReviewedRecord("svdb/801", data=data_dir, end_s=300.0)
    made = adapt_bundle(Bundle.load("beats"), given, tmp_path / "new", engine="c")
    measured = made.adapted.measured
    assert measured["judged"] == "on the beats after 300 s"
    assert measured["wrong_after"] < measured["wrong_before"]
    assert Bundle.load(tmp_path / "new").name == "beats-801"

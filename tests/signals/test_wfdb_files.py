"""WFDB reading: what is there is read exactly, what is damaged is refused by name."""

import time
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import DataError
from beatlens.signals.wfdb_files import read_recording
from beatlens.signals.wfdb_header import NOMINAL_GAIN, Expected

from .wfdb_cases import SAMPLES, edit_header, write_record

MITDB = Expected(rate_hz=360, leads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_record(tmp_path)
    return tmp_path


def test_reads_counts_above_the_baseline(tmp_path: Path) -> None:
    codes = write_record(tmp_path)
    recording = read_recording(tmp_path, "100", database="mitdb", patient="p", expected=MITDB)
    assert recording.counts.dtype == np.int32
    assert np.array_equal(recording.counts, codes - 1024)
    assert not recording.counts.flags.writeable
    assert recording.lead_names == ("MLII", "V1")
    assert recording.counts_per_mv == (200.0, 200.0)
    assert recording.rails == ((-1024, 1023), (-1024, 1023))
    assert (recording.rate_hz, recording.duration_s) == (360, 2.0)
    assert recording.calibrated
    assert recording.missing is None
    assert (recording.database, recording.patient) == ("mitdb", "p")


def test_leads_are_found_by_name(folder: Path) -> None:
    recording = read_recording(folder, "100")
    assert recording.lead("V1") == recording.lead("v1") == 1
    assert recording.millivolts("V1")[0] == recording.counts[1, 0] / 200
    with pytest.raises(DataError, match=r"no lead 'II'; its leads are MLII, V1"):
        recording.lead("II")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("100 2 360", "100 3 360", r"number of signals is 3, expected 2"),
        ("100 2 360", "100 0 360", r"number of signals is '0'"),
        ("100 2 360", "100 two 360", r"number of signals is 'two'"),
        ("100 2 360", "100/2 2 360", r"record name is '100/2'"),
        ("100 2 360", "101 2 360", r"record name is '101', expected '100'"),
        ("100 2 360", "100 2 0", r"sampling rate is '0'"),
        ("100 2 360", "100 2 nan", r"sampling rate is 'nan'"),
        ("100 2 360", "100 2 360.5", r"sampling rate is '360.5'"),
        ("100 2 360", "100 2 250", r"sampling rate is 250, expected 360 Hz"),
        ("360 720", "360", r"record line is '100 2 360', expected"),
        ("360 720", "360 0", r"length in samples is '0'"),
        ("360 720", "360 721", r"size is 2160, expected 2163 bytes"),
        ("360 720", "360 719", r"size is 2160, expected 2157 bytes"),
        ("360 720", "360 " + "9" * 12, r"size is 2160, expected 2999999999997 bytes"),
        ("360 720", "360 " + "9" * 5000, r"length in samples is '9999"),
        ("200 11", "0 11", r"gain of signal 0 is '0', expected a gain above 0"),
        ("200 11", "-200 11", r"gain of signal 0 is '-200'"),
        ("200 11", "nan 11", r"gain of signal 0 is 'nan'"),
        ("200 11", "inf 11", r"gain of signal 0 is 'inf'"),
        ("200 11", "1e999 11", r"gain of signal 0 is '1e999'"),
        ("212 200 11", "212 11", r"line of signal 0 is .*, expected nine fields"),
        ("200 11", "200/mmHg 11", r"unit of signal 0 is 'mmHg'"),
        ("100.dat 212", "../evil.dat 212", r"file name of signal 0 is '../evil.dat'"),
        ("100.dat 212", "/etc/passwd 212", r"file name of signal 0 is '/etc/passwd'"),
        ("100.dat 212", "..\\evil.dat 212", r"file name of signal 0 is"),
        ("100.dat 212", "http://x/evil.dat 212", r"file name of signal 0 is"),
        ("100.dat 212", "..dat 212", r"file name of signal 0 is"),
        ("100.dat 212", "none.dat 212", r"none.dat: no such file"),
        ("212", "999", r"format of signal 0 is '999'"),
        ("212", "16", r"format and byte offset of 100.dat is .*'16'.*'212'"),
        ("212", "212x2", r"samples per frame of signal 0 is '2'"),
        ("212", "212:5", r"skew of signal 0 is '5'"),
        ("1024 1024", "1024 1025", r"first sample of signal 0 \(MLII\) is 1024, expected 1025"),
        (" 0 MLII", " 512 MLII", r"block size of signal 0 is '512'"),
        (" 0 MLII", " 0", r"line of signal 0 is"),
        ("MLII", "ML\xffII", r"line is .*, expected printable ASCII"),
        (
            "100 2 360 720\n",
            "100 2 360 720\n# comment\x0cevil.dat 212 200 11 0 0 0 0 X\n",
            r"number of signals is 2, expected 3",
        ),
    ],
)
def test_header_damage_is_named(folder: Path, old: str, new: str, message: str) -> None:
    edit_header(folder, old, new)
    with pytest.raises(DataError, match=message) as caught:
        read_recording(folder, "100", expected=MITDB)
    assert str(folder) in str(caught.value)


def test_empty_garbage_and_missing_headers_are_refused(folder: Path) -> None:
    path = folder / "100.hea"
    for content in (b"", b"# only a comment\n", b"\x00" * 100, b"\xff\xfe" * 50, b"x" * 70000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"100\.hea: "):
            read_recording(folder, "100")
    path.unlink()
    with pytest.raises(DataError, match="no such header file"):
        read_recording(folder, "100")


@pytest.mark.parametrize("name", ["../100", "a/b", "", "100.hea", "s3://x", "..", "1\n"])
def test_record_names_that_are_paths_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match="record name"):
        read_recording(folder, name)


@pytest.mark.parametrize("name", ["100 (1)", "100+a", "day.1", "_100", "Übung"])
def test_files_that_were_renamed_are_read(folder: Path, name: str) -> None:
    wanted = read_recording(folder, "100")
    (folder / "100.hea").rename(folder / f"{name}.hea")
    if name == "_100":
        edit_header(folder, "100 2", "_100 2", name)
    found = read_recording(folder, name)
    assert found.name == name
    assert np.array_equal(found.counts, wanted.counts)


def test_a_record_line_of_another_record_is_refused(folder: Path) -> None:
    (folder / "100.hea").rename(folder / "101.hea")
    with pytest.raises(DataError, match=r"101\.hea: record name is '100', expected '101'"):
        read_recording(folder, "101")
    edit_header(folder, "100 2", "100.mat 2", "101")
    (folder / "101.hea").rename(folder / "a b.hea")
    with pytest.raises(DataError, match=r"record name is '100\.mat', expected 'a b'"):
        read_recording(folder, "a b")
    (folder / "a b.hea").rename(folder / "100.hea")
    assert read_recording(folder, "100").samples == SAMPLES


def test_names_too_long_for_a_file_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="has 5000 characters, expected a file name of at most 251"):
        read_recording(folder, "x" * 5000)


def test_a_signal_file_under_another_ending_is_named(folder: Path) -> None:
    (folder / "100.dat").rename(folder / "100.mat")
    for _ in range(2):
        edit_header(folder, "100.dat 212", "100 212")
    with pytest.raises(DataError, match=r"100\.mat is there: correct the file name in the header"):
        read_recording(folder, "100")


def test_matlab_files_end_at_their_largest_length(tmp_path: Path) -> None:
    """A MATLAB 4 file counts its columns in 32 bits with a sign."""
    (tmp_path / "r.hea").write_text(f"r 1 300 {2**31}\nr.mat 16+24 1000/mV 16 0 0 0 0 ECG\n")
    (tmp_path / "r.mat").write_bytes(b"\x1e\0\0\0" + bytes(40))
    with pytest.raises(DataError, match="length in samples is 2147483648, expected at most 21474"):
        read_recording(tmp_path, "r")


@pytest.mark.parametrize("size", [0, 1, 2159])
def test_truncated_samples_are_refused(folder: Path, size: int) -> None:
    path = folder / "100.dat"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=rf"100\.dat: size is {size}, expected 2160 bytes"):
        read_recording(folder, "100")


def test_longer_files_are_refused(folder: Path) -> None:
    path = folder / "100.dat"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"size is 2161, expected 2160"):
        read_recording(folder, "100")


@given(at=st.integers(0, 2159), flip=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_of_samples_is_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "bytes"
    if not folder.exists():
        write_record(folder)
    path = folder / "100.dat"
    good = path.read_bytes()
    try:
        path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
        with pytest.raises(DataError, match=r"(checksum|first sample) of signal"):
            read_recording(folder, "100")
    finally:
        path.write_bytes(good)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_changed_header_bytes_never_change_samples(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Damage gives DataError or the same samples (baseline aside, which nothing can check)."""
    folder = tmp_path_factory.getbasetemp() / "header"
    if not folder.exists():
        write_record(folder)
        (folder / "good.hea").write_bytes((folder / "100.hea").read_bytes())
    codes = read_good(folder)
    header = bytearray((folder / "good.hea").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(header) - 1))
        kind = data.draw(st.sampled_from(["set", "delete", "insert"]))
        byte = data.draw(st.one_of(st.sampled_from(b" 0123456789-/.\n#+x:()"), st.integers(0, 255)))
        if kind == "set":
            header[at] = byte
        elif kind == "delete":
            del header[at]
        else:
            header.insert(at, byte)
    (folder / "100.hea").write_bytes(header)
    try:
        found = read_recording(folder, "100", expected=Expected(leads=2))
    except DataError:
        return
    assert found.counts.shape == codes.shape
    shift = found.counts[:, :1].astype(np.int64) - codes[:, :1]
    assert np.array_equal(found.counts - shift, codes)
    assert found.rate_hz >= 1
    assert all(np.isfinite(gain) and gain > 0 for gain in found.counts_per_mv)


def read_good(folder: Path) -> np.ndarray:
    (folder / "100.hea").write_bytes((folder / "good.hea").read_bytes())
    return read_recording(folder, "100").counts.astype(np.int64)


def test_zero_checksums_are_taken_as_none_unless_expected(folder: Path) -> None:
    for line in (folder / "100.hea").read_text().splitlines()[1:3]:
        edit_header(folder, f" {line.split()[6]} 0 ", " 0 0 ")
    assert read_recording(folder, "100").samples == SAMPLES
    with pytest.raises(DataError, match=r"checksum of signal 0 \(MLII\) is \d+, expected 0"):
        read_recording(folder, "100", expected=MITDB)


def test_gain_of_zero_is_nominal_where_allowed(folder: Path) -> None:
    edit_header(folder, "212 200 11", "212 0 11")
    recording = read_recording(folder, "100", expected=Expected(uncalibrated=True))
    assert recording.counts_per_mv == (NOMINAL_GAIN, 200.0)
    assert not recording.calibrated


@pytest.mark.parametrize(
    ("gain", "per_mv", "baseline"),
    [("0.2/uV", 200.0, 1024), ("200000/V", 200.0, 1024), ("100(1000)", 100.0, 1000)],
)
def test_units_and_baseline(folder: Path, gain: str, per_mv: float, baseline: int) -> None:
    codes = read_recording(folder, "100").counts + 1024
    edit_header(folder, "212 200 11", f"212 {gain} 11")
    recording = read_recording(folder, "100")
    assert recording.counts_per_mv[0] == pytest.approx(per_mv)
    assert np.array_equal(recording.counts[0], codes[0] - baseline)
    assert recording.rails[0] == (0 - baseline, 2047 - baseline)


def made_16(folder: Path, rows: np.ndarray, bits: int = 16) -> None:
    """A one-lead record in format 16 with codes as given."""
    rows.astype("<i2").tofile(folder / "own.dat")
    total = int(rows.sum()) % 65536
    (folder / "own.hea").write_text(
        f"own 1 128 {rows.size}\nown.dat 16 200 {bits} 0 {rows[0]} {total} 0 ECG\n"
    )


def test_missing_samples_hold_the_last_good_one_and_are_marked(tmp_path: Path) -> None:
    made_16(tmp_path, np.array([-32768, 5, -32768, -32768, 7, -32768]))
    recording = read_recording(tmp_path, "own")
    assert recording.counts.tolist() == [[5, 5, 5, 5, 7, 7]]
    assert recording.missing is not None
    assert recording.missing.tolist() == [[True, False, True, True, False, True]]


def test_recordings_without_a_sample_are_refused(tmp_path: Path) -> None:
    made_16(tmp_path, np.full(6, -32768))
    with pytest.raises(DataError, match="all samples missing"):
        read_recording(tmp_path, "own")


def test_rails_hold_every_sample(tmp_path: Path) -> None:
    made_16(tmp_path, np.array([0, 511, -512]), bits=10)
    assert read_recording(tmp_path, "own").rails == ((-512, 511),)
    made_16(tmp_path, np.array([0, 512, -512]), bits=10)
    assert read_recording(tmp_path, "own").rails == ((-1024, 1023),)
    made_16(tmp_path, np.array([0, 512, -512]), bits=0)
    assert read_recording(tmp_path, "own").rails == ((-32768, 32767),)


def test_leads_of_one_name_are_numbered(folder: Path) -> None:
    edit_header(folder, "0 V1", "0 MLII")
    assert read_recording(folder, "100").lead_names == ("MLII", "MLII (2)")


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_formats_read_back_what_wfdb_wrote(tmp_path: Path, fmt: str) -> None:
    codes = np.random.default_rng(3).integers(-120, 120, (77, 3))
    wfdb.wrsamp(
        "own", fs=100, units=["mV"] * 3, sig_name=["a", "b", "c"], d_signal=codes,
        fmt=[fmt] * 3, adc_gain=[100.0] * 3, baseline=[0] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    assert np.array_equal(read_recording(tmp_path, "own").counts, codes.T)


def test_a_half_hour_record_reads_fast(mitdb_dir: Path) -> None:
    read_recording(mitdb_dir, "100")
    start = time.process_time()
    read_recording(mitdb_dir, "100", expected=MITDB)
    # 0.06 s measured; the bound leaves room for a busy machine.
    assert time.process_time() - start < 1.0

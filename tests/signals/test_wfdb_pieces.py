"""Records read piece by piece: what `read_recording` gives, in constant memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import wfdb

from beatlens.errors import DataError
from beatlens.signals import wfdb_pieces
from beatlens.signals.recording import Recording
from beatlens.signals.wfdb_files import read_recording
from beatlens.signals.wfdb_pieces import RecordingFile, open_record

from .wfdb_cases import edit_header, write_record

LOWEST = {"16": -(1 << 15), "24": -(1 << 23), "32": -(1 << 31), "80": -128, "212": -2048}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd number, so that format 212 is cut within its three bytes."""
    monkeypatch.setattr(wfdb_pieces, "PIECE", 101)


def assert_same(found: RecordingFile, wanted: Recording) -> None:
    """Facts and samples of all leads are those of the whole recording."""
    for name in ("name", "database", "rate_hz", "samples", "lead_names", "counts_per_mv", "rails",
                 "calibrated"):  # fmt: skip
        assert getattr(found, name) == getattr(wanted, name), name
    for row in range(len(wanted.lead_names)):
        parts = list(found.pieces(row))
        counts = np.concatenate([counts for counts, _ in parts])
        assert counts.dtype == np.int32
        np.testing.assert_array_equal(counts, wanted.counts[row])
        gaps = np.concatenate([np.zeros(len(c), bool) if m is None else m for c, m in parts])
        missing = np.zeros(wanted.samples, bool) if wanted.missing is None else wanted.missing[row]
        np.testing.assert_array_equal(gaps, missing)


@pytest.mark.parametrize("fmt", list(LOWEST))
def test_pieces_are_the_recording(tmp_path: Path, small_pieces: None, fmt: str) -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(-120, 120, (777, 3))
    codes[rng.random(codes.shape) < 0.2] = LOWEST[fmt]
    codes[:150, 1] = LOWEST[fmt]  # more than a piece, at the start
    codes[300:640, 2] = LOWEST[fmt]  # whole pieces
    wfdb.wrsamp(
        "own", fs=128, units=["mV"] * 3, sig_name=["a", "b", "c"], d_signal=codes,
        fmt=[fmt] * 3, adc_gain=[100.0] * 3, baseline=[7, 0, -3], write_dir=str(tmp_path),
    )  # fmt: skip
    wanted = read_recording(tmp_path, "own")
    assert wanted.missing is not None
    assert_same(open_record(tmp_path, "own"), wanted)


def test_pieces_of_a_real_record(mitdb_dir: Path) -> None:
    assert_same(
        open_record(mitdb_dir, "207", database="mitdb"),
        read_recording(mitdb_dir, "207", database="mitdb"),
    )


def test_matlab_files(tmp_path: Path, small_pieces: None) -> None:
    """As in the PhysioNet challenges: a MATLAB 4 matrix `val` [leads, samples] of int16 codes."""
    codes = np.random.default_rng(7).integers(-900, 900, (2, 1234)).astype("<i2")
    codes[1, 300:640] = LOWEST["16"]  # whole pieces without a sample
    matrix = np.array([30, 2, 1234, 0, 4], "<i4").tobytes() + b"val\0"
    (tmp_path / "A00001.mat").write_bytes(matrix + codes.tobytes(order="F"))
    first = codes[:, 0]
    (tmp_path / "A00001.hea").write_text(
        f"A00001 2 300 1234 05:05:15 1/05/2014\n"
        f"A00001.mat 16+24 1000/mV 16 0 {first[0]} 0 0 ECG\n"
        f"A00001.mat 16+24 1000/mV 16 0 {first[1]} 0 0 ECG2\n"
    )
    found = open_record(tmp_path, "A00001")
    assert_same(found, read_recording(tmp_path, "A00001"))
    assert (found.rate_hz, found.counts_per_mv) == (300, (1000.0, 1000.0))
    np.testing.assert_array_equal(np.concatenate([c for c, _ in found.pieces(0)]), codes[0])
    whole = np.concatenate([c for c, _ in found.pieces(1)])
    np.testing.assert_array_equal(whole[:300], codes[1, :300])
    np.testing.assert_array_equal(whole[300:640], codes[1, 299])
    damaged = bytearray((tmp_path / "A00001.mat").read_bytes())
    damaged[8] ^= 1  # the number of samples
    (tmp_path / "A00001.mat").write_bytes(damaged)
    with pytest.raises(DataError, match="MATLAB header"):
        open_record(tmp_path, "A00001")


def test_leads_are_found_by_name(tmp_path: Path) -> None:
    write_record(tmp_path)
    record = open_record(tmp_path, "100")
    assert record.lead("v1") == 1
    with pytest.raises(DataError, match=r"no lead 'II'; its leads are MLII, V1"):
        record.lead("II")


@pytest.mark.parametrize("at", [0, 1000, 2159])
def test_a_changed_byte_anywhere_is_refused_before_the_first_sample(
    tmp_path: Path, small_pieces: None, at: int
) -> None:
    write_record(tmp_path)
    data = bytearray((tmp_path / "100.dat").read_bytes())
    data[at] ^= 1
    (tmp_path / "100.dat").write_bytes(data)
    with pytest.raises(DataError, match=r"(checksum|first sample) of signal"):
        open_record(tmp_path, "100")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("360 720", "360 721", "size is 2160, expected 2163"),
        ("100.dat 212", "none.dat 212", "no such file"),
    ],
)
def test_damage_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_record(tmp_path)
    edit_header(tmp_path, old, new)
    with pytest.raises(DataError, match=message):
        open_record(tmp_path, "100")


def test_progress_reaches_the_end(tmp_path: Path, small_pieces: None) -> None:
    write_record(tmp_path)
    said: list[tuple[int, int]] = []
    open_record(tmp_path, "100", progress=lambda done, total: said.append((done, total)))
    assert said == [(min(n * 101, 720), 720) for n in range(1, 9)]


def test_memory_does_not_grow_with_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wfdb_pieces, "PIECE", 20_000)

    def peak(samples: int) -> int:
        codes = np.arange(samples) % 200
        codes.astype("<i2").tofile(tmp_path / "own.dat")
        total = int(codes.sum()) % 65536
        (tmp_path / "own.hea").write_text(
            f"own 1 128 {samples}\nown.dat 16 200 16 0 0 {total} 0 ECG\n"
        )
        tracemalloc.start()
        record = open_record(tmp_path, "own")
        assert sum(len(counts) for counts, _ in record.pieces(0)) == samples
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2_000)
    # The codes of the longer one alone are 4 MB.
    assert peak(1_000_000) < 2 * peak(40_000) < 2_000_000

"""Annotations: beats, rhythms, flutter, shutdown; damaged files are refused."""

from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import DataError
from beatlens.signals.annotations import (
    AAMI_CLASSES,
    BEAT_SYMBOLS,
    MAPPINGS,
    Annotations,
    Interval,
    aami_class,
    read_annotations,
    rhythm_mask,
    write_annotations,
)
from beatlens.signals.boundaries import find_boundaries

from .wfdb_cases import write_record

LENGTH = 720


def annotations(
    marks: list[tuple[int, str]], aux: dict[int, str] | None = None,
    subtype: dict[int, int] | None = None, length: int = 1000,
) -> Annotations:  # fmt: skip
    """Annotations from (sample, symbol) and what else they carry, by position."""
    return Annotations(
        name="made",
        length=length,
        sample=np.array([sample for sample, _ in marks], dtype=np.int64),
        symbol=np.array([symbol for _, symbol in marks], dtype="<U1"),
        subtype=np.array([(subtype or {}).get(at, 0) for at in range(len(marks))]),
        aux=tuple((aux or {}).get(at, "") for at in range(len(marks))),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_record(tmp_path)
    return tmp_path


def test_reads_beats_and_rhythm(folder: Path) -> None:
    found = read_annotations(folder, "100", "atr", LENGTH)
    assert found.beats.sample.tolist() == [20, 200, 380, 560]
    assert found.beats.symbol.tolist() == ["N", "V", "N", "A"]
    assert found.beats.classes().tolist() == ["N", "V", "N", "S"]
    assert len(found.beats) == 4
    assert found.aux[0] == "(N"
    assert found.rhythms == (Interval(9, LENGTH, "N"),)


def test_rhythms_run_to_the_next_label_or_the_end() -> None:
    found = annotations(
        [(10, "+"), (50, "N"), (100, "+"), (300, "+"), (300, "+"), (400, "+")],
        aux={0: "(N", 2: "(AFIB", 3: "(VT", 4: "(AFL", 5: "comment"},
    )
    assert found.rhythms == (
        Interval(10, 100, "N"),
        Interval(100, 300, "AFIB"),
        Interval(300, 1000, "AFL"),
    )
    mask = rhythm_mask(found, ("AFIB", "AFL"))
    assert mask.sum() == 900
    assert mask[100]
    assert not mask[99]


def test_flutter_runs_to_its_closing_mark_or_the_end() -> None:
    found = annotations([(10, "["), (20, "!"), (30, "]"), (40, "N"), (90, "["), (95, "!")])
    assert found.flutter == (Interval(10, 30, "["), Interval(90, 1000, "["))
    assert found.beats.symbol.tolist() == ["N"]


def test_shutdown_needs_both_bits() -> None:
    marks = [(10, "~"), (20, "~"), (30, "~"), (40, "~"), (50, "~"), (60, "~")]
    subtype = {0: 0x10, 1: 0x30, 2: 0x33, 3: 0x20, 4: -1, 5: 0}
    found = annotations(marks, subtype=subtype)
    assert [(i.start, i.end) for i in found.shutdown] == [(20, 30), (30, 40), (50, 60)]


def test_every_beat_symbol_has_a_class_in_both_mappings() -> None:
    for table in MAPPINGS.values():
        assert set(table) == set(BEAT_SYMBOLS)
        assert set(table.values()) == set(AAMI_CLASSES)
    differing = {s for s in BEAT_SYMBOLS if MAPPINGS["aami"][s] != MAPPINGS["bxb"][s]}
    assert differing == {"e", "j"}


def test_symbols_that_are_no_beats_have_no_class() -> None:
    with pytest.raises(DataError, match=r"\['\+', '~'\] are not beats"):
        aami_class(np.array(["N", "+", "~"]))


def test_the_sample_after_the_last_is_left_out(folder: Path) -> None:
    found = read_annotations(folder, "100", "atr", 560)
    assert found.beats.sample.tolist() == [20, 200, 380]
    assert found.sample.size == found.symbol.size == found.subtype.size == len(found.aux) == 4


def test_annotations_of_another_record_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"100\.atr: sample is 560, expected 0 to 498"):
        read_annotations(folder, "100", "atr", 499)


def test_missing_and_misnamed_annotations_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"100\.qrs: no such annotation file"):
        read_annotations(folder, "100", "qrs", LENGTH)
    for annotator in ("../atr", "", "a.b"):
        with pytest.raises(DataError, match="annotator"):
            read_annotations(folder, "100", annotator, LENGTH)
    for name in ("../100", "", "a/b"):
        with pytest.raises(DataError, match="record name"):
            read_annotations(folder, name, "atr", LENGTH)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "size is 0"),
        (b"abc", "size is 3"),
        (b"N 12 beats and no end mark", "end is b'rk', expected two zero bytes"),
        (b"\x05\x04\0\0\x05\x04\0\0", "position of the end mark is 2, expected 6"),
        # A skip of -5 samples, then a beat.
        (b"\x00\xec\xff\xff\xfb\xff\x00\x04\0\0", "sample is -5, expected 0 to 719"),
        # A beat at 10, then one 5 earlier.
        (b"\x0a\x04\x00\xec\xff\xff\xfb\xff\x00\x04\0\0", "sample is 5, expected 10 or later"),
        # Code 51 is not WFDB's.
        (b"\x05\xcc\0\0", "word at byte 0 is '0xcc05'"),
        # A note of 40 bytes that runs over the end.
        (b"\x05\x04\x28\xfcab\0\0", "word at byte 2|end is"),
    ],
)
def test_damaged_files_are_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "100.atr").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_annotations(folder, "100", "atr", LENGTH)


def test_a_file_without_annotations_is_read(folder: Path) -> None:
    (folder / "100.atr").write_bytes(b"\0\0")
    found = read_annotations(folder, "100", "atr", LENGTH)
    assert len(found.beats) == 0
    assert found.rhythms == found.flutter == found.shutdown == ()


@given(content=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_annotations_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "annotations"
    folder.mkdir(exist_ok=True)
    (folder / "x.atr").write_bytes(content + b"\0\0")
    try:
        found = read_annotations(folder, "x", "atr", LENGTH)
    except DataError:
        return
    assert (np.diff(found.sample) >= 0).all()
    assert ((found.sample >= 0) & (found.sample < LENGTH)).all()


def test_truncated_files_are_refused(folder: Path) -> None:
    path = folder / "100.atr"
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(DataError, match=r"100\.atr"):
            read_annotations(folder, "100", "atr", LENGTH)


def test_waves_are_grouped_and_gaps_are_marked() -> None:
    marks = [(1, "("), (3, "p"), (5, ")"), (7, "N"), (9, ")"), (11, "("), (12, "t"), (20, "N")]
    found = find_boundaries(annotations(marks))
    assert found.p.tolist() == [[1, 3, 5]]
    assert found.qrs.tolist() == [[-1, 7, 9], [-1, 20, -1]]
    assert found.t.tolist() == [[11, 12, -1]]
    assert find_boundaries(annotations([])).p.shape == (0, 3)


def test_reads_what_wfdb_wrote(tmp_path: Path) -> None:
    symbols = list(BEAT_SYMBOLS.replace("?", ""))
    samples = np.arange(len(symbols)) * 2000 + 7
    wfdb.wrann("x", "atr", samples, symbol=symbols, write_dir=str(tmp_path))
    found = read_annotations(tmp_path, "x", "atr", 100_000)
    assert found.sample.tolist() == samples.tolist()
    assert found.beats.symbol.tolist() == symbols


def timed(folder: Path, resolution: float, times: list[int], name: str = "x") -> None:
    symbols = ["N"] * len(times)
    wfdb.wrann(name, "atr", np.array(times), symbol=symbols, fs=resolution, write_dir=str(folder))


@pytest.mark.parametrize(
    ("resolution", "times", "wanted"),
    [
        (1000, [1000, 2000, 3000], [360, 720, 1080]),
        (360, [1000, 2000], [1000, 2000]),
        # 0.5, 1.5, 2.5 samples: halves go up.
        (720, [0, 1, 3, 5], [0, 1, 2, 3]),
        # 0.36, 1.44, 1.8 samples.
        (1000, [1, 4, 5], [0, 1, 2]),
        (250, [0, 25_000_000], [0, 36_000_000]),
        (359.98, [35_998, 2_000_000_000], [36_000, 2_000_111_117]),
    ],
)
def test_times_of_another_resolution_become_samples(
    tmp_path: Path, resolution: float, times: list[int], wanted: list[int]
) -> None:
    """The nearest sample, halves up: `t * rate / resolution + 0.5`, cut, as rdann of WFDB does."""
    timed(tmp_path, resolution, times)
    found = read_annotations(tmp_path, "x", "atr", 3_000_000_000, rate_hz=360)
    assert found.sample.tolist() == wanted


def test_the_rate_is_that_of_the_header_beside_the_file(folder: Path) -> None:
    timed(folder, 1000, [500, 1000], name="100")
    assert read_annotations(folder, "100", "atr", LENGTH).sample.tolist() == [180, 360]


def test_times_of_an_unknown_rate_are_refused(tmp_path: Path) -> None:
    timed(tmp_path, 1000, [500])
    with pytest.raises(DataError, match=r"1000 units a second, and there is no x\.hea .*rate_hz"):
        read_annotations(tmp_path, "x", "atr", LENGTH)


def test_times_beyond_the_record_after_conversion_are_refused(tmp_path: Path) -> None:
    timed(tmp_path, 100, [100, 300])
    with pytest.raises(DataError, match=r"sample is 1080, expected 0 to 719"):
        read_annotations(tmp_path, "x", "atr", LENGTH, rate_hz=360)


def comment(text: str, code: int = 22, time: int = 0) -> bytes:
    """An annotation of a code, with a note."""
    raw = text.encode("ascii")
    words = [(code << 10) | time, (63 << 10) | len(raw)]
    return b"".join(w.to_bytes(2, "little") for w in words) + raw + b"\0" * (len(raw) % 2)


@pytest.mark.parametrize(
    "content",
    [
        comment("## time resolution: 0"),
        comment("## time resolution: many"),
        comment("## time resolution: -5"),
        comment("## time resolution: 1e3"),
        comment("## time resolution: 360") + comment("## time resolution: 1000"),
        comment("## not a definition"),
        comment("## not a definition", code=28) + comment("a comment"),
    ],
)
def test_comments_that_define_nothing_are_refused(tmp_path: Path, content: bytes) -> None:
    """Some of them `wfdb` never comes back from."""
    (tmp_path / "x.atr").write_bytes(content + b"\x05\x04\0\0")
    with pytest.raises(DataError, match=r"x\.atr: (comment at time 0|note of annotation 1) is"):
        read_annotations(tmp_path, "x", "atr", LENGTH, rate_hz=360)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = annotations(
        [(0, "+"), (3, "N"), (3, "V"), (500_000, "~"), (500_400, "A")],
        aux={0: "(AFIB", 4: "a note"}, subtype={3: 0x31}, length=600_000,
    )  # fmt: skip
    path = write_annotations(tmp_path / "new", "dev", made, 360)
    assert path == tmp_path / "new" / "made.dev"
    found = read_annotations(path.parent, "made", "dev", made.length, rate_hz=360)
    assert found.sample.tolist() == made.sample.tolist()
    assert found.symbol.tolist() == made.symbol.tolist()
    assert found.subtype.tolist() == made.subtype.tolist()
    assert found.aux == made.aux
    assert wfdb.rdann(str(path.with_suffix("")), "dev").fs == 360


@pytest.mark.parametrize(
    ("marks", "annotator", "message"),
    [([], "dev", "no annotation to write"), ([(1, "N")], "d/v", "annotator 'd/v'"),
     ([(1, "z")], "dev", "annotation codes"), ([(2000, "N")], "dev", "sample"),
     ([(9, "N"), (8, "N")], "dev", "time order")],
)  # fmt: skip
def test_what_cannot_be_written_leaves_no_file(
    tmp_path: Path, marks: list[tuple[int, str]], annotator: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_annotations(tmp_path, annotator, annotations(marks), 360)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_annotations(tmp_path / "file", "dev", annotations([(1, "N")]), 360)

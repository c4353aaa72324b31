"""EC57's comparison, held against what the WFDB program bxb counted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import DataError
from beatlens.evaluate.ec57 import BeatCounts, Rate, compare_beats
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.databases import find_database

RECORDS = ("100", "105", "114", "200", "201", "203", "207", "208", "213", "222", "232", "233")
RATE = 360
START = 300 * RATE
DT = 54


def said(*marks: tuple[int, str] | tuple[int, str, int], length: int = 2 * START) -> Annotations:
    """Annotations of (sample, symbol, subtype)."""
    samples = np.array([mark[0] for mark in marks], np.int64)
    symbols = np.array([mark[1] for mark in marks], dtype="<U1")
    subtypes = np.array([mark[2] if len(mark) == 3 else 0 for mark in marks], np.int64)
    return Annotations("made", length, samples, symbols, subtypes, ("",) * len(marks))


def counted(reference: Annotations, test: Annotations) -> dict[str, int]:
    return dict(compare_beats(reference, test, RATE).pairs)


@pytest.mark.parametrize("record", RECORDS)
def test_counts_are_those_of_bxb(record: str, shared_dir: Path, mitdb_dir: Path) -> None:
    cases = json.loads((shared_dir / "ec57" / "cases.json").read_text())["cases"]
    (case,) = [case for case in cases if case["record"] == record]
    reference = find_database("mitdb", mitdb_dir.parent).annotations(record)
    test = read_annotations(
        shared_dir / "ec57", record, case["annotator"], reference.length, rate_hz=RATE
    )
    found = compare_beats(reference, test, RATE, mapping="bxb")
    assert dict(found.pairs) == case["counts"]
    rates = {"QRS": found.qrs, "VEB": found.veb, "SVEB": found.sveb}
    for line in case["statistics"]:
        kind, what, part, whole = re.fullmatch(
            r"(\w+) (sensitivity|positive predictivity): .*\((\d+)/(\d+)\)", line
        ).groups()
        rate = rates[kind]
        rest = rate.missed if what == "sensitivity" else rate.wrong
        assert (rate.found, rate.found + rest) == (int(part), int(whole)), line


def test_what_is_excused() -> None:
    counts = BeatCounts({"FV": 1, "QV": 2, "NV": 4, "OV": 8, "XV": 16, "SV": 32, "VX": 64})
    assert counts.veb == Rate(0, 64, 4 + 8 + 16 + 32)
    counts = BeatCounts({"QS": 1, "FS": 2, "XS": 4, "SO": 8, "SS": 16})
    assert counts.sveb == Rate(16, 8, 6)
    assert math.isnan(BeatCounts({}).qrs.sensitivity)


def test_beats_before_five_minutes_are_ignored() -> None:
    both = said((START - 400, "V"), (START + 400, "N"))
    assert counted(both, both) == {"NN": 1}


def test_a_beat_before_the_start_belongs_to_one_behind_it() -> None:
    reference = said((START + 10, "N"), (START + 300, "N"))
    test = said((START - 20, "V"), (START + 300, "N"))
    assert counted(reference, test) == {"NV": 1, "NN": 1}
    closer = said((START - 20, "V"), (START + 25, "N"), (START + 300, "N"))
    assert counted(reference, closer) == {"NN": 2}


def test_a_beat_behind_the_start_belongs_to_one_before_it() -> None:
    reference = said((START - 10, "N"), (START + 300, "N"))
    test = said((START + DT, "V"), (START + 300, "N"))
    assert counted(reference, test) == {"NN": 1}
    later = said((START + DT + 1, "V"), (START + 300, "N"))
    assert counted(reference, later) == {"NN": 1, "OV": 1}


@pytest.mark.parametrize(("apart", "pairs"), [(DT, {"NV": 1}), (DT + 1, {"NO": 1, "OV": 1})])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_window_is_inclusive(apart: int, pairs: dict[str, int], sign: int) -> None:
    reference, test = said((START + 1000, "N")), said((START + 1000 + sign * apart, "V"))
    assert counted(reference, test) == pairs


def test_the_nearer_of_two_is_the_partner() -> None:
    reference = said((START + 1000, "N"))
    test = said((START + 960, "V"), (START + 1010, "A"))
    assert counted(reference, test) == {"OV": 1, "NS": 1}


def test_flutter_is_skipped_and_its_waves_are_not_counted() -> None:
    reference = said(
        (START + 100, "N"), (START + 1000, "["), (START + 1500, "V"), (START + 2000, "]"),
        (START + 3000, "!"),
    )  # fmt: skip
    test = said((START + 100, "N"), (START + 1500, "V"), (START + 3000, "N"))
    assert counted(reference, test) == {"NN": 1}


def test_shutdown_is_no_miss() -> None:
    reference = said((START + 1000, "V"), (START + 5000, "~", 0), (START + 6000, "N"))
    test = said((START + 900, "~", 0x30), (START + 1200, "~", 0), (START + 6000, "N"))
    assert counted(reference, test) == {"VX": 1, "NN": 1}
    assert counted(test, reference) == {"XV": 1, "NN": 1}


def test_escape_beats_by_mapping() -> None:
    both = said((START + 1000, "e"), (START + 2000, "j"))
    assert dict(compare_beats(both, both, RATE, "aami").pairs) == {"NN": 2}
    assert dict(compare_beats(both, both, RATE, "bxb").pairs) == {"SS": 2}


def test_of_another_record() -> None:
    with pytest.raises(DataError, match="216000 samples, test 400"):
        compare_beats(said(), said(length=400), RATE)
    with pytest.raises(DataError, match="window 0 s"):
        compare_beats(said(), said(), RATE, window_s=0)


beat_lists = st.lists(
    st.tuples(st.integers(START - 100, START + 2000), st.sampled_from("NVAF/!")), max_size=30
).map(lambda marks: said(*sorted(marks)))


@given(beat_lists, beat_lists)
def test_every_beat_is_counted_once(reference: Annotations, test: Annotations) -> None:
    """But those at the start that may belong to the other side of it, and flutter waves' pairs."""
    pairs = compare_beats(reference, test, RATE).pairs
    for side, of in ((0, reference), (1, test)):
        listed = sum(n for pair, n in pairs.items() if pair[side] not in "OX")
        behind = int((of.sample >= START).sum())
        waves = int(((reference.symbol == "!").sum()) + (test.symbol == "!").sum())
        assert behind - waves - 1 <= listed <= behind + 1


@given(beat_lists)
def test_a_device_that_is_right(reference: Annotations) -> None:
    labels = dict(zip(reference.sample.tolist(), reference.symbol.tolist(), strict=True))
    unique = said(*labels.items())
    pairs = counted(unique, unique)
    assert all(pair[0] == pair[1] for pair in pairs)

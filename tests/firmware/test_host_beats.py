"""Beats from the firmware's C on this machine: bit for bit what Python finds."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.c_source.plan import lay_out
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.signals import morphology
from beatlens.signals.beat_features import FEATURES, KEPT
from beatlens.signals.databases import find_database
from beatlens.signals.morphology import REMEMBERED, SEEN
from beatlens.signals.rr_features import BINS
from beatlens.signals.rr_irregularity import DISTANCES
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS, simulate_patient
from beatlens.tasks.beats.c_task import LATE, beat_memory_bytes, beat_task_source
from beatlens.tasks.beats.chain import HIDING
from beatlens.tasks.beats.rhythm_kinds import KINDS, Role
from beatlens.tasks.beats.rule import BEAT_LIMITS

from .beat_bundles import beat_bundle

RATE_HZ = 360
ENGINE = Path(__file__).parents[2] / "firmware_export"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return beat_bundle(tmp_path_factory.mktemp("bundle"))


LOUD = COUNTS_PER_MV / 2


def findings(
    bundle: Bundle,
    engine: str,
    pieces: list[np.ndarray | int],
    rate_hz: int = RATE_HZ,
    limits: Limits | None = None,
    counts_per_mv: float = COUNTS_PER_MV,
) -> list[Finding]:
    """What a stream gives for pieces of counts, and gaps of so many samples."""
    stream = Stream(
        bundle,
        rate_hz,
        counts_per_mv,
        rails=RAILS,
        engine=engine,
        limits=limits,  # type: ignore[arg-type]
    )
    found = []
    for piece in pieces:
        found += stream.gap(piece) if isinstance(piece, int) else stream.push(piece)
    return found + stream.flush()


def check_same(mine: list[Finding], theirs: list[Finding]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        for field in fields(Finding):
            a, b = getattr(one, field.name), getattr(other, field.name)
            same = np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
            assert same, (one.time_s, field.name, a, b)


def counts_of(seed: int, seconds: int = 60) -> np.ndarray:
    return simulate_patient(seed, seconds).recording.counts[0]


@pytest.mark.parametrize("seed", range(4))
def test_simulated_hearts(bundle: Bundle, seed: int) -> None:
    counts = counts_of(seed)
    found = findings(bundle, "c", [counts])
    check_same(found, findings(bundle, "simulator", [counts]))
    assert sum(f.assessable for f in found) > 30


def test_pieces_of_any_size_and_gaps(bundle: Bundle) -> None:
    counts = counts_of(5, 90)
    pieces = [*np.split(counts[:12_000], 17 * np.arange(1, 700)), 5000, counts[12_000:20_000], 1,
              counts[20_000:20_010], 400, counts[20_010:]]  # fmt: skip
    check_same(findings(bundle, "c", pieces), findings(bundle, "simulator", pieces))


def test_silence_saturation_and_a_beat_long_after(bundle: Bundle) -> None:
    counts = counts_of(6, 100).copy()
    counts[9000:30_000] = counts[9000]
    counts[33_000:33_400] = RAILS[1]
    found = findings(bundle, "c", [counts])
    check_same(found, findings(bundle, "simulator", [counts]))
    assert {f.assessable for f in found} == {True, False}


def test_intervals_are_known_where_no_beat_can_be_hidden(bundle: Bundle) -> None:
    """Not over a gap, a lead that is off or a sensor at its rails; a few samples hide nothing."""
    counts = counts_of(6, 100).copy()
    counts[9000:14_000] = counts[9000]
    counts[18_000:18_300] = RAILS[1]
    counts[22_000:22_060] = RAILS[0]
    pieces = [counts[:28_000], 2000, counts[28_000:]]
    found = findings(bundle, "c", pieces)
    check_same(found, findings(bundle, "simulator", pieces))
    gone = [(at / RATE_HZ, end / RATE_HZ) for at, end in (
        (9000, 14_000), (18_000, 18_300), (28_000, 30_000)
    )]  # fmt: skip
    assert found[0].rr_s is None
    for before, beat in pairwise(found):
        if any(before.time_s <= at and end <= beat.time_s for at, end in gone):
            assert beat.rr_s is None
        elif all(beat.time_s <= at or end <= before.time_s for at, end in gone):
            assert beat.rr_s == beat.time_s - before.time_s
    assert 4 <= sum(beat.rr_s is None for beat in found) <= 8


def test_a_pause_longer_than_what_is_kept_of_the_signal(bundle: Bundle) -> None:
    """The signal goes on without a beat for 20 s, once of a lead that is on, once with it off."""
    counts, at = counts_of(8, 60).copy(), np.arange(20 * RATE_HZ)
    counts[7200:14_400] = np.round(60 * np.sin(at / 60))
    counts[14_400:15_000] = counts[14_399]
    found = findings(bundle, "c", [counts])
    check_same(found, findings(bundle, "simulator", [counts]))
    assert max(beat.rr_s or 0 for beat in found) < 20
    counts[14_400:15_000] = np.round(60 * np.sin(at[:600] / 60))
    found = findings(bundle, "c", [counts])
    check_same(found, findings(bundle, "simulator", [counts]))
    assert max(beat.rr_s or 0 for beat in found) > 20


def loud(seed: int, gain: int, seconds: int = 60) -> np.ndarray:
    """A simulated heart with wide beats, several times as large from 10 s on, just inside the rails
    of a sensor that gives `LOUD` counts per mV."""
    counts = simulate_patient(seed, seconds, pvc_per_minute=15).recording.counts[0].astype(np.int64)
    counts[10 * RATE_HZ :] *= gain
    return np.clip(counts, RAILS[0] + 1, RAILS[1] - 1).astype(np.int16)


@pytest.mark.parametrize("gain", [2, 3, 5])
@pytest.mark.parametrize("limits", [None, Limits(), Limits(clipped=0.3, clipped_warning=0.0)])
def test_clipped_beats(tmp_path: Path, gain: int, limits: Limits | None) -> None:
    """A clipped beat is decided up to the limit, with a warning, and is never S."""
    bundle, counts = beat_bundle(tmp_path, likely="s"), loud(7, gain)
    found = findings(bundle, "c", [counts], limits=limits, counts_per_mv=LOUD)
    check_same(found, findings(bundle, "simulator", [counts], limits=limits, counts_per_mv=LOUD))
    chosen, span = limits or BEAT_LIMITS, 136
    for beat in (one for one in found if one.assessable):
        clipped = sum(
            float(r.split()[2]) for r in beat.quality_notes if r.startswith("clipped for")
        )
        samples = round(clipped * 128)  # of hundredths of a second: one may be lost
        assert samples <= chosen.clipped * span + 1
        flagged = "clipped" in beat.warnings
        assert flagged <= (samples >= chosen.clipped_warning * span - 1)
        assert flagged or samples <= chosen.clipped_warning * span + 1
        assert (beat.class_name == "s") == (not flagged)
    flagged_beats = sum("clipped" in beat.warnings for beat in found)
    assert (flagged_beats == 0) if limits == Limits() else (flagged_beats > 0 or gain == 2)


def test_an_explanation_of_a_clipped_beat_leaves_s_out(tmp_path: Path) -> None:
    found = findings(
        beat_bundle(tmp_path, likely="s"), "simulator", [loud(7, 3)], counts_per_mv=LOUD
    )
    clipped = next(beat for beat in found if "clipped" in beat.warnings)
    scores = clipped.scores()
    gap = sum(part.logits for part in clipped.explain())
    mine = clipped.classes.index(clipped.class_name or "")
    rest = [i for i in range(4) if i not in (mine, 1)]
    second = max(rest, key=lambda i: scores[i])
    assert scores.argmax() == 1
    assert gap == pytest.approx(scores[mine] - scores[second])


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.5, 7.0, 9.0])
def test_streams_that_end_early(bundle: Bundle, seconds: float) -> None:
    counts = counts_of(7, 20)[2000 : 2000 + int(seconds * RATE_HZ)]
    check_same(findings(bundle, "c", [counts]), findings(bundle, "simulator", [counts]))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 6000), min_size=1, max_size=6),
    st.sampled_from([125, 250, 360, 512]),
)
def test_noise_of_any_kind(bundle: Bundle, seed: int, lengths: list[int], rate_hz: int) -> None:
    rng = np.random.default_rng(seed)
    pieces: list[np.ndarray | int] = []
    for length in lengths:
        size = int(rng.choice([3, 60, 1000]))
        walk = rng.integers(-size, size + 1, length).cumsum() % 2000 - 1000
        pieces += [walk.astype(np.int16), int(rng.integers(0, 500))]
    check_same(
        findings(bundle, "c", pieces, rate_hz), findings(bundle, "simulator", pieces, rate_hz)
    )


@pytest.mark.parametrize("record", ["119", "201", "232"])
def test_real_hearts(bundle: Bundle, data_dir: Path, record: str) -> None:
    recording = find_database("mitdb", data_dir).read(record)
    counts = recording.counts[recording.lead("MLII")][: 300 * RATE_HZ].astype(np.int16)
    found = findings(bundle, "c", [counts])
    check_same(found, findings(bundle, "litert", [counts]))
    assert len(found) > 200


def test_constants_in_c_are_those_of_python() -> None:
    header = (ENGINE / "include" / "bl_features.h").read_text()
    found = {name: int(value) for name, value in re.findall(r"#define (BL_\w+) (\d+)", header)}
    assert found["BL_FEATURES"] == len(FEATURES)
    assert found["BL_FEATURE_BINS"] == BINS
    assert found["BL_FEATURE_DISTANCES"] == DISTANCES
    assert found["BL_FEATURE_BEATS"] == REMEMBERED
    assert found["BL_FEATURE_BEAT_SAMPLES"] == SEEN
    # The samples around a beat that is found as late as can be are still there.
    assert min(found["BL_FEATURE_SAMPLES"], KEPT) >= LATE + morphology.BEFORE + morphology.SHIFT


def test_roles_and_settings_of_rhythms_are_in_the_task(bundle: Bundle) -> None:
    source = beat_task_source(bundle, "wrist").task.source
    assert "const uint8_t wrist_roles[] = {0, 1, 2, 3};" in source
    assert "const bl_rhythm_settings wrist_rhythms = {50, 55, 100, 95, 100, 256, 3};" in source
    header = (ENGINE / "include" / "bl_rhythm.h").read_text()
    assert "#define BL_RHYTHM_DEFAULTS {50, 55, 100, 95, 100, 256, 3}" in header
    kinds = re.findall(r"BL_RHYTHM_([A-Z_]+) = (\d+)", header)
    names = {int(number): name.lower() for name, number in kinds}
    assert [names[n] for n in range(len(KINDS))] == [
        kind.removesuffix("_rhythm") for kind in KINDS
    ]  # fmt: skip
    roles = re.findall(r"BL_ROLE_([A-Z]+) = (\d+)", header)
    assert {name: int(number) for name, number in roles} == {one.name: one.value for one in Role}
    beats = (ENGINE / "include" / "bl_beats.h").read_text()
    assert f"#define BL_BEATS_HIDING {HIDING} " in beats


def test_what_the_generator_refuses(bundle: Bundle) -> None:
    graph = read_tflite(bundle.tflite)
    with pytest.raises(ModelError, match="R peaks that may wait for their evidence, expected at"):
        beat_task_source(bundle, "wrist", plan=lay_out(graph, 1024))
    strips = Bundle.load(Path(__file__).parents[2] / "models" / "strips" / "bundle")
    with pytest.raises(ModelError, match="is of kind 'windows', expected one of beats"):
        beat_task_source(strips, "wrist")


def test_the_header_says_how_much_memory_a_stream_needs(bundle: Bundle) -> None:
    plan = lay_out(read_tflite(bundle.tflite))
    header = beat_task_source(bundle, "wrist", plan=plan).task.header
    assert "enum { WRIST_N, WRIST_S, WRIST_V, WRIST_F }" in header
    assert "extern const uint8_t wrist_roles[4];" in header
    without = int(header.split("(((")[1].split("u")[0])
    assert beat_memory_bytes(bundle, plan, 36) == -(-(without + 72) // 4) * 4

"""What a page is made of: reasons that sum up, quality, counts, strips, traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.ecg_page.beat_words import describe_feature
from beatlens.ecg_page.collect import BeatsCollected, EvidenceTrack, SpansCollected, TopFindings
from beatlens.ecg_page.lead_monitor import LeadMonitor, SignalQuality
from beatlens.ecg_page.overview import tick_step
from beatlens.ecg_page.page import About, render_page
from beatlens.ecg_page.paper import trace_points
from beatlens.ecg_page.reasons import explain_beat, explain_span, waves
from beatlens.ecg_page.signal_parts import read_parts
from beatlens.ecg_page.strips import choose_strips
from beatlens.ecg_page.summary import summarise
from beatlens.ecg_page.words import mark_letters
from beatlens.errors import DataError
from beatlens.runtime.finding import Finding
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recorded_at import recorded_at
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE

from .records import RATE, Page, ectopic_counts, released

pytestmark = pytest.mark.export
SECONDS = 90


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return ectopic_counts(SECONDS)


@pytest.fixture(scope="module")
def beats(counts: np.ndarray) -> list[Finding]:
    return list(released("beats").explain(counts, RATE, 200.0))


@pytest.fixture(scope="module")
def spans(counts: np.ndarray) -> list[Finding]:
    return list(released("strips").explain(counts, RATE, 200.0, hop_s=10.0))


def collected_beats(beats: list[Finding]) -> BeatsCollected:
    collected = BeatsCollected(released("beats"), SECONDS)
    for finding in beats:
        collected.take(finding)
    return collected


def test_parts_of_a_beat_sum_to_the_difference_of_its_scores(beats: list[Finding]) -> None:
    ectopic = [f for f in beats if f.class_name not in (None, "n")]
    assert len(ectopic) > 5
    for finding in ectopic:
        reasons = explain_beat(finding, "n")
        scores = dict(zip(finding.classes, finding.scores(), strict=True))
        total = sum(part.logits for part in reasons.parts)
        assert total == pytest.approx(scores[str(finding.class_name)] - scores["n"], abs=1e-6)
        assert reasons.total == pytest.approx(total)
        assert reasons.total > 0


def test_segments_of_a_span_sum_to_its_logit_above_the_threshold(spans: list[Finding]) -> None:
    found = [(f, name) for f in spans for name in f.predicted]
    assert found
    for finding, name in found:
        reasons = explain_span(finding, name, [])
        above = finding.scores()[finding.classes.index(name)]
        assert sum(part.logits for part in reasons.parts) == pytest.approx(above)


def test_what_is_not_assessable_has_no_reasons() -> None:
    finding = Finding(
        peak_s=1.0, start_s=0.5, end_s=1.5, assessable=False, quality_notes=("flat",), quality=0.0
    )
    with pytest.raises(DataError, match="no decision"):
        explain_beat(finding, "n")


@pytest.mark.parametrize(
    ("feature", "ratio", "words"),
    [
        ("prematurity", 11 / 16, "early by 28 %"),
        ("prematurity", 1.0, "on time"),
        ("prematurity", 20 / 16, "late by 28 %"),
        ("compensatory_pause", 22 / 16, "pause after it, 41 % longer than the mean RR"),
        ("compensatory_pause", 12 / 16, "next beat 22 % sooner than the mean RR"),
        ("rr_over_mean", 12 / 16, "RR before it 22 % shorter than the mean of the last 32"),
        ("rr_before_over_after", 1.0, "RR before it as long as the RR after it"),
        ("morphology_similarity", 1.0, "shape of the recent beats (like 100 % of the last 16)"),
        ("morphology_similarity", 0.0, "shape unlike the recent beats (like 0 % of the last 16)"),
        ("rr_variability", 0.15, "irregular RR intervals (median change 15 % of the mean)"),
        ("rr_variability", 0.02, "regular RR intervals (median change 2 % of the mean)"),
        ("rr_variability", 0.07, "RR intervals (median change 7 % of the mean)"),
        (
            "rr_over_long_mean",
            12 / 16,
            "RR before it 22 % shorter than the mean of the last minute",
        ),
        ("cluster_share", 0.0, "a shape that the last minutes did not have"),
        ("cluster_share", 0.9, "shape of 90 % of the beats of the last minutes"),
        ("cluster_rr", 11 / 16, "beats of this shape come 28 % early"),
        ("usual_similarity", 31 / 16, "correlation with the usual beat 0.97"),
        ("qrs_width", 10.0, "QRS 78 ms wide at half height"),
        ("qrs_steepness", 8 / 32, "steepest slope of the QRS 27 % of its height in 8 ms"),
        ("qrs_area", 31 / 8, "QRS area 3.9 times the usual one"),
        ("t_wave", 1.0, "T wave as usual"),
        ("t_wave", 0.5, "T wave more against the QRS than usual, by 50 % of its height"),
        (
            "p_wave",
            10 / 16,
            "correlation of what is before the QRS with the usual \N{MINUS SIGN}0.34",
        ),
        ("cluster_evidence", 1.5, "evidence of the last beats of this shape"),
        ("a new one", 0.5, "a new one 0.50"),
    ],
)
def test_words_of_features(feature: str, ratio: float, words: str) -> None:
    assert describe_feature(feature, ratio) == words


@pytest.mark.parametrize("feature", [*FEATURES, CLUSTER_EVIDENCE])
def test_every_feature_has_words(feature: str) -> None:
    assert feature not in describe_feature(feature, 1.0)


@pytest.mark.parametrize(
    ("span", "name"),
    [
        ((-0.06, 0.08), "QRS"),
        ((-0.2, -0.1), "P wave's place"),
        ((-0.5, -0.3), "signal before the beat"),
        ((0.1, 0.4), "ST and T"),
        ((-0.06, 0.45), "QRS, ST and T"),
        ((0.5, 0.7), "between the waves"),
    ],
)
def test_waves_by_time_from_the_r_peak(span: tuple[float, float], name: str) -> None:
    assert waves(*span) == name


def test_evidence_is_kept_exactly(beats: list[Finding]) -> None:
    track = collected_beats(beats).track
    for finding in beats[::7]:
        start, evidence = track.between(finding.start_s, finding.end_s)
        assert start == pytest.approx(finding.start_s)
        assert finding.evidence is not None
        assert np.array_equal(np.float32(evidence), finding.evidence)
    assert 0 < track.used_s < SECONDS


def test_columns_that_no_decision_used_are_nan() -> None:
    track = EvidenceTrack(released("beats"), 10)
    scale = released("beats").tensors["evidence"].scale
    track.add(1.0, np.full((4, 16), 3 * scale, np.float32))
    start, evidence = track.between(0.5, 2.5)
    assert start == 0.5
    assert np.isnan(evidence[0]).tolist() == [True] * 8 + [False] * 16 + [True] * 8
    assert np.nanmax(evidence) == pytest.approx(3 * scale)


def test_one_finding_in_ten_seconds_and_most_evidence_first(beats: list[Finding]) -> None:
    most: TopFindings = TopFindings()
    for time_s, score in ((1.0, 5.0), (2.0, 7.0), (11.0, 6.0), (30.0, 1.0), (900.0, 4.0)):
        most.offer(score, time_s, beats[0])
    assert [time for time, _ in most.best(9)] == [2.0, 900.0, 30.0]
    assert [time for time, _ in most.best(2, spread_s=60.0)] == [2.0, 900.0]
    for number in range(10_000):
        most.offer(number, 1000.0 + 20 * number, beats[0])
    assert most.best(1)[0][0] == 1000.0 + 20 * 9999
    assert len(most._of) <= 201, "memory does not grow with the recording"


def test_runs_and_couplets(beats: list[Finding]) -> None:
    """Findings put in an order: V V N V V V N (not assessable) V V."""
    by_class = {
        name: next(f for f in beats if f.class_name == name and not f.warnings) for name in "nv"
    }
    refused = Finding(
        peak_s=0.0,
        start_s=0.0,
        end_s=0.0,
        assessable=False,
        quality_notes=("gap: 1 s",),
        quality=0.0,
    )
    collected = BeatsCollected(released("beats"), SECONDS)
    for number, name in enumerate("vvnvvvn-v-v"):
        finding = refused if name == "-" else by_class[name]
        collected.take(_at(finding, 1.0 + number))
    summary = summarise(collected, SignalQuality(np.zeros((5, SECONDS), np.uint8)), np.zeros(0))
    counted = summary.classes[2]
    assert (counted.count, counted.couplets, counted.runs, counted.longest) == (7, 1, 1, 3)
    assert counted.longest_at_s == 4.0
    assert (summary.decided, summary.undecided, dict(summary.notes)) == (9, 2, {"gap": 2})
    run = collected.longest[2]
    assert run is not None
    assert (run.beats, run.start_s, run.end_s) == (3, 4.0, 6.0)


def _at(finding: Finding, time_s: float) -> Finding:
    values = {**vars(finding), "peak_s": time_s, "start_s": 1.0, "end_s": 2.0}
    return Finding(**{name: values[name] for name in Finding.__dataclass_fields__})


def test_episodes_are_spans_in_a_row(spans: list[Finding]) -> None:
    collected = SpansCollected(released("strips"), SECONDS)
    for finding in spans:
        collected.take(finding)
    summary = summarise(collected, SignalQuality(np.zeros((5, SECONDS), np.uint8)), np.zeros(0))
    for number, counted in enumerate(summary.classes):
        found = collected.decisions[:, number] == 1
        assert counted.count == found.sum()
        assert counted.seconds == pytest.approx(10 * found.sum())
        assert counted.runs == int((np.diff(found.astype(int), prepend=0) == 1).sum())


def test_the_monitor_finds_what_the_detector_finds(counts: np.ndarray) -> None:
    front_end = FrontEnd(RATE, 200.0)
    monitor = LeadMonitor(front_end, SECONDS, find_peaks=True)
    for start in range(0, len(counts), 5000):
        monitor.take(counts[start : start + 5000], None)
    quality = monitor.end()
    out = front_end.run(counts)
    assert monitor.peaks == (detect_qrs(out.x) / 128).tolist()
    assert quality.counts.shape == (5, SECONDS)
    assert quality.breaks == []
    assert quality.seconds("clipped") == pytest.approx(out.clipped.sum() / 128)


def test_gaps_and_a_lead_that_is_off_are_breaks(counts: np.ndarray) -> None:
    bad = counts.copy()
    bad[50 * RATE : 60 * RATE] = 0
    missing = np.zeros(len(bad), bool)
    missing[20 * RATE : 25 * RATE] = True
    monitor = LeadMonitor(FrontEnd(RATE, 200.0), SECONDS, find_peaks=True)
    for _ in monitor.watch(iter([(bad[:9000], missing[:9000]), (bad[9000:], missing[9000:])])):
        pass
    quality = monitor.end()
    assert quality.seconds("missing") == pytest.approx(5.0)
    (gap, off) = quality.breaks
    assert gap == (20.0, 25.0)
    assert off[0] == pytest.approx(50, abs=1.5)
    assert off[1] == pytest.approx(60, abs=1.5)
    assert not any(20.0 < peak < 25.0 for peak in monitor.peaks)
    assert any(peak > 60 for peak in monitor.peaks)


def test_a_segment_shorter_than_a_sample_at_128_hz_is_nothing() -> None:
    monitor = LeadMonitor(FrontEnd(RATE, 200.0), 1.0, find_peaks=True)
    missing = np.ones(RATE, bool)
    missing[100] = False
    monitor.take(np.zeros(RATE, np.int16), missing)
    assert monitor.end().counts[0].sum() >= 127


def test_strips_lie_in_the_recording_and_hold_their_beat(beats: list[Finding]) -> None:
    collected = collected_beats(beats)
    strips = choose_strips(collected, collected.times_s, 3)
    assert {strip.class_name for strip in strips} >= {"v", ""}
    for strip in strips:
        assert 0 <= strip.start_s < strip.end_s <= SECONDS
        assert strip.end_s - strip.start_s <= 10
        if strip.class_name:
            (focus,) = [mark for mark in strip.marks if mark.focus]
            assert focus.letter == strip.class_name.upper()
    for name in "sv":
        starts = [strip.start_s for strip in strips if strip.class_name == name]
        assert len(starts) <= 3


def test_a_beat_at_the_very_end_is_on_its_strip(beats: list[Finding]) -> None:
    ectopic = next(f for f in beats if f.class_name == "v")
    collected = BeatsCollected(released("beats"), SECONDS + 0.4)
    collected.take(_at(ectopic, SECONDS + 0.35))
    (strip,) = choose_strips(collected, collected.times_s, 3)
    assert strip.end_s == pytest.approx(SECONDS + 0.4)
    assert [mark.focus for mark in strip.marks] == [True]


def test_samples_of_strips_come_from_pieces_of_any_size() -> None:
    samples = np.arange(1000, dtype=np.int32)
    missing = samples % 7 == 0
    windows = [(1.0, 2.0), (1.5, 3.25), (9.9, 10.0)]
    for size in (1, 33, 1000):
        pieces = [
            (samples[i : i + size], missing[i : i + size]) for i in range(0, len(samples), size)
        ]
        first, second, third = (part.millivolts(2.0) for part in read_parts(pieces, 100, windows))
        assert (len(first), len(second), len(third)) == (100, 175, 10)
        assert second[1] == 151 / 2
        assert np.isnan(second[4])


def test_a_trace_keeps_its_highest_and_lowest_samples() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=10_000)
    times, kept = trace_points(values, 1000.0)
    assert len(kept) <= 2600
    assert kept.max() == values.max()
    assert kept.min() == values.min()
    assert (np.diff(times) > 0).all()
    values[50] = np.nan
    assert np.isnan(trace_points(values, 1000.0)[1]).any(), "a gap stays one"
    assert len(trace_points(values, 250.0)[1]) == 10_000


@pytest.mark.parametrize("calibrated", [True, False])
def test_without_a_gain_heights_are_said_to_be_unknown(
    beats: list[Finding], calibrated: bool
) -> None:
    about = About("r", "MLII", "", "", calibrated, RATE, "beats", "0", "beats", {})
    collected = collected_beats(beats)
    quality = SignalQuality(np.zeros((5, SECONDS), np.uint8))
    summary = summarise(collected, quality, collected.times_s)
    page = Page(render_page(about, collected, summary, [], []))
    said = "The header gives no gain, so 200 counts per mV are assumed"
    assert (said in page.text) is not calibrated


@pytest.mark.parametrize("seconds", [10, 30, 1806, 86_400, 700_000])
@pytest.mark.parametrize("most", [4, 10])
def test_ticks_are_few_at_any_length(seconds: float, most: int) -> None:
    assert 1 <= seconds / tick_step(seconds, most) <= most + (seconds > 86_400) * 10


@pytest.mark.parametrize(
    ("line", "when"),
    [
        ("r 1 300 9000 11:05:48 1/05/2000", "2000-05-01 11:05:48"),
        ("r 1 300 9000 11:05:48.25 31/12/1999", "1999-12-31 11:05:48"),
        ("r 1 300 9000 11:05:48", None),
        ("r 1 300 9000 25:00:00 1/05/2000", None),
        ("r 1 300 9000", None),
    ],
)
def test_when_it_was_recorded(tmp_path: Path, line: str, when: str | None) -> None:
    header = tmp_path / "r.hea"
    header.write_text(f"# made by hand\n\n{line}\nr.dat 16\n", encoding="utf-8")
    found = recorded_at(header)
    assert (None if found is None else str(found)) == when


def test_beats_of_long_names_are_marked_by_their_beginnings() -> None:
    assert mark_letters(("n", "s", "pvc")) == ("N", "S", "PVC")
    assert mark_letters(("usual", "early", "extra")) == ("U", "EA", "EX")
    assert mark_letters(("beat", "beat_early")) == ("BEAT", "BEAT_")

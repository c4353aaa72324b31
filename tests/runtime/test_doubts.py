"""What a decision is doubted for: noise on any bundle; and for beats a close or a strange one."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.calibration import Calibration
from beatlens.errors import RecipeError
from beatlens.runtime.beat_rule import BeatRule
from beatlens.runtime.doubts import CLOSE, DOUBTS, UNFAMILIAR, bits_of, names_of
from beatlens.runtime.finding import Limits
from beatlens.runtime.stream import Stream
from beatlens.signals.beat_contexts import CONTEXTS
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.rhythm import BINS

from .cases import GAIN, RATE, ecg_counts, run

STEP = 0.1


def rule(bias: list[float], close: float, familiar: float) -> BeatRule:
    """Columns of one step each, no context, and an offset that makes class 1 win easily."""
    return BeatRule.of(
        np.zeros((len(CONTEXTS), BINS, 3)),
        np.array([0.0, 2.0, 0.0]),
        STEP,
        (0, 1),
        Calibration(2.0, np.array(bias)),
        close,
        familiar,
    )


def doubted(made: BeatRule, *sums: int) -> int:
    found, contexts = np.array([sums], np.int64), np.zeros((1, len(CONTEXTS)), np.int64)
    return int(made.doubts(found, contexts, made.decide(found, contexts))[0])


def test_a_lead_over_the_likeliest_other_class_is_close_or_not() -> None:
    made = rule([0, 0, 0], close=1.0, familiar=-9.0)
    assert doubted(made, 50, 20, 39) == 0
    assert doubted(made, 50, 20, 41) == CLOSE
    assert doubted(made, 50, 20, 40) == 0  # ahead by exactly as much
    assert doubted(made, 50, 31, 0) == CLOSE  # the offset decides for a class that is less likely


def test_classes_that_are_rare_are_doubted_sooner() -> None:
    likely, rare = rule([0, 0, 0], 1.0, -9.0), rule([0, 0, -3.0], 1.0, -9.0)
    assert likely.decide(np.array([[0, 0, 50]]), np.zeros((1, len(CONTEXTS)), np.int64)) == 2
    assert doubted(likely, 0, 0, 50) == 0
    assert doubted(rare, 0, 0, 50) == CLOSE  # -3 logits by temperature 2: 60 steps
    assert doubted(rare, 0, 0, 75) == 0


def test_beats_nothing_speaks_for_are_unfamiliar() -> None:
    made = rule([0, 0, 0], close=-99.0, familiar=2.0)
    assert doubted(made, 20, -50, -50) == 0
    assert doubted(made, 19, -50, -50) == UNFAMILIAR
    # An offset is no evidence: it does not make a beat familiar.
    assert doubted(made, -50, 19, -50) == UNFAMILIAR


def test_bits_have_names() -> None:
    for number in range(1 << len(DOUBTS)):
        assert bits_of(names_of(number)) == number


@pytest.mark.export
def test_noise_is_doubted_and_decided(bundle, engine) -> None:
    rng = np.random.default_rng(0)
    clean = ecg_counts(40)
    noise = rng.normal(0, 0.25 * GAIN, len(clean))
    noise[: len(clean) // 2] = 0
    counts = np.round(clean + noise).astype(np.int16)
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [counts])
    early = [f.doubts for f in found if f.assessable and f.end_s <= 19]
    late = [f for f in found if f.assessable and f.start_s >= 21]
    assert early
    assert late
    assert set(early) == {()}
    assert {f.doubts for f in late} == {("noise",)}
    assert all(f.decisions is not None and f.as_dict()["doubts"] == ["noise"] for f in late)
    lenient = Stream(bundle, RATE, GAIN, engine=engine, limits=Limits(noisy=1.0))
    assert not any(f.doubts for f in run(lenient, [counts]))
    with pytest.raises(RecipeError, match=r"noisy is 1\.5, expected a share"):
        Limits(noisy=1.5)


@pytest.mark.parametrize(("slope", "noisy"), [(3, False), (5, True)])
def test_a_sample_that_bends_by_over_a_tenth_of_a_millivolt_is_noisy(slope, noisy) -> None:
    counts = (slope * np.abs(np.arange(400) - 200)).astype(np.int16)  # units of 5 microvolt
    found = np.flatnonzero(FrontEnd(128, 200.0).run(counts).noisy[20:380]) + 20
    assert bool(len(found)) == noisy  # the bend at the corner is 6 slopes; 20 units are allowed
    assert all(abs(found - 200) < 4)

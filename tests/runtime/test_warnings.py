"""Warnings of decisions: noise of any bundle; of beats a low margin, or out of distribution."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.calibration import Calibration
from beatlens.errors import RecipeError
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.runtime.warning_bits import (
    LOW_MARGIN,
    OUT_OF_DISTRIBUTION,
    WARNINGS,
    name_warnings,
    pack_warnings,
)
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.rule import BeatRule

from .cases import GAIN, RATE, ecg_counts, run

STEP = 0.1


def rule(bias: list[float], low_margin: float, out_of_distribution: float) -> BeatRule:
    """Columns of one step each, no feature, and an offset that makes class 1 win easily."""
    return BeatRule.from_logits(
        np.zeros((len(FEATURES), BINS, 3)),
        np.array([0.0, 2.0, 0.0]),
        STEP,
        (0, 1),
        Calibration(2.0, np.array(bias)),
        low_margin,
        out_of_distribution,
    )


def warned(made: BeatRule, *sums: int) -> int:
    scores = made.scores(np.array([sums], np.int64), np.zeros((1, len(FEATURES)), np.int64))
    return int(made.warnings(scores, made.decide(scores))[0])


def test_a_lead_over_the_likeliest_other_class_may_be_a_low_margin() -> None:
    made = rule([0, 0, 0], low_margin=1.0, out_of_distribution=-9.0)
    assert warned(made, 50, 20, 39) == 0
    assert warned(made, 50, 20, 41) == LOW_MARGIN
    assert warned(made, 50, 20, 40) == 0  # ahead by exactly as much
    assert (
        warned(made, 50, 31, 0) == LOW_MARGIN
    )  # the offset decides for a class that is less likely


def test_rare_classes_get_a_warning_sooner() -> None:
    likely, rare = rule([0, 0, 0], 1.0, -9.0), rule([0, 0, -3.0], 1.0, -9.0)
    assert likely.decide(np.array([[0, 0, 50]])) == 2
    assert warned(likely, 0, 0, 50) == 0
    assert warned(rare, 0, 0, 50) == LOW_MARGIN  # -3 logits by temperature 2: 60 steps
    assert warned(rare, 0, 0, 75) == 0


def test_beats_nothing_speaks_for_are_unfamiliar() -> None:
    made = rule([0, 0, 0], low_margin=-99.0, out_of_distribution=2.0)
    assert warned(made, 20, -50, -50) == 0
    assert warned(made, 19, -50, -50) == OUT_OF_DISTRIBUTION
    # An offset is no evidence: it does not make a beat familiar.
    assert warned(made, -50, 19, -50) == OUT_OF_DISTRIBUTION


def test_bits_have_names() -> None:
    for number in range(1 << len(WARNINGS)):
        assert pack_warnings(name_warnings(number)) == number


@pytest.mark.export
def test_noise_is_decided_with_a_warning(bundle, engine) -> None:
    rng = np.random.default_rng(0)
    clean = ecg_counts(40)
    noise = rng.normal(0, 0.25 * GAIN, len(clean))
    noise[: len(clean) // 2] = 0
    counts = np.round(clean + noise).astype(np.int16)
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [counts])
    early = [f.warnings for f in found if f.assessable and f.end_s <= 19]
    late = [f for f in found if f.assessable and f.start_s >= 21]
    assert early
    assert late
    assert set(early) == {()}
    assert {f.warnings for f in late} == {("noisy",)}
    assert all(f.as_dict()["warnings"] == ["noisy"] for f in late)
    lenient = Stream(bundle, RATE, GAIN, engine=engine, limits=Limits(noisy=1.0))
    assert not any(f.warnings for f in run(lenient, [counts]))
    with pytest.raises(RecipeError, match=r"noisy is 1\.5, expected a share"):
        Limits(noisy=1.5)


@pytest.mark.parametrize(("slope", "noisy"), [(3, False), (5, True)])
def test_a_sample_that_bends_by_over_a_tenth_of_a_millivolt_is_noisy(slope, noisy) -> None:
    counts = (slope * np.abs(np.arange(400) - 200)).astype(np.int16)  # units of 5 microvolt
    found = np.flatnonzero(FrontEnd(128, 200.0).run(counts).noisy[20:380]) + 20
    assert bool(len(found)) == noisy  # the bend at the corner is 6 slopes; 20 units are allowed
    assert all(abs(found - 200) < 4)

"""Beat features in the words of ECG reading.

Features are ratios in whole steps that are cut down to a step, so the middle of the step is given:
RR before the beat at 11/16 of the mean RR is "early by 28 %".

| feature | words |
|---|---|
| `prematurity` | early or late by, of the mean of the last 8 RR |
| `compensatory_pause` | pause after it, or the next beat sooner than the mean RR |
| `rr_over_mean` | RR before it against the mean of the last 32 RR |
| `rr_difference` | RR before it against the RR before that |
| `rr_before_over_after` | RR before it against the RR after it |
| `rr_variability` | median change from RR to RR, of the mean RR: below 5 % regular, from 10 % not |
| `morphology_similarity` | how many of the last 16 beats have this shape |
| `rr_irregularity` | median distance of an RR to the nearest of the four before, of the mean RR |
| `rr_over_long_mean` | RR before it against the mean of the last minute |
| `cluster_share` | how many of the beats of the last minutes have this shape |
| `cluster_rr` | how early beats of this shape come |
| `usual_similarity` | correlation with the patient's usual beat |
| `qrs_width` | width of the QRS complex at half of its height |
| `qrs_steepness` | steepest slope, in heights of the QRS complex in 8 ms |
| `qrs_area` | area of the QRS complex against the usual beat's |
| `t_wave` | T wave against the usual one |
| `p_wave` | correlation of the signal before the QRS complex with the usual one, where P is |
| `cluster_evidence` | what the last beats of this shape said of the class |

>>> describe_feature("prematurity", 11 / 16), describe_feature("morphology_similarity", 0.03)
('early by 28 %', 'shape unlike the recent beats (like 3 % of the last 16)')
>>> describe_feature("qrs_width", 12.0), describe_feature("qrs_area", 2.0)
('QRS 94 ms wide at half height', 'QRS area 2.1 times the usual one')
"""

from __future__ import annotations

from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.patient_beats import STEPS
from beatlens.signals.rr_features import RATIO_STEPS
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE

REGULAR, IRREGULAR = 0.05, 0.10
"""Median change from RR to RR, of the mean RR, below and from which RR intervals are called so."""
SAMPLE_MS = 1000 / MODEL_RATE_HZ
RATIOS = (
    "prematurity",
    "compensatory_pause",
    "rr_over_mean",
    "rr_difference",
    "rr_before_over_after",
    "rr_over_long_mean",
    "cluster_rr",
)


def describe_feature(feature: str, ratio: float) -> str:
    """A beat feature's value in words; of a feature that is not known, its name and its value."""
    if feature in RATIOS:
        return _ratio_words(feature, ratio)
    if feature in STEPS or feature == CLUSTER_EVIDENCE:
        return _shape_words(feature, ratio)
    match feature:
        case "rr_variability":
            named = "regular " if ratio < REGULAR else "irregular " if ratio >= IRREGULAR else ""
            return f"{named}RR intervals (median change {100 * ratio:.0f} % of the mean)"
        case "rr_irregularity":
            return f"RR irregularity of the last minute: {100 * ratio:.0f} % of the mean RR"
        case "morphology_similarity":
            like = f"like {100 * ratio:.0f} % of the last 16"
            if ratio >= 0.8:
                return f"shape of the recent beats ({like})"
            return f"shape unlike the recent beats ({like})" if ratio <= 0.2 else f"shape {like}"
    return f"{feature} {ratio:.2f}"


def _ratio_words(feature: str, ratio: float) -> str:
    change = round(100 * (ratio + 0.5 / RATIO_STEPS - 1))
    same = ratio == 1.0
    by = f"{abs(change)} %"
    longer = f"{by} {'longer' if change > 0 else 'shorter'} than"
    match feature:
        case "prematurity":
            return "on time" if same else f"{'late' if change > 0 else 'early'} by {by}"
        case "compensatory_pause":
            if same:
                return "next beat on time"
            if change > 0:
                return f"pause after it, {longer} the mean RR"
            return f"next beat {by} sooner than the mean RR"
        case "rr_over_mean":
            return f"RR before it {'as long as' if same else longer} the mean of the last 32"
        case "rr_difference":
            return f"RR before it {'as long as' if same else longer} the RR before that"
        case "rr_over_long_mean":
            return f"RR before it {'as long as' if same else longer} the mean of the last minute"
        case "cluster_rr":
            come = "on time" if same else f"{by} {'late' if change > 0 else 'early'}"
            return f"beats of this shape come {come}"
        case _:
            return f"RR before it {'as long as' if same else longer} the RR after it"


def _shape_words(feature: str, ratio: float) -> str:
    """Words of what is measured of one beat, and of its cluster."""
    middle = ratio + 0.5 / STEPS.get(feature, 1)
    match feature:
        case "cluster_share":
            if ratio == 0:
                return "a shape that the last minutes did not have"
            return f"shape of {100 * ratio:.0f} % of the beats of the last minutes"
        case "usual_similarity":
            return f"correlation with the usual beat {_correlation(middle)}"
        case "qrs_width":
            return f"QRS {SAMPLE_MS * ratio:.0f} ms wide at half height"
        case "qrs_steepness":
            return f"steepest slope of the QRS {100 * middle:.0f} % of its height in 8 ms"
        case "qrs_area":
            return f"QRS area {middle:.1f} times the usual one"
        case "t_wave":
            if ratio == 1:
                return "T wave as usual"
            way = "more with" if ratio > 1 else "more against"
            return f"T wave {way} the QRS than usual, by {100 * abs(ratio - 1):.0f} % of its height"
        case "p_wave":
            return f"correlation of what is before the QRS with the usual {_correlation(middle)}"
    return "evidence of the last beats of this shape"


def _correlation(ratio: float) -> str:
    return f"{min(1.0, ratio - 1):.2f}".replace("-", "\N{MINUS SIGN}")

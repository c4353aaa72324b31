"""What a decision is the sum of, in the words of ECG reading, each with its part in logits.

The words come from the contributions alone: of features by `beatlens.ecg_page.beat_words`, of
evidence which waves the segment covers by at least half, by time from the R peak. What the model
did not use is not named.

>>> waves(-0.047, 0.516)
'QRS, ST and T'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from beatlens.ecg_page.beat_words import describe_feature
from beatlens.ecg_page.words import clock
from beatlens.errors import DataError
from beatlens.runtime.finding import EVIDENCE, Contribution, Finding
from beatlens.runtime.finding import OFFSET as RULE

LARGEST = 6
"""Parts that are named; the others are summed up."""
LEAST = 0.05
"""A smaller part is not named, logits."""
WAVES = (("P wave's place", -0.25, -0.06), ("QRS", -0.06, 0.08), ("ST and T", 0.08, 0.45))
"""Where waves are, in seconds from the R peak; of a usual heart rate."""
LEAST_NAMED, MAX_NAMED = 0.2, 3
"""Least contribution that the sentence names, logits, and how many parts it names of each kind."""
RR_BEFORE = ("rr_over_mean", "rr_over_long_mean", "rr_difference", "rr_before_over_after")
"""Features of the RR interval before a beat, not named in the sentence where `prematurity` is."""
REST, OFFSET, SEGMENTS = "all other parts", "the rule's offset for this class", "all other segments"
BEFORE = "signal before the beat"
RHYTHM = {
    "prematurity": "prematurity (RR over the mean of the last 8)",
    "compensatory_pause": "compensatory pause (RR after over the mean of the last 8)",
    "rr_over_mean": "RR over the mean of the last 32",
    "rr_difference": "RR over the RR before it",
    "rr_before_over_after": "RR before over RR after",
    "rr_variability": "RR irregularity (median change over the mean RR)",
}


@dataclass(frozen=True)
class Part:
    """A part of a decision: what it is in words, and what it adds, in logits.

    `feature` names the beat feature it is of; it is "signal" for a segment of signal, and empty
    for what is no part that a sentence could name.
    """

    words: str
    logits: float
    feature: str = ""


@dataclass(frozen=True)
class Reasons:
    """A decision taken apart; the parts sum to `total`, logits.

    `question` is what the sum decides: one class rather than another, or above a threshold.
    """

    question: str
    parts: tuple[Part, ...]
    total: float

    @property
    def sentence(self) -> str:
        """What speaks most for the decision, in words, the largest part first."""
        strong = [part for part in self.parts if part.logits >= LEAST_NAMED and part.feature]
        early = any(part.feature == "prematurity" for part in strong)
        named = [
            part.words.partition(" (")[0]
            for part in sorted(strong, key=lambda part: -part.logits)
            if not (early and part.feature in RR_BEFORE)
        ]
        return "; ".join(list(dict.fromkeys(named))[: 2 * MAX_NAMED])


def explain_beat(finding: Finding, against: str) -> Reasons:
    """Why a beat was given its class rather than the class `against`."""
    if finding.class_name is None:
        raise DataError(f"the beat at {finding.time_s:g} s has no decision to take apart")
    parts, offset = _split(finding, against, partial(_beat_words, finding.time_s))
    return _reasons(finding.class_name, against, [*parts, Part(OFFSET, offset)])


def explain_recording(finding: Finding) -> Reasons:
    """Why a recording was given its class rather than the class that came second."""
    if finding.class_name is None:
        raise DataError("the recording has no decision to take apart")
    other = finding.second()
    parts, offset = _split(finding, other, _recording_words)
    if offset:
        parts.append(Part(OFFSET, offset))
    return _reasons(finding.class_name, other, parts)


def _split(
    finding: Finding, against: str, words: Callable[[Contribution], str]
) -> tuple[list[Part], float]:
    """The largest parts of a decision, and the rule's offset."""
    found = finding.explain(against=against)
    parts = [Part(words(part), part.logits, _kind(part)) for part in found if part.what != RULE]
    return _largest(parts), sum(part.logits for part in found if part.what == RULE)


def explain_span(finding: Finding, name: str, peaks_s: Iterable[float]) -> Reasons:
    """Why class `name` was found in a span: segments of evidence above its threshold."""
    if not finding.assessable:
        raise DataError(f"the span from {finding.start_s:g} s has no decision to take apart")
    peaks = np.array(list(peaks_s))
    total = float(finding.scores()[finding.classes.index(name)])
    parts = []
    for segment in evidence_above(finding, name)[:LARGEST]:
        start_s, end_s = segment.start_s or 0.0, segment.end_s or 0.0
        inside = peaks[(peaks >= start_s) & (peaks <= end_s)]
        beats = "" if not len(inside) else f", R peak at {clock(inside[0], 2)}"
        if len(inside) > 1:
            beats = f", {len(inside)} R peaks"
        words = f"{clock(start_s, 2)} to {clock(end_s, 2)}{beats}"
        parts.append(Part(words, segment.logits, "signal"))
    rest = total - sum(part.logits for part in parts)
    parts.append(Part(SEGMENTS, rest))
    return Reasons(f"{name.upper()} above its threshold", tuple(parts), total)


def evidence_above(finding: Finding, name: str) -> list[Contribution]:
    """Segments of a window with evidence above the threshold of a class, the largest first."""
    parts = finding.explain(name)
    return [part for part in parts if part.what == EVIDENCE and part.logits > 0]


def waves(start_s: float, end_s: float) -> str:
    """The waves that a segment covers by at least half, seconds from the R peak."""
    found = [BEFORE] if start_s < -0.3 else []
    for name, first, last in WAVES:
        covered = min(end_s, last) - max(start_s, first)
        if covered >= 0.5 * min(last - first, end_s - start_s):
            found.append(name)
    return ", ".join(found) or "between the waves"


def _beat_words(peak_s: float, part: Contribution) -> str:
    if part.start_s is None or part.end_s is None:
        return describe_feature(part.what, part.ratio or 0.0)
    start_s, end_s = part.start_s - peak_s, part.end_s - peak_s
    return f"{waves(start_s, end_s)} ({_ms(start_s)} to {_ms(end_s)} ms from R)"


def _recording_words(part: Contribution) -> str:
    if part.start_s is None or part.end_s is None:
        return f"{RHYTHM.get(part.what, part.what)}: {part.ratio:.2f} on average"
    return f"signal from {clock(part.start_s, 1)} to {clock(part.end_s, 1)}"


def _kind(part: Contribution) -> str:
    return part.what if part.start_s is None else "signal"


def _ms(seconds: float) -> str:
    return f"{round(1000 * seconds):+d}".replace("-", "\N{MINUS SIGN}")


def _largest(parts: list[Part]) -> list[Part]:
    """The largest parts, most for the class first, and the sum of the others."""
    ranked = sorted(parts, key=lambda part: -abs(part.logits))
    named = [part for part in ranked[:LARGEST] if abs(part.logits) >= LEAST]
    rest = sum(part.logits for part in parts) - sum(part.logits for part in named)
    named.sort(key=lambda part: -part.logits)
    return [*named, Part(REST, rest)] if len(named) < len(parts) else named


def _reasons(name: str, against: str, parts: list[Part]) -> Reasons:
    total = sum(part.logits for part in parts)
    return Reasons(f"{name.upper()} rather than {against.upper()}", tuple(parts), total)

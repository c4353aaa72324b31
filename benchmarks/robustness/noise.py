"""`python -m benchmarks noise`: the noise stress test on test patients, with what the device ships.

Three kinds of noise at six levels are put into every record of DS2 (see
`benchmarks.robustness.noise_stress`); bundles run as the firmware's C, from counts to findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError, RecipeError
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Database
from beatlens.signals.databases.mitdb import DS2
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.recording import Recording
from beatlens.tasks.registry import default_recipe
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.tracks import annotated_track
from benchmarks.robustness.noise_stress import (
    LEVELS_DB,
    NOISES,
    STRETCH_S,
    noise_segments,
    read_noise,
    with_noise,
)
from benchmarks.robustness.outcomes import (
    BeatOutcome,
    StripOutcome,
    beat_outcome,
    beat_row,
    strip_outcome,
    strip_row,
)

LEAD = "MLII"
CLASSES = cast(WindowRecipe, default_recipe("windows")).task.classes
"""What annotations of mitdb make the classes of a model of windows."""
CLEAN = ("none", None)
Condition = tuple[str, int | None]
Progress = Callable[[str, int, int], None]
Counts = NDArray[np.int16]


def conditions(levels: Sequence[int] = LEVELS_DB) -> list[Condition]:
    """No noise, then each kind at each level."""
    return [CLEAN, *((kind, level) for kind in NOISES for level in levels)]


class NoiseBench:
    """Runs bundles over noisy recordings.

    Args:
        mitdb, nstdb: the databases.
        records: of mitdb, at nstdb's rate, with the lead MLII.
        levels: signal-to-noise ratios in decibel.
        lead: of the noise, 0 or 1.

    Raises:
        DataError: a record is not at hand, or the rates differ.
    """

    def __init__(
        self,
        mitdb: Database,
        nstdb: Database,
        records: Sequence[str] = DS2,
        levels: Sequence[int] = LEVELS_DB,
        lead: int = 0,
    ) -> None:
        self._mitdb, self._records, self._conditions = mitdb, records, conditions(levels)
        self._noise = {kind: read_noise(nstdb, kind, lead) for kind in NOISES}

    def rows(self, bundle: Bundle, progress: Progress | None = None) -> list[dict[str, Any]]:
        """A row per condition: of beats or of windows, as the bundle decides."""
        outcomes: dict[Condition, list[Any]] = {condition: [] for condition in self._conditions}
        outcome = _run_strips if bundle.kind.hops else _run_beats
        for index, record in enumerate(self._records):
            if progress is not None:
                progress(bundle.name, index, len(self._records))
            recording, reference = self._mitdb.read(record), self._mitdb.annotations(record)
            clean: Any = None
            for condition, counts in self._with_noise(recording, reference):
                found = outcome(bundle, recording, reference, counts, clean)
                clean = clean or found
                outcomes[condition].append(found)
        format_row: Any = strip_row if bundle.kind.hops else beat_row
        return [
            {"model": bundle.name, "noise": kind, "snr_db": level, "records": len(self._records)}
            | format_row(found, outcomes[CLEAN])
            for (kind, level), found in outcomes.items()
        ]

    def _with_noise(
        self, recording: Recording, reference: Annotations
    ) -> Iterator[tuple[Condition, Counts]]:
        for kind, level in self._conditions:
            if level is None:
                yield CLEAN, recording.counts[recording.lead(LEAD)].astype(np.int16)
                continue
            noise, rate = self._noise[kind]
            if rate != recording.rate_hz:
                raise DataError(
                    f"noise {kind} is at {rate} Hz, record {recording.name} at "
                    f"{recording.rate_hz} Hz; expected the same rate"
                )
            yield (kind, level), with_noise(recording, LEAD, reference, noise, level)


def _sensor(recording: Recording) -> tuple[int, float, dict[str, Any]]:
    row = recording.lead(LEAD)
    options = {"rails": recording.rails[row], "engine": "c"}
    return recording.rate_hz, recording.counts_per_mv[row], options


def _run_beats(
    bundle: Bundle,
    recording: Recording,
    reference: Annotations,
    counts: Counts,
    clean: BeatOutcome | None,
) -> BeatOutcome:
    rate, gain, options = _sensor(recording)
    findings = list(bundle.explain(counts, rate, gain, **options))
    segments = noise_segments(len(counts), rate)
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    return beat_outcome(findings, reference, rate, segments, column_s, clean)


def _run_strips(
    bundle: Bundle,
    recording: Recording,
    reference: Annotations,
    counts: Counts,
    clean: StripOutcome | None,
) -> StripOutcome:
    """Strips that lie in a segment with noise as a whole."""
    rate, gain, options = _sensor(recording)
    span = bundle.span_s
    if STRETCH_S % span:
        raise DataError(f"the bundle's span is {span:g} s, expected one that divides {STRETCH_S} s")
    findings = bundle.explain(counts, rate, gain, hop_s=span, **options)
    segments = [(a / rate, b / rate) for a, b in noise_segments(len(counts), rate)]
    chosen = [
        finding
        for finding in findings
        if finding.end_s - finding.start_s == span
        and any(a <= finding.start_s and finding.end_s <= b for a, b in segments)
    ]
    if unknown := sorted(set(bundle.classes) - set(CLASSES)):
        raise RecipeError(
            f"bundle {bundle.name!r} decides on {', '.join(unknown)}, expected some of "
            f"{', '.join(CLASSES)}, for which mitdb has labels"
        )
    classes = {name: CLASSES[name] for name in bundle.classes}
    track = annotated_track(recording, reference, LEAD, classes, classes)
    starts = [round(finding.start_s * MODEL_RATE_HZ) for finding in chosen]
    labels = np.array([track.labels(start, bundle.span_samples) for start in starts])
    return strip_outcome(chosen, labels.astype(np.float64), bundle.classes)

"""A recording in, one finding out: for bundles that decide on whole recordings.

bundle = Bundle.load("models/wearable-af/bundle")
finding = explain_whole(bundle, samples, rate_hz=300, counts_per_mv=1000)
print(finding.class_name, finding.probabilities, finding.explain()[:3])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError, SignalError
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine, StreamEngine
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.recording_chain import RecordingChain, rule_of
from beatlens.runtime.stream import LeadStream, Piece, checked_pieces, engine_of, explained


class RecordingStream(LeadStream[Finding]):
    """The finding on one recording of one lead, pushed in pieces of any size.

    Args:
        bundle: what to run; one that decides on whole recordings.
        rate_hz, counts_per_mv, rails: as for `Stream`.
        engine: an engine of the bundle, or the name of one (see `bundle.engine`); None takes
            `bundle.engine()`. There is no C for these models yet.
        limits: how much of a recording may be lost, flat, saturated or clipped.

    Raises:
        SignalError: rate, gain or rails are not supported.
        ModelError: the bundle decides on something else, no interpreter is installed, or it does
            not accept the bundle.

    `push` gives nothing; `flush` gives the one finding. A recording is at most 68 minutes long (at
    a stride of 8 samples); its columns are kept, 26 bytes each with four classes, and its beats.
    """

    def __init__(
        self,
        bundle: Contents,
        rate_hz: int,
        counts_per_mv: float | None = None,
        *,
        rails: tuple[float, float] | None = None,
        engine: Engine | StreamEngine | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(bundle, rate_hz, counts_per_mv, rails)
        rule_of(bundle)
        if engine == "c":
            raise ModelError(
                "engine is 'c', expected an interpreter: there is no C for whole recordings yet; "
                "leave the engine out"
            )
        self._chain = RecordingChain(
            bundle, self._frontend, limits or Limits(), engine_of(bundle, engine)
        )


def explain_whole(
    bundle: Contents,
    samples: NDArray[Any],
    rate_hz: int,
    counts_per_mv: float | None = None,
    *,
    missing: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Finding:
    """The finding on a whole recording.

    Args:
        bundle, rate_hz, counts_per_mv: as for `RecordingStream`.
        samples, missing: as for `beatlens.runtime.stream.explain_recording`.
        options: `rails`, `engine`, `limits` of `RecordingStream`.

    Raises:
        SignalError: there is less of it than one column of evidence.
    """
    pieces = checked_pieces(samples, missing)
    return explain_whole_pieces(bundle, pieces, rate_hz, counts_per_mv, **options)


def explain_whole_pieces(
    bundle: Contents,
    pieces: Iterable[Piece],
    rate_hz: int,
    counts_per_mv: float | None = None,
    **options: Any,
) -> Finding:
    """As `explain_whole`, of a recording that comes in consecutive pieces of any size."""
    stream = RecordingStream(bundle, rate_hz, counts_per_mv, **options)
    found = list(explained(stream, pieces))
    if not found:
        raise SignalError(
            f"the recording has {stream.seconds:g} s, expected at least one column of evidence, "
            f"{bundle.geometry.stride} samples at 128 Hz"
        )
    return found[0]

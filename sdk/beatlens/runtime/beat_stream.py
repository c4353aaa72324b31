"""Samples in, beats out: as `beatlens.runtime.stream`, for bundles that decide on beats.

bundle = Bundle.load("models/beats/bundle")
stream = bundle.beat_stream(rate_hz=250, counts_per_mv=400)
for beat in stream.push(samples):
    print(beat.time_s, beat.class_name, beat.explain()[:2])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.beat_chain import BeatChain
from beatlens.runtime.chain import Chain
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine, StreamEngine
from beatlens.runtime.finding import Finding
from beatlens.runtime.host_beats import HostBeatChain
from beatlens.runtime.quality import BEAT_LIMITS, Limits
from beatlens.runtime.stream import (
    LeadStream,
    Piece,
    checked_pieces,
    engine_of,
    explained,
)
from beatlens.signals.frontend import FrontEnd


class BeatStream(LeadStream[Finding]):
    """Findings on beats, of one lead of one sensor; R peaks are found on the way.

    Args:
        bundle: what to run; one that decides on beats.
        rate_hz, counts_per_mv, rails, engine: as for `Stream`.
        limits: how much of a beat's span may be bad; None is `BEAT_LIMITS`.

    Raises:
        SignalError: rate, gain or rails are not supported.
        ModelError: the bundle decides on spans, no interpreter is installed, or it does not accept
            the bundle.

    A beat is decided when the next one is found, and the evidence around it is there. The first are
    decided after eight seconds, which the detector learns from.
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
        self._chain = _beat_chain(bundle, self._frontend, limits or BEAT_LIMITS, engine)


def explain_beats(
    bundle: Contents,
    samples: NDArray[Any],
    rate_hz: int,
    counts_per_mv: float | None = None,
    *,
    missing: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Iterator[Finding]:
    """Findings on the beats of a whole recording; as `explain_recording`.

    Args:
        bundle, rate_hz, counts_per_mv: as for `BeatStream`.
        samples, missing: as for `explain_recording`.
        options: `rails`, `engine`, `limits` of `BeatStream`.
    """
    stream = BeatStream(bundle, rate_hz, counts_per_mv, **options)
    return explained(stream, checked_pieces(samples, missing))


def explain_beat_pieces(
    bundle: Contents,
    pieces: Iterable[Piece],
    rate_hz: int,
    counts_per_mv: float | None = None,
    **options: Any,
) -> Iterator[Finding]:
    """As `explain_beats`, of a recording that comes in consecutive pieces of any size.

    Args:
        bundle, rate_hz, counts_per_mv, options: as for `explain_beats`.
        pieces: samples `[n]` and where they are missing, bool `[n]` or None; read as needed.
    """
    return explained(BeatStream(bundle, rate_hz, counts_per_mv, **options), pieces)


def _beat_chain(
    bundle: Contents, frontend: FrontEnd, limits: Limits, engine: Engine | StreamEngine | None
) -> Chain[Finding]:
    if engine == "c":
        return HostBeatChain(bundle, frontend, limits)
    return BeatChain(bundle, frontend, limits, engine_of(bundle, engine))

"""The integer front end: sensor counts in, int8 samples at 128 Hz out, the same bits everywhere.

Three integer stages, all linear phase, each output aligned with its input in time:

1. polyphase resampling to 128 Hz and to units of 5 microvolt (int16, clamped),
2. baseline removal: the signal minus two cascaded moving averages of 128 samples (a triangle of
   2 s, -3 dB at about 0.6 Hz), O(1) per sample,
3. scaling to int8, 1 LSB = 50 microvolt, clamped to [-127, 127], so that both polarities have the
   same range, 6.35 mV. Networks of bundles made before take steps of 25 microvolt (`LSBS_MV`).

Rounding is always `(v * multiplier + 2^(shift-1)) >> shift` on 64 bit integers. Before the first
and after the last sample each stage sees its edge value held. What the stages cannot repair is
reported, sample by sample: `saturated` (the sensor at its rails), `clipped` (a clamp was hit),
`flat` (no change of more than 5 microvolt per sample over 1.5 s: a lead is off). `noisy` is a hint:
a sample that bends by over 0.1 mV within 23 ms on both sides, as QRS complexes do and hardly
anything else in a clean signal; where most of a second does, it is noise. Needs numpy only.

>>> import numpy as np
>>> frontend = FrontEnd(rate_hz=256, counts_per_mv=200.0)
>>> out = frontend.run(np.zeros(512, np.int16))
>>> out.x.shape, bool(out.flat.all())
((256,), True)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from math import frexp, gcd, isfinite
from pathlib import Path

import numpy as np

from beatlens.errors import SignalError

MODEL_RATE_HZ = 128
RATES_HZ = (125, 128, 200, 250, 256, 300, 360, 500, 512, 1000)
LSB_MV = 0.05
"""Millivolt of a step of the samples. Large ventricular beats reach 4 mV and more."""
LSBS_MV = (0.025, LSB_MV)
"""Steps that networks may take: the first is that of bundles made before."""
UNITS_PER_MV = 200
AVERAGE = 128
DELAY = AVERAGE - 1
FLAT_STEP = 1
FLAT_SAMPLES = 192
NOISE_REACH = 3
NOISE_STEP = 20
_TAPS_FILE = Path(__file__).with_name("resampler_taps.npz")
_INT16 = (-(1 << 15), (1 << 15) - 1)


@cache
def resampler_taps(rate_hz: int) -> np.ndarray:
    """Return the committed polyphase taps int16 `[L, 2H]` of a supported sensor rate."""
    with np.load(_TAPS_FILE) as archive:
        return np.asarray(archive[str(rate_hz)])


def fixed_point(value: float) -> tuple[int, int]:
    """Return `(multiplier, shift)` with `multiplier / 2^shift = value`, multiplier from 2^30."""
    mantissa, exponent = frexp(value)
    multiplier = round(mantissa * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, exponent = 1 << 30, exponent + 1
    return multiplier, 31 - exponent


def rescale(values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Return `values * multiplier / 2^shift` rounded half up, as int64."""
    return (values * np.int64(multiplier) + (np.int64(1) << np.int64(shift - 1))) >> np.int64(shift)


@dataclass(frozen=True)
class Conditioned:
    """Front end output at 128 Hz, all arrays `[m]`.

    `x` int8 in steps of the front end; `saturated`, `clipped`, `flat` bool, true where a sample is
    not to be trusted, and `noisy` bool (see the module's text).
    """

    x: np.ndarray
    saturated: np.ndarray
    clipped: np.ndarray
    flat: np.ndarray
    noisy: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Bool `[m]`: true where a sample is not saturated, clipped or flat."""
        return np.asarray(~(self.saturated | self.clipped | self.flat))

    @classmethod
    def concatenate(cls, parts: list[Conditioned]) -> Conditioned:
        """Join consecutive outputs of one stream."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: np.concatenate(arrays) for name, arrays in columns.items()})


def refuse_masked(samples: object) -> None:
    """Raise `SignalError` for a masked array: its masked samples would be taken as good."""
    if isinstance(samples, np.ma.MaskedArray) and np.ma.is_masked(samples):
        raise SignalError(
            f"{int(np.ma.getmaskarray(samples).sum())} samples are masked, expected a plain array; "
            "give the mask to a stream as `missing`"
        )


def quantize_millivolts(millivolts: np.ndarray) -> np.ndarray:
    """Turn samples in millivolt, float `[n]`, into int16 counts at 200 counts per millivolt.

    Raises `SignalError` where a sample is not finite or is beyond +-163.8 mV.

    >>> quantize_millivolts(np.array([0.0, 1.0, -0.5])).tolist()
    [0, 200, -100]
    """
    refuse_masked(millivolts)
    values = np.asarray(millivolts, dtype=np.float64)
    if values.ndim != 1:
        raise SignalError(f"millivolts has shape {values.shape}, expected one lead [n]")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise SignalError(
            f"sample {bad[0]} is {values[bad[0]]}, expected a finite number of millivolt; "
            "mark gaps with Stream.gap() or cut them out"
        )
    counts = np.round(values * UNITS_PER_MV)
    outside = np.flatnonzero((counts < _INT16[0]) | (counts > _INT16[1]))
    if outside.size:
        raise SignalError(
            f"sample {outside[0]} is {values[outside[0]]:g} mV, expected within +-163.8 mV; "
            "are the samples in microvolt or in counts?"
        )
    return np.asarray(counts, dtype=np.int16)


class FrontEnd:
    """Front end for one lead of a sensor with `rate_hz` samples per second.

    `counts_per_mv` is the sensor's gain; `rails` its lowest and highest count (the int16 range
    where unknown); `lsb_mv` the step of the samples, one of `LSBS_MV`. Raises `SignalError` for a
    rate or a step that is not supported, a gain that is not a number from 0.01 to 1e6, or rails
    that are not increasing.
    """

    def __init__(
        self,
        rate_hz: int,
        counts_per_mv: float,
        rails: tuple[int, int] | None = None,
        lsb_mv: float = LSB_MV,
    ) -> None:
        if rate_hz not in RATES_HZ:
            raise SignalError(
                f"sampling rate is {rate_hz} Hz, expected one of "
                f"{', '.join(map(str, RATES_HZ))} Hz; resample the signal first"
            )
        if not (isfinite(counts_per_mv) and 1e-2 <= counts_per_mv <= 1e6):
            raise SignalError(
                f"gain is {counts_per_mv} counts per mV, expected a number from 0.01 to 1000000"
            )
        self.rails = _INT16 if rails is None else (int(rails[0]), int(rails[1]))
        if self.rails[0] >= self.rails[1]:
            raise SignalError(f"rails are {self.rails}, expected (lowest, highest) count")
        if lsb_mv not in LSBS_MV:
            raise SignalError(
                f"lsb_mv is {lsb_mv}, expected one of {', '.join(map(str, LSBS_MV))} mV"
            )
        self.lsb_mv = lsb_mv
        self.rate_hz = int(rate_hz)
        self.counts_per_mv = float(counts_per_mv)
        divisor = gcd(self.rate_hz, MODEL_RATE_HZ)
        self.up, self.down = MODEL_RATE_HZ // divisor, self.rate_hz // divisor
        self.taps = resampler_taps(self.rate_hz)
        self.half = self.taps.shape[1] // 2
        self.gain = fixed_point(UNITS_PER_MV / (self.counts_per_mv * (1 << 15)))
        self.scale = fixed_point(1.0 / (lsb_mv * UNITS_PER_MV * AVERAGE * AVERAGE))

    def with_lsb(self, lsb_mv: float) -> FrontEnd:
        """The front end of the same sensor for networks that take samples in other steps."""
        return FrontEnd(self.rate_hz, self.counts_per_mv, self.rails, lsb_mv)

    def output_length(self, samples: int) -> int:
        """Return how many 128 Hz samples cover `samples` sensor samples."""
        return -(-samples * self.up // self.down)

    def run(self, counts: np.ndarray) -> Conditioned:
        """Condition a whole recording, integer counts `[n]`; output sample `i` is at `i/128` s.

        Raises `SignalError` for an empty array, a dtype that is not integer, or counts beyond
        16 bit.
        """
        stream = self.stream()
        return Conditioned.concatenate([stream.push(counts), stream.flush()])

    def stream(self) -> FrontEndStream:
        """Start a stream; its pushes and its flush, joined, equal `run` on the joined samples."""
        return FrontEndStream(self)

    def check(self, counts: np.ndarray) -> np.ndarray:
        """Return the counts as int64 `[n]`, or raise `SignalError` naming what is wrong."""
        refuse_masked(counts)
        counts = np.asarray(counts)
        if counts.ndim != 1:
            raise SignalError(f"samples have shape {counts.shape}, expected one lead [n]")
        if not np.issubdtype(counts.dtype, np.integer):
            raise SignalError(
                f"samples are {counts.dtype}, expected integer counts; "
                "turn millivolt into counts with quantize_millivolts"
            )
        if counts.size and (counts.min() < _INT16[0] or counts.max() > _INT16[1]):
            worst = int(counts[np.argmax(np.abs(counts.astype(np.int64)))])
            raise SignalError(
                f"a sample is {worst}, expected 16 bit counts (-32768 to 32767); "
                "shift the sensor's samples right and lower counts_per_mv to match"
            )
        return counts.astype(np.int64)


class FrontEndStream:
    """One lead's front end fed piece by piece; create it with `FrontEnd.stream()`."""

    def __init__(self, frontend: FrontEnd) -> None:
        self._frontend = frontend
        self._received = 0
        self._resampled = 0
        self._x = np.zeros(0, np.int64)
        self._x_start = 0
        self._y = np.zeros(0, np.int64)
        self._bad = np.zeros((2, DELAY), bool)
        self._before_start = DELAY
        self._run = 0
        self._since_flat = AVERAGE
        self._flushed = False

    @property
    def latency(self) -> int:
        """128 Hz samples between the newest sample pushed and the newest one that came out."""
        half: int = self._frontend.half
        return DELAY + -(-half * MODEL_RATE_HZ // self._frontend.rate_hz)

    def push(self, counts: np.ndarray) -> Conditioned:
        """Take integer counts `[n]` (any n, 0 too) and return the samples that became ready."""
        if self._flushed:
            raise SignalError("push after flush: start a new stream")
        x = self._frontend.check(counts)
        if self._received == 0 and x.size:
            half = self._frontend.half
            x = np.concatenate([np.full(half, x[0]), x])
            self._x_start = -half
            self._received = -half
        self._x = np.concatenate([self._x, x])
        self._received += x.size
        last = self._received - 1 - self._frontend.half
        ready = -(-(last + 1) * self._frontend.up // self._frontend.down) if last >= 0 else 0
        return self._condition(*self._resample(ready))

    def flush(self) -> Conditioned:
        """End the recording: hold the last sample and return all samples still inside."""
        if self._flushed:
            raise SignalError("flush was called twice: start a new stream")
        if self._received == 0:
            raise SignalError("the recording has no samples, expected at least 1")
        total = self._frontend.output_length(self._received)
        self._x = np.concatenate([self._x, np.full(self._frontend.half + 1, self._x[-1])])
        y, bad = self._resample(total)
        self._flushed = True
        if not (self._y.size or y.size):
            raise SignalError("the recording is shorter than one 128 Hz sample")
        last = y[-1] if y.size else self._y[-1]
        tail = np.full(DELAY, last)
        return self._condition(
            np.concatenate([y, tail]), np.concatenate([bad, np.zeros((2, DELAY), bool)], axis=1)
        )

    def _resample(self, until: int) -> tuple[np.ndarray, np.ndarray]:
        """Stage 1: 128 Hz samples `_resampled .. until-1` in 5 uV units, and their two flags."""
        front, first = self._frontend, self._resampled
        count = max(until - first, 0)
        if count == 0:
            return np.zeros(0, np.int64), np.zeros((2, 0), bool)
        width = 2 * front.half
        railed = np.concatenate(
            [[0], np.cumsum((self._x <= front.rails[0]) | (self._x >= front.rails[1]))]
        )
        windows = np.lib.stride_tricks.sliding_window_view(self._x.astype(np.float64), width)
        total = np.empty(count, np.int64)
        position = (np.arange(first, until) * front.down) // front.up
        start = position - front.half + 1 - self._x_start
        for residue in range(min(front.up, count)):
            phase = ((first + residue) * front.down) % front.up
            rows = windows[start[residue] :: front.down][: len(total[residue :: front.up])]
            # Products stay below 2^31, so a float64 dot product is exact.
            total[residue :: front.up] = (rows @ front.taps[phase].astype(np.float64)).astype(
                np.int64
            )
        exact = rescale(total, *front.gain)
        y = np.clip(exact, *_INT16)
        bad = np.stack([railed[start + width] > railed[start], exact != y])
        self._resampled = until
        keep = (until * front.down) // front.up - front.half + 1
        drop = max(keep - self._x_start, 0)
        self._x, self._x_start = self._x[drop:], self._x_start + drop
        return y, bad

    def _condition(self, y: np.ndarray, bad: np.ndarray) -> Conditioned:
        """Stages 2 and 3 on new 5 uV samples, and the flags, all delayed by 127 samples."""
        if y.size == 0:
            empty = np.zeros(0, bool)
            return Conditioned(np.zeros(0, np.int8), empty, empty, empty, empty)
        if self._y.size == 0:
            self._y = np.full(2 * DELAY, y[0])
        flat = self._flat(y)
        ready = y.size
        y = np.concatenate([self._y, y])
        bad = np.concatenate([self._bad, bad], axis=1)
        baseline = _moving_sum(_moving_sum(y))
        scaled = rescale((y[DELAY:-DELAY] << 14) - baseline, *self._frontend.scale)
        x = np.clip(scaled, -127, 127)
        saturated, overflow = bad[:, :ready]
        skip = min(self._before_start, ready)
        self._before_start -= skip
        self._y = y[-2 * DELAY :]
        self._bad = bad[:, -DELAY:]
        return Conditioned(
            x[skip:].astype(np.int8),
            saturated[skip:],
            ((scaled != x) | overflow)[skip:],
            flat[skip:],
            _noisy(y)[skip:],
        )

    def _flat(self, y: np.ndarray) -> np.ndarray:
        """Bool `[len(y)]`: was the signal flat at any of the last 128 samples?"""
        steps = np.abs(np.diff(y, prepend=self._y[-1])) > FLAT_STEP
        index = np.arange(1, y.size + 1)
        last_step = np.maximum.accumulate(np.where(steps, index, -self._run))
        run = index - last_step
        hit = run >= FLAT_SAMPLES
        last_hit = np.maximum.accumulate(np.where(hit, index, -self._since_flat))
        since = index - last_hit
        self._run, self._since_flat = int(run[-1]), int(since[-1])
        return since < AVERAGE


def _noisy(y: np.ndarray) -> np.ndarray:
    """Bool `[len(y) - 2 DELAY]`: does the signal bend much, at samples `DELAY` from both ends?"""
    first, last = DELAY, len(y) - DELAY
    before = y[first - NOISE_REACH : last - NOISE_REACH]
    behind = y[first + NOISE_REACH : last + NOISE_REACH]
    return np.asarray(np.abs(2 * y[first:last] - before - behind) > NOISE_STEP)


def _moving_sum(values: np.ndarray) -> np.ndarray:
    """Sum of every `AVERAGE` consecutive values, int64 `[n - AVERAGE + 1]`."""
    total = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(total[AVERAGE:] - total[:-AVERAGE])

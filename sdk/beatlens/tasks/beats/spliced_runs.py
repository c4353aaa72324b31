"""Recordings into which runs of their patient's own ventricular beats are spliced.

Few patients to train on have ventricular runs, and in a run a beat is neither early nor unlike those
around it. So recordings with ventricular beats get runs of 3 to 60 of these beats, 60 to 180 a
minute, with slight changes of rate, height and width: real shapes, on real signal before and after.
Seeded: the same recording and seed give the same runs.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.beat_features import beat_features
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.qrs_decisions import REFRACTORY
from beatlens.tasks.beats.labels import BeatTrack

BEFORE, AFTER = 36, 60
"""Samples of a beat that is spliced in, before its R peak and from that on."""
FADE = 8
"""Samples over which one beat gives way to the next."""
FEWEST = 3
"""Ventricular beats that a recording has at least, and a run."""
LONGEST = 60
INTERVALS = (43, 128)
"""Samples between beats of a run: 180 to 60 a minute."""
SECONDS = 360
"""Of a recording that are used."""
PAUSE_S = 8.0
"""Mean time from the end of a run to the next one, beyond two seconds."""


@dataclass(frozen=True)
class _Run:
    """A run as signal: `samples` from sample `start` on, with R peaks `peaks`."""

    start: int
    samples: NDArray[np.float64]
    peaks: NDArray[np.int64]

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def splice_runs(track: BeatTrack, ventricular: int, seed: Sequence[int]) -> BeatTrack | None:
    """A part of a recording with runs of its own ventricular beats.

    Args:
        track: the recording.
        ventricular: number of the class whose beats make runs.
        seed: of all that is random.

    Returns:
        A recording of up to six minutes, or None where it has fewer than three such beats.
    """
    rng = np.random.default_rng(seed)
    usable = (track.peaks > 2 * BEFORE) & (track.peaks < len(track.x) - 2 * AFTER)
    sources = track.peaks[(track.labels == ventricular) & usable]
    if len(sources) < FEWEST:
        return None
    length = min(len(track.x), SECONDS * MODEL_RATE_HZ)
    first = int(rng.integers(0, len(track.x) - length + 1))
    x = track.x[first : first + length].astype(np.float64)
    inside = (track.peaks >= first) & (track.peaks < first + length)
    peaks, labels = track.peaks[inside] - first, track.labels[inside]
    at = int(rng.integers(4, 12)) * MODEL_RATE_HZ
    runs: list[_Run] = []
    while at < length - 10 * MODEL_RATE_HZ:
        run = _make_run(track.x, sources, _onset(peaks, at, rng), length, rng)
        if run is None:
            break
        _fade_in(x, run)
        kept = (peaks < run.start + BEFORE // 2) | (peaks > run.end + AFTER // 2)
        peaks, labels = peaks[kept], labels[kept]
        runs.append(run)
        at = run.end + round((2 + rng.exponential(PAUSE_S)) * MODEL_RATE_HZ)
    if not runs:
        return None
    return _as_track(track, x, peaks, labels, runs, ventricular)


def _onset(peaks: NDArray[np.int64], at: int, rng: np.random.Generator) -> int:
    """Where a run begins: early after the last beat before sample `at`."""
    before = peaks[peaks < at]
    if len(before) < 2:
        return at
    usual = float(np.clip(np.median(np.diff(before[-9:])), 60, 110))
    return int(before[-1] + rng.uniform(0.5, 0.9) * usual)


def _make_run(
    x: NDArray[np.int8],
    sources: NDArray[np.int64],
    onset: int,
    length: int,
    rng: np.random.Generator,
) -> _Run | None:
    count = round(float(np.exp(rng.uniform(np.log(FEWEST), np.log(LONGEST)))))
    interval = rng.uniform(*INTERVALS)
    steps = np.maximum(REFRACTORY + 10, interval * (1 + 0.03 * rng.standard_normal(count - 1)))
    peaks = onset + np.concatenate([[0], np.cumsum(np.rint(steps))]).astype(np.int64)
    peaks = peaks[peaks < length - 2 * AFTER]
    if len(peaks) < FEWEST or peaks[0] < 2 * BEFORE:
        return None
    start = int(peaks[0]) - BEFORE
    samples = np.zeros(int(peaks[-1]) + AFTER - start)
    usual, others = rng.choice(sources), rng.choice(sources, size=2)
    gaps = np.diff(peaks)
    for number, peak in enumerate(peaks.tolist()):
        source = usual if rng.random() < 0.85 else rng.choice(others)
        shape = _cut(x, int(source), rng)
        before = BEFORE if number == 0 else min(BEFORE, 0.45 * gaps[number - 1])
        after = AFTER if number == len(gaps) else min(AFTER, 0.62 * gaps[number])
        t = np.arange(-BEFORE, AFTER)
        window = np.clip((t + before) / FADE, 0, 1) * np.clip((after - t) / FADE, 0, 1)
        offset = peak - BEFORE - start
        samples[offset : offset + len(t)] += shape * window
    samples += rng.uniform(0.2, 1.5) * rng.standard_normal(len(samples))
    return _Run(start, samples, peaks)


def _cut(x: NDArray[np.int8], peak: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A beat without its baseline, a little higher or lower, wider or narrower."""
    shape = x[peak - BEFORE : peak + AFTER].astype(np.float64)
    shape -= np.linspace(shape[:6].mean(), shape[-6:].mean(), len(shape))
    t = np.arange(-BEFORE, AFTER)
    wider = rng.uniform(0.9, 1.15)
    return np.interp(t / wider, t, shape) * (1 + 0.08 * rng.standard_normal())


def _fade_in(x: NDArray[np.float64], run: _Run) -> None:
    """Put a run in the place of the signal there."""
    share = np.ones(len(run.samples))
    share[:FADE] = np.linspace(0, 1, FADE)
    share[-FADE:] = np.linspace(1, 0, FADE)
    part = slice(run.start, run.end)
    x[part] = x[part] * (1 - share) + run.samples * share


def _as_track(
    track: BeatTrack,
    x: NDArray[np.float64],
    peaks: NDArray[np.int64],
    labels: NDArray[np.int64],
    runs: Sequence[_Run],
    ventricular: int,
) -> BeatTrack:
    """The recording with its new peaks, labels and features."""
    added = np.concatenate([run.peaks for run in runs])
    every = np.concatenate([peaks, added])
    order = np.argsort(every, kind="stable")
    every = every[order]
    names = np.concatenate([labels, np.full(len(added), ventricular, np.int64)])[order]
    apart = np.concatenate([[True], np.diff(every) >= REFRACTORY])
    every, names = every[apart], names[apart]
    samples = np.clip(np.rint(x), -127, 127).astype(np.int8)
    rows = beat_features(samples, every)
    return replace(
        track,
        record=f"{track.record}-runs",
        x=samples,
        usable=np.ones(len(samples), bool),
        peaks=every,
        labels=names,
        features=rows.values,
        clusters=rows.clusters,
        begins=rows.begins,
        samples=len(samples) * track.rate_hz // MODEL_RATE_HZ,
        defects=np.zeros((len(every), 2), np.int64),
    )

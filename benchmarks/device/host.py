"""`python -m benchmarks host`: a day of ECG on one core, by the firmware's C and by interpreters.

The C analyses the whole day, from counts to findings with their evidence. Beside it interpreters
re-run whole windows at the same hop, on a shorter segment of the same signal, scaled to the day.
They are given the front end's samples and asked for no decision, so that their figures lack what
the C's include.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError, ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding
from beatlens.signals.databases import find_database
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient
from beatlens.version import __version__
from benchmarks.device.other_python import ROOT, other_python

DAY_S = 86400
RECORD, LEAD = "100", "MLII"
SIMULATED_S = 600
MARGIN_S = 10
"""Signal after the last window, so that the stream's span there is complete."""
Evidence = NDArray[np.float32]
INTERPRETERS = (
    ("litert", "xnnpack"),
    ("litert", "optimised"),
    ("litert", "reference"),
    ("tflite-runtime", "xnnpack"),
    ("tflite-runtime", "optimised"),
    ("tflite-runtime", "reference"),
)


@dataclass(frozen=True)
class Day:
    """A long recording of one lead: a shorter one repeated, and what that is in words."""

    counts: NDArray[np.int16]
    rate_hz: int
    counts_per_mv: float
    rails: tuple[int, int]
    description: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.counts) / self.rate_hz


def make_day(data: Path | None, hours: float) -> Day:
    """`hours` of record 100 of mitdb, lead MLII, over and over; of simulated ECG without it."""
    try:
        recording: Recording = find_database("mitdb", data).read(RECORD)
        row, what = recording.lead(LEAD), f"MIT-BIH record {RECORD}, lead {LEAD}"
    except DataError:
        recording = simulate_patient(0, SIMULATED_S, pvc_per_minute=5).recording
        row, what = 0, f"SIMULATED ECG of {SIMULATED_S} s"
    once = recording.counts[row].astype(np.int16)
    samples = round(hours * 3600 * recording.rate_hz)
    return Day(
        np.resize(once, samples),
        recording.rate_hz,
        recording.counts_per_mv[row],
        recording.rails[row],
        f"{what}, repeated to {hours:g} h at {recording.rate_hz} Hz",
    )


def host_rows(
    folder: Path,
    day: Day,
    hop_s: float,
    windows: int,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Rows `engine, way, kernels, bits, seconds, cpu_seconds, ratio, ...`, the C first.

    `seconds` and `cpu_seconds` are per day of signal, by the clock and of the processor; `ratio` is
    to the C's cpu_seconds; `measured_s` how much signal was analysed, `findings` how many came;
    `bits` whether their evidence was that of the C, bit for bit: "same" or "other".

    Args:
        folder: of the bundle.
        day: what is analysed.
        hop_s: seconds between decisions.
        windows: how many the interpreters run.
        say: called with what is measured next, and what is left out.

    Raises:
        ModelError: no C compiler, or an engine cannot run the bundle.
        DataError: the day is shorter than the windows.
    """
    bundle = Bundle.load(folder)
    geometry = bundle.geometry
    # The first span whose context is all there, and where its window begins.
    first_s = ceil(geometry.left / MODEL_RATE_HZ / hop_s) * hop_s
    begin = round(first_s * MODEL_RATE_HZ) - geometry.left
    stop = begin + bundle.input_length + round((windows - 1) * hop_s * MODEL_RATE_HZ)
    head = _head(day, stop / MODEL_RATE_HZ + MARGIN_S, windows)
    say(f"engine c: {day.seconds / 3600:g} h of signal")
    rows = [_streamed(bundle, day, "c", hop_s)]
    expected = _evidence(bundle, head, "c", hop_s)
    say(f"a stream in Python, litert: {head.seconds:.0f} s of signal")
    found = _evidence(bundle, head, "litert", hop_s)
    rows.append({**_streamed(bundle, head, "litert", hop_s), "bits": _bits(found, expected)})
    x = FrontEnd(day.rate_hz, day.counts_per_mv, day.rails).run(head.counts).x[begin:stop]
    for kind, kernels in INTERPRETERS:
        say(f"{kind}, {kernels} kernels: {windows} windows")
        timed = _timed(folder, x, round(hop_s * MODEL_RATE_HZ), kind, kernels)
        if timed is None:
            say(f"{kind} is not installed: LEFT OUT")
            continue
        timing, evidence = timed
        real = dequantize(evidence.transpose(0, 2, 1), bundle.tensors["evidence"])
        found = {first_s + number * hop_s: values for number, values in enumerate(real)}
        rows.append(_windowed(timing, kind, kernels, hop_s, _bits(found, expected)))
    return [{**row, "ratio": row["cpu_seconds"] / rows[0]["cpu_seconds"]} for row in rows]


def _head(day: Day, seconds: float, windows: int) -> Day:
    if day.seconds < seconds:
        raise DataError(
            f"the recording has {day.seconds:g} s, expected {seconds:.0f} s for {windows} windows; "
            "analyse more hours, or fewer windows"
        )
    return replace(day, counts=day.counts[: round(seconds * day.rate_hz)])


def _streamed(bundle: Bundle, day: Day, engine: str, hop_s: float) -> dict[str, Any]:
    """A row of `bundle.stream`: counts in, findings with their evidence out."""
    next(_explained(bundle, day, engine, hop_s))  # compiled, or loaded, before it is timed
    findings = 0
    clock, cpu = time.perf_counter(), time.process_time()
    for finding in _explained(bundle, day, engine, hop_s):
        findings += finding.evidence is not None
    scale = DAY_S / day.seconds
    return {
        "engine": engine,
        "way": "stream, front end and decisions included",
        "kernels": "host" if engine == "c" else "reference",
        "version": __version__,
        "seconds": (time.perf_counter() - clock) * scale,
        "cpu_seconds": (time.process_time() - cpu) * scale,
        "measured_s": day.seconds,
        "findings": findings,
        "bits": "same",
    }


def _windowed(
    timing: dict[str, Any], kind: str, kernels: str, hop_s: float, bits: str
) -> dict[str, Any]:
    """A row of an interpreter."""
    scale = DAY_S / hop_s / timing["windows"]
    return {
        "engine": kind,
        "way": "whole windows, front end not included",
        "kernels": kernels,
        "version": timing["version"],
        "seconds": timing["seconds"] * scale,
        "cpu_seconds": timing["cpu_seconds"] * scale,
        "measured_s": timing["windows"] * hop_s,
        "findings": timing["windows"],
        "bits": bits,
    }


def _explained(bundle: Bundle, day: Day, engine: str, hop_s: float) -> Iterator[Finding]:
    options: dict[str, Any] = {"rails": day.rails, "hop_s": hop_s, "engine": engine}
    return bundle.explain(day.counts, day.rate_hz, day.counts_per_mv, **options)


def _evidence(bundle: Bundle, day: Day, engine: str, hop_s: float) -> dict[float, Evidence]:
    """Evidence by the second its span starts, of spans that are assessable and saw no padding."""
    return {
        finding.start_s: finding.evidence
        for finding in _explained(bundle, day, engine, hop_s)
        if finding.evidence is not None and finding.padded is not None and not finding.padded.any()
    }


def _bits(found: dict[float, Evidence], expected: dict[float, Evidence]) -> str:
    """Whether evidence is the same wherever both have some, which is somewhere."""
    shared = found.keys() & expected.keys()
    same = bool(shared) and all(np.array_equal(found[key], expected[key]) for key in shared)
    return "same" if same else "other"


def _timed(
    folder: Path, x: NDArray[np.int8], hop: int, kind: str, kernels: str
) -> tuple[dict[str, Any], NDArray[np.int8]] | None:
    """`window_timing` in a process of its own; None where the interpreter is not installed."""
    python = Path(sys.executable) if kind == "litert" else other_python()
    if not python.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        samples, evidence = Path(name) / "x.npy", Path(name) / "evidence.npy"
        np.save(samples, x)
        done = subprocess.run(
            [python, "-m", "benchmarks.device.window_timing", folder, samples, str(hop), kind,
             kernels, evidence],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "sdk")))},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if f"{kind} is not installed" in done.stderr:
            return None
        if done.returncode:
            raise ModelError(f"{kind}, {kernels} kernels: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout.splitlines()[-1]), np.load(evidence)

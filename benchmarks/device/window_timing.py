"""What it costs an interpreter to run whole windows, one for each hop: the way without streaming.

    python -m benchmarks.device.window_timing BUNDLE SAMPLES.npy HOP KIND KERNELS EVIDENCE.npy

runs in an environment that has numpy and an interpreter only. `SAMPLES.npy` is int8 `[N]` at 128
Hz, `HOP` in samples; `EVIDENCE.npy` gets int8 `[n, T, C]` of every window; prints one line of JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import EngineKind, InterpreterEngine, Kernels

PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}


@dataclass(frozen=True)
class WindowTiming:
    """Seconds, by the clock and of the processor, that `windows` windows took."""

    windows: int
    seconds: float
    cpu_seconds: float
    version: str


def time_windows(
    bundle: Bundle, x: NDArray[np.int8], hop: int, kind: EngineKind, kernels: Kernels
) -> tuple[WindowTiming, NDArray[np.int8]]:
    """Run all whole windows of `x` on one thread; their evidence comes with the timing.

    Timed are the interpreter's copies and its run. The front end, which an interpreter has not, and
    decisions are not.

    Args:
        bundle: what is run.
        x: int8 `[N]` at 128 Hz, from the front end.
        hop: samples from one window to the next.
        kind, kernels: see `runtime.engines.make_engine`.

    Raises:
        ModelError: the interpreter is not installed, or the samples are fewer than two windows.
    """
    engine = bundle.engine(kind, kernels)
    starts = range(0, len(x) - bundle.input_length + 1, hop)
    if len(starts) < 2 or not isinstance(engine, InterpreterEngine):
        raise ModelError(
            f"{len(x)} samples hold {len(starts)} windows for {engine.name}, expected 2 or more "
            "for an interpreter"
        )
    windows = [x[start : start + bundle.input_length] for start in starts]
    engine.evidence(windows[0])  # what the first run prepares is not counted
    found = []
    clock, cpu = time.perf_counter(), time.process_time()
    for window in windows:
        found.append(engine.evidence(window))
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    version = importlib.metadata.version(PACKAGES[kind])
    return WindowTiming(len(windows), seconds, cpu_seconds, version), np.stack(found)


def main(folder: str, samples: str, hop: str, kind: str, kernels: str, evidence: str) -> None:
    """See the module's text."""
    x = np.load(samples)
    timing, found = time_windows(Bundle.load(folder), x, int(hop), kind, kernels)  # type: ignore[arg-type]
    np.save(evidence, found)
    print(json.dumps(asdict(timing)))


if __name__ == "__main__":
    main(*sys.argv[1:])

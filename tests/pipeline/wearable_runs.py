"""A wearable recipe small enough for a test: every step is real, a few steps on simulated ECG."""

from __future__ import annotations

from typing import Any

from beatlens.tasks.recordings.data import SIMULATED, SIMULATION_SEED
from beatlens.signals.simulate import SimulatedRecording, simulate_patient
from beatlens.tasks.recordings.labels import SYMBOLS

SECONDS = 12
SHORT = {"steps": 12, "batch": 8, "learning_rate": 3e-3, "validate_every": 12, "keep": "last"}
NETWORK = {"kind": "dense", "channels": [6, 6, 6], "kernels": [8, 8, 8], "strides": [2, 2, 2]}
TINY: dict[str, Any] = {
    "task": "wearable",
    "name": "tiny",
    "data": {
        "source": "simulated",
        "simulated_recordings": 80,
        "simulated_seconds": SECONDS,
        "test_fold": 0,
    },
    "sampling": {"seconds": 10, "shortest": 8},
    "decision": {"offsets": {"afib": 0.3, "noise": -0.2}},
    "teacher": NETWORK,
    "student": {**NETWORK, "channels": [4, 4, 4]},
    "teacher_schedule": SHORT,
    "student_schedule": SHORT,
    "quantize_schedule": SHORT,
    "distill": {"cache": 64},
}


def simulated(number: int, seconds: float = SECONDS) -> SimulatedRecording:
    """Simulated recording `number` of a recipe, as `read_recordings` makes it."""
    kinds = SIMULATED[SYMBOLS[number % len(SYMBOLS)]]
    kind = kinds[number // len(SYMBOLS) % len(kinds)]
    return simulate_patient(SIMULATION_SEED + number, seconds, rate_hz=300, **kind)

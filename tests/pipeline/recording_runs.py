"""A recipe of recordings small enough for a test: every step is real, the ECG simulated."""

from __future__ import annotations

from typing import Any

from beatlens.signals.simulate import SimulatedRecording, simulate_patient
from beatlens.tasks.common.simulated import SIMULATED
from beatlens.tasks.recordings.data import SIMULATION_SEED

from .tiny import TINY as SMALL
from .tiny import document_of

SECONDS = 12
DOCUMENT = document_of("recordings")
CLASSES = DOCUMENT["task"]["classes"]
OFFSETS = {"afib": 0.3, "noise": -0.2}
TINY: dict[str, Any] = {
    **DOCUMENT,
    **SMALL,
    "task": {
        "kind": "recordings",
        "classes": {n: {**one, "offset": OFFSETS.get(n, 0.0)} for n, one in CLASSES.items()},
    },
    "data": {
        "source": "simulated",
        "simulated_patients": 80,
        "simulated_seconds": SECONDS,
        "sources": [{"database": "cinc2017", "split": {"parts": 5, "test_part": 0}}],
    },
    "sampling": {"seconds": 10, "shortest": 8},
    "distill": {"cache": 64},
}


def simulated(number: int, seconds: float = SECONDS) -> SimulatedRecording:
    """Simulated recording `number` of a recipe, with its annotations."""
    names = tuple(SIMULATED)
    variants = SIMULATED[names[number % len(names)]]
    variant = variants[number // len(names) % len(variants)]
    return simulate_patient(SIMULATION_SEED + number, seconds, rate_hz=300, **variant)

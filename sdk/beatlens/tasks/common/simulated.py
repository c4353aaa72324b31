"""Simulated recordings with labels of whole recordings, where real ones are not at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient

SIMULATED: dict[str, tuple[dict[str, Any], ...]] = {
    "normal": ({"rhythm": "sinus"},),
    "afib": ({"rhythm": "afib"},),
    "other": (
        {"rhythm": "sinus", "pvc_per_minute": 12.0},
        {"rhythm": "sinus", "pac_per_minute": 12.0},
    ),
    "noise": ({"rhythm": "sinus", "noise": 12.0},),
}
"""What recordings are simulated as, by what a label would say, in turns."""


def simulated_recordings(count: int, seconds: float, seed: int) -> Iterator[tuple[Recording, str]]:
    """Recordings of 300 Hz and what each is, a key of `SIMULATED`, each in turn.

    >>> [name for _, name in simulated_recordings(5, 10, seed=1)]
    ['normal', 'afib', 'other', 'noise', 'normal']
    """
    names = tuple(SIMULATED)
    for number in range(count):
        name = names[number % len(names)]
        variants = SIMULATED[name]
        variant = variants[number // len(names) % len(variants)]
        yield simulate_patient(seed + number, seconds, rate_hz=300, **variant).recording, name

"""Strips to draw in the tests."""

import numpy as np

from beatlens.report.views import MapView, StripView


def map_view(name: str = "teacher", scale: float = 1.0, **changes: object) -> MapView:
    columns = np.zeros(160)
    columns[40:50] = [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]
    values: dict = {
        "name": name,
        "probabilities": {"pvc": 0.93, "sve": 0.1},
        "thresholds": {"pvc": 0.5, "sve": 0.4},
        "evidence": {"pvc": scale * columns - 0.5, "sve": -np.ones(160)},
        "stride": 8,
    }
    return MapView(**{**values, **changes})


def strip_view(**changes: object) -> StripView:
    t = np.arange(1280) / 128
    values: dict = {
        "record": "119",
        "start_s": 30.0,
        "millivolts": np.sin(2 * np.pi * t),
        "teacher": map_view(),
        "device": map_view("device (int8)", 0.9),
        "beats": [(31.0, "N"), (32.8, "V")],
        "truth": {"pvc": [(32.5, 33.1)]},
        "agreement": {"pvc": {"spearman": 0.91, "same_peak": True}},
        "lead": "MLII",
    }
    return StripView(**{**values, **changes})

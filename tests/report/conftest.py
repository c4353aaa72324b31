"""Strips and figures for the report's tests: simulated, small, without any recording."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from beatlens.report.tables import Figures
from beatlens.report.views import MapView, ReportData, StripView

THRESHOLDS = {"pvc": 0.5, "sve": 0.35}


def make_map(name: str = "Teacher (float)", stride: int = 8, **changes: Any) -> MapView:
    columns = 1280 // stride
    pvc = np.full(columns, -2.0)
    pvc[columns // 2 : columns // 2 + 4] = [3.0, 9.0, 18.0, 6.0]
    settings: dict[str, Any] = {
        "probabilities": {"pvc": 0.9, "sve": 0.1},
        "thresholds": THRESHOLDS,
        "evidence": {"pvc": pvc, "sve": np.full(columns, -1.0)},
        "stride": stride,
    }
    return MapView(name, **(settings | changes))


def make_strip(**changes: Any) -> StripView:
    time = np.arange(1280) / 128
    settings: dict[str, Any] = {
        "record": "sim-1",
        "start_s": 60.0,
        "millivolts": 0.8 * np.sin(2 * np.pi * time),
        "teacher": make_map(),
        "device": make_map("Device (int8)"),
        "beats": [(61.0, "N"), (65.1, "V")],
        "truth": {"pvc": [(64.85, 65.45)], "sve": []},
        "agreement": {"pvc": {"spearman": 0.914, "same_peak": True}},
        "lead": "MLII",
    }
    return StripView(**(settings | changes))


def make_report(**changes: Any) -> ReportData:
    settings: dict[str, Any] = {
        "title": "Run 7",
        "subtitle": "tiny",
        "data_description": "Simulated ECG, no patient.",
        "strips": [make_strip()],
    }
    return ReportData(**(settings | changes))


@pytest.fixture
def strip() -> Callable[..., StripView]:
    return make_strip


@pytest.fixture
def evidence_map() -> Callable[..., MapView]:
    return make_map


@pytest.fixture
def report() -> Callable[..., ReportData]:
    return make_report


@pytest.fixture
def figures() -> Figures:
    rows = [
        {
            "model": "small",
            "matching": matching,
            "form": form,
            "seed": seed,
            "spearman": base + 0.02 * seed,
            "spearman_lo": base - 0.1,
            "spearman_hi": base + 0.1,
            "macro_ap": 0.6 + 0.01 * seed,
            "bytes": 28_900 if form == "int8" else 115_600,
        }
        for matching, base in (("none", 0.6), ("classwise", 0.84))
        for form in ("float", "int8")
        for seed in (0, 1, 2)
    ]
    return Figures("beatlens x", "abc1234", "simulated", "two cores", rows)

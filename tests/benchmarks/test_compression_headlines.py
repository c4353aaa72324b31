"""Claims are held against the table's own rows; without their cells they are not made."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.compression.headlines import Measurements, headlines
from benchmarks.compression.tables import _logged


def cell(method: str, share: int, seed: int = 0, **figures: Any) -> dict[str, Any]:
    named = {"method": method, "share": share, "matching": "classwise", "seed": seed}
    return {**named, **figures}


def less(what: str, method: str, share: int, seed: int = 0, **figures: Any) -> dict[str, Any]:
    return {**cell(method, share, seed), "less": what, **figures}


def by_system(found: Measurements) -> dict[str, dict[str, Any]]:
    return {row["system"]: row for row in headlines(found)}


def test_nothing_measured_nothing_claimed() -> None:
    assert headlines(Measurements([], [])) == []
    # One of a pair is not enough.
    assert headlines(Measurements([cell("permuted blocks", 20, covered_times=8.0)], [])) == []


def test_figures_are_means_over_seeds_against_the_limits() -> None:
    cells = [
        *(cell("permuted blocks", 20, s, covered_times=8.0) for s in (0, 1)),
        *(cell("coded kernels", 20, s, bits_per_weight=1.5 + 0.1 * s) for s in (0, 1)),
        cell("unified blocks", 20, packed_bytes=200, weights=1000),
        cell("head, manifold", 100, fit_seconds=2.0, macro_ap=0.66),
        cell("head, gradient", 100, fit_seconds=50.0, macro_ap=0.665),
    ]
    differences = [
        less("teacher", "permuted blocks", 20, 0, macro_ap=-0.02),
        less("teacher", "permuted blocks", 20, 1, macro_ap=0.01),
        less("teacher", "coded kernels", 20, macro_ap=-0.03),
        less("teacher", "unified blocks", 20, macro_ap=0.004),
        less("none", "coded kernels", 20, macro_ap=0.02, spearman_lo=0.3),
        less("none", "unified blocks", 20, macro_ap=-0.02, spearman_lo=0.1),
    ]
    rates = [
        {"method": "channels L1", "share": 100, "rate": rate, "spearman": s, "macro_ap": 0.6}
        for rate, s in ((3e-2, 0.9), (3e-4, 0.7))
    ]
    found = by_system(Measurements(cells, differences, rates))
    assert found["MPDCompress"]["macro_ap_lost"] == pytest.approx(0.005)
    assert found["MPDCompress"]["met"] == "yes"
    assert found["kernel quantization"]["value"] == pytest.approx(1.55)
    assert found["kernel quantization"]["met"] == "no"  # 3 points lost
    assert found["weight unification"]["value"] == pytest.approx(0.8)
    assert found["weight unification"]["met"] == "yes"
    assert found["dynamical isometry"]["value"] == pytest.approx(0.2)
    assert found["manifold head"]["value"] == pytest.approx(25)
    assert found["manifold head"]["macro_ap_lost"] == pytest.approx(0.005)
    assert found["manifold head"]["met"] == "yes"
    gained, cost = (row for row in headlines(Measurements(cells, differences, rates))
                    if row["system"] == "classwise matching")  # fmt: skip
    assert (gained["value"], gained["met"]) == (pytest.approx(0.1), "yes")
    assert (cost["value"], cost["met"]) == (pytest.approx(0.02), "no")


def test_a_methods_log_gives_its_own_figures() -> None:
    blocks = [
        {"event": "blocks", "weights": 10, "of": 80},
        {"event": "blocks", "weights": 10, "of": 40},
    ]
    assert _logged(blocks) == {"covered_times": 6.0, "bits_per_weight": None, "fit_seconds": None}
    coded = [
        {"event": "coded", "bits_per_weight": 1.7},
        {"event": "trimmed", "bits_per_weight": 1.5},
    ]
    assert _logged(coded)["bits_per_weight"] == 1.5
    assert _logged([{"event": "fitted", "seconds": 0.5}])["fit_seconds"] == 0.5

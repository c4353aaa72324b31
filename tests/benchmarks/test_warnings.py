"""`python -m benchmarks warnings` on real ECG: patients with a pacemaker get more warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases import find_database
from benchmarks.robustness.warnings import Group, groups, warning_rows

MODELS = Path(__file__).parents[2] / "models"


def test_pacemakers_and_leads_upside_down(data_dir: Path) -> None:
    mitdb, svdb = find_database("mitdb", data_dir), find_database("svdb", data_dir)
    chosen = [
        Group("own", mitdb, ("106", "119")),
        Group("turned", mitdb, ("106", "119"), -1),
        Group("paced", mitdb, ("102", "107")),  # 102: lead V5
    ]
    bundle = Bundle.load(MODELS / "beats" / "bundle")
    own, turned, paced = warning_rows(bundle, chosen)
    assert own["beats"] == pytest.approx(turned["beats"], rel=0.05)
    assert own["warned"] < 3 < turned["warned"]
    assert paced["warned"] > 20
    named = sum(paced[name] for name in ("noisy", "low_margin", "out_of_distribution"))
    assert paced["warned"] <= named + 1e-9
    assert own["wrong"] < turned["wrong"]
    wanted = {group.what: len(group.records) for group in groups(mitdb, svdb)}
    assert wanted == {"DS2": 22, "DS2, upside down": 22, "paced": 4, "svdb, validation": 13}


def test_a_bundle_of_spans_is_refused() -> None:
    with pytest.raises(RecipeError, match="'strips' decides on spans"):
        warning_rows(Bundle.load(MODELS / "strips" / "bundle"), [])

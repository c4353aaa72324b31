"""The firmware's figures: what is measured, and the gate that keeps them from growing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beatlens.c_source.plan import lay_out
from beatlens.errors import BeatlensError
from beatlens.integer.tflite_read import read_tflite
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from benchmarks.device.boards import BOARDS
from benchmarks.device.firmware import (
    beat_case,
    grown,
    measure_case,
    products_per_second,
    stream_case,
    window_case,
)

from ..firmware.boards import require_tools

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "models" / "strips" / "bundle"
COMMITTED = ROOT / "docs" / "figures" / "firmware.json"


@pytest.fixture(scope="module")
def committed() -> list[dict[str, Any]]:
    return [dict(row) for row in load_figures(COMMITTED).rows]


@pytest.fixture(scope="module")
def released() -> Bundle:
    return Bundle.load(RELEASED)


@pytest.mark.parametrize("core", ["m4", "m55"])
def test_the_released_model_costs_no_more_than_committed(
    core: str, released: Bundle, committed: list[dict[str, Any]]
) -> None:
    require_tools()
    row = measure_case(stream_case(released, BOARDS[core]), core, BOARDS[core])
    assert grown(row, committed) == []


def test_beats_cost_no_more_than_committed(committed: list[dict[str, Any]]) -> None:
    require_tools()
    bundle = Bundle.load(RELEASED.parents[1] / "beats" / "bundle")
    row = measure_case(beat_case(bundle, BOARDS["m4"]), "m4", BOARDS["m4"])
    assert grown(row, committed) == []


@pytest.mark.parametrize(("name", "most"), [("std_cam", 1.1), ("tiny_cam", 1.4), ("ds_cam", 2.0)])
def test_reference_models_cost_no_more_than_committed(
    name: str, most: float, shared_dir: Path, committed: list[dict[str, Any]]
) -> None:
    require_tools()
    case = window_case(shared_dir / "anchors" / f"{name}.tflite", BOARDS["m4"])
    row = measure_case(case, "m4", BOARDS["m4"])
    assert grown(row, committed) == []
    assert row["per_mac"] <= most
    assert row["instructions"] < row["tflm_instructions"] / 2


def test_all_cores_and_models_are_committed(committed: list[dict[str, Any]]) -> None:
    models = {row["model"] for row in committed}
    strips = {"strips", "strips-31k", "strips-20k", "strips-10k", "strips-6k"}
    released = strips | {"beats", "beats-6k"}
    assert models == {"std_cam", "ds_cam", "tiny_cam", *released}
    assert {(row["model"], row["core"]) for row in committed} == {
        (model, core) for model in models for core in BOARDS
    }


def test_growth_is_seen(committed: list[dict[str, Any]]) -> None:
    row = committed[0]
    more = {**row, "flash_bytes": round(row["flash_bytes"] * 1.03)}
    assert grown(row, committed) == []
    assert len(grown(more, committed)) == 1
    assert "flash_bytes" in grown(more, committed)[0]
    assert grown({**more, "compiler": "another"}, committed) == []


def test_products_of_a_second_are_those_of_long_windows(released: Bundle) -> None:
    graph = read_tflite(released.tflite)
    second = 128
    length = graph.tensors[graph.input].length
    longer = graph.with_input_length(length + second).macs - graph.macs
    assert products_per_second(lay_out(graph)) == longer


def test_a_program_that_fails_is_no_figure(released: Bundle) -> None:
    require_tools()
    case = stream_case(released, BOARDS["m4"])
    macro, *_ = case.lengths
    with pytest.raises(BeatlensError, match="failed"):  # too short for a finding
        measure_case(replace(case, lengths=(macro, 1, 2)), "m4", BOARDS["m4"])

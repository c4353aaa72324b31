"""Firmware packages that decide on beats: they build, and their golden vectors hold on boards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.firmware.cores import CORES
from beatlens.firmware.package import write_bundle
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.warning_bits import CLIPPED
from beatlens.signals.frontend import FrontEnd
from beatlens.verbs.app import app
from benchmarks.device import measure

from .beat_bundles import beat_bundle
from .boards import BOARDS, build, require_tools, run
from .compiled import ENGINE, source
from .test_package import made_by_make, spoil
from .test_stack import MAX_BYTES

SENSOR = FrontEnd(250, 400.0, (-2048, 2047))
WIDE = FrontEnd(250, 200.0, (-2048, 2047))
"""A sensor of 10 mV either way: what is larger than a network's input can be reaches it."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return beat_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("core", CORES)
def test_golden_vectors_hold_on_this_computer(bundle: Bundle, core: str, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "wrist", core)
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "wrong", ["6, 0", "60, 2", None], ids=["never_if_clipped", "clipped_warning", "none"]
)
def test_golden_vectors_have_clipped_beats(wrong: str | None, tmp_path: Path) -> None:
    """S nearly always wins; of the beats that are clipped another class does, with a warning."""
    folder = write_bundle(beat_bundle(tmp_path, likely="s"), WIDE, tmp_path / "out", "wrist")
    golden = " ".join((folder / "wrist_golden_beats.c").read_text().split())
    beats = re.findall(r"\{\d+, \d+, 1, (\d+), (\d+), \{", golden)
    clipped = [int(number) for number, warnings in beats if int(warnings) & CLIPPED]
    others = [int(number) for number, warnings in beats if not int(warnings) & CLIPPED]
    assert clipped
    assert 1 not in clipped
    assert set(others) == {1}
    source = folder / "wrist.c"
    text = source.read_text()
    assert "    6, 2,\n" in text  # 5 % of 136 samples; bit 1 is S
    if wrong is not None:
        source.write_text(text.replace("    6, 2,\n", f"    {wrong},\n"))
    assert (made_by_make(folder, "check").returncode == 0) == (wrong is None)


@pytest.mark.parametrize("board", ["m3", "m4", "m7", "m33", "m55"])
def test_golden_vectors_hold_on_boards(bundle: Bundle, board: str, tmp_path: Path) -> None:
    require_tools()
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "wrist", board)
    sources = [*folder.glob("*.c"), *(folder / "src").glob("*.c")]
    program = build(BOARDS[board], sources, tmp_path, f"-I{folder}")
    assert run(BOARDS[board], program).status == 0


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("wrist_golden_beats.c", "wrist_golden_beats_scores_3"),
        ("wrist_golden_beats.c", "wrist_golden_beats_counts"),
        ("wrist.c", "wrist_offsets"),
        ("wrist_net.c", "wrist_net_2_weights"),
    ],
)
def test_damage_is_seen(bundle: Bundle, file: str, array: str, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "wrist")
    spoil(folder / file, array)
    done = made_by_make(folder, "check")
    assert done.returncode != 0
    assert "selftest] Error 1" in done.stderr or "check] Error 1" in done.stderr, done.stderr


NOBODY = """
#include <stdio.h>
#include "bl_qrs.h"
#include "bl_selftest_beats.h"
#include "beats.h"
#include "beats_sensor.h"
#include "beats_golden_beats.h"
#include "beats_golden_net.h"

static uint32_t room[(BEATS_MEMORY_BYTES(BEATS_SENSOR_TAPS) + 3) / 4];
static bl_beats stream;
static bl_qrs detector;

int main(void)
{
    const bl_golden_beats *g = &beats_golden_beats;
    const bl_golden_net *n = &beats_golden_net;
    bl_net net;
    uint32_t i;
    int rc = bl_beats_init(&stream, g->task, g->sensor, room, sizeof room);

    if (rc == BL_OK)
        rc = bl_beats_push(&stream, g->counts, g->count, 0, 0);
    if (rc == BL_OK)
        rc = bl_beats_gap(&stream, 50, 0, 0);
    if (rc == BL_OK)
        rc = bl_beats_push(&stream, g->counts, g->count, 0, 0);
    if (rc == BL_OK)
        rc = bl_beats_end(&stream, 0, 0);
    if (rc == BL_OK)
        rc = bl_net_init(&net, n->model, room, sizeof room);
    if (rc == BL_OK)
        rc = bl_net_push(&net, n->inputs, n->columns, 0, 0);
    bl_qrs_init(&detector, 75);
    for (i = 0; i < 20 * 128; i++)
        bl_qrs_push(&detector, (int8_t)(i % 100 < 5 ? 60 : 0), 0, 0);
    bl_qrs_end(&detector, 0, 0);
    return rc;
}
"""


@pytest.mark.parametrize("board", [None, "m4"])
def test_callbacks_may_be_left_out(bundle: Bundle, board: str | None, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "beats")
    (folder / "selftest.c").write_text(NOBODY)
    if board is None:
        assert made_by_make(folder, "check").returncode == 0
        return
    require_tools()
    sources = [*folder.glob("*.c"), *(folder / "src").glob("*.c")]
    program = build(BOARDS[board], sources, tmp_path, f"-I{folder}")
    assert run(BOARDS[board], program).status == 0


def test_stack_is_bounded(tmp_path: Path) -> None:
    require_tools()
    chain = (
        "bl_beats",
        "bl_features",
        "bl_frontend",
        "bl_lead",
        "bl_patient",
        "bl_qrs",
        "bl_qrs_shapes",
    )
    library = map(source, (*chain, *ENGINE))
    objects = measure.compile_objects("cortex-m4", library, tmp_path, "-Os")
    functions = ("bl_beats_push", "bl_beats_gap", "bl_beats_end")
    needed = measure.stack_bytes(
        objects, functions, measure.BEAT_POINTERS, {"memcpy": 16, "memset": 16}
    )
    assert max(stack.bytes for stack in needed.values()) < MAX_BYTES


def test_the_command_line_writes_it_and_refuses_tflm(bundle: Bundle, tmp_path: Path) -> None:
    beat_bundle(tmp_path)
    arguments = ["firmware", str(tmp_path / "bundle"), "--rate", "250", "--counts-per-mv", "400"]
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "a beat is decided on 17 columns" in (out / "README.md").read_text()
    result = CliRunner().invoke(app, [*arguments, "--tflm"])
    assert "expected a bundle that decides on spans" in str(result.exception)


@pytest.mark.parametrize("name", ["beats", "memory", "task", "stream"])
def test_names_that_the_self_test_might_use_itself_compile(
    bundle: Bundle, name: str, tmp_path: Path
) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", name)
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr

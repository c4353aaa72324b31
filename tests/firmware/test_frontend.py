"""The C front end against the Python one: the same bits for every rate, signal and end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import RecipeError, SignalError
from beatlens.firmware import sensor_source
from beatlens.signals.frontend import RATES_HZ, FrontEnd
from beatlens.signals.wfdb_files import read_recording

from .compiled import HERE, compile_c, run_c, source, write_c

RAILS = (-1900, 2047)


def build(frontend: FrontEnd, folder: Path) -> Path:
    """The front end of one sensor as a program for this machine."""
    made = write_c(sensor_source(frontend, "sensor"), folder, "sensor")
    sources = [source("bl_frontend"), made, HERE / "frontend_harness.c"]
    return compile_c(sources, folder / "frontend", f"-I{folder}")


def agree(program: Path, frontend: FrontEnd, counts: np.ndarray) -> np.ndarray:
    """Assert that C gives what Python gives; the flags `[m]` it raised."""
    done = run_c(program, counts.astype("<i2").tobytes())
    found = np.frombuffer(done, np.uint8).reshape(-1, 2)
    wanted = frontend.run(counts)
    flags = wanted.saturated * 1 + wanted.clipped * 2 + wanted.flat * 4 + wanted.noisy * 8
    np.testing.assert_array_equal(found[:, 0].view(np.int8), wanted.x)
    np.testing.assert_array_equal(found[:, 1], flags)
    return flags


def recording(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Noise with steps, rails, overflow and a lead that falls off, int16."""
    x = rng.normal(0, 150, samples) + 1500 * np.sin(np.arange(samples) / 900)
    for value, scale in ((RAILS[1], 1), (RAILS[0], 1), (32767, 1), (-32768, 1), (40, 9)):
        first = int(rng.integers(0, samples))
        x[first : first + int(rng.integers(1, samples // 16 * scale))] = value
    return np.clip(np.round(x), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_c_gives_the_bits_python_gives(rate: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(rate)
    frontend = FrontEnd(rate, 200.0, RAILS)
    program = build(frontend, tmp_path)
    seen = 0
    for _ in range(4):
        seen |= int(np.bitwise_or.reduce(agree(program, frontend, recording(rng, 14 * rate))))
    assert seen == 15  # every flag was raised
    extremes = rng.choice(np.array([-32768, 32767], np.int16), 3 * rate)
    agree(program, frontend, extremes)
    for samples in (1, 2, 3, frontend.half, frontend.half + 1, 2 * frontend.half + 1, rate):
        agree(program, frontend, recording(rng, max(samples, 64))[:samples])


@pytest.mark.parametrize(("counts_per_mv", "rails"), [(0.01, None), (1e6, (-5, 5)), (819.2, None)])
def test_gains_from_end_to_end(
    counts_per_mv: float, rails: tuple[int, int] | None, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    frontend = FrontEnd(250, counts_per_mv, rails)
    program = build(frontend, tmp_path)
    agree(program, frontend, recording(rng, 2000))
    agree(program, frontend, rng.integers(-32768, 32768, 2000).astype(np.int16))


def test_a_real_recording(mitdb_dir: Path, tmp_path: Path) -> None:
    record = read_recording(mitdb_dir, "100")
    frontend = FrontEnd(360, record.counts_per_mv[0], record.rails[0])
    agree(build(frontend, tmp_path), frontend, record.counts[0])


@pytest.mark.parametrize("name", ["", "9lead", "a-b", "x y", "lead;", "double"])
def test_names_that_c_does_not_know_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="C identifier"):
        sensor_source(FrontEnd(128, 200.0), name)


def test_rails_beyond_16_bits_are_refused() -> None:
    with pytest.raises(SignalError, match="rails are"):
        sensor_source(FrontEnd(128, 200.0, (-40000, 40000)), "lead")

"""What a project holds, in the real TensorFlow Lite Micro: the same bits, and the arena it takes.

That interpreter lives in an environment of its own (`make tflite-env`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from beatlens.errors import ModelError, RecipeError
from beatlens.firmware import tflm as module
from beatlens.firmware import tflm_project
from beatlens.firmware.arena import Arena, estimated_arena, measure_arena
from beatlens.integer import arithmetic
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd

from ..integer.test_other_interpreters import single_rounding, tflite_python
from ..runtime.cases import GAIN, ecg_counts
from ..runtime.conftest import make_bundle
from .compiled import HERE
from .test_stream import RAILS
from .tflm_programs import dumped, edited

__all__ = ["tflite_python"]  # a fixture


@pytest.fixture(scope="module", params=["dense", "residual"])
def bundle(request, tmp_path_factory) -> Bundle:
    return make_bundle(request.param, tmp_path_factory.mktemp("bundle") / request.param)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


def measured(tflite: bytes, python: Path) -> Arena:
    """The arena of a model; skips where the environment has no TensorFlow Lite Micro."""
    arena = measure_arena(tflite, python)
    if arena is None:
        pytest.skip(f"silabs-mltk is not installed for {python}: arena and model NOT TESTED")
    return arena


@pytest.mark.export
def test_the_real_interpreter_computes_the_same(
    bundle: Bundle, tflite_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the bytes of the project, on the windows of a stream; as in test_other_interpreters.py
    this TFLM rounds once, so the simulator has to as well to give the same bits."""
    arena = measured(bundle.tflite, tflite_python)
    frontend = FrontEnd(360, GAIN, RAILS)
    written = tflm_project(
        bundle, frontend, tmp_path / "project", "strips", tflm_python=tflite_python
    )
    x = frontend.run(ecg_counts(40)).x
    hop = bundle.hop_columns * bundle.geometry.stride
    starts = range(0, len(x) - bundle.input_length + 1, hop)
    windows = np.stack([x[start : start + bundle.input_length] for start in starts])[:, :, None]
    (tmp_path / "model.tflite").write_bytes(dumped(written[0].parent / "src", "strips"))
    np.save(tmp_path / "inputs.npy", windows)
    script = HERE.parent / "integer" / "run_other_interpreter.py"
    files = [tmp_path / name for name in ("model.tflite", "inputs.npy", "outputs.npz")]
    done = subprocess.run(
        [tflite_python, script, "tflm", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(files[2]) as outputs:
        found = outputs["evidence"]
    golden = simulate(read_tflite(bundle.tflite), windows)["evidence"]
    assert np.abs(golden.astype(int) - found).max() <= 8
    monkeypatch.setattr(arithmetic, "multiply_by_multiplier", single_rounding)
    rounded_once = simulate(read_tflite(bundle.tflite), windows)["evidence"]
    np.testing.assert_array_equal(found, rounded_once)
    assert len(windows) > 20

    # The arena in the project is the one this interpreter needed.
    needed = json.loads(done.stdout.splitlines()[-1])["arena_bytes"]
    assert arena.bytes == needed <= estimated_arena(bundle.tflite)
    text = (tmp_path / "project" / "src" / "strips.h").read_text()
    assert f"#define STRIPS_ARENA_BYTES {needed}u" in text
    assert "measured" in text
    assert "reference kernels" in text


def test_an_arena_that_nobody_measured_is_estimated(
    dense: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure_arena", lambda tflite, python: None)
    tflm_project(dense, FrontEnd(250, GAIN), tmp_path / "project", "strips")
    header = (tmp_path / "project" / "src" / "strips.h").read_text()
    readme = (tmp_path / "project" / "README.md").read_text()
    assert f"#define STRIPS_ARENA_BYTES {estimated_arena(dense.tflite)}u" in header
    assert "an estimate from above" in " ".join(header.split()).replace(" * ", " ")
    assert "(estimated, must be measured)" in readme
    assert "-DSTRIPS_ARENA_BYTES=" in readme


def test_where_the_arena_is_measured(dense: Bundle, tmp_path: Path) -> None:
    plain = tmp_path / "python"
    plain.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')
    plain.chmod(0o755)
    assert measure_arena(dense.tflite, plain) is None  # no silabs-mltk there
    with pytest.raises(RecipeError, match=r"cannot be measured with .*no_python"):
        measure_arena(dense.tflite, tmp_path / "no_python")
    with pytest.raises(RecipeError, match=r"cannot be measured with .*false"):
        measure_arena(dense.tflite, shutil.which("false"))


@pytest.mark.export
def test_a_model_that_the_real_interpreter_refuses(tflite_python: Path, dense: Bundle) -> None:
    def edit(model: schema.ModelT) -> None:
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.RFFT2D
        model.operatorCodes[0].deprecatedBuiltinCode = 127

    with pytest.raises(ModelError, match="does not accept the model"):
        measured(edited(dense.tflite, edit), tflite_python)

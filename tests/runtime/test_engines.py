"""Engines: the same bits from each, the right error where one is missing or misused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

import beatlens
from beatlens.errors import ModelError, SignalError
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime import engines
from beatlens.runtime.engines import InterpreterEngine
from benchmarks.device.other_python import other_python

from .cases import GAIN, RATE, ecg_counts

pytestmark = pytest.mark.export
HERE = [
    kind
    for kind, module in (("litert", "ai_edge_litert"), ("tensorflow", "tensorflow"))
    if importlib.util.find_spec(module)
]


@pytest.mark.parametrize("kind", [*HERE, "simulator", "auto"])
@pytest.mark.parametrize("network", ["dense", "residual"])
def test_engines_replay_the_golden_vectors(kind, network, bundle, residual):
    model = bundle if network == "dense" else residual
    model.verify(model.engine(kind))


@pytest.mark.parametrize("kind", ["litert", "simulator"])
@pytest.mark.parametrize("network", ["dense", "residual"])
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 159, 160, 161, 400])
def test_evidence_of_any_number_of_columns(kind, network, columns, bundle, residual):
    model = bundle if network == "dense" else residual
    x = np.random.default_rng(columns).integers(-128, 128, model.geometry.input_length(columns))
    x = x.astype(np.int8)
    graph = read_tflite(model.tflite).with_input_length(len(x))
    expected = simulate(graph, x[None, :, None])["evidence"][0]
    np.testing.assert_array_equal(model.engine(kind).evidence(x), expected)


def test_many_lengths_stay_right(bundle, interpreter):
    x = bundle.golden.inputs[0]
    for columns in [*range(1, 20), 3, 1, 19]:
        found = interpreter.evidence(x[: bundle.geometry.input_length(columns)])
        np.testing.assert_array_equal(found, bundle.golden.evidence[0][:columns])


@pytest.mark.parametrize("kind", ["litert", "simulator"])
@pytest.mark.parametrize(
    "x",
    [
        np.zeros(9, np.int8),
        np.zeros(1433, np.int8),
        np.zeros(0, np.int8),
        np.zeros(1432, np.int16),
        np.zeros((1, 1432), np.int8),
        [0] * 1432,
        None,
    ],
)
def test_bad_inputs_are_refused(kind, x, bundle):
    running = bundle.engine(kind)
    for run in (running.evidence, running.logits):
        with pytest.raises(SignalError, match="network input"):
            run(x)


def test_logits_are_of_one_span_only(bundle, interpreter):
    with pytest.raises(SignalError, match=f"expected {bundle.input_length}"):
        interpreter.logits(np.zeros(bundle.input_length + 8, np.int8))


def test_unknown_engines_are_refused(bundle):
    with pytest.raises(ModelError, match="engine is 'onnx', expected one of auto, litert"):
        bundle.engine("onnx")
    with pytest.raises(ModelError, match="kernels are 'fast', expected one of reference"):
        bundle.engine(kernels="fast")


def test_without_an_interpreter_the_error_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setattr(
        engines, "MODULES", {"litert": "no_such_litert", "tensorflow": "no_such_tensorflow"}
    )
    with pytest.raises(
        ModelError, match=r"no TFLite interpreter .* pip install 'beatlens\[litert\]'"
    ):
        bundle.engine()
    with pytest.raises(ModelError, match=r"litert is not installed .* pip install"):
        bundle.engine("litert")


def test_the_next_interpreter_is_taken(bundle, monkeypatch):
    modules = {"tflite-runtime": "no_such_module", "litert": engines.MODULES["litert"]}
    monkeypatch.setattr(engines, "MODULES", modules)
    assert bundle.engine().name == "litert, reference kernels"


@pytest.mark.parametrize("kernels", ["optimised", "xnnpack"])
def test_faster_kernels_are_close(bundle, kernels):
    fast = bundle.engine("litert", kernels)
    for x, expected in zip(bundle.golden.inputs, bundle.golden.evidence, strict=True):
        assert np.abs(fast.evidence(x).astype(int) - expected).max() <= 8


def test_verify_says_how_far_an_engine_is_off(bundle, interpreter):
    class Off:
        name = "off"

        def evidence(self, x):
            return interpreter.evidence(x)

        def logits(self, x):
            return interpreter.logits(x) + np.int8(2)

    class Short(Off):
        def evidence(self, x):
            return interpreter.evidence(x)[:-1]

    with pytest.raises(
        ModelError, match=r"off: logits of golden vector 0 differs in 4 of 4 .* 2 LSB"
    ):
        bundle.verify(Off())
    with pytest.raises(ModelError, match=r"evidence of golden vector 0 is int8 \(159, 4\)"):
        bundle.verify(Short())


SCRIPT = """
import json, sys
import numpy as np
from beatlens import Bundle
folder, counts = sys.argv[1:3]
bundle = Bundle.load(folder)
engine = bundle.engine(sys.argv[3])
bundle.verify(engine)
found = bundle.explain(np.load(counts), 360, 200.0, engine=engine)
print(json.dumps({
    "engine": engine.name,
    "modules": sorted(sys.modules),
    "findings": [[f.start_s, f.probabilities, list(f.predicted)] for f in found],
}))
"""


def run_script(python, bundle_dir, tmp_path, kind="auto", before=""):
    np.save(tmp_path / "counts.npy", ecg_counts(14))
    done = subprocess.run(
        [python, "-c", before + SCRIPT, bundle_dir, tmp_path / "counts.npy", kind],
        env={**os.environ, "PYTHONPATH": str(Path(beatlens.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def expected_findings(bundle, interpreter):
    found = bundle.explain(ecg_counts(14), RATE, GAIN, engine=interpreter)
    return [[f.start_s, f.probabilities, list(f.predicted)] for f in found]


def test_in_the_environment_of_tflite_runtime(bundle, interpreter, bundle_dir, tmp_path):
    """numpy 1.26 and tflite-runtime 2.14, nothing else: no LiteRT, no flatbuffers."""
    python = other_python()
    if not python.exists():
        pytest.skip(f"no {python} (make tflite-env): tflite-runtime has no wheel here")
    told = run_script(python, bundle_dir, tmp_path)
    assert told["engine"] == "tflite-runtime, reference kernels"
    assert told["findings"] == expected_findings(bundle, interpreter)


HEAVY = ("torch", "scipy", "wfdb", "pydantic", "sklearn", "matplotlib", "pandas", "neurokit2")
BLOCKER = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {(*HEAVY, "tensorflow")!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize("kind", ["auto", "simulator"])
def test_without_torch_and_all_the_rest(bundle, interpreter, bundle_dir, tmp_path, kind):
    told = run_script(sys.executable, bundle_dir, tmp_path, kind, before=BLOCKER)
    assert told["findings"] == expected_findings(bundle, interpreter)
    assert not set(HEAVY) & {name.split(".")[0] for name in told["modules"]}


@pytest.mark.parametrize("kind", ["litert", "simulator"])
def test_with_numpy_and_an_interpreter_only(bundle, interpreter, bundle_dir, tmp_path, kind):
    """Without flatbuffers, too, the file is read and checked before an interpreter gets it."""
    blocker = BLOCKER.replace("('torch'", "('flatbuffers', 'torch'")
    told = run_script(sys.executable, bundle_dir, tmp_path, kind, before=blocker)
    assert told["findings"] == expected_findings(bundle, interpreter)
    assert "beatlens.integer.tflite_read" in told["modules"]


def test_an_interpreter_gets_nothing_that_was_not_read(bundle):
    """A description that leads out of the file: the reader does not look at it."""
    contents = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bundle.tflite, 0))
    contents.description = "0123456789"
    builder = Builder(1024)
    builder.Finish(contents.Pack(builder), file_identifier=b"TFL3")
    data = bytearray(builder.Output())
    at = data.index(b"0123456789")
    data[at - 4 : at] = b"\xff\xff\xff\x7f"
    running = InterpreterEngine(dataclasses.replace(bundle, tflite=bytes(data)), "litert")
    assert running._tflite == bundle.tflite
    bundle.verify(running)

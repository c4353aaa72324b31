"""The same file in tflite-runtime 2.14 and in TensorFlow Lite Micro.

Both need numpy < 2, so they run in an environment of their own (`make tflite-env`; `TFLITE_VENV`
names its folder), through `run_other_interpreter.py`.
"""

import json
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from beatlens.integer import arithmetic
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_write import OPERATOR_VERSIONS, write_tflite
from benchmarks.device.other_python import other_python

from .blocks import RESIDUAL, block_graph
from .graphs import adversarial_inputs, permuted_graph, random_graph, student_graph

pytestmark = pytest.mark.export
SEEDS = [0, 1, 2, 4, 8, 9]
PERMUTED = [1, 2, 4, 5]  # grouped convolutions and permutations of channels
NAMES = [*map(str, SEEDS), *(f"permuted{seed}" for seed in PERMUTED), "student", "blocks"]


@pytest.fixture(scope="module")
def tflite_python() -> Path:
    """The Python with tflite-runtime and TFLM, if there is one."""
    python = other_python()
    if not python.exists():
        reason = f"{python} does not exist: tflite-runtime and TFLM NOT TESTED; make tflite-env"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return python


def run(python, interpreter, graph, x, folder):
    """Outputs of another interpreter, and what it says about itself."""
    paths = [folder / name for name in ("model.tflite", "inputs.npy", "outputs.npz")]
    paths[0].write_bytes(write_tflite(graph))
    np.save(paths[1], x)
    script = Path(__file__).with_name("run_other_interpreter.py")
    done = subprocess.run(
        [python, script, interpreter, *paths], capture_output=True, text=True, timeout=120
    )
    if "No module named" in done.stderr or "is not installed" in done.stderr:
        pytest.skip(f"{interpreter} is not installed for {python}: NOT TESTED")
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(paths[2]) as outputs:
        return dict(outputs), json.loads(done.stdout.splitlines()[-1])


def graphs():
    permuted = [permuted_graph(seed) for seed in PERMUTED]
    others = [student_graph(), block_graph(RESIDUAL)]
    return [random_graph(seed) for seed in SEEDS] + permuted + others


def test_the_graphs_have_every_operator():
    assert {kind for graph in graphs() for kind in graph.operator_names} == set(OPERATOR_VERSIONS)


@pytest.mark.parametrize("graph", graphs(), ids=NAMES)
def test_tflite_runtime_is_bit_exact(graph, tflite_python, tmp_path):
    x = adversarial_inputs(graph)
    found, _ = run(tflite_python, "tflite-runtime", graph, x, tmp_path)
    expected = simulate(graph, x)
    np.testing.assert_array_equal(found["evidence"], expected["evidence"])
    np.testing.assert_array_equal(found["logits"], expected["logits"])


def single_rounding(x, multiplier):
    """`MultiplyByQuantizedMultiplier` as a build with TFLITE_SINGLE_ROUNDING computes it."""
    right = 31 - multiplier.shift
    return (x * multiplier.mantissa + (np.int64(1) << (right - 1))) >> right


@pytest.mark.parametrize("graph", graphs(), ids=NAMES)
def test_tflm_is_bit_exact_to_single_rounding_and_near_to_double(
    graph, tflite_python, tmp_path, monkeypatch
):
    # This TFLM was built with single rounding. With that one function changed the simulator must
    # equal it exactly; so whatever else TFLM computes is what the simulator computes.
    x = adversarial_inputs(graph)
    found, facts = run(tflite_python, "tflm", graph, x, tmp_path)
    golden = simulate(graph, x)
    near = np.abs(golden["evidence"].astype(int) - found["evidence"])
    assert near.max() <= 8
    assert near.mean() < 0.6
    monkeypatch.setattr(arithmetic, "multiply_by_multiplier", single_rounding)
    expected = simulate(graph, x)
    np.testing.assert_array_equal(found["evidence"], expected["evidence"])
    np.testing.assert_array_equal(found["logits"], expected["logits"])

    activations = [t.length * t.channels for t in graph.tensors.values()]
    assert max(activations) < facts["arena_bytes"] < sum(activations) + 32_000

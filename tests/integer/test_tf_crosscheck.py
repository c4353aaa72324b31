"""TensorFlow's converter and interpreter, from the same ranges: the same file in content."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.integer.fold import fold_permutations
from beatlens.integer.simulate import simulate
from beatlens.integer.tf_crosscheck import convert_with_tensorflow, differences, find_range
from beatlens.integer.tflite_read import operators
from beatlens.integer.tflite_write import write_tflite

from .graphs import adversarial_inputs, permuted_graph, random_graph, student_graph

pytestmark = pytest.mark.export
# Residual blocks, depthwise convolutions, SAME padding, and all of the operators between them.
GRAPHS = {f"random{seed}": random_graph(seed) for seed in (0, 2, 5, 14, 18, 27)}
# Grouped convolutions and permutations of channels, and the same network with few of those left.
GRAPHS |= {f"permuted{seed}": permuted_graph(seed) for seed in (0, 1)}
GRAPHS |= {"folded1": fold_permutations(permuted_graph(1)), "student": student_graph()}


@pytest.fixture(scope="module")
def tensorflow():
    """TensorFlow, if it is installed."""
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed (crosscheck)")


def run_tensorflow(tensorflow, model, x):
    """Outputs of TensorFlow's interpreter, found by rank: its converter renames them."""
    interpreter = tensorflow.lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=tensorflow.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    outputs = {2: [], 4: []}
    for sample in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample[None, None])
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            value = interpreter.get_tensor(detail["index"])
            outputs[value.ndim].append(value[0])
    return np.stack(outputs[4])[:, 0], np.stack(outputs[2])


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs", "ignore:.*deprecated")
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_the_converter_makes_the_same_network(tensorflow, graph):
    converted = convert_with_tensorflow(graph)
    assert differences(graph, converted) == []
    ours = write_tflite(graph)
    assert operators(converted) == operators(ours)
    assert len(ours) < len(converted)
    x = adversarial_inputs(graph)
    golden = simulate(graph, x)
    for model in (ours, converted):
        evidence, logits = run_tensorflow(tensorflow, model, x)
        np.testing.assert_array_equal(evidence, golden["evidence"])
        np.testing.assert_array_equal(logits, golden["logits"])


def test_differences_are_named():
    graph = random_graph(0)
    assert differences(graph, write_tflite(graph)) == []
    other = write_tflite(random_graph(1))
    assert "operators are" in differences(graph, other)[0]
    longer = write_tflite(graph.with_input_length(graph.tensors["input"].length + 24))
    assert any("length is" in line for line in differences(graph, longer))


@given(st.floats(2.0**-30, 2.0**10, width=32), st.integers(-128, 127))
def test_every_scale_has_a_range_that_tensorflow_turns_back_into_it(scale, zero_point):
    for lowest, highest in ((-128 - zero_point, 127 - zero_point), (-127, 127)):
        low, high = find_range(scale, lowest, highest)
        derived = np.float32((float(high) - float(low)) / (highest - lowest))
        assert derived == np.float32(scale)
        assert round(-float(low) / float(derived)) == -lowest


def test_a_scale_beyond_float32_ranges_is_refused():
    with pytest.raises(ModelError, match="no float32 range"):
        find_range(float(np.float32(1e38)), -127, 127)

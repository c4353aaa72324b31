"""Files: written small, aligned and the same every time; read back exactly; bad ones refused."""

import random
import struct

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from beatlens.errors import ModelError
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import operators, read_tflite
from beatlens.integer.tflite_write import OPERATOR_VERSIONS, write_tflite

from .graphs import Builder, adversarial_inputs, permuted_graph, random_graph, student_graph

pytestmark = pytest.mark.export
ANCHORS = ("std_cam", "ds_cam", "tiny_cam")


def edited(model, edit):
    """The file with its unpacked contents changed by `edit`."""
    contents = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    edit(contents)
    builder = flatbuffers.Builder(1024)
    builder.Finish(contents.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("make", [random_graph, permuted_graph])
@pytest.mark.parametrize("seed", range(40))
def test_a_written_graph_reads_back_exactly(seed, make):
    graph = make(seed)
    model = write_tflite(graph)
    read = read_tflite(model)
    assert write_tflite(read) == model
    assert [getattr(op, "groups", 0) for op in read.ops] == [
        getattr(op, "groups", 0) for op in graph.ops
    ]
    assert read.macs == graph.macs
    assert [op.kind for op in read.ops] == [op.kind for op in graph.ops]
    x = adversarial_inputs(graph)
    expected, found = simulate(graph, x), simulate(read, x)
    np.testing.assert_array_equal(found["evidence"], expected["evidence"])
    np.testing.assert_array_equal(found["logits"], expected["logits"])


def test_equal_graphs_give_equal_bytes():
    assert write_tflite(random_graph(3)) == write_tflite(random_graph(3))


@pytest.mark.parametrize("name", ANCHORS)
def test_reference_models_of_the_tensorflow_converter_are_simulated_exactly(shared_dir, name):
    model = (shared_dir / "anchors" / f"{name}.tflite").read_bytes()
    vectors = np.load(shared_dir / "anchors" / f"{name}.npz")
    outputs = simulate(read_tflite(model), vectors["input"][:, 0])
    np.testing.assert_array_equal(outputs["evidence"], vectors["evidence"][:, 0])
    np.testing.assert_array_equal(outputs["logits"], vectors["logits"])


@pytest.mark.parametrize("name", ANCHORS)
def test_our_file_of_the_same_network_is_smaller_than_the_converters(shared_dir, name):
    model = (shared_dir / "anchors" / f"{name}.tflite").read_bytes()
    assert len(write_tflite(read_tflite(model))) < len(model)


def test_the_student_costs_little_more_than_its_weights():
    graph = student_graph()
    assert len(write_tflite(graph)) < graph.weight_bytes + 5000


def test_names_shapes_and_signature():
    graph = student_graph()
    interpreter = Interpreter(
        model_content=write_tflite(graph),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
    tensor = graph.tensors["input"]
    assert source["name"] == "input"
    assert source["shape"].tolist() == [1, 1, tensor.length, 1]
    assert source["dtype"] == np.int8
    assert source["quantization"] == (np.float32(tensor.quantization.scale), 0)
    assert {name: detail["shape"].tolist() for name, detail in outputs.items()} == {
        "logits": [1, 4],
        "evidence": [1, 1, 160, 4],
    }
    runner = interpreter.get_signature_runner("serving_default")
    x = adversarial_inputs(graph)[5]
    answer = runner(input=x[None, None])
    np.testing.assert_array_equal(answer["logits"], simulate(graph, x[None])["logits"])


def test_every_constant_is_aligned_for_use_in_flash():
    model = write_tflite(random_graph(1))
    root = schema.Model.GetRootAs(model, 0)
    for i in range(1, root.BuffersLength()):
        data = root.Buffers(i).DataAsNumpy()
        offset = (
            data.__array_interface__["data"][0]
            - np.frombuffer(model, np.uint8).__array_interface__["data"][0]
        )
        assert offset % 16 == 0


def test_only_operators_that_microcontrollers_have():
    graphs = [make(seed) for seed in range(60) for make in (random_graph, permuted_graph)]
    used = {name for graph in graphs for name in operators(write_tflite(graph))}
    assert used == set(OPERATOR_VERSIONS)


def test_an_operator_we_do_not_know_is_listed_and_refused():
    def rename(contents):
        code = contents.operatorCodes[-1]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX

    model = edited(write_tflite(student_graph(columns=2)), rename)
    assert operators(model) == ["CONV_2D", "SOFTMAX"]
    with pytest.raises(ModelError, match="operator 7 is SOFTMAX"):
        read_tflite(model)


def options(contents):
    return contents.subgraphs[0].operators[0].builtinOptions


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda m: setattr(m, "version", 2), "schema version is 2"),
        (lambda m: m.subgraphs.append(m.subgraphs[0]), "2 subgraphs"),
        (lambda m: setattr(options(m), "dilationWFactor", 2), "dilated"),
        (lambda m: setattr(options(m), "fusedActivationFunction", 3), "activation code 3"),
        (lambda m: setattr(options(m), "padding", 7), "padding code 7"),
        (lambda m: setattr(options(m), "strideW", 0), "stride is 0"),
        (lambda m: setattr(m.subgraphs[0], "outputs", [0]), "1 inputs and 1 outputs"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "type", 0), "type 0, expected int8"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "isVariable", True), "variable"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "buffer", 10**6), "has no data"),
        (lambda m: setattr(m.buffers[1], "offset", 4096), "outside the flatbuffer"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "quantization", None), "no quantisation"),
        (
            lambda m: setattr(m.subgraphs[0].tensors[1].quantization, "quantizedDimension", 2),
            "wrong dimension",
        ),
        (
            lambda m: setattr(m.subgraphs[0].tensors[1].quantization, "zeroPoint", [1] * 8),
            "zero point other than 0",
        ),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "shape", [8, 2, 4, 1]), "one kernel row"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "shape", [8, 1, 9, 1]), "bytes of data"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [2, 1, 9, 1]), r"expected \[1, 1,"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 9), "operator code 9 of 2"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "builtinOptionsType", 2), "lacks its"),
        (lambda m: m.subgraphs[0].operators.pop(0), "before any operator has written it"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_with_a_reason(edit, reason):
    model = write_tflite(student_graph(columns=2))
    read_tflite(edited(model, lambda contents: None))
    with pytest.raises(ModelError, match=reason):
        read_tflite(edited(model, edit))


def test_a_grouped_convolution_asks_for_a_runtime_that_has_them():
    versions = []
    for graph in (student_graph(columns=2), permuted_graph(1)):
        root = schema.Model.GetRootAs(write_tflite(graph), 0)
        codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
        versions += [
            c.Version() for c in codes if c.BuiltinCode() == schema.BuiltinOperator.CONV_2D
        ]
    assert versions == [3, 6]


def gather_of(contents):
    code = [c.builtinCode for c in contents.operatorCodes].index(schema.BuiltinOperator.GATHER)
    return next(op for op in contents.subgraphs[0].operators if op.opcodeIndex == code)


def set_indices(contents, indices):
    tensor = contents.subgraphs[0].tensors[gather_of(contents).inputs[1]]
    tensor.shape = list(np.shape(indices))
    contents.buffers[tensor.buffer].data = np.array(indices, "<i4").view(np.uint8).reshape(-1)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda m: setattr(gather_of(m).builtinOptions, "axis", 2), "gathers along axis 2"),
        (lambda m: setattr(gather_of(m).builtinOptions, "batchDims", 1), "1 batch dimensions"),
        (lambda m: set_indices(m, [[0, 1, 2, 3, 4, 5, 6, 7]]), r"indices of shape \(1, 8\)"),
        (lambda m: set_indices(m, [0, 1, 2, 3, 4, 5, 6, 8]), "is no permutation of 8 channels"),
        (lambda m: set_indices(m, [0, 1, 2, 3, 4, 5, 6, 6]), "is no permutation of 8 channels"),
        (lambda m: set_indices(m, [-1, 1, 2, 3, 4, 5, 6, 7]), "is no permutation of 8 channels"),
        (lambda m: set_indices(m, [0, 1, 2, 3]), "has 12 channels, its order is one of 4"),
    ],
)
def test_a_permutation_that_is_none_is_refused(edit, reason):
    model = write_tflite(permuted_graph(1))
    read_tflite(edited(model, lambda contents: None))
    with pytest.raises(ModelError, match=reason):
        read_tflite(edited(model, edit))


def test_weights_for_a_part_of_a_group_are_refused():
    graph = Builder(np.random.default_rng(0), 40, leads=1)
    shared = {"stride": 1, "padding": "valid", "depthwise": False, "relu": True}
    first = graph.convolution("input", "a", channels=8, kernel=3, **shared)
    second = graph.convolution(first, "b", channels=6, kernel=5, **shared)
    model = write_tflite(graph.head(second, classes=2))

    def widths(contents):
        tensor = contents.subgraphs[0].tensors[contents.subgraphs[0].operators[1].inputs[1]]
        tensor.shape = [6, 1, 8, 5]

    with pytest.raises(ModelError, match="reads 8 channels with weights for 5"):
        read_tflite(edited(model, widths))


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(100), b"\xff\xff\xff\xffTFL3" + bytes(90)])
def test_what_is_no_tflite_file_is_refused(data):
    with pytest.raises(ModelError, match="tflite file"):
        read_tflite(data)
    with pytest.raises(ModelError, match="tflite file"):
        operators(data)


def test_every_truncation_is_refused_or_sound():
    model = write_tflite(random_graph(5))
    for length in range(0, len(model), 3):
        refused_or_sound(model[:length])


@pytest.mark.parametrize("make", [random_graph, permuted_graph])
@pytest.mark.parametrize("seed", range(6))
def test_mutated_files_are_refused_or_sound(seed, make):
    rng = random.Random(seed)
    model = write_tflite(make(seed))
    words = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(model), len(model) - 4]
    for _ in range(400):
        damaged = bytearray(model)
        for _ in range(rng.choice([1, 1, 2, 4, 16])):
            at = rng.randrange(len(damaged) - 4)
            if rng.random() < 0.5:
                damaged[at] = rng.randrange(256)
            else:
                struct.pack_into("<I", damaged, at, rng.choice([*words, rng.randrange(2**32)]))
        refused_or_sound(bytes(damaged))


def refused_or_sound(data):
    """Anything but a ModelError fails the test; a graph that is read can be written."""
    try:
        operators(data)
        write_tflite(read_tflite(data))
    except ModelError:
        pass

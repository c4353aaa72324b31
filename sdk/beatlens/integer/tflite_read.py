"""Read a `.tflite` file as an integer graph.

Reads the files of :mod:`beatlens.integer.tflite_write`, and those of converters with the same few
operators (SAME padding included). Everything read is checked, so that any bytes give a sound graph
or a ModelError, never a crash or a hang.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.flatbuffer import Table, root
from beatlens.integer.graph import (
    Add,
    Conv,
    Crop,
    DepthwiseConv,
    IntegerGraph,
    Mean,
    Op,
    Padding,
    Permute,
    Quantization,
    Tensor,
)
from beatlens.integer.tflite_schema import (
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    IDENTIFIER,
    OPERATOR_CODES,
    OPERATOR_NAMES,
    OPTIONS,
    PADDING,
    SCHEMA_VERSION,
    TENSOR_TYPES,
)
from beatlens.integer.tflite_write import CHANNEL_AXIS, OPERATOR_VERSIONS

MAX_OPERATORS = 512
MAX_CONSTANT_VALUES = 1 << 23
"""Limit of all operators together. Operators may share constants, and each keeps a copy: without a
limit a small file could take much memory."""
MAX_LISTED = 1 << 14
"""Limit of operators whose names are read; subgraphs may share them too."""
MAX_RANK = 4
MAX_OUTPUTS = 64
"""Limit of outputs of a network whose outputs are found by name."""

KINDS = {OPERATOR_CODES[kind]: kind for kind in OPERATOR_VERSIONS}
INPUT_COUNTS = {"ADD": 2, "GATHER": 2, "MEAN": 2}
"""Number of inputs of an operator, constants included; 3 for those not listed."""


def read_tflite(data: bytes) -> IntegerGraph:
    """Read the network in the bytes of a `.tflite` file.

    Of its two outputs the one of rank 2 is "logits", the one of rank 4 "evidence"; inner tensors
    and operators get new names. Raises ModelError if the file is damaged, or if its network is not
    one that :class:`~beatlens.integer.graph.IntegerGraph` can hold.
    """
    return _Reader(_model(data)).graph()


def operators(data: bytes) -> list[str]:
    """List the names of the operators of a `.tflite` file, each once, sorted.

    Operators that beatlens does not know are listed too, so that messages can name them. Raises
    ModelError if the file is damaged.
    """
    model = _model(data)
    used, seen = set(), 0
    for graph in model.tables("subgraphs", "SubGraph"):
        listed = graph.tables("operators", "Operator")
        seen += 1 + len(listed)
        if seen > MAX_LISTED:
            _refuse(f"has {seen} subgraphs and operators or more, at most {MAX_LISTED} are read")
        used |= {_builtin_code(model, operator.number("opcode_index")) for operator in listed}
    return sorted(_operator_name(code) for code in used)


def output_position(data: bytes, name: str) -> int:
    """Return the position, from 0, of the output with this name in a `.tflite` file.

    The name is the signature's, or the tensor's own where the file has no signature. Interpreters
    without names (TensorFlow Lite Micro) find an output by its position, which converters choose
    freely. Raises ModelError if the file is damaged or if not exactly one output has the name.
    """
    model = _model(data)
    graph = model.tables("subgraphs", "SubGraph")[0]
    outputs = _list(graph, "outputs", "the list of outputs")
    if len(outputs) > MAX_OUTPUTS:
        _refuse(f"has {len(outputs)} outputs, at most {MAX_OUTPUTS} are read")
    names = _output_names(model, graph, outputs)
    positions = [outputs.index(index) for index, label in names if label == name]
    if len(positions) != 1:
        _refuse(f"outputs are named {[label for _, label in names]}, expected {name!r} once")
    return positions[0]


def _output_names(model: Table, graph: Table, outputs: list[int]) -> list[tuple[int, str]]:
    """Tensor and name of each output."""
    signatures = model.tables("signature_defs", "SignatureDef")
    if len(signatures) == 0:
        tensors = graph.tables("tensors", "Tensor")
        return [(index, tensors[index].text("name")) for index in outputs]
    named = signatures[0].tables("outputs", "TensorMap")
    if len(named) > MAX_OUTPUTS:
        _refuse(f"its signature has {len(named)} outputs, at most {MAX_OUTPUTS} are read")
    found = [(entry.number("tensor_index"), entry.text("name")) for entry in named]
    for index, label in found:
        if index not in outputs:
            _refuse(f"its signature names tensor {index} {label[:40]!r}, which is no output")
    return found


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f".tflite file: {reason}")


def _model(data: bytes) -> Table:
    if len(data) < 16 or data[4:8] != IDENTIFIER:
        _refuse(f"starts with {bytes(data[:8])!r}, expected {IDENTIFIER!r} at byte 4")
    model = root(bytes(data), "Model")
    if model.number("version") != SCHEMA_VERSION:
        _refuse(f"schema version is {model.number('version')}, expected {SCHEMA_VERSION}")
    return model


def _builtin_code(model: Table, index: int) -> int:
    codes = model.tables("operator_codes", "OperatorCode")
    if index >= len(codes):
        _refuse(f"operator code {index} of {len(codes)} is used")
    code = codes[index]
    return max(code.number("builtin_code"), code.number("deprecated_builtin_code"))


def _operator_name(code: int) -> str:
    return OPERATOR_NAMES[code] if 0 <= code < len(OPERATOR_NAMES) else f"OPERATOR_{code}"


def _numbers(table: Table, name: str, dtype: type[Any], what: str) -> NDArray[Any]:
    """A numeric vector that must be there."""
    values = table.numbers(name, dtype)
    if values is None:
        _refuse(f"{what} is missing")
    return values


def _list(table: Table, name: str, what: str) -> list[int]:
    """Indices of tensors; the list must be there."""
    values: list[int] = _numbers(table, name, np.int32, what).tolist()
    return values


class _Reader:
    """One file being read: its tables, and the graph made of them so far."""

    def __init__(self, model: Table) -> None:
        subgraphs = model.tables("subgraphs", "SubGraph")
        if len(subgraphs) != 1:
            _refuse(f"holds {len(subgraphs)} subgraphs, expected 1")
        self.model, self.subgraph = model, subgraphs[0]
        self.tables = self.subgraph.tables("tensors", "Tensor")
        self.operators = self.subgraph.tables("operators", "Operator")
        self.buffers = model.tables("buffers", "Buffer")
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.constant_values = 0

    def graph(self) -> IntegerGraph:
        inputs = _list(self.subgraph, "inputs", "the list of inputs")
        outputs = _list(self.subgraph, "outputs", "the list of outputs")
        if len(inputs) != 1 or len(outputs) != 2:
            _refuse(f"has {len(inputs)} inputs and {len(outputs)} outputs, expected 1 and 2")
        ranks = [len(self._shape(self._table(index))) for index in outputs]
        if sorted(ranks) != [2, 4]:
            _refuse(f"outputs have ranks {ranks}, expected logits of rank 2, evidence of rank 4")
        logits, evidence = outputs if ranks[0] == 2 else outputs[::-1]
        roles = {logits: "logits", evidence: "evidence"}
        self._activation(inputs[0], "input")
        count = len(self.operators)
        if count > MAX_OPERATORS:
            _refuse(f"has {count} operators, at most {MAX_OPERATORS} are read")
        ops = tuple(self._operator(i, roles) for i in range(count))
        return IntegerGraph(self.tensors, ops, "input", {role: role for role in roles.values()})

    def _operator(self, position: int, roles: dict[int, str]) -> Op:
        table = self.operators[position]
        code = _builtin_code(self.model, table.number("opcode_index"))
        if code not in KINDS:
            known = _operator_name(code)
            _refuse(f"operator {position} is {known}, expected one of {sorted(OPTIONS)}")
        kind = KINDS[code]
        name = f"{kind.lower()}_{position}"
        inputs = _list(table, "inputs", f"the input list of {name}")
        outputs = _list(table, "outputs", f"the output list of {name}")
        if len(outputs) != 1 or len(inputs) != INPUT_COUNTS.get(kind, 3):
            _refuse(f"{name} has {len(inputs)} inputs and {len(outputs)} outputs")
        output = roles.get(outputs[0], name)
        op = self._build(kind, name, inputs, output, self._options(table, kind, name))
        self._activation(outputs[0], output)
        return op

    def _build(self, kind: str, name: str, inputs: list[int], output: str, options: Any) -> Op:
        source = self._known(inputs[0], name)
        if kind == "ADD":
            relu = _relu(options, name)
            return Add(
                name=name, a=source, b=self._known(inputs[1], name), output=output, relu=relu
            )
        if kind == "MEAN":
            axes = self._constant(inputs[1], np.int32, name).reshape(-1) % 4
            if sorted(axes.tolist()) != [1, 2] or options.number("keep_dims"):
                _refuse(f"{name} reduces axes {axes}, expected 1 and 2, which then vanish")
            return Mean(name=name, input=source, output=output)
        if kind == "SLICE":
            return self._crop(name, source, inputs, output)
        if kind == "GATHER":
            return self._permute(name, source, inputs, output, options)
        return self._convolution(kind, name, inputs, output, options)

    def _crop(self, name: str, source: str, inputs: list[int], output: str) -> Crop:
        begin, size = (self._constant(i, np.int32, name).tolist() for i in inputs[1:])
        if len(begin) != 4 or len(size) != 4:
            _refuse(f"{name} slices {len(begin)} and {len(size)} dimensions, expected 4")
        channels = self.tensors[source].channels
        if begin[:2] + begin[3:] + size[:2] + size[3:] != [0, 0, 0, 1, 1, channels]:
            _refuse(f"{name} takes {size} from {begin}, expected a slice of columns")
        stop = begin[2] + size[2]
        return Crop(name=name, input=source, output=output, start=begin[2], stop=stop)

    def _permute(
        self, name: str, source: str, inputs: list[int], output: str, options: Any
    ) -> Permute:
        axis, batch = options.number("axis"), options.number("batch_dims")
        if axis not in (CHANNEL_AXIS, CHANNEL_AXIS - 4) or batch:
            _refuse(
                f"{name} gathers along axis {axis} with {batch} batch dimensions, expected "
                f"channels (axis {CHANNEL_AXIS}) and none"
            )
        order = self._constant(inputs[1], np.int32, name)
        if order.ndim != 1:
            _refuse(f"{name} gathers by indices of shape {order.shape}, expected one dimension")
        return Permute(name=name, input=source, output=output, order=tuple(order.tolist()))

    def _convolution(
        self, kind: str, name: str, inputs: list[int], output: str, options: Any
    ) -> Conv | DepthwiseConv:
        if (options.number("dilation_w_factor"), options.number("dilation_h_factor")) != (1, 1):
            _refuse(f"{name} is dilated, which is not supported")
        code = options.number("padding")
        if code not in PADDING.values():
            _refuse(f"{name} has padding code {code}, expected SAME or VALID")
        padding: Padding = "same" if code == PADDING["same"] else "valid"
        weights = self._constant(inputs[1], np.int8, name)
        kernel_height, dimension = (1, 0) if kind == "CONV_2D" else (0, 3)
        if weights.ndim != 4 or weights.shape[kernel_height] != 1:
            _refuse(f"{name} has weights of shape {weights.shape}, expected one kernel row")
        shared: dict[str, Any] = {
            "name": name,
            "input": self._known(inputs[0], name),
            "output": output,
            "weight_scales": self._weight_scales(inputs[1], weights.shape[dimension], dimension),
            "bias": self._constant(inputs[2], np.int32, name),
            "stride": options.number("stride_w"),
            "padding": padding,
            "relu": _relu(options, name),
        }
        if kind == "CONV_2D":
            channels = self.tensors[shared["input"]].channels
            if channels % weights.shape[3]:
                _refuse(
                    f"{name} reads {channels} channels with weights for {weights.shape[3]}, "
                    "expected a whole number of groups"
                )
            return Conv(weights=weights[:, 0], groups=channels // weights.shape[3], **shared)
        if weights.shape[0] != 1 or options.number("depth_multiplier") != 1:
            _refuse(f"{name} has a depth multiplier, expected as many channels out as in")
        return DepthwiseConv(weights=weights[0, 0], **shared)

    def _options(self, table: Table, kind: str, name: str) -> Any:
        if kind == "SLICE":  # its options are empty, and some converters leave them out
            return None
        wanted, code = OPTIONS[kind]
        if table.number("builtin_options_type") != code or not table.has("builtin_options"):
            _refuse(f"{name} lacks its {wanted}")
        return table.table("builtin_options", wanted)

    def _table(self, index: int) -> Table:
        if not 0 <= index < len(self.tables):
            _refuse(f"tensor {index} of {len(self.tables)} is used")
        tensor = self.tables[index]
        elsewhere = tensor.has("sparsity") or tensor.number("external_buffer")
        if elsewhere or tensor.number("is_variable"):
            _refuse(f"tensor {index} is variable, sparse or in another file")
        return tensor

    def _shape(self, tensor: Table) -> list[int]:
        shape = _numbers(tensor, "shape", np.int32, "a tensor's shape")
        if len(shape) > MAX_RANK:
            _refuse(f"a tensor has {len(shape)} dimensions, expected at most {MAX_RANK}")
        return [int(n) for n in shape]

    def _known(self, index: int, op: str) -> str:
        if index not in self.names:
            _refuse(f"{op} reads tensor {index} before any operator has written it")
        return self.names[index]

    def _activation(self, index: int, name: str) -> None:
        tensor = self._table(index)
        if tensor.number("type") != TENSOR_TYPES["int8"]:
            _refuse(f"activation {name!r} is of type {tensor.number('type')}, expected int8")
        buffer = tensor.number("buffer")
        if buffer and len(_data(self.buffers[buffer])):
            _refuse(f"activation {name!r} is a constant")
        shape = self._shape(tensor)
        if len(shape) == 2:  # logits: the mean has removed both inner axes
            shape = [shape[0], 1, 1, shape[1]]
        if len(shape) != 4 or shape[:2] != [1, 1]:
            _refuse(f"activation {name!r} has shape {shape}, expected [1, 1, T, C]")
        scales, zero_points = self._scales(tensor, name)
        if len(scales) != 1:
            _refuse(f"activation {name!r} has {len(scales)} scales, expected 1")
        if index in self.names or name in self.tensors:
            _refuse(f"activation {name!r} is written twice")
        quantization = Quantization(float(scales[0]), int(zero_points[0]))
        self.names[index] = name
        self.tensors[name] = Tensor(name, shape[2], shape[3], quantization)

    def _scales(self, tensor: Table, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        quantization = tensor.table("quantization", "QuantizationParameters")
        if quantization is None:
            _refuse(f"{name} has no quantisation")
        scales = _numbers(quantization, "scale", np.float32, f"scale of {name}").astype(np.float32)
        zero_points = _numbers(quantization, "zero_point", np.int64, f"zero point of {name}")
        if len(zero_points) not in (1, len(scales)):
            _refuse(f"{name} has {len(scales)} scales and {len(zero_points)} zero points")
        return scales, zero_points

    def _weight_scales(self, index: int, channels: int, dimension: int) -> NDArray[np.float32]:
        tensor = self._table(index)
        scales, zero_points = self._scales(tensor, f"weights {index}")
        if zero_points.any():
            _refuse(f"weights {index} have a zero point other than 0")
        if len(scales) == 1:
            return np.repeat(scales, channels)
        quantization = tensor.table("quantization", "QuantizationParameters")
        if quantization is None or quantization.number("quantized_dimension") != dimension:
            _refuse(f"weights {index} have scales along the wrong dimension")
        return scales

    def _constant(self, index: int, dtype: type[Any], op: str) -> NDArray[Any]:
        tensor = self._table(index)
        shape = self._shape(tensor)
        code, number = tensor.number("type"), tensor.number("buffer")
        if code != TENSOR_TYPES[dtype.__name__]:
            _refuse(f"{op}: constant {index} has type code {code}, expected {dtype.__name__}")
        if not 0 < number < len(self.buffers):
            _refuse(f"{op}: constant {index} has no data")
        buffer = self.buffers[number]
        if buffer.number("offset") or buffer.number("size"):
            _refuse(f"{op}: constant {index} lies outside the flatbuffer")
        data = _data(buffer)
        if min(shape, default=1) < 1 or math.prod(shape) * np.dtype(dtype).itemsize != data.size:
            _refuse(f"{op}: constant {index} of shape {shape} has {data.size} bytes of data")
        self.constant_values += math.prod(shape)
        if self.constant_values > MAX_CONSTANT_VALUES:
            _refuse(
                f"operators up to {op} have constants of {self.constant_values} values, at most "
                f"{MAX_CONSTANT_VALUES} are read"
            )
        stored = np.dtype(dtype).newbyteorder("<")
        values: NDArray[Any] = data.view(stored).reshape(shape).astype(dtype)
        return values


def _data(buffer: Table) -> NDArray[np.uint8]:
    """The bytes of a constant; none where there are none."""
    values = buffer.numbers("data", np.uint8)
    return np.zeros(0, np.uint8) if values is None else values


def _relu(options: Table, name: str) -> bool:
    code = options.number("fused_activation_function")
    if code not in (ACTIVATION_NONE, ACTIVATION_RELU):
        _refuse(f"{name} has activation code {code}, expected none or RELU")
    return code == ACTIVATION_RELU

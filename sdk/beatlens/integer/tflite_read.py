"""A `.tflite` file as an integer graph.

Reads what :mod:`beatlens.integer.tflite_write` writes, and files of converters that keep to the
same few operators (SAME padding included). A file is taken as hostile: everything read from it is
checked, so that bad bytes give a ModelError and never a crash, a hang or a graph that is not sound.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NoReturn

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from beatlens.errors import ModelError
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
from beatlens.integer.tflite_write import (
    CHANNEL_AXIS,
    IDENTIFIER,
    OPERATOR_VERSIONS,
    SCHEMA_VERSION,
)

MAX_OPERATORS = 512
MAX_CONSTANT_VALUES = 1 << 23
"""Of all operators together. Operators may share constants, and each keeps a copy: the limits bound
what a small file can cost."""
MAX_LISTED = 1 << 14
"""Operators that are looked at for their names; subgraphs may share them too."""
MAX_RANK = 4

OPERATOR_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
KINDS = {code: kind for kind, (code, _) in OPERATOR_VERSIONS.items()}
OPTIONS = {
    "ADD": schema.AddOptions,
    "CONV_2D": schema.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
    "GATHER": schema.GatherOptions,
    "MEAN": schema.ReducerOptions,
    "SLICE": schema.SliceOptions,
}
INPUT_COUNTS = {"ADD": 2, "GATHER": 2, "MEAN": 2}
"""Inputs of an operator, constants included; 3 where nothing is said."""
TYPE_CODES: dict[type[Any], int] = {
    np.int8: schema.TensorType.INT8,
    np.int32: schema.TensorType.INT32,
}
# What the unchecked accessors of flatbuffers raise when offsets or lengths lead out of the file.
DAMAGE = (struct.error, TypeError, ValueError, IndexError, OverflowError)


def read_tflite(data: bytes) -> IntegerGraph:
    """The network in the bytes of a `.tflite` file.

    Of its two outputs the one of rank 2 is "logits", the one of rank 4 "evidence"; inner tensors
    and operators get new names. Raises ModelError if the file is damaged, or if its network is not
    one that :class:`~beatlens.integer.graph.IntegerGraph` can hold.
    """
    try:
        return _Reader(_model(data)).graph()
    except DAMAGE as error:
        raise _damaged(error) from error


def operators(data: bytes) -> list[str]:
    """Names of the operators a `.tflite` file uses, each once, sorted.

    Operators beatlens does not know are listed too, so that an unwanted one can be named. Raises
    ModelError if the file is damaged.
    """
    try:
        model = _model(data)
        used, seen = set(), 0
        for i in range(model.SubgraphsLength()):
            graph = model.Subgraphs(i)
            seen += 1 + graph.OperatorsLength()
            if seen > MAX_LISTED:
                _refuse(
                    f"has {seen} subgraphs and operators or more, at most {MAX_LISTED} are read"
                )
            for j in range(graph.OperatorsLength()):
                code = _builtin_code(model, graph.Operators(j).OpcodeIndex())
                used.add(OPERATOR_NAMES.get(code, f"OPERATOR_{code}"))
        return sorted(used)
    except DAMAGE as error:
        raise _damaged(error) from error


def output_position(data: bytes, name: str) -> int:
    """Which output of a `.tflite` file's network, counted from 0, has this name.

    The name is the signature's, or the tensor's own where the file has no signature. Interpreters
    without names (TensorFlow Lite Micro) find an output by its position, which converters choose
    freely. Raises ModelError if the file is damaged or if not exactly one output has the name.
    """
    try:
        model = _model(data)
        graph = model.Subgraphs(0)
        outputs = _vector(graph.OutputsAsNumpy(), "the list of outputs").tolist()
        names = _output_names(model, graph, outputs)
        positions = [outputs.index(index) for index, label in names if label == name]
    except DAMAGE as error:
        raise _damaged(error) from error
    if len(positions) != 1:
        _refuse(f"outputs are named {[label for _, label in names]}, expected {name!r} once")
    return positions[0]


def _output_names(model: Any, graph: Any, outputs: list[int]) -> list[tuple[int, str]]:
    """Tensor and name of each output."""
    if model.SignatureDefsLength() == 0:
        return [(index, (graph.Tensors(index).Name() or b"").decode()) for index in outputs]
    signature = model.SignatureDefs(0)
    maps = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    return [(entry.TensorIndex(), (entry.Name() or b"").decode()) for entry in maps]


def _damaged(error: Exception) -> ModelError:
    return ModelError(
        f"damaged .tflite file: an offset or length leads out of it ({error}); export it again"
    )


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f".tflite file: {reason}")


def _model(data: bytes) -> Any:
    if len(data) < 16 or data[4:8] != IDENTIFIER:
        _refuse(f"starts with {bytes(data[:8])!r}, expected {IDENTIFIER!r} at byte 4")
    root = int.from_bytes(data[:4], "little")
    if not 8 <= root <= len(data) - 4:
        _refuse(f"its root lies at byte {root} of {len(data)}")
    model = schema.Model.GetRootAs(bytes(data), 0)
    if model.Version() != SCHEMA_VERSION:
        _refuse(f"schema version is {model.Version()}, expected {SCHEMA_VERSION}")
    return model


def _builtin_code(model: Any, index: int) -> int:
    if index >= model.OperatorCodesLength():
        _refuse(f"operator code {index} of {model.OperatorCodesLength()} is used")
    code = model.OperatorCodes(index)
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def _vector(value: Any, what: str) -> NDArray[Any]:
    """A numeric vector that must be there; flatbuffers gives 0 for one that is not."""
    if not isinstance(value, np.ndarray):
        _refuse(f"{what} is missing")
    return value


class _Reader:
    """One file being read: its tables, and the graph made of them so far."""

    def __init__(self, model: Any) -> None:
        if model.SubgraphsLength() != 1:
            _refuse(f"holds {model.SubgraphsLength()} subgraphs, expected 1")
        self.model = model
        self.subgraph = model.Subgraphs(0)
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.constant_values = 0

    def graph(self) -> IntegerGraph:
        inputs = _vector(self.subgraph.InputsAsNumpy(), "the list of inputs").tolist()
        outputs = _vector(self.subgraph.OutputsAsNumpy(), "the list of outputs").tolist()
        if len(inputs) != 1 or len(outputs) != 2:
            _refuse(f"has {len(inputs)} inputs and {len(outputs)} outputs, expected 1 and 2")
        ranks = [len(self._shape(self._table(index))) for index in outputs]
        if sorted(ranks) != [2, 4]:
            _refuse(f"outputs have ranks {ranks}, expected logits of rank 2, evidence of rank 4")
        logits, evidence = outputs if ranks[0] == 2 else outputs[::-1]
        roles = {logits: "logits", evidence: "evidence"}
        self._activation(inputs[0], "input")
        count = self.subgraph.OperatorsLength()
        if count > MAX_OPERATORS:
            _refuse(f"has {count} operators, at most {MAX_OPERATORS} are read")
        ops = tuple(self._operator(i, roles) for i in range(count))
        return IntegerGraph(self.tensors, ops, "input", {role: role for role in roles.values()})

    def _operator(self, position: int, roles: dict[int, str]) -> Op:
        table = self.subgraph.Operators(position)
        code = _builtin_code(self.model, table.OpcodeIndex())
        if code not in KINDS:
            known = OPERATOR_NAMES.get(code, str(code))
            _refuse(f"operator {position} is {known}, expected one of {sorted(OPTIONS)}")
        kind = KINDS[code]
        name = f"{kind.lower()}_{position}"
        inputs = _vector(table.InputsAsNumpy(), f"the input list of {name}").tolist()
        outputs = _vector(table.OutputsAsNumpy(), f"the output list of {name}").tolist()
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
            if sorted(axes.tolist()) != [1, 2] or options.KeepDims():
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
        if options.Axis() not in (CHANNEL_AXIS, CHANNEL_AXIS - 4) or options.BatchDims():
            _refuse(
                f"{name} gathers along axis {options.Axis()} with {options.BatchDims()} batch "
                f"dimensions, expected channels (axis {CHANNEL_AXIS}) and none"
            )
        order = self._constant(inputs[1], np.int32, name)
        if order.ndim != 1:
            _refuse(f"{name} gathers by indices of shape {order.shape}, expected one dimension")
        return Permute(name=name, input=source, output=output, order=tuple(order.tolist()))

    def _convolution(
        self, kind: str, name: str, inputs: list[int], output: str, options: Any
    ) -> Conv | DepthwiseConv:
        if (options.DilationWFactor(), options.DilationHFactor()) != (1, 1):
            _refuse(f"{name} is dilated, which is not supported")
        if options.Padding() not in (schema.Padding.SAME, schema.Padding.VALID):
            _refuse(f"{name} has padding code {options.Padding()}, expected SAME or VALID")
        padding: Padding = "same" if options.Padding() == schema.Padding.SAME else "valid"
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
            "stride": options.StrideW(),
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
        if weights.shape[0] != 1 or options.DepthMultiplier() != 1:
            _refuse(f"{name} has a depth multiplier, expected as many channels out as in")
        return DepthwiseConv(weights=weights[0, 0], **shared)

    def _options(self, table: Any, kind: str, name: str) -> Any:
        if kind == "SLICE":  # its options are empty, and some converters leave them out
            return None
        wanted = OPTIONS[kind]
        found, raw = table.BuiltinOptionsType(), table.BuiltinOptions()
        if raw is None or found != getattr(schema.BuiltinOptions, wanted.__name__):
            _refuse(f"{name} lacks its {wanted.__name__}")
        options = wanted()
        options.Init(raw.Bytes, raw.Pos)
        return options

    def _table(self, index: int) -> Any:
        if not 0 <= index < self.subgraph.TensorsLength():
            _refuse(f"tensor {index} of {self.subgraph.TensorsLength()} is used")
        tensor = self.subgraph.Tensors(index)
        if tensor.IsVariable() or tensor.Sparsity() is not None or tensor.ExternalBuffer():
            _refuse(f"tensor {index} is variable, sparse or in another file")
        return tensor

    def _shape(self, tensor: Any) -> list[int]:
        shape = _vector(tensor.ShapeAsNumpy(), "a tensor's shape")
        if len(shape) > MAX_RANK:
            _refuse(f"a tensor has {len(shape)} dimensions, expected at most {MAX_RANK}")
        return [int(n) for n in shape]

    def _known(self, index: int, op: str) -> str:
        if index not in self.names:
            _refuse(f"{op} reads tensor {index} before any operator has written it")
        return self.names[index]

    def _activation(self, index: int, name: str) -> None:
        tensor = self._table(index)
        if tensor.Type() != schema.TensorType.INT8:
            _refuse(f"activation {name!r} is of type {tensor.Type()}, expected int8")
        if tensor.Buffer() and self.model.Buffers(tensor.Buffer()).DataLength():
            _refuse(f"activation {name!r} is a constant")
        shape = self._shape(tensor)
        if len(shape) == 2:  # logits: the mean has taken both inner axes away
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

    def _scales(self, tensor: Any, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        quantization = tensor.Quantization()
        if quantization is None:
            _refuse(f"{name} has no quantisation")
        scales = _vector(quantization.ScaleAsNumpy(), f"scale of {name}").astype(np.float32)
        zero_points = _vector(quantization.ZeroPointAsNumpy(), f"zero point of {name}")
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
        if tensor.Quantization().QuantizedDimension() != dimension:
            _refuse(f"weights {index} have scales along the wrong dimension")
        return scales

    def _constant(self, index: int, dtype: type[Any], op: str) -> NDArray[Any]:
        tensor = self._table(index)
        shape = self._shape(tensor)
        if tensor.Type() != TYPE_CODES[dtype]:
            _refuse(
                f"{op}: constant {index} has type code {tensor.Type()}, expected {dtype.__name__}"
            )
        if not 0 < tensor.Buffer() < self.model.BuffersLength():
            _refuse(f"{op}: constant {index} has no data")
        buffer = self.model.Buffers(tensor.Buffer())
        if buffer.Offset() or buffer.Size():
            _refuse(f"{op}: constant {index} lies outside the flatbuffer")
        data = _vector(buffer.DataAsNumpy(), f"{op}: data of constant {index}")
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


def _relu(options: Any, name: str) -> bool:
    code = options.FusedActivationFunction()
    if code not in (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU):
        _refuse(f"{name} has activation code {code}, expected none or RELU")
    return bool(code == schema.ActivationFunctionType.RELU)

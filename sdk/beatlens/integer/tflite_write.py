"""Write an integer graph as a `.tflite` file, without a converter.

The file holds only what interpreters need: `[1, 1, T, C]` CONV_2D (grouped too),
DEPTHWISE_CONV_2D, ADD, SLICE, GATHER of channels and MEAN, one int8 input `input`, the int8 outputs
`logits` `[1, C]` and `evidence` `[1, 1, T, C]`, and a signature that names them: bind them by name.
Equal graphs give equal bytes. Names of inner tensors are left out; vectors that repeat (shapes,
zero points, constants) are stored once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.flatbuffer import Builder
from beatlens.integer.graph import (
    ROLES,
    Add,
    Conv,
    Convolution,
    Crop,
    IntegerGraph,
    Mean,
    Op,
    Permute,
)
from beatlens.integer.tflite_schema import (
    ACTIVATION_RELU,
    IDENTIFIER,
    OPERATOR_CODES,
    OPTIONS,
    PADDING,
    SCHEMA_VERSION,
    TENSOR_TYPES,
)

DATA_ALIGNMENT = 16
"""Alignment of every constant, so that a microcontroller can use it where it lies in flash."""

OPERATOR_VERSIONS = {
    "ADD": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "GATHER": 2,
    "MEAN": 2,
    "SLICE": 2,
}
"""The only operators ever written, all in TensorFlow Lite Micro: the version that added int8."""

GROUPED_CONV_VERSION = 6
CHANNEL_AXIS = 3

MEAN_AXES = np.array([1, 2], np.int32)


def write_tflite(graph: IntegerGraph) -> bytes:
    """Return the graph as the bytes of a `.tflite` file.

    Raises ModelError if the graph uses an operator that is not in :data:`OPERATOR_VERSIONS`.
    """
    for op in graph.ops:
        if op.kind not in OPERATOR_VERSIONS:
            raise ModelError(
                f"operator {op.name!r}: {op.kind} is not among the operators written for "
                f"TensorFlow Lite Micro, {sorted(OPERATOR_VERSIONS)}"
            )
    return _Writer(graph).write()


class _Writer:
    """State of one file being written, from its end: tables are written before their users."""

    def __init__(self, graph: IntegerGraph) -> None:
        self.graph = graph
        self.builder = Builder()
        self.stored: dict[Hashable, int] = {}
        self.tensors: list[int] = []
        self.index: dict[Hashable, int] = {}
        self.buffers = [self.builder.table("Buffer", {})]  # buffer 0 is empty: "no constant data"
        self.role = {name: role for role, name in graph.outputs.items()}
        self.role[graph.input] = "input"

    def write(self) -> bytes:
        graph = self.graph
        self._activation(graph.input)
        operators = [self._operator(op) for op in graph.ops]
        codes = [self._operator_code(kind) for kind in graph.operator_names]
        inputs = [self.index[graph.input]]
        outputs = [self.index[graph.outputs[role]] for role in ROLES]
        subgraph = self.builder.table(
            "SubGraph",
            {
                "tensors": self.builder.tables(self.tensors),
                "inputs": self._numbers(inputs, np.int32),
                "outputs": self._numbers(outputs, np.int32),
                "operators": self.builder.tables(operators),
            },
        )
        model = self.builder.table(
            "Model",
            {
                "version": SCHEMA_VERSION,
                "operator_codes": self.builder.tables(codes),
                "subgraphs": self.builder.tables([subgraph]),
                "buffers": self.builder.tables(self.buffers),
                "signature_defs": self.builder.tables([self._signature(inputs, outputs)]),
            },
        )
        return self.builder.finish(model, IDENTIFIER)

    def _operator(self, op: Op) -> int:
        inputs = [self.index[name] for name in op.inputs]
        match op:
            case Convolution():
                inputs += self._parameters(op)
            case Crop():
                source = self.graph.tensors[op.input]
                begin = [0, 0, op.start, 0]
                size = [1, 1, op.stop - op.start, source.channels]
                inputs += [self._constant(np.array(v, np.int32)) for v in (begin, size)]
            case Permute():
                inputs.append(self._constant(np.array(op.order, np.int32)))
            case Mean():
                inputs.append(self._constant(MEAN_AXES))
            case Add():
                pass
        self._activation(op.output)
        code, options = self._options(op)
        return self.builder.table(
            "Operator",
            {
                "opcode_index": self.graph.operator_names.index(op.kind),
                "inputs": self._numbers(inputs, np.int32),
                "outputs": self._numbers([self.index[op.output]], np.int32),
                "builtin_options_type": code,
                "builtin_options": options,
            },
        )

    def _options(self, op: Op) -> tuple[int, int]:
        """Write the operator's table of options; return its type and position."""
        fields: dict[str, int] = {}
        if isinstance(op, Convolution | Add) and op.relu:
            fields["fused_activation_function"] = ACTIVATION_RELU
        match op:
            case Convolution():
                fields |= {"padding": PADDING[op.padding], "stride_w": op.stride, "stride_h": 1}
                if not isinstance(op, Conv):
                    fields["depth_multiplier"] = 1
            case Permute():
                fields["axis"] = CHANNEL_AXIS
        name, code = OPTIONS[op.kind]
        return code, self.builder.table(name, fields)

    def _parameters(self, op: Convolution) -> list[int]:
        """Write weights and bias of a convolution; return their tensor indices."""
        if isinstance(op, Conv):
            weights, dimension = op.weights[:, None], 0
        else:
            weights, dimension = op.weights[None, None], 3
        input_scale = np.float32(self.graph.tensors[op.input].quantization.scale)
        return [
            self._constant(weights, op.weight_scales, dimension),
            self._constant(op.bias, input_scale * op.weight_scales, 0),
        ]

    def _constant(
        self,
        data: NDArray[np.int8] | NDArray[np.int32],
        scales: NDArray[np.float32] | None = None,
        dimension: int = 0,
    ) -> int:
        """Write a constant tensor, equal ones once; return its tensor index."""
        little = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<"))
        content = little.tobytes()
        key = (data.dtype.str, data.shape, content, None if scales is None else scales.tobytes())
        if key not in self.index:
            quantization = None
            if scales is not None:
                quantization = self._quantization(scales, [0] * len(scales), dimension)
            self._tensor(key, data.shape, data.dtype, quantization, buffer=self._buffer(content))
        return self.index[key]

    def _activation(self, name: str) -> None:
        tensor = self.graph.tensors[name]
        q = tensor.quantization
        shape: tuple[int, ...] = (1, 1, tensor.length, tensor.channels)
        if name == self.graph.outputs["logits"]:
            shape = (1, tensor.channels)
        quantization = self._quantization([q.scale], [q.zero_point], 0)
        label = self.builder.text(self.role[name]) if name in self.role else None
        self._tensor(name, shape, np.dtype(np.int8), quantization, label=label)

    def _tensor(
        self,
        key: Hashable,
        shape: Sequence[int],
        dtype: np.dtype[np.int8] | np.dtype[np.int32],
        quantization: int | None,
        buffer: int = 0,
        label: int | None = None,
    ) -> None:
        fields = {
            "shape": self._numbers(shape, np.int32),
            "type": TENSOR_TYPES[dtype.name],
            "buffer": buffer,
        }
        if quantization is not None:
            fields["quantization"] = quantization
        if label is not None:
            fields["name"] = label
        self.index[key] = len(self.tensors)
        self.tensors.append(self.builder.table("Tensor", fields))

    def _quantization(
        self,
        scales: Sequence[float] | NDArray[np.float32],
        zero_points: Sequence[int],
        dimension: int,
    ) -> int:
        # Zero points are written although they are 0 for weights: TFLM ignores scales without them.
        fields = {
            "scale": self._numbers(scales, np.float32),
            "zero_point": self._numbers(zero_points, np.int64),
            "quantized_dimension": dimension,
        }
        return self.builder.table("QuantizationParameters", fields)

    def _buffer(self, content: bytes) -> int:
        """Write constant data, aligned; return its buffer index."""
        data = self.builder.numbers(np.frombuffer(content, np.uint8), DATA_ALIGNMENT)
        self.buffers.append(self.builder.table("Buffer", {"data": data}))
        return len(self.buffers) - 1

    def _operator_code(self, kind: str) -> int:
        code, version = OPERATOR_CODES[kind], OPERATOR_VERSIONS[kind]
        if kind == "CONV_2D" and any(isinstance(o, Conv) and o.groups > 1 for o in self.graph.ops):
            version = GROUPED_CONV_VERSION
        # Readers take the larger of the two fields; old readers know only the first.
        fields = {"deprecated_builtin_code": code, "builtin_code": code, "version": version}
        return self.builder.table("OperatorCode", fields)

    def _signature(self, inputs: Sequence[int], outputs: Sequence[int]) -> int:
        def mapped(names: Sequence[str], indices: Sequence[int]) -> int:
            tables = []
            for name, index in zip(names, indices, strict=True):
                fields = {"name": self.builder.text(name), "tensor_index": index}
                tables.append(self.builder.table("TensorMap", fields))
            return self.builder.tables(tables)

        return self.builder.table(
            "SignatureDef",
            {
                "inputs": mapped(["input"], inputs),
                "outputs": mapped(ROLES, outputs),
                "signature_key": self.builder.text("serving_default"),
            },
        )

    def _numbers(self, values: Sequence[float] | NDArray[np.generic], dtype: type) -> int:
        """Write a vector of numbers; one that was written before is used again."""
        vector: NDArray[np.generic] = np.asarray(values, dtype=dtype)
        key = (dtype, vector.tobytes())
        if key not in self.stored:
            self.stored[key] = self.builder.numbers(vector)
        return self.stored[key]

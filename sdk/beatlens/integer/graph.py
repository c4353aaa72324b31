"""The int8 network that runs on the device, as plain data.

Training ends with an :class:`IntegerGraph`, and the device side starts with it: the simulator runs
it, `tflite_write` writes it to a file, the firmware generator writes it as C. Activations are int8
`[B, T, C]` (in the file `[1, 1, T, C]`), weights int8 with one scale per output channel, biases
int32. A real value is `scale * (q - zero_point)`.

Constructing a graph proves it sound: shapes fit, every scale is a positive float32, no 32-bit
accumulator can overflow for any input, and the kernels can represent every rescaling factor. Else
:class:`~beatlens.errors.ModelError` is raised, which names operator and tensor. The operators are
those of :mod:`beatlens.integer.ops`, which can be imported from here too.

>>> import numpy as np
>>> q = Quantization(scale=0.5, zero_point=0)
>>> conv = Conv(name="conv", input="input", output="evidence",
...             weights=np.ones((1, 3, 1), np.int8), weight_scales=np.ones(1, np.float32),
...             bias=np.zeros(1, np.int32))
>>> mean = Mean(name="mean", input="evidence", output="logits")
>>> tensors = [Tensor("input", 10, 1, q), Tensor("evidence", 8, 1, q), Tensor("logits", 1, 1, q)]
>>> graph = IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input",
...                      {"logits": "logits", "evidence": "evidence"})
>>> graph.macs, graph.weight_bytes, graph.operator_names
(24, 7, ['CONV_2D', 'MEAN'])
>>> graph.with_input_length(20).tensors["evidence"].length
18
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from beatlens.errors import ModelError
from beatlens.integer import checks
from beatlens.integer.ops import (
    Add,
    Conv,
    Convolution,
    Crop,
    DepthwiseConv,
    Mean,
    Op,
    Padding,
    Permute,
    Quantization,
    Tensor,
    output_length,
    padding_columns,
    refuse,
)

__all__ = [
    "ROLES",
    "Add",
    "Conv",
    "Convolution",
    "Crop",
    "DepthwiseConv",
    "IntegerGraph",
    "Mean",
    "Op",
    "Padding",
    "Permute",
    "Quantization",
    "Tensor",
    "output_length",
    "padding_columns",
]

ROLES = ("logits", "evidence")
"""The two outputs of every graph."""


@dataclass(frozen=True, eq=False)
class IntegerGraph:
    """An int8 network with one input and the outputs "logits" and "evidence".

    Args:
        tensors: every activation by name.
        ops: operators in order of execution.
        input: name of the input tensor.
        outputs: name of the tensor of each role in `ROLES`.

    Raises:
        ModelError: the graph is not sound; see the module.
    """

    tensors: Mapping[str, Tensor]
    ops: tuple[Op, ...]
    input: str
    outputs: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))
        object.__setattr__(self, "ops", tuple(self.ops))
        self._check_wiring()
        for op in self.ops:
            self._check_op(op)

    @property
    def operator_names(self) -> list[str]:
        """Names of the TFLite operators used, each once, sorted."""
        return sorted({op.kind for op in self.ops})

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference; those on padding count as in the kernels."""
        return sum(
            self.tensors[op.output].length * op.taps.size
            for op in self.ops
            if isinstance(op, Convolution)
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights (one each) and biases (four each); scales and structure excluded."""
        return sum(
            op.weights.nbytes + op.bias.nbytes for op in self.ops if isinstance(op, Convolution)
        )

    def with_input_length(self, length: int) -> IntegerGraph:
        """Return the same network for an input of `length` columns.

        Crops remove as many columns at both ends as before. Every length that differs from the
        present one by a multiple of the total stride is possible; at other lengths the two inputs
        of an ADD may differ, which raises ModelError.
        """
        tensors = {self.input: replace(self.tensors[self.input], length=length)}
        ops: list[Op] = []
        for op in self.ops:
            source = tensors[op.inputs[0]].length
            if isinstance(op, Crop):
                op = replace(op, stop=op.stop + source - self.tensors[op.input].length)
            ops.append(op)
            tensors[op.output] = replace(self.tensors[op.output], length=output_length(op, source))
        ordered = {name: tensors[name] for name in self.tensors}
        return IntegerGraph(ordered, tuple(ops), self.input, self.outputs)

    def _check_wiring(self) -> None:
        for name, tensor in self.tensors.items():
            checks.tensor(tensor, name)
        if self.input not in self.tensors:
            raise ModelError(f"graph: input {self.input!r} is not among its tensors")
        if set(self.outputs) != set(ROLES):
            raise ModelError(f"graph: outputs are {sorted(self.outputs)}, expected {sorted(ROLES)}")
        made = {self.input}
        names: set[str] = set()
        for op in self.ops:
            if op.name in names:
                raise ModelError(f"operator {op.name!r}: the name is used twice")
            names.add(op.name)
            for name in op.inputs:
                if name not in made:
                    refuse(op, name, "is read before any operator has written it")
            if op.output not in self.tensors:
                refuse(op, op.output, "is not among the graph's tensors")
            if op.output in made:
                refuse(op, op.output, "is written twice")
            made.add(op.output)
        if unused := set(self.tensors) - made:
            raise ModelError(f"graph: no operator writes tensor {min(unused)!r}")
        for role, name in self.outputs.items():
            if name not in made or name == self.input:
                raise ModelError(f"graph: output {role!r}: no operator writes tensor {name!r}")
            maker = next(op for op in self.ops if op.output == name)
            if isinstance(maker, Mean) != (role == "logits"):
                refuse(
                    maker,
                    name,
                    f"cannot be the output {role!r}: logits come from a MEAN, "
                    "evidence from any other operator",
                )

    def _check_op(self, op: Op) -> None:
        source, result = self.tensors[op.inputs[0]], self.tensors[op.output]
        expected = output_length(op, source.length)
        if result.length != expected or expected < 1:
            refuse(
                op,
                op.output,
                f"has {result.length} columns, expected {expected} "
                f"from {source.length} of {source.name!r}",
            )
        channels = op.channels if isinstance(op, Convolution) else source.channels
        if result.channels != channels:
            refuse(op, op.output, f"has {result.channels} channels, expected {channels}")
        match op:
            case Convolution():
                if source.channels != op.input_channels:
                    refuse(
                        op,
                        source.name,
                        f"has {source.channels} channels, the weights expect {op.input_channels}",
                    )
                checks.convolution_range(op, source, result)
            case Add():
                other = self.tensors[op.b]
                if (other.length, other.channels) != (source.length, source.channels):
                    refuse(
                        op,
                        op.b,
                        f"has {other.length} columns of {other.channels} channels, "
                        f"{op.a!r} has {source.length} of {source.channels}",
                    )
                checks.add_range(op, source, other, result)
            case Crop():
                if not 0 <= op.start < op.stop <= source.length:
                    refuse(
                        op,
                        source.name,
                        f"has {source.length} columns, cannot be cropped to {op.start}..{op.stop}",
                    )
                if source.quantization != result.quantization:
                    refuse(
                        op,
                        op.output,
                        f"has {result.quantization}, a crop keeps {source.quantization}",
                    )
            case Permute():
                if len(op.order) != source.channels:
                    refuse(
                        op,
                        source.name,
                        f"has {source.channels} channels, its order is one of {len(op.order)}",
                    )
                if source.quantization != result.quantization:
                    refuse(
                        op,
                        op.output,
                        f"has {result.quantization}, a permutation keeps {source.quantization}",
                    )
            case Mean():
                checks.mean_range(op, source, result)

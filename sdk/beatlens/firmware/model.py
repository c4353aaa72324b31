"""A network as C constants, for `firmware_export/src/bl_net.c`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError, RecipeError
from beatlens.firmware.plan import Buffer, Layer, Plan
from beatlens.integer import arithmetic
from beatlens.integer.arithmetic import Multiplier
from beatlens.integer.graph import Add, Conv, Convolution, IntegerGraph, Permute

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
KINDS: dict[type, str] = {Add: "BL_ADD", Permute: "BL_PERMUTE"}


@dataclass(frozen=True)
class ModelSource:
    """Header and source of one network; the header has its state's size as a constant."""

    header: str
    source: str


def model_source(plan: Plan, name: str) -> ModelSource:
    """C that defines `const bl_model NAME` and `NAME_STATE_BYTES`.

    Args:
        plan: of the network.
        name: a C identifier.

    Raises:
        RecipeError: the name is none.
        ModelError: a sum could leave 32 bits without the zero points taken off first.
    """
    check_identifier(name, "the model")
    upper = name.upper()
    header = (
        f"#ifndef {upper}_H\n#define {upper}_H\n\n"
        '#include "bl_net.h"\n\n'
        f"#define {upper}_STATE_BYTES {plan.state_bytes}u\n\n"
        f"extern const bl_model {name};\n\n#endif\n"
    )
    parts = [f'/* Made by beatlens. */\n#include "{name}.h"\n']
    rows = []
    first_write = len(plan.input_writes)
    for number, layer in enumerate(plan.layers):
        parts += _constants(plan.graph, layer, f"{name}_{number}")
        rows.append(_layer(plan, layer, f"{name}_{number}", first_write))
        first_write += len(layer.writes)
    writes = [*plan.input_writes, *(b for layer in plan.layers for b in layer.writes)]
    parts += [
        _array("bl_layer", f"{name}_layers", rows),
        _array("bl_buffer", f"{name}_buffers", [_buffer(buffer) for buffer in plan.buffers]),
        _numbers("uint16_t", f"{name}_writes", writes),
        _model(plan, name, upper),
    ]
    return ModelSource(header, "\n".join(parts))


def check_identifier(name: str, of: str) -> None:
    """Raise `RecipeError` for what C does not take as a name."""
    if not IDENTIFIER.fullmatch(name):
        raise RecipeError(f"name of {of} is {name!r}, expected a C identifier such as chest_lead")


def _model(plan: Plan, name: str, upper: str) -> str:
    source = plan.graph.tensors[plan.graph.input]
    values = (
        f"{name}_layers", f"{name}_buffers", f"{name}_writes",
        len(plan.layers), len(plan.buffers), len(plan.input_writes), len(plan.buffers) - 1,
        plan.chunk, source.channels, plan.buffers[-1].channels, plan.window, f"{upper}_STATE_BYTES",
    )  # fmt: skip
    return f"const bl_model {name} = {{\n{_wrapped(values)}\n}};\n"


def _layer(plan: Plan, layer: Layer, prefix: str, first_write: int) -> str:
    op = layer.op
    result = plan.graph.tensors[op.output]
    zero_point = result.quantization.zero_point
    relu = isinstance(op, Convolution | Add) and op.relu
    low, _ = arithmetic.activation_range(zero_point, relu)
    groups = _groups(op) if isinstance(op, Convolution) else 1
    has = isinstance(op, Convolution)
    values = (
        KINDS.get(type(op), "BL_CONV"), len(layer.writes), layer.stride, zero_point, low,
        layer.kernel, result.channels, groups, layer.input, first_write,
        f"{prefix}_weights" if has else 0,
        0 if isinstance(op, Add) else f"{prefix}_bias",
        0 if isinstance(op, Permute) else f"{prefix}_factors",
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def _groups(op: Convolution) -> int:
    return op.groups if isinstance(op, Conv) else op.channels


def _buffer(buffer: Buffer) -> str:
    values = (
        buffer.offset, buffer.columns, buffer.channels, buffer.skip, *buffer.pad, buffer.zero_point
    )  # fmt: skip
    return "{" + ", ".join(map(str, values)) + "}"


def _constants(graph: IntegerGraph, layer: Layer, prefix: str) -> list[str]:
    """The arrays one layer points to."""
    op = layer.op
    result = graph.tensors[op.output].quantization
    match op:
        case Convolution():
            source = graph.tensors[op.input].quantization
            factors = arithmetic.convolution_multiplier(
                source.scale, op.weight_scales, result.scale
            )
            rows = np.ascontiguousarray(op.taps)
            return [
                _numbers("int8_t", f"{prefix}_weights", rows.ravel().tolist()),
                _numbers("int32_t", f"{prefix}_bias", _bias(op, source.zero_point).tolist()),
                _array("bl_factor", f"{prefix}_factors", _factors([factors])),
            ]
        case Permute():
            return [_numbers("int32_t", f"{prefix}_bias", op.order)]
        case Add():
            a, b = (graph.tensors[name].quantization.scale for name in op.inputs)
            factors_of_add = arithmetic.add_multipliers(a, b, result.scale)
            return [_array("bl_factor", f"{prefix}_factors", _factors(factors_of_add))]


def _bias(op: Convolution, zero_point: int) -> NDArray[np.int64]:
    """Biases that hold the input's zero point, so that kernels multiply samples as they are."""
    taps = op.taps.astype(np.int64)
    bias: NDArray[np.int64] = op.bias.astype(np.int64) - zero_point * taps.sum(axis=1)
    reach = np.abs(bias) + 128 * np.abs(taps).sum(axis=1)
    if reach.max() >= 1 << 31:
        raise ModelError(
            f"operator {op.name!r}: sums reach {int(reach.max())}, expected below 2^31 with the "
            "zero point in the bias; the engine's accumulators have 32 bits"
        )
    return bias


def _factors(multipliers: Iterable[Multiplier]) -> list[str]:
    pairs = (
        pair
        for m in multipliers
        for pair in zip(np.atleast_1d(m.mantissa), np.atleast_1d(m.shift), strict=True)
    )
    return [f"{{{int(mantissa)}, {int(shift)}}}" for mantissa, shift in pairs]


def _numbers(kind: str, name: str, values: Iterable[int]) -> str:
    return _array(kind, name, [_constant(value) for value in values])


def _constant(value: int) -> str:
    """A number as C takes it: the lowest int32 has no constant of its own."""
    return "-2147483647 - 1" if value == -(1 << 31) else str(value)


def _array(kind: str, name: str, values: list[str]) -> str:
    return f"static const {kind} {name}[{len(values)}] = {{\n{_wrapped(values)}\n}};\n"


def _wrapped(values: Iterable[object]) -> str:
    text = ", ".join(map(str, values))
    return textwrap.fill(text, 79, initial_indent="    ", subsequent_indent="    ")

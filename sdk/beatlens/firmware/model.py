"""A network as C constants, for `firmware_export/src/bl_net.c`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.firmware.c_text import (
    CSource,
    array,
    check_identifier,
    guarded,
    numbers,
    row,
    wrapped,
)
from beatlens.firmware.plan import Buffer, Layer, Plan
from beatlens.integer import arithmetic
from beatlens.integer.arithmetic import Multiplier
from beatlens.integer.graph import Add, Conv, Convolution, IntegerGraph, Permute

KINDS: dict[type, str] = {Add: "BL_ADD", Permute: "BL_PERMUTE"}


def model_source(plan: Plan, name: str) -> CSource:
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
    header = guarded(
        name,
        '#include "bl_net.h"\n',
        f"#define {upper}_STATE_BYTES {plan.state_bytes}u\n",
        f"extern const bl_model {name};\n",
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
        array("bl_layer", f"{name}_layers", rows),
        array("bl_buffer", f"{name}_buffers", [_buffer(buffer) for buffer in plan.buffers]),
        numbers("uint16_t", f"{name}_writes", writes),
        _model(plan, name, upper),
    ]
    return CSource(header, "\n".join(parts))


def _model(plan: Plan, name: str, upper: str) -> str:
    source = plan.graph.tensors[plan.graph.input]
    values = (
        f"{name}_layers", f"{name}_buffers", f"{name}_writes",
        len(plan.layers), len(plan.buffers), len(plan.input_writes), len(plan.buffers) - 1,
        plan.chunk, source.channels, plan.buffers[-1].channels, plan.window, f"{upper}_STATE_BYTES",
    )  # fmt: skip
    return f"const bl_model {name} = {{\n{wrapped(values)}\n}};\n"


def _layer(plan: Plan, layer: Layer, prefix: str, first_write: int) -> str:
    op = layer.op
    result = plan.graph.tensors[op.output]
    zero_point = result.quantization.zero_point
    relu = isinstance(op, Convolution | Add) and op.relu
    low, _ = arithmetic.activation_range(zero_point, relu)
    groups = _groups(op) if isinstance(op, Convolution) else 1
    has = isinstance(op, Convolution)
    return row(
        KINDS.get(type(op), "BL_CONV"), len(layer.writes), layer.stride, zero_point, low,
        layer.kernel, result.channels, groups, layer.input, first_write,
        f"{prefix}_weights" if has else 0,
        0 if isinstance(op, Add) else f"{prefix}_bias",
        0 if isinstance(op, Permute) else f"{prefix}_factors",
    )  # fmt: skip


def _groups(op: Convolution) -> int:
    return op.groups if isinstance(op, Conv) else op.channels


def _buffer(buffer: Buffer) -> str:
    return row(
        buffer.offset, buffer.columns, buffer.channels, buffer.skip, *buffer.pad, buffer.zero_point
    )  # fmt: skip


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
                numbers("int8_t", f"{prefix}_weights", rows.ravel().tolist()),
                numbers("int32_t", f"{prefix}_bias", _bias(op, source.zero_point).tolist()),
                array("bl_factor", f"{prefix}_factors", _factors([factors])),
            ]
        case Permute():
            return [numbers("int32_t", f"{prefix}_bias", op.order)]
        case Add():
            a, b = (graph.tensors[name].quantization.scale for name in op.inputs)
            factors_of_add = arithmetic.add_multipliers(a, b, result.scale)
            return [array("bl_factor", f"{prefix}_factors", _factors(factors_of_add))]


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
    return [row(int(mantissa), int(shift)) for mantissa, shift in pairs]

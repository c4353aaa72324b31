"""A network as C constants, for `firmware_export/src/bl_net.c`."""

from __future__ import annotations

from beatlens.c_source.kernels import Code
from beatlens.c_source.plan import Buffer, Layer, Plan
from beatlens.c_source.text import (
    CSource,
    array,
    check_identifier,
    guarded,
    numbers,
    row,
    wrapped,
)
from beatlens.integer import arithmetic
from beatlens.integer.graph import Add, Conv, Convolution, Op


def model_source(plan: Plan, name: str) -> CSource:
    """C that defines `const bl_model NAME` and `NAME_STATE_BYTES`.

    Args:
        plan: of the network.
        name: a C identifier.

    Raises:
        RecipeError: the name is not a C identifier.
    """
    check_identifier(name, "the model")
    upper = name.upper()
    header = guarded(
        name,
        '#include "bl_kernels.h"\n',
        f"#define {upper}_STATE_BYTES {plan.state_bytes}u\n",
        f"extern const bl_model {name};\n",
    )
    parts = [f'/* Made by beatlens. */\n#include "{name}.h"\n']
    rows = []
    first_write = len(plan.input_writes)
    for number, layer in enumerate(plan.layers):
        parts += _constants(layer.code, f"{name}_{number}")
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
        plan.chunk, source.channels, plan.buffers[-1].channels, plan.window, plan.scratch_bytes,
        f"{upper}_STATE_BYTES",
    )  # fmt: skip
    return f"const bl_model {name} = {{\n{wrapped(values)}\n}};\n"


def _layer(plan: Plan, layer: Layer, prefix: str, first_write: int) -> str:
    op, code = layer.op, layer.code
    source, result = plan.graph.tensors[op.inputs[0]], plan.graph.tensors[op.output]
    zero_point = result.quantization.zero_point
    relu = isinstance(op, Convolution | Add) and op.relu
    low, _ = arithmetic.activation_range(zero_point, relu)
    return row(
        code.kernel, len(op.inputs), len(layer.writes), layer.stride, zero_point, low,
        layer.taps, source.channels, result.channels, _groups(op), layer.input, first_write,
        0 if code.weights is None else f"{prefix}_weights",
        f"{prefix}_constants", f"{prefix}_factors" if code.factors else 0,
    )  # fmt: skip


def _groups(op: Op) -> int:
    match op:
        case Conv():
            return op.groups
        case Convolution():
            return op.channels
    return 1


def _buffer(buffer: Buffer) -> str:
    return row(
        buffer.offset, buffer.columns, buffer.channels, buffer.skip, *buffer.pad, buffer.zero_point
    )  # fmt: skip


def _constants(code: Code, prefix: str) -> list[str]:
    """The arrays one layer points to."""
    parts = [f"/* {code.kernel}: {code.bound} */\n"] if code.bound else []
    if code.weights is not None:
        parts.append(numbers(f"{code.weights.dtype}_t", f"{prefix}_weights", code.weights.tolist()))
    parts.append(numbers("int32_t", f"{prefix}_constants", code.constants))
    if code.factors:
        rows = [row(mantissa, shift) for mantissa, shift in code.factors]
        parts.append(array("bl_factor", f"{prefix}_factors", rows))
    return parts

"""Convolutions that CMSIS-NN computes wrongly on cores with MVE (Cortex-M55 and M85).

TensorFlow Lite Micro with CMSIS-NN gives most 1-D convolutions to `arm_convolve_1_x_n_s8`. Its MVE
form works in three parts. Columns at either end read a small copy of the input's end with padding
beside it, those between read the input itself. The copy at the right end always holds `kernel - 1`
columns of the input, and as many of padding as there are at the left, or as it has outputs. For
some strides that is not what the outputs see: they read beyond the input, or beyond the copy, or
padding where the input goes on; and the status is success all the same.

Which columns come out wrong follows from lengths alone, so it is computed here, column by column,
for the versions of CMSIS-NN that give that function every stride of whole words (`stride *
channels` a multiple of 4). Of the three reference models this names the one that was seen to give
wrong output on a Cortex-M55. What still other versions do a bundle's golden vectors tell.
"""

from __future__ import annotations

from beatlens.integer.graph import Conv, IntegerGraph

CORES = ("m3", "m4", "m7", "m33", "m55", "m85")
MVE_CORES = ("m55", "m85")
PADDING, ELSEWHERE = -1, -2
"""Where an output reads a padding value, and where it reads what is neither input nor padding."""


def mve_unsafe(graph: IntegerGraph) -> list[tuple[str, str]]:
    """Name and reason of each operator that CMSIS-NN computes wrongly on a core with MVE.

    >>> from beatlens.integer.graph import Mean, Quantization, Tensor
    >>> import numpy as np
    >>> q = Quantization(1.0, 0)
    >>> conv = Conv(name="conv", input="input", output="evidence", stride=2, padding="same",
    ...             weights=np.ones((1, 7, 2), np.int8), weight_scales=np.ones(1, np.float32),
    ...             bias=np.zeros(1, np.int32))
    >>> tensors = [Tensor("input", 1250, 2, q), Tensor("evidence", 625, 1, q),
    ...            Tensor("logits", 1, 1, q)]
    >>> mean = Mean(name="mean", input="evidence", output="logits")
    >>> graph = IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input",
    ...                      {"logits": "logits", "evidence": "evidence"})
    >>> [(name, reason)] = mve_unsafe(graph)
    >>> name, reason[:36]
    ('conv', 'column 624 of 625 comes out wrong on')
    """
    found = []
    for op in graph.ops:
        if isinstance(op, Conv) and _is_1_x_n(op):
            source, out = graph.tensors[op.input], graph.tensors[op.output].length
            if what := _what_goes_wrong(op.kernel, op.stride, source.length, out):
                shape = (
                    f"kernel {op.kernel}, stride {op.stride}, {op.padding} padding, "
                    f"{source.length} columns of {source.channels} channels"
                )
                found.append((op.name, f"{what} (arm_convolve_1_x_n_s8; {shape})"))
    return found


def _is_1_x_n(op: Conv) -> bool:
    """Whether CMSIS-NN's wrapper gives the convolution to `arm_convolve_1_x_n_s8`."""
    return op.groups == 1 and op.kernel > 1 and op.stride * op.input_channels % 4 == 0


def _what_goes_wrong(kernel: int, stride: int, length: int, out: int) -> str | None:
    parts = _parts(kernel, stride, length, out)
    if parts is None:
        return "it is refused, and so Invoke fails, on cores with MVE"
    if sum(parts) != out:  # then CMSIS-NN takes another function
        return None
    pad = _pad(kernel, stride, length, out)
    wrong = [
        column
        for column in range(out)
        if columns_read(kernel, stride, length, out, column)
        != [
            place if 0 <= place < length else PADDING
            for place in range(stride * column - pad, stride * column - pad + kernel)
        ]
    ]
    if not wrong:
        return None
    which = f"column {wrong[0]}" if len(wrong) == 1 else f"columns {wrong[0]} to {wrong[-1]}"
    return f"{which} of {out} {'comes' if len(wrong) == 1 else 'come'} out wrong on cores with MVE"


def columns_read(kernel: int, stride: int, length: int, out: int, column: int) -> list[int]:
    """The input columns one output column is computed from, PADDING or ELSEWHERE among them."""
    pad, beyond = _pad(kernel, stride, length, out), _beyond(kernel, stride, length, out)
    parts = _parts(kernel, stride, length, out)
    assert parts is not None, "CMSIS-NN refuses this shape"
    left, middle, right = parts
    if column < left:
        return [
            PADDING if place < pad else place - pad if place < pad + kernel else ELSEWHERE
            for place in range(stride * column, stride * column + kernel)
        ]
    if column < left + middle:
        first = stride * column - pad
        return [n if n < length else ELSEWHERE for n in range(first, first + kernel)]
    start = stride * (left + middle) - pad
    padding = pad if beyond % 2 == 0 else right
    first = stride * (column - left - middle)
    return [
        (start + place if start + place < length else ELSEWHERE)
        if place < kernel - 1
        else (PADDING if place < kernel - 1 + padding else ELSEWHERE)
        for place in range(first, first + kernel)
    ]


def _beyond(kernel: int, stride: int, length: int, out: int) -> int:
    """Columns the outputs see beyond the input; negative where its last ones are not seen."""
    return (out - 1) * stride + kernel - length


def _pad(kernel: int, stride: int, length: int, out: int) -> int:
    """Columns of padding at the left."""
    return max(_beyond(kernel, stride, length, out), 0) // 2


def _parts(kernel: int, stride: int, length: int, out: int) -> tuple[int, int, int] | None:
    """Outputs of the three parts, or None where CMSIS-NN gives an error."""
    beyond, pad = _beyond(kernel, stride, length, out), _pad(kernel, stride, length, out)
    odd = beyond % 2 if beyond >= 0 else -(-beyond % 2)  # as C divides
    if 2 * pad + odd != beyond:
        return None
    left = max(1, (pad + stride - 1) // stride) if pad else 0
    right = max(1, (pad + odd + stride - 1) // stride) if pad + odd else 0
    return left, max(out - left - right, 0), right

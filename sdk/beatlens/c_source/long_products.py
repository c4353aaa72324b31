"""The order of weights for four products per long multiplication: `bl_convolve_long`.

Two values in a word times two weights in a word are three sums in 64 bits, 21 bits apart; see
`bl_long.c`, and SPEC.md, "Long products". That the sums stay in their bits is proven here from the
weights: windows are cut into parts, some of the inputs each, until they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 21
SUM = 1 << (BITS - 1)
"""128 times the sum of a part's weights is below."""
WINDOWS = 5
SCRATCH_BYTES = 1120
"""For values and sums of a layer, where that is enough for one input of one channel."""


@dataclass(frozen=True)
class LongLayout:
    """A convolution's windows cut into parts.

    Args:
        words: blocks of channels one behind the other, of each the parts, of these words
            `[channels of the block, words of the part]`, filled up to an even number.
        inputs: of a part, counted in columns as wide as a stride.
        parts: of a window.
        block: channels whose sums wait while parts are added.
        scratch_bytes: what the kernel needs while it runs.
        largest: of the sums of a part, 128 times the weights.
        instructions: that five windows take on a Cortex-M, about.
    """

    words: NDArray[np.int64]
    inputs: int
    parts: int
    block: int
    scratch_bytes: int
    largest: int
    instructions: float


def long_layout(taps: NDArray[np.int64], stride: int) -> LongLayout | None:
    """The layout of fewest instructions; None where sums leave their bits whatever is cut.

    Args:
        taps: `[channels, columns, inputs]`, one group.
        stride: columns from a window to the next one.

    >>> found = long_layout(np.ones((2, 4, 3), np.int64), 1)
    >>> found.inputs, found.words.tolist() == [1 + (1 << 21)] * 12
    (3, True)
    """
    channels, columns, inputs = taps.shape
    pairs = -(-columns // (2 * stride))
    width = stride * inputs
    used = min(width, columns * inputs)
    filled = np.pad(taps, ((0, 0), (0, 2 * pairs * stride - columns), (0, 0)))
    split = filled.reshape(channels, pairs, 2, width)[..., :used]
    reach = 128 * np.abs(split).sum(axis=(1, 2))
    behind = (2 * pairs + WINDOWS - 1) * width - columns * inputs
    best: LongLayout | None = None
    for part in range(used, 0, -1):
        starts = np.arange(0, used, part)
        largest = int(np.add.reduceat(reach, starts, axis=1).max())
        values = 12 * (part * pairs + 1)
        if largest >= SUM or (part > 1 and values + 4 * WINDOWS > SCRATCH_BYTES):
            continue
        block = _block(channels, values)
        sizes = [min(part, used - start) * pairs for start in starts]
        words = sum(size + size % 2 for size in sizes)
        blocks = -(-channels // block) if len(sizes) > 1 else 1
        cost = used * blocks * (13 + 9 * pairs) + _instructions(channels, words, len(sizes))
        if best is None or cost < best.instructions:
            scratch = max(values + 4 * WINDOWS * block, behind + -behind % 4)
            best = LongLayout(
                _packed(split, starts, block), part, len(sizes), block, scratch, largest, cost
            )
    return best


def _block(channels: int, values: int) -> int:
    """Channels of a block: as few blocks as there is room for, all of about the same size."""
    largest = max(1, (SCRATCH_BYTES - values) // (4 * WINDOWS))
    blocks = -(-channels // largest)
    return -(-channels // blocks)


def _instructions(channels: int, words: int, parts: int) -> float:
    """Instructions of five windows: for products, for each part, and for each channel."""
    return channels * (4.75 * words + 33 * parts + 70)


def _packed(split: NDArray[np.int64], starts: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    """Words of `[channels, pairs, 2, inputs]`: the odd tap, and 2^21 times the even one."""
    words = (split[:, :, 1] + (split[:, :, 0] << BITS)).transpose(0, 2, 1)
    pieces = []
    for channels in np.split(words, range(block, len(words), block)):
        for part in np.split(channels, starts[1:], axis=1):
            flat = part.reshape(len(channels), -1)
            pieces.append(np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))).ravel())
    return np.concatenate(pieces)

"""Blocks of weights within one output channel, and the statistics the encoder needs of them.

A block is `taps` x `inputs` neighbouring weights of one output channel. Blocks begin at tap 0,
input 0 of each channel, and those at the end may be smaller. Within a channel, weights and their
bits are in the order of blocks; within a block, taps are the outer index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", np.int16, np.int32)
SIDES = (1, 2, 4, 8, 16)
"""Taps and inputs per block that are tried, besides all taps and all inputs."""


@dataclass(frozen=True)
class Blocks:
    """A tensor `[out, k, in]` cut into blocks `[out, K, I]`.

    Attributes:
        taps, inputs: size of a block.
        largest, smallest: largest and smallest magnitude in each block.
        total: sum of the weights in each block.
        sizes: number of weights in each block.
    """

    taps: int
    inputs: int
    largest: NDArray[np.int16]
    smallest: NDArray[np.int16]
    total: NDArray[np.int32]
    sizes: NDArray[np.int32]

    @property
    def equal(self) -> NDArray[np.bool_]:
        """Which blocks have weights of one magnitude only."""
        equal: NDArray[np.bool_] = self.largest == self.smallest
        return equal

    def joined(self, axis: int, factor: int) -> Blocks:
        """Join blocks to blocks `factor` times as long in taps (axis 1) or inputs (axis 2)."""
        grow = (factor, 1) if axis == 1 else (1, factor)
        return Blocks(
            self.taps * grow[0],
            self.inputs * grow[1],
            _join(np.maximum, self.largest, axis, factor),
            _join(np.minimum, self.smallest, axis, factor),
            _join(np.add, self.total, axis, factor),
            _join(np.add, self.sizes, axis, factor),
        )


def split_blocks(tensor: NDArray[np.int8]) -> Iterator[Blocks]:
    """Split the tensor into blocks of every shape that is tried, more than one weight each.

    Larger blocks are left out where few of the smaller blocks in them have one magnitude.
    """
    _, taps, inputs = tensor.shape
    wide = tensor.astype(np.int16)
    single = np.abs(wide)
    ones = np.ones((1, taps, inputs), np.int32)  # sizes are the same in every channel
    rows = Blocks(1, 1, single, single, wide.astype(np.int32), ones)
    for tall in _grown(rows, 1, taps):
        for found in _grown(tall, 2, inputs):
            if found.taps * found.inputs > 1:
                if not _promising(found):
                    break
                yield found


def _grown(blocks: Blocks, axis: int, length: int) -> Iterator[Blocks]:
    """Blocks of every length along an axis, up to the whole axis."""
    base = blocks
    for side in SIDES:
        if side >= length:
            break
        if side > 1:
            base = base.joined(axis, 2)
        yield base
    yield blocks.joined(axis, length) if length > 1 else blocks


def _promising(blocks: Blocks) -> bool:
    return bool(np.count_nonzero(blocks.equal) * 64 >= blocks.largest.size)


def _join(join: np.ufunc, values: NDArray[_T], axis: int, factor: int) -> NDArray[_T]:
    starts = np.arange(0, values.shape[axis], factor)
    joined: NDArray[_T] = join.reduceat(values, starts, axis=axis)
    return joined


def block_order(taps: int, inputs: int, block_taps: int, block_inputs: int) -> NDArray[np.int64]:
    """Return the positions of a channel's `[k, in]` weights in the order of blocks.

    >>> block_order(2, 3, 2, 2).tolist()
    [0, 1, 3, 4, 2, 5]
    """
    tap, column = np.indices((taps, inputs))
    return np.lexsort(
        (column.ravel(), tap.ravel(), (column // block_inputs).ravel(), (tap // block_taps).ravel())
    )


def spread(
    values: NDArray[np.int32], blocks: tuple[int, int], shape: tuple[int, int, int]
) -> NDArray[np.int32]:
    """Repeat a value per block `[out, K, I]` for every weight `[out, k * in]`, block by block."""
    out, taps, inputs = shape
    full = values.repeat(blocks[0], axis=1)[:, :taps].repeat(blocks[1], axis=2)[:, :, :inputs]
    return full.reshape(out, -1)[:, block_order(taps, inputs, *blocks)]

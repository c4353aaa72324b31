"""Which channels go into which diagonal block of a layer's weights.

Blocks are equally large sets of output and of input channels; a weight is kept where both of its
channels are in the same block. All of this is ours: the paper draws the blocks at random
(Supic et al. 2018, see `beatlens.compress.permuted_blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from beatlens.compress.channel_groups import channel_groups, check_removable
from beatlens.errors import ModelError

Key = tuple[str, str, int]
Dealt = dict[Key, np.ndarray]
Shared = dict[tuple[str, str], str]
"""Name of the channels that a layer writes (`rows`) or reads (`columns`), by layer and side."""
TRIES = 4
"""Random beginnings of the choice by magnitude; the best end of them is taken."""


def shared_channels(net: nn.Module, x: Tensor) -> Shared:
    """Which layers write, and which read, the same channels (a residual stream, mostly).

    Layers of a network that cannot be followed are left out.

    Args:
        net: any network; not changed.
        x: inputs `[B, leads, N]` it takes.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3))
    >>> shared_channels(net, torch.randn(2, 1, 9))
    {('0', 'rows'): '0', ('2', 'columns'): '0'}
    """
    try:
        check_removable(net, "permuted-blocks")
        groups = channel_groups(net, x)
    except ModelError:
        return {}
    found: Shared = {}
    for group in groups:
        for side, members in (("rows", group.filters), ("columns", group.consumers)):
            for member in members:
                if member.positions == member.channels == tuple(range(group.size)):
                    found[member.layer, side] = group.name
    return found


@dataclass(frozen=True)
class Share:
    """A layer's claim on how channels are dealt.

    Args:
        energy: what a weight between two channels is worth, not negative, `[out, in]`.
        blocks: how many; divides both.
        rows, columns: names of the output and of the input channels; layers that give the same
            name (and have as many blocks) get the same blocks.
    """

    energy: np.ndarray
    blocks: int
    rows: str
    columns: str

    @property
    def keys(self) -> tuple[Key, Key]:
        """What stands for the output and for the input channels."""
        return ("rows", self.rows, self.blocks), ("columns", self.columns, self.blocks)


def deal(shares: Sequence[Share], rng: np.random.Generator, *, by_energy: bool = True) -> Dealt:
    """Deal channels to equally large blocks so that the blocks of all layers hold much energy.

    The channels of one name are dealt exactly (a balanced assignment) for the others as they are,
    one name after the other, round and round while the energy grows, from a few random beginnings;
    the energy is never less than theirs.

    Args:
        shares: the layers.
        rng: of the beginnings.
        by_energy: False keeps the first random beginning.

    Returns:
        The block of each channel, `[out]` or `[in]`, by `Share.keys`.

    >>> striped = Share(np.kron(np.ones((2, 2)), np.eye(2)), 2, "out", "in")
    >>> dealt = deal([striped], np.random.default_rng(0))
    >>> rows, columns = (dealt[key] for key in striped.keys)
    >>> bool((rows == columns).all() and (rows[:2] == rows[2:]).all() and rows[0] != rows[1])
    True
    """
    if not by_energy:
        return _beginning(shares, rng)
    ends = [_improved(shares, _beginning(shares, rng)) for _ in range(TRIES)]
    return max(ends, key=lambda dealt: _held(shares, dealt))


def _beginning(shares: Sequence[Share], rng: np.random.Generator) -> Dealt:
    dealt: Dealt = {}
    for share in shares:
        for key, count in zip(share.keys, share.energy.shape, strict=True):
            if key not in dealt:
                dealt[key] = rng.permutation(count) % share.blocks
    return dealt


def _held(shares: Sequence[Share], dealt: Dealt) -> float:
    """Energy within the blocks."""
    return sum(
        float(share.energy[dealt[rows][:, None] == dealt[columns]].sum())
        for share in shares
        for rows, columns in [share.keys]
    )


def _improved(shares: Sequence[Share], dealt: Dealt) -> Dealt:
    """Deal in turns until that no longer helps."""
    held = _held(shares, dealt)
    while True:
        new = dict(dealt)
        for key in new:
            new[key] = _dealt(_worth(shares, new, key))
        better = _held(shares, new)
        if better <= held * (1 + 1e-9):
            return dealt
        held, dealt = better, new


def _worth(shares: Sequence[Share], dealt: Dealt, key: Key) -> np.ndarray:
    """What each channel is worth to each block as the others are dealt, `[channels, blocks]`."""
    found = []
    for share in shares:
        rows, columns = share.keys
        if key == rows:
            found.append(share.energy @ np.eye(share.blocks)[dealt[columns]])
        if key == columns:
            found.append(share.energy.T @ np.eye(share.blocks)[dealt[rows]])
    return np.sum(found, axis=0)


def _dealt(worth: np.ndarray) -> np.ndarray:
    """Block of each channel, equally many in each, by the largest sum of `worth [n, blocks]`."""
    count, blocks = worth.shape
    places = np.repeat(np.arange(blocks), count // blocks)
    _, taken = linear_sum_assignment(worth[:, places], maximize=True)
    return cast(np.ndarray, places[taken])

"""Which channels go into which diagonal block of a layer's weights.

Blocks are equally large sets of output and of input channels; a weight is kept where both of its
channels are in the same block. The choice by energy is ours: the paper (Supic et al. 2018, see
`beatlens.compression.permuted_blocks`) assigns channels at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from beatlens.compression.channel_groups import channel_groups, check_removable
from beatlens.errors import ModelError

Key = tuple[str, str, int]
Assignment = dict[Key, np.ndarray]
Shared = dict[tuple[str, str], str]
"""Name of the channels that a layer writes (`rows`) or reads (`columns`), by layer and side."""
TRIES = 4
"""Random assignments to start from in the choice by magnitude; the best result is taken."""


def shared_channels(net: nn.Module, x: Tensor) -> Shared:
    """Find the layers that write, and those that read, the same channels (a residual stream).

    Layers that torch-pruning cannot follow are left out.

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
    """A layer that takes part in the assignment of channels to blocks.

    Args:
        energy: sum of squares of the weights between two channels, `[out, in]`, not negative.
        blocks: number of blocks; divides both channel counts.
        rows, columns: names of the output and of the input channels. Layers that give the same
            name (and have as many blocks) get the same blocks.
    """

    energy: np.ndarray
    blocks: int
    rows: str
    columns: str

    @property
    def keys(self) -> tuple[Key, Key]:
        """Keys of the output and of the input channels in an `Assignment`."""
        return ("rows", self.rows, self.blocks), ("columns", self.columns, self.blocks)


def assign_blocks(
    shares: Sequence[Share], rng: np.random.Generator, *, by_energy: bool = True
) -> Assignment:
    """Assign channels to equally large blocks so that the blocks of all layers hold much energy.

    Coordinate ascent from `TRIES` random assignments: the channels of one name are assigned anew,
    exactly (a balanced linear assignment), with all others fixed; this is repeated over all names
    until the energy in the blocks no longer grows. The best result is taken.

    Args:
        shares: the layers.
        rng: of the random assignments at the start.
        by_energy: False returns the first random assignment.

    Returns:
        The block of each channel, `[out]` or `[in]`, by `Share.keys`.

    >>> striped = Share(np.kron(np.ones((2, 2)), np.eye(2)), 2, "out", "in")
    >>> assignment = assign_blocks([striped], np.random.default_rng(0))
    >>> rows, columns = (assignment[key] for key in striped.keys)
    >>> bool((rows == columns).all() and (rows[:2] == rows[2:]).all() and rows[0] != rows[1])
    True
    """
    if not by_energy:
        return _start_at_random(shares, rng)
    ends = [_improve(shares, _start_at_random(shares, rng)) for _ in range(TRIES)]
    return max(ends, key=lambda assignment: _energy_held(shares, assignment))


def _start_at_random(shares: Sequence[Share], rng: np.random.Generator) -> Assignment:
    assignment: Assignment = {}
    for share in shares:
        for key, count in zip(share.keys, share.energy.shape, strict=True):
            if key not in assignment:
                assignment[key] = rng.permutation(count) % share.blocks
    return assignment


def _energy_held(shares: Sequence[Share], assignment: Assignment) -> float:
    """Energy within the blocks."""
    return sum(
        float(share.energy[assignment[rows][:, None] == assignment[columns]].sum())
        for share in shares
        for rows, columns in [share.keys]
    )


def _improve(shares: Sequence[Share], assignment: Assignment) -> Assignment:
    """Assign one name after the other until the energy no longer grows."""
    held = _energy_held(shares, assignment)
    while True:
        new = dict(assignment)
        for key in new:
            new[key] = _assign(_energy_in_blocks(shares, new, key))
        better = _energy_held(shares, new)
        if better <= held * (1 + 1e-9):
            return assignment
        held, assignment = better, new


def _energy_in_blocks(shares: Sequence[Share], assignment: Assignment, key: Key) -> np.ndarray:
    """Energy of each channel within each block, the others being fixed, `[channels, blocks]`."""
    found = []
    for share in shares:
        rows, columns = share.keys
        if key == rows:
            found.append(share.energy @ np.eye(share.blocks)[assignment[columns]])
        if key == columns:
            found.append(share.energy.T @ np.eye(share.blocks)[assignment[rows]])
    return np.asarray(np.sum(found, axis=0))


def _assign(energy: np.ndarray) -> np.ndarray:
    """Block of each channel, equally many in each, by the largest sum of `energy [n, blocks]`."""
    count, blocks = energy.shape
    places = np.repeat(np.arange(blocks), count // blocks)
    _, taken = linear_sum_assignment(energy[:, places], maximize=True)
    return cast(np.ndarray, places[taken])

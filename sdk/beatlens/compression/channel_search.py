"""Choose the channels to remove so that the packed network fits into a limit.

Channels of all groups are ranked together, and the least important are removed first. A group keeps
a multiple of `round_to` channels, which the kernels process together, and never less than a share
`floor` of its channels. How many to remove is found by pruning copies of the network and packing
them.

>>> widths = Widths(round_to=4, floor=0.05)
>>> [widths.after(size=12, removed=n) for n in (0, 1, 4, 5, 11)]
[12, 12, 8, 8, 4]
>>> [widths.after(size=6, removed=n) for n in (0, 1, 2, 5)]
[6, 6, 4, 4]
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from beatlens.compression.budget import largest_that_fits
from beatlens.compression.channel_groups import ChannelGroup, Removal, remove_channels
from beatlens.compression.importance import Scores
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError


@dataclass(frozen=True)
class Widths:
    """The numbers of channels a group may keep.

    Args:
        round_to: channels kept are a multiple of this, or all. CMSIS-NN and the firmware's kernels
            compute four output channels at a time.
        floor: share of its channels a group always keeps, 0 to 1.
    """

    round_to: int = 4
    floor: float = 0.05

    def __post_init__(self) -> None:
        if self.round_to < 1:
            raise RecipeError(f"round_to is {self.round_to} channels, expected at least 1")
        if not 0 <= self.floor <= 1:
            raise RecipeError(f"floor is {self.floor}, expected a share from 0 to 1")

    def after(self, size: int, removed: int) -> int:
        """Channels a group of `size` keeps when `removed` of it rank too low."""
        least = max(1, ceil(self.floor * size - 1e-9))
        return self._up(max(size - removed, least), size)

    def next(self, size: int, width: int) -> int:
        """The next larger width after `width`, at most `size`."""
        return self._up(min(size, width + 1), size)

    def _up(self, width: int, size: int) -> int:
        return min(size, ceil(width / self.round_to) * self.round_to)


class ChannelSearch:
    """Finds the channels to take out of a network.

    Args:
        net: any network; not changed.
        x: inputs `[B, leads, N]` it takes.
        groups: its groups of channels.
        scores: importance of every channel `[size]`, by group name.
        widths: the numbers of channels groups may keep.
    """

    def __init__(
        self,
        net: nn.Module,
        x: Tensor,
        groups: Sequence[ChannelGroup],
        scores: Scores,
        widths: Widths,
    ) -> None:
        self._net, self._x, self._groups, self._widths = net, x, groups, widths
        self._order = [scores[group.name].argsort(stable=True).tolist() for group in groups]
        self._scores = [scores[group.name].sort().values for group in groups]
        owners = torch.cat([torch.full((g.size,), i) for i, g in enumerate(groups)])
        self._ranked = owners[torch.cat([scores[g.name] for g in groups]).argsort(stable=True)]
        self._weighed: dict[tuple[int, ...], int] = {}

    def within(self, limit: int, what: str) -> Removal:
        """Find the fewest channels to remove for the packed weights to take at most `limit` bytes.

        The result is tight: with the next larger width of any group the network would not fit.

        Args:
            limit: bytes.
            what: name of the method, for the message.

        Raises:
            ModelError: the network does not fit at the smallest widths either.
        """
        gone = largest_that_fits(
            lambda count: self.packed_bytes(self._after(count)),
            gentle=0,
            harsh=len(self._ranked),
            limit=limit,
            what=what,
        )
        return self.removal(self._filled(self._after(gone), limit))

    def removal(self, widths: Sequence[int]) -> Removal:
        """The channels to remove for groups to keep these numbers of channels."""
        return {
            group.name: sorted(order[: group.size - width])
            for group, order, width in zip(self._groups, self._order, widths, strict=True)
        }

    def packed_bytes(self, widths: tuple[int, ...]) -> int:
        """Packed bytes of the whole network when groups keep these numbers of channels."""
        if widths not in self._weighed:
            pruned = remove_channels(copy.deepcopy(self._net), self._x, self.removal(widths))
            self._weighed[widths] = weight_account(pruned).packed_bytes
        return self._weighed[widths]

    def _after(self, count: int) -> tuple[int, ...]:
        """Widths after the `count` least important channels are removed."""
        lost = torch.bincount(self._ranked[:count], minlength=len(self._groups)).tolist()
        return tuple(
            self._widths.after(group.size, n) for group, n in zip(self._groups, lost, strict=True)
        )

    def _filled(self, widths: tuple[int, ...], limit: int) -> tuple[int, ...]:
        """Widths enlarged where that still fits, most important channels first."""
        for index in sorted(range(len(widths)), key=lambda i: -self._gain(widths, i)):
            larger = self._larger(widths, index)
            if larger != widths and self.packed_bytes(larger) <= limit:
                return self._filled(larger, limit)
        return widths

    def _larger(self, widths: tuple[int, ...], index: int) -> tuple[int, ...]:
        wider = self._widths.next(self._groups[index].size, widths[index])
        return (*widths[:index], wider, *widths[index + 1 :])

    def _gain(self, widths: tuple[int, ...], index: int) -> float:
        """Mean importance of the channels that a group's next larger width would keep."""
        size, now = self._groups[index].size, widths[index]
        then = self._larger(widths, index)[index]
        return float(self._scores[index][size - then : size - now].mean()) if then > now else 0.0

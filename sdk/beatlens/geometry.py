"""Where a network's columns look: stride and receptive field, derived from its layers.

Networks are unpadded, so column `t` sees exactly `receptive_field` samples and does not depend on
where the window starts: streaming equals windowed. Two networks are compared over the same *span*,
each with the context its own receptive field asks for. Needs numpy only.

>>> g = Geometry.of([(16, 2), (7, 2), (7, 1)])
>>> g
Geometry(stride=4, receptive_field=52)
>>> g.input_length(columns=10), g.left, g.right
(88, 24, 24)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError, SignalError

Windows = TypeVar("Windows")


@dataclass(frozen=True)
class Geometry:
    """`stride`: samples from one column to the next; `receptive_field`: samples one column sees."""

    stride: int
    receptive_field: int

    def __post_init__(self) -> None:
        if self.stride < 1 or self.receptive_field < self.stride:
            raise ModelError(
                f"geometry has stride {self.stride} and receptive field {self.receptive_field}, "
                "expected 1 <= stride <= receptive field (columns would skip samples otherwise)"
            )

    @classmethod
    def of(cls, layers: Iterable[tuple[int, int]]) -> Geometry:
        """Derive the geometry of a chain of unpadded convolutions `(kernel, stride)`."""
        stride, field = 1, 1
        for kernel, step in layers:
            field += (kernel - 1) * stride
            stride *= step
        return cls(stride, field)

    def input_length(self, columns: int) -> int:
        """Samples needed for `columns` columns."""
        return self.receptive_field + (columns - 1) * self.stride

    @property
    def left(self) -> int:
        """Samples of context needed before a span."""
        return (self.receptive_field - self.stride) // 2

    @property
    def right(self) -> int:
        """Samples of context needed after a span."""
        return self.receptive_field - self.stride - self.left

    def trim(self, windows: Windows, span: int) -> Windows:
        """Trim windows `[..., N]`, whose span lies in their middle, to the context needed here.

        Networks with different receptive fields so get the same span, each with its own context.
        Works on arrays and tensors. Raises `ModelError` where N has too little context, or the span
        is not a whole number of columns.
        """
        context = (windows.shape[-1] - span) // 2  # type: ignore[attr-defined]
        if span % self.stride or self.left > context or self.right > context:
            raise ModelError(
                f"stride {self.stride} and receptive field {self.receptive_field} do not fit "
                f"windows with {context} samples of context around a span of {span}: expected a "
                "stride that divides the span and a receptive field up to "
                f"{2 * context + self.stride}"
            )
        part = slice(context - self.left, context + span + self.right)
        return cast(Windows, windows[..., part])  # type: ignore[index]  # arrays and tensors


def beat_columns(
    peaks: NDArray[np.int64], stride: int, before: int, after: int, columns: int
) -> NDArray[np.int64]:
    """First columns of the spans of beats, moved into a recording of `columns` columns, `[b]`.

    >>> beat_columns(np.array([0, 85]), 8, 4, 7, 100).tolist()
    [0, 6]
    """
    if columns < before + after:
        raise SignalError(
            f"the recording has {columns} columns of evidence, expected at least the "
            f"{before + after} of a beat's span"
        )
    return np.clip(peaks // stride - before, 0, columns - before - after)

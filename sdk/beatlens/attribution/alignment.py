"""Find the places of a layer's columns in the input, and check that two networks' columns agree.

Maps of two networks can be compared column by column only where their columns lie at the same
places of the signal. The first column of a padded network lies at the first sample, that of an
unpadded one half a receptive field later; resampling one map to the other's number of columns would
then shift evidence by up to 1.5 s. Places are measured, for any kind of layer: a NaN sample makes
every column whose receptive field contains it NaN, which gives the first and the last sample of
each field.

The place of a column is the middle of its receptive field; of a field that padding truncates, the
middle of the full field with the same untruncated end. For a chain of convolutions this equals
`start += ((kernel - 1) / 2 - padding) * jump; jump *= stride`.

>>> net = nn.Sequential(nn.Conv1d(1, 2, 9, stride=2), nn.Conv1d(2, 2, 5))
>>> find_columns(net, "1", torch.zeros(1, 1, 100))
Columns(count=42, first=8.0, last=90.0, length=100)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from beatlens.attribution.maps import captured
from beatlens.errors import ModelError

LOCAL_LAYERS = ("kernel_size", "stride", "padding", "dilation")
"""Attributes of a convolution or pooling that set the places of its output columns."""


@dataclass(frozen=True)
class Columns:
    """`count` columns in an input of `length` samples; `first` and `last` are their places."""

    count: int
    first: float
    last: float
    length: int

    @property
    def stride(self) -> float:
        """Samples from one column to the next; `length` where there is one column."""
        return (self.last - self.first) / (self.count - 1) if self.count > 1 else self.length

    def __str__(self) -> str:
        return (
            f"{self.count} columns from sample {self.first:g} to {self.last:g} of {self.length}, "
            f"{self.stride:g} apart"
        )


@dataclass(frozen=True)
class ColumnProbe:
    """A network, its layer and an input, from which the places of the columns can be measured."""

    model: nn.Module
    layer: str | nn.Module
    x: Tensor

    def columns(self) -> Columns | None:
        """See `find_columns`."""
        return find_columns(self.model, self.layer, self.x)

    def layers(self) -> list[tuple[str, ...]]:
        """Kernel, stride, padding and dilation of every layer that has them."""
        return [
            tuple(str(getattr(module, name)) for name in LOCAL_LAYERS if hasattr(module, name))
            for module in self.model.modules()
            if hasattr(module, "kernel_size")
        ]


_known: WeakKeyDictionary[nn.Module, dict[tuple[object, int], Columns | None]] = WeakKeyDictionary()


def find_columns(model: nn.Module, layer: str | nn.Module, x: Tensor) -> Columns | None:
    """Measure the places of the columns `[B, K, T]` of a layer in `x [B, leads, N]`.

    Places are kept for every N. A measurement costs about 25 forward passes of three examples, with
    the model in `eval()` mode.

    Returns:
        The places; None where they cannot be measured: columns that depend on the whole input (a
        normalisation or an attention over time), or a receptive field longer than the input.

    Raises:
        ModelError: there is no such layer, or it does not give `[B, K, T]`.
    """
    known = _known.setdefault(model, {})
    key = (layer if isinstance(layer, str) else id(layer), x.shape[-1])
    if key not in known:
        with _evaluating(model), torch.no_grad():
            known[key] = _measured(model, layer, x[:1])
    return known[key]


def check_aligned(student: ColumnProbe, teacher: ColumnProbe) -> None:
    """Raise `ModelError` where the columns of two networks lie at different places.

    For inputs of one length, the first columns must lie at most a column apart, and so must the
    last ones. Inputs of different lengths are taken as crops around one span, and the spans'
    lengths are compared. Where places cannot be measured, networks with the same layers agree.
    """
    student_columns, teacher_columns = student.columns(), teacher.columns()
    if student_columns is None or teacher_columns is None:
        if student.layers() == teacher.layers() and student.x.shape == teacher.x.shape:
            return
        which = "the student's" if student_columns is None else "the teacher's"
        _refuse(
            f"it cannot be known where {which} columns look (they depend on the whole input)",
            student_columns, teacher_columns,
        )  # fmt: skip
    column = max(student_columns.stride, teacher_columns.stride)
    if student_columns.length == teacher_columns.length:
        apart = max(
            abs(student_columns.first - teacher_columns.first),
            abs(student_columns.last - teacher_columns.last),
        )
        what = f"the columns of the two networks lie up to {apart:g} samples apart"
    else:
        apart = abs(
            student_columns.count * student_columns.stride
            - teacher_columns.count * teacher_columns.stride
        )
        what = f"the spans of the two networks differ by {apart:g} samples"
    if apart > column:
        _refuse(f"{what}, expected at most a column ({column:g})", student_columns, teacher_columns)


def _refuse(what: str, student: Columns | None, teacher: Columns | None) -> NoReturn:
    raise ModelError(
        f"maps cannot be matched: {what}; student: {student or 'unknown'}; teacher: "
        f"{teacher or 'unknown'}; give both networks the same padding, or crop each one's input so "
        "that both cover the same span (geometry.Geometry.trim), or match no maps"
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Keep the model in `eval()` mode for the block, so that no NaN reaches running statistics."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _measured(model: nn.Module, layer: str | nn.Module, x: Tensor) -> Columns | None:
    length = x.shape[-1]
    count = _touched(model, layer, x).shape[-1]
    probed = torch.tensor(sorted({0, count // 2, count - 1}))
    reach = _reach(model, layer, x, probed)
    if reach is None:
        return None
    spans = [(int(first), int(last)) for first, last in reach]
    field = _field(spans, length)
    if field is None:
        return None
    outer = (spans[0], spans[-1])
    reaches_across = outer[0][1] == length - 1 or outer[1][0] == 0
    if reaches_across and any(last - first + 1 != field for first, last in outer):
        return None  # truncated at an end that padding does not truncate elsewhere
    half = (field - 1) / 2
    return Columns(count, spans[0][1] - half, spans[-1][0] + half, length)


def _touched(model: nn.Module, layer: str | nn.Module, x: Tensor) -> Tensor:
    """Which columns are NaN, bool `[B, T]`."""
    with captured(model, layer) as capture:
        model(x)
    if capture.value.ndim != 3:
        raise ModelError(
            f"the layer gives an activation of shape {tuple(capture.value.shape)}, expected "
            "[B, K, T]; name a layer before the pooling"
        )
    return capture.value.isnan().any(dim=1)


def _reach(
    model: nn.Module, layer: str | nn.Module, x: Tensor, columns: Tensor
) -> list[tuple[int, int]] | None:
    """First and last sample of each column's receptive field, by bisection; None if it is empty."""
    length, count = x.shape[-1], len(columns)
    at = torch.arange(length)

    def sees(bad: Tensor) -> Tensor:
        """Whether the field of column `i` has any of the samples `bad[i]`, bool `[count, N]`."""
        probe = x.expand(count, -1, -1).clone()
        probe.masked_fill_(bad[:, None, :].to(probe.device), torch.nan)
        touched = _touched(model, layer, probe).cpu()
        return touched[torch.arange(count), columns]

    if not sees(torch.ones(count, length, dtype=torch.bool)).all():
        return None
    first = _bisected(lambda n: sees(at < n[:, None]), count, length) - 1
    last = length - _bisected(lambda n: sees(at >= length - n[:, None]), count, length)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _bisected(sees: Callable[[Tensor], Tensor], count: int, length: int) -> Tensor:
    """The smallest number of samples, from one end, that reaches each column's field."""
    low, high = torch.zeros(count, dtype=torch.long), torch.full((count,), length)
    while (high - low > 1).any():
        middle = (low + high) // 2
        seen = sees(middle)
        high, low = torch.where(seen, middle, high), torch.where(seen, low, middle)
    return high


def _field(spans: list[tuple[int, int]], length: int) -> int | None:
    """Samples of an untruncated receptive field, or None where it cannot be measured."""
    sizes = {last - first + 1 for first, last in spans}
    inner = [last - first + 1 for first, last in spans if first > 0 and last < length - 1]
    if inner:
        return max(inner)
    one_size = len(sizes) == 1
    moved = len({first for first, _ in spans}) == len(spans)
    return sizes.pop() if one_size and moved else None

"""Where the columns of a network's layer look, for any network, and whether two agree on it.

Maps of two networks can only be compared column by column where their columns look at the same
places. A padded network begins at the first sample, an unpadded one half a receptive field later;
stretching one map onto the other's number of columns then moves evidence by up to a second and a
half. So the places are measured: a sample that is not a number makes every column that sees it not
a number, which finds the first and the last sample that a column sees, whatever the layers are.

Of an untruncated column the place is its middle; one that padding truncates lies where an
untruncated one with the same other end would. For a chain of convolutions this equals
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
"""What says, of a convolution or a pooling, where its output looks."""


@dataclass(frozen=True)
class Columns:
    """`count` columns of an input of `length` samples; the middles of the first and the last."""

    count: int
    first: float
    last: float
    length: int

    @property
    def stride(self) -> float:
        """Samples from one column to the next; all of them where there is one column."""
        return (self.last - self.first) / (self.count - 1) if self.count > 1 else self.length

    def __str__(self) -> str:
        return (
            f"{self.count} columns from sample {self.first:g} to {self.last:g} of {self.length}, "
            f"{self.stride:g} apart"
        )


@dataclass(frozen=True)
class ColumnProbe:
    """A network, its layer and an input, of which it can be asked where the columns look."""

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
    """Where the columns `[B, K, T]` of a layer look in `x [B, leads, N]`; measured once for each N.

    Costs some 25 passes of three examples. The model is in `eval()` mode meanwhile.

    Returns:
        None where it cannot be known: columns that depend on the whole input (a normalisation or an
        attention over time), or whose receptive field is longer than the input.

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
    """Raise `ModelError` where maps of two networks do not belong to the same places.

    For one input, the first columns must lie at most a column apart, and so must the last. Inputs
    of different lengths are taken to be crops around one span, whose length is compared. Where it
    cannot be known, networks with the same layers agree.
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
        "that both look at the same span (geometry.Geometry.trim), or match no maps"
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In `eval()` mode for a while: running statistics must not see what is not a number."""
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
    asked = torch.tensor(sorted({0, count // 2, count - 1}))
    reach = _reach(model, layer, x, asked)
    if reach is None:
        return None
    spans = [(int(first), int(last)) for first, last in reach]
    field = _field(spans, length)
    if field is None:
        return None
    outer = (spans[0], spans[-1])
    reaches_across = outer[0][1] == length - 1 or outer[1][0] == 0
    if reaches_across and any(last - first + 1 != field for first, last in outer):
        return None  # truncated at the end that padding leaves alone elsewhere
    half = (field - 1) / 2
    return Columns(count, spans[0][1] - half, spans[-1][0] + half, length)


def _touched(model: nn.Module, layer: str | nn.Module, x: Tensor) -> Tensor:
    """Which columns are not numbers, bool `[B, T]`."""
    with captured(model, layer) as capture:
        model(x)
    if capture.value.ndim != 3:
        raise ModelError(
            f"the layer gives an activation of shape {tuple(capture.value.shape)}, expected "
            "[B, K, T]; name a layer before the pooling"
        )
    return capture.value.isnan().any(dim=1)


def _reach(
    model: nn.Module, layer: str | nn.Module, x: Tensor, asked: Tensor
) -> list[tuple[int, int]] | None:
    """First and last sample that each of these columns sees, by bisection; None if it sees none."""
    length, count = x.shape[-1], len(asked)
    at = torch.arange(length)

    def sees(bad: Tensor) -> Tensor:
        """Whether column `i` sees any of the samples `bad[i]`, bool `[count, N]`."""
        probe = x.expand(count, -1, -1).clone()
        probe.masked_fill_(bad[:, None, :].to(probe.device), torch.nan)
        touched = _touched(model, layer, probe).cpu()
        return touched[torch.arange(count), asked]

    if not sees(torch.ones(count, length, dtype=torch.bool)).all():
        return None
    first = _bisected(lambda n: sees(at < n[:, None]), count, length) - 1
    last = length - _bisected(lambda n: sees(at >= length - n[:, None]), count, length)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _bisected(sees: Callable[[Tensor], Tensor], count: int, length: int) -> Tensor:
    """The smallest number of samples, from one end, of which each column sees one."""
    low, high = torch.zeros(count, dtype=torch.long), torch.full((count,), length)
    while (high - low > 1).any():
        middle = (low + high) // 2
        seen = sees(middle)
        high, low = torch.where(seen, middle, high), torch.where(seen, low, middle)
    return high


def _field(spans: list[tuple[int, int]], length: int) -> int | None:
    """Samples that an untruncated column sees, or None where that cannot be known."""
    sizes = {last - first + 1 for first, last in spans}
    inner = [last - first + 1 for first, last in spans if first > 0 and last < length - 1]
    if inner:
        return max(inner)
    one_size = len(sizes) == 1
    moved = len({first for first, _ in spans}) == len(spans)
    return sizes.pop() if one_size and moved else None

"""The tensors and operators of an integer graph, as plain data.

Each operator is one of TensorFlow Lite (`kind`); all are in TensorFlow Lite Micro. An operator
checks its own parameters; :class:`beatlens.integer.graph.IntegerGraph` checks that operators fit
together.

>>> swap = Permute(name="swap", input="a", output="b", order=(1, 0))
>>> swap.kind, output_length(swap, 10)
('GATHER', 10)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer import arithmetic

Padding = Literal["valid", "same"]


@dataclass(frozen=True)
class Quantization:
    """The real value of an int8 value q: `scale * (q - zero_point)`.

    `scale` is positive, finite and exactly a float32 value (that is what the file stores; use
    `float(np.float32(s))`), `zero_point` is an int8 value.
    """

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Tensor:
    """An activation: `length` columns of `channels` int8 values."""

    name: str
    length: int
    channels: int
    quantization: Quantization


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(ABC):
    """Base of both kinds of 1-D convolution: bias, rescaling, and an optional ReLU.

    `weights` are int8 within -127..127 with zero point 0, `weight_scales` float32 `[out]`, `bias`
    int32 `[out]` in units of `input scale * weight scale`. `padding` "same" is TensorFlow's:
    `ceil(T / stride)` columns, the odd column of padding at the end, padded with real zeros.
    The arrays are copied and read-only.
    """

    kind: ClassVar[str]
    rank: ClassVar[int]
    name: str
    input: str
    output: str
    weights: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    stride: int = 1
    padding: Padding = "valid"
    relu: bool = False

    def __post_init__(self) -> None:
        _freeze_parameters(self)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        return (self.input,)

    @property
    @abstractmethod
    def kernel(self) -> int:
        """Number of taps."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Output channels."""

    @property
    @abstractmethod
    def input_channels(self) -> int:
        """Channels the input must have."""

    @property
    @abstractmethod
    def taps(self) -> NDArray[np.int8]:
        """The weights as `[out, weights that one output value sums over]`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Convolution):
    """A convolution over all input channels, or over those of its group.

    `weights` int8 `[out, k, in / groups]`. Both channel counts are cut into `groups` equal runs;
    output channels of a run read the input channels of the same run only. With one group, every
    output channel reads all.
    """

    kind = "CONV_2D"
    rank = 3
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups < 1 or self.channels % self.groups:
            refuse(
                self,
                "weights",
                f"{self.channels} output channels do not fall into {self.groups} equal groups",
            )

    @property
    def kernel(self) -> int:  # noqa: D102 (documented by the base class)
        return int(self.weights.shape[1])

    @property
    def channels(self) -> int:  # noqa: D102
        return int(self.weights.shape[0])

    @property
    def input_channels(self) -> int:  # noqa: D102
        return int(self.weights.shape[2]) * self.groups

    @property
    def taps(self) -> NDArray[np.int8]:  # noqa: D102
        return self.weights.reshape(self.channels, -1)


class DepthwiseConv(Convolution):
    """A convolution of each channel by itself; `weights` int8 `[k, channels]`."""

    kind = "DEPTHWISE_CONV_2D"
    rank = 2

    @property
    def kernel(self) -> int:  # noqa: D102
        return int(self.weights.shape[0])

    @property
    def channels(self) -> int:  # noqa: D102
        return int(self.weights.shape[1])

    @property
    def input_channels(self) -> int:  # noqa: D102
        return self.channels

    @property
    def taps(self) -> NDArray[np.int8]:  # noqa: D102
        return self.weights.T


@dataclass(frozen=True, kw_only=True)
class Add:
    """The sum of two tensors of one shape, with an optional ReLU."""

    kind: ClassVar[str] = "ADD"
    name: str
    a: str
    b: str
    output: str
    relu: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        return (self.a, self.b)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Columns `start` to `stop` (exclusive) of the input; output and input share a quantisation."""

    kind: ClassVar[str] = "SLICE"
    name: str
    input: str
    output: str
    start: int
    stop: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        return (self.input,)


@dataclass(frozen=True, kw_only=True)
class Permute:
    """The input's channels in another order; output and input share a quantisation.

    Output channel `i` is input channel `order[i]`; `order` has every input channel once.
    """

    kind: ClassVar[str] = "GATHER"
    name: str
    input: str
    output: str
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", tuple(int(channel) for channel in self.order))
        if sorted(self.order) != list(range(len(self.order))) or not self.order:
            refuse(
                self,
                self.output,
                f"order {_abridged(self.order)} is no permutation of "
                f"{len(self.order)} channels; expected every channel from 0 once",
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        return (self.input,)


def _abridged(order: tuple[int, ...], most: int = 12) -> str:
    shown = ", ".join(str(channel) for channel in order[:most])
    return f"({shown}{', ...' if len(order) > most else ''})"


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over all columns; the output has one column (in the file its shape is `[1, C]`)."""

    kind: ClassVar[str] = "MEAN"
    name: str
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        return (self.input,)


Op = Convolution | Add | Crop | Permute | Mean


def padding_columns(op: Convolution, length: int) -> tuple[int, int]:
    """Return the columns of padding before and after an input of `length` columns."""
    if op.padding == "valid":
        return 0, 0
    total = max((-(-length // op.stride) - 1) * op.stride + op.kernel - length, 0)
    return total // 2, total - total // 2


def output_length(op: Op, length: int) -> int:
    """Return the output columns of `op` for `length` input columns (below 1: input too short)."""
    match op:
        case Convolution():
            if op.padding == "same":
                return -(-length // op.stride)
            return (length - op.kernel) // op.stride + 1
        case Crop():
            return op.stop - op.start
        case Mean():
            return 1
        case Add() | Permute():
            return length


def refuse(op: Op, tensor_name: str, reason: str) -> NoReturn:
    """Raise ModelError about one tensor of one operator."""
    raise ModelError(f"operator {op.name!r} ({op.kind}), tensor {tensor_name!r}: {reason}")


def _freeze_parameters(op: Convolution) -> None:
    """Check a convolution's arrays and replace them by read-only contiguous copies."""
    wanted = {
        "weights": (np.int8, op.rank),
        "weight_scales": (np.float32, 1),
        "bias": (np.int32, 1),
    }
    for name, (dtype, dimensions) in wanted.items():
        array = getattr(op, name)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
            found = (
                f"{array.dtype} of {array.ndim} dimensions"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            refuse(op, name, f"is {found}, expected {np.dtype(dtype)} of {dimensions} dimensions")
        frozen = np.array(array, order="C")
        frozen.flags.writeable = False
        object.__setattr__(op, name, frozen)
    if op.weights.size == 0:
        refuse(op, "weights", f"has the empty shape {op.weights.shape}")
    for name in ("weight_scales", "bias"):
        if getattr(op, name).shape != (op.channels,):
            refuse(op, name, f"has shape {getattr(op, name).shape}, expected ({op.channels},)")
    if not (np.isfinite(op.weight_scales).all() and (op.weight_scales > 0).all()):
        worst = op.weight_scales[~(op.weight_scales > 0) | ~np.isfinite(op.weight_scales)][0]
        refuse(op, "weight_scales", f"contains {worst}, scales are positive and finite")
    if (op.weights == arithmetic.INT8_MIN).any():
        refuse(op, "weights", "contains -128; int8 weights lie within -127..127")
    if op.stride < 1:
        refuse(op, op.output, f"stride is {op.stride}, expected at least 1")
    if op.padding not in ("valid", "same"):
        refuse(op, op.output, f"padding is {op.padding!r}, expected 'valid' or 'same'")

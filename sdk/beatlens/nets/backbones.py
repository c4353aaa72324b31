"""Backbones: the residual teacher, the dense and depthwise students, and their specifications.

>>> net = build(TEACHER, ("pvc", "sve"))
>>> net.geometry, 600_000 < net.weights < 800_000
(Geometry(stride=8, receptive_field=508), True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from beatlens.errors import ModelError, RecipeError
from beatlens.nets.ensemble import Members, ensemble
from beatlens.nets.evidence import ConvUnit, EvidenceNet, ResidualBlock


@dataclass(frozen=True)
class NetworkSpec:
    """A backbone, layer by layer; every tuple that is not empty has one entry per layer.

    Args:
        kind: `residual` (the first layer a plain convolution, the others residual blocks), `dense`,
            or `depthwise` (the first layer dense, the others depthwise then pointwise).
        channels: output channels.
        kernels: taps.
        strides: strides; their product is the network's stride.
        inner: channels between the two convolutions of each residual block, where pruning made
            them differ from `channels`; empty: the same as `channels`. The entry of the first
            layer, which has one convolution, is its `channels`.
        shortcuts: whether each residual block has a 1x1 unit in its shortcut, where pruning made
            the widths on both sides equal; empty: a unit where the shape changes. False for the
            first layer.
        members: number of networks of this shape in an ensemble (see `beatlens.nets.ensemble`).
    """

    kind: str
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    inner: tuple[int, ...] = ()
    shortcuts: tuple[bool, ...] = ()
    members: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ("residual", "dense", "depthwise"):
            raise RecipeError(
                f"network kind is {self.kind!r}, expected residual, dense or depthwise"
            )
        lengths = {len(self.channels), len(self.kernels), len(self.strides)}
        if len(lengths) != 1 or not self.channels:
            raise RecipeError(
                f"network has {len(self.channels)} channels, {len(self.kernels)} kernels and "
                f"{len(self.strides)} strides, expected the same number of each, at least 1"
            )
        for name in ("channels", "kernels", "strides"):
            if min(getattr(self, name)) < 1:
                raise RecipeError(f"network {name} are {getattr(self, name)}, expected all >= 1")
        if self.members < 1:
            raise RecipeError(f"network members are {self.members}, expected >= 1")
        self._check_blocks()

    def _check_blocks(self) -> None:
        """Refuse `inner` and `shortcuts` that describe no residual network."""
        for name in ("inner", "shortcuts"):
            given = getattr(self, name)
            if given and (self.kind != "residual" or len(given) != len(self.channels)):
                raise RecipeError(
                    f"network {name} are {given}, expected none, or one per layer of a residual "
                    f"network; this one is {self.kind} with {len(self.channels)} layers"
                )
        if self.inner and (min(self.inner) < 1 or self.inner[0] != self.channels[0]):
            raise RecipeError(
                f"network inner are {self.inner}, expected all >= 1, the first one "
                f"{self.channels[0]} as its channels"
            )
        for index in range(1, len(self.shortcuts)):
            if not self.shortcuts[index] and self.changes_shape(index):
                raise RecipeError(
                    f"network shortcuts are {self.shortcuts}, but layer {index} changes the shape, "
                    "expected a shortcut there"
                )

    def changes_shape(self, index: int) -> bool:
        """Whether a layer after the first changes the width or the rate."""
        return self.channels[index - 1] != self.channels[index] or self.strides[index] != 1

    def as_dict(self) -> dict[str, object]:
        """Return the specification as plain data, for a checkpoint or a bundle, less defaults."""
        plain: dict[str, object] = {
            "kind": self.kind,
            "channels": self.channels,
            "kernels": self.kernels,
            "strides": self.strides,
        }
        extra = {"inner": self.inner, "shortcuts": self.shortcuts}
        plain |= {name: value for name, value in extra.items() if value}
        return plain | ({"members": self.members} if self.members > 1 else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkSpec:
        """The inverse of `as_dict`; lists are accepted for tuples."""
        return cls(
            data["kind"],
            tuple(data["channels"]),
            tuple(data["kernels"]),
            tuple(data["strides"]),
            tuple(data.get("inner", ())),
            tuple(data.get("shortcuts", ())),
            data.get("members", 1),
        )

    @property
    def member(self) -> NetworkSpec:
        """The specification of one member."""
        return replace(self, members=1)


TEACHER = NetworkSpec(
    "residual", (32, 48, 64, 96, 128, 128), (16, 7, 7, 9, 9, 9), (2, 2, 2, 1, 1, 1)
)
_DENSE = (8, 8, 8, 12, 12, 12), (2, 2, 2, 1, 1, 1)
_DEPTHWISE = (16, 9, 9, 9, 9, 9, 9, 9), (2, 2, 2, 1, 1, 1, 1, 1)
_LONGER = ((8, 8, 8, 12, 10, 10, 10), (2, 2, 2, 1, 1, 1, 1))
STUDENTS: dict[str, NetworkSpec] = {
    "dense-8k": NetworkSpec("dense", (6, 8, 12, 14, 14, 14), *_DENSE),
    "dense-12k": NetworkSpec("dense", (6, 10, 14, 16, 18, 18), *_DENSE),
    "dense-16k": NetworkSpec("dense", (10, 12, 16, 18, 18, 18, 18), *_LONGER),
    "dense-25k": NetworkSpec("dense", (8, 12, 16, 24, 28, 28), *_DENSE),
    "dense-26k": NetworkSpec("dense", (12, 16, 20, 22, 24, 24, 22), *_LONGER),
    "dense-50k": NetworkSpec("dense", (12, 20, 28, 36, 36, 36), *_DENSE),
    "depthwise-2k": NetworkSpec("depthwise", (8, 12, 12, 12, 12, 12, 12, 12), *_DEPTHWISE),
    "depthwise-5k": NetworkSpec("depthwise", (8, 16, 20, 24, 24, 24, 24, 24), *_DEPTHWISE),
}
"""Students by kind and thousands of weights (with four classes); stride 8, receptive field 314
samples (dense), 354 (dense-26k, the built-in recipe's) or 384 (depthwise)."""


def build(spec: NetworkSpec, classes: tuple[str, ...], leads: int = 1) -> EvidenceNet:
    """Build an evidence network with fresh weights for `leads` input channels."""
    if spec.members > 1:
        return ensemble([build(spec.member, classes, leads) for _ in range(spec.members)])
    blocks: list[nn.Module] = []
    previous = leads
    for index, (out, kernel, stride) in enumerate(
        zip(spec.channels, spec.kernels, spec.strides, strict=True)
    ):
        if spec.kind == "residual" and index:
            inner = spec.inner[index] if spec.inner else out
            unit = spec.shortcuts[index] if spec.shortcuts else None
            blocks.append(ResidualBlock(previous, out, kernel, stride, inner=inner, shortcut=unit))
        elif spec.kind == "depthwise" and index:
            blocks.append(ConvUnit(previous, previous, kernel, stride, depthwise=True))
            blocks.append(ConvUnit(previous, out, 1))
        else:
            blocks.append(ConvUnit(previous, out, kernel, stride))
        previous = out
    return EvidenceNet(nn.Sequential(*blocks), previous, classes)


def read_spec(net: EvidenceNet) -> NetworkSpec:
    """Read the specification of a network from its layers, also after pruning.

    Raises `ModelError` for a backbone that `build` cannot build.

    >>> read_spec(build(TEACHER, ("pvc", "sve"))) == TEACHER
    True
    """
    first = next(iter(net.backbone), None)
    backbones = first.backbones if isinstance(first, Members) else [net.backbone]
    layers = list(backbones[0])
    blocks = [block for block in layers if isinstance(block, ConvUnit | ResidualBlock)]
    spec = _likely_spec(blocks) if len(blocks) == len(layers) else None
    spec = replace(spec, members=len(backbones)) if spec else None
    leads = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv1d)), 1)
    if spec is None or _structure(build(spec, net.classes, leads)) != _structure(net):
        kinds = ", ".join(type(block).__name__ for block in net.backbone)
        raise ModelError(
            f"no specification describes a backbone of {kinds or 'nothing'} with these settings; "
            "expected one that beatlens.nets.backbones.build makes, of any widths"
        )
    return spec


def _likely_spec(blocks: list[ConvUnit | ResidualBlock]) -> NetworkSpec | None:
    """The specification these blocks would have; the caller checks that they fit it."""
    residual = any(isinstance(block, ResidualBlock) for block in blocks)
    depthwise = not residual and any(m.groups > 1 for m in _convolutions(blocks))
    # The first and the last block of each layer.
    begin = blocks[:1] + blocks[1::2] if depthwise else blocks
    end = blocks[:1] + blocks[2::2] if depthwise else blocks
    if not blocks or len(begin) != len(end):
        return None
    first = _convolutions(begin)
    spec = NetworkSpec(
        "residual" if residual else "depthwise" if depthwise else "dense",
        tuple((b.second if isinstance(b, ResidualBlock) else b).conv.out_channels for b in end),
        tuple(conv.kernel_size[0] for conv in first),
        tuple(conv.stride[0] for conv in first),
    )
    try:
        return _with_blocks(spec, blocks) if residual else spec
    except RecipeError:
        return None


def _convolutions(blocks: list[ConvUnit | ResidualBlock]) -> list[nn.Conv1d]:
    """The first convolution of each block."""
    return [(b.first if isinstance(b, ResidualBlock) else b).conv for b in blocks]


def _with_blocks(spec: NetworkSpec, blocks: list[ConvUnit | ResidualBlock]) -> NetworkSpec:
    """The specification with `inner` and `shortcuts` where the blocks differ from the default."""
    inner = tuple(conv.out_channels for conv in _convolutions(blocks))
    units = tuple(isinstance(b, ResidualBlock) and b.shortcut is not None for b in blocks)
    usual = tuple(bool(i) and spec.changes_shape(i) for i in range(len(blocks)))
    return replace(
        spec,
        inner=() if inner == spec.channels else inner,
        shortcuts=() if units == usual else units,
    )


def _structure(net: EvidenceNet) -> dict[str, object]:
    """Everything but the values of the weights: settings of layers and blocks by name."""
    found: dict[str, object] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv1d):
            found[name] = (
                module.in_channels, module.out_channels, module.kernel_size, module.stride,
                module.padding, module.dilation, module.groups, module.bias is None,
            )  # fmt: skip
        elif isinstance(module, nn.BatchNorm1d):
            found[name] = module.num_features
        elif isinstance(module, ConvUnit):
            found[name] = module.relu
        elif isinstance(module, ResidualBlock):
            found[name] = module.crop
    return found

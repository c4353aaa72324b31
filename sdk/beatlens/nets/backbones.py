"""The backbones: residual teacher, dense and depthwise students, and how a recipe names them.

>>> net = build(TEACHER, ("pvc", "sve"))
>>> net.geometry, 600_000 < net.weights < 800_000
(Geometry(stride=8, receptive_field=508), True)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torch import nn

from beatlens.errors import RecipeError
from beatlens.nets.evidence import ConvUnit, EvidenceNet, ResidualBlock


@dataclass(frozen=True)
class NetworkSpec:
    """A backbone, layer by layer; all three tuples have one entry per layer.

    Args:
        kind: `residual` (the first layer a plain convolution, the others residual blocks), `dense`,
            or `depthwise` (the first layer dense, the others depthwise then pointwise).
        channels: output channels.
        kernels: taps.
        strides: steps; their product is the network's stride.
    """

    kind: str
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]

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

    def as_dict(self) -> dict[str, object]:
        """The specification as plain data, for a checkpoint or a bundle."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> NetworkSpec:
        """The inverse of `as_dict` (lists are accepted where tuples are meant)."""
        return cls(
            data["kind"],
            tuple(data["channels"]),
            tuple(data["kernels"]),
            tuple(data["strides"]),
        )


TEACHER = NetworkSpec(
    "residual", (32, 48, 64, 96, 128, 128), (16, 7, 7, 9, 9, 9), (2, 2, 2, 1, 1, 1)
)
_DENSE = (8, 8, 8, 12, 12, 12), (2, 2, 2, 1, 1, 1)
_DEPTHWISE = (16, 9, 9, 9, 9, 9, 9, 9), (2, 2, 2, 1, 1, 1, 1, 1)
STUDENTS: dict[str, NetworkSpec] = {
    "dense-8k": NetworkSpec("dense", (6, 8, 12, 14, 14, 14), *_DENSE),
    "dense-12k": NetworkSpec("dense", (6, 10, 14, 16, 18, 18), *_DENSE),
    "dense-25k": NetworkSpec("dense", (8, 12, 16, 24, 28, 28), *_DENSE),
    "dense-26k": NetworkSpec(
        "dense",
        (12, 16, 20, 22, 24, 24, 22),
        (8, 8, 8, 12, 10, 10, 10),
        (2, 2, 2, 1, 1, 1, 1),
    ),
    "dense-50k": NetworkSpec("dense", (12, 20, 28, 36, 36, 36), *_DENSE),
    "depthwise-2k": NetworkSpec("depthwise", (8, 12, 12, 12, 12, 12, 12, 12), *_DEPTHWISE),
    "depthwise-5k": NetworkSpec("depthwise", (8, 16, 20, 24, 24, 24, 24, 24), *_DEPTHWISE),
}
"""Students by kind and thousands of weights (with four classes); stride 8, receptive field 314
samples (dense), 354 (dense-26k, the built-in recipe's) or 384 (depthwise)."""


def build(spec: NetworkSpec, classes: tuple[str, ...], leads: int = 1) -> EvidenceNet:
    """Build an evidence network with fresh weights for `leads` input channels."""
    blocks: list[nn.Module] = []
    previous = leads
    for index, (out, kernel, stride) in enumerate(
        zip(spec.channels, spec.kernels, spec.strides, strict=True)
    ):
        if spec.kind == "residual" and index:
            blocks.append(ResidualBlock(previous, out, kernel, stride))
        elif spec.kind == "depthwise" and index:
            blocks.append(ConvUnit(previous, previous, kernel, stride, depthwise=True))
            blocks.append(ConvUnit(previous, out, 1))
        else:
            blocks.append(ConvUnit(previous, out, kernel, stride))
        previous = out
    return EvidenceNet(nn.Sequential(*blocks), previous, classes)

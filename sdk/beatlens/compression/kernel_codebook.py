"""Kernel quantisation: every kernel of a layer is one of a few trained low-bit kernels.

After Yu, Shi, Huang & Yu, "Kernel Quantization for Efficient Network Compression" (2020, arXiv
2003.05148), of which the abstract was available: the unit that is quantised is the kernel, not the
weight; a layer keeps a codebook and an index per kernel, and the codebook's values are quantised to
6 bits. Bits per weight are then about `log2(codes) / taps`, plus the codebook.

The rest is ours. A kernel is the vector of taps that one output channel has for one input. Kernels
are compared in units of their output channel's scale, which batch norm makes arbitrary and int8
stores in any case. Codes start as k-means centres. In training, every forward pass assigns each
kernel to its nearest code. Gradients go to the codes (the sum over their kernels), to the channels'
scales, and straight through to the trained weights, so that a kernel can change its code. Codes are
whole numbers -31 .. 31 on one grid per layer, and the channel's scale times that grid is the
channel's int8 step: the int8 tensor consists of codes, exactly.

>>> choose_segment(inputs=6, taps=12, split=8, pointwise=4), choose_segment(6, 7, 4, 4)
((1, 6), (1, 7))
>>> choose_segment(inputs=6, taps=1, split=8, pointwise=4)
(3, 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from beatlens.compression.budget import (
    RESERVE,
    Layers,
    Trial,
    covered_layers,
    impose_all,
    largest_that_fits,
    read_weights,
    refuse_constraints,
)
from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.size import int8_weights, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import Constraint, constraint_on, trained_tensor
from beatlens.nets.evidence import ConvUnit
from beatlens.packed import encode_tensor
from beatlens.training.loop import Report

CODE_MAX = 31
"""Largest of a code's whole numbers: 6 bits with sign, symmetric."""
LLOYD_STEPS = 20
SEARCH_STEPS = 4
"""Steps of k-means in the search for the number of codes; more hardly change the packed size."""
SMALLEST_SCALE = 1e-8


def choose_segment(inputs: int, taps: int, split: int | None, pointwise: int) -> tuple[int, int]:
    """Choose the number of inputs and taps of the vectors that a layer is coded by.

    Vectors are whole kernels, or equal parts of them of at most `split` taps (whole kernels where
    only single taps would divide them); in a layer with one tap, runs of at most `pointwise`
    inputs.
    """
    if taps == 1:
        return max(n for n in range(1, max(pointwise, 1) + 1) if inputs % n == 0), 1
    parts = [n for n in range(2, taps + 1) if taps % n == 0 and (split is None or n <= split)]
    return 1, max(parts, default=taps)


def split_vectors(weight: Tensor, segment: tuple[int, int]) -> Tensor:
    """Split weights `[out, in, k]` into vectors `[out, n, inputs * taps]`."""
    wide, high = segment
    out, inputs, taps = weight.reshape(*weight.shape[:2], -1).shape
    parts = weight.reshape(out, inputs // wide, wide, taps // high, high)
    return parts.transpose(2, 3).reshape(out, -1, wide * high)


def weights_from(vectors: Tensor, segment: tuple[int, int], shape: torch.Size) -> Tensor:
    """The inverse of `split_vectors`."""
    wide, high = segment
    out, inputs, taps = torch.Size((*shape, 1))[:3]
    parts = vectors.reshape(out, inputs // wide, taps // high, wide, high)
    return parts.transpose(2, 3).reshape(shape)


def nearest(vectors: Tensor, codes: Tensor) -> Tensor:
    """Number of the nearest code `[K, L]` for each vector `[..., L]`."""
    flat, norms = vectors.reshape(-1, codes.shape[1]), codes.square().sum(1)
    with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 cannot separate near codes
        distances = torch.addmm(norms, flat, codes.T, alpha=-2)  # less the vectors' own norms
    return distances.argmin(dim=1).view(vectors.shape[:-1])


def k_means(vectors: Tensor, count: int, seed: int = 0, steps: int = LLOYD_STEPS) -> Tensor:
    """Return the centres `[count, L]` of vectors `[n, L]` by Lloyd's k-means.

    A centre without vectors is moved. With fewer vectors than centres, the vectors are the centres.

    >>> k_means(torch.tensor([[0.0], [0.2], [5.0], [5.2]]), 2).sort(0).values.tolist()
    [[0.10000000149011612], [5.099999904632568]]
    """
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    codes = vectors[order[:count]].clone()
    count = len(codes)
    for _ in range(steps):
        index = nearest(vectors, codes)
        counts = torch.bincount(index, minlength=count)
        sums = torch.zeros_like(codes).index_add(0, index, vectors)
        distances = (vectors - codes[index]).square().sum(1)
        codes = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero()[:, 0]
        codes[empty] = vectors[distances.topk(len(empty)).indices]
    return codes


class Coded(Constraint):
    """Every kernel is a code of its layer times its output channel's scale.

    Args:
        codes: `[K, L]`, in units of the channels' scales; trained.
        scale: `[out]`, negative where the channel uses the negatives of its codes; trained.
        grid: step of the codes, scalar.
        index: number of each vector's code, `[out, n]`.
        segment: inputs and taps of a vector, `[2]`.

    In `eval()` mode the index stays as in the last training step, so that the weights are the same
    on every machine, even where two codes are equally near.
    """

    kind = "kernel-codebook"
    grid: Tensor
    index: Tensor
    signs: Tensor
    segment: Tensor

    def __init__(
        self, codes: Tensor, scale: Tensor, grid: Tensor, index: Tensor, segment: Tensor
    ) -> None:
        super().__init__()
        self.codes = nn.Parameter(codes.detach().clone())
        magnitude = scale.detach().abs().clamp(min=SMALLEST_SCALE)
        self.log_scale = nn.Parameter(magnitude.log())
        self.register_buffer("signs", torch.where(scale.detach() < 0, -1.0, 1.0))
        self.register_buffer("grid", grid.detach().clone())
        self.register_buffer("index", index.detach().clone())
        self.register_buffer("segment", segment.detach().clone())
        self.eval()

    @classmethod
    def fitted(
        cls,
        weight: Tensor,
        count: int,
        segment: tuple[int, int],
        seed: int = 0,
        steps: int = LLOYD_STEPS,
    ) -> Coded:
        """Fit a codebook of `count` codes to weights `[out, in, k]`, by k-means."""
        weight = weight.detach()
        scale = weight.flatten(1).square().mean(1).sqrt().clamp(min=SMALLEST_SCALE)
        vectors = split_vectors(weight, segment) / scale[:, None, None]
        codes = k_means(vectors.flatten(0, 1), count, seed, steps)
        grid = codes.abs().max().clamp(min=SMALLEST_SCALE) / CODE_MAX
        index = nearest(vectors, torch.round(codes / grid) * grid)
        return cls(codes, scale, grid, index, torch.tensor(segment))

    @property
    def scale(self) -> Tensor:
        """Scale of each output channel with its sign, `[out]`."""
        return self.log_scale.exp() * self.signs

    def whole(self) -> Tensor:
        """The codes as whole numbers `[K, L]`, differentiable."""
        inside = torch.clamp(self.codes / self.grid, -CODE_MAX, CODE_MAX)
        return inside + (torch.round(inside) - inside).detach()

    def forward(self, weight: Tensor) -> Tensor:  # noqa: D102 (documented by the base class)
        segment = self._segment()
        scale, codes = self.scale[:, None, None], self.whole() * self.grid
        vectors = split_vectors(weight, segment) / scale.detach()
        if self.training:
            # A new tensor: the old one may be waiting for a backward pass.
            self.index = nearest(vectors.detach(), codes.detach())
        chosen = codes[self.index] + (vectors - vectors.detach())
        return weights_from(chosen * scale, segment, weight.shape)

    def rescaled(self, weight: Tensor) -> Constraint:  # noqa: D102
        vectors = split_vectors(weight.detach(), self._segment()).flatten(1)
        codes = (self.whole() * self.grid).detach()[self.index].flatten(1)
        power = codes.square().sum(1)
        scale = torch.where(power > 0, (vectors * codes).sum(1) / power, self.scale.detach())
        return Coded(self.codes, scale, self.grid, self.index, self.segment)

    def steps(self, weight: Tensor) -> Tensor:  # noqa: D102
        return self.log_scale.detach().exp() * self.grid

    def fewer(self, weight: Tensor, count: int) -> Coded:
        """Return a codebook of the `count` most used codes; other kernels get the nearest."""
        used = torch.bincount(self.index.flatten(), minlength=len(self.codes))
        kept = used.argsort(descending=True, stable=True)[:count]
        whole = self.whole().detach()[kept] * self.grid
        vectors = (
            split_vectors(weight.detach(), self._segment()) / self.scale.detach()[:, None, None]
        )
        index = nearest(vectors, whole)
        return Coded(self.codes[kept], self.scale, self.grid, index, self.segment)

    def _segment(self) -> tuple[int, int]:
        wide, high = self.segment.tolist()
        return wide, high

    @classmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:  # noqa: D102
        scale = state["log_scale"].exp() * state["signs"]
        return cls(state["codes"], scale, state["grid"], state["index"], state["segment"])


@torch.no_grad()
def make_gains_positive(net: nn.Module) -> None:
    """Negate channels whose batch norm has a negative gain; the network's output stays the same.

    A negative gain, folded, would turn a channel's codes into their negatives, which the codebook
    may not have. `-weight`, `-mean` and `-gain` give the same output.
    """
    for unit in net.modules():
        if isinstance(unit, ConvUnit):
            flip = torch.where(unit.norm.weight < 0, -1.0, 1.0)
            unit.conv.weight.copy_(unit.conv.weight * flip[:, None, None])
            unit.norm.weight.copy_(unit.norm.weight * flip)
            if unit.norm.running_mean is not None:
                unit.norm.running_mean.mul_(flip)


@dataclass(frozen=True)
class CodeKernels:
    """Kernel quantisation; a `Method`.

    Layers with at least `fewest` vectors are coded; others, such as the first layer of one lead and
    depthwise layers, have too few kernels to share codes. A layer of n vectors gets `c * sqrt(n)`
    codes, with c from the budget (ours: a compromise between the same number of codes for every
    layer and a number proportional to n).

    Args:
        split: largest number of taps of a vector. Shorter vectors are nearer to their codes and
            need more indices. None: whole kernels.
        pointwise: largest number of inputs of a vector in layers with one tap, where kernels are
            single weights (runs of inputs are ours); 1 codes every weight by itself, 0 does not
            code these layers.
        fewest: smallest number of vectors of a coded layer.
        most: largest number of codes of a layer.
        head: code the decision layer too; by default it is not (see `PruneWeights`).
        seed: of k-means.
    """

    split: int | None = None
    pointwise: int = 4
    fewest: int = 64
    most: int = 1024
    head: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.split is not None and self.split < 2) or self.pointwise < 0:
            raise RecipeError(
                f"split is {self.split} and pointwise {self.pointwise}; expected a split of at "
                "least 2 or None, and pointwise at least 0"
            )
        if self.fewest < 8 or self.most < 2:
            raise RecipeError(
                f"fewest is {self.fewest} and most {self.most}, expected at least 8 and 2"
            )

    @property
    def name(self) -> str:
        """`code-kernels`."""
        return "code-kernels"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where no layer has enough kernels, or a constraint would be broken."""
        refuse_constraints(self._layers(net), self.name, allowed=())

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Code the kernels of `net` in place into the budget; the codebooks stay imposed.

        A network that already fits is left as it is. Raises `ModelError` as `check` does, and when
        the budget is out of reach. Log rows carry `bits_per_weight` of the covered layers.
        """
        self.check(net)
        layers = self._layers(net)
        limit = int(budget.packed_bytes * (1 - RESERVE))
        if weight_account(net).packed_bytes <= limit:
            return Compressed(net, weight_account(net), [{"method": self.name, "event": "fits"}])
        make_gains_positive(net)
        impose_all(layers, self._codebooks_within(net, layers, limit))
        log = [self._row("coded", net, layers)]
        log += training_rows(self.name, retraining.run(net, report=report))
        if weight_account(net).packed_bytes > budget.packed_bytes:
            impose_all(layers, self._trimmed(net, layers, limit))
            log.append({**self._row("trimmed", net, layers), **retraining.validate(net)})
        return Compressed(net, weight_account(net), [*log, self._row("done", net, layers)])

    def _layers(self, net: nn.Module) -> Layers:
        """The layers covered."""
        layers = covered_layers(net, self.name, head=self.head)
        found = {
            name: layers[name]
            for name, weight in read_weights(layers).items()
            if self._vectors(weight) >= self.fewest
        }
        if not found:
            largest = max(map(self._vectors, read_weights(layers).values()))
            raise ModelError(
                f"{self.name}: no layer has {self.fewest} kernels to share codes, the most are "
                f"{largest}; expected a wider network"
            )
        return found

    def _segment(self, weight: Tensor) -> tuple[int, int]:
        return choose_segment(weight.shape[1], weight[0, 0].numel(), self.split, self.pointwise)

    def _vectors(self, weight: Tensor) -> int:
        """Number of vectors in a layer; 0 where it is not coded."""
        wide, high = self._segment(weight)
        if self.pointwise == 0 and weight[0, 0].numel() == 1:
            return 0
        return weight.numel() // (wide * high)

    def _codebooks_within(
        self, net: nn.Module, layers: Layers, limit: int
    ) -> dict[str, Constraint]:
        """Codebooks with which the whole network packs into `limit` bytes."""
        trial, weights = Trial(net, layers), read_weights(layers)
        sizes = {name: self._vectors(weight) for name, weight in weights.items()}

        def codebooks(setting: int, steps: int) -> dict[str, Constraint]:
            found: dict[str, Constraint] = {}
            for name, weight in weights.items():
                wanted = round(setting / 16 * sqrt(sizes[name]))
                count = max(2, min(wanted, sizes[name] // 2, self.most))
                segment = self._segment(weight)
                found[name] = Coded.fitted(weight, count, segment, self.seed, steps)
            return found

        setting = largest_that_fits(
            lambda setting: trial.packed_bytes(codebooks(setting, SEARCH_STEPS)),
            gentle=16 * max(1, round(sqrt(max(sizes.values())) / 2)),
            harsh=1,
            limit=limit,
            what=self.name,
        )
        return codebooks(setting, LLOYD_STEPS)

    def _trimmed(self, net: nn.Module, layers: Layers, limit: int) -> dict[str, Constraint]:
        """The codebooks without their rarest codes, as many as needed for the network to fit."""
        trial = Trial(net, layers)

        def codebooks(percent: int) -> dict[str, Constraint]:
            found: dict[str, Constraint] = {}
            for name, (layer, tensor) in layers.items():
                held = constraint_on(layer, tensor)
                assert isinstance(held, Coded)
                count = max(2, len(held.codes) * percent // 100)
                found[name] = held.fewer(trained_tensor(layer, tensor), count)
            return found

        percent = largest_that_fits(
            lambda percent: trial.packed_bytes(codebooks(percent)),
            gentle=100,
            harsh=0,
            limit=limit,
            what=self.name,
        )
        return codebooks(percent)

    def _row(self, event: str, net: nn.Module, layers: Layers) -> LogRow:
        tensors = {n: t for n, t in int8_weights(net).items() if n in layers}
        bits = 8 * sum(len(encode_tensor(tensor)) for tensor in tensors.values())
        codes = sum(
            len(held.codes)
            for layer, tensor in layers.values()
            if isinstance(held := constraint_on(layer, tensor), Coded)
        )
        weights = sum(tensor.size for tensor in tensors.values())
        row = {"method": self.name, "event": event, "codes": codes, "covered": weights}
        return {**row, "bits_per_weight": bits / weights}

"""How important each channel of a network is: four measures.

`l1`: the size of a channel's filters (Li, Kadav, Durdanovic, Samet & Graf, "Pruning Filters for
Efficient ConvNets", ICLR 2017, arXiv 1608.08710, sec. 3.1). Ours: as a share of the layer's mean,
so that layers can be ranked together, and the mean of all layers that give the channel.

`taylor`: how much the retraining's loss changes without the channel, to first order (Molchanov,
Mallya, Tyree, Frosio & Kautz, "Importance Estimation for Neural Network Pruning", CVPR 2019, with a
gate on each channel): `|dL/dg|` of a factor g on the channel, which is `|sum w dL/dw|` over all
weights that take it; the mean over batches.

`evidence-exact` and `evidence` (ours): how much the network's own map changes without it: `1 - cos`
of the centred maps of every class, weighted as in the matching loss `Classwise`. The exact one
silences one channel at a time, which costs a forward pass per channel and batch. The other expands
the distance in the factor g. The gradient is zero at g = 1, where the distance is smallest; but
`1 - cos` is half the squared distance of the maps m scaled to length 1, and so `1/2 |dm/dg|^2` to
second order (Gauss-Newton). A few backward passes with random signs v estimate it for all channels
at once: the mean of `(d(v.m)/dg)^2` is `|dm/dg|^2` (Hutchinson 1990).

>>> from beatlens.compression.channel_groups import channel_groups
>>> net = nn.Sequential(nn.Conv1d(1, 3, 1), nn.ReLU(), nn.Conv1d(3, 2, 1))
>>> net[0].weight.data = torch.tensor([2.0, -3.0, 1.0]).view(3, 1, 1)
>>> l1_importance(net, channel_groups(net, torch.randn(2, 1, 9)))["0"].tolist()
[1.0, 1.5, 0.5]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beatlens.attribution.matching import Attribution, Classwise, attribute, attribute_evidence
from beatlens.compression.channel_groups import ChannelGroup, Member
from beatlens.compression.contract import Retraining
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet

IMPORTANCES = ("l1", "taylor", "evidence", "evidence-exact")
PROBES = 8
FLOOR = 0.05
"""Weight of a class that the network is sure is absent, as in `Classwise`."""

Scores = dict[str, Tensor]
"""Importance of every channel, `[size]` by group name; the lowest are removed first."""


@dataclass(frozen=True)
class Sensitivity:
    """The data that importances are measured on.

    Args:
        retraining: gives the loss (`taylor`) or the inputs (`evidence`).
        batches: number of its batches.
        layer: for `evidence`: the layer `[B, K, T]` whose map is compared, in a network that is not
            an `EvidenceNet`.
    """

    retraining: Retraining
    batches: int = 4
    layer: str | None = None


def importance(
    net: nn.Module, groups: Sequence[ChannelGroup], name: str, sensitivity: Sensitivity
) -> dict[str, Tensor]:
    """Measure the importance of every channel of the groups; `net` is not changed.

    Args:
        net: any network.
        groups: of `channel_groups`.
        name: one of `IMPORTANCES`.
        sensitivity: the data to measure on.

    Raises:
        ModelError: the importance cannot be measured on this network (see each function).
    """
    if name == "l1":
        return l1_importance(net, groups)
    training = net.training
    net.eval()
    try:
        if name == "taylor":
            return taylor_importance(net, groups, sensitivity.retraining, sensitivity.batches)
        inputs = sensitivity.retraining.inputs(net, sensitivity.batches)
        if name == "evidence":
            return evidence_importance(net, groups, inputs, sensitivity.layer)
        return exact_evidence_importance(net, groups, inputs, sensitivity.layer)
    finally:
        net.train(training)


@torch.no_grad()
def l1_importance(net: nn.Module, groups: Sequence[ChannelGroup]) -> Scores:
    """Sum of |w| of the filters that give each channel, relative to their layer's mean."""
    scores: Scores = {}
    for group in groups:
        parts = []
        for member in group.filters:
            weight = net.get_submodule(member.layer).weight
            assert isinstance(weight, Tensor)
            sums = weight.abs().flatten(1).sum(1)[list(member.positions)]
            total = torch.zeros(group.size).index_add(0, torch.tensor(member.channels), sums)
            parts.append(total / total.mean().clamp(min=1e-12))
        scores[group.name] = torch.stack(parts).mean(0)
    return scores


def taylor_importance(
    net: nn.Module, groups: Sequence[ChannelGroup], retraining: Retraining, batches: int
) -> Scores:
    """`|dL/dg|` on the retraining's first batches; `net` in `eval()` mode.

    Raises `ModelError` where the loss has no gradient, as for a network that equals its teacher.
    """
    objective = retraining.objective(net).eval()
    size = retraining.schedule.batch
    scores = {group.name: torch.zeros(group.size) for group in groups}
    for index in range(batches):
        with gated(net, groups, 1) as gates:
            loss = objective(*retraining.batches(index * size, size))
        slopes = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
        for name, slope in zip(gates, slopes, strict=True):
            scores[name] += 0 if slope is None else slope[0].abs() / batches
    if sum(float(score.sum()) for score in scores.values()) < 1e-6:
        raise ModelError(
            "the retraining's loss does not change with any channel, to first order (the network "
            "equals the teacher it is distilled from): importance 'taylor' ranks nothing here, use "
            "'evidence' or 'l1'"
        )
    return scores


def evidence_importance(
    net: nn.Module,
    groups: Sequence[ChannelGroup],
    inputs: Sequence[Tensor],
    layer: str | None = None,
    probes: int = PROBES,
) -> Scores:
    """Change of the map to second order in a factor on each channel, in units of `1 - cos`.

    Args:
        net: network in `eval()` mode.
        groups: the groups whose channels are measured.
        inputs: batches `[B, leads, N]`.
        layer: layer `[B, K, T]` of the map, for a network that is not an `EvidenceNet`.
        probes: backward passes per batch.
    """
    signs = torch.Generator().manual_seed(0)
    scores = {group.name: torch.zeros(group.size) for group in groups}
    weight = 0.0
    for x in inputs:
        with gated(net, groups, len(x)) as gates, torch.enable_grad():
            attribution = attribute_differentiable(net, x, layer)
            maps = _unit_maps(attribution.class_maps())
        share = torch.sigmoid(attribution.logits.detach()) + FLOOR
        weight += float(share.sum())
        for _ in range(probes):
            sign = torch.randint(0, 2, maps.shape, generator=signs) * 2.0 - 1
            total = (maps * sign * share.sqrt()[:, :, None]).sum()
            slopes = torch.autograd.grad(
                total, list(gates.values()), allow_unused=True, retain_graph=True
            )
            for name, slope in zip(gates, slopes, strict=True):
                scores[name] += 0 if slope is None else slope.square().sum(0) / (2 * probes)
    return {name: score / weight for name, score in scores.items()}


def exact_evidence_importance(
    net: nn.Module,
    groups: Sequence[ChannelGroup],
    inputs: Sequence[Tensor],
    layer: str | None = None,
) -> Scores:
    """Change of the map when a channel is silenced, in units of `1 - cos`.

    Arguments as of `evidence_importance`. Costs a forward pass per channel and batch.
    """
    distance = Classwise(FLOOR, order=0.0)
    scores = {group.name: torch.zeros(group.size) for group in groups}
    for x in inputs:
        whole = attribute_differentiable(net, x, layer)
        for group in groups:
            with gated(net, [group], 1) as gates:
                gate = gates[group.name].data
                for channel in range(group.size):
                    gate[0, channel] = 0
                    change = distance(attribute_differentiable(net, x, layer), whole).detach()
                    scores[group.name][channel] += change / len(inputs)
                    gate[0, channel] = 1
    return scores


def attribute_differentiable(net: nn.Module, x: Tensor, layer: str | None) -> Attribution:
    """Return a differentiable attribution of a batch: of the evidence, or of a named layer.

    Raises `ModelError` where a network without evidence has no `layer` given.
    """
    if isinstance(net, EvidenceNet):
        return attribute_evidence(net, x)
    if layer is None:
        raise ModelError(
            f"a {type(net).__name__} has no evidence, so its map must come from a layer: set "
            "`layer` to one that gives [B, K, T], or use another importance"
        )
    return attribute(net, x, layer, differentiable=True)


def _unit_maps(maps: Tensor) -> Tensor:
    """Maps `[B, C, T]`, centred over the columns and scaled to length 1."""
    centred = maps - maps.mean(-1, keepdim=True)
    length: Tensor = centred.norm(dim=-1, keepdim=True)
    return centred / length.clamp(min=1e-8)


@contextmanager
def gated(
    net: nn.Module, groups: Sequence[ChannelGroup], batch: int
) -> Iterator[dict[str, Tensor]]:
    """Multiply every channel of the groups, where it is read, by a factor while the block runs.

    Args:
        net: the network.
        groups: the groups whose channels get factors.
        batch: the batch size, for factors per input; or 1, for one factor for all inputs.

    Yields:
        Factors `[batch, size]` by group name, all 1, with `requires_grad`.
    """
    gates = {g.name: torch.ones(batch, g.size, requires_grad=True) for g in groups}
    handles = [
        net.get_submodule(member.layer).register_forward_pre_hook(_Factor(gates[g.name], member))
        for g in groups
        for member in g.consumers
    ]
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


class _Factor:
    """A hook that multiplies the input of a layer by factors."""

    def __init__(self, gate: Tensor, member: Member) -> None:
        self._gate = gate
        self._positions = torch.tensor(member.positions)
        self._channels = torch.tensor(member.channels)

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = inputs[0]
        axis = 1 if isinstance(layer, nn.Conv1d) else x.dim() - 1
        factor = torch.ones(len(self._gate), x.shape[axis], dtype=x.dtype, device=x.device)
        factor = factor.index_copy(1, self._positions, self._gate[:, self._channels].to(x.dtype))
        shape = [len(factor), *[1] * (x.dim() - 1)]
        shape[axis] = x.shape[axis]
        return (x * factor.view(shape), *inputs[1:])

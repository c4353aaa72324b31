"""Find the channels of a network that must be removed together, and remove them.

torch-pruning's dependency graph (Fang, Ma, Song, Mi & Wang, "DepGraph: Towards Any Structural
Pruning", CVPR 2023, arXiv 2301.12900) finds the filters, batch norms and later weights that belong
to one channel: in a residual stream, those of all blocks without a convolution in their shortcut.
The graph was made for image and language networks. Two additions are ours: slices along time are
recognised (torch-pruning takes the last of three axes for channels), and a group is used only after
a trial: removing some of its channels must give the same output as setting their weights to zero,
in the same shape.

>>> net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3))
>>> [group] = channel_groups(net, torch.randn(2, 1, 9))
>>> group.name, group.size, [member.layer for member in group.consumers]
('0', 4, ['2'])
>>> remove_channels(net, torch.randn(2, 1, 9), {"0": [1, 3]})[0].weight.shape
torch.Size([2, 1, 3])
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beatlens.errors import ModelError

Removal = dict[str, list[int]]
"""Numbers of the channels to remove, by the name of their group."""


@dataclass(frozen=True)
class Member:
    """A layer of a group: position `positions[i]` of the layer is channel `channels[i]`."""

    layer: str
    positions: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that exist in several layers at once.

    Args:
        name: name of a layer whose output channels they are; it names the group.
        size: number of channels.
        filters: convolutions and linear layers that compute them.
        norms: batch norms and other layers that work on each channel by itself.
        consumers: convolutions and linear layers that read them.
    """

    name: str
    size: int
    filters: tuple[Member, ...]
    norms: tuple[Member, ...]
    consumers: tuple[Member, ...]


def check_removable(net: nn.Module, method: str) -> None:
    """Raise `ModelError` where channels cannot be removed from a network, whatever its inputs.

    Refused are networks where: there is no `Conv1d`, its weights are parametrised (a mask, a
    codebook), a convolution is grouped but not depthwise, or parameters belong to other layers than
    Conv1d, Linear, BatchNorm1d and PReLU.
    """
    if not any(isinstance(m, nn.Conv1d) for m in net.modules()):
        raise ModelError(
            f"{method}: a {type(net).__name__} without any Conv1d, expected a 1-D convolutional "
            "network in float (prune before quantising)"
        )
    for name, module in net.named_modules():
        if parametrize.is_parametrized(module):
            raise ModelError(
                f"{method}: the weights of {name!r} are held by a constraint, which does not "
                f"survive a change of shape; put {method} before the step that imposes it"
            )
        if isinstance(module, nn.Conv1d) and module.groups not in (1, module.in_channels):
            raise ModelError(
                f"{method}: convolution {name!r} has {module.groups} groups of "
                f"{module.in_channels} channels, expected 1 or depthwise"
            )
        known = isinstance(module, nn.Conv1d | nn.Linear | nn.BatchNorm1d | nn.PReLU)
        if not known and any(True for _ in module.parameters(recurse=False)):
            raise ModelError(
                f"{method}: {name or 'the network'!r}, a {type(module).__name__}, has parameters "
                "of its own, expected them in Conv1d, Linear, BatchNorm1d or PReLU only"
            )


def channel_groups(net: nn.Module, x: Tensor) -> list[ChannelGroup]:
    """Find the groups of channels that can be removed from a network.

    Left out are groups that reach the output (classes) and groups that cannot be removed exactly.

    Args:
        net: any network `x -> logits`; not changed.
        x: inputs `[B, leads, N]` it takes.

    Raises:
        ModelError: there are none.
    """
    graph = _traced(net, x)
    names = {module: name for name, module in net.named_modules()}
    found = [_group(graph, names, traced) for traced in graph.get_all_groups()]
    kept = [g for g in found if g.size > 1 and g.consumers and _comes_out_clean(net, x, g)]
    if not kept:
        raise ModelError(
            f"no channels can be taken out of this {type(net).__name__}: each of its "
            f"{len(found)} groups reaches the output, or is cut and put together in ways that "
            "torch-pruning does not follow; expected convolutions, linear layers, batch norms, "
            "sums, concatenations and slices along time"
        )
    return kept


def remove_channels(net: nn.Module, x: Tensor, removal: Removal) -> nn.Module:
    """Remove channels from a network, in place, and return it.

    Args:
        net: any network; changed, with new parameters (make optimisers anew).
        x: inputs `[B, leads, N]` it takes.
        removal: numbers of the channels to remove, by the group's name in `channel_groups`.
    """
    if not any(removal.values()):
        return net
    graph = _traced(net, x)
    trained = {name: p.requires_grad for name, p in net.named_parameters()}
    for name, channels in removal.items():
        if channels:
            layer = net.get_submodule(name)
            prune = graph.get_pruner_of_module(layer).prune_out_channels
            graph.get_pruning_group(layer, prune, list(channels)).prune()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(trained[name])
    return net


def _traced(net: nn.Module, x: Tensor) -> tp.DependencyGraph:
    """The dependency graph of a network, with slices along time marked as elementwise."""
    training = net.training
    x = x[:1].detach().clone().requires_grad_()  # a frozen network leaves a graph to trace, too
    with torch.enable_grad():
        graph = tp.DependencyGraph().build_dependency(
            net, x, forward_fn=lambda model, inputs: model(inputs), verbose=False
        )
    net.train(training)
    for node in list(graph.module2node.values()):
        if node.type == tp.ops.OPTYPE.SLICE and _along_time(node.module.dim):
            _make_elementwise(node)
    return graph


def _along_time(axis: int) -> bool:
    """Whether autograd's axis (negative ones wrap around 2^64) is the last of `[B, K, T]`."""
    return axis == 2 or axis in (-1, 2**64 - 1)


def _make_elementwise(node: tp.dependency.Node) -> None:
    """Mark a node of the graph as one that keeps all channels."""
    node.type = tp.ops.OPTYPE.ELEMENTWISE
    node.module.grad_fn = None  # its pruning function then leaves its start and end alone
    for neighbour in (node, *node.inputs, *node.outputs):
        for dependency in neighbour.dependencies:
            if node in (dependency.source, dependency.target):
                dependency.index_mapping = [None, None]


def _group(
    graph: tp.DependencyGraph, names: dict[nn.Module, str], traced: tp.Group
) -> ChannelGroup:
    """Convert a group of torch-pruning to plain data."""
    filters, norms, consumers = [], [], []
    for item in traced:
        layer = item.dep.target.module
        if layer not in names:
            continue  # an operation, not a module
        member = Member(names[layer], tuple(item.idxs), tuple(item.root_idxs))
        if not isinstance(layer, nn.Conv1d | nn.Linear):
            norms.append(member)
        elif graph.is_out_channel_pruning_fn(item.dep.handler):  # depthwise ones are both
            filters.append(member)
        else:
            consumers.append(member)
    root, channels = traced[0].dep.target.module, traced[0].idxs
    return ChannelGroup(names[root], len(channels), tuple(filters), tuple(norms), tuple(consumers))


@torch.no_grad()
def _comes_out_clean(net: nn.Module, x: Tensor, group: ChannelGroup) -> bool:
    """Whether removing every second channel of a group gives the same as zeroing their weights."""
    x, channels = x[:2], list(range(0, group.size, 2))
    silenced, pruned = copy.deepcopy(net).eval(), copy.deepcopy(net).eval()
    silence(silenced, group, channels)
    try:
        remove_channels(pruned, x, {group.name: channels})
        expected, found = silenced(x), pruned(x)
    except (RuntimeError, IndexError, AssertionError):
        return False  # shapes no longer fit
    if found.shape != expected.shape:
        return False
    scale = float(expected.abs().max().clamp(min=1e-6))
    return bool(((found - expected).abs() <= 1e-4 * scale).all())


@torch.no_grad()
def silence(net: nn.Module, group: ChannelGroup, channels: Sequence[int]) -> None:
    """Set to zero, in place, every weight that reads these channels of a group."""
    gone = set(channels)
    for member in group.consumers:
        layer = net.get_submodule(member.layer)
        pairs = zip(member.positions, member.channels, strict=True)
        positions = [p for p, channel in pairs if channel in gone]
        weight = layer.weight
        assert isinstance(weight, Tensor)
        weight[:, positions] = 0

"""Groups of channels: what belongs together, and that taking it out is exact."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from beatlens.compression.channel_groups import channel_groups, remove_channels, silence
from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec

from ..nets.networks import SMALL, lively
from .own_nets import OwnResidual, Shuffled
from .retrainings import crops

NETS = {kind: (lambda spec=spec: lively(spec)) for kind, spec in SMALL.items()}
NETS["own"] = lambda: OwnResidual().eval()


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_removing_channels_is_the_same_as_silencing_them(name: str) -> None:
    torch.manual_seed(1)
    net, x = NETS[name](), crops(0, 4)
    groups = channel_groups(net, x)
    removal = {group.name: list(range(1, group.size, 2)) for group in groups}
    silenced, pruned = copy.deepcopy(net), remove_channels(copy.deepcopy(net), x, removal)
    for group in groups:
        silence(silenced, group, removal[group.name])
    torch.testing.assert_close(pruned(x), silenced(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(pruned(x), net(x), rtol=1e-3)
    sizes = [sum(p.numel() for p in n.parameters()) for n in (pruned, net)]
    assert sizes[0] < 0.6 * sizes[1]


def members(net: nn.Module) -> dict[str, tuple[set[str], set[str]]]:
    """Layers that give and that take a group's channels, by the group's name."""
    return {
        group.name: ({m.layer for m in group.filters}, {m.layer for m in group.consumers})
        for group in channel_groups(net, crops(0, 2))
    }


def test_the_residual_stream_is_one_group_through_a_block_without_shortcut() -> None:
    found = members(lively(SMALL["residual"]))
    stream = ({f"backbone.{layer}.conv" for layer in ("1.second", "1.shortcut", "2.second")},
              {"backbone.2.first.conv", "head"})  # fmt: skip
    assert stream in found.values()
    assert ({"backbone.2.first.conv"}, {"backbone.2.second.conv"}) in found.values()
    assert len(found) == 4  # the stem, the stream, and each block's own


def test_depthwise_channels_go_with_those_they_are_made_of() -> None:
    found = members(lively(SMALL["depthwise"]))
    assert ({"backbone.0.conv", "backbone.1.conv"}, {"backbone.2.conv"}) in found.values()
    assert len(found) == 3


def test_classes_are_never_in_a_group() -> None:
    for kind, spec in SMALL.items():
        giving = set().union(*(filters for filters, _ in members(lively(spec)).values()))
        assert "head" not in giving, kind
    assert "out" not in set().union(*(f for f, _ in members(OwnResidual()).values()))


def test_a_flattened_channel_is_all_of_its_features() -> None:
    groups = {g.name: g for g in channel_groups(OwnResidual().eval(), crops(0, 2))}
    [hidden] = groups["last"].consumers
    assert (hidden.layer, len(hidden.positions)) == ("hidden", 64)
    assert hidden.channels[:5] == (0, 0, 0, 0, 1)


def test_what_torch_pruning_misreads_is_left_alone() -> None:
    found = members(Shuffled().eval())
    assert list(found) == ["third"]


def test_a_network_with_nothing_to_take_out_is_refused() -> None:
    with pytest.raises(ModelError, match="no channels can be taken out of this Sequential: each"):
        channel_groups(nn.Sequential(nn.Conv1d(1, 4, 5)), crops(0, 2))


def test_frozen_parameters_and_the_mode_stay() -> None:
    net = lively(NetworkSpec("dense", (8, 8), (5, 5), (2, 2))).requires_grad_(False)
    net.train()
    channel_groups(net, crops(0, 2))
    assert net.training
    remove_channels(net, crops(0, 2), {"backbone.0.conv": [0]})
    assert net.backbone[1].conv.in_channels == 7
    assert not any(p.requires_grad for p in net.parameters())

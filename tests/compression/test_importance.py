"""Importances: each calls the channel unimportant that really is, by its own measure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from beatlens.attribution.matching import Classwise, attribute_evidence
from beatlens.compression.channel_groups import ChannelGroup, channel_groups
from beatlens.compression.importance import (
    Sensitivity,
    evidence_importance,
    exact_evidence_importance,
    importance,
    taylor_importance,
)
from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.evidence import EvidenceNet

from ..nets.networks import SMALL, lively
from .own_nets import OwnResidual, build_own_retraining
from .retrainings import crops, make_retraining

pytestmark = pytest.mark.rounding
SPEC = NetworkSpec("dense", (6, 8, 8), (8, 8, 8), (2, 2, 2))
KEY = "backbone.1.conv"


def net_and_groups() -> tuple[EvidenceNet, list[ChannelGroup]]:
    net = lively(SPEC, seed=3)
    return net, channel_groups(net, crops(0, 2))


def scores_of(name: str, net: EvidenceNet, groups: list[ChannelGroup]) -> dict[str, Tensor]:
    return importance(
        net, groups, name, Sensitivity(make_retraining(lively(SPEC, seed=4)), batches=2)
    )


def test_l1_finds_the_small_filter() -> None:
    net, groups = net_and_groups()
    net.backbone[1].conv.weight.data[5] *= 0.1
    found = scores_of("l1", net, groups)[KEY]
    assert int(found.argmin()) == 5
    sums = net.backbone[1].conv.weight.detach().abs().sum((1, 2))
    torch.testing.assert_close(found, sums / sums.mean())


def test_l1_of_coupled_layers_is_the_mean_of_each_layers_share() -> None:
    net = lively(SMALL["depthwise"])
    [group] = [g for g in channel_groups(net, crops(0, 2)) if g.size == 4]
    found = scores_of("l1", net, [group])[group.name]
    first, second = (net.backbone[i].conv.weight.detach().abs().sum((1, 2)) for i in (0, 1))
    torch.testing.assert_close(found, (first / first.mean() + second / second.mean()) / 2)


@pytest.mark.parametrize("name", ["taylor", "evidence", "evidence-exact"])
def test_a_channel_that_no_layer_reads_has_no_importance(name: str) -> None:
    net, groups = net_and_groups()
    net.backbone[2].conv.weight.data[:, 5] = 0
    net.backbone[1].conv.weight.data[5] *= 10  # by its size it would be the last to go
    found = scores_of(name, net, groups)
    assert int(found[KEY].argmin()) == 5
    assert float(found[KEY][5]) <= 1e-6 < float(found[KEY][:5].min())
    assert int(scores_of("l1", net, groups)[KEY].argmax()) == 5


@pytest.mark.parametrize("name", ["evidence", "evidence-exact"])
def test_a_constant_channel_moves_logits_but_no_map(name: str) -> None:
    net, groups = net_and_groups()
    net.backbone[2].norm.weight.data[3] = 0
    net.backbone[2].norm.bias.data[3] = 20.0
    key = "backbone.2.conv"
    assert int(scores_of(name, net, groups)[key].argmin()) == 3
    assert int(scores_of("taylor", net, groups)[key].argmin()) != 3


def test_the_exact_importance_is_the_distance_to_the_silenced_networks_map() -> None:
    net, groups = net_and_groups()
    x = [crops(0, 4), crops(4, 4)]
    found = exact_evidence_importance(net, groups, x)[KEY]
    expected = 0.0
    for part in x:
        whole = attribute_evidence(net, part)
        kept = net.backbone[2].conv.weight.data.clone()
        net.backbone[2].conv.weight.data[:, 2] = 0
        expected += Classwise(order=0.0)(attribute_evidence(net, part), whole).item() / 2
        net.backbone[2].conv.weight.data.copy_(kept)
    assert float(found[2]) == pytest.approx(expected, rel=1e-4)
    assert expected > 1e-4


@pytest.mark.parametrize("kind", SMALL)
def test_the_expansion_ranks_channels_as_silencing_them_does(kind: str) -> None:
    """The mean of three networks; one alone: .74 to .98 over 8 seeds, of some 18 channels."""
    found = []
    for seed in (2, 3, 4):
        net, x = lively(SMALL[kind], seed=seed), [crops(0, 8)]
        groups = channel_groups(net, x[0])
        quick = evidence_importance(net, groups, x, probes=16)
        exact = exact_evidence_importance(net, groups, x)
        a, b = (torch.cat([s[g.name] for g in groups]).numpy() for s in (quick, exact))
        found.append(spearmanr(a, b).statistic)
    assert np.mean(found) > 0.7


def test_the_expansion_is_exact_for_small_changes() -> None:
    # What the head takes, scaled by 1 - h channel by channel: 1 - cos is h^2 / 2 |dm / dg|^2.
    net, x = lively(SPEC, seed=3).double(), crops(0, 4).double()
    group = next(g for g in channel_groups(net, x) if g.name == "backbone.2.conv")
    found = evidence_importance(net, [group], [x], probes=600)[group.name]
    whole, h, expected = attribute_evidence(net, x), 1e-2, []
    kept = net.head.weight.data.clone()
    for channel in range(group.size):
        net.head.weight.data[:, channel] *= 1 - h
        with torch.no_grad():
            expected.append(float(Classwise(order=0.0)(attribute_evidence(net, x), whole)) / h**2)
        net.head.weight.data.copy_(kept)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0.15, atol=1e-6)


def test_taylor_is_weight_times_gradient_of_all_that_takes_the_channel() -> None:
    net, groups = net_and_groups()
    retraining = make_retraining(lively(SPEC, seed=4))
    found = taylor_importance(net, groups, retraining, batches=1)[KEY]
    weight = net.backbone[2].conv.weight
    loss = retraining.objective(net).eval()(*retraining.batches(0, retraining.schedule.batch))
    (gradient,) = torch.autograd.grad(loss, weight)
    expected = (weight * gradient).sum((0, 2)).abs().detach()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_measuring_leaves_no_trace() -> None:
    net, groups = net_and_groups()
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for name in ("l1", "taylor", "evidence", "evidence-exact"):
        scores_of(name, net, groups)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_a_network_that_is_its_own_teacher_has_no_slope() -> None:
    net, groups = net_and_groups()
    with pytest.raises(ModelError, match="ranks nothing here, use 'evidence' or 'l1'"):
        importance(net, groups, "taylor", Sensitivity(make_retraining(net)))


@pytest.mark.parametrize("name", ["evidence", "evidence-exact"])
def test_a_foreign_network_shows_its_map_at_a_named_layer(name: str) -> None:
    torch.manual_seed(0)
    net, sensitivity = (
        OwnResidual().eval(),
        Sensitivity(build_own_retraining(), batches=1, layer="relu"),
    )
    groups = channel_groups(net, crops(0, 2))
    before = importance(net, groups, name, sensitivity)
    read, seen = int(before["left"].argmax()), int(before["last"].argmax())
    net.last.weight.data[:, read] = 0
    net.hidden.weight.data[:, 4 * seen : 4 * seen + 4] = 0
    after = importance(net, groups, name, sensitivity)
    assert float(before["left"][read]) > 1e-6
    assert float(before["last"][seen]) > 1e-6
    assert float(after["left"][read]) < 1e-7
    assert float(after["last"][seen]) < 1e-7

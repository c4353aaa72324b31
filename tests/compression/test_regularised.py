"""TPP: the penalty by hand, the decay, and what is left of the filters when they go."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from beatlens.compression.channel_groups import channel_groups
from beatlens.compression.contract import Budget
from beatlens.compression.regularised import (
    Regularised,
    RegularisedPruning,
    decorrelation,
    doomed_by,
)
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec, build, read_spec
from beatlens.nets.constraint import Mask, impose

from ..nets.networks import SMALL, lively
from .own_nets import OwnResidual, build_own_retraining
from .retrainings import crops, make_retraining

pytestmark = pytest.mark.rounding
SPEC = NetworkSpec("residual", (8, 12, 12), (8, 5, 5), (2, 4, 1))


def test_the_penalty_is_the_one_computed_by_hand() -> None:
    # Rows a = (1, 2, 0), b = (0, 1, 1), c = (2, 0, 1); c goes. Gram entries with c in them:
    # a.c = 2 and b.c = 1, twice each, and c.c = 5: 2 * 4 + 2 * 1 + 25 = 35.
    rows = torch.tensor([[1.0, 2, 0], [0, 1, 1], [2, 0, 1]], requires_grad=True)
    penalty = decorrelation(rows.view(3, 1, 3), [2])
    assert penalty.item() == 35.0
    # By hand: d/da = 4 (a.c) c, d/db = 4 (b.c) c, d/dc = 4 ((a.c) a + (b.c) b + (c.c) c).
    penalty.backward()
    a, b, c = rows.detach()
    expected = torch.stack([8 * c, 4 * c, 4 * (2 * a + b + 5 * c)])
    torch.testing.assert_close(rows.grad, expected)


def test_filters_that_stay_may_be_as_alike_as_they_are() -> None:
    rows = torch.tensor([[1.0, 0], [1, 0], [0, 1]], requires_grad=True)
    penalty = decorrelation(rows, [2])
    penalty.backward()
    assert penalty.item() == 1.0  # the pruned filter with itself
    assert rows.grad[:2].abs().max() == 0


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


def test_the_objective_adds_the_penalty_of_all_dense_layers() -> None:
    net = lively(SMALL["depthwise"])
    groups = channel_groups(net, crops(0, 2))
    group = next(g for g in groups if g.size == 4)  # a dense and a depthwise convolution
    doomed = doomed_by(net, groups, {g.name: [1] if g is group else [] for g in groups})
    assert (
        sorted(type(layer).__name__ for layer, _ in doomed) == ["BatchNorm1d"] * 2 + ["Conv1d"] * 2
    )
    objective = Regularised(Constant(), doomed, reg=0.5, left=0.01, steps=10).eval()
    expected = decorrelation(net.backbone[0].conv.weight, [1])
    torch.testing.assert_close(objective(torch.ones(3)), 3 + 0.5 * expected)
    assert int(objective.done) == 0  # nothing decays outside training


def test_doomed_filters_decay_to_what_is_asked_ever_faster() -> None:
    net = lively(SMALL["dense"])
    groups = channel_groups(net, crops(0, 2))
    doomed = doomed_by(net, groups, {g.name: [0, 2] if g.size == 6 else [] for g in groups})
    unit, before = net.backbone[1], copy.deepcopy(net.backbone[1])
    objective = Regularised(Constant(), doomed, reg=0.0, left=0.01, steps=4)
    sizes = [1.0]
    for _ in range(4):
        objective(torch.ones(1))
        sizes.append((unit.conv.weight[0] / before.conv.weight[0]).mean().item())
    rates = [a / b for a, b in pairwise(sizes)]
    assert sizes[-1] == pytest.approx(0.01, rel=1e-4)
    assert rates == sorted(rates)
    for name, old in before.named_parameters():
        new = unit.get_parameter(name)
        torch.testing.assert_close(new[[0, 2]], 0.01 * old[[0, 2]], rtol=1e-3, atol=1e-9)
        assert torch.equal(new[[1, 3, 4, 5]], old[[1, 3, 4, 5]])


@pytest.mark.parametrize("kind", ["residual", "own"])
def test_a_network_is_pruned_into_the_budget(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "own":
        net, retraining = OwnResidual(), build_own_retraining(steps=20)
    else:
        net, retraining = lively(SPEC), make_retraining(lively(SPEC, seed=1), steps=20)
    budget = Budget(weight_account(net).packed_bytes // 2)
    method = RegularisedPruning(left=1e-4, round_to=2)
    done = method(net, retraining, budget)
    assert done.size.packed_bytes <= budget.packed_bytes
    assert done.size == weight_account(done.net)
    events = [row["event"] for row in done.log]
    assert events == ["started", "validated", "regularised", "pruned", "validated", "retrained"]
    assert {row["method"] for row in done.log} == {method.name}
    assert 0 < done.log[2]["left"] < 0.1
    assert [row["step"] for row in done.log if row["event"] == "validated"] == [10, 10]
    if kind == "residual":
        spec = read_spec(done.net)
        assert [p.shape for p in build(spec, net.classes).parameters()] == [
            p.shape for p in done.net.parameters()
        ]


def test_what_goes_was_decided_at_the_start_and_is_silent_when_it_goes() -> None:
    net, teacher = lively(SPEC), lively(SPEC, seed=1)
    retraining = make_retraining(teacher, steps=60)
    budget = Budget(weight_account(net).packed_bytes // 2)
    log = RegularisedPruning(left=1e-6, monitor=False)(net, retraining, budget).log
    left = next(row["left"] for row in log if row["event"] == "regularised")
    assert left < 0.01


def test_a_small_network_is_left_alone() -> None:
    net = lively(SMALL["dense"])
    before = copy.deepcopy(net.state_dict())
    done = RegularisedPruning()(net, make_retraining(lively(SMALL["dense"], 1)), Budget(100_000))
    assert [row["event"] for row in done.log] == ["fits"]
    assert all(torch.equal(before[k], v) for k, v in done.net.state_dict().items())


def test_what_cannot_be_is_refused_under_the_methods_name() -> None:
    net = lively(SMALL["dense"])
    impose(net.backbone[1].conv, Mask(torch.ones(6, 4, 8)))
    with pytest.raises(ModelError, match=r"prune-regularised: the weights of 'backbone.1.conv'"):
        RegularisedPruning().check(net)
    with pytest.raises(ModelError, match=r"prune-regularised cannot reach 4\d packed bytes"):
        RegularisedPruning()(lively(SPEC), make_retraining(lively(SPEC, 1)), Budget(50))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reg": -1.0}, "reg is -1.0"),
        ({"left": 0.0}, "left is 0.0"),
        ({"share": 1.0}, "share is 1.0"),
        ({"round_to": 0}, "round_to is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        RegularisedPruning(**settings)

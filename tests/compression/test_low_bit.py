"""Low-bit weights: the grid, its best step, trained parts, and the bits a budget allows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from beatlens.compression.contract import Budget
from beatlens.compression.low_bit import LowBit, LowBitWeights, levels
from beatlens.compression.size import int8_weights, weight_account, weighted_layers
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import Mask, find_constraints, impose
from beatlens.packed import encode_tensor, name_coding

from ..nets.networks import lively
from .own_net import OwnNet, build_own_retraining, forbid_training
from .retrainings import make_retraining

pytestmark = pytest.mark.rounding
SPEC = NetworkSpec("residual", (8, 12, 12), (8, 8, 7), (2, 4, 1))


@settings(deadline=None)  # the machine may be busy
@given(st.integers(2, 8), st.integers(0, 2**32))
def test_weights_stand_on_the_grid_and_no_other_tried_step_is_better(bits: int, seed: int) -> None:
    weight = torch.tensor(np.random.default_rng(seed).standard_normal((3, 2, 7)))
    grid = LowBit.fitted(weight, bits)
    steps = grid.steps(weight)
    whole = grid(weight).detach() / steps[:, None, None]
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-9)
    assert whole.abs().max() <= levels(bits) + 1e-9
    assert torch.equal(grid.peak, whole.round().abs().amax(dim=(1, 2)))
    error = (grid(weight).detach() - weight).square().sum(dim=(1, 2))
    for factor in (0.3, 0.5, 0.8, 1.0):
        step = factor * weight.abs().amax(dim=(1, 2)) / levels(bits)
        other = (weight / step[:, None, None]).round().clamp(-levels(bits), levels(bits))
        other = other * step[:, None, None]
        assert (error <= (other - weight).square().sum(dim=(1, 2)) * 1.0001).all()


def test_weights_inside_learn_as_they_are_and_the_step_as_a_learned_step() -> None:
    grid = LowBit(torch.tensor([0.5]).log(), 4, torch.ones(1), torch.zeros(1))
    weight = nn.Parameter(torch.tensor([[[0.6, -0.2, 9.0, -9.0]]]))
    assert grid(weight).tolist() == [[[0.5, 0.0, 3.5, -3.5]]]
    grid(weight).sum().backward()
    assert weight.grad.tolist() == [[[1.0, 1.0, 0.0, 0.0]]]
    # Esser et al., eq. 3, times s for log s, balanced by 1 / sqrt(weights * levels).
    inside = (1 - 0.6 / 0.5) + (0 + 0.2 / 0.5)
    expected = (inside + 7 - 7) * 0.5 / np.sqrt(4 * 7)
    assert grid.log_step.grad.item() == pytest.approx(expected, rel=1e-4)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(2, 8), st.integers(0, 2**32))
def test_a_rescaled_grid_holds_the_rescaled_weights(bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = torch.tensor(rng.standard_normal((4, 2, 5)), dtype=torch.float32)
    weight[0] = 0
    grid = LowBit.fitted(weight, bits)
    gains = torch.tensor(rng.uniform(0.1, 3, 4) * rng.choice([-1, 1], 4), dtype=torch.float32)
    folded = grid(weight).detach() * gains[:, None, None]
    again = grid.rescaled(folded)
    torch.testing.assert_close(again(folded), folded, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(
        again.steps(folded)[1:], (grid.steps(weight) * gains.abs())[1:], rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_the_whole_network_stands_on_its_grid_after_training(bits: int) -> None:
    teacher = lively(SPEC)
    net = copy.deepcopy(teacher)
    done = LowBitWeights(bits=bits)(net, make_retraining(teacher, steps=10), Budget(4000))
    assert set(find_constraints(net)) == {
        f"{name}:weight" for name in weighted_layers(teacher) if name != "head"
    }
    for name, tensor in int8_weights(net).items():
        if name != "head":
            assert np.abs(tensor).max() == levels(bits)
    big = int8_weights(net)["backbone.2.first.conv"]
    assert len(encode_tensor(big)) <= big.size * bits / 8 + 16
    assert name_coding(encode_tensor(big)) in ("low-bit", "entropy")
    assert done.size.packed_bytes == weight_account(net).packed_bytes


def test_training_on_a_grid_of_two_bits_comes_nearer_the_teacher() -> None:
    """The mean error of three networks: .53 to .78 of the untrained ones', over 4 sets of seeds.

    One network alone: .40 to .99, as each weight that crosses to the next of three values counts.
    """
    errors = {"rounded": 0.0, "trained": 0.0}
    for seed in range(3):
        retraining = make_retraining(lively(SPEC, seed=seed), steps=50)
        net = lively(SPEC, seed=seed + 10)
        rounded = copy.deepcopy(net)
        for layer, _ in list(weighted_layers(rounded).values())[:-1]:
            impose(layer, LowBit.fitted(layer.weight, 2))
        LowBitWeights(bits=2)(net, retraining, Budget(4000))
        errors["rounded"] -= retraining.validate(rounded)["score"]
        errors["trained"] -= retraining.validate(net)["score"]
    assert errors["trained"] < 0.93 * errors["rounded"]


def test_the_most_bits_the_budget_allows_are_taken() -> None:
    net = lively(SPEC)
    retraining = make_retraining(lively(SPEC), steps=2)
    sizes = {
        bits: LowBitWeights(bits=bits)(copy.deepcopy(net), retraining, Budget(10**5)).log[0][
            "bytes"
        ]
        for bits in (3, 4, 5)
    }
    assert sizes[3] < sizes[4] < sizes[5]
    budget = Budget((sizes[4] + sizes[5]) // 2)
    done = LowBitWeights(bits=None)(net, retraining, budget)
    assert done.log[0] == {**done.log[0], "bits": 4, "bytes": sizes[4]}
    assert done.size.packed_bytes <= budget.packed_bytes


def test_pruned_weights_stay_pruned() -> None:
    net = lively(SPEC)
    pruned = [layer for layer, _ in weighted_layers(net).values()][:-1]
    masks = [(torch.rand_like(layer.weight) < 0.5).float() for layer in pruned]
    for layer, mask in zip(pruned, masks, strict=True):
        impose(layer, Mask(mask))
    LowBitWeights()(net, make_retraining(lively(SPEC), steps=10), Budget(4000))
    for layer, mask in zip(pruned, masks, strict=True):
        assert not layer.weight[mask == 0].any()
        assert layer.weight[mask == 1].any()
    assert {held.kind for held in find_constraints(net).values()} == {"low-bit"}


def test_a_users_own_network_and_its_linear_layers() -> None:
    net = OwnNet()
    done = LowBitWeights(head=True)(net, build_own_retraining(OwnNet(seed=1)), Budget(5000))
    assert np.abs(int8_weights(net)["out"]).max() == 7
    assert done.size.packed_bytes < weight_account(OwnNet()).packed_bytes


def test_what_cannot_be_is_refused_before_any_training() -> None:
    net = lively(SPEC)
    with pytest.raises(ModelError, match=r"low-bit with 4 bits cannot reach 1960 .* is \d+"):
        LowBitWeights()(net, forbid_training(), Budget(2000))
    with pytest.raises(ModelError, match="low-bit with 2 bits cannot reach"):
        LowBitWeights(bits=None)(net, forbid_training(), Budget(500))
    LowBitWeights()(net, make_retraining(lively(SPEC), steps=1), Budget(4000))
    with pytest.raises(ModelError, match="held by 'low-bit' already"):
        LowBitWeights().check(net)
    with pytest.raises(RecipeError, match="bits are 9, expected 2 to 8"):
        LowBitWeights(bits=9)

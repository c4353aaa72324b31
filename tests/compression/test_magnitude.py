"""Magnitude pruning: which weights go, in which rounds, into which budget, and that they stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from beatlens.compression.budget import (
    Trial,
    covered_layers,
    head_name,
    impose_all,
    largest_that_fits,
    shorten_schedule,
)
from beatlens.compression.contract import Budget, Compressed
from beatlens.compression.low_bit import LowBit
from beatlens.compression.magnitude import PruneWeights
from beatlens.compression.size import int8_weights, weight_account, weighted_layers
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import Mask, constraint_on, find_constraints, impose, release
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Schedule

from ..nets.networks import SMALL, lively
from .own_net import OwnNet, build_own_retraining, forbid_training
from .retrainings import make_retraining

SPEC = NetworkSpec("residual", (8, 12, 12), (8, 8, 7), (2, 4, 1))


def half(net: nn.Module) -> Budget:
    return Budget(weight_account(net).packed_bytes // 2)


@pytest.fixture(scope="module")
def pruned() -> tuple[EvidenceNet, Compressed, Budget]:
    """A network, what pruning to half its bytes left, and the budget."""
    net = lively(SPEC)
    budget = half(net)
    done = PruneWeights()(copy.deepcopy(net), make_retraining(net, steps=30), budget)
    return net, done, budget


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 50), min_size=2, max_size=40), st.integers(1, 2000), st.booleans())
def test_the_largest_setting_within_the_limit_is_found(
    steps: list[int], limit: int, upwards: bool
) -> None:
    sizes = np.cumsum(steps)  # grows with the setting
    last = len(sizes) - 1
    gentle, harsh = (last, 0) if upwards else (0, last)
    size_at = (lambda s: int(sizes[s])) if upwards else (lambda s: int(sizes[last - s]))
    fitting = [s for s in range(last + 1) if size_at(s) <= limit]
    if not fitting:
        with pytest.raises(ModelError, match=f"the smallest it reaches alone is {sizes[0]}"):
            largest_that_fits(size_at, gentle=gentle, harsh=harsh, limit=limit, what="x")
        return
    found = largest_that_fits(size_at, gentle=gentle, harsh=harsh, limit=limit, what="x")
    assert found == min(fitting, key=lambda s: abs(s - gentle))


def test_a_trial_weighs_what_the_network_then_weighs() -> None:
    net = lively(SPEC)
    layers = covered_layers(net, "test", head=True)
    trial = Trial(net, layers)
    assert trial.packed_bytes({}) == weight_account(net).packed_bytes
    masks = {
        name: Mask((torch.rand_like(layer.weight) < 0.3).float())
        for name, (layer, _) in list(layers.items())[::2]
    }
    said = trial.packed_bytes(masks)
    assert not find_constraints(net)
    impose_all(layers, masks)
    assert said == weight_account(net).packed_bytes


def test_part_of_a_schedule() -> None:
    whole = Schedule(100, 8, 1e-3, validate_every=30, patience=2)
    assert shorten_schedule(whole, 20) == replace(
        whole, steps=20, validate_every=20, patience=0, keep="last"
    )
    assert shorten_schedule(whole, 60, last=True) == replace(whole, steps=60)
    assert shorten_schedule(whole, -3).steps == 1


def test_releasing_a_copys_constraint_leaves_the_original_alone() -> None:
    net = lively(SMALL["dense"])
    impose(net.head, Mask(torch.zeros_like(net.head.weight)))
    twin = copy.deepcopy(net)
    release(twin.head)
    assert type(twin.head) is nn.Conv1d
    assert constraint_on(net.head) is not None
    assert not net.head.weight.any()
    assert not twin.head.weight.any()  # released as the constraint had made it


def test_the_budget_is_met_and_used(pruned: tuple[EvidenceNet, Compressed, Budget]) -> None:
    net, done, budget = pruned
    assert done.size == weight_account(done.net)
    assert 0.95 * budget.packed_bytes < done.size.packed_bytes <= budget.packed_bytes
    assert done.size.weights == weight_account(net).weights


def test_every_round_takes_a_fifth(pruned: tuple[EvidenceNet, Compressed, Budget]) -> None:
    net, done, _ = pruned
    kept = [row["kept"] for row in done.log if row["event"] == "pruned"]
    total = sum(layer.weight.numel() for layer, _ in weighted_layers(net).values())
    total -= net.head.weight.numel()
    assert len(kept) > 2
    assert kept[:-1] == [round(total * 0.8**number) for number in range(1, len(kept))]
    assert kept[-2] * 0.75 < kept[-1] < kept[-2]
    steps = [row["step"] for row in done.log if row["event"] == "validated"]
    assert sum(steps) == 30  # as long as the retraining, however many rounds there are
    assert steps[-1] >= 15


def test_masks_hold_and_the_head_is_left_alone(
    pruned: tuple[EvidenceNet, Compressed, Budget],
) -> None:
    net, done, _ = pruned
    masks = find_constraints(done.net)
    assert "head:weight" not in masks
    assert len(masks) == len(weighted_layers(net)) - 1
    last = [row for row in done.log if "kept" in row][-1]
    assert sum(int(mask.mask.sum()) for mask in masks.values()) == last["kept"]
    for where, mask in masks.items():
        layer = done.net.get_submodule(where.partition(":")[0])
        assert not layer.weight[mask.mask == 0].any()
        assert layer.weight[mask.mask == 1].any()
        moved = net.get_submodule(where.partition(":")[0]).weight
        assert not torch.equal(layer.weight[mask.mask == 1], moved[mask.mask == 1])


def test_the_smallest_weights_of_the_whole_network_go() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 4, bias=False), nn.Conv1d(2, 2, 2), nn.Conv1d(2, 1, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[[1, -8, 2, 7.0]], [[0.1, 0.2, 5, -6]]]))
        net[1].weight.copy_(torch.tensor([[[0.3, 0.4], [-0.5, 0.05]], [[0.9, 0.7], [0.6, 0.8]]]))
    layers = covered_layers(net, "test", head=False)
    raw = PruneWeights(least=0.01)._masks(layers, 7)
    assert raw["0"].mask.tolist() == [[[1, 1, 1, 1]], [[0, 0, 1, 1]]]
    assert raw["1"].mask.tolist() == [[[0, 0], [0, 0]], [[1, 0], [0, 0]]]  # its floor: one weight
    equal = PruneWeights(normalised=True)._masks(layers, 8)
    assert equal["0"].mask.tolist() == [[[0, 1, 0, 1]], [[0, 0, 1, 1]]]
    assert equal["1"].mask.tolist() == [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]


class Stop(Exception):
    """Ends a training as a power cut would."""


def test_masks_hold_through_a_training_that_is_cut_off_and_resumed(tmp_path: Path) -> None:
    teacher = lively(SPEC)
    retraining = make_retraining(teacher, steps=12)
    schedule = replace(retraining.schedule, validate_every=4)

    def masked() -> EvidenceNet:
        net = lively(SPEC, seed=1)
        layers = covered_layers(net, "test", head=False)
        impose_all(layers, PruneWeights()._masks(layers, 1000))
        return net

    whole, resumed = masked(), masked()
    retraining.run(whole, schedule=schedule, checkpoint=tmp_path / "whole")
    at: Iterator[int] = iter(range(100))

    def cut(step: int, _steps: int, _figures: dict[str, float]) -> None:
        if next(at) == 1:
            raise Stop

    with pytest.raises(Stop):
        retraining.run(resumed, schedule=schedule, checkpoint=tmp_path / "cut", report=cut)
    resumed = masked()
    retraining.run(resumed, schedule=schedule, checkpoint=tmp_path / "cut")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    kept = sum(int(layer.weight.count_nonzero()) for layer, _ in weighted_layers(resumed).values())
    assert kept == 1000 + resumed.head.weight.numel()


def test_pruning_goes_on_where_pruning_stopped() -> None:
    net = lively(SPEC)
    retraining = make_retraining(lively(SPEC), steps=6)
    size = weight_account(net).packed_bytes
    PruneWeights()(net, retraining, Budget(size * 2 // 3))
    zero = {name: tensor == 0 for name, tensor in int8_masks(net).items()}
    done = PruneWeights()(net, retraining, Budget(size // 2))
    assert done.size.packed_bytes <= size // 2
    for name, mask in int8_masks(done.net).items():
        assert not mask[zero[name]].any()


def int8_masks(net: nn.Module) -> dict[str, torch.Tensor]:
    return {where: held.mask for where, held in find_constraints(net).items()}


def test_a_users_own_network_is_pruned_linear_layers_too() -> None:
    net = OwnNet()
    assert head_name(net) == "out"
    budget = half(net)
    done = PruneWeights()(net, build_own_retraining(OwnNet(seed=1)), budget)
    assert 0.93 * budget.packed_bytes < done.size.packed_bytes <= budget.packed_bytes
    assert set(find_constraints(net)) == {"stem.0:weight", "body.0:weight", "middle:weight"}
    tensors = int8_weights(net)
    assert (tensors["middle"] == 0).mean() > 0.2
    assert (tensors["out"] != 0).mean() > 0.9


def test_what_cannot_be_pruned_is_refused_before_any_training() -> None:
    method, retraining = PruneWeights(), forbid_training()
    with pytest.raises(ModelError, match="has no Conv1d or Linear to compress beside its last"):
        method(nn.Sequential(nn.Conv1d(1, 2, 3)), retraining, Budget(1))
    net = lively(SPEC)
    with pytest.raises(ModelError, match=r"cannot reach 588 .* the smallest it reaches .* is \d+"):
        method(net, retraining, Budget(600))
    impose(net.backbone[0].conv, LowBit.fitted(net.backbone[0].conv.weight, 4))
    with pytest.raises(ModelError, match=r"'backbone\.0\.conv' are held by 'low-bit' already"):
        method.check(net)


def test_what_fits_already_is_left_as_it_is() -> None:
    net = lively(SPEC)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    done = PruneWeights()(net, forbid_training(), Budget(10**6))
    assert [row["event"] for row in done.log] == ["fits"]
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0"),
        ({"between": 1.0}, "between is 1.0"),
        ({"least": 0.0}, "least is 0.0"),
    ],
)
def test_settings_are_checked(given_settings: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        PruneWeights(**given_settings)

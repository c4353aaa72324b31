"""Weight unification: blocks, the projection and that it is the nearest, ADMM, and the budget."""

from __future__ import annotations

import copy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from beatlens.compression.budget import covered_layers, impose_all, read_weights
from beatlens.compression.contract import Budget, Compressed
from beatlens.compression.size import int8_weights, weight_account
from beatlens.compression.unify import (
    FREE,
    SHARED,
    ZERO,
    Admm,
    Projection,
    Unified,
    UnifyWeights,
    block_index,
)
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import find_constraints
from beatlens.nets.evidence import EvidenceNet
from beatlens.packed import encode_tensor, name_coding
from beatlens.packed.blocks import block_order

from ..nets.networks import lively
from .own_net import OwnNet, build_own_retraining, forbid_training
from .retrainings import make_retraining

pytestmark = pytest.mark.rounding
SPEC = NetworkSpec("residual", (8, 16, 16), (8, 8, 7), (2, 4, 1))


@pytest.fixture(scope="module")
def unified() -> tuple[EvidenceNet, Compressed, Budget]:
    """A network, what unification to 45 % of its bytes left, and the budget."""
    net = lively(SPEC)
    budget = Budget(weight_account(net).packed_bytes * 45 // 100)
    retraining = make_retraining(net, steps=60, learning_rate=1e-2)
    done = UnifyWeights(rho=300.0)(copy.deepcopy(net), retraining, budget)
    return net, done, budget


@pytest.mark.parametrize(
    ("inputs", "taps", "block", "sizes"),
    [
        (16, 7, (8, 1), [8] * 14),
        (10, 2, (8, 1), [8, 8, 2, 2]),
        (1, 9, (8, 1), [8, 1]),  # few inputs: along the taps
        (3, 9, (8, 1), [6, 6, 6, 6, 3]),
        (6, 4, (8, 1), [6] * 4),
        (24, 1, (8, 1), [8] * 3),
        (24, 1, (1, 4), [4] * 6),  # one tap: along the inputs
        (2, 9, (1, 99), [9, 9]),  # whole kernels
        (5, 5, (2, 4), [8, 8, 4, 2, 2, 1]),
    ],
)
def test_blocks_have_about_the_same_size_in_every_layer(
    inputs: int, taps: int, block: tuple[int, int], sizes: list[int]
) -> None:
    index = block_index(inputs, taps, block)
    assert index.shape == (inputs, taps)
    assert sorted(torch.bincount(index.flatten()).tolist(), reverse=True) == sizes
    # The packed format counts the same blocks.
    wide = int((index[:, 0] == index[0, 0]).sum())
    high = int((index[0] == index[0, 0]).sum())
    order = index.T.reshape(-1)[torch.from_numpy(block_order(taps, inputs, high, wide))]
    assert len(torch.unique_consecutive(order)) == len(sizes)


def projected(
    values: list[list[float]], shared: int, zero: int, block: tuple[int, int] = (1, 2)
) -> list[list[float]]:
    weight = torch.tensor(values)[:, None]  # [out, 1, k]
    found = Projection({"a": weight}, block)({"a": weight}, shared=shared, zero=zero)["a"]
    return found(weight)[:, 0].tolist()


def test_hand_computed_blocks() -> None:
    rows = [[3.0, -5.0, 1.0, 9.0], [-2.0, -2.5, 6.0, 4.0]]
    # Costs in units of the channels' mean squares, 29 and 15.5625: 2/29, 32/29; .125/15.6, 2/15.6.
    assert projected(rows, 1, 0) == [rows[0], [-2.25, -2.25, 6.0, 4.0]]
    assert projected(rows, 2, 0) == [[4.0, -4.0, 1.0, 9.0], [-2.25, -2.25, 6.0, 4.0]]
    assert projected(rows, 4, 0) == [[4.0, -4.0, 5.0, 5.0], [-2.25, -2.25, 5.0, 5.0]]
    # Norms: 34/29, 82/29; 10.25/15.6, 52/15.6.
    assert projected(rows, 0, 1) == [rows[0], [0.0, 0.0, 6.0, 4.0]]
    assert projected(rows, 1, 1) == [[4.0, -4.0, 1.0, 9.0], [0.0, 0.0, 6.0, 4.0]]


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**32), st.integers(0, 6))
def test_no_other_choice_is_nearer(seed: int, shared: int) -> None:
    """The projection against every choice of blocks, each with its best magnitude by search."""
    rng = np.random.default_rng(seed)
    weight = torch.tensor(rng.standard_normal((2, 1, 9)))
    projection = Projection({"a": weight}, (1, 4))
    scale = projection.scales["a"][:, None].numpy()
    found = projection({"a": weight}, shared=shared, zero=0)["a"](weight)
    mine = float((((found - weight)[:, 0].numpy() / scale) ** 2).sum())
    rows = weight[:, 0].numpy() / scale
    blocks = [rows[c, a : a + 4] for c in range(2) for a in (0, 4, 8)]
    magnitudes = np.linspace(0, 4, 401)[:, None]
    costs = [float(((np.abs(b) - magnitudes) ** 2).sum(1).min()) for b in blocks]
    best = min(sum(costs[i] for i in chosen) for chosen in combinations(range(6), shared))
    assert mine <= best + 1e-9
    # Keeping the signs is part of being nearest.
    assert (np.sign(found.numpy()) == np.sign(weight.numpy())).all()


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**32), st.integers(0, 5))
def test_no_other_blocks_are_cheaper_to_make_zero(seed: int, zero: int) -> None:
    weight = torch.tensor(np.random.default_rng(seed).standard_normal((2, 1, 12)))
    projection = Projection({"a": weight}, (1, 4))
    found = projection({"a": weight}, shared=0, zero=zero)["a"](weight)
    scale = projection.scales["a"][:, None]
    norms = sorted((weight[:, 0] / scale).square().reshape(6, 4).sum(1).tolist())
    assert float(((found - weight)[:, 0] / scale).square().sum()) == pytest.approx(
        sum(norms[:zero]), abs=1e-9
    )
    assert int((found == 0).sum()) == 4 * zero


def test_a_block_has_one_magnitude_that_learns_and_fixed_signs() -> None:
    kinds = torch.tensor([[SHARED, ZERO, FREE]])
    weight = nn.Parameter(torch.tensor([[[2.0, -4.0, 1.0, 1.0, 5.0, -7.0]]]))
    held = Unified(kinds, weight.sign(), block_index(1, 6, (1, 2)))
    assert held(weight).tolist() == [[[3.0, -3.0, 0.0, 0.0, 5.0, -7.0]]]
    held(weight).sum().backward()  # the magnitude's own gradient cancels: + and - in one block
    assert weight.grad.tolist() == [[[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]]]
    weight.grad = None
    held(weight)[0, 0, 0].backward()
    assert weight.grad.tolist() == [[[0.5, -0.5, 0.0, 0.0, 0.0, 0.0]]]
    folded = held(weight).detach() * -0.5
    again = held.rescaled(folded)
    torch.testing.assert_close(again(folded), folded, rtol=1e-6, atol=0)
    magnitudes = again(folded + torch.randn(1, 1, 6))[0, 0].abs()
    assert magnitudes[0] == magnitudes[1]
    assert magnitudes[2:4].tolist() == [0, 0]


class Constant(nn.Module):
    """No task: only the penalty pulls."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return x.sum() * 0


def test_admm_follows_its_formulas() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 2, 4, bias=False), nn.Conv1d(2, 1, 1))
    layers = covered_layers(net, "test", head=False)
    weight = net[0].weight.detach().clone()
    projection = Projection(read_weights(layers), (1, 2))
    admm = Admm(Constant(net), layers, projection, shared=3, zero=0, rho=8.0, every=2).train()
    x = torch.ones(1)

    def p(v: Tensor) -> Tensor:
        return projection({"0": v}, shared=3, zero=0)["0"](v)

    def penalty(w: Tensor, z: Tensor, u: Tensor) -> float:
        gap = (w - z + u).flatten(1) / projection.scales["0"][:, None]
        return float(8.0 / 2 * gap.square().mean())

    z, u = p(weight), weight - p(weight)  # updated at the first step, with U = 0
    assert float(admm(x).detach()) == pytest.approx(penalty(weight, z, u), rel=1e-5)
    with torch.no_grad():
        net[0].weight += 0.1
    moved = weight + 0.1
    assert float(admm(x).detach()) == pytest.approx(penalty(moved, z, u), rel=1e-5)
    v = moved + u  # third step: updated again
    z, u = p(v), v - p(v)
    assert float(admm(x).detach()) == pytest.approx(penalty(moved, z, u), rel=1e-5)
    assert float(admm.eval()(x).detach()) == pytest.approx(penalty(moved, z, u), rel=1e-5)
    assert int(admm.steps) == 3


def test_admm_brings_the_weights_to_the_structure_while_it_learns(
    unified: tuple[EvidenceNet, Compressed, Budget],
) -> None:
    _, done, _ = unified
    start, hard = (row["distance"] for row in done.log if row["event"] in ("admm", "unified"))
    assert hard < 0.75 * start  # without the penalty it stays where it was
    validated = [row for row in done.log if row["event"] == "validated"]
    assert [row["step"] for row in validated] == [30, 30]
    assert validated[1]["loss"] < 0.7


def test_admms_state_is_in_its_checkpoint(tmp_path: Path) -> None:
    teacher = lively(SPEC)
    retraining = make_retraining(teacher, steps=6)
    found = []
    for name, runs in (("whole", (None,)), ("cut", (3, None))):
        for stop in runs:
            net = lively(SPEC, seed=1)
            layers = covered_layers(net, "test", head=False)
            projection = Projection(read_weights(layers), (8, 1))

            def wrap(objective: nn.Module, layers=layers, projection=projection) -> nn.Module:
                return Admm(objective, layers, projection, shared=90, zero=9, rho=30.0, every=2)

            def cut(step: int, _steps: int, _figures: dict, stop: int | None = stop) -> None:
                if step == stop:
                    raise KeyboardInterrupt

            try:
                schedule = retraining.schedule.__class__(6, 8, 3e-3, validate_every=3)
                retraining.run(
                    net, schedule=schedule, wrap=wrap, checkpoint=tmp_path / name, report=cut
                )
            except KeyboardInterrupt:
                continue
        found.append(net.state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_the_budget_is_met_and_used(unified: tuple[EvidenceNet, Compressed, Budget]) -> None:
    _, done, budget = unified
    assert done.size == weight_account(done.net)
    assert 0.95 * budget.packed_bytes < done.size.packed_bytes <= budget.packed_bytes


def test_blocks_are_exact_in_int8_and_packed_as_such(
    unified: tuple[EvidenceNet, Compressed, Budget],
) -> None:
    _, done, _ = unified
    tensors = int8_weights(done.net)
    held = find_constraints(done.net)
    shared = 0
    for where, constraint in held.items():
        tensor = (
            tensors[where.partition(":")[0]].transpose(0, 2, 1).reshape(len(constraint.kinds), -1)
        )
        for block in range(constraint.kinds.shape[1]):
            inside = np.abs(tensor[:, constraint.index.flatten() == block].astype(int))
            same = (inside == inside[:, :1]).all(axis=1)
            assert same[constraint.kinds[:, block] == SHARED].all()
            assert (inside[constraint.kinds[:, block] == ZERO] == 0).all()
        shared += int((constraint.kinds == SHARED).sum())
    assert shared == [row for row in done.log if "shared" in row][-1]["shared"]
    big = max(held, key=lambda where: held[where].kinds.numel()).partition(":")[0]
    assert name_coding(encode_tensor(tensors[big])) == "shared magnitude"


def test_blocks_become_zero_only_where_sharing_is_not_enough(
    unified: tuple[EvidenceNet, Compressed, Budget],
) -> None:
    net, done, _ = unified
    assert [row["zero"] for row in done.log if "zero" in row] == [0] * 2
    small = Budget(weight_account(net).packed_bytes // 5)
    method, layers = UnifyWeights(), covered_layers(net, "test", head=False)
    counts = method._counts_within(net, layers, small.packed_bytes)
    assert counts["zero"] > 0
    assert counts["shared"] + counts["zero"] == Projection(read_weights(layers), (8, 1)).blocks
    fixed = UnifyWeights(prune_share=0.5)._counts_within(net, layers, small.packed_bytes * 2)
    blocks = Projection(read_weights(layers), (8, 1)).blocks
    assert fixed["zero"] == round(blocks / 2)
    assert fixed["shared"] < blocks - fixed["zero"]


def test_a_users_own_network_is_unified() -> None:
    net = OwnNet()
    budget = Budget(weight_account(net).packed_bytes // 2)
    done = UnifyWeights(block=(4, 1))(net, build_own_retraining(OwnNet(seed=1)), budget)
    assert done.size.packed_bytes <= budget.packed_bytes
    assert set(find_constraints(net)) == {"stem.0:weight", "body.0:weight", "middle:weight"}


def test_what_cannot_be_unified_is_refused_before_any_training() -> None:
    net = lively(SPEC)
    with pytest.raises(ModelError, match=r"unify-weights cannot reach 588 .* is \d+"):
        UnifyWeights()(net, forbid_training(), Budget(600))
    with pytest.raises(ModelError, match="cannot reach"):
        UnifyWeights(prune_share=0.0)(net, forbid_training(), Budget(1200))
    layers = {"a": (net.backbone[0].conv, "weight")}
    impose_all(layers, UnifyWeights()._projection(layers)(read_weights(layers), shared=1, zero=0))
    with pytest.raises(ModelError, match="held by 'unified' already"):
        UnifyWeights().check(net)


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"block": (1, 1)}, r"block is \(1, 1\), expected .* 2 weights or more"),
        ({"block": (3, 1)}, r"block is \(3, 1\), expected .* one of \(1, 2, 4, 8, 16\)"),
        ({"prune_share": 1.0}, "prune_share is 1.0"),
        ({"admm": 0.0}, "admm is 0.0"),
        ({"rho": 0.0}, "rho 0.0"),
    ],
)
def test_settings_are_checked(given_settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        UnifyWeights(**given_settings)

"""Permuted diagonal blocks: the constraint, the method, and what the device runs of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from beatlens.compression import permuted_blocks
from beatlens.compression.contract import Budget, run_steps
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.permuted_blocks import BlockWeights, PermutedBlocks
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import int8_weights, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.integer.graph import Convolution
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import (
    Mask,
    constraint_on,
    describe_constraints,
    find_constraints,
    impose,
    impose_described,
    trained_tensor,
)
from beatlens.nets.evidence import EvidenceNet

from ..nets.networks import lively
from .retrainings import make_retraining

pytestmark = pytest.mark.rounding
DENSE = NetworkSpec("dense", (4, 8, 12), (8, 8, 12), (2, 2, 2))
RESIDUAL = NetworkSpec("residual", (4, 8, 8), (8, 5, 5), (2, 4, 1))
AMPLE = Budget(10**9)


class Own(nn.Module):
    """A user's own residual network: no evidence net, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 8, 9, stride=4)
        self.inner = nn.Conv1d(8, 8, 5, padding=2)
        self.hidden = nn.Linear(8, 12)
        self.out = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.stem(x))
        y = torch.relu(y + self.inner(y))
        return self.out(torch.relu(self.hidden(y.mean(2))))


@st.composite
def constraints(draw: st.DrawFn) -> PermutedBlocks:
    groups = draw(st.integers(1, 4))
    out, inputs = (groups * draw(st.integers(1, 4)) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    rows, columns = (torch.from_numpy(rng.permutation(n)) for n in (out, inputs))
    return PermutedBlocks(rows, columns, groups)


@settings(max_examples=50, deadline=None)
@given(constraints(), st.integers(1, 5))
def test_what_is_stored_is_every_weight_in_use_and_nothing_else(
    constraint: PermutedBlocks, kernel: int
) -> None:
    rows, columns, groups = constraint.rows, constraint.columns, int(constraint.groups)
    out, inputs = len(rows), len(columns)
    weight = torch.rand(out, inputs, kernel) + 0.5
    used = constraint(weight)
    assert int((used != 0).sum()) == out * inputs * kernel // groups
    stored = constraint.stored(used)
    assert stored.shape == (out, inputs // groups, kernel)
    assert (stored != 0).all()
    # The very sums of a convolution: grouped, between the two permutations.
    x = torch.randn(2, inputs, kernel + 3)
    whole = nn.functional.conv1d(x, used)
    grouped = nn.functional.conv1d(x[:, columns], stored, groups=groups)
    torch.testing.assert_close(grouped[:, torch.argsort(rows)], whole)


def test_it_is_the_papers_mask() -> None:
    # M = P1 blockdiag(1) P2, with permutation matrices written out.
    rows, columns = torch.tensor([4, 0, 3, 1, 5, 2]), torch.tensor([2, 0, 3, 1])
    constraint = PermutedBlocks(rows, columns, 2)
    p1, p2 = torch.eye(6)[rows].T, torch.eye(4)[columns]
    block_diagonal = torch.block_diag(torch.ones(3, 2), torch.ones(3, 2))
    assert torch.equal(constraint.mask(), p1 @ block_diagonal @ p2)


def test_weights_outside_the_blocks_learn_nothing_and_rescaling_keeps_the_blocks() -> None:
    constraint = PermutedBlocks(torch.tensor([1, 3, 0, 2]), torch.tensor([2, 1, 0, 3]), 2)
    conv = nn.Conv1d(4, 4, 3)
    impose(conv, constraint)
    conv(torch.randn(2, 4, 9)).square().sum().backward()
    gradient = trained_tensor(conv).grad
    assert torch.equal(gradient != 0, constraint.mask().bool()[:, :, None].expand_as(gradient))
    factor = torch.tensor([2.0, -1, 0.5, 3])[:, None, None]
    again = constraint.rescaled(conv.weight * factor)
    torch.testing.assert_close(again(conv.weight * factor), conv.weight * factor)


def test_it_is_read_back_from_its_description() -> None:
    net = nn.Sequential(nn.Conv1d(4, 6, 3), nn.Linear(5, 10))
    impose(net[0], PermutedBlocks(torch.randperm(6), torch.randperm(4), 2))
    impose(net[1], PermutedBlocks(torch.randperm(10), torch.randperm(5), 5))
    described = describe_constraints(net)
    other = nn.Sequential(nn.Conv1d(4, 6, 3), nn.Linear(5, 10))
    impose_described(other, described)
    other.load_state_dict(net.state_dict())
    for name, tensor in int8_weights(net).items():
        np.testing.assert_array_equal(int8_weights(other)[name], tensor)
    assert int8_weights(net)["0"].shape == (6, 3, 2)
    assert int8_weights(net)["1"].shape == (10, 1, 1)


@pytest.mark.parametrize(
    ("rows", "columns", "groups", "reason"),
    [
        ([0, 1, 1, 3], [0, 1], 2, r"rows are \[0, 1, 1, 3\], expected a permutation"),
        ([0, 1], [1, 2], 2, r"columns are \[1, 2\], expected a permutation"),
        ([[0, 1]], [0, 1], 2, "rows are"),
        ([0, 1, 2], [0, 1], 2, "2 blocks of 3 output and 2 input channels"),
        ([0, 1], [0, 1], 0, "0 blocks of 2"),
    ],
)
def test_what_is_no_permutation_or_does_not_divide_is_refused(
    rows: list[int], columns: list[int], groups: int, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        PermutedBlocks(torch.tensor(rows), torch.tensor(columns), groups)


def compressed(spec: NetworkSpec, method: BlockWeights, steps: int = 6) -> EvidenceNet:
    teacher = lively(spec)
    net = copy.deepcopy(teacher)
    return method(net, make_retraining(teacher, steps=steps), AMPLE).net


@pytest.mark.parametrize("share", [True, False])
def test_blocks_of_one_stream_agree_where_they_share_it(share: bool) -> None:
    net = compressed(RESIDUAL, BlockWeights(groups=4, share=share), steps=1)
    first, second = (net.backbone[i].second.conv for i in (1, 2))
    rows = [constraint_on(layer).rows.tolist() for layer in (first, second)]
    assert (rows[0] == rows[1]) == share


@pytest.mark.parametrize("spec", [DENSE, RESIDUAL], ids=["dense", "residual"])
@pytest.mark.parametrize(
    "method",
    [
        BlockWeights(groups=4),
        BlockWeights(groups=4, choice="random"),
        BlockWeights(groups=4, choice="random", start="fresh"),
    ],
    ids=["magnitude", "random", "fresh"],
)
def test_it_trains_within_the_blocks(spec: NetworkSpec, method: BlockWeights) -> None:
    teacher = lively(spec)
    net = copy.deepcopy(teacher)
    before = {name: c.weight.detach().clone() for name, c in _convs(net).items()}
    done = method(net, make_retraining(teacher, steps=6), AMPLE)
    covered = find_constraints(done.net)
    wanted = set(before) - {"backbone.0.conv", "head"}
    assert {name.partition(":")[0] for name in covered} == wanted
    for name, conv in _convs(done.net).items():
        constraint = constraint_on(conv)
        part = before[name] if constraint is None else constraint(before[name])
        assert not torch.allclose(conv.weight, part, atol=1e-4)  # it was trained
        if constraint is not None:
            assert int(constraint.groups) == 4
            outside = constraint.mask()[:, :, None] == 0
            assert not conv.weight[outside.expand_as(conv.weight)].any()
    rows = [row for row in done.log if row["event"] == "blocks"]
    assert {row["layer"] for row in rows} == wanted
    assert all(row["weights"] * 4 == row["of"] and 0 < row["kept_energy"] < 1 for row in rows)
    assert [row["step"] for row in done.log if row["event"] == "validated"] == [6]
    ends = sum(c.weight.numel() for n, c in _convs(net).items() if n not in wanted)
    assert done.size.weights == ends + sum(before[n].numel() for n in wanted) // 4
    assert done.size == weight_account(done.net)


def _convs(net: nn.Module) -> dict[str, nn.Conv1d]:
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv1d)}


def test_magnitudes_keep_more_of_the_network_than_chance() -> None:
    kept = {}
    for choice in ("magnitude", "random"):
        teacher = lively(RESIDUAL)
        method = BlockWeights(groups=4, choice=choice)
        log = method(copy.deepcopy(teacher), make_retraining(teacher, steps=1), AMPLE).log
        kept[choice] = np.mean([r["kept_energy"] for r in log if r["event"] == "blocks"])
    assert kept["random"] == pytest.approx(0.25, abs=0.05)
    assert kept["magnitude"] > kept["random"] + 0.05


def test_equal_seeds_choose_equally_and_others_do_not() -> None:
    def rows(seed: int) -> list[int]:
        net = compressed(DENSE, BlockWeights(groups=4, choice="random", seed=seed), steps=1)
        return constraint_on(net.backbone[2].conv).rows.tolist()

    assert rows(0) == rows(0) != rows(1)


def test_the_number_of_blocks_comes_from_the_budget() -> None:
    teacher = lively(DENSE)
    retraining = make_retraining(teacher, steps=1)
    by_hand = {}
    for groups in (2, 4):
        net = copy.deepcopy(teacher)
        done = BlockWeights(groups=groups, choice="random")(net, retraining, AMPLE)
        by_hand[groups] = done.size.packed_bytes
    dense = weight_account(teacher).packed_bytes
    assert by_hand[4] < by_hand[2] < dense
    between = Budget((by_hand[2] + by_hand[4]) // 2)
    for budget, groups in ((Budget(int(by_hand[2] * 1.05)), 2), (between, 4)):
        done = BlockWeights(choice="random")(copy.deepcopy(teacher), retraining, budget)
        assert {r["groups"] for r in done.log if r["event"] == "blocks"} == {groups}
        assert done.size.packed_bytes <= budget.packed_bytes
    left = BlockWeights()(copy.deepcopy(teacher), retraining, Budget(2 * dense))
    assert [row["event"] for row in left.log] == ["fits"]
    assert not find_constraints(left.net)
    with pytest.raises(
        ModelError, match=r"cannot reach 294 packed bytes .* the smallest it reaches alone is 6"
    ):
        BlockWeights()(copy.deepcopy(teacher), retraining, Budget(300))


def test_each_layer_takes_the_most_blocks_that_divide_it() -> None:
    spec = replace(DENSE, channels=(4, 6, 9))  # 4 -> 6 -> 9: two blocks, three blocks
    net = compressed(spec, BlockWeights(groups=4), steps=1)
    found = [int(constraint_on(net.backbone[i].conv).groups) for i in (1, 2)]
    assert found == [2, 3]


def test_channels_that_were_not_followed_are_a_layers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Channels are named after a layer that writes them; what that layer reads is another thing.
    followed = {("backbone.1.conv", "rows"): "backbone.1.conv"}
    followed["backbone.2.conv", "columns"] = "backbone.1.conv"
    monkeypatch.setattr(permuted_blocks, "shared_channels", lambda net, x: followed)
    net = compressed(DENSE, BlockWeights(groups=4), steps=1)
    assert [len(constraint_on(net.backbone[i].conv).columns) for i in (1, 2)] == [4, 8]


def test_a_users_own_network_is_covered_too() -> None:
    torch.manual_seed(0)
    net, teacher = Own(), lively(DENSE)
    retraining = make_retraining(teacher, steps=4)

    class Objective(nn.Module):
        def __init__(self, student: nn.Module) -> None:
            super().__init__()
            self.student = student

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.student(x) - teacher(x).detach()).square().mean()

    retraining = replace(retraining, objective=Objective)
    before = weight_account(net).weights
    done = run_steps(net, [BlockWeights(groups=4)], retraining, AMPLE)
    assert set(find_constraints(done.net)) == {"inner:weight", "hidden:weight"}
    assert done.size.weights == before - 3 * (8 * 8 * 5 + 8 * 12) // 4
    assert done.net(torch.randn(2, 1, 100)).shape == (2, 4)


def test_what_it_cannot_cover_is_refused_before_any_training() -> None:
    odd = lively(replace(DENSE, channels=(4, 7, 9)))
    with pytest.raises(ModelError, match="no layer of the EvidenceNet can have blocks"):
        BlockWeights().check(odd)
    with pytest.raises(ModelError, match="between 2 and 4"):
        BlockWeights(groups=4).check(lively(replace(DENSE, channels=(4, 7, 49))))
    with pytest.raises(ModelError, match="no layer"):
        BlockWeights().check(nn.Sequential(nn.ReLU()))
    net = lively(DENSE)
    impose(net.backbone[1].conv, Mask(torch.ones(8, 4, 8)))
    with pytest.raises(ModelError, match=r"'backbone\.1\.conv' are held by 'mask' already"):
        BlockWeights(groups=2).check(net)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"groups": 1}, "groups are 1"),
        ({"choice": "best"}, "choice is 'best'"),
        ({"start": "over"}, "start is 'over'"),
        ({"start": "fresh"}, "magnitudes of fresh weights"),
    ],
)
def test_settings_that_mean_nothing_are_refused(bad: dict, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        BlockWeights(**bad)


@pytest.mark.parametrize("spec", [DENSE, RESIDUAL], ids=["dense", "residual"])
def test_multiply_accumulates_and_stored_weights_fall_by_the_number_of_blocks(
    spec: NetworkSpec,
) -> None:
    teacher = lively(spec)
    net = compressed(spec, BlockWeights(groups=4), steps=2)
    inputs = [torch.randn(4, 1, net.geometry.input_length(20)).cumsum(2) * 0.1]
    graphs = []
    for each in (teacher, net):
        quantized = QuantizedEvidenceNet(each)
        quantized.calibrate(inputs)
        graphs.append(build_graph(quantized, 8 * 20))
    ends = sum(
        graphs[0].tensors[op.output].length * op.taps.size
        for op in graphs[0].ops
        if isinstance(op, Convolution) and op.name in ("conv0", "evidence")
    )
    assert (graphs[1].macs - ends) * 4 == graphs[0].macs - ends
    weights = [op.weights.size for op in graphs[1].ops if isinstance(op, Convolution)]
    assert sum(weights) == weight_account(net).weights
    stored = int8_weights(QuantizedEvidenceNet(net))
    shipped = [op.weights for op in graphs[1].ops if getattr(op, "groups", 1) > 1]
    # In another order where a shortcut is run after the block's two convolutions, hence as a set.
    blocks = {t.tobytes() for name, t in stored.items() if name not in ("backbone.0", "head")}
    assert {weights.tobytes() for weights in shipped} == blocks

"""Kernel quantisation: cutting, k-means, codes on their grid, trained parts, and the budget."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from beatlens.compression.contract import Budget, Compressed
from beatlens.compression.kernel_codebook import (
    CODE_MAX,
    Coded,
    CodeKernels,
    choose_segment,
    k_means,
    make_gains_positive,
    nearest,
    split_vectors,
    weights_from,
)
from beatlens.compression.low_bit import LowBitWeights
from beatlens.compression.size import int8_weights, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import constraint_on, find_constraints, impose
from beatlens.nets.evidence import ConvUnit, EvidenceNet
from beatlens.packed import encode_tensor, name_coding

from ..nets.networks import SMALL, lively
from .own_net import OwnNet, build_own_retraining, forbid_training
from .retrainings import make_retraining

pytestmark = pytest.mark.rounding
SPEC = NetworkSpec("dense", (8, 24, 32), (8, 8, 9), (2, 4, 1))


@pytest.fixture(scope="module")
def coded() -> tuple[EvidenceNet, Compressed, Budget]:
    """A network, what coding into a third of its bytes left, and the budget."""
    net = lively(SPEC)
    budget = Budget(weight_account(net).packed_bytes // 3)
    done = CodeKernels()(copy.deepcopy(net), make_retraining(net, steps=60), budget)
    return net, done, budget


@pytest.mark.parametrize(
    ("shape", "split", "pointwise", "segment"),
    [
        ((8, 12), None, 1, (1, 12)),
        ((8, 12), 8, 1, (1, 6)),
        ((8, 9), 8, 1, (1, 3)),
        ((8, 7), 4, 1, (1, 7)),  # a prime: whole, not tap by tap
        ((18, 1), 4, 4, (3, 1)),
        ((18, 1), 4, 1, (1, 1)),
    ],
)
def test_kernels_are_cut_into_equal_parts(
    shape: tuple[int, int], split: int | None, pointwise: int, segment: tuple[int, int]
) -> None:
    assert choose_segment(*shape, split, pointwise) == segment
    weight = torch.randn(5, *shape)
    vectors = split_vectors(weight, segment)
    assert vectors.shape == (5, weight[0].numel() // np.prod(segment), np.prod(segment))
    wide, high = segment
    torch.testing.assert_close(vectors[2, 0], weight[2, :wide, :high].flatten(), rtol=0, atol=0)
    assert torch.equal(weights_from(vectors, segment, weight.shape), weight)


def test_linear_layers_are_cut_too() -> None:
    weight = torch.randn(4, 6)
    assert torch.equal(weights_from(split_vectors(weight, (3, 1)), (3, 1), weight.shape), weight)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**32), st.integers(2, 8))
def test_k_means_ends_at_means_of_what_is_nearest(seed: int, count: int) -> None:
    vectors = torch.tensor(np.random.default_rng(seed).standard_normal((40, 3)))
    codes = k_means(vectors, count)
    index = nearest(vectors, codes)
    by_hand = (vectors[:, None] - codes).square().sum(2).argmin(1)
    assert torch.equal(index, by_hand)

    def error(codes: torch.Tensor) -> float:
        return float((vectors[:, None] - codes).square().sum(2).amin(1).sum())

    assert error(codes) < error(vectors.mean(0, keepdim=True))
    start = vectors[torch.randperm(40, generator=torch.Generator().manual_seed(0))[:count]]
    assert error(codes) <= error(start)


def test_an_empty_code_moves_to_a_vector_far_from_all() -> None:
    vectors = torch.tensor([[0.0], [0.0], [0.0], [0.0], [7.0]])
    assert sorted(k_means(vectors, 2).flatten().tolist()) == [0.0, 7.0]


def test_weights_are_codes_times_the_channels_scale() -> None:
    weight = torch.randn(6, 8, 4)
    held = Coded.fitted(weight, 5, (1, 4))
    whole = held.whole().detach()
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-5)
    assert whole.abs().max() == CODE_MAX
    steps = held.steps(weight)[:, None, None]
    integers = held(weight).detach() / steps
    torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-4)
    rows = {tuple(row) for row in integers.round().reshape(-1, 4).tolist()}
    assert rows <= {tuple(row) for row in whole.round().tolist()}
    assert len(rows) == 5


def test_codes_scales_and_weights_learn_and_kernels_change_their_code() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 8, 4))
    held = Coded.fitted(weight, 6, (1, 4)).train()
    upstream = torch.randn(4, 8, 4)
    (held(weight) * upstream).sum().backward()
    torch.testing.assert_close(weight.grad, upstream)  # straight through
    scale = held.scale.detach()
    expected = torch.zeros(6, 4).index_add(
        0, held.index.flatten(), (upstream * scale[:, None, None]).reshape(-1, 4)
    )
    free = held.whole().abs() < CODE_MAX
    torch.testing.assert_close(held.codes.grad[free], expected[free], rtol=1e-4, atol=1e-5)
    values = held(weight).detach()
    gradient = (values * upstream).sum(dim=(1, 2))  # of the scale's logarithm
    torch.testing.assert_close(held.log_scale.grad, gradient, rtol=1e-4, atol=1e-5)
    before = held.index.clone()
    with torch.no_grad():
        weight[0, 0] = held.codes[(before[0, 0] + 1) % 6] * scale[0]
    held.eval()(weight)
    assert torch.equal(held.index, before)  # only training moves kernels
    held.train()(weight)
    assert held.index[0, 0] == (before[0, 0] + 1) % 6


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**32))
def test_a_rescaled_codebook_holds_the_rescaled_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = torch.tensor(rng.standard_normal((4, 6, 5)), dtype=torch.float32)
    held = Coded.fitted(weight, 7, (1, 5))
    gains = torch.tensor(rng.uniform(0.1, 3, 4) * rng.choice([-1, 1], 4), dtype=torch.float32)
    folded = held(weight).detach() * gains[:, None, None]
    again = held.rescaled(folded)
    torch.testing.assert_close(again(folded), folded, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(again.steps(folded), held.steps(weight) * gains.abs())


def test_fewer_codes_keep_those_that_are_used_most() -> None:
    weight = torch.randn(6, 8, 4)
    held = Coded.fitted(weight, 10, (1, 4))
    used = torch.bincount(held.index.flatten(), minlength=10)
    fewer = held.fewer(weight, 4)
    assert len(fewer.codes) == 4
    kept = {tuple(code) for code in fewer.codes.tolist()}
    assert kept == {
        tuple(c) for c in held.codes[used.argsort(descending=True, stable=True)[:4]].tolist()
    }
    vectors = split_vectors(weight, (1, 4)) / fewer.scale.detach()[:, None, None]
    distance = (vectors[:, :, None] - (fewer.whole() * fewer.grid).detach()).square().sum(-1)
    assert torch.equal(fewer.index, distance.argmin(-1))


@torch.no_grad()
def test_gains_are_turned_positive_and_the_network_stays_what_it_is() -> None:
    net = lively(SMALL["residual"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight[::2] *= -1
    x = torch.randn(2, 1, 300)
    before, training = net(x), copy.deepcopy(net).train()(x)
    make_gains_positive(net)
    assert all((m.weight >= 0).all() for m in net.modules() if isinstance(m, nn.BatchNorm1d))
    torch.testing.assert_close(net(x), before, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(copy.deepcopy(net).train()(x), training, rtol=1e-5, atol=1e-5)


def test_the_budget_is_met_and_used(coded: tuple[EvidenceNet, Compressed, Budget]) -> None:
    _, done, budget = coded
    assert done.size == weight_account(done.net)
    assert 0.93 * budget.packed_bytes < done.size.packed_bytes <= budget.packed_bytes


def test_int8_tensors_consist_of_six_bit_codes(
    coded: tuple[EvidenceNet, Compressed, Budget],
) -> None:
    _, done, _ = coded
    held = find_constraints(done.net)
    assert set(held) == {"backbone.1.conv:weight", "backbone.2.conv:weight"}
    bits = weights = 0
    for where, constraint in held.items():
        tensor = int8_weights(done.net)[where.partition(":")[0]]
        assert np.abs(tensor).max() <= CODE_MAX
        rows = {tuple(row) for row in tensor.transpose(0, 2, 1).reshape(-1, tensor.shape[1])}
        codes = {tuple(row) for row in constraint.whole().detach().round().int().tolist()}
        assert rows <= codes
        packed = encode_tensor(tensor)
        assert name_coding(packed) == "codebook"
        bits, weights = bits + 8 * len(packed), weights + tensor.size
    last = done.log[-1]
    assert (last["event"], last["covered"]) == ("done", weights)
    assert last["bits_per_weight"] == pytest.approx(bits / weights)
    assert last["bits_per_weight"] < 3


def test_training_makes_the_codebook_better_than_k_means_left_it() -> None:
    torch.manual_seed(0)
    target, x = torch.randn(16, 12, 8), torch.randn(64, 12, 8) * torch.rand(12, 1).square() * 3
    conv = nn.Conv1d(12, 16, 8, bias=False)
    with torch.no_grad():
        conv.weight.copy_(target)
    impose(conv, Coded.fitted(conv.weight, 24, (1, 8)))
    held = constraint_on(conv).train()
    begun = copy.deepcopy(held.state_dict())
    optimizer = torch.optim.Adam(conv.parameters(), 5e-3)
    losses = []
    for _ in range(150):
        loss = (conv(x) - nn.functional.conv1d(x, target)).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    for name in ("codes", "log_scale", "index"):
        assert not torch.equal(held.state_dict()[name], begun[name]), name
    whole = conv.weight.detach() / held.steps(conv.weight)[:, None, None]
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-4)
    assert whole.abs().max() < CODE_MAX + 0.5


def test_split_kernels_and_single_taps() -> None:
    net = lively(NetworkSpec("depthwise", (16, 16, 24), (8, 8, 8), (2, 2, 2)))
    budget = Budget(weight_account(net).packed_bytes * 7 // 8)
    done = CodeKernels()(net, make_retraining(lively(SPEC, classes=net.classes), steps=4), budget)
    assert done.size.packed_bytes <= budget.packed_bytes
    # Pointwise layers only: the first and the depthwise layers have too few kernels.
    assert set(find_constraints(net)) == {"backbone.2.conv:weight", "backbone.4.conv:weight"}
    held = constraint_on(net.backbone[4].conv)
    assert held.segment.tolist() == [4, 1]
    runs = int8_weights(net)["backbone.4.conv"].reshape(-1, 4)
    codes = held.whole().detach().round().int().tolist()
    assert {tuple(run) for run in runs.tolist()} <= {tuple(code) for code in codes}
    single = lively(SMALL["depthwise"])
    single.backbone[4] = ConvUnit(6, 24, 1)
    layers = CodeKernels(pointwise=1)._layers(single)
    assert list(layers) == ["backbone.4.conv"]
    dense = lively(SPEC)
    done = CodeKernels(split=4)(
        dense,
        make_retraining(lively(SPEC), steps=2),
        Budget(weight_account(dense).packed_bytes // 2),
    )
    assert constraint_on(dense.backbone[1].conv).codes.shape[1] == 4
    assert constraint_on(dense.backbone[2].conv).codes.shape[1] == 3
    with pytest.raises(ModelError, match="no layer has 64 kernels"):
        CodeKernels(pointwise=0).check(lively(SMALL["depthwise"]))


def test_a_users_own_network_is_coded() -> None:
    net = OwnNet()
    budget = Budget(weight_account(net).packed_bytes * 2 // 3)
    done = CodeKernels()(net, build_own_retraining(OwnNet(seed=1)), budget)
    assert done.size.packed_bytes <= budget.packed_bytes
    assert set(find_constraints(net)) == {"body.0:weight", "middle:weight"}


def test_what_cannot_be_coded_is_refused_before_any_training() -> None:
    net = lively(SPEC)
    with pytest.raises(ModelError, match=r"code-kernels cannot reach 490 .* is \d+"):
        CodeKernels()(net, forbid_training(), Budget(500))
    with pytest.raises(ModelError, match="no layer has 5000 kernels to share codes, the most are"):
        CodeKernels(fewest=5000).check(net)
    LowBitWeights()(net, make_retraining(lively(SPEC), steps=1), Budget(20_000))
    with pytest.raises(ModelError, match="held by 'low-bit' already"):
        CodeKernels().check(net)


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [({"split": 1}, "split is 1"), ({"fewest": 1}, "fewest is 1"), ({"pointwise": -1}, "-1")],
)
def test_settings_are_checked(given_settings: dict[str, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        CodeKernels(**given_settings)

"""Dynamical isometry: OrthP's matrices, and the Jacobian against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from beatlens.compression.isometry import (
    isometry_figures,
    jacobian_singular_values,
    orthogonalise,
    orthogonalise_pruned,
)
from beatlens.errors import ModelError

from ..nets.networks import SMALL, lively
from .retrainings import crops

pytestmark = pytest.mark.rounding


@pytest.mark.parametrize(("out", "into", "taps"), [(4, 3, 5), (12, 2, 3), (6, 2, 3)])
@pytest.mark.parametrize("gain", [1.0, 2.0**0.5])
def test_rows_or_columns_become_orthonormal_times_the_gain(
    out: int, into: int, taps: int, gain: float
) -> None:
    torch.manual_seed(out)
    conv = nn.Conv1d(into, out, taps)
    orthogonalise(conv, gain)
    rows = conv.weight.detach().flatten(1)
    short = rows if out <= into * taps else rows.T
    torch.testing.assert_close(short @ short.T, gain**2 * torch.eye(len(short)))


def test_the_basis_is_gram_schmidts_of_the_old_weights() -> None:
    # By hand: the first row (3, 4) / 5; of (1, 0) what is orthogonal to it, (0.64, -0.48) / 0.8.
    linear = nn.Linear(2, 2)
    linear.weight.data = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    orthogonalise(linear, 1.0)
    # A square matrix is taken by its columns: (3, 1) / sqrt 10, then (1, -3) / sqrt 10.
    expected = torch.tensor([[3.0, 1.0], [1.0, -3.0]]) / 10**0.5
    torch.testing.assert_close(linear.weight.detach(), expected)
    wide = nn.Linear(3, 2)
    wide.weight.data = torch.tensor([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]])
    orthogonalise(wide, 1.0)
    expected = torch.tensor([[0.6, 0.8, 0.0], [0.8, -0.6, 0.0]])
    torch.testing.assert_close(wide.weight.detach(), expected)


def test_orthogonal_weights_stay() -> None:
    linear = nn.Linear(3, 3)
    nn.init.orthogonal_(linear.weight)
    before = linear.weight.detach().clone()
    orthogonalise(linear, 1.0)
    torch.testing.assert_close(linear.weight.detach(), before)


def test_depthwise_filters_keep_their_direction() -> None:
    conv = nn.Conv1d(3, 3, 5, groups=3)
    before = conv.weight.detach().clone()
    orthogonalise(conv, 2.0)
    expected = 2 * before / before.norm(dim=2, keepdim=True)
    torch.testing.assert_close(conv.weight.detach(), expected)


def test_only_named_layers_change_and_the_last_gets_gain_one() -> None:
    net = lively(SMALL["dense"])
    before = net.backbone[0].conv.weight.detach().clone()
    orthogonalise_pruned(net, ["backbone.1.conv", "head"], ["head"])
    assert torch.equal(net.backbone[0].conv.weight, before)
    for layer, gain in ((net.backbone[1].conv, 2.0), (net.head, 1.0)):
        values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
        torch.testing.assert_close(values**2, torch.full_like(values, gain))


@pytest.mark.parametrize("of", ["evidence", "logits"])
def test_singular_values_are_those_of_finite_differences(of: str) -> None:
    net = lively(SMALL["residual"]).double().train()
    length = net.geometry.input_length(3)
    x = crops(0, 2, length).double()
    found = jacobian_singular_values(net, x, of=of)
    assert net.training  # and the running statistics were left alone, or the next lines differ
    net.eval()
    output = net.evidence if of == "evidence" else net
    h = 1e-6
    steps = h * torch.eye(length, dtype=torch.float64)[:, None]
    for one, values in zip(x, found, strict=True):
        with torch.no_grad():
            columns = (output(one + steps) - output(one - steps)).flatten(1) / (2 * h)
        expected = np.linalg.svd(columns.numpy(), compute_uv=False)
        np.testing.assert_allclose(values.numpy(), expected[: len(values)], rtol=1e-5, atol=1e-8)
    assert found.shape == (2, 3 * len(net.classes) if of == "evidence" else len(net.classes))


def test_the_logs_figures_are_of_the_middle_columns() -> None:
    net = lively(SMALL["dense"])
    x = crops(0, 3)
    length = net.geometry.input_length(2)
    first = (x.shape[2] - length) // 2
    values = jacobian_singular_values(net, x[:, :, first : first + length])
    figures = isometry_figures(net, x, columns=2)
    assert figures == {
        "jsv_mean": pytest.approx(values.mean().item(), rel=1e-5),
        "jsv_min": pytest.approx(values.min().item(), rel=1e-4),
        "jsv_max": pytest.approx(values.max().item(), rel=1e-5),
    }
    foreign = isometry_figures(nn.Sequential(nn.Flatten(), nn.Linear(400, 2)), x)
    assert 0 < foreign["jsv_min"] <= foreign["jsv_mean"] <= foreign["jsv_max"]


def test_a_jacobian_of_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match="output is 'features', expected evidence or logits"):
        jacobian_singular_values(lively(SMALL["dense"]), crops(0, 1), of="features")
    with pytest.raises(ModelError, match="a Linear has no evidence"):
        jacobian_singular_values(nn.Linear(2, 2), torch.zeros(1, 2))

"""Losses that several objectives share, and the seed of initial weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from beatlens.nets.backbones import build
from beatlens.training.losses import excerpt_logits, known_label_loss, seed_everything

from ..nets.networks import CLASSES, SMALL

pytestmark = pytest.mark.rounding
NAN = float("nan")


@given(
    st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=8, max_size=8),
    st.sampled_from([0.0, 0.1]),
    st.integers(0, 1000),
)
def test_unknown_labels_have_exactly_no_gradient(
    values: list[float], smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(2, 4, generator=generator) * 20).requires_grad_()
    labels = torch.tensor(values).reshape(2, 4)
    loss = known_label_loss(logits, labels, smoothing)
    (gradient,) = torch.autograd.grad(loss, logits)
    known = ~labels.isnan()
    assert torch.isfinite(loss)
    assert (gradient[~known] == 0).all()
    # Where a label is known the gradient is sigmoid(logit) - target over the number known.
    target = labels * (1 - smoothing) + smoothing / 2
    expected = (torch.sigmoid(logits) - target)[known] / max(int(known.sum()), 1)
    torch.testing.assert_close(gradient[known], expected, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_mean_over_the_known_labels() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
    labels = torch.tensor([[1.0, NAN, 0.0], [NAN, NAN, 1.0]])
    known = torch.tensor([[0, 0], [0, 2], [1, 2]]).T
    expected = F.binary_cross_entropy_with_logits(
        logits[known[0], known[1]], labels[known[0], known[1]]
    )
    torch.testing.assert_close(known_label_loss(logits, labels), expected)
    # What the network says where nothing is known does not matter.
    elsewhere = logits.clone()
    elsewhere[0, 1] = 1e4
    assert known_label_loss(elsewhere, labels) == known_label_loss(logits, labels)


def test_nothing_known_is_a_loss_of_zero() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = known_label_loss(logits, torch.full((2, 3), NAN))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_smoothing_moves_the_best_logit_off_infinity() -> None:
    logit = torch.tensor([[3.0]], requires_grad=True)
    known_label_loss(logit, torch.ones(1, 1), smoothing=0.1).backward()
    assert logit.grad.item() == pytest.approx(torch.sigmoid(logit).item() - 0.95, abs=1e-6)


def test_a_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        seed_everything(seed)
        return build(SMALL["dense"], CLASSES).head.weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_an_excerpts_decision_is_the_mean_evidence_of_its_columns() -> None:
    evidence = torch.randn(3, 4, 20)
    bounds = torch.tensor([[[0, 20], [3, 7], [19, 20]]]).repeat(3, 1, 1)
    logits = excerpt_logits(evidence, bounds)
    for index, (first, last) in enumerate(bounds[0].tolist()):
        torch.testing.assert_close(logits[:, index], evidence[:, :, first:last].mean(dim=2))

"""The loss over known labels, and the objective of a network trained alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.tasks.windows.labels import CLASSES, CONTEXT, SPAN
from beatlens.tasks.windows.sampling import CropSampler, Excerpts
from beatlens.tasks.windows.objective import (
    TaskObjective,
    crops_of,
    excerpt_logits,
    known_label_loss,
    seed_everything,
)

from ..nets.networks import SMALL, lively
from ..tasks.tracks import make_track

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


def test_unknown_classes_leave_the_networks_head_alone() -> None:
    net = lively(SMALL["dense"])
    windows = torch.randn(3, CONTEXT + SPAN + CONTEXT)
    labels = torch.tensor([[1.0, 0.0, NAN, NAN]]).repeat(3, 1)
    TaskObjective(net)(windows, labels).backward()
    assert (net.head.weight.grad[2:] == 0).all()
    assert (net.head.bias.grad[2:] == 0).all()
    assert (net.head.weight.grad[:2].abs().sum(1) > 0).all()


def test_the_objective_sees_the_span_with_the_networks_own_context() -> None:
    net = lively(SMALL["dense"])
    windows = torch.randn(2, CONTEXT + SPAN + CONTEXT)
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).repeat(2, 1)
    loss = TaskObjective(net, smoothing=0.0)(windows, labels)
    geometry = net.geometry
    first, last = CONTEXT - geometry.left, CONTEXT + SPAN + geometry.right
    logits = net(windows[:, None, first:last])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels))
    outside = windows.clone()
    outside[:, :first] = 99
    outside[:, last:] = 99
    assert torch.equal(TaskObjective(net, smoothing=0.0)(outside, labels), loss)


def test_a_network_that_needs_more_context_than_crops_have_is_refused() -> None:
    wide = build(NetworkSpec("dense", (2, 2), (520, 2), (8, 1)), CLASSES)
    with pytest.raises(ModelError, match="do not fit windows"):
        TaskObjective(wide)(torch.zeros(1, CONTEXT + SPAN + CONTEXT), torch.zeros(1, 4))


def test_crops_become_tensors() -> None:
    sampler = CropSampler([make_track([(600, "V")])], 0, {"pvc": 1.0})
    windows, labels = crops_of(sampler)(3, 2)
    assert windows.dtype == labels.dtype == torch.float32
    assert torch.equal(windows[0], torch.from_numpy(sampler.crop(3)[0]))
    assert torch.equal(labels[1], torch.from_numpy(sampler.crop(4)[1]))


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


def test_excerpts_teach_where_a_strip_alone_does_not() -> None:
    sampler = CropSampler([make_track([(900, "V")], samples=2000)], 0, {}, excerpts=Excerpts(3))
    windows, labels, bounds, of_excerpts = crops_of(sampler)(0, 4)
    net = lively(SMALL["dense"])
    objective = TaskObjective(net)
    whole = torch.tensor([[[0, SPAN]]]).repeat(4, 1, 1)
    strip = objective(windows, labels)
    torch.testing.assert_close(objective(windows, labels, whole, labels[:, None]), strip)
    assert not torch.isclose(objective(windows, labels, bounds, of_excerpts), strip)
    unknown = torch.full_like(of_excerpts, NAN)
    torch.testing.assert_close(objective(windows, labels, bounds, unknown), strip / 2)


def test_excerpts_of_no_whole_column_are_refused() -> None:
    net = build(NetworkSpec("dense", (2, 2), (9, 3), (5, 1)), CLASSES)
    bounds = torch.tensor([[[0, 160]]])
    with pytest.raises(ModelError, match="stride is 5"):
        TaskObjective(net)(
            torch.zeros(1, CONTEXT + SPAN + CONTEXT), torch.zeros(1, 4), bounds,
            torch.zeros(1, 1, 4),
        )  # fmt: skip

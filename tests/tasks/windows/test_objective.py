"""The supervised loss on windows, with excerpts and without."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.tasks.windows.labels import CONTEXT, SPAN
from beatlens.tasks.windows.objective import WindowObjective
from beatlens.tasks.windows.sampling import Excerpts, WindowSampler
from beatlens.training.crops import make_batches

from ...nets.networks import SMALL, lively
from ..tracks import CLASSES, make_track

pytestmark = pytest.mark.rounding
NAN = float("nan")


def test_unknown_classes_leave_the_networks_head_alone() -> None:
    net = lively(SMALL["dense"])
    windows = torch.randn(3, CONTEXT + SPAN + CONTEXT)
    labels = torch.tensor([[1.0, 0.0, NAN, NAN]]).repeat(3, 1)
    WindowObjective(net)(windows, labels).backward()
    assert (net.head.weight.grad[2:] == 0).all()
    assert (net.head.bias.grad[2:] == 0).all()
    assert (net.head.weight.grad[:2].abs().sum(1) > 0).all()


def test_the_objective_sees_the_span_with_the_networks_own_context() -> None:
    net = lively(SMALL["dense"])
    windows = torch.randn(2, CONTEXT + SPAN + CONTEXT)
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).repeat(2, 1)
    loss = WindowObjective(net, smoothing=0.0)(windows, labels)
    geometry = net.geometry
    first, last = CONTEXT - geometry.left, CONTEXT + SPAN + geometry.right
    logits = net(windows[:, None, first:last])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels))
    outside = windows.clone()
    outside[:, :first] = 99
    outside[:, last:] = 99
    assert torch.equal(WindowObjective(net, smoothing=0.0)(outside, labels), loss)


def test_a_network_that_needs_more_context_than_crops_have_is_refused() -> None:
    wide = build(NetworkSpec("dense", (2, 2), (520, 2), (8, 1)), CLASSES)
    with pytest.raises(ModelError, match="do not fit windows"):
        WindowObjective(wide)(torch.zeros(1, CONTEXT + SPAN + CONTEXT), torch.zeros(1, 4))


def test_excerpts_add_what_a_window_alone_does_not_say() -> None:
    sampler = WindowSampler(
        [make_track([(900, "V")], samples=2000)], CLASSES, 0, {}, excerpts=Excerpts(3)
    )
    windows, labels, bounds, of_excerpts = make_batches(sampler)(0, 4)
    net = lively(SMALL["dense"])
    objective = WindowObjective(net)
    whole = torch.tensor([[[0, SPAN]]]).repeat(4, 1, 1)
    window = objective(windows, labels)
    torch.testing.assert_close(objective(windows, labels, whole, labels[:, None]), window)
    assert not torch.isclose(objective(windows, labels, bounds, of_excerpts), window)
    unknown = torch.full_like(of_excerpts, NAN)
    torch.testing.assert_close(objective(windows, labels, bounds, unknown), window / 2)


def test_excerpts_of_no_whole_column_are_refused() -> None:
    net = build(NetworkSpec("dense", (2, 2), (9, 3), (5, 1)), CLASSES)
    bounds = torch.tensor([[[0, 160]]])
    with pytest.raises(ModelError, match="stride is 5"):
        WindowObjective(net)(
            torch.zeros(1, CONTEXT + SPAN + CONTEXT), torch.zeros(1, 4), bounds,
            torch.zeros(1, 1, 4),
        )  # fmt: skip

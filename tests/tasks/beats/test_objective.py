"""The supervised loss on beats."""

from __future__ import annotations

import pytest
import torch

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.signals.beat_features import TRAINED
from beatlens.tasks.beats.labels import ABSENT, AFTER, BEFORE, UNKNOWN
from beatlens.tasks.beats.objective import BeatObjective, LabelLoss, beat_evidence
from beatlens.tasks.beats.sampling import CROP_CONTEXT
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.training.model import TabledNet

from ..recipes import beat_recipe

pytestmark = pytest.mark.rounding
TASK = beat_recipe().task
CLASSES = tuple(TASK.classes)
LOSS = LabelLoss.build(TASK)
SPEC = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))


def test_a_beats_evidence_is_the_mean_of_its_span() -> None:
    evidence = torch.randn(2, 4, CROP_SPAN // 8)
    found = beat_evidence(evidence, torch.tensor([[100, 500], [403, -1]]), stride=8)
    first, last = (403 // 8) - BEFORE // 8, (403 // 8) + AFTER // 8
    assert torch.allclose(found[1, 0], evidence[1, :, first:last].mean(dim=1), atol=1e-5)


def test_a_stride_that_cuts_a_span_is_refused() -> None:
    with pytest.raises(ModelError, match="stride is 7, expected one that divides"):
        beat_evidence(torch.zeros(1, 4, 100), torch.tensor([[200]]), stride=7)


def test_unknown_beats_have_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, requires_grad=True)
    loss = LOSS(logits, torch.tensor([[1, -1, -1]]))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1:] == 0).all()
    assert logits.grad[0, 0].abs().sum() > 0
    assert LOSS(logits, torch.full((1, 3), -1)).item() == 0


def test_a_beat_that_is_no_s_only_makes_s_less_likely() -> None:
    logits = torch.randn(1, 2, 4, requires_grad=True)
    LOSS(logits, torch.tensor([[ABSENT, UNKNOWN]])).backward()
    assert logits.grad is not None
    grad, s = logits.grad[0, 0], CLASSES.index("s")
    assert grad[s] > 0 > max(grad[c] for c in range(4) if c != s)
    # The other classes stay as likely beside each other as they were.
    rest = [c for c in range(4) if c != s]
    shares = torch.softmax(logits.detach()[0, 0, rest], 0)
    assert torch.allclose(grad[rest] / grad[rest].sum(), shares, atol=1e-5)
    assert (logits.grad[0, 1] == 0).all()
    # One such beat counts as one of a known class.
    sure = torch.tensor([[[0.0, -9.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]]])
    pair = LabelLoss.build(TASK, 0)(sure, torch.tensor([[ABSENT, 2]]))
    alone = LabelLoss.build(TASK, 0)(sure, torch.tensor([[UNKNOWN, 2]]))
    assert pair.item() == pytest.approx(alone.item() / 2, abs=1e-4)


def test_evidence_and_tables_learn_to_tell_beats_apart() -> None:
    torch.manual_seed(0)
    model = TabledNet(build(SPEC, CLASSES), len(TRAINED))
    objective = BeatObjective(model, LOSS)
    windows = torch.randn(8, CROP_SPAN + 2 * CROP_CONTEXT) * 0.05
    peaks = torch.full((8, 2), -1)
    peaks[:, 0], peaks[:, 1] = 300, 600
    labels = torch.tensor([[0, 1], [0, 2]] * 4)
    windows[1::2, CROP_CONTEXT + 580 : CROP_CONTEXT + 620] += 1.0  # the ventricular ones are wide
    features = torch.zeros(8, 2, 7, dtype=torch.int64)
    features[:, 0], features[::2, 1], features[1::2, 1] = 16, 10, 16  # the others early
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        loss = objective(windows, peaks, labels, features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    early = model.tables.array()[0, 10]
    assert early.argmax() == CLASSES.index("s")

"""What networks are taught about beats."""

from __future__ import annotations

import pytest
import torch

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.tasks.beat_sampling import CROP_CONTEXT, CROP_SPAN
from beatlens.tasks.beats import AFTER, BEFORE, CLASSES
from beatlens.training.beat_objective import (
    BeatNet,
    BeatObjective,
    beat_evidence,
    beat_label_loss,
)

SPEC = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))


def test_a_beats_evidence_is_the_mean_of_its_span() -> None:
    evidence = torch.randn(2, 4, CROP_SPAN // 8)
    found = beat_evidence(evidence, torch.tensor([[100, 500], [403, -1]]), stride=8)
    first, last = (403 // 8) - BEFORE // 8, (403 // 8) + AFTER // 8
    assert torch.allclose(found[1, 0], evidence[1, :, first:last].mean(dim=1), atol=1e-5)


def test_a_stride_that_cuts_a_span_is_refused() -> None:
    with pytest.raises(ModelError, match="stride is 7, expected one that divides"):
        beat_evidence(torch.zeros(1, 4, 100), torch.tensor([[200]]), stride=7)


def test_unknown_beats_teach_nothing() -> None:
    logits = torch.randn(1, 3, 4, requires_grad=True)
    loss = beat_label_loss(logits, torch.tensor([[1, -1, -1]]))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1:] == 0).all()
    assert logits.grad[0, 0].abs().sum() > 0
    assert beat_label_loss(logits, torch.full((1, 3), -1)).item() == 0


def test_evidence_and_tables_learn_to_tell_beats_apart() -> None:
    torch.manual_seed(0)
    both = BeatNet(build(SPEC, CLASSES))
    objective = BeatObjective(both)
    windows = torch.randn(8, CROP_SPAN + 2 * CROP_CONTEXT) * 0.05
    peaks = torch.full((8, 2), -1)
    peaks[:, 0], peaks[:, 1] = 300, 600
    labels = torch.tensor([[0, 1], [0, 2]] * 4)
    windows[1::2, CROP_CONTEXT + 580 : CROP_CONTEXT + 620] += 1.0  # the ventricular ones are wide
    contexts = torch.zeros(8, 2, 7, dtype=torch.int64)
    contexts[:, 0], contexts[::2, 1], contexts[1::2, 1] = 16, 10, 16  # the others early
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        loss = objective(windows, peaks, labels, contexts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    early = both.tables.array()[0, 10]
    assert early.argmax() == CLASSES.index("s")

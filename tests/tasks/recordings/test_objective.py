"""The supervised loss on recordings, held against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.lookup_tables import LookupTables
from beatlens.signals.rr_features import BINS, FEATURES
from beatlens.tasks.common.one_class import ROUGHNESS
from beatlens.tasks.recordings.labels import rr_shares
from beatlens.tasks.recordings.objective import RecordingObjective, mean_evidence, rr_contribution
from beatlens.tasks.recordings.sampling import CROP_CONTEXT
from beatlens.training.model import TabledNet

pytestmark = pytest.mark.rounding
CLASSES = ("normal", "afib", "other", "noise")
SPEC = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))
SPAN, STRIDE = 640, 8


def random_model(seed: int = 0) -> TabledNet:
    torch.manual_seed(seed)
    model = TabledNet(build(SPEC, CLASSES), len(FEATURES)).eval()
    torch.nn.init.normal_(model.tables.values)
    return model


def crops(count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    windows = rng.normal(0, 0.3, (count, SPAN + 2 * CROP_CONTEXT)).astype(np.float32)
    rr = [
        rr_shares(rng.integers(0, BINS, (beats, len(FEATURES))))
        for beats in rng.integers(0, 9, count)
    ]
    arrays = (
        windows,
        rng.integers(100, SPAN + 1, count),
        rng.integers(0, len(CLASSES), count),
        np.stack(rr),
    )
    return tuple(torch.from_numpy(array) for array in arrays)


@pytest.mark.parametrize("length", [1, 7, 8, 15, 16, 100, 639, 640])
def test_mean_evidence_is_over_the_whole_columns_of_a_recording(length: int) -> None:
    evidence = torch.randn(2, 4, SPAN // STRIDE)
    lengths = torch.tensor([length, SPAN])
    found = mean_evidence(evidence, lengths, STRIDE)
    columns = max(1, length // STRIDE)
    assert torch.allclose(found[0], evidence[0, :, :columns].mean(dim=1), atol=1e-5)
    assert torch.allclose(found[1], evidence[1].mean(dim=1), atol=1e-5)


def test_what_comes_after_a_recording_changes_nothing() -> None:
    evidence = torch.randn(1, 4, 10, requires_grad=True)
    mean_evidence(evidence, torch.tensor([3 * STRIDE + 7]), STRIDE).sum().backward()
    assert evidence.grad is not None
    assert (evidence.grad[:, :, 3:] == 0).all()
    assert torch.allclose(evidence.grad[:, :, :3], torch.tensor(1 / 3))


def test_rr_features_contribute_the_mean_over_beats() -> None:
    torch.manual_seed(1)
    tables = LookupTables(len(CLASSES))
    torch.nn.init.normal_(tables.values)
    features = np.random.default_rng(0).integers(0, BINS, (5, len(FEATURES)))
    shares = torch.from_numpy(np.stack([rr_shares(features), rr_shares(features[:0])]))
    found = rr_contribution(tables, shares).detach()
    assert torch.allclose(found[0], tables(torch.from_numpy(features)).mean(dim=0), atol=1e-5)
    assert (found[1] == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3])
def test_the_loss_is_the_smoothed_cross_entropy_of_the_logits(smoothing: float) -> None:
    model = random_model()
    batch = crops(6)
    loss = RecordingObjective(model, SPAN, smoothing)(*batch).item()
    terms = []
    for window, length, label, rr in zip(*batch, strict=True):
        x = model.net.geometry.trim(window, SPAN)
        evidence = model.net.evidence(x[None, None])[0].detach().double().numpy()
        logits = evidence[:, : int(length) // STRIDE].mean(axis=1)
        for feature, steps in enumerate(rr.numpy()):
            for step in np.flatnonzero(steps):
                logits = logits + steps[step] * model.tables.array()[feature, step]
        chances = np.exp(logits) / np.exp(logits).sum()
        wanted = np.full(len(CLASSES), smoothing / len(CLASSES))
        wanted[int(label)] += 1 - smoothing
        terms.append(-(wanted * np.log(chances)).sum())
    values = model.tables.array()
    rough = np.square(np.diff(values, axis=1)).mean() + 0.1 * np.square(values).mean()
    assert loss == pytest.approx(np.mean(terms) + ROUGHNESS * rough, rel=1e-5)


def test_an_untrained_network_is_as_good_as_guessing() -> None:
    model = TabledNet(build(SPEC, CLASSES), len(FEATURES)).eval()
    torch.nn.init.zeros_(model.net.head.weight)
    torch.nn.init.zeros_(model.net.head.bias)
    loss = RecordingObjective(model, SPAN)(*crops(4)).item()
    assert loss == pytest.approx(math.log(len(CLASSES)))


def test_windows_without_enough_context_are_refused() -> None:
    windows, *rest = crops(2)
    objective = RecordingObjective(random_model(), SPAN)
    with pytest.raises(ModelError, match="do not fit windows with 0 samples of context"):
        objective(windows[:, :SPAN], *rest)


def test_evidence_and_tables_learn_to_tell_recordings_apart() -> None:
    model = TabledNet(build(SPEC, CLASSES), len(FEATURES))
    torch.manual_seed(0)
    objective = RecordingObjective(model, SPAN)
    windows = torch.randn(8, SPAN + 2 * CROP_CONTEXT) * 0.05
    labels = torch.tensor([0, 1, 2, 2] * 2)
    windows[2::4, CROP_CONTEXT + 200 : CROP_CONTEXT + 240] += 1.0  # other, by its shape
    windows[3::4, CROP_CONTEXT + 300 : CROP_CONTEXT + 340] += 1.0
    rr = torch.zeros(8, len(FEATURES), BINS)
    rr[:, :, 2] = 1
    rr[1::4] = 0
    rr[1::4, :, 20] = 1  # fibrillation, by its rhythm
    lengths = torch.full((8,), SPAN)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        loss = objective(windows, lengths, labels, rr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    irregular = model.tables.array()[FEATURES.index("rr_variability")]
    assert irregular[20].argmax() == CLASSES.index("afib")
    assert irregular[2].argmax() != CLASSES.index("afib")

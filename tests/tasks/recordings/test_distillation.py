"""Retraining on recordings: what is trained, and what counts for nothing."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from beatlens.compression.contract import Budget, Retraining, run_steps
from beatlens.compression.distill import DistillWeights, TeacherCache
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.quantize import Quantize, QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.lookup_tables import LookupTables
from beatlens.nets.teacher import Teacher
from beatlens.recipe import DistillSection
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.common.one_class import TeacherParts
from beatlens.tasks.recordings.distillation import (
    RecordingDistillObjective,
    build_recording_retraining,
    levelled,
)
from beatlens.tasks.recordings.labels import recording_track
from beatlens.tasks.recordings.objective import columns_inside
from beatlens.tasks.recordings.sampling import CROP_CONTEXT, CropDraw, RecordingSampler
from beatlens.training.loop import Schedule

from ..recipes import recording_recipe

RECIPE = recording_recipe()
CLASSES = RECIPE.classes
TEACHER = NetworkSpec("dense", (8, 8, 8), (8, 8, 8), (2, 2, 2))
STUDENT = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))
SHORT = Schedule(steps=4, batch=8, learning_rate=3e-3, validate_every=4)
SECONDS = 12


@pytest.fixture(scope="module")
def cache() -> TeacherCache:
    kinds = ((0, {}), (1, {"rhythm": "afib"}), (3, {"noise": 9.0}))
    tracks = [
        recording_track(simulate_patient(i, 9 + 3 * i, rate_hz=300, **kind).recording, label, LEAD)
        for i, (label, kind) in enumerate(kinds)
    ]
    torch.manual_seed(0)
    sampler = RecordingSampler(tracks, CLASSES, 0, CropDraw(SECONDS, 6, flips=0.5))
    return TeacherCache(build(TEACHER, CLASSES), sampler, 64, span=sampler.span, activations=True)


def tables() -> LookupTables:
    torch.manual_seed(1)
    made = LookupTables(len(CLASSES))
    torch.nn.init.normal_(made.values)
    return made


def retraining(cache: TeacherCache, matching: str, **changes: float) -> Retraining:
    settings = {"kd": 0.7, "matching_weight": 4.0, "temperature": 3.0, **changes}
    distill = DistillSection.model_validate({"matching": matching, **settings})
    return build_recording_retraining(
        cache,
        Teacher(cache.teacher, tables()),
        RECIPE.model_copy(update={"distill": distill}),
        SHORT,
        lambda net: {"score": 0.0},
    )


def test_the_teacher_itself_has_nothing_to_learn_but_labels(cache: TeacherCache) -> None:
    copy = deepcopy(cache.teacher).eval()
    loss = retraining(cache, "classwise", kd=1.0).objective(copy)(*cache.batch(0, 8))
    assert loss.item() == pytest.approx(0, abs=1e-4)
    with pytest.raises(ModelError, match="the network to compress is the teacher"):
        retraining(cache, "classwise").objective(cache.teacher)


@pytest.mark.parametrize("matching", ["none", "classwise", "ewa", "swa", "sswa"])
def test_every_matching_loss_trains_evidence_and_not_tables(
    cache: TeacherCache, matching: str
) -> None:
    torch.manual_seed(2)
    student = build(STUDENT, CLASSES)
    objective = retraining(cache, matching).objective(student)
    loss = objective(*cache.batch(0, 8))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in student.parameters())
    assert isinstance(objective, RecordingDistillObjective)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in student.parameters()}


@pytest.mark.parametrize("kd", [0.0, 0.4, 1.0])
def test_the_loss_without_maps_is_labels_and_kd(cache: TeacherCache, kd: float) -> None:
    torch.manual_seed(3)
    student = build(STUDENT, CLASSES).eval()
    weights = DistillWeights(kd=kd, matching=0.0, temperature=2.0, smoothing=0.1)
    head = cache.teacher.head.weight.squeeze(2)
    objective = RecordingDistillObjective(
        student, TeacherParts(head, tables(), cache.span, weights, None)
    )
    batch = cache.batch(0, 8)
    loss = objective(*batch).item()
    windows, lengths, labels, rr, evidence, _ = batch
    maps = student.evidence(student.geometry.trim(windows, cache.span)[:, None]).detach()
    added = np.einsum("bks,ksc->bc", rr.numpy(), tables().array())
    terms = []
    for i, label in enumerate(labels.tolist()):
        columns = int(lengths[i]) // 8
        own, wanted_logits = (
            m[i, :, :columns].double().mean(dim=1).numpy() + added[i] for m in (maps, evidence)
        )
        wanted = np.full(len(CLASSES), 0.1 / len(CLASSES)) + 0.9 * np.eye(len(CLASSES))[label]
        s, t = softmax(own / 2), softmax(wanted_logits / 2)
        named = -(wanted * np.log(softmax(own))).sum()
        terms.append((1 - kd) * named + kd * 4 * (t * np.log(t / s)).sum())
    assert loss == pytest.approx(np.mean(terms), rel=1e-4)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def test_what_all_classes_share_is_not_matched(cache: TeacherCache) -> None:
    torch.manual_seed(3)
    student = build(STUDENT, CLASSES).eval()
    objective = retraining(cache, "classwise", kd=1.0).objective(student)
    before = objective(*cache.batch(0, 8)).item()
    with torch.no_grad():
        student.head.weight += torch.randn(1, STUDENT.channels[-1], 1)
        student.head.bias += 1.0
    assert objective(*cache.batch(0, 8)).item() == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("matching", ["none", "classwise"])
def test_what_comes_after_a_short_recording_counts_for_nothing(
    cache: TeacherCache, matching: str
) -> None:
    torch.manual_seed(4)
    student = build(STUDENT, CLASSES).eval()
    objective = retraining(cache, matching, kd=0.5).objective(student)
    windows, lengths, *rest, evidence, activations = cache.batch(0, 8)
    lengths = lengths.clamp(max=cache.span // 2) // 8 * 8
    before = objective(windows, lengths, *rest, evidence, activations).item()
    changed, other = windows.clone(), evidence.clone()
    for i, length in enumerate(lengths.tolist()):
        # The network may look at what is made up as context; only its own columns are left out.
        beyond = CROP_CONTEXT + length + student.geometry.right
        changed[i, beyond:] = torch.randn(windows.shape[1] - beyond)
        other[i, :, length // 8 :] = 99.0
    after = objective(changed, lengths, *rest, other, activations).item()
    assert after == pytest.approx(before, rel=1e-5)
    assert objective(windows, lengths, *rest, evidence + 99 * torch.rand_like(evidence),
                     activations).item() != pytest.approx(before, rel=1e-2)  # fmt: skip


def test_columns_after_the_end_are_the_mean_of_those_before() -> None:
    maps = torch.randn(3, 4, 10)
    found = levelled(maps, columns_inside(torch.tensor([80, 39, 1]), stride=8, columns=10))
    assert (found[0] == maps[0]).all()
    assert (found[1, :, :4] == maps[1, :, :4]).all()
    assert torch.allclose(found[1, :, 4:], maps[1, :, :4].mean(dim=1, keepdim=True).expand(4, 6))
    assert torch.allclose(found.mean(dim=2)[1], maps[1, :, :4].mean(dim=1), atol=1e-6)
    assert torch.allclose(found[2], maps[2, :, :1].expand(4, 10))


def test_compressors_take_the_retraining(cache: TeacherCache) -> None:
    net = deepcopy(cache.teacher).requires_grad_(True)
    budget = Budget(weight_account(net).packed_bytes // 2)
    done = run_steps(net, [PruneChannels(), Quantize()], retraining(cache, "classwise"), budget)
    assert isinstance(done.net, QuantizedEvidenceNet)
    assert done.size.packed_bytes <= budget.packed_bytes * 1.02
    assert np.isfinite(done.net.evidence(cache.batch(0, 1)[0][:, None]).detach().numpy()).all()

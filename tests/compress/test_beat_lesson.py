"""Retraining on beats: its loss, and what the loss does not change."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from beatlens.attribution.matching import build_matching
from beatlens.tasks.beats.distillation import BeatDistillObjective, beat_kd_loss, beat_lesson
from beatlens.compress.contract import Budget, Retraining, run_steps
from beatlens.compress.distill import DistillWeights, TeacherCache
from beatlens.compress.prune_channels import PruneChannels
from beatlens.compress.quantize import Quantize, QuantizedEvidenceNet
from beatlens.compress.size import weight_account
from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.lookup_tables import LookupTables
from beatlens.signals.beat_features import TRAINED
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.labels import CLASSES, beat_track
from beatlens.tasks.beats.sampling import CROP_SPAN, BeatSampler
from beatlens.training.loop import Schedule

TEACHER = NetworkSpec("dense", (8, 8, 8), (8, 8, 8), (2, 2, 2))
STUDENT = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))
SHORT = Schedule(steps=4, batch=8, learning_rate=3e-3, validate_every=4)


@pytest.fixture(scope="module")
def cache() -> TeacherCache:
    patient = simulate_patient(3, 60)
    track = beat_track(patient.recording, patient.annotations, LEAD)
    torch.manual_seed(0)
    sampler = BeatSampler([track], 0, {"v": 0.5})
    return TeacherCache(build(TEACHER, CLASSES), sampler, 64, span=CROP_SPAN, activations=True)


def tables() -> LookupTables:
    torch.manual_seed(1)
    made = LookupTables(len(CLASSES), len(TRAINED))
    torch.nn.init.normal_(made.values)
    return made


def retraining(
    cache: TeacherCache, matching: str, weights: DistillWeights | None = None
) -> Retraining:
    return beat_lesson(
        cache,
        tables(),
        weights or DistillWeights(kd=0.7, matching=4.0, temperature=3.0),
        build_matching(matching),
        SHORT,
        lambda net: {"score": 0.0},
    )


def test_the_teacher_itself_has_nothing_to_learn_but_labels(cache: TeacherCache) -> None:
    copy = deepcopy(cache.teacher).eval()
    weights = DistillWeights(kd=1.0, matching=4.0, temperature=3.0)
    loss = retraining(cache, "classwise", weights).objective(copy)(*cache.batch(0, 8))
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
    assert isinstance(objective, BeatDistillObjective)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in student.parameters()}


def test_what_all_classes_share_is_not_matched(cache: TeacherCache) -> None:
    torch.manual_seed(3)
    student = build(STUDENT, CLASSES).eval()
    weights = DistillWeights(kd=1.0, matching=4.0, temperature=3.0)
    objective = retraining(cache, "classwise", weights).objective(student)
    before = objective(*cache.batch(0, 8)).item()
    with torch.no_grad():
        student.head.weight += torch.randn(1, STUDENT.channels[-1], 1)
        student.head.bias += 1.0
    assert objective(*cache.batch(0, 8)).item() == pytest.approx(before, rel=1e-4)


def test_kd_is_least_where_the_students_logits_are_the_teachers() -> None:
    teacher = torch.randn(5, 4)
    assert beat_kd_loss(teacher + 2.0, teacher).item() == pytest.approx(0, abs=1e-5)
    assert beat_kd_loss(torch.randn(5, 4), teacher).item() > 0.01


def test_compressors_take_the_retraining(cache: TeacherCache) -> None:
    net = deepcopy(cache.teacher).requires_grad_(True)
    budget = Budget(weight_account(net).packed_bytes // 2)
    done = run_steps(net, [PruneChannels(), Quantize()], retraining(cache, "classwise"), budget)
    assert isinstance(done.net, QuantizedEvidenceNet)
    assert done.size.packed_bytes <= budget.packed_bytes * 1.02
    assert np.isfinite(done.net.evidence(cache.batch(0, 1)[0][:, None]).detach().numpy()).all()

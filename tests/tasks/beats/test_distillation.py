"""Retraining on beats: what is trained, and what is left alone."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from beatlens.compression.contract import Budget, Retraining, run_steps
from beatlens.compression.distill import TeacherCache
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.quantize import Quantize, QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.lookup_tables import LookupTables
from beatlens.nets.teacher import Teacher
from beatlens.recipe import DistillSection
from beatlens.signals.beat_features import TRAINED
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.distillation import BeatDistillObjective, build_beat_retraining
from beatlens.tasks.beats.labels import beat_track
from beatlens.tasks.beats.sampling import BeatSampler
from beatlens.tasks.common.one_class import class_kd_loss
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.training.loop import Schedule

from ..recipes import beat_recipe

RECIPE = beat_recipe()
CLASSES = RECIPE.classes
CODES = tuple(one.beats for one in RECIPE.task.classes.values())
TEACHER = NetworkSpec("dense", (8, 8, 8), (8, 8, 8), (2, 2, 2))
STUDENT = NetworkSpec("dense", (4, 4, 4), (8, 8, 8), (2, 2, 2))
SHORT = Schedule(steps=4, batch=8, learning_rate=3e-3, validate_every=4)


@pytest.fixture(scope="module")
def cache() -> TeacherCache:
    patient = simulate_patient(3, 60)
    track = beat_track(patient.recording, patient.annotations, LEAD, CODES)
    torch.manual_seed(0)
    sampler = BeatSampler([track], CLASSES, 0, {"v": 0.5})
    return TeacherCache(build(TEACHER, CLASSES), sampler, 64, span=CROP_SPAN, activations=True)


def tables() -> LookupTables:
    torch.manual_seed(1)
    made = LookupTables(len(CLASSES), len(TRAINED))
    torch.nn.init.normal_(made.values)
    return made


def retraining(cache: TeacherCache, matching: str, kd: float = 0.7) -> Retraining:
    distill = DistillSection(matching=matching, kd=kd, matching_weight=4.0, temperature=3.0)
    return build_beat_retraining(
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
    assert isinstance(objective, BeatDistillObjective)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in student.parameters()}


def test_what_all_classes_share_is_not_matched(cache: TeacherCache) -> None:
    torch.manual_seed(3)
    student = build(STUDENT, CLASSES).eval()
    objective = retraining(cache, "classwise", kd=1.0).objective(student)
    before = objective(*cache.batch(0, 8)).item()
    with torch.no_grad():
        student.head.weight += torch.randn(1, STUDENT.channels[-1], 1)
        student.head.bias += 1.0
    assert objective(*cache.batch(0, 8)).item() == pytest.approx(before, rel=1e-4)


def test_kd_is_least_where_the_student_predicts_the_same() -> None:
    teacher = torch.randn(5, 4)
    assert class_kd_loss(teacher + 2.0, teacher).item() == pytest.approx(0, abs=1e-5)
    assert class_kd_loss(torch.randn(5, 4), teacher).item() > 0.01


def test_compressors_take_the_retraining(cache: TeacherCache) -> None:
    net = deepcopy(cache.teacher).requires_grad_(True)
    budget = Budget(weight_account(net).packed_bytes // 2)
    done = run_steps(net, [PruneChannels(), Quantize()], retraining(cache, "classwise"), budget)
    assert isinstance(done.net, QuantizedEvidenceNet)
    assert done.size.packed_bytes <= budget.packed_bytes * 1.02
    assert np.isfinite(done.net.evidence(cache.batch(0, 1)[0][:, None]).detach().numpy()).all()

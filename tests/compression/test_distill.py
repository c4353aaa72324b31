"""Distillation: the KD term against torch's own divergence, the cache, and the objective."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from beatlens.attribution.matching import EWA, SSWA, SWA, Classwise, attribute_evidence
from beatlens.compression.distill import DistillObjective, DistillWeights, TeacherCache, kd_loss
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.objective import known_label_loss
from beatlens.tasks.windows.sampling import WindowSampler

from ..nets.networks import CLASSES, SMALL, lively
from ..tasks.tracks import make_track

pytestmark = pytest.mark.rounding


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_the_divergence_of_bernoullis(temperature: float) -> None:
    torch.manual_seed(0)
    student = (torch.randn(5, 3) * 4).requires_grad_()
    teacher = (torch.randn(5, 3) * 4).requires_grad_()
    expected = (
        temperature**2
        * kl_divergence(
            Bernoulli(logits=teacher.detach() / temperature),
            Bernoulli(logits=student / temperature),
        ).mean()
    )
    found = kd_loss(student, teacher, temperature)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    mine, theirs = torch.autograd.grad(found, [student, teacher], allow_unused=True)
    torch.testing.assert_close(
        mine, torch.autograd.grad(expected, student)[0], atol=1e-6, rtol=1e-4
    )
    assert theirs is None


def test_kd_is_zero_for_equal_logits_and_finite_for_extreme_ones() -> None:
    logits = torch.tensor([[80.0, -80.0, 0.3]])
    assert kd_loss(logits, logits).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(kd_loss(-1e4 * logits, 1e4 * logits))


def make_cache(size: int = 10, activations: bool = True, seed: int = 0) -> TeacherCache:
    tracks = [make_track([(600, "V"), (2000, "A")], afib=[(2200, 3000)], known=("pvc", "sve"))]
    sampler = WindowSampler(tracks, CLASSES, 3, {"pvc": 0.5}, augmentation=Augmentation())
    teacher = lively(SMALL["residual"], seed=7)
    return TeacherCache(teacher, sampler, size, span=SPAN, activations=activations, seed=seed)


def test_the_cache_keeps_the_teachers_evidence_of_its_crops() -> None:
    cache = make_cache()
    windows, labels, evidence, activations = cache.batch(0, 10)
    assert windows.shape[0] == labels.shape[0] == evidence.shape[0] == 10
    torch.testing.assert_close(windows / LSB_MV, (windows / LSB_MV).round(), rtol=0, atol=1e-4)
    x = cache.teacher.geometry.trim(windows, SPAN).unsqueeze(1)
    with torch.no_grad():
        torch.testing.assert_close(evidence, cache.teacher.evidence(x), rtol=1e-4, atol=1e-4)
        features = cache.teacher.features(x)
    torch.testing.assert_close(activations, features, rtol=0.01, atol=0.01)  # kept as bfloat16
    assert not evidence.requires_grad
    seen = cache.attribution(evidence, activations)
    direct = attribute_evidence(cache.teacher, x)
    torch.testing.assert_close(seen.logits, direct.logits, rtol=1e-4, atol=1e-4)
    classes = torch.arange(10) % 4
    torch.testing.assert_close(seen.channel_weights(classes), direct.channel_weights(classes))
    assert not seen.channel_weights(classes).requires_grad


def test_every_pass_has_all_crops_in_another_order() -> None:
    cache = make_cache(size=9)
    passes = [cache.batch(9 * n, 9)[0] for n in range(3)]
    keys = [[row.numpy().tobytes() for row in windows] for windows in passes]
    assert len(set(keys[0])) == 9
    assert set(keys[0]) == set(keys[1]) == set(keys[2])
    assert keys[0] != keys[1] != keys[2]
    # A batch that spans two passes, and going back, give the same as asked for one by one.
    across = [row.numpy().tobytes() for row in cache.batch(7, 5)[0]]
    assert across == keys[0][7:] + keys[1][:3]
    assert [row.numpy().tobytes() for row in cache.batch(0, 9)[0]] == keys[0]
    other = make_cache(size=9, seed=1).batch(0, 9)[0]
    assert [row.numpy().tobytes() for row in other] != keys[0]


def test_a_cache_without_activations_serves_classwise_only() -> None:
    cache = make_cache(activations=False)
    student = lively(SMALL["dense"])
    batch = cache.batch(0, 4)
    assert torch.isfinite(DistillObjective(student, cache, DistillWeights(), Classwise())(*batch))
    for matching in (EWA(), SWA(), SSWA()):
        with pytest.raises(ModelError, match="needs activations"):
            DistillObjective(student, cache, DistillWeights(), matching)(*batch)


@pytest.mark.parametrize("matching", [None, EWA(), SWA(), Classwise()])
def test_the_objective_is_the_weighted_sum_of_its_terms(matching) -> None:
    cache = make_cache()
    student = lively(SMALL["dense"])
    windows, labels, evidence, activations = cache.batch(0, 6)
    weights = DistillWeights(kd=0.7, matching=3.0, temperature=2.0, smoothing=0.1)
    found = DistillObjective(student, cache, weights, matching)(
        windows, labels, evidence, activations
    )
    seen = attribute_evidence(student, student.geometry.trim(windows, SPAN).unsqueeze(1))
    expected = 0.3 * known_label_loss(seen.logits, labels, 0.1)
    expected = expected + 0.7 * kd_loss(seen.logits, evidence.mean(2), 2.0)
    if matching is not None:
        expected = expected + 3.0 * matching(seen, cache.attribution(evidence, activations))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kd", [0.0, 1.0])
def test_training_alone_and_pure_distillation(kd: float) -> None:
    cache = make_cache()
    student = lively(SMALL["dense"])
    windows, labels, evidence, activations = cache.batch(0, 6)
    objective = DistillObjective(student, cache, DistillWeights(kd=kd, matching=0.0), Classwise())
    before = objective(windows, labels, evidence, activations)
    assert torch.equal(
        before, objective(windows, labels, evidence * (2 if kd == 0 else 1), activations)
    )
    other_labels = torch.where(labels.isnan(), labels, 1 - labels)
    after = objective(windows, other_labels, evidence, activations)
    assert (after == before) == (kd == 1.0)


def test_the_teachers_knowledge_reaches_classes_the_labels_do_not_know() -> None:
    cache = make_cache()
    student = lively(SMALL["dense"])
    batch = cache.batch(0, 6)
    assert torch.isnan(batch[1][:, 2:]).all()
    DistillObjective(student, cache, DistillWeights(matching=0.0))(*batch).backward()
    assert (student.head.weight.grad[2:].abs().sum(1) > 0).all()
    student.zero_grad()
    DistillObjective(student, cache, DistillWeights(kd=0.0, matching=0.0))(*batch).backward()
    assert (student.head.weight.grad[2:] == 0).all()


@pytest.mark.parametrize("matching", [EWA(), SWA(), SSWA(), Classwise()])
def test_a_quantised_student_is_matched_as_the_device_will_compute(matching) -> None:
    cache = make_cache()
    net = lively(SMALL["dense"])
    student = QuantizedEvidenceNet(net)
    batch = cache.batch(0, 6)
    student.calibrate([student.geometry.trim(batch[0], SPAN).unsqueeze(1)])
    objective = DistillObjective(student, cache, DistillWeights(), matching)
    losses = []
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    for _ in range(15):
        loss = objective(*batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(losses[-3:]) < losses[0]
    assert all(p.grad is None for p in cache.teacher.parameters())


@pytest.mark.parametrize(
    "settings", [{"kd": 1.5}, {"kd": -0.1}, {"matching": -1.0}, {"temperature": 0.0}]
)
def test_weights_that_make_no_sense_are_refused(settings: dict) -> None:
    with pytest.raises(RecipeError, match="expected 0 <= kd <= 1"):
        DistillWeights(**settings)

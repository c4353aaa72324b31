"""Retraining on beats, each of which gets a decision, from a teacher's cache.

    loss = (1 - w) * labels + w * KD + lambda * matching

KD is over the classes of each beat, one of which it is (Hinton, Vinyals & Dean, arXiv 1503.02531):
`T^2 * mean KL(softmax(t / T) || softmax(s / T))`. Only evidence is trained: the teacher's lookup
tables are added on both sides, and stay as they are.

What is matched is each class's evidence less the classes' mean, since only differences between
classes decide. A class counts by the surest beat of the crop.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from beatlens.attribution.matching import Matching, build_matching
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import DistillWeights, TeacherCache
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.retraining import build_retraining_with
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.nets.teacher import Teacher
from beatlens.tasks.beats.objective import LabelLoss, beat_evidence
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.common.one_class import (
    MAX_ODDS,
    attribute_centred,
    class_kd_loss,
    log_odds,
)
from beatlens.training.loop import Schedule


class BeatDistillObjective(nn.Module):
    """Loss of a student (float, or fake-quantised) on beats from a `TeacherCache`.

    `forward(windows, peaks, labels, beat_features, evidence, activations)` takes a batch of the
    cache.

    Args:
        student: the network.
        teacher_head: the teacher's head's weights `[C, K]`, for losses on activations.
        tables: the teacher's; not trained.
        span: samples of a crop's span.
        label_loss: of the labels.
        weights: of the loss's terms.
        matching: how maps are matched, or None.
    """

    def __init__(
        self,
        student: EvidenceNet | QuantizedEvidenceNet,
        teacher_head: Tensor,
        tables: LookupTables,
        span: int,
        label_loss: LabelLoss,
        weights: DistillWeights,
        matching: Matching | None,
    ) -> None:
        super().__init__()
        self.student = student
        self._others = (tables.requires_grad_(False),)  # in a tuple: not a part of this module
        self._head, self._span = teacher_head.detach(), span
        self._label_loss = label_loss
        self._weights, self._matching = weights, matching

    def forward(
        self,
        windows: Tensor,
        peaks: Tensor,
        labels: Tensor,
        beat_features: Tensor,
        evidence: Tensor,
        activations: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar."""
        geometry, weights = self.student.geometry, self._weights
        activation = self.student.features(geometry.trim(windows, self._span).unsqueeze(1))
        maps = self.student.head(activation).float()
        tables = self._others[0](beat_features)
        stride = self._span // maps.shape[2]
        own = beat_evidence(maps, peaks, stride) + tables
        wanted = beat_evidence(evidence, peaks, self._span // evidence.shape[2]) + tables
        beats = peaks >= 0
        loss = torch.zeros(())
        if weights.kd < 1:
            loss = loss + (1 - weights.kd) * self._label_loss(own, labels)
        if weights.kd > 0 and beats.any():
            kd = class_kd_loss(own[beats], wanted[beats], weights.temperature)
            loss = loss + weights.kd * kd
        if self._matching is not None and weights.matching > 0:
            present = surest_beats(wanted, beats)
            head = self.student.head.weight.squeeze(2)
            student = attribute_centred(maps, head, activation, present)
            teacher = attribute_centred(evidence, self._head, activations, present)
            loss = loss + weights.matching * self._matching(student, teacher)
        return loss


def surest_beats(logits: Tensor, beats: Tensor) -> Tensor:
    """How sure it is that each class is in a crop: the log odds of its surest beat, `[B, C]`.

    Args:
        logits: `[B, E, C]`.
        beats: bool `[B, E]`, which of them are beats.

    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])
    >>> surest_beats(logits, torch.tensor([[True, False]])).tolist()
    [[0.0, 0.0]]
    """
    return (
        log_odds(logits)
        .masked_fill(~beats[..., None], -MAX_ODDS)
        .amax(dim=1)
        .clamp(-MAX_ODDS, MAX_ODDS)
        .detach()
    )


def build_beat_retraining(
    cache: TeacherCache,
    teacher: Teacher,
    recipe: BeatRecipe,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
) -> Retraining:
    """How an evidence network, float or int8, is trained on beats and their teacher.

    Args:
        cache: the teacher's evidence and its crops, drawn by a `BeatSampler`.
        teacher: its tables stay as they are.
        recipe: weights of the loss's terms, and how maps are matched; each network gets a copy of
            the matching of its own.
        schedule: of a retraining.
        validate: see `Retraining`.

    See `beatlens.compression.retraining.build_retraining_with` for what it raises.
    """
    tables = teacher.tables
    if tables is None:
        raise ModelError("the teacher of beats has no lookup tables, expected some")
    head, weights = cache.teacher.head.weight.squeeze(2), recipe.distill.weights
    matching = build_matching(recipe.distill.matching)
    label_loss = LabelLoss.build(recipe.task, weights.smoothing)

    def build_objective(student: EvidenceNet | QuantizedEvidenceNet) -> nn.Module:
        return BeatDistillObjective(
            student, head, tables, cache.span, label_loss, weights, deepcopy(matching)
        )

    return build_retraining_with(cache, build_objective, schedule, validate)

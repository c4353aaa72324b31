"""Retraining on recordings, each of which gets one decision, from a teacher's cache.

    loss = (1 - w) * labels + w * KD + lambda * matching

As in `beatlens.tasks.beats.distillation`, with one decision a crop: KD is over its classes, only
evidence is trained (the teacher's lookup tables are added on both sides), and what is matched is
each class's evidence less the mean of all. Columns after the end of a short recording hold a signal
that is made up, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
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
from beatlens.tasks.common.one_class import (
    MAX_ODDS,
    attribute_centred,
    class_kd_loss,
    log_odds,
)
from beatlens.tasks.recordings.objective import columns_inside, mean_evidence, rr_contribution
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.training.loop import Schedule


class RecordingDistillObjective(nn.Module):
    """Loss of a student (float, or fake-quantised) on recordings from a `TeacherCache`.

    `forward(windows, lengths, labels, rr, evidence, activations)` takes a batch of the cache.

    Args:
        student: the network.
        teacher_head: the teacher's head's weights `[C, K]`, for losses on activations.
        tables: the teacher's; not trained.
        span: samples of a crop's span.
        weights: of the loss's terms.
        matching: how maps are matched, or None.
    """

    def __init__(
        self,
        student: EvidenceNet | QuantizedEvidenceNet,
        teacher_head: Tensor,
        tables: LookupTables,
        span: int,
        weights: DistillWeights,
        matching: Matching | None,
    ) -> None:
        super().__init__()
        self.student = student
        self._others = (tables.requires_grad_(False),)  # in a tuple: not a part of this module
        self._head, self._span = teacher_head.detach(), span
        self._weights, self._matching = weights, matching

    def forward(
        self,
        windows: Tensor,
        lengths: Tensor,
        labels: Tensor,
        rr: Tensor,
        evidence: Tensor,
        activations: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar."""
        geometry, weights = self.student.geometry, self._weights
        features = self.student.features(geometry.trim(windows, self._span).unsqueeze(1))
        maps = self.student.head(features).float()
        added = rr_contribution(self._others[0], rr)
        student_logits = mean_evidence(maps, lengths, self._stride(maps)) + added
        teacher_logits = mean_evidence(evidence, lengths, self._stride(evidence)) + added
        loss = torch.zeros(())
        if weights.kd < 1:
            named = F.cross_entropy(student_logits, labels, label_smoothing=weights.smoothing)
            loss = loss + (1 - weights.kd) * named
        if weights.kd > 0:
            loss = loss + weights.kd * class_kd_loss(
                student_logits, teacher_logits, weights.temperature
            )
        if self._matching is not None and weights.matching > 0:
            present = log_odds(teacher_logits).clamp(-MAX_ODDS, MAX_ODDS).detach()
            head = self.student.head.weight.squeeze(2)
            own_maps, wanted_maps = self._levelled(maps, lengths), self._levelled(evidence, lengths)
            student = attribute_centred(own_maps, head, features, present)
            teacher = attribute_centred(wanted_maps, self._head, activations, present)
            loss = loss + weights.matching * self._matching(student, teacher)
        return loss

    def _stride(self, maps: Tensor) -> int:
        """Samples of a column."""
        return self._span // maps.shape[2]

    def _levelled(self, maps: Tensor, lengths: Tensor) -> Tensor:
        """Maps that show nothing after a recording's end."""
        return levelled(maps, columns_inside(lengths, self._stride(maps), maps.shape[2]))


def levelled(maps: Tensor, inside: Tensor) -> Tensor:
    """Maps with their own mean in the columns after a recording's end, which so show nothing.

    Args:
        maps: `[B, C, T]`.
        inside: which columns are of the recording, bool `[B, T]`, one at least.

    >>> inside = torch.tensor([[True, True, False, False]])
    >>> levelled(torch.tensor([[[1.0, 3.0, 9.0, 9.0]]]), inside).tolist()
    [[[1.0, 3.0, 2.0, 2.0]]]
    """
    there = inside[:, None]
    means = (maps * there).sum(dim=2, keepdim=True) / there.sum(dim=2, keepdim=True)
    return torch.where(there, maps, means)


def build_recording_retraining(
    cache: TeacherCache,
    teacher: Teacher,
    recipe: RecordingRecipe,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
) -> Retraining:
    """How an evidence network, float or int8, is trained on recordings and their teacher.

    Args:
        cache: the teacher's evidence and its crops, drawn by a `RecordingSampler`.
        teacher: its tables stay as they are.
        recipe: weights of the loss's terms, and how maps are matched; each network gets a copy of
            the matching of its own.
        schedule: of a retraining.
        validate: see `Retraining`.

    See `beatlens.compression.retraining.build_retraining_with` for what it raises.
    """
    tables = teacher.tables
    if tables is None:
        raise ModelError("the teacher of recordings has no lookup tables, expected some")
    head, weights = cache.teacher.head.weight.squeeze(2), recipe.distill.weights
    matching = build_matching(recipe.distill.matching)

    def build_objective(student: EvidenceNet | QuantizedEvidenceNet) -> nn.Module:
        own = deepcopy(matching)
        return RecordingDistillObjective(student, head, tables, cache.span, weights, own)

    return build_retraining_with(cache, build_objective, schedule, validate)

"""Distillation where one of the classes is decided on: shared by beats and recordings.

KD is over the classes, one of which is right (Hinton, Vinyals & Dean, arXiv 1503.02531):
`T^2 * mean KL(softmax(t / T) || softmax(s / T))`. What is matched is each class's evidence less the
classes' mean, since only differences between classes decide.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.matching import Attribution, Matching, build_matching
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import DistillWeights, TeacherCache
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.retraining import build_retraining_with
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.nets.teacher import Teacher
from beatlens.recipe import Recipe
from beatlens.training.loop import Schedule

MAX_ODDS = 20.0
"""Log odds beyond which a class is as good as there, or not there."""
ROUGHNESS = 0.1
"""Weight of the lookup tables' roughness in a teacher's loss."""


def class_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """KD over spans of one class each; see the module.

    Args:
        student, teacher: logits `[M, C]`; the teacher's are taken as constants.
        temperature: T.

    >>> class_kd_loss(torch.tensor([[1.0, -2.0]]), torch.tensor([[1.0, -2.0]])).item()
    0.0
    """
    s = F.log_softmax(student / temperature, dim=1)
    t = F.log_softmax(teacher.detach() / temperature, dim=1)
    return temperature**2 * F.kl_div(s, t, reduction="batchmean", log_target=True)


def log_odds(logits: Tensor) -> Tensor:
    """Log odds of each class against all others, `[..., C]` of logits `[..., C]`.

    >>> log_odds(torch.zeros(1, 3)).exp()
    tensor([[0.5000, 0.5000, 0.5000]])
    """
    rest = [torch.cat([logits[..., :c], logits[..., c + 1 :]], -1).logsumexp(-1)
            for c in range(logits.shape[-1])]  # fmt: skip
    return logits - torch.stack(rest, dim=-1)


def attribute_centred(
    evidence: Tensor, head: Tensor, activations: Tensor, present: Tensor
) -> Attribution:
    """What a network showed, less what all classes share."""
    centred = head - head.mean(dim=0)
    return Attribution(
        logits=present,
        channel_weights=lambda classes: centred[classes],
        class_maps=lambda: evidence - evidence.mean(dim=1, keepdim=True),
        activations=activations if activations.numel() else None,
    )


@dataclass(frozen=True)
class TeacherParts:
    """What the loss of a student needs of its teacher and of the recipe.

    Args:
        head: the teacher's head's weights `[C, K]`, for losses on activations.
        tables: the teacher's lookup tables; not trained.
        span: samples of a crop's span.
        weights: of the loss's terms.
        matching: how maps are matched, or None.
    """

    head: Tensor
    tables: LookupTables
    span: int
    weights: DistillWeights
    matching: Matching | None


class ClassDistillObjective(nn.Module):
    """Loss of a student (float, or fake-quantised) that decides on one of the classes.

    A kind of span derives its own: `forward` runs the student (`run`) and adds the terms (`total`).
    """

    def __init__(self, student: EvidenceNet | QuantizedEvidenceNet, parts: TeacherParts) -> None:
        super().__init__()
        self.student = student
        self._tables = (parts.tables.requires_grad_(False),)  # in a tuple: no part of this module
        self._head, self._span = parts.head.detach(), parts.span
        self._weights, self._matching = parts.weights, parts.matching

    def run(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The student's last activation `[B, K, T]` and evidence `[B, C, T]` of a crop's span."""
        x = self.student.geometry.trim(windows, self._span).unsqueeze(1)
        activation = self.student.features(x)
        return activation, self.student.head(activation).float()

    def total(
        self,
        label_loss: Callable[[DistillWeights], Tensor],
        logits: tuple[Tensor, Tensor],
        attributions: Callable[[Tensor], tuple[Attribution, Attribution]],
    ) -> Tensor:
        """The weighted sum of the three terms, a scalar.

        Args:
            label_loss: the loss of the labels, if it counts.
            logits: the student's and the teacher's `[M, C]`, of the spans that are decided on.
            attributions: the student's and the teacher's, from the student's head's weights, if
                maps are matched.
        """
        weights, (own, wanted) = self._weights, logits
        loss = torch.zeros(())
        if weights.kd < 1:
            loss = loss + (1 - weights.kd) * label_loss(weights)
        if weights.kd > 0 and len(own):
            loss = loss + weights.kd * class_kd_loss(own, wanted, weights.temperature)
        if self._matching is not None and weights.matching > 0:
            student, teacher = attributions(self.student.head.weight.squeeze(2))
            loss = loss + weights.matching * self._matching(student, teacher)
        return loss


def build_class_retraining(
    cache: TeacherCache,
    teacher: Teacher,
    recipe: Recipe,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
    make_objective: Callable[[EvidenceNet | QuantizedEvidenceNet, TeacherParts], nn.Module],
) -> Retraining:
    """How a network is trained on crops and their teacher, where one of the classes is decided on.

    Args:
        cache: the teacher's evidence and its crops.
        teacher: its tables stay as they are.
        recipe: weights of the loss's terms, and how maps are matched; each network gets a copy of
            the matching of its own.
        schedule: of a retraining.
        validate: see `Retraining`.
        make_objective: makes the loss of a network.

    Raises:
        ModelError: the teacher has no lookup tables. See
            `beatlens.compression.retraining.build_retraining_with` for more.
    """
    if teacher.tables is None:
        raise ModelError("the teacher has no lookup tables, expected those it was trained with")
    head, distill = cache.teacher.head.weight.squeeze(2), recipe.distill
    matching = build_matching(distill.matching)
    parts = TeacherParts(head, teacher.tables, cache.span, distill.weights, None)

    def build_objective(student: EvidenceNet | QuantizedEvidenceNet) -> nn.Module:
        return make_objective(student, replace(parts, matching=deepcopy(matching)))

    return build_retraining_with(cache, build_objective, schedule, validate)

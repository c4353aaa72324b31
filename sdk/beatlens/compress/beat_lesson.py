"""Retraining on beats, each of which gets a decision, from a teacher's cache.

    loss = (1 - w) * labels + w * KD + lambda * matching

KD is over the classes of each beat, one of which it is (Hinton, Vinyals & Dean, arXiv 1503.02531):
`T^2 * mean KL(softmax(t / T) || softmax(s / T))`. Only evidence is learnt: the teacher's rhythm
tables are added on both sides, and stay as they are.

What is matched is each class's evidence less the classes' mean, since only differences between
classes decide. A class counts by the surest beat of the crop.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.matching import Attribution, Matching
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import DistillWeights, TeacherCache
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.compress.retraining import build_retraining_with
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.training.beat_objective import beat_evidence, beat_label_loss
from beatlens.training.loop import Schedule

MAX_ODDS = 20.0
"""Log odds beyond which a class is as good as there, or not there."""


def beat_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """KD over beats; see the module.

    Args:
        student, teacher: logits `[M, C]`; the teacher's are taken as constants.
        temperature: T.

    >>> beat_kd_loss(torch.tensor([[1.0, -2.0]]), torch.tensor([[1.0, -2.0]])).item()
    0.0
    """
    s = F.log_softmax(student / temperature, dim=1)
    t = F.log_softmax(teacher.detach() / temperature, dim=1)
    return temperature**2 * F.kl_div(s, t, reduction="batchmean", log_target=True)


class BeatDistillObjective(nn.Module):
    """Loss of a student (float, or fake-quantised) that learns beats from a `TeacherCache`.

    `forward(windows, peaks, labels, contexts, evidence, activations)` takes a batch of the cache.

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
        peaks: Tensor,
        labels: Tensor,
        contexts: Tensor,
        evidence: Tensor,
        activations: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar."""
        geometry, weights = self.student.geometry, self._weights
        features = self.student.features(geometry.trim(windows, self._span).unsqueeze(1))
        maps = self.student.head(features).float()
        tables = self._others[0](contexts)
        stride = self._span // maps.shape[2]
        student_logits = beat_evidence(maps, peaks, stride) + tables
        teacher_logits = beat_evidence(evidence, peaks, self._span // evidence.shape[2]) + tables
        beats = peaks >= 0
        loss = torch.zeros(())
        if weights.kd < 1:
            loss = loss + (1 - weights.kd) * beat_label_loss(
                student_logits, labels, weights.smoothing
            )
        if weights.kd > 0 and beats.any():
            kd = beat_kd_loss(student_logits[beats], teacher_logits[beats], weights.temperature)
            loss = loss + weights.kd * kd
        if self._matching is not None and weights.matching > 0:
            present = surest_beats(teacher_logits, beats)
            head = self.student.head.weight.squeeze(2)
            student = attribute_centred(maps, head, features, present)
            teacher = attribute_centred(evidence, self._head, activations, present)
            loss = loss + weights.matching * self._matching(student, teacher)
        return loss


def log_odds(logits: Tensor) -> Tensor:
    """Log odds of each class against all others, `[..., C]` of logits `[..., C]`.

    >>> log_odds(torch.zeros(1, 3)).exp()
    tensor([[0.5000, 0.5000, 0.5000]])
    """
    rest = [torch.cat([logits[..., :c], logits[..., c + 1 :]], -1).logsumexp(-1)
            for c in range(logits.shape[-1])]  # fmt: skip
    return logits - torch.stack(rest, dim=-1)


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


def beat_lesson(
    cache: TeacherCache,
    tables: LookupTables,
    weights: DistillWeights,
    matching: Matching | None,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
    score: str = "score",
) -> Retraining:
    """What an evidence network, float or int8, learns about beats from a teacher.

    Args:
        cache: the teacher and its crops, drawn by a `BeatSampler`.
        tables: the teacher's.
        weights: of the loss's terms.
        matching: how maps are matched; each network gets a copy of its own.
        schedule: of a retraining.
        validate, score: see `Retraining`.

    See `beatlens.compress.retraining.build_retraining_with` for what it raises.
    """
    head = cache.teacher.head.weight.squeeze(2)

    def build_objective(student: EvidenceNet | QuantizedEvidenceNet) -> nn.Module:
        return BeatDistillObjective(student, head, tables, cache.span, weights, deepcopy(matching))

    return build_retraining_with(cache, build_objective, schedule, validate, score)

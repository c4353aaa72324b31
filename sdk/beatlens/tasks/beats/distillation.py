"""Retraining on beats, each of which gets a decision, from a teacher's cache.

    loss = (1 - w) * labels + w * KD + lambda * matching

KD is over the classes of each beat, and what is matched is each class's evidence less the classes'
mean (`beatlens.tasks.common.one_class`). Only evidence is trained: the teacher's lookup tables are
added on both sides, and stay as they are. A class counts by the surest beat of the crop.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from beatlens.attribution.matching import Attribution
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.tasks.beats.objective import LabelLoss, beat_evidence
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.common.one_class import (
    MAX_ODDS,
    ClassDistillObjective,
    TeacherParts,
    attribute_centred,
    build_class_retraining,
    log_odds,
)
from beatlens.training.loop import Schedule


class BeatDistillObjective(ClassDistillObjective):
    """Loss of a student on beats from a `TeacherCache`.

    `forward(windows, peaks, labels, beat_features, evidence, activations)` takes a batch of the
    cache.

    Args:
        student: the network.
        parts: of the teacher.
        label_loss: of the labels.
    """

    def __init__(
        self,
        student: EvidenceNet | QuantizedEvidenceNet,
        parts: TeacherParts,
        label_loss: LabelLoss,
    ) -> None:
        super().__init__(student, parts)
        self._label_loss = label_loss

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
        activation, maps = self.run(windows)
        tables, span = self._tables[0](beat_features), self._span
        own = beat_evidence(maps, peaks, span // maps.shape[2]) + tables
        wanted = beat_evidence(evidence, peaks, span // evidence.shape[2]) + tables
        beats = peaks >= 0

        def attributions(head: Tensor) -> tuple[Attribution, Attribution]:
            present = surest_beats(wanted, beats)
            return (
                attribute_centred(maps, head, activation, present),
                attribute_centred(evidence, self._head, activations, present),
            )

        return self.total(
            lambda weights: self._label_loss(own, labels),
            (own[beats], wanted[beats]),
            attributions,
        )


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
    """How a network is trained on beats and their teacher; see `build_class_retraining`."""
    label_loss = LabelLoss.build(recipe.task, recipe.distill.weights.smoothing)
    return build_class_retraining(
        cache, teacher, recipe, schedule, validate,
        lambda student, parts: BeatDistillObjective(student, parts, label_loss),
    )  # fmt: skip

"""Retraining on recordings, each of which gets one decision, from a teacher's cache.

    loss = (1 - w) * labels + w * KD + lambda * matching

As on beats (`beatlens.tasks.common.one_class`), with one decision a crop: KD is over its classes,
only evidence is trained (the teacher's lookup tables are added on both sides), and what is matched
is each class's evidence less the mean of all. Columns after the end of a short recording hold a
signal that is made up, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.matching import Attribution
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import DistillWeights, TeacherCache
from beatlens.nets.teacher import Teacher
from beatlens.tasks.common.one_class import (
    MAX_ODDS,
    ClassDistillObjective,
    attribute_centred,
    build_class_retraining,
    log_odds,
)
from beatlens.tasks.recordings.objective import columns_inside, mean_evidence, rr_contribution
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.training.loop import Schedule


class RecordingDistillObjective(ClassDistillObjective):
    """Loss of a student on recordings from a `TeacherCache`.

    `forward(windows, lengths, labels, rr, evidence, activations)` takes a batch of the cache.
    """

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
        activation, maps = self.run(windows)
        added = rr_contribution(self._tables[0], rr)
        own = mean_evidence(maps, lengths, self._stride(maps)) + added
        wanted = mean_evidence(evidence, lengths, self._stride(evidence)) + added

        def label_loss(weights: DistillWeights) -> Tensor:
            return F.cross_entropy(own, labels, label_smoothing=weights.smoothing)

        def attributions(head: Tensor) -> tuple[Attribution, Attribution]:
            present = log_odds(wanted).clamp(-MAX_ODDS, MAX_ODDS).detach()
            shown, reference = self._levelled(maps, lengths), self._levelled(evidence, lengths)
            return (
                attribute_centred(shown, head, activation, present),
                attribute_centred(reference, self._head, activations, present),
            )

        return self.total(label_loss, (own, wanted), attributions)

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
    """How a network is trained on recordings and their teacher; see `build_class_retraining`."""
    return build_class_retraining(
        cache, teacher, recipe, schedule, validate, RecordingDistillObjective
    )

"""Distillation where one of the classes is decided on: shared by beats and recordings.

KD is over the classes, one of which is right (Hinton, Vinyals & Dean, arXiv 1503.02531):
`T^2 * mean KL(softmax(t / T) || softmax(s / T))`. What is matched is each class's evidence less the
classes' mean, since only differences between classes decide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from beatlens.attribution.matching import Attribution

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

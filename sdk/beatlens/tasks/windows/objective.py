"""The supervised loss on windows: the labels, as far as they are known."""

from __future__ import annotations

from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.sampling import EXCERPT_GRID
from beatlens.training.losses import excerpt_logits, known_label_loss


class WindowObjective(nn.Module):
    """Loss of an evidence network trained on labels alone.

    `forward(windows [B, N] mV, labels [B, C])` returns the loss; windows are trimmed to the
    network's own context around the 10 s window. With excerpts as well (`bounds [B, E, 2]` in
    samples of the span, `excerpt_labels [B, E, C]`), it is the mean of the windows' and the
    excerpts' loss.
    """

    def __init__(self, net: EvidenceNet, smoothing: float = 0.05) -> None:
        super().__init__()
        self.net = net
        self.smoothing = smoothing

    def forward(
        self,
        windows: Tensor,
        labels: Tensor,
        bounds: Tensor | None = None,
        excerpt_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar."""
        geometry = self.net.geometry
        evidence = self.net.evidence(geometry.trim(windows, SPAN).unsqueeze(1)).float()
        loss = known_label_loss(evidence.mean(dim=2), labels, self.smoothing)
        if bounds is None or excerpt_labels is None:
            return loss
        if EXCERPT_GRID % geometry.stride:
            raise ModelError(
                f"the network's stride is {geometry.stride}, expected one that divides "
                f"{EXCERPT_GRID} samples: excerpts are whole columns"
            )
        logits = excerpt_logits(evidence, bounds // geometry.stride)
        return (loss + known_label_loss(logits, excerpt_labels, self.smoothing)) / 2

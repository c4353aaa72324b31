"""Distillation: train a student on labels, on the teacher's logits and on the teacher's maps.

    loss = (1 - w) * labels + w * KD + lambda * matching

KD for several labels at once is Hinton, Vinyals & Dean (arXiv 1503.02531) with one Bernoulli
variable per class: `T^2 / (B C) * sum KL(sigmoid(t / T) || sigmoid(s / T))`.

The teacher runs once over a set of augmented crops, whose results are kept (`TeacherCache`), not at
every step: the student's step is then several times cheaper, and every student of one teacher
learns from the very same crops. Noise may be added to the student's crops that the teacher's are
without (`TrainingNoise`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.matching import Attribution, Matching, attribute_evidence
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.training_noise import TrainingNoise
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import save_state
from beatlens.signals.frontend import LSB_MV
from beatlens.training.crops import Crops
from beatlens.training.losses import known_label_loss

CACHE_FORMAT = "beatlens-cache-2"


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """`T^2 / (B C) * sum KL(Bernoulli(sigmoid(t / T)) || Bernoulli(sigmoid(s / T)))`.

    Args:
        student, teacher: logits `[B, C]`; the teacher's are taken as constants.
        temperature: T.

    >>> kd_loss(torch.tensor([[1.0, -2.0]]), torch.tensor([[1.0, -2.0]])).item()
    0.0
    """
    s, t = student.float() / temperature, teacher.detach().float() / temperature
    p = torch.sigmoid(t)
    cross = F.binary_cross_entropy_with_logits(s, p, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(t, p, reduction="none")
    return temperature**2 * (cross - entropy).mean()


@dataclass(frozen=True)
class DistillWeights:
    """Weights of the three terms of the loss.

    Args:
        kd: weight w of KD, 0 to 1; the labels' weight is `1 - kd`.
        matching: weight lambda of the matching loss, in units of `1 - cos`.
        temperature: T of KD.
        smoothing: label smoothing, 0 to 1.
    """

    kd: float = 0.9
    matching: float = 8.0
    temperature: float = 4.0
    smoothing: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.kd <= 1 or self.matching < 0 or self.temperature <= 0:
            raise RecipeError(
                f"weights are kd {self.kd}, matching {self.matching}, temperature "
                f"{self.temperature}; expected 0 <= kd <= 1, matching >= 0, temperature > 0"
            )


def distillation_loss(
    student: Attribution,
    teacher: Attribution,
    labels: Tensor,
    weights: DistillWeights,
    matching: Matching | None = None,
) -> Tensor:
    """Return the loss of a batch, a scalar.

    Args:
        student, teacher: attributions of the same batch; the teacher's is taken as constant.
        labels: `[B, C]` in 0..1, NaN where not known.
        weights: of the three terms.
        matching: matching loss, or None for none.
    """
    loss = torch.zeros(())
    if weights.kd < 1:
        task = known_label_loss(student.logits.float(), labels, weights.smoothing)
        loss = loss + (1 - weights.kd) * task
    if weights.kd > 0:
        loss = loss + weights.kd * kd_loss(student.logits, teacher.logits, weights.temperature)
    if matching is not None and weights.matching > 0:
        loss = loss + weights.matching * matching(student, teacher)
    return loss


class TeacherCache:
    """Augmented crops with the teacher's evidence for them, drawn again and again in new orders.

    Args:
        teacher: network whose evidence is kept; set to `eval()` mode.
        sampler: draws the crops.
        size: number of crops.
        span: samples in the middle of a window that the evidence covers; the rest is context.
        activations: keep the teacher's last activations too (bfloat16, about 41 KB per crop for
            the default teacher); EWA, SWA and SSWA need them.
        seed: of the order of the crops and of the noise.
        noise: added to the students' crops, different each time; None for none.
        progress: called as `progress(done, size)`, in crops.
    """

    def __init__(
        self,
        teacher: EvidenceNet,
        sampler: Crops,
        size: int,
        *,
        span: int,
        activations: bool = False,
        seed: int = 0,
        noise: TrainingNoise | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.teacher, self.size, self.span, self._seed = teacher.eval(), size, span, seed
        self._noise = noise
        chunks: list[tuple[np.ndarray, ...]] = []
        kept: list[Tensor] = []
        for first in range(0, size, 64):
            count = min(64, size - first)
            windows, *targets = sampler.batch(first, count)
            features = self._features(torch.from_numpy(windows))
            evidence = teacher.head(features).detach()
            grid = np.round(windows / np.float32(LSB_MV)).astype(np.int8)
            chunks.append((grid, evidence.numpy(), *targets))
            if activations:
                kept.append(features.bfloat16())
            if progress is not None:
                progress(first + count, size)
        tensors = (torch.from_numpy(np.concatenate(p)) for p in zip(*chunks, strict=True))
        self._windows, self._evidence, *self._targets = tensors
        self._activations = torch.cat(kept) if kept else torch.zeros(size, 0)

    def save(self, path: Path) -> None:
        """Write the crops and the teacher's evidence for them, whole or not at all."""
        state = {
            "format": CACHE_FORMAT,
            "seed": self._seed,
            "span": self.span,
            "windows": self._windows,
            "evidence": self._evidence,
            "activations": self._activations,
            "targets": list(self._targets),
        }
        save_state(path, state)

    @classmethod
    def load(
        cls, path: Path, teacher: EvidenceNet, noise: TrainingNoise | None = None
    ) -> TeacherCache:
        """Read what `save` wrote for the same teacher; tensors stay on disk until they are used.

        Noise is not kept in the file.

        Raises `ModelError` where the file is something else, or another teacher's.
        """
        try:
            state = torch.load(path, weights_only=True, mmap=True)
        except Exception as error:  # torch's unpickler may raise anything on a foreign file
            raise ModelError(f"{path}: not a teacher's cache: {error!r}") from error
        if not isinstance(state, dict) or state.get("format") != CACHE_FORMAT:
            raise ModelError(f"{path}: not a teacher's cache; delete it, it will be made again")
        cache = cls.__new__(cls)
        cache.teacher, cache._seed, cache.span = teacher.eval(), state["seed"], state["span"]
        cache._windows, cache._evidence = state["windows"], state["evidence"]
        cache._activations, cache._targets = state["activations"], state["targets"]
        cache.size, cache._noise = len(cache._windows), noise
        with torch.no_grad():
            features = cache._features(cache._windows[:1].float() * LSB_MV)
            again = teacher.head(features)
        if not torch.allclose(again, cache._evidence[:1], rtol=1e-3, atol=1e-3):
            raise ModelError(f"{path}: the cache of another teacher; delete it")
        return cache

    @torch.no_grad()
    def _features(self, windows: Tensor) -> Tensor:
        x = self.teacher.geometry.trim(windows, self.span)
        return self.teacher.features(x.unsqueeze(1))

    def batch(self, first: int, size: int) -> tuple[Tensor, ...]:
        """Return windows `[size, n]` in mV, the sampler's targets (of strips: labels `[size, C]`),
        the teacher's evidence `[size, C, T]` and activations `[size, K, T]`.

        Every pass over the cache is in another order. The order and the noise depend on the seed
        and the crop numbers only.
        """
        index = [self._order(i // self.size)[i % self.size] for i in range(first, first + size)]
        rows = torch.tensor(index)
        windows = self._windows[rows].float() * LSB_MV
        if self._noise is not None:
            windows = torch.from_numpy(self._noise.added(windows.numpy(), first, self._seed))
        activations = self._activations[rows].float()
        targets = (target[rows] for target in self._targets)
        return windows, *targets, self._evidence[rows], activations

    def _order(self, epoch: int) -> np.ndarray:
        if getattr(self, "_epoch", None) != epoch:
            self._permutation = np.random.default_rng([self._seed, epoch]).permutation(self.size)
            self._epoch = epoch
        return self._permutation

    def attribution(self, evidence: Tensor, activations: Tensor) -> Attribution:
        """The teacher's attribution of one batch of the cache."""
        head = self.teacher.head.weight.squeeze(2).detach()
        return Attribution(
            logits=evidence.mean(dim=2),
            channel_weights=lambda classes: head[classes],
            class_maps=lambda: evidence,
            activations=activations if activations.numel() else None,
        )


class DistillObjective(nn.Module):
    """Loss of a student, float or fake-quantised, that is distilled from a `TeacherCache`.

    `forward(windows, labels, evidence, activations)` takes a batch of the cache.
    """

    def __init__(
        self,
        student: EvidenceNet | QuantizedEvidenceNet,
        cache: TeacherCache,
        weights: DistillWeights,
        matching: Matching | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self._cache, self._weights, self._matching = cache, weights, matching

    def forward(
        self, windows: Tensor, labels: Tensor, evidence: Tensor, activations: Tensor
    ) -> Tensor:
        """Return the loss, a scalar."""
        x = self.student.geometry.trim(windows, self._cache.span).unsqueeze(1)
        student = attribute_evidence(self.student, x)
        teacher = self._cache.attribution(evidence, activations)
        return distillation_loss(student, teacher, labels, self._weights, self._matching)

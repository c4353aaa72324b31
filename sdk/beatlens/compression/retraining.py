"""Builds retrainings: of evidence networks from a teacher's cache, and of a network of your own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from beatlens.attribution.alignment import ColumnProbe, check_aligned
from beatlens.attribution.matching import Matching, attribute
from beatlens.compression.contract import Examples, Retraining
from beatlens.compression.distill import (
    DistillObjective,
    DistillWeights,
    TeacherCache,
    distillation_loss,
)
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Batch, Schedule

INPUT_BATCH = 32


def cached_inputs(net: nn.Module, cache: TeacherCache, batches: int) -> list[Tensor]:
    """Return the cache's first crops as the network takes them: `batches` of `[32, 1, N]` in mV.

    They serve for statistics and quantisation ranges. `ModelError` for other networks.
    """
    evidence_net = expect_evidence_net(net)
    windows = (cache.batch(i * INPUT_BATCH, INPUT_BATCH)[0] for i in range(batches))
    return [evidence_net.geometry.trim(w, cache.span).unsqueeze(1) for w in windows]


def build_retraining(
    cache: TeacherCache,
    weights: DistillWeights,
    matching: Matching | None,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
    score: str = "score",
) -> Retraining:
    """Build the retraining of an evidence network, float or int8, by distillation from a cache.

    The loss is that of `beatlens.compression.distill`: labels, the teacher's logits and its maps.

    Args:
        cache: the teacher and its crops.
        weights: weights of the loss's terms.
        matching: matching loss, or None for none; each network gets a copy of its own.
        schedule: steps, batch size and learning rate.
        validate, score: see `Retraining`.

    The retraining raises `ModelError` for other networks and for the teacher itself (the evidence
    in the cache would no longer be the teacher's), and `RecipeError` where more examples are needed
    than the cache has.
    """

    def objective(net: nn.Module) -> nn.Module:
        if net is cache.teacher:
            raise ModelError(
                "the network to compress is the teacher itself: give copy.deepcopy(teacher)"
            )
        return DistillObjective(expect_evidence_net(net), cache, weights, deepcopy(matching))

    def examples(net: nn.Module, first: int, size: int) -> Examples:
        if first + size > cache.size:
            raise RecipeError(
                f"crops {first} to {first + size - 1} are needed, but the cache has {cache.size}: "
                "crops would repeat; make the cache larger or use fewer crops"
            )
        windows, labels, evidence, _ = cache.batch(first, size)
        inputs = expect_evidence_net(net).geometry.trim(windows, cache.span).unsqueeze(1)
        return Examples(inputs, labels, evidence)

    return Retraining(
        objective=objective,
        batches=cache.batch,
        validate=validate,
        score=score,
        schedule=schedule,
        inputs=lambda net, n: cached_inputs(net, cache, n),
        examples=examples,
    )


def build_retraining_with(
    cache: TeacherCache,
    build_objective: Callable[[EvidenceNet | QuantizedEvidenceNet], nn.Module],
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
    score: str = "score",
) -> Retraining:
    """Build a retraining from a teacher's cache with an objective of your own.

    Args:
        cache: the teacher and its crops.
        build_objective: returns, for a network, the module whose forward takes a batch of the cache
            and returns the loss.
        schedule: steps, batch size and learning rate.
        validate, score: see `Retraining`.

    The retraining raises `ModelError` for other networks, and for the teacher itself. It has no
    `examples`: closed-form fits of a head are for decisions over whole strips.
    """

    def objective(net: nn.Module) -> nn.Module:
        if net is cache.teacher:
            raise ModelError(
                "the network to compress is the teacher itself: give copy.deepcopy(teacher)"
            )
        return build_objective(expect_evidence_net(net))

    return Retraining(
        objective=objective,
        batches=cache.batch,
        validate=validate,
        score=score,
        schedule=schedule,
        inputs=lambda net, n: cached_inputs(net, cache, n),
    )


def expect_evidence_net(net: nn.Module) -> EvidenceNet | QuantizedEvidenceNet:
    """Return the network if it is an evidence network, float or int8; else raise `ModelError`."""
    if not isinstance(net, EvidenceNet | QuantizedEvidenceNet):
        raise ModelError(
            f"the network is a {type(net).__name__}, expected an evidence network: a teacher's "
            "cache is for those; use build_own_retraining for a network of your own"
        )
    return net


class OwnObjective(nn.Module):
    """Distillation loss of any network from any other one; maps are matched at named layers.

    `forward(x [B, leads, N], labels [B, C])`; labels are NaN where not known.

    Args:
        net: the student.
        teacher: any network with the same classes; not trained, kept in `eval()` mode.
        layers: names of a layer of the student and one of the teacher, each giving `[B, K, T]`.
        weights: weights of the loss's terms.
        matching: matching loss, or None for none.
    """

    def __init__(
        self,
        net: nn.Module,
        teacher: nn.Module,
        layers: tuple[str, str],
        weights: DistillWeights,
        matching: Matching | None,
    ) -> None:
        super().__init__()
        self.net, self._layers, self._weights = net, layers, weights
        self._teacher = (teacher,)  # in a tuple: it is not trained with this module
        self._matching = matching

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        layer, teachers_layer = self._layers
        student = attribute(self.net, x, layer, differentiable=True)
        teacher = attribute(self._teacher[0], x, teachers_layer)
        return distillation_loss(student, teacher, labels, self._weights, self._matching)


def build_own_retraining(
    teacher: nn.Module,
    layer: str,
    batches: Callable[[int, int], Batch],
    matching: Matching | None,
    schedule: Schedule,
    validate: Callable[[nn.Module], dict[str, float]],
    score: str = "score",
    *,
    weights: DistillWeights | None = None,
    student_layer: str | None = None,
) -> Retraining:
    """Build the retraining of a network of your own by distillation from another network.

    The loss is that of `beatlens.compression.distill`: labels, the teacher's logits and its maps.

    Args:
        teacher: any network `x [B, leads, N] -> logits [B, C]`. A copy is kept, so the network to
            compress may be the teacher itself.
        layer: name of the teacher's layer `[B, K, T]` whose map is kept.
        batches: `batches(first, size)` returns crops `first .. first + size - 1`: `x` and labels
            `[B, C]` in 0..1, NaN where not known; the same ones in every call.
        matching: matching loss, or None for none.
        schedule: steps, batch size and learning rate.
        validate, score: see `Retraining`.
        weights: weights of the loss's terms; None: the defaults.
        student_layer: name of the student's layer, where it differs from the teacher's.

    Raises:
        ModelError: the teacher has no such layer; or, when maps are first compared, columns of the
            student and of the teacher lie at different places (one is padded, for example, and
            the other is not).
    """
    teacher = deepcopy(teacher).eval().requires_grad_(False)
    names = [name for name, _ in teacher.named_modules() if name]
    if layer not in names:
        raise ModelError(f"the teacher has no layer {layer!r}; its layers: {', '.join(names)}")
    layers = (student_layer or layer, layer)

    def objective(net: nn.Module) -> nn.Module:
        return OwnObjective(net, teacher, layers, weights or DistillWeights(), deepcopy(matching))

    def inputs(net: nn.Module, n: int) -> list[Tensor]:
        return [batches(i * INPUT_BATCH, INPUT_BATCH)[0] for i in range(n)]

    def examples(net: nn.Module, first: int, size: int) -> Examples:
        x, labels = batches(first, size)
        check_aligned(ColumnProbe(net, layers[0], x), ColumnProbe(teacher, layer, x))
        return Examples(x, labels, compute_evidence(teacher, layer, x))

    return Retraining(
        objective=objective,
        batches=batches,
        validate=validate,
        score=score,
        schedule=schedule,
        inputs=inputs,
        examples=examples,
    )


def compute_evidence(model: nn.Module, layer: str, x: Tensor) -> Tensor:
    """Compute the evidence `[B, C, T]` of any network: signed class maps whose mean is the logit.

    Args:
        model: `x -> logits [B, C]`.
        layer: name of a layer that gives `[B, K, T]`.
        x: inputs `[B, leads, N]`.

    Exact where the layer is averaged over columns and one linear layer follows. Its bias, which is
    in no sensitivity, is spread over the columns.

    >>> net = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
    ...                     nn.Linear(4, 3)).eval()
    >>> x = torch.randn(2, 1, 30)
    >>> bool(torch.allclose(compute_evidence(net, "1", x).mean(2), net(x), atol=1e-5))
    True
    """
    with torch.enable_grad():  # sensitivities are gradients
        seen = attribute(model, x, layer)
        maps = seen.class_maps().detach()
    return maps - maps.mean(dim=2, keepdim=True) + seen.logits[:, :, None]

"""Attribution matching: losses that keep a compressed network's maps equal to its teacher's.

`EWA`, `SWA` and `SSWA` are the three of Park, Yang, Hwang & Yang, "Attribution Preservation in
Network Compression for Reliable Network Interpretation" (NeurIPS 2020, arXiv 2010.15054, sec. 3);
`Classwise` is ours. All losses are distances `1 - cos`. The paper's loss, the mean squared
difference of L2-normalised maps, is `2 / T` times that; weights of `1 - cos` do not depend on T
(the reference's lambda = 100 at T = 49 is 4.1 here).

A loss takes two `Attribution`s of one batch, the student's and the teacher's.
`attribute(model, x, layer)` makes one for any `nn.Module`; `attribute_evidence(net, x)` for an
evidence network, whose sensitivities are the head's weights themselves, so that no second
derivative is needed (first-order short cut).

>>> _ = torch.manual_seed(0)
>>> def network():
...     return nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
...                          nn.Flatten(), nn.Linear(4, 3))
>>> teacher, student, x = network().eval(), network(), torch.randn(2, 1, 64)
>>> loss = SWA()(attribute(student, x, "1", differentiable=True), attribute(teacher, x, "1"))
>>> bool(0 <= loss <= 1)
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.alignment import ColumnProbe, check_aligned
from beatlens.attribution.gradients import input_gradients
from beatlens.attribution.maps import captured, sensitivities, weighted_map
from beatlens.errors import ModelError, RecipeError

EPSILON = 1e-8
OFFSETS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 80)
"""Distances, in columns, of the pairs that are compared: from neighbours to half a strip, growing
by about the same factor, so that the number of pairs grows with T and not with its square."""


@dataclass(frozen=True)
class Attribution:
    """Logits and maps of a network for one batch.

    Args:
        logits: `[B, C]`.
        channel_weights: `channel_weights(classes [B])` returns the sensitivities `[B, K]` of those
            classes.
        class_maps: returns the signed maps of all classes, `[B, C, T]`, in logit units.
        activations: `[B, K, T]`, or None where they were not kept (cached teachers).
        probe: network, layer and input, to check the places of the columns; None where these are
            known to agree (evidence networks over one span).
    """

    logits: Tensor
    channel_weights: Callable[[Tensor], Tensor]
    class_maps: Callable[[], Tensor]
    activations: Tensor | None
    probe: ColumnProbe | None = None

    def activation(self) -> Tensor:
        """Return the activations `[B, K, T]`; `ModelError` where they were not kept."""
        if self.activations is None:
            raise ModelError("this matching loss needs activations, but only evidence was kept")
        return self.activations


def attribute(
    model: nn.Module, x: Tensor, layer: str | nn.Module, *, differentiable: bool = False
) -> Attribution:
    """Run any network on a batch and return its attribution at a layer `[B, K, T]`.

    Args:
        model: `x -> logits [B, C]`.
        x: `[B, leads, N]`.
        layer: submodule or its dotted name.
        differentiable: true for the student: maps are differentiable, also through their
            sensitivities (double backward by `torch.autograd.grad`, which changes no `.grad`).

    Raises:
        ModelError: there is no such layer, or it does not give `[B, K, T]`.

    >>> net = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
    ...                     nn.Linear(4, 2)).eval()
    >>> found = attribute(net, torch.randn(3, 1, 30), "1")
    >>> found.logits.shape, found.class_maps().shape
    (torch.Size([3, 2]), torch.Size([3, 2, 26]))
    """
    with torch.enable_grad(), captured(model, layer) as capture:
        logits = model(x)
    activation = capture.value
    kept = activation if differentiable else activation.detach()

    def channel_weights(classes: Tensor) -> Tensor:
        return sensitivities(logits, activation, classes, create_graph=differentiable)

    def class_maps() -> Tensor:
        every = range(logits.shape[1])
        index = [torch.full((len(logits),), c, device=logits.device) for c in every]
        return torch.stack([weighted_map(kept, channel_weights(c), relu=False) for c in index], 1)

    shown = logits if differentiable else logits.detach()
    return Attribution(shown, channel_weights, class_maps, kept, ColumnProbe(model, layer, x))


class Headed(Protocol):
    """An evidence network, float or fake-quantised: a backbone, then a 1x1 head with `weight`."""

    @property
    def head(self) -> nn.Module:
        """Maps `[B, K, T]` to evidence `[B, C, T]`."""

    def features(self, x: Tensor) -> Tensor:
        """Last activation `[B, K, T]` of `x [B, leads, N]`."""


def attribute_evidence(net: Headed, x: Tensor) -> Attribution:
    """Run an evidence network on `x [B, leads, N]`; maps are its evidence (first order)."""
    return attribute_head(net.features(x), net.head)


def attribute_head(activations: Tensor, head: nn.Module) -> Attribution:
    """Return the attribution of a last activation `[B, K, T]` under a 1x1 head (first order)."""
    evidence = head(activations)
    return Attribution(
        logits=evidence.mean(dim=2),
        channel_weights=lambda classes: cast(Tensor, head.weight).squeeze(2)[classes],
        class_maps=lambda: evidence,
        activations=activations,
    )


def map_distance(a: Tensor, b: Tensor) -> Tensor:
    """`1 - cos` of maps `[..., T]`, along T; shape `[...]`.

    Maps of different lengths are compared at the longer one's columns, by linear interpolation.
    This is right only for one span and different strides, which the matching losses check.
    """
    a, b = _same_length(a, b)
    return 1 - F.cosine_similarity(_wide(a), _wide(b), dim=-1, eps=EPSILON)


def _wide(values: Tensor) -> Tensor:
    """At least float32: sums over columns lose too much in bfloat16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check(student: Attribution, teacher: Attribution) -> None:
    """Raise `ModelError` where the columns of the two lie at different places."""
    if student.probe is not None and teacher.probe is not None:
        check_aligned(student.probe, teacher.probe)


def _same_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps at the columns of the longer one."""
    size = max(a.shape[-1], b.shape[-1])
    return _resample(a, size), _resample(b, size)


def _resample(maps: Tensor, size: int) -> Tensor:
    """Maps `[..., T]` interpolated linearly to `size` columns."""
    if maps.shape[-1] == size:
        return maps
    flat = maps.reshape(-1, 1, maps.shape[-1])
    resampled = F.interpolate(flat, size, mode="linear", align_corners=False)
    return resampled.reshape(*maps.shape[:-1], size)


class Matching(Protocol):
    """A matching loss; `needs_activations` is false where it uses class maps only."""

    needs_activations: bool

    def __call__(self, student: Attribution, teacher: Attribution) -> Tensor:
        """Return the loss of a batch, a scalar in units of `1 - cos`.

        Raises ModelError where the columns of the two networks lie at different places.
        """


class EWA(nn.Module):
    """Equally weighted activations: maps `mean_k A_k^2`, no class (paper, sec. 3.1)."""

    needs_activations = True

    def forward(self, student: Attribution, teacher: Attribution) -> Tensor:
        """Mean distance of the two maps; see `Matching`."""
        _check(student, teacher)
        student_map, teacher_map = (
            student.activation().square().mean(1),
            teacher.activation().square().mean(1),
        )
        return map_distance(student_map, teacher_map.detach()).mean()


class SWA(nn.Module):
    """Sensitivity weighted activations: maps `relu(sum_k a_k A_k)` (paper, sec. 3.2).

    Both maps are of the class that the *teacher* ranks first. Where the student's map is negative
    in every column, its rectified map and the loss's gradient are zero, and the map cannot recover.
    `Classwise` does not have this problem.
    """

    needs_activations = True

    def forward(self, student: Attribution, teacher: Attribution) -> Tensor:
        """Mean distance of the two maps; see `Matching`."""
        _check(student, teacher)
        classes = teacher.logits.argmax(dim=1)
        student_map = weighted_map(student.activation(), student.channel_weights(classes))
        teacher_map = weighted_map(
            self._kept(teacher.activation()), teacher.channel_weights(classes)
        )
        return map_distance(student_map, teacher_map.detach()).mean()

    def _kept(self, activations: Tensor) -> Tensor:
        return activations


class SSWA(SWA):
    """Stochastic `SWA`: a fraction of the teacher's channels is left out of its map, anew for every
    batch (paper, sec. 3.3; `fraction` .1 as in the reference code).

    The choice depends on the seed and the batch's number only. The number is a buffer, so that
    checkpoints hold it and a resumed training continues exactly.
    """

    batches: Tensor

    def __init__(self, fraction: float = 0.1, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= fraction < 1:
            raise RecipeError(f"fraction of dropped channels is {fraction}, expected 0 <= r < 1")
        self._fraction, self._seed = fraction, seed
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def _kept(self, activations: Tensor) -> Tensor:
        channels = activations.shape[1]
        rng = np.random.default_rng([self._seed, int(self.batches)])
        self.batches += 1
        mask = torch.ones(channels)
        mask[torch.from_numpy(rng.permutation(channels)[: round(self._fraction * channels)])] = 0
        return activations * mask.to(activations)[:, None]


class Classwise(nn.Module):
    """Ours: the *signed* map of every class, its shape and its order, `1 - cos` of each.

    Shape: `1 - cos` of the maps centred over the columns, which is 1 - Pearson. Signs are kept, so
    that no map's gradient vanishes. The mean over columns is removed: it is the logit, which
    distillation matches, and would dominate the cosine. In a map with a few high peaks the peaks
    dominate this term, and the order of all other columns hardly matters.

    Order: for pairs of columns `OFFSETS` apart, `tanh` of their difference over `softness` standard
    deviations of the map: how surely one is higher. Every pair has equal weight, near a peak or far
    from it.

    The weight of a class is the teacher's probability plus `floor`, so that all present classes
    count, not only the first.

    Args:
        floor: weight of a class that the teacher is sure is absent.
        order: share of the order term; 0 matches shape alone.
        softness: see above; above 0.
        centred: false keeps the mean in the shape term, for comparison.
    """

    needs_activations = False

    def __init__(
        self,
        floor: float = 0.05,
        *,
        order: float = 0.5,
        softness: float = 0.2,
        centred: bool = True,
    ) -> None:
        super().__init__()
        if floor < 0 or not 0 <= order <= 1 or softness <= 0:
            raise RecipeError(
                f"floor is {floor}, order {order}, softness {softness}; expected floor >= 0, "
                "0 <= order <= 1 and softness > 0"
            )
        self._floor, self._order, self._softness = floor, order, softness
        self._centred = centred

    def forward(self, student: Attribution, teacher: Attribution) -> Tensor:
        """Mean distance over samples and classes, weighted; see `Matching`."""
        _check(student, teacher)
        student_map, teacher_map = _same_length(
            _wide(student.class_maps()), _wide(teacher.class_maps())
        )
        teacher_map = teacher_map.detach()
        weight = torch.sigmoid(_wide(teacher.logits.detach())) + self._floor
        distance = (1 - self._order) * map_distance(
            self._shape(student_map), self._shape(teacher_map)
        )
        if self._order and student_map.shape[-1] > 1:
            pairs = (pair_order(maps, self._softness) for maps in (student_map, teacher_map))
            distance = distance + self._order * map_distance(*pairs)
        return (weight * distance).sum() / weight.sum()

    def _shape(self, maps: Tensor) -> Tensor:
        return maps - maps.mean(-1, keepdim=True) if self._centred else maps


def pair_order(maps: Tensor, softness: float = 0.2) -> Tensor:
    """Compute how surely one column is higher than another, -1..1, for pairs: `[..., P]`.

    Args:
        maps: `[..., T]`; T > 1.
        softness: difference, in standard deviations of the map, that counts as quite sure.

    >>> pair_order(torch.tensor([[0.0, 1.0, 1.0]])).round(decimals=2)
    tensor([[1., 0., 1.]])
    """
    deviation = (maps.var(-1, keepdim=True, correction=0) + EPSILON).sqrt()
    scaled = maps / (softness * deviation)
    offsets = [k for k in OFFSETS if k < maps.shape[-1]]
    return torch.cat([torch.tanh(scaled[..., k:] - scaled[..., :-k]) for k in offsets], dim=-1)


def input_gradient_distance(student: nn.Module, teacher: nn.Module, x: Tensor) -> Tensor:
    """`1 - cos` of the two input gradients of the teacher's top class, mean over the batch.

    It can be added to any of the losses, for example in every n-th step, to keep input gradients as
    well as maps. Both networks must take the same `x [B, leads, N]`. It costs a double backward.
    """
    with torch.no_grad():
        classes = teacher(x).argmax(dim=1)
    teacher_map = input_gradients(teacher, x, classes).flatten(1)
    student_map = input_gradients(student, x, classes, create_graph=True).flatten(1)
    return map_distance(student_map, teacher_map.detach()).mean()


MATCHINGS: dict[str, Callable[[], Matching]] = {
    "ewa": EWA,
    "swa": SWA,
    "sswa": SSWA,
    "shape": partial(Classwise, order=0.0),
    "classwise": Classwise,
}


def build_matching(name: str) -> Matching | None:
    """Build the matching loss that a recipe names.

    Args:
        name: `classwise`, `ewa`, `swa`, `sswa` (WCAM, Park et al., NeurIPS 2020), one of the others
            in `MATCHINGS`, or `none`.

    Returns:
        A module that takes the student's and the teacher's `Attribution` of one batch and returns
        the loss; None for `none`.

    Raises:
        RecipeError: there is no such loss.

    >>> build_matching("none") is None, type(build_matching("classwise")).__name__
    (True, 'Classwise')
    """
    if name == "none":
        return None
    if name not in MATCHINGS:
        known = ", ".join(("none", *MATCHINGS))
        raise RecipeError(f"matching is {name!r}, expected one of {known}")
    return MATCHINGS[name]()

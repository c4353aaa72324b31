"""`beatlens.compression`: a network of one's own made small, its explanations kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import build_matching
from beatlens.compression.contract import Budget, Compressed, Method, run_steps
from beatlens.compression.evidence_repair import RepairEvidence
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.retraining import build_own_retraining, compute_evidence
from beatlens.errors import RecipeError
from beatlens.training.loop import Schedule

VALIDATED = 5
"""Of so many crops one is validated on, the others are trained on."""


def compress(
    net: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    explain: str,
    budget: Budget | int | str,
    head: str | None = None,
    matching: str = "classwise",
    steps: int = 300,
    batch: int = 16,
    learning_rate: float = 1e-2,
) -> Compressed:
    """Prune the channels of a network to a budget, and keep the maps of one of its layers.

    The network as it was is the teacher: its decisions and its maps are matched (attribution
    matching, Park et al., NeurIPS 2020) while the pruned one is trained again.

    Args:
        net: any network `x [B, leads, N] -> logits [B, C]` of 1-D convolutions; it is not changed.
        loader: gives batches `(x, labels [B, C] in 0..1)`; all of them are kept in memory. NaN is a
            label that is not known.
        explain: name of the layer `[B, K, T]` whose map is the explanation.
        budget: bytes of the packed int8 weights; a number, or text such as `"20kB"`.
        head: name of the linear layer that decides; where it is given, its weights are fitted to
            the teacher's maps at last (evidence repair).
        matching: matching loss, see `beatlens.matching`.
        steps, batch, learning_rate: of each training.

    Returns:
        The small network, its size and a log; see `beatlens.compression.contract.Compressed`.

    Raises:
        RecipeError: the budget or the loader is none, or a setting is out of range.
        ModelError: there is no such layer, or the budget cannot be reached.

    >>> net = nn.Sequential(nn.Conv1d(1, 12, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
    ...                     nn.Linear(12, 2)).eval()
    >>> batches = [(torch.randn(16, 1, 40), torch.eye(2).repeat(8, 1)) for _ in range(4)]
    >>> small = compress(net, batches, explain="1", budget="100B", steps=4, batch=8)
    >>> small.size.packed_bytes <= 100
    True
    """
    crops = _Crops.collect(loader)
    methods: list[Method] = [PruneChannels(round_to=1, monitor=False)]
    if head is not None:
        methods.append(
            RepairEvidence(crops=crops.trained, held_out=batch, head=head, layer=explain)
        )
    schedule = Schedule(steps, batch, learning_rate, validate_every=max(1, steps // 5))
    retraining = build_own_retraining(
        net, explain, crops.batches, build_matching(matching), schedule,
        _agreement(net, explain, crops),
    )  # fmt: skip
    return run_steps(deepcopy(net), methods, retraining, read_budget(budget))


def read_budget(budget: Budget | int | str) -> Budget:
    """A budget of bytes, as a number or as text with a unit.

    >>> read_budget("20kB"), read_budget(512)
    (Budget(packed_bytes=20000), Budget(packed_bytes=512))
    """
    if isinstance(budget, Budget):
        return budget
    if isinstance(budget, str):
        number, unit = budget.strip().rstrip("kKMB"), budget.strip().lstrip("0123456789. ")
        scale = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1_000_000}.get(unit)
        try:
            if scale is None:
                raise ValueError(unit)
            return Budget(round(float(number) * scale))
        except ValueError as error:
            raise RecipeError(
                f"budget is {budget!r}, expected a number of bytes, such as '20kB'"
            ) from error
    return Budget(budget)


@dataclass(frozen=True)
class _Crops:
    """All crops of a loader: the first `trained` are trained on, the others validated on."""

    x: Tensor
    labels: Tensor
    trained: int

    @classmethod
    def collect(cls, loader: Iterable[tuple[Tensor, Tensor]]) -> _Crops:
        parts = [(x, labels) for x, labels in loader]
        if not parts:
            raise RecipeError("the loader gave no batch, expected (x, labels) at least once")
        x, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        if labels.ndim != 2 or len(labels) != len(x) or len(x) < VALIDATED:
            raise RecipeError(
                f"the loader gave x {list(x.shape)} and labels {list(labels.shape)}, expected "
                f"[B, leads, N] and [B, C] of the same B, at least {VALIDATED}"
            )
        return cls(x, labels.float(), len(x) - max(1, len(x) // VALIDATED))

    def batches(self, first: int, size: int) -> tuple[Tensor, Tensor]:
        """Crops `first .. first + size - 1`; after the last one the first comes again."""
        index = torch.arange(first, first + size) % self.trained
        return self.x[index], self.labels[index]

    @property
    def validation(self) -> tuple[Tensor, Tensor]:
        return self.x[self.trained :], self.labels[self.trained :]


def _agreement(
    net: nn.Module, layer: str, crops: _Crops
) -> Callable[[nn.Module], dict[str, float]]:
    """Measures agreement with the network as it was, on the crops for validation."""
    x, _ = crops.validation
    teacher = deepcopy(net).eval()
    maps = compute_evidence(teacher, layer, x).numpy()
    with torch.no_grad():
        logits = teacher(x)
    predicted = (logits > 0).numpy()
    every = predicted if predicted.any() else predicted | True

    def measure(small: nn.Module) -> dict[str, float]:
        small.eval()
        own = compute_evidence(small, layer, x).numpy()
        with torch.no_grad():
            same = ((small(x) > 0) == (logits > 0)).float().mean().item()
        spearman = fidelity(maps, own, every).summary()["spearman"]
        return {"spearman": spearman, "same": same, "score": spearman + same}

    return measure

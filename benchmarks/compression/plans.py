"""What `python -m benchmarks compress` compares: every method at two budgets.

A third budget, for the smallest models, is tried with the methods that lead at the second.

A method starts from the teacher where it can reach the budget from there by itself. Where it cannot
(a codebook cannot take 0.8 M weights to 32 KB), it starts from a distilled network of a size from
which it can, and the table states it: `start` is that network's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from beatlens.nets.backbones import STUDENTS, NetworkSpec
from beatlens.recipe import StepSection

PAPER = ("ewa", "swa", "sswa")
WITH_AND_WITHOUT = ("none", "classwise")
SMALL, TINY, LARGE = 100, 300, 20
SHARES = (SMALL, TINY, LARGE)
"""Budgets: the teacher's float bytes divided by these."""

_KERNELS, _STRIDES = (8, 8, 8, 12, 10, 10, 10), (2, 2, 2, 1, 1, 1, 1)


def _dense(*channels: int) -> NetworkSpec:
    return NetworkSpec("dense", channels, _KERNELS, _STRIDES)


NETWORKS: Mapping[str, NetworkSpec] = {
    "dense-20k": _dense(10, 14, 18, 20, 20, 20, 20),
    "dense-26k": STUDENTS["dense-26k"],
    "dense-48k": _dense(12, 20, 28, 32, 32, 32, 32),
    "dense-106k": _dense(20, 32, 40, 48, 48, 48, 44),
    "dense-144k": _dense(20, 36, 48, 56, 56, 56, 52),
    "dense-203k": _dense(16, 48, 64, 64, 64, 64, 64),
    "dense-289k": _dense(28, 48, 64, 80, 80, 80, 80),
}
"""Distilled networks that methods start from, by kind and thousands of weights."""

TEACHER = "teacher"
RATES: Mapping[str, float] = {
    "channels L1": 3e-2,
    "channels Taylor": 3e-3,
    "channels evidence": 3e-2,
    "channels evidence, 3 rounds": 1e-2,
    "channels L1, OrthP": 3e-2,
    "channels, TPP": 3e-2,
    "weights": 1e-2,
    "unified blocks": 3e-3,
    "permuted blocks": 1e-2,
    "coded kernels": 1e-3,
    "4 bit": 3e-2,
}
"""Learning rates chosen on validation patients (docs/figures/compress_rates.json), by method; where
there is none, the recipe's."""


@dataclass(frozen=True)
class Plan:
    """One method at one budget.

    Args:
        start: `teacher`, or a network of `NETWORKS` that is distilled first.
        make: gives the steps between that and quantisation-aware training, for a seed.
        matchings: that it is run with.
        after: steps after quantisation.
        trained: false quantises after training only.
        rate: learning rate of the retraining; None: the recipe's.
    """

    start: str
    make: Callable[[int], tuple[StepSection, ...]] = lambda seed: ()
    matchings: tuple[str, ...] = WITH_AND_WITHOUT
    after: tuple[StepSection, ...] = ()
    trained: bool = True
    rate: float | None = None

    @property
    def shared_steps(self) -> int:
        """How many first steps other plans with the same start have too.

        Those are the distillation, and quantisation where nothing comes between the two.
        """
        if self.start == TEACHER:
            return 0
        return 2 if self.trained and not self.make(0) else 1


def _step(method: str, **settings: float | str) -> StepSection:
    return StepSection(method=method, settings=settings)


def plans() -> dict[tuple[str, int], Plan]:
    """All plans by the method's name and the budget's share (20: a twentieth)."""
    found: dict[tuple[str, int], Plan] = {}
    for share in SHARES:
        for name, plan in _of_share(share).items():
            found[name, share] = replace(plan, rate=RATES.get(name))
    return found


def _of_share(share: int) -> dict[str, Plan]:
    if share == TINY:
        return _tiny()
    student = "dense-144k" if share == LARGE else "dense-26k"
    return {**_pruning(share), **_formats(share), **_heads(student)}


def _tiny() -> dict[str, Plan]:
    """The methods that lead at a hundredth, at a third of that."""
    pruning, formats = _pruning(TINY), _formats(TINY)
    return {
        "channels evidence, 3 rounds": pruning["channels evidence, 3 rounds"],
        "unified blocks": replace(formats["unified blocks"], start="dense-48k"),
        "coded kernels": replace(formats["coded kernels"], start="dense-48k"),
        "4 bit": replace(formats["4 bit"], start="dense-20k", matchings=WITH_AND_WITHOUT),
    }


def retraining() -> tuple[str, ...]:
    """Names of the methods that retrain, for which a learning rate is to be chosen."""
    return tuple({name: None for (name, _), plan in plans().items() if plan.make(0)})


def _pruning(share: int) -> dict[str, Plan]:
    """Methods that take the teacher itself down (single weights to a hundredth: half way)."""

    def channels(**settings: int | str) -> Callable[[int], tuple[StepSection, ...]]:
        return lambda seed: (_step("prune-channels", **settings),)

    return {
        "channels L1": Plan(TEACHER, channels(importance="l1"), (*WITH_AND_WITHOUT, *PAPER)),
        "channels Taylor": Plan(TEACHER, channels(importance="taylor")),
        "channels evidence": Plan(TEACHER, channels(importance="evidence")),
        "channels evidence, 3 rounds": Plan(TEACHER, channels(importance="evidence", rounds=3)),
        "channels L1, OrthP": Plan(TEACHER, channels(importance="l1", reinit="orthp")),
        "channels, TPP": Plan(TEACHER, lambda seed: (_step("prune-regularised"),)),
        "weights": Plan(
            TEACHER if share == LARGE else "dense-289k", lambda seed: (_step("prune-weights"),)
        ),
    }


def _formats(share: int) -> dict[str, Plan]:
    """Methods that make weights cheaper, from networks that bring them near the budget."""
    large = share == LARGE
    return {
        "unified blocks": Plan(
            TEACHER if large else "dense-106k", lambda seed: (_step("unify-weights"),)
        ),
        "permuted blocks": Plan(
            TEACHER if large else "dense-203k",
            lambda seed: (_step("permuted-blocks", groups=8, seed=seed),),
        ),
        "coded kernels": Plan(
            TEACHER if large else "dense-106k", lambda seed: (_step("code-kernels", seed=seed),)
        ),
        "4 bit": Plan(
            "dense-289k" if large else "dense-48k",
            lambda seed: (_step("low-bit", bits=4),),
            (*WITH_AND_WITHOUT, *PAPER),
        ),
    }


def _heads(student: str) -> dict[str, Plan]:
    """Distillation into a student, its quantisation, and heads fitted anew."""
    return {
        "distilled": Plan(student, matchings=(*WITH_AND_WITHOUT, *PAPER)),
        "distilled, int8 after training": Plan(student, trained=False),
        "head, ridge": Plan(student, after=(_step("head-refit", kind="ridge"),)),
        "head, manifold": Plan(
            student, after=(_step("head-manifold", crops=512, unknown="teacher"),)
        ),
        "head, gradient": Plan(student, after=(_step("head-refit", kind="gradient"),)),
        "evidence repair": Plan(student, after=(_step("repair-evidence"),)),
        "evidence repair, worst strip": Plan(student, after=(_step("repair-evidence", power=8.0),)),
    }

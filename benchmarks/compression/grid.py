"""The cells of `python -m benchmarks compress`: one method, budget, matching loss and seed each.

A cell trains, quantises, runs its network over test strips on LiteRT's reference kernels, and
leaves what the table needs in a folder of its own; a folder that is complete is not made again, so
an interrupted benchmark goes on where it stopped, and cells may run as separate processes.
"""

from __future__ import annotations

import hashlib
import json
import time
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from filelock import FileLock

from beatlens.compress.contract import Budget, Compressed, Retraining, run_steps
from beatlens.compress.distill import TeacherCache
from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import Quantize, QuantizedEvidenceNet
from beatlens.compress.size import weight_account
from beatlens.errors import RecipeError
from beatlens.tasks.windows.metrics import Run, run_integer, run_network
from beatlens.integer.account import size_account
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.output import write_whole
from beatlens.tasks.windows.data import Prepared
from beatlens.pipeline.student import (
    Agreement,
    build_cache,
    build_student_retraining,
    distill_student,
    load_quantized,
    save_quantized,
)
from beatlens.recipe import NetworkSection, Recipe
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.training.loop import Report, Schedule
from benchmarks.attribution.matching import MATCHING_WEIGHTS
from benchmarks.compression.plans import NETWORKS, TEACHER, Plan

QUICK_CACHE = 1536
EVERY = 3
"""Every third test strip is looked at: 270 cells run on the real interpreter."""


@dataclass(frozen=True)
class GridCell:
    """One cell of the table; `share` divides the teacher's float bytes.

    `rate` is the learning rate of its retraining, None the plan's; a cell with one is for choosing
    it, and looks at validation patients only.
    """

    method: str
    share: int
    matching: str
    seed: int
    rate: float | None = None

    @property
    def name(self) -> str:
        """A name for a folder and for the command line."""
        method = self.method.replace(",", "").replace(" ", "-").lower()
        tried = "" if self.rate is None else f"_{self.rate:g}"
        return f"{method}_{self.share}_{self.matching}_{self.seed}{tried}"


def list_cells(plans: dict[tuple[str, int], Plan], seeds: list[int]) -> list[GridCell]:
    """All cells, seed by seed, so that a stopped benchmark has whole tables of fewer seeds."""
    return [
        GridCell(method, share, matching, seed)
        for seed in seeds
        for (method, share), plan in plans.items()
        for matching in plan.matchings
    ]


def some_strips(prepared: Prepared, every: int = EVERY) -> WindowSet:
    """Every third strip of the test patients."""
    whole = cut_windows(prepared.test)
    keep = slice(None, None, every)
    return WindowSet(*(array[keep] for array in (
        whole.windows, whole.labels, whole.masks, whole.records, whole.starts)))  # fmt: skip


def all_seeds(teachers: Path) -> list[int]:
    """Seeds whose teacher is in a folder of `seed-N/teacher.pt`."""
    names = (path.parent.name.removeprefix("seed-") for path in teachers.glob("seed-*/teacher.pt"))
    return sorted(int(name) for name in names if name.isdecimal())


@dataclass
class Grid:
    """Makes cells of one recipe.

    Args:
        recipe: schedules, cache and sampling; its student section is not used.
        prepared: tracks.
        teachers: folder with `seed-N/teacher.pt`, as `python -m benchmarks attribution` leaves it.
        folder: where cells, caches and distilled starting networks are kept.
        plans: what is compared.
        report: progress.
        quick: budgets are relative to what a plan starts from, since a small teacher's hundredth
            is next to nothing; to test the machinery.
    """

    recipe: Recipe
    prepared: Prepared
    teachers: Path
    folder: Path
    plans: dict[tuple[str, int], Plan]
    report: Report | None = None
    quick: bool = False

    @cached_property
    def strips(self) -> WindowSet:
        """What cells of the table are run on; nothing that is chosen on validation looks at it."""
        return some_strips(self.prepared)

    def place(self, cell: GridCell) -> Path:
        """Folder of a cell; it is complete when it holds `cell.json`."""
        return self.folder / "cells" / cell.name

    def done(self, cell: GridCell) -> bool:
        """Whether a cell is complete."""
        return (self.place(cell) / "cell.json").exists()

    def teacher(self, seed: int) -> EvidenceNet:
        """The teacher of a seed. Raises `RecipeError` where it is not trained yet."""
        path = self.teachers / f"seed-{seed}" / "teacher.pt"
        if not path.exists():
            raise RecipeError(
                f"{path}: no such teacher; train it with `python -m benchmarks attribution "
                f"--run {self.teachers} --seeds {seed} --train-only`"
            )
        return load_net(path)[0]

    def basis(self, seed: int) -> str:
        """Digest of a seed's teacher and of the recipe, 12 hexadecimal digits.

        Rows of the figures files with another one are of another teacher or recipe. Of the recipe
        it takes the values that are not defaults, without their keys: so a setting that is added
        or renamed later leaves it as it is.
        """
        values = _leaves(self.recipe.model_dump(mode="json", exclude_defaults=True))
        digest = hashlib.sha256(json.dumps(values).encode())
        for name, tensor in sorted(self.teacher(seed).state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()[:12]

    def reference(self, seed: int) -> tuple[Run, np.ndarray]:
        """A seed's teacher on the test strips, and its thresholds."""
        run = self._run_teacher(seed, "test", self.strips)
        validation = cut_windows(self.prepared.validation)
        chosen_on = self._run_teacher(seed, "validation", validation)
        return run, self.prepared.thresholds(self.recipe, validation, chosen_on)

    def _run_teacher(self, seed: int, role: str, strips: WindowSet) -> Run:
        """A seed's teacher on strips; kept on disk."""
        path = self.folder / f"teacher-{seed}-{role}.npz"
        with self._alone(path):
            if not path.exists():
                run_network(self.teacher(seed), strips).save(path)
        return Run.load(path)

    def cache(self, seed: int) -> TeacherCache:
        """The crops of a seed with the teacher's evidence on them; kept on disk."""
        path = self.folder / f"cache-{seed}.pt"
        teacher = self.teacher(seed)
        with self._alone(path):
            if not path.exists():
                recipe = self.recipe.model_copy(update={"seed": seed})
                build_cache(recipe, self.prepared, teacher, activations=True).save(path)
        return TeacherCache.load(path, teacher, self.recipe.distill.noise)

    @staticmethod
    def _alone(path: Path) -> FileLock:
        """Holds off other processes while one makes a file that several cells share."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_suffix(".lock"))

    def make(self, cell: GridCell) -> None:
        """Make a cell: train, quantise, run, write. Does nothing where it is complete.

        Benchmarks may run side by side in one folder: a cell that another is making is waited for.
        """
        with self._alone(self.place(cell) / "cell.json"):
            if not self.done(cell):
                self._make(cell)

    def _make(self, cell: GridCell) -> None:
        place, plan = self.place(cell), self.plans[cell.method, cell.share]
        cache = self.cache(cell.seed)
        recipe = self._recipe(cell, plan)
        predicted = self._run_teacher(cell.seed, "validation", cut_windows(self.prepared.validation))
        agreement = Agreement.of(recipe, self.prepared, cache.teacher, predicted)
        started = time.perf_counter()
        net = self._start(cell, plan, recipe, cache, agreement)
        schedule = recipe.compress.retrain_schedule.schedule
        retraining = build_student_retraining(recipe, cache, agreement, schedule)
        budget = self._budget(cell, cache.teacher, net, shrinks=bool(plan.make(cell.seed)))
        done = self._compressed(cell, plan, net, retraining, budget)
        if not isinstance(done.net, QuantizedEvidenceNet):
            raise TypeError(f"{cell.name} ended with a {type(done.net).__name__}")
        graph = build_graph(done.net, SPAN)
        account = size_account(graph)
        if cell.rate is None:
            run_integer(graph, done.net.geometry, self.strips).save(place / "int8-test.npz")
        validated = agreement(done.net)
        about: dict[str, Any] = {
            "start": plan.start,
            "seconds": time.perf_counter() - started,
            "validated": validated,
            "weights": done.size.as_dict(),
            "account": account.as_dict(),
            "log": done.log,
        }
        text = json.dumps(about, indent=1, default=float) + "\n"
        write_whole(place / "cell.json", text.encode())

    def _compressed(
        self, cell: GridCell, plan: Plan, net: EvidenceNet, retraining: Retraining, budget: Budget
    ) -> Compressed:
        """Run a plan's steps. Plans that only differ in what follows int8 share what is before."""
        before, quantize = plan.make(cell.seed), self._quantize(plan)
        if before or not plan.trained:
            return run_steps(net, [*before, quantize, *plan.after], retraining, budget, self.report)
        path = self._start_path(plan, cell).with_suffix(".int8.pt")
        with self._alone(path):
            if not path.exists():
                done = run_steps(net, [quantize], retraining, budget, self.report)
                save_quantized(path, cast(QuantizedEvidenceNet, done.net))
        ready = load_quantized(path, net)
        if not plan.after:
            return Compressed(ready, weight_account(ready))
        return run_steps(ready, plan.after, retraining, budget, self.report)

    def _budget(
        self, cell: GridCell, teacher: EvidenceNet, net: EvidenceNet, *, shrinks: bool
    ) -> Budget:
        if self.quick:
            size = weight_account(net).packed_bytes
            return Budget(size // 2 if shrinks else 2 * size)
        return Budget(4 * teacher.weights // cell.share)

    def _recipe(self, cell: GridCell, plan: Plan) -> Recipe:
        weight = MATCHING_WEIGHTS.get(cell.matching, 0.0)
        changed = {"matching": cell.matching, "matching_weight": weight}
        distill = self.recipe.distill.model_copy(update=changed)
        compress = self.recipe.compress
        if rate := cell.rate or plan.rate:
            schedule = compress.retrain_schedule.model_copy(update={"learning_rate": rate})
            compress = compress.model_copy(update={"retrain_schedule": schedule})
        return self.recipe.model_copy(
            update={"seed": cell.seed, "distill": distill, "compress": compress}
        )

    def _start(
        self, cell: GridCell, plan: Plan, recipe: Recipe, cache: TeacherCache, agreement: Agreement
    ) -> EvidenceNet:
        """The network a plan starts from; distilled ones are shared by all plans that want them."""
        if plan.start == TEACHER:
            return deepcopy(cache.teacher).requires_grad_(True)
        student = NetworkSection.of(NETWORKS[plan.start])
        recipe = recipe.model_copy(update={"student": student})
        path = self._start_path(plan, cell)
        with self._alone(path):
            return distill_student(recipe, cache, agreement, path, self.report)

    def _start_path(self, plan: Plan, cell: GridCell) -> Path:
        return self.folder / "starts" / f"{plan.start}_{cell.matching}_{cell.seed}.pt"

    def _quantize(self, plan: Plan) -> Quantize:
        schedule: Schedule = self.recipe.quantize_schedule.schedule
        steps = schedule.steps if plan.trained else 0
        return Quantize(steps=steps, learning_rate=schedule.learning_rate)


def _leaves(tree: object) -> list[object]:
    """What a nested dict holds besides its keys, in order.

    >>> _leaves({"name": "a", "distill": {"cache": 60, "noise": 0.5}})
    ['a', 60, 0.5]
    """
    if not isinstance(tree, dict):
        return [tree]
    return [leaf for part in tree.values() for leaf in _leaves(part)]


def quick(recipe: Recipe) -> Recipe:
    """The recipe with trainings of a few steps: tests the machinery, not the methods."""

    def short(section: Any) -> Any:
        return section.model_copy(update={"steps": 4, "batch": 4, "validate_every": 4})

    compress = recipe.compress.model_copy(
        update={"retrain_schedule": short(recipe.compress.retrain_schedule)}
    )
    return recipe.model_copy(
        update={
            "student_schedule": short(recipe.student_schedule),
            "quantize_schedule": short(recipe.quantize_schedule),
            "distill": recipe.distill.model_copy(update={"cache": QUICK_CACHE}),
            "compress": compress,
        }
    )

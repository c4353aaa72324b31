"""The cells of `python -m benchmarks compress`: one method, budget, matching loss and seed each.

A cell is a recipe, made small by the steps that make a released model (`pipeline.compress`). It
trains, quantises, runs its network over test strips on LiteRT's reference kernels, and
leaves what the table needs in a folder of its own; a folder that is complete is not made again, so
an interrupted benchmark goes on where it stopped, and cells may run as separate processes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from filelock import FileLock

from beatlens.compression.contract import LogRow
from beatlens.compression.distill import TeacherCache
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError
from beatlens.integer.account import size_account
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.nets.teacher import Teacher
from beatlens.output import write_whole
from beatlens.pipeline.compress import make_cache, make_steps
from beatlens.pipeline.steps import Steps
from beatlens.recipe import NetworkSection, StepSection
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.evaluation import choose_limits
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.metrics import Run, run_integer, run_network
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.training import Agreement
from beatlens.training.loop import Report
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


def some_strips(prepared: PreparedWindows, every: int = EVERY) -> WindowSet:
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

    recipe: WindowRecipe
    prepared: PreparedWindows
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
        return load_net(path)[0].eval()

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
        """The run of a seed's teacher over the test windows, and its thresholds."""
        run = self._run_teacher(seed, "test", self.strips)
        validation = cut_windows(self.prepared.validation)
        chosen_on = self._run_teacher(seed, "validation", validation)
        return run, choose_limits(self.recipe, self.prepared, validation, chosen_on)

    def _run_teacher(self, seed: int, role: str, windows: WindowSet) -> Run:
        """The run of a seed's teacher over windows; kept on disk."""
        path = self.folder / f"teacher-{seed}-{role}.npz"
        with self._alone(path):
            if not path.exists():
                run_network(self.teacher(seed), windows).save(path)
        return Run.load(path)

    def _agreement(self, recipe: WindowRecipe) -> Agreement:
        """What measures a network on the validation windows, against the teacher of its seed."""
        windows = cut_windows(self.prepared.validation)
        run = self._run_teacher(recipe.seed, "validation", windows)
        return Agreement(windows, run, choose_limits(recipe, self.prepared, windows, run))

    def cache(self, seed: int) -> TeacherCache:
        """The crops of a seed with the teacher's evidence on them; kept on disk."""
        path = self.folder / f"cache-{seed}.pt"
        teacher = self.teacher(seed)
        with self._alone(path):
            if not path.exists():
                recipe = self.recipe.model_copy(update={"seed": seed})
                make_cache(recipe, self.prepared, Teacher(teacher), activations=True).save(path)
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
        teacher, cache = Teacher(self.teacher(cell.seed)), self.cache(cell.seed)
        recipe = cell_recipe(self.recipe, plan, cell)
        agreement = self._agreement(recipe)

        def make(one: WindowRecipe, folder: Path) -> Steps:
            return make_steps(
                one, self.prepared, teacher, folder, self.report,
                teacher_cache=cache, validate=lambda net: agreement(cast(EvidenceNet, net)),
            )  # fmt: skip

        started = time.perf_counter()
        start = self._share_steps(make, recipe, plan, 1)
        recipe = self._with_budget(recipe, plan, cell, start or teacher.net)
        self._share_steps(make, recipe, plan, plan.shared_steps, place)
        steps = make(recipe, place)
        _, quantized = steps.run()
        graph = build_graph(quantized, SPAN)
        account = size_account(graph)
        if cell.rate is None:
            run_integer(graph, quantized.geometry, self.strips).save(place / "int8-test.npz")
        about: dict[str, Any] = {
            "start": plan.start,
            "seconds": time.perf_counter() - started,
            "validated": agreement(quantized),
            "weights": weight_account(quantized).as_dict(),
            "account": account.as_dict(),
            "log": _read_logs(steps, plan),
        }
        text = json.dumps(about, indent=1, default=float) + "\n"
        write_whole(place / "cell.json", text.encode())

    def _share_steps(
        self,
        make: Callable[[WindowRecipe, Path], Steps],
        recipe: WindowRecipe,
        plan: Plan,
        count: int,
        place: Path | None = None,
    ) -> EvidenceNet | None:
        """Make the first `count` steps once for all cells that have them.

        Copies their files to the cell's folder `place`, if given. Returns the distilled network;
        None for a plan that starts from the teacher, which shares nothing.
        """
        if plan.start == TEACHER:
            return None
        name = f"{plan.start}_{recipe.distill.matching}_{recipe.seed}"
        shared = make(recipe, self.folder / "starts" / name)
        with self._alone(shared.folder / "steps"):
            start, _ = shared.run_first(count)
        for number in range(1, count + 1):
            path = shared.path(number)
            if place is not None:
                (place / "steps").mkdir(parents=True, exist_ok=True)
                for one in (path, path.with_suffix(".json")):
                    shutil.copyfile(one, place / "steps" / one.name)
        return start

    def _with_budget(
        self, recipe: WindowRecipe, plan: Plan, cell: GridCell, start: EvidenceNet
    ) -> WindowRecipe:
        """The recipe with the cell's budget; `start` is the network that its plan starts from."""
        budget = 4 * self.teacher(cell.seed).weights // cell.share
        if self.quick:
            size = weight_account(start).packed_bytes
            budget = size // 2 if plan.make(cell.seed) else 2 * size
        compress = recipe.compress.model_copy(update={"packed_bytes": budget})
        return recipe.model_copy(update={"compress": compress})


def cell_recipe(recipe: WindowRecipe, plan: Plan, cell: GridCell) -> WindowRecipe:
    """The recipe of one cell, without a budget: what its plan changes in the benchmark's recipe.

    Quantisation is trained by `compress.retrain_schedule` with the steps and the learning rate of
    `quantize_schedule`.
    """
    weight = MATCHING_WEIGHTS.get(cell.matching, 0.0)
    changed = {"matching": cell.matching, "matching_weight": weight}
    compress, from_teacher = recipe.compress, plan.start == TEACHER
    retrain, quantize = compress.retrain_schedule, recipe.quantize_schedule
    if rate := cell.rate or plan.rate:
        retrain = retrain.model_copy(update={"learning_rate": rate})
    own = {"steps": quantize.steps, "learning_rate": quantize.learning_rate}
    steps = (
        *(() if from_teacher else (StepSection(method="distill"),)),
        *plan.make(cell.seed),
        StepSection(
            method="quantize",
            settings={} if plan.trained else {"steps": 0},
            schedule=retrain.model_copy(update=own),
        ),
        *plan.after,
    )
    return recipe.model_copy(
        update={
            "seed": cell.seed,
            "distill": recipe.distill.model_copy(update=changed),
            "student": recipe.student if from_teacher else NetworkSection.of(NETWORKS[plan.start]),
            "compress": compress.model_copy(
                update={
                    "start": "teacher" if from_teacher else "student",
                    "steps": steps,
                    "retrain_schedule": retrain,
                }
            ),
        }
    )


def _read_logs(steps: Steps, plan: Plan) -> list[LogRow]:
    """What the methods of a cell logged, but for the distillation that many cells share."""
    first = 1 if plan.start == TEACHER else 2
    numbers = range(first, len(steps.recipe.compress.steps) + 1)
    paths = [steps.path(number).with_suffix(".json") for number in numbers]
    return [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]


def _leaves(tree: object) -> list[object]:
    """What a nested dict holds besides its keys, in order.

    >>> _leaves({"name": "a", "distill": {"cache": 60, "noise": 0.5}})
    ['a', 60, 0.5]
    """
    if not isinstance(tree, dict):
        return [tree]
    return [leaf for part in tree.values() for leaf in _leaves(part)]


def quick(recipe: WindowRecipe) -> WindowRecipe:
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

"""`python -m benchmarks attribution`: does matching keep the evidence through compression?

For every seed: a teacher; students trained alone, by distillation, and by distillation with each
matching loss, all on the same crops; each as float and as int8 run by LiteRT's reference kernels.
Everything trained is kept in the run folder, so an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.attribution.fidelity import fidelity, shuffled_floor
from beatlens.compression.distill import TeacherCache
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.evaluate.bootstrap import paired_difference
from beatlens.integer.litert import Kernels, xnnpack_difference
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.files import load_net
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import (
    Validate,
    compress,
    make_cache,
    make_steps,
    make_validation,
)
from beatlens.pipeline.train import train_teacher
from beatlens.recipe import CompressSection, DistillSection, StepSection
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.evaluation import choose_limits
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.metrics import (
    Measured,
    Reference,
    Run,
    format_row,
    measure,
    run_integer,
    run_network,
)
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.training.loop import Report

CALIBRATION_CROPS = 512
PHONE_EVERY = 20
AFTER_TRAINING = CompressSection(
    start="teacher", steps=(StepSection(method="quantize", settings={"steps": 0}),)
)
"""The teacher as int8, not trained further."""
Say = Callable[[str], None]
FIDELITY_KEYS = ("cosine", "pearson", "spearman", "spearman_p5", "top_iou", "same_peak")


@dataclass(frozen=True)
class Arm:
    """One way of training a student: its name in the table, and the recipe's distill section."""

    name: str
    distill: DistillSection


# What other weights do on validation patients: docs/figures/matching_weight.json.
MATCHING_WEIGHTS = {"ewa": 4.0, "swa": 4.0, "sswa": 4.0, "shape": 8.0, "classwise": 8.0}


def list_arms(recipe: WindowRecipe) -> tuple[Arm, ...]:
    """The benchmark's arms: alone, KD, and KD with each matching loss."""
    base = recipe.distill

    def arm(name: str, matching: str, kd: float) -> Arm:
        weight = MATCHING_WEIGHTS.get(matching, base.matching_weight)
        changed = {"matching": matching, "kd": kd, "matching_weight": weight}
        return Arm(name, base.model_copy(update=changed))

    matched = (arm(name, name, base.kd) for name in MATCHING_WEIGHTS)
    return (arm("alone", "none", 0.0), arm("kd", "none", base.kd), *matched)


@dataclass
class Bench:
    """The benchmark of one recipe in one folder.

    Args:
        recipe: networks, schedules and data.
        prepared: tracks.
        folder: run folder, one sub-folder per seed.
        seeds: at least 1.
        kernels: LiteRT arithmetic of the int8 forms.
        replicates: of the bootstrap by record.
        say, report: progress.
    """

    recipe: WindowRecipe
    prepared: PreparedWindows
    folder: Path
    seeds: Sequence[int]
    arms: Sequence[Arm]
    kernels: Kernels = "reference"
    replicates: int = 1000
    say: Say = print
    report: Report | None = None
    validation: WindowSet = field(init=False)
    test: WindowSet = field(init=False)

    def __post_init__(self) -> None:
        self.validation = cut_windows(self.prepared.validation)
        self.test = cut_windows(self.prepared.test)

    def train(self) -> None:
        """Train what is not trained yet, and run every network over the strips."""
        for seed in self.seeds:
            self._students(seed, self._teacher(seed))

    def figures(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of the table, and of the paired differences."""
        rows: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        for seed in self.seeds:
            measured = self._measured(seed)
            rows += self._rows(seed, measured)
            differences += self._differences(seed, measured)
        return rows, differences

    def _recipe(self, seed: int, arm: Arm | None = None) -> WindowRecipe:
        """The recipe of a seed; in an arm every step has the arm's matching loss."""
        update: dict[str, Any] = {"seed": seed}
        if arm is not None:
            section = self.recipe.compress
            steps = tuple(step.model_copy(update={"matching": None}) for step in section.steps)
            update["distill"] = arm.distill
            update["compress"] = section.model_copy(update={"steps": steps})
        return self.recipe.model_copy(update=update)

    def _folder(self, seed: int, name: str = "") -> Path:
        return self.folder / f"seed-{seed}" / name

    def _teacher(self, seed: int) -> Teacher:
        self.say(f"seed {seed}: teacher")
        folder = self._folder(seed)
        teacher = train_teacher(self._recipe(seed), self.prepared, folder, self.report)
        self._keep_runs(folder, "float", partial(run_network, teacher.net))
        if not (folder / "int8-test.npz").exists():
            few = self.recipe.distill.model_copy(update={"cache": CALIBRATION_CROPS})
            recipe = self._recipe(seed).model_copy(
                update={"distill": few, "compress": AFTER_TRAINING}
            )
            cache = make_cache(recipe, self.prepared, teacher, activations=False)
            steps = make_steps(recipe, self.prepared, teacher, folder, teacher_cache=cache)
            _, quantized = steps.run()
            self._keep_integer(folder, quantized, self.kernels)
        return teacher

    def _students(self, seed: int, teacher: Teacher) -> None:
        cache: TeacherCache | None = None
        validate: Validate | None = None
        for arm in self.arms:
            folder = self._folder(seed, arm.name)
            if (folder / "int8-test.npz").exists():
                continue
            if cache is None or validate is None:
                self.say(f"seed {seed}: teacher's evidence over the students' crops")
                cache = make_cache(self._recipe(seed), self.prepared, teacher, activations=True)
                validate = make_validation(self.recipe, self.prepared, teacher)
            self.say(f"seed {seed}: student, {arm.name}")
            recipe = self._recipe(seed, arm)
            folder.mkdir(parents=True, exist_ok=True)
            student, quantized = compress(
                recipe, self.prepared, teacher, folder, self.report,
                teacher_cache=cache, validate=validate,
            )  # fmt: skip
            self._keep_runs(folder, "float", partial(run_network, student))
            self._keep_integer(folder, quantized, self.kernels)

    def _keep_integer(self, folder: Path, net: QuantizedEvidenceNet, kernels: Kernels) -> None:
        graph = build_graph(net, SPAN)
        (folder / "model.tflite").write_bytes(write_tflite(graph))
        (folder / "macs.txt").write_text(f"{graph.macs}\n", encoding="utf-8")
        self._keep_runs(
            folder, "int8", lambda strips: run_integer(graph, net.geometry, strips, kernels)
        )

    def _keep_runs(self, folder: Path, form: str, run: Callable[[WindowSet], Run]) -> None:
        for role, strips in (("validation", self.validation), ("test", self.test)):
            path = folder / f"{form}-{role}.npz"
            if not path.exists():
                run(strips).save(path)

    def _load(self, folder: Path, form: str) -> tuple[Run, np.ndarray]:
        """A network's run over the test strips, and its thresholds."""
        chosen_on = Run.load(folder / f"{form}-validation.npz")
        thresholds = choose_limits(self.recipe, self.prepared, self.validation, chosen_on)
        return Run.load(folder / f"{form}-test.npz"), thresholds

    def _reference(self, seed: int) -> Reference:
        return Reference(*self._load(self._folder(seed), "float"))

    def _measured(self, seed: int) -> dict[tuple[str, str], Measured]:
        reference = self._reference(seed)
        found = {}
        for name in ("", *(arm.name for arm in self.arms)):
            for form in ("float", "int8"):
                run, thresholds = self._load(self._folder(seed, name), form)
                found[name or "teacher", form] = measure(
                    self.recipe.task.classes, self.test, run, thresholds, reference
                )
        return found

    def _rows(self, seed: int, measured: dict[tuple[str, str], Measured]) -> list[dict[str, Any]]:
        self.say(f"seed {seed}: figures")
        rows = []
        for (name, form), one in measured.items():
            network = self._folder(seed, "" if name == "teacher" else name)
            rows.append({
                "model": "teacher" if name == "teacher" else "student",
                "matching": "-" if name == "teacher" else name,
                "form": form,
                "seed": seed,
                **format_row(one, self.replicates),
                **self._unshared(one),
                **self._size(network, form),
            })  # fmt: skip
        return rows + self._lines(seed)

    def _unshared(self, one: Measured) -> dict[str, float]:
        """Figures on test patients of no other role: without records of a patient in another."""
        shared = np.isin(self.test.records, sorted(self.prepared.shared))
        weights = (~shared).astype(np.float64)[None]
        statistics = one.statistics()
        keys = [k for k in ("macro_ap", "ap_pvc", "ap_afib", "spearman") if k in statistics]
        return {f"{key}_unshared": float(statistics[key](weights)[0]) for key in keys}

    def _size(self, folder: Path, form: str) -> dict[str, float]:
        """Weights, bytes and multiply-accumulates; of int8 students, how far XNNPACK is off."""
        teacher = folder / "teacher.pt"
        net = load_net(teacher if teacher.exists() else folder / "student.pt")[0]
        model = (folder / "model.tflite").read_bytes()
        macs = int((folder / "macs.txt").read_text(encoding="utf-8"))
        if form == "float":
            return {"weights": net.weights, "bytes": 4 * net.weights, "macs": macs}
        size: dict[str, float] = {"weights": net.weights, "bytes": len(model), "macs": macs}
        if teacher.exists():
            return size
        windows = net.geometry.trim(self.test.windows[::PHONE_EVERY], SPAN)
        off = xnnpack_difference(read_tflite(model), np.ascontiguousarray(windows)[:, :, None])
        return size | {f"xnnpack_{key}": value for key, value in off.items()}

    def _lines(self, seed: int) -> list[dict[str, Any]]:
        """Bounds of agreement: the shuffled floor, and teachers retrained with other seeds."""
        reference = self._reference(seed)
        maps = reference.run.evidence
        floor = shuffled_floor(maps, maps, reference.predicted, seed=seed).summary()
        rows = [self._line("shuffled floor", seed, floor)]
        others = [other for other in self.seeds if other != seed]
        if others:
            scores = [
                fidelity(maps, self._reference(other).run.evidence, reference.predicted).summary()
                for other in others
            ]
            mean = {key: float(np.mean([s[key] for s in scores])) for key in scores[0]}
            rows.append(self._line("re-seeded teacher", seed, mean))
        return rows

    @staticmethod
    def _line(name: str, seed: int, summary: dict[str, float]) -> dict[str, Any]:
        figures = {key: summary[key] for key in FIDELITY_KEYS}
        return {"model": name, "matching": "-", "form": "float", "seed": seed, **figures}

    def _differences(
        self, seed: int, measured: dict[tuple[str, str], Measured]
    ) -> list[dict[str, Any]]:
        """Classwise less each other arm, and less the teacher, paired on the same records."""
        rows: list[dict[str, Any]] = []
        if not any(name == "classwise" for name, _ in measured):
            return rows
        for (name, form), other in measured.items():
            classwise = measured["classwise", form]
            if name == "classwise":
                continue
            row: dict[str, Any] = {"less": name, "form": form, "seed": seed}
            first, second = classwise.statistics(), other.statistics()
            wanted = ("macro_ap", "loc_auc_pvc", "point_pvc", "loc_auc_sve", "point_sve")
            keys = tuple(key for key in wanted if key in first)
            agreement = ("spearman", "spearman_p5", "same_peak", "pearson")
            for key in keys + (() if name == "teacher" else agreement):
                found = paired_difference(
                    first[key], second[key], self.test.records, n=self.replicates
                )
                row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
            rows.append(row)
        return rows

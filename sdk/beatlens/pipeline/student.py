"""The student: distilled with matched maps, then trained as the int8 network it will be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import build_matching
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import DistillObjective, TeacherCache
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.compress.retraining import build_retraining, cached_inputs
from beatlens.compress.size import weighted_layers
from beatlens.errors import ModelError
from beatlens.evaluate.prediction import average_precision
from beatlens.evaluate.strips import Explaining, Reference, Run, run_network
from beatlens.nets.backbones import build
from beatlens.nets.constraint import impose_described, release
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, plain_state, read_state, save_net, save_state
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.train import write_history
from beatlens.recipe import ModelRecipe, Recipe
from beatlens.tasks.windows.labels import CLASSES, StripSet, cut_strips
from beatlens.training.loop import History, Report, Schedule, fit
from beatlens.training.objective import seed_everything

QUANTIZED_FORMAT = "beatlens-quantized-1"
CALIBRATION_BATCHES = 16
CACHE_SEED = 7_000


def build_cache(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    *,
    activations: bool,
    progress: Callable[[int, int], None] | None = None,
) -> TeacherCache:
    """Run the teacher once over the crops its students learn from; see `TeacherCache`."""
    sampler = prepared.sampler(recipe, CACHE_SEED + recipe.seed)
    return TeacherCache(
        teacher,
        sampler,
        recipe.distill.cache,
        activations=activations,
        seed=recipe.seed,
        noise=recipe.distill.noise,
        progress=progress,
    )


class Agreement:
    """Validates a student: agreement with its teacher, and accuracy, on validation strips.

    Called with a network, returns `spearman`, `macro_ap` and their mean `score`, by which schedules
    that keep the best weights choose (a student that explains the wrong decision well is no use).
    """

    def __init__(self, strips: StripSet, teacher: Run, thresholds: np.ndarray) -> None:
        self._strips = strips
        reference = Reference(teacher, thresholds)
        self._maps = teacher.evidence
        # A teacher that predicts nothing on these patients is still held against, on every map.
        every = np.ones_like(reference.predicted)
        self._predicted = reference.predicted if reference.predicted.any() else every

    @classmethod
    def of(
        cls, recipe: Recipe, prepared: Prepared, teacher: EvidenceNet, said: Run | None = None
    ) -> Agreement:
        """Agreement with a teacher on the validation patients of a recipe.

        `said`: what it says of their strips, where that is known already.
        """
        strips = cut_strips(prepared.validation)
        run = said or run_network(teacher, strips)
        return cls(strips, run, prepared.thresholds(recipe, strips, run))

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network."""
        run = run_network(net, self._strips)
        pairs = fidelity(self._maps, run.evidence, self._predicted)
        spearman = pairs.summary()["spearman"]
        macro_ap = float(np.nanmean(average_precision(self._strips.labels, run.logits)))
        return {"spearman": spearman, "macro_ap": macro_ap, "score": (spearman + macro_ap) / 2}


def build_student_retraining(
    recipe: ModelRecipe, cache: TeacherCache, agreement: Agreement, schedule: Schedule
) -> Retraining:
    """What a recipe's compression steps teach: its distillation and matching, out of a cache."""
    return build_retraining(
        cache,
        recipe.distill.weights,
        build_matching(recipe.distill.matching),
        schedule,
        lambda net: agreement(net),  # type: ignore[arg-type]
    )


def _train_from_cache(
    net: EvidenceNet | QuantizedEvidenceNet,
    recipe: Recipe,
    schedule: Schedule,
    cache: TeacherCache,
    agreement: Agreement,
    path: Path,
    report: Report | None,
) -> History:
    """Train a student, float or fake-quantised, beside its checkpoint `path.checkpoint`."""
    matching = build_matching(recipe.distill.matching)
    return fit(
        DistillObjective(net, cache, recipe.distill.weights, matching),
        net,
        cache.batch,
        schedule,
        lambda: agreement(net),
        score="score",
        checkpoint=path.with_suffix(".checkpoint"),
        report=report,
    )


def _written(path: Path, history: History) -> None:
    """After `path` was written: how its training went, and the end of its checkpoint."""
    write_history(path.with_suffix(".json"), history)
    path.with_suffix(".checkpoint").unlink(missing_ok=True)


def distill_student(
    recipe: Recipe, cache: TeacherCache, agreement: Agreement, path: Path, report: Report | None
) -> EvidenceNet:
    """Train the float student into `path`, or load it from there."""
    if path.exists():
        return load_net(path)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    seed_everything(recipe.seed)
    student = build(recipe.student.spec, CLASSES)
    schedule = recipe.student_schedule.schedule
    history = _train_from_cache(student, recipe, schedule, cache, agreement, path, report)
    save_net(path, student, recipe.student.spec)
    _written(path, history)
    return student


def quantize_student(
    recipe: Recipe,
    student: EvidenceNet,
    cache: TeacherCache,
    agreement: Agreement,
    path: Path,
    report: Report | None,
) -> QuantizedEvidenceNet:
    """Quantisation-aware training of the student into `path`, or load it from there.

    The loss is that of distillation, on the fake-quantised student: what is matched to the teacher
    is the map as the device computes it.
    """
    if path.exists():
        return load_quantized(path, student)
    quantized = quantize_after_training(student, cached_inputs(student, cache, CALIBRATION_BATCHES))
    schedule = recipe.quantize_schedule.schedule
    history = _train_from_cache(quantized, recipe, schedule, cache, agreement, path, report)
    quantized.calibrate_logits(cached_inputs(student, cache, CALIBRATION_BATCHES))
    save_quantized(path, quantized)
    _written(path, history)
    return quantized


def quantize_after_training(net: EvidenceNet, batches: list[Tensor]) -> QuantizedEvidenceNet:
    """Post-training quantisation: scales from data, weights as they are."""
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate(batches)
    return quantized


def save_quantized(path: Path, net: QuantizedEvidenceNet) -> None:
    """Write a quantised network's weights, scales and constraints, whole or not at all."""
    save_state(path, {"format": QUANTIZED_FORMAT, **plain_state(net)})


def load_quantized(path: Path, student: EvidenceNet) -> QuantizedEvidenceNet:
    """Read a quantised network; `student` is the float network it was made from.

    Constraints are the file's, whatever the student has. Raises `ModelError` where they do not fit.
    """
    net = QuantizedEvidenceNet(student)
    state = read_state(path, QUANTIZED_FORMAT)
    try:
        for layer, tensor in weighted_layers(net).values():
            release(layer, tensor)
        impose_described(net, state.get("constraints", {}))  # absent from older files
        net.load_state_dict(state["weights"])
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: does not fit the student it belongs to: {error}") from error
    return net.eval()

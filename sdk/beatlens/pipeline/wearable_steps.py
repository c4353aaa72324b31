"""Steps 2 and 3 of the wearable task: the teacher with its lookup tables, the small network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import build_matching
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import TeacherCache
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.compress.wearable_lesson import wearable_lesson
from beatlens.evaluate.strips import Explaining
from beatlens.evaluate.wearable import WearableRun, challenge_score, run_wearable
from beatlens.nets.backbones import build
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.lookup_tables import TABLES_FILE, LookupTables, load_tables, save_tables
from beatlens.pipeline.compress import Taught, compress_from_cache
from beatlens.pipeline.members import joined_members
from beatlens.pipeline.student import CACHE_SEED
from beatlens.pipeline.train import write_history
from beatlens.pipeline.wearable_data import PreparedWearable
from beatlens.recipe import ModelRecipe
from beatlens.tasks.recordings.labels import CLASSES, WearableTrack
from beatlens.training.loop import Report, Schedule, fit, world
from beatlens.training.objective import seed_everything
from beatlens.training.wearable_objective import WearableNet, WearableObjective
from beatlens.wearable_recipe import WearableRecipe


def train_wearable_teacher(
    recipe: WearableRecipe,
    prepared: PreparedWearable,
    folder: Path,
    report: Report | None = None,
) -> tuple[EvidenceNet, LookupTables]:
    """Train the teacher of a recipe with its lookup tables, or load them from the run folder.

    Writes `teacher.pt`, `tables.pt` and `teacher.json`; an interrupted training goes on from
    `teacher.checkpoint`. Several members are trained one after the other, see
    `beatlens.pipeline.members`.
    """
    path = folder / "teacher.pt"
    if path.exists():
        return load_net(path)[0], load_tables(folder / TABLES_FILE)
    if recipe.teacher.members > 1:
        return joined_members(
            folder,
            recipe,
            lambda one, where, _: train_wearable_teacher(one, prepared, where, report),
        )
    folder.mkdir(parents=True, exist_ok=True)
    seed_everything(recipe.seed)
    both = WearableNet(build(recipe.teacher.spec, CLASSES))
    sampler = prepared.sampler(recipe, recipe.seed)

    def batches(first: int, size: int) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in sampler.batch(first, size))

    def validate() -> dict[str, float]:
        both.eval()
        return {"score": plain_score(run_wearable(both.net, both.tables.array(),
                                                  prepared.validation))}  # fmt: skip

    checkpoint = path.with_suffix(".checkpoint")
    history = fit(WearableObjective(both, sampler.span), both, batches,
                  recipe.teacher_schedule.schedule, validate, score="score",
                  checkpoint=checkpoint, report=report)  # fmt: skip
    if world()[0] == 0:
        save_tables(folder / TABLES_FILE, both.tables)
        save_net(path, both.net, recipe.teacher.spec)
        write_history(path.with_suffix(".json"), history)
        checkpoint.unlink(missing_ok=True)
    return both.net, both.tables.requires_grad_(False)


def plain_score(run: WearableRun) -> float:
    """The challenge's score of the likeliest classes, without offsets."""
    return float(challenge_score(run.logits.argmax(axis=1), run.labels))


class WearableAgreement:
    """Validates a student: agreement with its teacher, and score, on validation recordings.

    Called with a network, returns `spearman`, `challenge` and their mean `score`.
    """

    def __init__(
        self, teacher: EvidenceNet, tables: LookupTables, tracks: Sequence[WearableTrack]
    ) -> None:
        self._tracks, self._tables = tracks, tables.array()
        self._teacher = run_wearable(teacher, self._tables, tracks)

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network, in `eval()` mode while it is."""
        training = isinstance(net, nn.Module) and net.training
        if isinstance(net, nn.Module):
            net.eval()
        run = run_wearable(net, self._tables, self._tracks)
        if isinstance(net, nn.Module):
            net.train(training)
        spearman = float(np.nanmean(map_agreement(self._teacher, run)["spearman"]))
        score = plain_score(run)
        return {"spearman": spearman, "challenge": score, "score": (spearman + score) / 2}


def map_agreement(teacher: WearableRun, other: WearableRun) -> dict[str, NDArray[np.float64]]:
    """Agreement of evidence maps, less the classes' mean, by measure: `[n]`, one a recording.

    Compared is the map of the class that the teacher finds likeliest; see
    `beatlens.attribution.fidelity`.
    """
    found: dict[str, list[float]] = {}
    for theirs, mine, logits in zip(teacher.evidence, other.evidence, teacher.logits, strict=True):
        said = np.zeros((1, len(CLASSES)), bool)
        said[0, logits.argmax()] = True
        reference, compressed = ((m - m.mean(axis=0))[None] for m in (theirs, mine))
        for name, scores in fidelity(reference, compressed, said).scores.items():
            found.setdefault(name, []).append(float(scores[said][0]))
    return {name: np.array(values) for name, values in found.items()}


def compress_wearable(
    recipe: WearableRecipe,
    prepared: PreparedWearable,
    teacher: EvidenceNet,
    tables: LookupTables,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """Run the compression steps of a recipe; as `beatlens.pipeline.compress.compress`."""

    @cache  # the teacher is run when it is needed first
    def agreement() -> WearableAgreement:
        return WearableAgreement(teacher, tables, prepared.validation)

    def validate(net: nn.Module) -> dict[str, float]:
        return agreement()(net)  # type: ignore[arg-type]

    def build_retraining(cache: TeacherCache, one: ModelRecipe, schedule: Schedule) -> Retraining:
        weights, matching = one.distill.weights, build_matching(one.distill.matching)
        return wearable_lesson(cache, tables, weights, matching, schedule, validate)

    sampler = prepared.sampler(recipe, CACHE_SEED + recipe.seed)
    taught = Taught(recipe, teacher, lambda: sampler, sampler.span, build_retraining)
    return compress_from_cache(taught, folder, report, progress)

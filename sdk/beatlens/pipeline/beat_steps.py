"""Steps 2 and 3 of the beats task: the teacher with its lookup tables, and the small network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import build_matching
from beatlens.beat_recipe import BeatRecipe
from beatlens.compress.beat_lesson import beat_lesson
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import TeacherCache
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.evaluate.beat_offsets import f_of_databases
from beatlens.evaluate.beats import BeatRun, run_beats
from beatlens.evaluate.strips import Explaining
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.lookup_tables import TABLES_FILE, LookupTables, load_tables, save_tables
from beatlens.pipeline.beat_crops import (
    HeardByMembers,
    heard_by_members,
    member_crops,
    student_crops,
)
from beatlens.pipeline.beat_data import PreparedBeats
from beatlens.pipeline.compress import Taught, compress_from_cache
from beatlens.pipeline.members import Member, joined_members, mean_of
from beatlens.pipeline.train import write_history
from beatlens.recipe import ModelRecipe
from beatlens.signals.beat_features import TRAINED
from beatlens.tasks.beats.labels import CLASSES, BeatTrack, beat_tables
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.windows.sampling import Crops
from beatlens.training.beat_objective import BeatNet, BeatObjective, beat_crops_of
from beatlens.training.loop import History, Report, Schedule, fit, world
from beatlens.training.objective import seed_everything

EXPLAINED = tuple(CLASSES.index(name) for name in ("s", "v"))
"""Classes whose evidence is compared: normal beats are everywhere, fusion beats nowhere."""
COMPARED_S = 600
"""Seconds of each validation recording that agreement is measured on while training."""


def train_beat_teacher(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    folder: Path,
    report: Report | None = None,
    unlabelled: Sequence[BeatTrack] = (),
) -> tuple[EvidenceNet, LookupTables]:
    """Train the teacher of a recipe with its lookup tables, or load them from the run folder.

    Writes `teacher.pt`, `tables.pt` and `teacher.json`; an interrupted training goes on from
    `teacher.checkpoint`. Several members are trained one after the other, see
    `beatlens.pipeline.members`, and the last ones hear the `unlabelled` recordings
    (`beatlens.pipeline.beat_crops`).

    Raises:
        RecipeError: the recipe wants unlabelled recordings, and none were given.
    """
    path = folder / "teacher.pt"
    if path.exists():
        return load_net(path)[0], load_tables(folder / TABLES_FILE, len(TRAINED))
    if recipe.teacher.members == 1:
        crops = prepared.sampler(recipe, recipe.seed)
        return _train_member(recipe, prepared, crops, folder, report)
    first = recipe.teacher.members - recipe.unlabelled.members

    @cache  # whoever hears them is told the same
    def heard(*before: Member) -> HeardByMembers:
        return heard_by_members(recipe, unlabelled, *mean_of(before))

    def member(one: BeatRecipe, where: Path, before: Sequence[Member]) -> Member:
        if len(before) < first or (where / "teacher.pt").exists():
            return train_beat_teacher(one, prepared, where, report)
        crops = member_crops(one, prepared, heard(*before[:first]))
        return _train_member(one, prepared, crops, where, report)

    return joined_members(folder, recipe, member)


def _train_member(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    crops: Crops,
    folder: Path,
    report: Report | None,
) -> Member:
    """Train a teacher of one network into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "teacher.pt"
    schedule, validation = recipe.teacher_schedule.schedule, prepared.validation
    checkpoint = path.with_suffix(".checkpoint")
    both, history = train_beat_network(
        recipe.teacher.spec, schedule, recipe.seed, crops, validation, checkpoint, report
    )
    if world()[0] == 0:
        save_tables(folder / TABLES_FILE, both.tables)
        save_net(path, both.net, recipe.teacher.spec)
        write_history(path.with_suffix(".json"), history)
        checkpoint.unlink(missing_ok=True)
    return both.net, both.tables


def train_beat_network(
    spec: NetworkSpec,
    schedule: Schedule,
    seed: int,
    crops: Crops,
    validation: Sequence[BeatTrack],
    checkpoint: Path | None,
    report: Report | None = None,
) -> tuple[BeatNet, History]:
    """Train one network with its lookup tables, on crops with labels.

    Without `validation` tracks nothing is measured on the way; the schedule has to keep the last
    weights.
    """
    seed_everything(seed)
    both = BeatNet(build(spec, CLASSES))
    tracks = [track.first(COMPARED_S) for track in validation]

    def validate() -> dict[str, float]:
        if not tracks:
            return {"f": 0.0}
        return {"f": f_of_databases(run_beats(both.net, beat_tables(both.tables.array()), tracks))}

    history = fit(BeatObjective(both), both, beat_crops_of(crops), schedule, validate, score="f",
                  checkpoint=checkpoint, report=report)  # fmt: skip
    return both, history


class BeatAgreement:
    """Validates a student: agreement with its teacher, and `f_score`.

    Called with a network, returns `spearman` and `f`, of the first `COMPARED_S` seconds of the
    validation recordings, and their mean `score`.
    """

    def __init__(
        self, teacher: EvidenceNet, tables: LookupTables, tracks: Sequence[BeatTrack]
    ) -> None:
        self._tracks = [track.first(COMPARED_S) for track in tracks]
        self._tables = beat_tables(tables.array())
        self._teacher = run_beats(teacher, self._tables, self._tracks)

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network."""
        run = run_beats(net, self._tables, self._tracks)
        spearman, f = beat_fidelity(self._teacher, run)["spearman"], f_of_databases(run)
        return {"spearman": spearman, "f": f, "score": (spearman + f) / 2}


def beat_fidelity(teacher: BeatRun, student: BeatRun) -> dict[str, float]:
    """Agreement of evidence maps, less the classes' mean, over spans of 7.5 s.

    A span counts for a class where the teacher calls a beat of it that class; see
    `beatlens.attribution.fidelity`.
    """
    theirs, mine = (_spans(run)[:, EXPLAINED] for run in (teacher, student))
    return fidelity(theirs, mine, _called(teacher)[:, EXPLAINED]).summary()


def _spans(run: BeatRun) -> np.ndarray:
    """Evidence in spans of 7.5 s, less the classes' mean, `[S, C, T]`; the rest is left out."""
    parts = []
    for track, evidence in zip(run.tracks, run.evidence, strict=True):
        columns = CROP_SPAN * evidence.shape[1] // len(track.x)
        whole = evidence.shape[1] // columns * columns
        cut = evidence[:, :whole].reshape(len(evidence), -1, columns).transpose(1, 0, 2)
        parts.append(cut - cut.mean(axis=1, keepdims=True))
    return np.concatenate(parts)


def _called(run: BeatRun) -> np.ndarray:
    """Which classes a network calls some beat of each span, bool `[S, C]`."""
    parts = []
    for track, logits in zip(run.tracks, run.logits, strict=True):
        called = np.zeros((len(track.x) // CROP_SPAN, len(CLASSES)), bool)
        span = track.peaks // CROP_SPAN
        inside = span < len(called)
        called[span[inside], logits[inside].argmax(axis=1)] = True
        parts.append(called)
    return np.concatenate(parts)


def compress_beats(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    teacher: EvidenceNet,
    tables: LookupTables,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
    unlabelled: Sequence[BeatTrack] = (),
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """Run the compression steps of a recipe; as `beatlens.pipeline.compress.compress`.

    Args:
        recipe, prepared, teacher, tables, folder, report, progress: see there.
        unlabelled: recordings that only the teacher tells, see `read_unlabelled`.

    Raises:
        RecipeError: the recipe wants unlabelled recordings, and none were given.
    """

    @cache  # the teacher is run when it is needed first
    def agreement() -> BeatAgreement:
        return BeatAgreement(teacher, tables, prepared.validation)

    def validate(net: nn.Module) -> dict[str, float]:
        return agreement()(net)  # type: ignore[arg-type]

    def build_retraining(cache: TeacherCache, one: ModelRecipe, schedule: Schedule) -> Retraining:
        weights, matching = one.distill.weights, build_matching(one.distill.matching)
        return beat_lesson(cache, tables, weights, matching, schedule, validate)

    def crops() -> Crops:
        return student_crops(recipe, prepared, unlabelled, teacher, tables)

    taught = Taught(recipe, teacher, crops, CROP_SPAN, build_retraining)
    return compress_from_cache(taught, folder, report, progress)

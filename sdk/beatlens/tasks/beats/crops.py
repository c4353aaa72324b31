"""Which crops of beats members of the teacher and students are trained on.

The teacher's first members are trained on the labelled patients. The others are trained besides on
recordings whose beats nobody labelled (`recipe.unlabelled`): where a whole recording is labelled
atrial fibrillation, no beat is of the class with `absent_in_fibrillation`. So that they do not
learn that class by the device that recorded it, they are trained on that device's other recordings
too, whose labels are what the first members predict (pseudo-labels: Lee, ICML workshop 2013; of a
first generation for a second one: Xie et al., CVPR 2020). Students are trained on all of them with
the teacher's predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beatlens.errors import RecipeError
from beatlens.nets.teacher import Teacher
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import ABSENT, BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import run_beats
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.beats.sampling import BeatSampler
from beatlens.tasks.beats.spliced_runs import splice_runs
from beatlens.tasks.beats.unlabelled import (
    CropSource,
    HiddenLabels,
    MixedCrops,
    label_by_predictions,
)
from beatlens.tasks.common.runs import CROP_SPAN

FIBRILLATION, OTHERS, RUNS = 1, 2, 3
"""Added to the seed of labelled crops, for those of recordings without labels or with runs."""
IN_RUNS = 0.67
"""Share of the crops of recordings with runs that is placed around a beat of a run or alone."""


@dataclass(frozen=True)
class UnlabelledTracks:
    """Recordings without labels as the last members of a teacher are trained on them.

    Args:
        fibrillating: no beat of them is of the class with `absent_in_fibrillation`.
        others: of the same databases, with the predictions of the first members as labels.
    """

    fibrillating: Sequence[BeatTrack]
    others: Sequence[BeatTrack]


def label_unlabelled(
    recipe: BeatRecipe, unlabelled: Sequence[BeatTrack], first: Teacher
) -> UnlabelledTracks:
    """What the members of a teacher are trained on that are trained on unlabelled recordings.

    Args:
        recipe: of the teacher.
        unlabelled: see `beatlens.tasks.beats.data.read_unlabelled`.
        first: the mean of the first members, whose decisions are taken for labels.

    Raises:
        RecipeError: none of the recordings fibrillates, or there are none, and such are asked for.
    """
    section, usable = recipe.unlabelled, _keep_usable(recipe, unlabelled)
    fibrillating = [track for track in usable if (track.labels == ABSENT).any()]
    if section.fibrillation_share and not fibrillating:
        raise RecipeError(
            "unlabelled.fibrillation_share is above 0, but no recording of "
            f"{' and '.join(section.databases)} is labelled atrial fibrillation"
        )
    rest = [track for track in usable if not (track.labels == ABSENT).any()]
    wanted = rest if section.other_share else []
    return UnlabelledTracks(fibrillating, _label(recipe, wanted, first))


def member_crops(
    recipe: BeatRecipe, prepared: PreparedBeats, unlabelled: UnlabelledTracks
) -> MixedCrops:
    """Crops for a member of the teacher that is trained on unlabelled recordings too.

    Args:
        recipe: the member's.
        prepared: the labelled patients.
        unlabelled: the others.
    """
    section, seed = recipe.unlabelled, recipe.seed
    others: list[tuple[BeatSampler, float]] = []
    if section.fibrillation_share:
        sampler = BeatSampler(
            unlabelled.fibrillating,
            recipe.classes,
            seed + FIBRILLATION,
            {},
            augmentation=recipe.sampling.augmentation,
        )
        others.append((sampler, section.fibrillation_share))
    if unlabelled.others:
        others.append((_sampler(recipe, unlabelled.others, seed + OTHERS), section.other_share))
    if (runs := _run_crops(recipe, prepared, seed)) is not None:
        others.append(runs)
    return MixedCrops(prepared.sampler(recipe, seed, section.labelled), others, seed)


def labelled_crops(
    recipe: BeatRecipe, prepared: PreparedBeats, seed: int
) -> BeatSampler | MixedCrops:
    """Crops of the labelled patients, with spliced runs where the recipe has a share of them."""
    labelled, runs = prepared.sampler(recipe, seed), _run_crops(recipe, prepared, seed)
    return labelled if runs is None else MixedCrops(labelled, [runs], seed)


def _run_crops(
    recipe: BeatRecipe, prepared: PreparedBeats, seed: int
) -> tuple[BeatSampler, float] | None:
    """Crops of recordings with spliced runs, and their share; None where there are none."""
    share, ventricular = recipe.sampling.spliced_runs, recipe.task.shared
    if not share or ventricular is None:
        return None
    spliced = [
        splice_runs(track, ventricular, (seed, number))
        for number, track in enumerate(prepared.train)
    ]
    tracks = [track for track in spliced if track is not None]
    if not tracks:
        return None
    name = list(recipe.task.classes)[ventricular]
    augmentation = recipe.sampling.augmentation
    sampler = BeatSampler(
        tracks, recipe.classes, seed + RUNS, {name: IN_RUNS}, augmentation=augmentation
    )
    return sampler, share


def student_crops(
    recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher, seed: int
) -> BeatSampler | MixedCrops:
    """Crops for students: of the labelled patients, and of those with the teacher's predictions."""
    section = recipe.unlabelled
    if not section.databases:
        return labelled_crops(recipe, prepared, seed)
    labelled = prepared.sampler(recipe, seed, section.labelled)
    predicted = _label(recipe, _keep_usable(recipe, prepared.unlabelled), teacher)
    others = HiddenLabels(_sampler(recipe, predicted, seed + OTHERS))
    parts: list[tuple[CropSource, float]] = [(others, section.student_share)]
    if (runs := _run_crops(recipe, prepared, seed)) is not None:
        parts.append(runs)
    return MixedCrops(labelled, parts, seed)


def _keep_usable(recipe: BeatRecipe, unlabelled: Sequence[BeatTrack]) -> list[BeatTrack]:
    """Recordings that a crop fits into and that have beats."""
    usable = [track for track in unlabelled if len(track.x) >= CROP_SPAN and len(track.peaks)]
    if not usable:
        raise RecipeError(
            f"unlabelled.databases names {' and '.join(recipe.unlabelled.databases)}, but no "
            "recordings of 7.5 s or more were given; expected those of `read_unlabelled`"
        )
    return usable


def _label(recipe: BeatRecipe, tracks: Sequence[BeatTrack], teacher: Teacher) -> list[BeatTrack]:
    """Recordings with a teacher's decisions as labels."""
    tables = add_set_entries(teacher.table_values, recipe.task.classes)
    run = run_beats(teacher.net, tables, tracks)
    return label_by_predictions(tracks, [logits.argmax(axis=1) for logits in run.logits])


def _sampler(recipe: BeatRecipe, labelled: Sequence[BeatTrack], seed: int) -> BeatSampler:
    sampling = recipe.sampling
    return BeatSampler(
        labelled, recipe.classes, seed, sampling.shares, augmentation=sampling.augmentation
    )

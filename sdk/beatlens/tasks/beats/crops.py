"""Which crops of beats who hears: members of the teacher, and students.

The teacher's first members hear the labelled patients. From recordings whose beats nobody labelled
(`recipe.unlabelled`) the others learn besides what fibrillation is not: where a whole recording is
labelled atrial fibrillation, no beat is S. So that they do not learn to know S by the device that
recorded it, they hear that device's other recordings too; of those, what the first members say
counts as labels (pseudo-labels: Lee, ICML workshop 2013; of a first generation for a second one:
Xie et al., CVPR 2020). Students hear all of them as their teacher tells them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.errors import RecipeError
from beatlens.tasks.beats.metrics import run_beats
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.pipeline.student import CACHE_SEED
from beatlens.tasks.beats.labels import NOT_S, BeatTrack, beat_tables
from beatlens.tasks.beats.sampling import CROP_SPAN, BeatSampler
from beatlens.tasks.beats.unlabelled import MixedCrops, Untold, told_by

FIBRILLATION, OTHERS = 1, 2
"""Added to the seed of labelled crops, for those of recordings without labels."""


@dataclass(frozen=True)
class HeardByMembers:
    """Recordings without labels as the last members of a teacher hear them.

    Args:
        fibrillating: no beat of them is S.
        others: of the same databases, what the first members say in place of labels.
    """

    fibrillating: Sequence[BeatTrack]
    others: Sequence[BeatTrack]


def heard_by_members(
    recipe: BeatRecipe,
    unlabelled: Sequence[BeatTrack],
    first: EvidenceNet,
    tables: LookupTables,
) -> HeardByMembers:
    """What all members of the teacher are told that hear recordings without labels.

    Args:
        recipe: of the teacher.
        unlabelled: see `beatlens.tasks.beats.data.read_unlabelled`.
        first, tables: the mean of the first members, whose decisions are taken for labels.

    Raises:
        RecipeError: none of the recordings fibrillates, or there are none, and it should hear such.
    """
    section, heard = recipe.unlabelled, _heard(recipe, unlabelled)
    fibrillating = [track for track in heard if (track.labels == NOT_S).any()]
    if section.fibrillation_share and not fibrillating:
        raise RecipeError(
            "unlabelled.fibrillation_share is above 0, but no recording of "
            f"{' and '.join(section.databases)} is labelled atrial fibrillation"
        )
    rest = [track for track in heard if not (track.labels == NOT_S).any()]
    wanted = rest if section.other_share else []
    return HeardByMembers(fibrillating, _told(wanted, first, tables))


def member_crops(recipe: BeatRecipe, prepared: PreparedBeats, heard: HeardByMembers) -> MixedCrops:
    """Crops for a member of the teacher that hears recordings without labels.

    Args:
        recipe: the member's.
        prepared: the labelled patients.
        heard: the others.
    """
    section, seed = recipe.unlabelled, recipe.seed
    others: list[tuple[BeatSampler, float]] = []
    if section.fibrillation_share:
        augmentation = recipe.sampling.augmentation
        sampler = BeatSampler(
            heard.fibrillating, seed + FIBRILLATION, {}, augmentation=augmentation
        )
        others.append((sampler, section.fibrillation_share))
    if heard.others:
        others.append((_sampler(recipe, heard.others, seed + OTHERS), section.other_share))
    return MixedCrops(prepared.sampler(recipe, seed, section.labelled), others, seed)


def student_crops(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    unlabelled: Sequence[BeatTrack],
    teacher: EvidenceNet,
    tables: LookupTables,
) -> BeatSampler | MixedCrops:
    """Crops for students: of the labelled patients, and of those whom only the teacher tells."""
    section, seed = recipe.unlabelled, CACHE_SEED + recipe.seed
    if not section.databases:
        return prepared.sampler(recipe, seed)
    labelled = prepared.sampler(recipe, seed, section.labelled)
    told = _told(_heard(recipe, unlabelled), teacher, tables)
    heard = Untold(_sampler(recipe, told, seed + OTHERS))
    return MixedCrops(labelled, [(heard, section.student_share)], seed)


def _heard(recipe: BeatRecipe, unlabelled: Sequence[BeatTrack]) -> list[BeatTrack]:
    heard = [track for track in unlabelled if len(track.x) >= CROP_SPAN and len(track.peaks)]
    if not heard:
        raise RecipeError(
            f"unlabelled.databases names {' and '.join(recipe.unlabelled.databases)}, but no "
            "recordings of 7.5 s or more were given; expected those of `read_unlabelled`"
        )
    return heard


def _told(tracks: Sequence[BeatTrack], net: EvidenceNet, tables: LookupTables) -> list[BeatTrack]:
    """Recordings with a network's decisions where labels would be."""
    said = run_beats(net, beat_tables(tables.array()), tracks)
    return told_by(tracks, [logits.argmax(axis=1) for logits in said.logits])


def _sampler(recipe: BeatRecipe, told: Sequence[BeatTrack], seed: int) -> BeatSampler:
    sampling = recipe.sampling
    return BeatSampler(told, seed, sampling.shares, augmentation=sampling.augmentation)

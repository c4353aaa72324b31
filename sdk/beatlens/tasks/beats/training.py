"""Training and compression of networks that decide on beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import TeacherCache
from beatlens.nets.teacher import Teacher, mean_teacher
from beatlens.recipe import Recipe
from beatlens.runtime.beat_chain import rule_of
from beatlens.runtime.beat_rule import BeatRule
from beatlens.runtime.bundle import Bundle
from beatlens.signals.beat_features import TRAINED
from beatlens.tasks.beats import crops, evaluation
from beatlens.tasks.beats.data import PreparedBeats, describe_beats, prepare_beats
from beatlens.tasks.beats.distillation import build_beat_retraining
from beatlens.tasks.beats.labels import BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import BeatRun, run_beats
from beatlens.tasks.beats.objective import BeatObjective, LabelLoss
from beatlens.tasks.beats.offsets import f_of_databases
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.common.runs import CROP_SPAN, Explaining
from beatlens.tasks.common.workers import Workers
from beatlens.tasks.contract import Evaluation, Int8Model, KindTraining, Networks, Progress
from beatlens.training.crops import Crops
from beatlens.training.loop import Schedule
from beatlens.training.model import TabledNet

COMPARED_S = 600
"""Seconds of each validation recording that agreement is measured on while training."""


class BeatTraining(KindTraining[BeatRecipe, PreparedBeats]):
    """Beats, as training and measuring see them."""

    name = "beats"
    recipe_type = BeatRecipe
    default_recipe = Path(__file__).with_name("default.toml")
    features = len(TRAINED)
    score = "f"
    model_span = CROP_SPAN

    def prepare(
        self,
        recipe: BeatRecipe,
        folder: Path,
        data: Path | None,
        progress: Progress | None,
        workers: Workers,
        roles: Sequence[str],
    ) -> PreparedBeats:
        """See `KindTraining.prepare`."""
        return prepare_beats(recipe, folder, data, progress, workers, roles)

    def describe(self, recipe: BeatRecipe, prepared: PreparedBeats) -> str:
        """How many beats of each class there are to train on."""
        return describe_beats(prepared, recipe.classes)

    def teacher_crops(
        self, recipe: BeatRecipe, prepared: PreparedBeats, before: Sequence[Teacher]
    ) -> Crops:
        """Crops of labelled patients; of the last members also of unlabelled recordings."""
        last = recipe.unlabelled.members
        first = recipe.of_members - last
        if not last or len(before) < first:
            return prepared.sampler(recipe, recipe.seed)
        unlabelled = _label_once(recipe, prepared, tuple(before[:first]))
        return crops.member_crops(recipe, prepared, unlabelled)

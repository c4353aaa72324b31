"""Training and compression of networks that decide on beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher, mean_teacher
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.beat_features import TRAINED
from beatlens.tasks.beats import crops, evaluation
from beatlens.tasks.beats.agreement import COMPARED_S, BeatAgreement
from beatlens.tasks.beats.data import PreparedBeats, describe_beats, prepare_beats
from beatlens.tasks.beats.distillation import build_beat_retraining
from beatlens.tasks.beats.fold_evaluation import evaluate_folds
from beatlens.tasks.beats.folds import hold_out
from beatlens.tasks.beats.labels import add_set_entries
from beatlens.tasks.beats.metrics import run_beats
from beatlens.tasks.beats.objective import BeatObjective, LabelLoss
from beatlens.tasks.beats.offsets import score_databases
from beatlens.tasks.beats.patient_rule import adapt_to_patient
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.beats.rule import BeatRule, beat_rule
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.tasks.common.workers import Workers
from beatlens.tasks.contract import (
    Adapted,
    Evaluation,
    Int8Model,
    KindTraining,
    MakeCrops,
    Networks,
    Progress,
    Reviewed,
)
from beatlens.training.crops import Crops
from beatlens.training.loop import Schedule
from beatlens.training.model import TabledNet


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

    def teacher_crops(self, recipe: BeatRecipe, prepared: PreparedBeats) -> MakeCrops[BeatRecipe]:
        """Crops of labelled patients; of the last members also of unlabelled recordings."""
        last, folds = recipe.unlabelled.members, recipe.out_of_fold.folds
        first = recipe.teacher.members - last

        @cache  # All members that are trained on them get the same labels.
        def label(*before: Teacher) -> crops.UnlabelledTracks:
            return crops.label_unlabelled(recipe, prepared.unlabelled, mean_teacher(before))

        def make(one: BeatRecipe, before: Sequence[Teacher]) -> Crops:
            if len(before) < folds:
                held = hold_out(prepared, len(before), folds)
                return crops.labelled_crops(one, held, one.seed)
            if not last or len(before) < first:
                return crops.labelled_crops(one, prepared, one.seed)
            return crops.member_crops(one, prepared, label(*before[:first]))

        return make

    def objective(self, recipe: BeatRecipe, model: TabledNet, crops: Crops) -> nn.Module:
        """Cross entropy over the beats whose class is known."""
        return BeatObjective(model, LabelLoss.build(recipe.task))

    def validate_teacher(
        self, recipe: BeatRecipe, model: TabledNet, prepared: PreparedBeats
    ) -> dict[str, float]:
        """The mean F score of the validation databases, `f`; 0 where there are none."""
        if not prepared.validation or model.tables is None:
            return {"f": 0.0}
        tracks = [track.first(COMPARED_S) for track in prepared.validation]
        tables = add_set_entries(model.tables.array(), recipe.task.classes)
        return {"f": score_databases(run_beats(model.net, tables, tracks), recipe.task.classes)}

    def student_crops(
        self, recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher, seed: int
    ) -> Crops:
        """Crops of labelled patients, and of unlabelled recordings with the teacher's decisions."""
        return crops.student_crops(recipe, prepared, teacher, seed)

    def crop_span(self, recipe: BeatRecipe) -> int:
        """7.5 s."""
        return CROP_SPAN

    def agreement(
        self, recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher
    ) -> BeatAgreement:
        """Agreement with the teacher on the start of each validation recording."""
        return BeatAgreement(recipe, teacher, prepared.validation)

    def retraining(
        self,
        cache: TeacherCache,
        teacher: Teacher,
        recipe: BeatRecipe,
        schedule: Schedule,
        validate: Callable[[nn.Module], dict[str, float]],
    ) -> Retraining:
        """Labels, decisions and maps of the teacher."""
        return build_beat_retraining(cache, teacher, recipe, schedule, validate)

    def choose_rule(
        self,
        recipe: BeatRecipe,
        prepared: PreparedBeats,
        teacher: Teacher,
        model: Int8Model,
        folds: Sequence[EvidenceNet] = (),
    ) -> BeatRule:
        """Offsets, calibration and warnings, chosen on validation patients; or all out of fold."""
        return evaluation.choose_rule(recipe, prepared, teacher, model, folds)

    def folds(self, recipe: BeatRecipe) -> int:
        """As the recipe says."""
        return recipe.out_of_fold.folds

    def hold_out(self, recipe: BeatRecipe, prepared: PreparedBeats, fold: int) -> PreparedBeats:
        """See `beatlens.tasks.beats.folds`."""
        return hold_out(prepared, fold, recipe.out_of_fold.folds)

    def check_adapts(self, bundle: Bundle) -> None:
        """Every bundle of beats can be adapted."""

    def adapt(
        self,
        recipe: BeatRecipe,
        bundle: Bundle,
        run: Callable[[Bundle], Iterable[Finding]],
        reviewed: Reviewed,
    ) -> Adapted:
        """See `beatlens.tasks.beats.patient_rule`."""
        return adapt_to_patient(bundle, recipe.task.classes, run, reviewed)

    def describe_rule(self, bundle: Bundle) -> str:
        """Offsets, calibration and warnings."""
        rule = beat_rule(bundle)
        offsets = ", ".join(
            f"{name} {value:+.2f}"
            for name, value in zip(bundle.classes, rule.step * rule.offsets, strict=True)
        )
        warning = rule.warning
        return (
            f"offsets {offsets} (logits), temperature {rule.calibration.temperature:.3f}, low "
            f"margin below {rule.step * warning.low_margin:.2f}, out of distribution below "
            f"{rule.step * warning.out_of_distribution:.2f}"
        )

    def read_rule(self, bundle: Bundle) -> BeatRule:
        """The bundle's rule."""
        return beat_rule(bundle)

    def evaluate(
        self,
        recipe: BeatRecipe,
        prepared: PreparedBeats,
        networks: Networks,
        rule: Any | None = None,
    ) -> Evaluation:
        """See `KindTraining.evaluate`; with networks of folds also `out_of_fold.json`."""
        found = evaluation.evaluate_beats(recipe, prepared, networks, rule)
        if not networks.folds:
            return found
        tables = {**found.tables, **evaluate_folds(recipe, prepared, networks.folds)}
        return replace(found, tables=tables)

    def check_ec57(self, recipe: BeatRecipe) -> None:
        """EC57 counts beats, of any classes."""

    def evaluate_ec57(
        self,
        recipe: BeatRecipe,
        prepared: PreparedBeats,
        networks: Networks,
        rule: Any | None,
    ) -> Evaluation:
        """`ec57.json`: the rows of `evaluate`, which are EC57's."""
        found = evaluation.evaluate_beats(recipe, prepared, networks, rule)
        return evaluation.as_ec57(found)

    def bundle_figures(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The int8 model's gross figures on test patients."""
        return evaluation.bundle_figures(figures)


TRAINING = BeatTraining()

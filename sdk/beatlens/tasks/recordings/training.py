"""Training and compression of networks that decide on whole recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.runtime.bundle import Bundle
from beatlens.signals.rr_features import FEATURES
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.tasks.common.workers import Workers
from beatlens.tasks.contract import (
    Evaluation,
    Int8Model,
    KindTraining,
    MakeCrops,
    Networks,
    Progress,
)
from beatlens.tasks.recordings import evaluation
from beatlens.tasks.recordings.agreement import RecordingAgreement, score_likeliest
from beatlens.tasks.recordings.data import PreparedRecordings, prepare_recordings
from beatlens.tasks.recordings.distillation import build_recording_retraining
from beatlens.tasks.recordings.metrics import run_recordings
from beatlens.tasks.recordings.objective import RecordingObjective
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.recordings.rule import RecordingRule, recording_rule
from beatlens.tasks.recordings.sampling import RecordingSampler
from beatlens.training.crops import Crops
from beatlens.training.loop import Schedule
from beatlens.training.model import TabledNet


class RecordingTraining(KindTraining[RecordingRecipe, PreparedRecordings]):
    """Recordings, as training and measuring see them."""

    name = "recordings"
    recipe_type = RecordingRecipe
    default_recipe = Path(__file__).with_name("default.toml")
    features = len(FEATURES)
    model_span = CROP_SPAN

    def prepare(
        self,
        recipe: RecordingRecipe,
        folder: Path,
        data: Path | None,
        progress: Progress | None,
        workers: Workers,
        roles: Sequence[str],
    ) -> PreparedRecordings:
        """See `KindTraining.prepare`."""
        return prepare_recordings(recipe, folder, data, progress, workers, roles)

    def teacher_crops(
        self, recipe: RecordingRecipe, prepared: PreparedRecordings
    ) -> MakeCrops[RecordingRecipe]:
        """Crops of the training recordings."""
        return lambda one, before: prepared.sampler(one, one.seed)

    def objective(self, recipe: RecordingRecipe, model: TabledNet, crops: Crops) -> nn.Module:
        """Cross entropy over the labels."""
        return RecordingObjective(model, recipe.sampling.draw.span)

    def validate_teacher(
        self, recipe: RecordingRecipe, model: TabledNet, prepared: PreparedRecordings
    ) -> dict[str, float]:
        """The score of the likeliest classes of the validation recordings."""
        if model.tables is None:
            raise ModelError("a model of recordings has no lookup tables, expected some")
        model.eval()
        run = run_recordings(model.net, model.tables.array(), prepared.validation)
        return {"score": score_likeliest(evaluation.build_score(recipe), run)}

    def student_crops(
        self, recipe: RecordingRecipe, prepared: PreparedRecordings, teacher: Teacher, seed: int
    ) -> RecordingSampler:
        """Crops of the training recordings."""
        return prepared.sampler(recipe, seed)

    def crop_span(self, recipe: RecordingRecipe) -> int:
        """As the recipe says."""
        return recipe.sampling.draw.span

    def agreement(
        self, recipe: RecordingRecipe, prepared: PreparedRecordings, teacher: Teacher
    ) -> RecordingAgreement:
        """Agreement with the teacher on the validation recordings."""
        score = evaluation.build_score(recipe)
        return RecordingAgreement(score, teacher, prepared.validation)

    def retraining(
        self,
        cache: TeacherCache,
        teacher: Teacher,
        recipe: RecordingRecipe,
        schedule: Schedule,
        validate: Callable[[nn.Module], dict[str, float]],
    ) -> Retraining:
        """Labels, decisions and maps of the teacher."""
        return build_recording_retraining(cache, teacher, recipe, schedule, validate)

    def choose_rule(
        self,
        recipe: RecordingRecipe,
        prepared: PreparedRecordings,
        teacher: Teacher,
        model: Int8Model,
        folds: Sequence[EvidenceNet] = (),
    ) -> RecordingRule:
        """The recipe's offsets; the calibration is chosen on validation recordings."""
        return evaluation.choose_rule(recipe, prepared, teacher, model)

    def describe_rule(self, bundle: Bundle) -> str:
        """Offsets and calibration."""
        rule = recording_rule(bundle)
        offsets = ", ".join(
            f"{name} {value:+.2f}"
            for name, value in zip(bundle.classes, rule.step * rule.offsets, strict=True)
        )
        return f"offsets {offsets} (logits), temperature {rule.calibration.temperature:.3f}"

    def read_rule(self, bundle: Bundle) -> RecordingRule:
        """The bundle's rule."""
        return recording_rule(bundle)

    def evaluate(
        self,
        recipe: RecordingRecipe,
        prepared: PreparedRecordings,
        networks: Networks,
        rule: Any | None = None,
    ) -> Evaluation:
        """See `KindTraining.evaluate`."""
        return evaluation.evaluate_recordings(recipe, prepared, networks, rule)

    def bundle_figures(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The int8 model's figures, with where they are from."""
        return evaluation.bundle_figures(figures)


TRAINING = RecordingTraining()

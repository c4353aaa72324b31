"""What a kind of span gives to training, compression, export and measuring.

`beatlens.pipeline` runs these steps one after the other and knows no kind; a kind's folder here has
all that is special about it. What it needs on the device stands behind `beatlens.runtime.kind.Kind`
and needs no torch; this side is loaded by `beatlens.tasks.registry` when something is trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import nn

from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Convolution, IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.annotations import Annotations
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.common.workers import Workers
from beatlens.training.crops import Crops
from beatlens.training.loop import Schedule
from beatlens.training.model import TabledNet

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]


class Prepared(Protocol):
    """Recordings ready for training and measuring; a kind's own class has more."""

    @property
    def simulated(self) -> bool:
        """Whether the ECG was made up."""
        ...

    @property
    def description(self) -> str:
        """What the recordings are, in words."""
        ...


@dataclass(frozen=True)
class Int8Model:
    """The network as the device has it.

    Args:
        graph: the integer graph.
        geometry: stride and receptive field.
        quantized: the network it was made from; None for one that is read from a bundle.
    """

    graph: IntegerGraph
    geometry: Geometry
    quantized: QuantizedEvidenceNet | None = None

    @classmethod
    def build(cls, quantized: QuantizedEvidenceNet, span: int) -> Int8Model:
        """The graph of a quantised network whose input covers `span` samples besides context."""
        return cls(build_graph(quantized, span), quantized.geometry, quantized)

    @classmethod
    def read(cls, bundle: Bundle) -> Int8Model:
        """The network of a bundle.

        Raises:
            ModelError: it takes samples in other steps than recordings are prepared in.
        """
        if bundle.lsb_mv != LSB_MV:
            raise ModelError(
                f"bundle {bundle.name!r} takes samples in steps of {bundle.lsb_mv:g} mV, expected "
                f"{LSB_MV:g}: an older beatlens made it; it runs (explain, score, firmware), but "
                "is measured and exported again only by that version"
            )
        return cls(read_tflite(bundle.tflite), bundle.geometry)


@dataclass(frozen=True)
class Networks:
    """What is measured side by side.

    A bundle alone has no float `student`; without a `teacher` the int8 model's agreement with it is
    left out. `folds` are small networks that did not see some patients each, see
    `KindTraining.folds`.
    """

    teacher: Teacher | None
    student: EvidenceNet | None
    device: Int8Model
    folds: Sequence[EvidenceNet] = ()


@dataclass(frozen=True)
class Evaluation:
    """What was measured on test recordings.

    Args:
        rows: of `figures.json`, one a network (and a way of counting).
        tables: rows of further figures files, by file name.
        annotations: what the int8 model decided, with each recording's rate, to be written as WFDB
            annotations.
        annotator: extension of the files of `annotations`.
        summary: the table that is printed.
        details: what a kind's report is drawn from.
    """

    rows: list[Row]
    summary: Summary
    tables: Mapping[str, list[Row]] = field(default_factory=dict)
    annotations: Sequence[tuple[Annotations, int]] = ()
    annotator: str = "device"
    details: Any = None


@dataclass(frozen=True)
class Summary:
    """A small table of text: the heads of its columns, and its rows."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Reviewed:
    """Annotations of a recording, and the time in which somebody reviewed all of them, seconds."""

    annotations: Annotations
    rate_hz: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Adapted:
    """A rule that was adapted to one patient.

    Args:
        rule: of the kind; None where nothing is gained.
        reason: why there is none, a sentence; else empty.
        summary: what it gained on what it was not fitted on; None where nothing was fitted.
        measured: the same, for the bundle.
    """

    rule: Any | None
    reason: str
    summary: Summary | None
    measured: Mapping[str, Any]


R = TypeVar("R", bound=Recipe)
P = TypeVar("P", bound=Prepared)


MakeCrops = Callable[[R, Sequence[Teacher]], Crops]
"""Makes the crops of one network, from its recipe (`Recipe.of_member`) and the members that were
trained before it."""


class KindTraining(ABC, Generic[R, P]):
    """One kind of span, as training, compression and measuring see it.

    Attributes:
        name: of the kind, as in `task.kind` of a recipe.
        recipe_type: class of its recipes.
        default_recipe: TOML file of the recipe that is used where none is given.
        features: how many features of beats have a lookup table; 0: none.
        score: key of what `validate_teacher` gives by which the best weights are chosen.
        model_span: samples, besides context, that the input of an exported model covers.
    """

    name: str
    recipe_type: type[R]
    default_recipe: Path
    features: int = 0
    score: str = "score"
    model_span: int

    @abstractmethod
    def prepare(
        self,
        recipe: R,
        folder: Path,
        data: Path | None,
        progress: Progress | None,
        workers: Workers,
        roles: Sequence[str],
    ) -> P:
        """Read, condition and label the recordings of a recipe, in the roles asked for."""

    def describe(self, recipe: R, prepared: P) -> str:
        """What there is to train on, in words, besides `prepared.description`; may be empty."""
        return ""

    @abstractmethod
    def teacher_crops(self, recipe: R, prepared: P) -> MakeCrops[R]:
        """What makes the crops of a teacher, or of each of its members.

        Args:
            recipe: of the teacher as a whole.
            prepared: the recordings.
        """

    @abstractmethod
    def objective(self, recipe: R, model: TabledNet, crops: Crops) -> nn.Module:
        """The supervised loss of a network: a module whose forward takes a batch of `crops`."""

    @abstractmethod
    def validate_teacher(self, recipe: R, model: TabledNet, prepared: P) -> dict[str, float]:
        """Measure a network in training on the validation recordings; has the key `score`."""

    @abstractmethod
    def student_crops(self, recipe: R, prepared: P, teacher: Teacher, seed: int) -> Crops:
        """What students are trained on, besides what the teacher predicts for it."""

    @abstractmethod
    def crop_span(self, recipe: R) -> int:
        """Samples of a student's crop, besides context."""

    @abstractmethod
    def agreement(
        self, recipe: R, prepared: P, teacher: Teacher
    ) -> Callable[[Explaining], dict[str, float]]:
        """What measures a student against its teacher on validation recordings: key `score`."""

    @abstractmethod
    def retraining(
        self,
        cache: TeacherCache,
        teacher: Teacher,
        recipe: R,
        schedule: Schedule,
        validate: Callable[[nn.Module], dict[str, float]],
    ) -> Retraining:
        """How compression trains a network: the distillation objective and its batches."""

    def folds(self, recipe: R) -> int:
        """In how many folds patients are dealt to fit the rule out of fold; 0: they are not."""
        return 0

    def hold_out(self, recipe: R, prepared: P, fold: int) -> P:
        """What the networks of a fold are trained on: patients of the other folds.

        Raises:
            RecipeError: the recipe has no such fold.
        """
        raise RecipeError(f"{recipe.name}: there is no fold {fold}, expected none to be asked for")

    def rule_roles(self, recipe: R) -> Sequence[str]:
        """Roles of the recordings that the rule is chosen on."""
        return ("train", "validation") if self.folds(recipe) else ("validation",)

    @abstractmethod
    def choose_rule(
        self,
        recipe: R,
        prepared: P,
        teacher: Teacher,
        model: Int8Model,
        folds: Sequence[EvidenceNet] = (),
    ) -> Any:
        """How the int8 model decides: the kind's rule.

        Chosen on validation recordings, or, where a recipe has `folds`, on what their networks
        said of patients that they did not see.
        """

    def check_adapts(self, bundle: Bundle) -> None:
        """Raise `ModelError` where bundles of this kind cannot be adapted to a patient."""
        raise ModelError(
            f"bundle {bundle.name!r} decides on {bundle.decides_on}, expected one of beats: others "
            "cannot be adapted to a patient"
        )

    def adapt(
        self,
        recipe: R,
        bundle: Bundle,
        run: Callable[[Bundle], Iterable[Finding]],
        reviewed: Reviewed,
    ) -> Adapted:
        """A bundle's rule, adapted to the reviewed minutes of one patient.

        Args:
            recipe: of the bundle's classes.
            bundle: whose rule is adapted.
            run: gives the findings of a bundle on the recording.
            reviewed: the annotations.

        Raises:
            ModelError: see `check_adapts`.
            DataError: there is too little to adapt to, or it is of another recording.
        """
        self.check_adapts(bundle)
        raise NotImplementedError(f"{self.name}: check_adapts passes, but there is no adapt")

    @abstractmethod
    def describe_rule(self, bundle: Bundle) -> str:
        """The bundle's rule in a line of text."""

    @abstractmethod
    def read_rule(self, bundle: Bundle) -> Any:
        """The rule of a bundle, as `evaluate` takes it."""

    @abstractmethod
    def evaluate(
        self, recipe: R, prepared: P, networks: Networks, rule: Any | None = None
    ) -> Evaluation:
        """Measure networks on the test recordings.

        Args:
            recipe, prepared: of the networks.
            networks: all that are measured.
            rule: of the device; None: `choose_rule`.

        Raises:
            RecipeError: there are no test recordings.
        """

    def check_ec57(self, recipe: R) -> None:
        """Raise `RecipeError` where EC57 defines nothing for this kind, or these classes."""
        raise RecipeError(
            f"{recipe.name}: EC57 has no figures for {self.name}, expected a recipe of beats, or "
            "of windows with a class of atrial fibrillation"
        )

    def evaluate_ec57(
        self,
        recipe: R,
        prepared: P,
        networks: Networks,
        rule: Any | None,
    ) -> Evaluation:
        """Figures of ANSI/AAMI EC57 besides those of `evaluate`.

        Raises:
            RecipeError: see `check_ec57`.
        """
        self.check_ec57(recipe)
        raise NotImplementedError(f"{self.name}: check_ec57 passes, but there is no evaluate_ec57")

    @abstractmethod
    def bundle_figures(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """What a bundle says of how its model was measured, out of a run's `figures.json`."""

    def write_report(self, recipe: R, prepared: P, found: Evaluation, folder: Path) -> Path | None:
        """Write a report of an evaluation into the run folder; None: the kind has none."""
        return None


def count_weights(graph: IntegerGraph) -> int:
    """Weights and biases of an integer graph."""
    found = [op for op in graph.ops if isinstance(op, Convolution)]
    return sum(int(np.size(op.weights) + np.size(op.bias)) for op in found)

"""Runs networks over windows and measures them: the numbers behind every table.

A `Run` is the evidence of one network, in one form, on one set of windows; everything else is
computed from runs, so that a table can be made again without a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from beatlens.attribution.fidelity import Fidelity, fidelity
from beatlens.attribution.localisation import Localisation, localisation
from beatlens.checked_read import checked_read
from beatlens.evaluate.bootstrap import (
    Interval,
    Statistic,
    average_precision_statistic,
    f1_statistic,
    interval,
    macro_average_precision_statistic,
    macro_f1_statistic,
    mean_statistic,
    quantile_statistic,
)
from beatlens.evaluate.prediction import best_f1_thresholds, prediction, thresholds_as_often
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.litert import Kernels, run_litert
from beatlens.integer.tflite_write import write_tflite
from beatlens.output import writing
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import SPAN, WindowSet
from beatlens.tasks.windows.tracks import Classes

REPLICATES = 1000
MIN_PATIENTS = 3
MIN_F1 = 0.5


@dataclass(frozen=True)
class Run:
    """Evidence float32 `[S, C, T]` of one network over a set of windows, in logit units.

    `added` float64 `[S, C]` is what the features of the rhythm add, or None without tables.
    """

    evidence: np.ndarray
    added: np.ndarray | None = None

    @property
    def logits(self) -> np.ndarray:
        """Decisions before the sigmoid, float64 `[S, C]`: the mean of the evidence, and `added`."""
        means = np.asarray(self.evidence.mean(axis=2, dtype=np.float64))
        return means if self.added is None else means + self.added

    def save(self, path: Path) -> None:
        """Write the evidence as float32, whole or not at all."""
        part = path.with_suffix(".part.npz")
        with writing(path):
            np.savez_compressed(part, evidence=self.evidence.astype(np.float32))
            part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read what `save` wrote; `DataError` where the file is something else."""
        with (
            checked_read(path, "a network's evidence", "delete it, and it is made again"),
            np.load(path) as archive,
        ):
            return cls(archive["evidence"])


@torch.no_grad()
def run_network(net: Explaining, windows: WindowSet, batch: int = 60) -> Run:
    """Run a torch network over windows, in `eval()` mode, and leave it in the mode it was in."""
    training = isinstance(net, nn.Module) and net.training
    if isinstance(net, nn.Module):
        net.eval()
    parts = []
    for first in range(0, len(windows), batch):
        cut = net.geometry.trim(windows.windows[first : first + batch], SPAN)
        x = torch.from_numpy(to_millivolts(cut)).unsqueeze(1)
        parts.append(net.evidence(x).float().numpy())
    if isinstance(net, nn.Module):
        net.train(training)
    return Run(np.concatenate(parts))


def run_integer(
    graph: IntegerGraph, geometry: Geometry, windows: WindowSet, kernels: Kernels = "reference"
) -> Run:
    """Run an int8 model over windows, window by window, on LiteRT itself.

    Args:
        graph: the model.
        geometry: the model's.
        windows: what to run it on.
        kernels: LiteRT's arithmetic; "reference" is the golden one.
    """
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    cut = np.ascontiguousarray(geometry.trim(windows.windows, SPAN))
    found = run_litert(write_tflite(graph), cut[:, :, None], kernels)["evidence"]
    steps = found.transpose(0, 2, 1).astype(np.float32) - np.float32(quantization.zero_point)
    return Run(np.ascontiguousarray(steps * np.float32(quantization.scale)))


@dataclass(frozen=True)
class Reference:
    """The uncompressed network all others are held against, on the same windows.

    `thresholds` `[C]` in logits, chosen on validation windows; `predicted` bool `[S, C]`.
    """

    run: Run
    thresholds: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """What the uncompressed network predicts."""
        return self.run.logits >= self.thresholds


def choose_thresholds(validation: WindowSet, run: Run) -> np.ndarray:
    """Thresholds `[C]` in logits on validation windows; see `usable_thresholds`."""
    return usable_thresholds(validation.labels, run.logits, validation.records)


def usable_thresholds(labels: np.ndarray, logits: np.ndarray, records: np.ndarray) -> np.ndarray:
    """Thresholds `[C]` in logits with the best F1, where that means something.

    A class keeps probability 0.5 (logit 0) where fewer than `MIN_PATIENTS` records have it, since
    the best threshold for one patient says nothing of the next, and where even the best F1 is below
    `MIN_F1`: for a class that scores do not separate, F1 is best where nearly everything is
    predicted (Lipton et al., ECML 2014, sec. 3), which is no decision.

    Args:
        labels: `[S, C]`, NaN where not known.
        logits: `[S, C]` of patients the network was not trained on.
        records: `[S]`.
    """
    chosen = best_f1_thresholds(labels, logits, fallback=0.0)
    reached = np.nan_to_num(prediction(labels, logits, chosen).f1)
    holders = np.array([len(set(records[column == 1])) for column in labels.T])
    return np.where((holders >= MIN_PATIENTS) & (reached >= MIN_F1), chosen, 0.0)


def student_thresholds(teacher: Reference, student: Run, records: np.ndarray) -> np.ndarray:
    """Thresholds `[C]` in logits at which a student decides as often as its teacher, on validation.

    No label is read. A best threshold by labels depends on single records where few patients have a
    class: it moved the decision of a small student far from its teacher's.

    A class keeps probability 0.5 (logit 0) where the teacher predicts it in fewer than
    `MIN_PATIENTS` records: how often it decides there says nothing of the next patient.

    Args:
        teacher: its run on the validation windows, and its thresholds.
        student: the student's run on the same windows.
        records: `[S]`.
    """
    chosen = thresholds_as_often(teacher.predicted, student.logits)
    holders = np.array([len(set(records[column])) for column in teacher.predicted.T])
    return np.where(holders >= MIN_PATIENTS, chosen, 0.0)


@dataclass(frozen=True)
class Measured:
    """One network measured on one set of windows: scores per window and class, before averaging.

    `same_set` is bool `[S]`: in a window, every class is decided as the reference decides it.
    """

    classes: Classes
    windows: WindowSet
    run: Run
    thresholds: np.ndarray
    located: Localisation
    agreement: Fidelity
    same_set: np.ndarray

    def statistics(self) -> dict[str, Statistic]:
        """Every figure of the table as a function of window weights, by its key in the table."""
        labels, logits = self.windows.labels, self.run.logits
        found: dict[str, Statistic] = {
            "macro_ap": macro_average_precision_statistic(labels, logits)
        }
        predicted = (logits >= self.thresholds).astype(np.float64)
        found["macro_f1"] = macro_f1_statistic(labels, predicted)
        for c, name in enumerate(self.classes):
            found[f"ap_{name}"] = average_precision_statistic(labels[:, c], logits[:, c])
            found[f"f1_{name}"] = f1_statistic(labels[:, c], predicted[:, c])
        detected = self.located.where_detected()
        for c, (name, one) in enumerate(self.classes.items()):
            if not one.is_occasional:
                continue
            found[f"loc_auc_{name}"] = mean_statistic(detected.auc[:, c])
            found[f"point_{name}"] = mean_statistic(detected.pointing[:, c])
            found[f"loc_auc_{name}_all"] = mean_statistic(self.located.auc[:, c])
            found[f"point_{name}_all"] = mean_statistic(self.located.pointing[:, c])
        for name, scores in self.agreement.scores.items():
            found[name] = mean_statistic(scores)
        found["label_set"] = mean_statistic(self.same_set.astype(np.float64))
        found["spearman_p5"] = quantile_statistic(self.agreement.scores["spearman"], 0.05)
        agreeing = np.where(self.agreement.agreeing, self.agreement.scores["spearman"], np.nan)
        differing = np.where(self.agreement.differing, self.agreement.scores["spearman"], np.nan)
        found["spearman_agreeing"] = mean_statistic(agreeing)
        found["spearman_differing"] = mean_statistic(differing)
        return found

    def intervals(self, replicates: int = REPLICATES) -> dict[str, Interval]:
        """Every figure with its interval by record; of a single record without (NaN)."""
        records = self.windows.records
        if len(set(records.tolist())) < 2:
            whole, none = np.ones((1, len(records))), float("nan")
            return {
                key: Interval(none, none, float(statistic(whole)[0]), 0, 0)
                for key, statistic in self.statistics().items()
            }
        return {
            key: interval(statistic, records, n=replicates)
            for key, statistic in self.statistics().items()
        }


def measure(
    classes: Classes,
    windows: WindowSet,
    run: Run,
    thresholds: np.ndarray,
    reference: Reference,
) -> Measured:
    """Measure a network: prediction and localisation by the labels, agreement with a reference.

    Args:
        classes: of the task, in the order of the network's outputs.
        windows: labels and masks.
        run: its evidence on them.
        thresholds: the network's own, `[C]` logits, from validation windows.
        reference: the uncompressed network on the same windows.
    """
    predicted = run.logits >= thresholds
    present = windows.labels == 1
    return Measured(
        classes=classes,
        windows=windows,
        run=run,
        thresholds=thresholds,
        located=localisation(run.evidence, windows.masks, present, predicted),
        agreement=fidelity(reference.run.evidence, run.evidence, reference.predicted, predicted),
        same_set=np.asarray((predicted == reference.predicted).all(axis=1)),
    )


def format_row(measured: Measured, replicates: int = REPLICATES) -> dict[str, float]:
    """A flat row of a figures file: every figure, and its interval as `KEY_lo`, `KEY_hi`."""
    row: dict[str, float] = {}
    for key, found in measured.intervals(replicates).items():
        row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
    return row

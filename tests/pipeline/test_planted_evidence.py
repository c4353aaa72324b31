"""Training end to end: does a network that only saw labels find the evidence that was planted?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from beatlens.attribution.localisation import Localisation, localisation
from beatlens.evaluate.prediction import average_precision
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.evidence import EvidenceNet
from beatlens.signals.simulate import simulate_database
from beatlens.tasks.common.tracks import to_model_rate
from beatlens.tasks.windows.data import SIMULATION_SEED, prepare_windows
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.metrics import Run, run_network
from beatlens.tasks.windows.objective import WindowObjective
from beatlens.training.crops import make_batches
from beatlens.training.loop import Schedule, fit
from beatlens.training.losses import seed_everything

from .tiny import tiny_recipe

pytestmark = pytest.mark.rounding
PATIENTS, SECONDS = 40, 60
RECIPE = tiny_recipe(
    seed=0,
    data=tiny_recipe().data.model_copy(
        update={"simulated_patients": PATIENTS, "simulated_seconds": SECONDS}
    ),
)
CLASSES = RECIPE.classes
PVC = CLASSES.index("pvc")
# It sees 1 s around a column: with few steps, a wider one may point beside what it has found.
SPEC = NetworkSpec("dense", (8, 12, 16, 20, 24), (8, 8, 8, 6, 6), (2, 2, 2, 1, 1))


@dataclass(frozen=True)
class Trial:
    """Test strips, what an untrained and a trained network say of them, and the planted truth."""

    strips: WindowSet
    planted: np.ndarray
    fresh: Run
    trained: Run

    def located(self, run: Run, masks: np.ndarray) -> Localisation:
        present = self.strips.labels == 1
        return localisation(run.evidence, masks, present, present)


def planted_masks(strips: WindowSet) -> np.ndarray:
    """What the simulator says it planted, bool `[S, C, SPAN]` at 128 Hz."""
    patients = {
        p.recording.name: p for p in simulate_database(PATIENTS, SIMULATION_SEED, SECONDS)["test"]
    }
    masks = np.zeros_like(strips.masks)
    for row, (record, start) in enumerate(zip(strips.records, strips.starts, strict=True)):
        patient = patients[str(record)]
        for column, name in enumerate(CLASSES):
            for interval in patient.evidence[name]:
                edges = np.array([interval.start, interval.end])
                first, last = to_model_rate(edges, patient.recording.rate_hz) - start
                masks[row, column, max(first, 0) : min(max(last, 0), SPAN)] = True
    return masks


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    prepared = prepare_windows(RECIPE, tmp_path_factory.mktemp("run"))
    strips = cut_windows(prepared.test)
    seed_everything(0)
    net: EvidenceNet = build(SPEC, CLASSES)
    fresh = run_network(net, strips)
    fit(
        WindowObjective(net),
        net,
        make_batches(prepared.sampler(RECIPE, 0, excerpts=True)),
        Schedule(steps=300, batch=24, learning_rate=1e-2, validate_every=300),
        lambda: {"score": 0.0},
        score="score",
    )
    return Trial(strips, planted_masks(strips), fresh, run_network(net, strips))


def test_labels_and_planted_evidence_agree(trial: Trial) -> None:
    """Where a strip is labelled, something was planted in it, under the beat's mask."""
    present = trial.strips.labels[:, PVC] == 1
    assert present.sum() >= 10
    assert trial.planted[present, PVC].any(axis=1).all()
    inside = (trial.planted & trial.strips.masks)[present, PVC].sum()
    assert inside / trial.planted[present, PVC].sum() > 0.95


def test_ventricular_beats_of_unseen_patients_are_detected(trial: Trial) -> None:
    trained = average_precision(trial.strips.labels, trial.trained.logits)[PVC]
    fresh = average_precision(trial.strips.labels, trial.fresh.logits)[PVC]
    assert trained > 0.6  # 0.27 is chance
    assert trained > fresh + 0.2


def test_the_map_points_at_the_beats_of_unseen_patients(trial: Trial) -> None:
    found = trial.located(trial.trained, trial.strips.masks).means()
    fresh = trial.located(trial.fresh, trial.strips.masks).means()
    assert found["chance"][PVC] < 0.15
    assert found["pointing"][PVC] > max(0.7, fresh["pointing"][PVC] + 0.2)
    assert found["auc"][PVC] > 0.75


def test_the_map_is_high_where_a_wide_qrs_was_planted(trial: Trial) -> None:
    """A wide QRS takes some 0.15 s; its T wave, as telling, is not part of what was planted."""
    found = trial.located(trial.trained, trial.planted).means()
    fresh = trial.located(trial.fresh, trial.planted).means()
    assert found["auc"][PVC] > max(0.75, fresh["auc"][PVC] + 0.1)
    present = trial.strips.labels[:, PVC] == 1
    peaks = trial.trained.evidence[present, PVC].argmax(axis=1) * 8 + 4
    near = [
        np.abs(np.flatnonzero(mask) - peak).min() <= 0.4 * 128
        for mask, peak in zip(trial.planted[present, PVC], peaks, strict=True)
    ]
    # Anywhere in the strip a column would be as near to one with a probability of some 0.15.
    assert np.mean(near) > 0.7

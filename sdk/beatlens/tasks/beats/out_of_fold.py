"""The rule fitted out of fold, and how its networks do on patients that they never saw.

The networks of the folds (`beatlens.tasks.beats.folds`) say what they say of held-out patients;
tables, calibration and warnings are fitted on that. Where it is measured, the tables of a fold are
fitted on the other folds, so nothing that decides on a patient was fitted on the patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.signals.beat_features import FEATURES
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.folds import assign_folds
from beatlens.tasks.beats.labels import AFTER, BEFORE, BeatTrack, set_entries
from beatlens.tasks.beats.metrics import BeatRun, calibrate, choose_warnings, run_beats
from beatlens.tasks.beats.recipe import BeatClass, BeatRecipe
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.beats.sharing import ClusterMargins, Sharing
from beatlens.tasks.beats.table_fit import FittedTables, fit_tables
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.contract import Int8Model

RHYTHM = (*FEATURES[: FEATURES.index("rr_irregularity")], "rr_over_long_mean")
"""Features that speak for or against a class that looks as the usual beats do."""
FINE = 1e-3
"""Logits of a step where margins are shared before there is an int8 network."""
MARGIN = 6.0
"""Calibrated logits that a shared margin counts as at most."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Mean evidence on patients that a network never saw.

    Args:
        tracks: the labelled recordings.
        evidence: of each, float64 `[b, C]`.
        folds: of each.
    """

    tracks: Sequence[BeatTrack]
    evidence: Sequence[NDArray[np.float64]]
    folds: NDArray[np.int64]


def run_folds(
    recipe: BeatRecipe, prepared: PreparedBeats, networks: Sequence[Explaining]
) -> OutOfFold:
    """Run each fold's network over the patients that it was not trained on."""
    tracks = prepared.train
    folds = assign_folds(tracks, prepared.patients, len(networks))
    none = np.zeros((len(FEATURES), 32, len(recipe.classes)))
    evidence: list[NDArray[np.float64]] = [np.zeros(0)] * len(tracks)
    for fold, network in enumerate(networks):
        places = np.flatnonzero(folds == fold).tolist()
        run = run_beats(network, none, [tracks[place] for place in places])
        for place, found in zip(places, run.logits, strict=True):
            evidence[place] = found
    return OutOfFold(tracks, evidence, folds)


def feature_mask(classes: Mapping[str, BeatClass]) -> NDArray[np.bool_]:
    """Which feature has a fitted table for which class, `[K, C]`.

    The first class has none, since tables are to the other classes; `rr_irregularity` has what a
    recipe sets.
    """
    mask = np.zeros((len(FEATURES), len(classes)), bool)
    for number, one in enumerate(classes.values()):
        if number and one.features == "all":
            mask[:, number] = True
        elif number:
            mask[[FEATURES.index(name) for name in RHYTHM], number] = True
    mask[FEATURES.index("rr_irregularity")] = False
    return mask


def fit_on(recipe: BeatRecipe, whole: OutOfFold, places: Sequence[int]) -> FittedTables:
    """Tables fitted on some of the recordings; a database counts by the root of its beats."""
    tracks = [whole.tracks[place] for place in places]
    known = [track.labels >= 0 for track in tracks]
    named = [np.full(k.sum(), t.database) for t, k in zip(tracks, known, strict=True)]
    databases = np.concatenate(named)
    weights = np.ones(len(databases))
    for name in set(databases.tolist()):
        weights[databases == name] = np.sum(databases == name) ** -0.5
    return fit_tables(
        np.concatenate([whole.evidence[p][k] for p, k in zip(places, known, strict=True)]),
        np.concatenate([t.features[k] for t, k in zip(tracks, known, strict=True)]),
        np.concatenate([t.labels[k] for t, k in zip(tracks, known, strict=True)]),
        weights,
        feature_mask(recipe.task.classes),
    )


def score_out_of_fold(recipe: BeatRecipe, whole: OutOfFold) -> BeatRun:
    """Logits of every recording by tables that were fitted on the other folds, margins shared."""
    logits: list[NDArray[np.float64]] = [np.zeros(0)] * len(whole.tracks)
    entries = set_entries(recipe.task.classes)
    for fold in sorted(set(whole.folds.tolist())):
        others = np.flatnonzero(whole.folds != fold).tolist()
        fitted = fit_on(recipe, whole, others)
        for place in np.flatnonzero(whole.folds == fold).tolist():
            track = whole.tracks[place]
            found = fitted.logits(whole.evidence[place], track.features)
            found += sum(table[track.features[:, i]] for i, table in enumerate(entries))
            logits[place] = _share(recipe, track, found)
    return BeatRun(whole.tracks, [np.zeros((0, 0), np.float32)] * len(logits), logits)


def _share(
    recipe: BeatRecipe, track: BeatTrack, logits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Calibrated logits with the shared class's moved, as the device does it."""
    sharing = find_sharing(recipe, round(MARGIN / FINE))
    if sharing is None:
        return logits
    steps = np.rint(logits / FINE).astype(np.int64)
    decided = np.ones(len(steps), bool)
    moved = ClusterMargins(sharing).push_all(steps, track.clusters, track.begins, decided)
    found = logits.copy()
    found[:, sharing.number] += FINE * moved
    return found


def find_sharing(recipe: BeatRecipe, limit: int) -> Sharing | None:
    """The class that a recipe says is shared; its margin is to all but fusions with it."""
    classes = recipe.task.classes
    for number, (name, one) in enumerate(classes.items()):
        if one.shared:
            others = [n for n, other in enumerate(classes.values()) if other.fusion_with != name]
            return Sharing(number, tuple(n for n in others if n != number), limit)
    return None


def cost_offsets(classes: Mapping[str, BeatClass]) -> NDArray[np.float64]:
    """What a stated cost adds to the calibrated logit of each class, `[C]`.

    A class is decided on where its probability times the cost of missing it is largest.
    """
    return np.array([log(one.cost) for one in classes.values()])


def choose_rule_out_of_fold(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    model: Int8Model,
    networks: Sequence[Explaining],
) -> BeatRule:
    """The whole-number rule of an int8 model, fitted on what the folds' networks said.

    Args:
        recipe, prepared: of the model.
        model: that the rule is for; its evidence has the scale of the folds' networks.
        networks: one a fold.
    """
    whole = run_folds(recipe, prepared, networks)
    run = score_out_of_fold(recipe, whole)
    again = calibrate(run)
    fitted = fit_on(recipe, whole, range(len(whole.tracks)))
    # fitted: scale * evidence + tables + bias; calibrated again, and in units of the evidence.
    temperature = again.temperature / fitted.scale
    calibration = Calibration(temperature, fitted.bias / again.temperature + again.bias)
    tables = (fitted.tables + set_entries(recipe.task.classes)) / fitted.scale
    costs = cost_offsets(recipe.task.classes)
    offsets = temperature * (calibration.bias + costs)
    in_evidence = BeatRun(
        run.tracks, run.evidence, [(found - fitted.bias) / fitted.scale for found in run.logits]
    )
    warnings = choose_warnings(in_evidence, offsets, calibration)
    stride = model.geometry.stride
    sharing = find_sharing(recipe, 1)
    return BeatRule.from_logits(
        tables,
        offsets,
        model.graph.tensors[model.graph.outputs["evidence"]].quantization.scale,
        (BEFORE // stride, AFTER // stride),
        calibration,
        *warnings,
        recipe.task.never_if_clipped,
        None if sharing is None else (sharing.number, sharing.others, MARGIN * temperature),
        recipe.task.codes,
    )

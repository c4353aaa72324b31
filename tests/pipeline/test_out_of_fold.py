"""A rule that is fitted out of fold, from the teacher's members to a bundle and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beatlens.errors import ModelError, RecipeError
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import compress
from beatlens.pipeline.evaluate import evaluate, load_networks
from beatlens.pipeline.export import export_bundle
from beatlens.pipeline.folds import load_folds, train_folds
from beatlens.pipeline.train import train_teacher
from beatlens.runtime.bundle import Bundle
from beatlens.signals.beat_features import FEATURES, TRAINED
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS, simulate_patient
from beatlens.tasks.beats.data import PreparedBeats, prepare_beats
from beatlens.tasks.beats.fold_evaluation import FORM
from beatlens.tasks.beats.folds import hold_out
from beatlens.tasks.beats.recipe import BeatRecipe

from .tiny import NETWORK, TINY_BEATS

FOLDS = 2
CLASSES: dict[str, dict[str, Any]] = {
    "n": {"beats": "NLRBej"},
    "s": {"beats": "AaJSn", "features": "rhythm", "cost": 3.0, "irregular": -2.0},
    "v": {"beats": "VrE", "shared": True, "cost": 2.0},
    "f": {"beats": "F", "fusion_with": "v"},
}
CHANGES: dict[str, Any] = {
    "task": {"kind": "beats", "classes": CLASSES},
    "teacher": {**NETWORK, "members": FOLDS},
    "out_of_fold": {"folds": FOLDS},
    "sampling": {"shares": {"v": 0.3}, "spliced_runs": 0.2},
}
RECIPE = BeatRecipe.parse({**TINY_BEATS, **CHANGES})
Run = tuple[PreparedBeats, Teacher, Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("folds")
    prepared = prepare_beats(RECIPE, folder)
    teacher = train_teacher(RECIPE, prepared, folder)
    compress(RECIPE, prepared, teacher, folder)
    train_folds(RECIPE, prepared, folder)
    return prepared, teacher, folder


@pytest.fixture(scope="module")
def bundle(run: Run) -> Bundle:
    prepared, teacher, folder = run
    quantized = load_networks(RECIPE, folder).device.quantized
    assert quantized is not None
    export_bundle(RECIPE, prepared, teacher, quantized, folder)
    return Bundle.load(folder / "bundle")


def test_each_patient_is_held_out_once_and_watched_ones_are_trained_on(run: Run) -> None:
    prepared, _, _ = run
    names = {track.record for track in prepared.train}
    assert {track.record for track in prepared.validation} <= names
    parts = [hold_out(prepared, fold, FOLDS) for fold in range(FOLDS)]
    held = [{track.record for track in part.validation} for part in parts]
    assert set.union(*held) == names
    assert not set.intersection(*held)
    for part, out in zip(parts, held, strict=True):
        assert {track.record for track in part.train} == names - out


def test_students_of_folds_are_kept(run: Run) -> None:
    prepared, _, folder = run
    first = load_folds(RECIPE, folder)
    again = train_folds(RECIPE, prepared, folder)
    assert len(first) == FOLDS
    for one, other in zip(first, again, strict=True):
        assert (one.head.weight == other.head.weight).all()
    assert not (first[0].head.weight == first[1].head.weight).all()


def test_a_rule_has_the_tables_that_the_recipe_allows(bundle: Bundle) -> None:
    rule, number = bundle.rule, {name: i for i, name in enumerate(bundle.classes)}
    width, early = FEATURES.index("qrs_width"), FEATURES.index("prematurity")
    assert not rule.tables[:, :, number["n"]].any()
    assert rule.tables[width, :, number["v"]].any()
    assert not rule.tables[width, :, number["s"]].any()
    assert rule.tables[early, :, number["s"]].any()
    irregular = rule.tables[FEATURES.index("rr_irregularity")]
    assert not irregular[:, number["v"]].any()
    assert irregular[31, number["s"]] < irregular[0, number["s"]] == 0
    assert rule.sharing.number == number["v"]
    assert rule.sharing.others == (number["n"], number["s"])


def test_offsets_are_the_stated_costs(bundle: Bundle) -> None:
    rule = bundle.rule
    steps = rule.offsets - rule.warning.odds
    wanted = rule.calibration.temperature * np.log([1, 3, 2, 1]) / rule.step
    np.testing.assert_allclose(steps, wanted, atol=1.01)


@pytest.mark.export
def test_engines_agree_and_contributions_sum_to_the_score(bundle: Bundle) -> None:
    counts = simulate_patient(5, 60, pvc_per_minute=15).recording.counts[0].astype(np.int16)
    found = {}
    for engine in ("simulator", "c"):
        stream = bundle.stream(360, COUNTS_PER_MV, rails=RAILS, engine=engine)
        found[engine] = [*stream.push(counts), *stream.flush()]
    assert [f.as_dict() for f in found["simulator"]] == [f.as_dict() for f in found["c"]]
    decided = [finding for finding in found["c"] if finding.assessable]
    assert len(decided) > 20
    for finding in decided:
        assert "cluster_evidence" in finding.features
        scores = dict(zip(finding.classes, finding.scores(), strict=True))
        total = sum(part.logits for part in finding.explain())
        ahead = scores[finding.predicted[0]] - scores[finding.second()]
        assert total == pytest.approx(ahead, abs=1e-5)


def test_figures_out_of_fold_are_of_all_labelled_patients(run: Run) -> None:
    prepared, _, folder = run
    found = evaluate(RECIPE, prepared, load_networks(RECIPE, folder), folder)
    rows = found.tables["out_of_fold.json"]
    assert {row["form"] for row in rows} == {FORM}
    assert {row["records"] for row in rows} == {len(prepared.train)}
    records = found.tables["out_of_fold_records.json"]
    assert {row["record"] for row in records} == {track.record for track in prepared.train}
    assert (folder / "out_of_fold_reliability.json").exists()


def test_members_have_to_be_there(run: Run, tmp_path: Path) -> None:
    prepared, teacher, _ = run
    teacher.save(tmp_path / "teacher.pt", RECIPE.teacher.spec)
    with pytest.raises(ModelError, match=r"members/0/teacher\.pt is not there: .*beatlens train"):
        train_folds(RECIPE, prepared, tmp_path)
    with pytest.raises(ModelError, match=r"folds/0/student\.pt is not there: .*compress"):
        load_folds(RECIPE, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out_of_fold": {"folds": 1}}, "folds is 1, expected 0, or 2 and more"),
        ({"out_of_fold": {"folds": 3}}, "folds is 3, expected at most the 2"),
        (
            {"task": {"kind": "beats", "classes": {**CLASSES, "v": {"beats": "VrE"}}}},
            "spliced_runs is 0.2, expected 0: no class has `shared`",
        ),
        (
            {
                "task": {
                    "kind": "beats",
                    "classes": {**CLASSES, "s": {"beats": "A", "shared": True}},
                }
            },
            "shared is said of s and v, expected one class at most",
        ),
    ],
)
def test_recipes_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        BeatRecipe.parse({**TINY_BEATS, **CHANGES, **change})


def test_teachers_members_see_other_patients(run: Run) -> None:
    _, _, folder = run
    members = [
        Teacher.load(folder / "members" / str(number) / "teacher.pt", len(TRAINED))
        for number in range(FOLDS)
    ]
    assert not members[0].equals(members[1])

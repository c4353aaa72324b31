"""Recordings from simulated ECG to findings: train, compress, export, evaluate, explain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compression.quantized_files import load_quantized
from beatlens.errors import ModelError, RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.nets.files import load_net
from beatlens.nets.lookup_tables import LookupTables
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import compress
from beatlens.pipeline.export import NOT_MEASURED, Exported, export_bundle
from beatlens.pipeline.train import train_teacher
from beatlens.runtime.bundle import Bundle
from beatlens.signals.simulate import COUNTS_PER_MV, LEAD, RAILS
from beatlens.tasks.common.runs import CROP_SPAN, integer_windows
from beatlens.tasks.contract import Int8Model, Networks
from beatlens.tasks.recordings.agreement import (
    RecordingAgreement,
    map_agreement,
    score_likeliest,
)
from beatlens.tasks.recordings.data import PreparedRecordings, prepare_recordings
from beatlens.tasks.recordings.evaluation import (
    FORMS,
    Predictions,
    choose_rule,
    evaluate_recordings,
    format_rows,
    misclassified_rows,
    predict,
)
from beatlens.tasks.recordings.labels import recording_track
from beatlens.tasks.recordings.metrics import (
    ChallengeScore,
    run_integer_recordings,
    run_recordings,
)
from beatlens.tasks.recordings.recipe import RecordingRecipe

from ..runtime.recordings import explain_whole
from .recording_runs import TINY, simulated

pytestmark = pytest.mark.export
Run = tuple[RecordingRecipe, PreparedRecordings, Networks]
RECIPE = RecordingRecipe.parse(TINY)
CLASSES = RECIPE.classes
SCORE = ChallengeScore(len(CLASSES), RECIPE.task.scored)
PUBLISHED = {"normal": 5076, "afib": 758, "other": 2415, "noise": 279}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    prepared = prepare_recordings(RECIPE, folder)
    teacher = train_teacher(RECIPE, prepared, folder)
    student, quantized = compress(RECIPE, prepared, teacher, folder)
    model = Int8Model.build(quantized, CROP_SPAN)
    return RECIPE, prepared, Networks(teacher, student, model)


@pytest.fixture(scope="module")
def exported(run: Run, folder: Path) -> Exported:
    recipe, prepared, networks = run
    return export_bundle(recipe, prepared, networks.teacher, networks.device.quantized, folder)


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Bundle:
    return Bundle.load(exported.folder)


@pytest.fixture(scope="module")
def predictions(run: Run) -> dict[str, Predictions]:
    return predict(*run)


def test_a_run_is_kept(run: Run, folder: Path) -> None:
    recipe, prepared, networks = run
    again = train_teacher(recipe, prepared, folder)
    assert again.equals(networks.teacher)
    assert np.abs(again.table_values).max() > 0
    assert not networks.teacher.tables.values.requires_grad
    quantized = networks.device.quantized
    student, kept = compress(recipe, prepared, again, folder)
    assert (student.head.weight == networks.student.head.weight).all()
    assert kept.logit_scale == quantized.logit_scale
    assert not (folder / "teacher.checkpoint").exists()
    loaded = load_quantized(folder / "quantized.pt", load_net(folder / "student.pt")[0])
    x = torch.zeros(1, 1, 1000)
    assert (loaded.evidence(x) == quantized.evidence(x)).all()


def test_the_same_recipe_trains_the_same_teacher(run: Run, tmp_path: Path) -> None:
    recipe, prepared, networks = run
    assert train_teacher(recipe, prepared, tmp_path).equals(networks.teacher)
    other = recipe.model_copy(update={"seed": 1})
    differs = train_teacher(other, prepared, tmp_path / "other")
    assert (differs.net.head.weight != networks.teacher.net.head.weight).any()


def test_a_teacher_of_two_members_is_their_mean(run: Run, tmp_path: Path) -> None:
    alone, prepared, networks = run
    recipe = alone.model_copy(update={"teacher": alone.teacher.model_copy(update={"members": 2})})
    teacher = train_teacher(recipe, prepared, tmp_path)
    members = [
        Teacher.load(tmp_path / "members" / str(i) / "teacher.pt", features=6) for i in range(2)
    ]
    assert members[0].equals(networks.teacher)
    first, second = (member.tables.values for member in members)
    torch.testing.assert_close(teacher.tables.values, (first + second) / 2)
    x = torch.randn(1, 1, 1000)
    with torch.no_grad():
        mean = (members[0].net.evidence(x) + members[1].net.evidence(x)) / 2
        torch.testing.assert_close(teacher.net.evidence(x), mean, rtol=1e-4, atol=1e-5)
    assert not teacher.tables.values.requires_grad


def test_students_are_validated_on_maps_and_on_the_score(run: Run) -> None:
    _, prepared, networks = run
    teacher, student = networks.teacher, networks.student
    agreement = RecordingAgreement(SCORE, teacher, prepared.validation)
    student.train()
    found = agreement(student)
    assert student.training
    student.eval()
    reference = run_recordings(teacher.net, teacher.table_values, prepared.validation)
    measured = run_recordings(student, teacher.table_values, prepared.validation)
    labels = [track.label for track in prepared.validation]
    score = SCORE(measured.logits.argmax(axis=1), np.array(labels))
    assert found["challenge"] == score_likeliest(SCORE, measured) == float(score)
    spearman = map_agreement(reference, measured)["spearman"]
    assert found["spearman"] == pytest.approx(np.nanmean(spearman))
    assert found["score"] == pytest.approx((found["spearman"] + found["challenge"]) / 2)
    assert agreement(teacher.net)["spearman"] == pytest.approx(1)


def test_maps_agree_up_to_what_all_classes_share(run: Run) -> None:
    _, prepared, networks = run
    teacher = networks.teacher
    reference = run_recordings(teacher.net, teacher.table_values, prepared.test)
    shared = [5 * np.sin(np.arange(e.shape[1]), dtype=np.float32) for e in reference.evidence]
    moved = [3 * e + s for e, s in zip(reference.evidence, shared, strict=True)]
    other = type(reference)(reference.tracks, moved, reference.logits)
    found = map_agreement(reference, other)
    assert found["spearman"] == pytest.approx(np.ones(len(prepared.test)), abs=1e-3)
    assert found["same_peak"].tolist() == [1.0] * len(prepared.test)
    turned = type(reference)(reference.tracks, [-e for e in reference.evidence], reference.logits)
    assert map_agreement(reference, turned)["pearson"] == pytest.approx(-1, abs=1e-4)


def test_the_rule_is_the_recipes_offsets_and_the_tables(run: Run) -> None:
    recipe, prepared, networks = run
    graph, tables = networks.device.graph, networks.teacher.table_values
    rule = choose_rule(recipe, prepared, networks.teacher, networks.device)
    assert rule.scale == graph.tensors[graph.outputs["evidence"]].quantization.scale
    assert rule.step * rule.tables == pytest.approx(tables, abs=rule.step / 2)
    assert rule.step * rule.offsets == pytest.approx([0, 0.3, 0, -0.2], abs=rule.step / 2)
    fake = run_recordings(networks.device.quantized, tables, prepared.validation)
    chances = rule.calibration.probabilities(fake.logits)
    rows = np.arange(len(fake.labels))
    uniform = np.full(len(rows), 1 / len(CLASSES))
    assert np.log(chances[rows, fake.labels]).mean() > np.log(uniform).mean()


@pytest.mark.parametrize("pieces", [(10_000_000,), (997,), (50, 4001)])
def test_the_bundle_decides_as_the_int8_network_is_evaluated(
    run: Run, bundle: Bundle, pieces: tuple[int, ...]
) -> None:
    recipe, prepared, networks = run
    model, tables = networks.device, networks.teacher.table_values
    rule = choose_rule(recipe, prepared, networks.teacher, model)
    assert (bundle.rule.tables == rule.tables).all()
    patients = [simulated(number, seconds) for number, seconds in ((0, 9.7), (1, 20), (14, 11.03))]
    tracks = [recording_track(p.recording, label, LEAD) for label, p in enumerate(patients)]
    said, decided = run_integer_recordings(
        integer_windows(model.graph), model.graph, model.geometry, rule, tracks
    )
    fake = run_recordings(model.quantized, tables, tracks)
    chances = rule.calibration.probabilities(said.logits)
    for i, (patient, track) in enumerate(zip(patients, tracks, strict=True)):
        counts, at, number = patient.recording.counts[0], 0, 0
        stream = bundle.stream(300, COUNTS_PER_MV, rails=RAILS)
        while at < len(counts):
            size = pieces[number % len(pieces)]
            assert stream.push(counts[at : at + size]) == []
            at, number = at + size, number + 1
        (found,) = stream.flush()
        assert found.class_name == CLASSES[decided[i]]
        assert list((found.probabilities or {}).values()) == chances[i].tolist()
        np.testing.assert_array_equal(found.evidence, said.evidence[i])
        assert found.evidence == pytest.approx(fake.evidence[i], abs=1e-5)
        assert np.round(found.beat_times_s * 128).astype(int).tolist() == track.peaks.tolist()
        ratios = track.features.mean(axis=0) / [16, 16, 16, 16, 16, 64]
        assert list(found.features.values()) == pytest.approx(ratios.tolist())
        offsets = recipe.task.offsets
        assert found.scores() == pytest.approx(fake.logits[i] + offsets, abs=5 * rule.step)


def test_every_network_predicts_the_test_recordings(
    run: Run, predictions: dict[str, Predictions]
) -> None:
    recipe, prepared, networks = run
    assert tuple(predictions) == FORMS
    records = [track.record for track in prepared.test]
    tables = networks.teacher.table_values
    for form, net in (("teacher", networks.teacher.net), ("student", networks.student)):
        logits = run_recordings(net, tables, prepared.test).logits
        assert (predictions[form].logits == logits).all()
        wanted = (logits + recipe.task.offsets).argmax(axis=1)
        assert predictions[form].decided.tolist() == wanted.tolist()
        assert predictions[form].bytes == 4 * net.weights
    for found in predictions.values():
        assert found.records.tolist() == records
        assert found.labels.tolist() == [track.label for track in prepared.test]
        assert found.chances.sum(axis=1) == pytest.approx(np.ones(len(records)))
    same = np.ones((len(records), 3))
    assert predictions["teacher"].agreement == pytest.approx(same, abs=1e-6)
    model = networks.device
    rule = choose_rule(recipe, prepared, networks.teacher, model)
    decided = run_integer_recordings(
        integer_windows(model.graph), model.graph, model.geometry, rule, prepared.test
    )[1]
    assert predictions["device"].decided.tolist() == decided.tolist()


def test_evaluation_needs_recordings_to_test_on(run: Run) -> None:
    recipe, prepared, networks = run
    with pytest.raises(RecipeError, match=r"tiny has no recordings to test on, .* a test_part"):
        evaluate_recordings(recipe, replace(prepared, test=[]), networks)


def test_rows_are_the_figures_of_what_was_predicted(
    run: Run, predictions: dict[str, Predictions]
) -> None:
    recipe = run[0]
    rows = format_rows(recipe, predictions, PUBLISHED)
    assert [(r["model"], r["form"]) for r in rows] == [
        ("teacher", "float"), ("tiny", "float"), ("tiny", "int8"),
    ]  # fmt: skip
    for row, found in zip(rows, predictions.values(), strict=True):
        assert row["score"] == float(SCORE(found.decided, found.labels))
        assert row["score_lo"] <= row["score"] <= row["score_hi"]
        assert row["recordings"] == len(found.records)
        likely = [found.chances[i, label] for i, label in enumerate(found.labels)]
        assert row["log_loss"] == pytest.approx(-np.mean(np.log(likely)))
        shares = np.array([5076, 758, 2415, 279]) / 8528
        own = np.bincount(found.labels, minlength=4) / len(found.labels)
        pushed = (found.logits + np.log(shares / own)).argmax(axis=1)
        weights = (shares / own)[found.labels]
        prior = float(SCORE(pushed, found.labels, weights))
        assert row["published_prior_score"] == pytest.approx(prior, nan_ok=True)
    assert "spearman" not in rows[0]
    agreement = predictions["device"].agreement
    assert rows[2]["spearman"] == pytest.approx(agreement[:, 0].mean())
    assert rows[2]["same_peak"] == pytest.approx(agreement[:, 2].mean())
    assert rows[2]["spearman_p5"] <= rows[2]["spearman"]


def test_simulated_recordings_have_no_published_figures(
    run: Run, predictions: dict[str, Predictions]
) -> None:
    recipe, prepared, _ = run
    rows = format_rows(recipe, predictions, prepared.published)
    assert not any(key.startswith("published") for row in rows for key in row)


def test_misclassified_recordings_are_listed_the_surest_first(
    run: Run, predictions: dict[str, Predictions]
) -> None:
    rows = misclassified_rows(run[0], predictions)
    device = predictions["device"]
    assert len(rows) == (device.decided != device.labels).sum()
    chances = [row["probability"] for row in rows]
    assert chances == sorted(chances, reverse=True)
    assert all(row["label"] != row["decided"] for row in rows)


def test_the_bundle_is_the_run(run: Run, exported: Exported, bundle: Bundle) -> None:
    assert bundle.name == "tiny"
    assert bundle.classes == CLASSES
    assert bundle.measured == NOT_MEASURED
    assert (
        exported.note == "note: the bundle is not measured yet: run `beatlens evaluate`, then "
        "`beatlens export` again"
    )
    assert len(bundle.tflite) == exported.file_bytes
    assert {"torch", "commit", "beatlens", "numpy"} == set(bundle.versions)
    bundle.verify(bundle.engine())


def test_a_bundle_has_the_figures_of_its_run(
    run: Run, predictions: dict[str, Predictions], tmp_path: Path
) -> None:
    recipe, prepared, networks = run
    rows = format_rows(recipe, predictions, PUBLISHED)
    write_figures(tmp_path / "figures.json", "beatlens evaluate", "one fold", rows)
    export_bundle(recipe, prepared, networks.teacher, networks.device.quantized, tmp_path)
    measured = Bundle.load(tmp_path / "bundle").measured
    assert (measured["data"], measured["command"]) == ("one fold", "beatlens evaluate")
    assert measured["score"] == pytest.approx(rows[2]["score"], abs=1e-6)
    assert {"score_lo", "f1_noise", "published_prior_score", "spearman_p5"} <= measured.keys()


def test_offsets_beyond_the_rules_range_are_refused(run: Run, tmp_path: Path) -> None:
    recipe, prepared, networks = run
    loud = LookupTables(len(CLASSES))
    loud.values.data.fill_(1e6)
    teacher = replace(networks.teacher, tables=loud)
    with pytest.raises(ModelError, match="largest entry of tables and offsets is"):
        export_bundle(recipe, prepared, teacher, networks.device.quantized, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_findings_of_simulated_recordings_add_up(bundle: Bundle) -> None:
    for number in range(4):
        counts = simulated(number).recording.counts[0]
        found = explain_whole(bundle, counts, 300, COUNTS_PER_MV, rails=RAILS)
        scores, mine = found.scores(), CLASSES.index(found.class_name or "")
        assert scores.argmax() == mine
        for other, name in enumerate(CLASSES):
            parts = sum(part.logits for part in found.explain(against=name))
            assert parts == pytest.approx(scores[mine] - scores[other], abs=1e-12)
    with pytest.raises(RecipeError, match="class is 'x', expected one of normal, afib, other"):
        found.explain(against="x")


def test_real_recordings_are_decided_as_they_are_evaluated(
    run: Run, bundle: Bundle, data_dir: Path
) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    from beatlens.signals.databases import find_database

    recipe, prepared, networks = run
    database = find_database("cinc2017", data_dir)
    names = sorted(database.records())
    records = [next(r for r in names if database.label(r) == symbol) for symbol in "NAO~"]
    opened = [database.open(record) for record in records]
    tracks = [recording_track(one, n, one.lead_names[0]) for n, one in enumerate(opened)]
    model = networks.device
    rule = choose_rule(recipe, prepared, networks.teacher, model)
    said, decided = run_integer_recordings(
        integer_windows(model.graph), model.graph, model.geometry, rule, tracks
    )
    for i, record in enumerate(records):
        recording = database.read(record)
        assert recording.missing is None
        found = explain_whole(
            bundle, recording.counts[0], 300, recording.counts_per_mv[0], rails=recording.rails[0]
        )
        if found.assessable:
            assert found.class_name == CLASSES[decided[i]]
            np.testing.assert_array_equal(found.evidence, said.evidence[i])
        assert found.assessable or CLASSES[tracks[i].label] == "noise"

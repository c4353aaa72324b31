"""The wearable task from simulated ECG to findings: train, compress, export, evaluate, explain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.evaluate.beats import integer_windows
from beatlens.evaluate.figures import write_figures
from beatlens.evaluate.wearable import (
    challenge_score,
    run_integer_wearable,
    run_wearable,
)
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.nets.lookup_tables import LookupTables, load_tables
from beatlens.pipeline.export import NOT_MEASURED, Exported, export_wearable_bundle
from beatlens.pipeline.student import load_quantized
from beatlens.pipeline.wearable_data import PreparedWearable, prepare_wearable
from beatlens.pipeline.wearable_evaluate import (
    CROSSVAL_FIGURES,
    FORMS,
    Told,
    rows_of,
    rule_of,
    tell,
)
from beatlens.pipeline.wearable_steps import (
    WearableAgreement,
    compress_wearable,
    map_agreement,
    plain_score,
    train_wearable_teacher,
)
from beatlens.runtime.bundle import Bundle
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS
from beatlens.tasks.recordings.labels import CLASSES, SYMBOLS, wearable_track
from beatlens.wearable_recipe import WearableRecipe

from .wearable_runs import TINY, simulated

pytestmark = pytest.mark.export
Networks = tuple[EvidenceNet, LookupTables, EvidenceNet, QuantizedEvidenceNet]
Run = tuple[WearableRecipe, PreparedWearable, Networks]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wearable")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    recipe = WearableRecipe.parse(TINY)
    prepared = prepare_wearable(recipe, folder)
    teacher, tables = train_wearable_teacher(recipe, prepared, folder)
    student, quantized = compress_wearable(recipe, prepared, teacher, tables, folder)
    return recipe, prepared, (teacher, tables, student, quantized)


@pytest.fixture(scope="module")
def exported(run: Run, folder: Path) -> Exported:
    recipe, prepared, (_, tables, _, quantized) = run
    return export_wearable_bundle(recipe, prepared, tables, quantized, folder)


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Bundle:
    return Bundle.load(exported.folder)


@pytest.fixture(scope="module")
def told(run: Run) -> dict[str, Told]:
    return tell(*run)


def test_a_run_is_kept(run: Run, folder: Path) -> None:
    recipe, prepared, (teacher, tables, student, quantized) = run
    again, kept = train_wearable_teacher(recipe, prepared, folder)
    assert (again.head.weight == teacher.head.weight).all()
    assert (kept.values == tables.values).all()
    assert np.abs(tables.array()).max() > 0
    assert not tables.values.requires_grad
    compressed = compress_wearable(recipe, prepared, again, kept, folder)
    assert (compressed[0].head.weight == student.head.weight).all()
    assert compressed[1].logit_scale == quantized.logit_scale
    assert not (folder / "teacher.checkpoint").exists()
    loaded = load_quantized(folder / "quantized.pt", load_net(folder / "student.pt")[0])
    x = torch.zeros(1, 1, 1000)
    assert (loaded.evidence(x) == quantized.evidence(x)).all()
    assert (load_tables(folder / "tables.pt").values == tables.values).all()


def test_the_same_recipe_trains_the_same_teacher(run: Run, tmp_path: Path) -> None:
    recipe, prepared, (teacher, tables, *_) = run
    again, others = train_wearable_teacher(recipe, prepared, tmp_path)
    assert (again.head.weight == teacher.head.weight).all()
    assert (others.values == tables.values).all()
    other = recipe.model_copy(update={"seed": 1})
    differs, _ = train_wearable_teacher(other, prepared, tmp_path / "other")
    assert (differs.head.weight != teacher.head.weight).any()


def test_a_teacher_of_two_members_is_their_mean(run: Run, tmp_path: Path) -> None:
    alone, prepared, (first, tables, *_) = run
    recipe = alone.model_copy(update={"teacher": alone.teacher.model_copy(update={"members": 2})})
    teacher, joined = train_wearable_teacher(recipe, prepared, tmp_path)
    nets = [load_net(tmp_path / "members" / str(i) / "teacher.pt")[0] for i in range(2)]
    known = [load_tables(tmp_path / "members" / str(i) / "tables.pt") for i in range(2)]
    assert (nets[0].head.weight == first.head.weight).all()
    assert (known[0].values == tables.values).all()
    torch.testing.assert_close(joined.values, (known[0].values + known[1].values) / 2)
    x = torch.randn(1, 1, 1000)
    with torch.no_grad():
        mean = (nets[0].evidence(x) + nets[1].evidence(x)) / 2
        torch.testing.assert_close(teacher.evidence(x), mean, rtol=1e-4, atol=1e-5)
    assert not joined.values.requires_grad


def test_students_are_validated_on_maps_and_on_the_score(run: Run) -> None:
    _, prepared, (teacher, tables, student, _) = run
    agreement = WearableAgreement(teacher, tables, prepared.validation)
    student.train()
    found = agreement(student)
    assert student.training
    student.eval()
    reference = run_wearable(teacher, tables.array(), prepared.validation)
    measured = run_wearable(student, tables.array(), prepared.validation)
    labels = [track.label for track in prepared.validation]
    score = challenge_score(measured.logits.argmax(axis=1), np.array(labels))
    assert found["challenge"] == plain_score(measured) == float(score)
    spearman = map_agreement(reference, measured)["spearman"]
    assert found["spearman"] == pytest.approx(np.nanmean(spearman))
    assert found["score"] == pytest.approx((found["spearman"] + found["challenge"]) / 2)
    assert agreement(teacher)["spearman"] == pytest.approx(1)


def test_maps_agree_up_to_what_all_classes_share(run: Run) -> None:
    _, prepared, (teacher, tables, *_) = run
    reference = run_wearable(teacher, tables.array(), prepared.test)
    shared = [5 * np.sin(np.arange(e.shape[1]), dtype=np.float32) for e in reference.evidence]
    moved = [3 * e + s for e, s in zip(reference.evidence, shared, strict=True)]
    other = type(reference)(reference.tracks, moved, reference.logits)
    found = map_agreement(reference, other)
    assert found["spearman"] == pytest.approx(np.ones(len(prepared.test)), abs=1e-3)
    assert found["same_peak"].tolist() == [1.0] * len(prepared.test)
    turned = type(reference)(reference.tracks, [-e for e in reference.evidence], reference.logits)
    assert map_agreement(reference, turned)["pearson"] == pytest.approx(-1, abs=1e-4)


def test_the_rule_is_the_recipes_offsets_and_the_tables(run: Run) -> None:
    recipe, prepared, (_, tables, _, quantized) = run
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    assert rule.scale == graph.tensors[graph.outputs["evidence"]].quantization.scale
    assert rule.step * rule.tables == pytest.approx(tables.array(), abs=rule.step / 2)
    assert rule.step * rule.offsets == pytest.approx([0, 0.3, 0, -0.2], abs=rule.step / 2)
    fake = run_wearable(quantized, tables.array(), prepared.validation)
    chances = rule.calibration.probabilities(fake.logits)
    rows = np.arange(len(fake.labels))
    uniform = np.full(len(rows), 1 / len(CLASSES))
    assert np.log(chances[rows, fake.labels]).mean() > np.log(uniform).mean()


@pytest.mark.parametrize("pieces", [(10_000_000,), (997,), (50, 4001)])
def test_the_bundle_decides_as_the_int8_network_is_evaluated(
    run: Run, bundle: Bundle, pieces: tuple[int, ...]
) -> None:
    recipe, prepared, (_, tables, _, quantized) = run
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    assert (bundle.rule.tables == rule.tables).all()
    patients = [simulated(number, seconds) for number, seconds in ((0, 9.7), (1, 20), (14, 11.03))]
    tracks = [wearable_track(p.recording, s) for p, s in zip(patients, "NAO", strict=True)]
    said, decided = run_integer_wearable(
        integer_windows(graph), graph, quantized.geometry, rule, tracks
    )
    fake = run_wearable(quantized, tables.array(), tracks)
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
        steps = np.round(found.contexts * [16, 16, 16, 16, 16, 64]).astype(int)
        assert steps.tolist() == track.contexts.tolist()
        offsets = recipe.decision.by_class
        assert found.scores() == pytest.approx(fake.logits[i] + offsets, abs=5 * rule.step)


def test_all_networks_are_told_apart_on_test_recordings(run: Run, told: dict[str, Told]) -> None:
    recipe, prepared, (teacher, tables, student, quantized) = run
    assert tuple(told) == FORMS
    records = [track.record for track in prepared.test]
    for form, net in (("teacher", teacher), ("student", student)):
        logits = run_wearable(net, tables.array(), prepared.test).logits
        assert (told[form].logits == logits).all()
        wanted = (logits + recipe.decision.by_class).argmax(axis=1)
        assert told[form].decided.tolist() == wanted.tolist()
        assert told[form].bytes == 4 * net.weights
    for said in told.values():
        assert said.records.tolist() == records
        assert said.labels.tolist() == [track.label for track in prepared.test]
        assert said.chances.sum(axis=1) == pytest.approx(np.ones(len(records)))
    assert told["teacher"].agreement == pytest.approx(np.ones((len(records), 3)), abs=1e-6)
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    decided = run_integer_wearable(
        integer_windows(graph), graph, quantized.geometry, rule, prepared.test
    )[1]
    assert told["device"].decided.tolist() == decided.tolist()


def test_rows_are_the_figures_of_what_was_told(run: Run, told: dict[str, Told]) -> None:
    recipe = run[0]
    rows = rows_of(recipe, told)
    assert [(r["model"], r["form"]) for r in rows] == [
        ("teacher", "float"), ("tiny", "float"), ("tiny", "int8"),
    ]  # fmt: skip
    for row, said in zip(rows, told.values(), strict=True):
        assert row["score"] == float(challenge_score(said.decided, said.labels))
        assert row["score_lo"] <= row["score"] <= row["score_hi"]
        assert row["recordings"] == len(said.records)
        likely = [said.chances[i, label] for i, label in enumerate(said.labels)]
        assert row["log_loss"] == pytest.approx(-np.mean(np.log(likely)))
        shares = np.array([5076, 758, 2415, 279]) / 8528
        mine = np.bincount(said.labels, minlength=4) / len(said.labels)
        pushed = (said.logits + np.log(shares / mine)).argmax(axis=1)
        weights = (shares / mine)[said.labels]
        prior = float(challenge_score(pushed, said.labels, weights))
        assert row["published_prior_score"] == pytest.approx(prior, nan_ok=True)
    assert "spearman" not in rows[0]
    agreement = told["device"].agreement
    assert rows[2]["spearman"] == pytest.approx(agreement[:, 0].mean())
    assert rows[2]["same_peak"] == pytest.approx(agreement[:, 2].mean())
    assert rows[2]["spearman_p5"] <= rows[2]["spearman"]


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


def test_a_bundle_says_what_was_measured_out_of_fold(
    run: Run, told: dict[str, Told], tmp_path: Path
) -> None:
    recipe, prepared, (_, tables, _, quantized) = run
    rows = rows_of(recipe, told)
    write_figures(tmp_path / "figures.json", "beatlens evaluate", "one fold", rows)
    export_wearable_bundle(recipe, prepared, tables, quantized, tmp_path)
    measured = Bundle.load(tmp_path / "bundle").measured
    assert (measured["data"], measured["command"]) == ("one fold", "beatlens evaluate")
    assert measured["score"] == pytest.approx(rows[2]["score"], abs=1e-6)
    assert {"score_lo", "f1_noise", "published_prior_score", "spearman_p5"} <= measured.keys()
    write_figures(
        tmp_path / CROSSVAL_FIGURES, "python -m benchmarks wearable RECIPE", "all folds", rows
    )
    export_wearable_bundle(recipe, prepared, tables, quantized, tmp_path)
    assert Bundle.load(tmp_path / "bundle").measured["data"] == "all folds"


def test_offsets_beyond_the_rules_range_are_refused(run: Run, tmp_path: Path) -> None:
    recipe, prepared, (*_, quantized) = run
    loud = LookupTables(len(CLASSES))
    loud.values.data.fill_(1e6)
    with pytest.raises(ModelError, match="largest entry of tables and offsets is"):
        export_wearable_bundle(recipe, prepared, loud, quantized, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_findings_of_simulated_recordings_add_up(bundle: Bundle) -> None:
    for number in range(4):
        counts = simulated(number).recording.counts[0]
        found = next(bundle.explain(counts, 300, COUNTS_PER_MV, rails=RAILS))
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

    recipe, prepared, (_, tables, _, quantized) = run
    database = find_database("cinc2017", data_dir)
    names = sorted(database.records())
    records = [next(r for r in names if database.label(r) == symbol) for symbol in SYMBOLS]
    tracks = [wearable_track(database.open(r), database.label(r)) for r in records]
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    said, decided = run_integer_wearable(
        integer_windows(graph), graph, quantized.geometry, rule, tracks
    )
    for i, record in enumerate(records):
        recording = database.read(record)
        assert recording.missing is None
        gain, rails = recording.counts_per_mv[0], recording.rails[0]
        (found,) = bundle.explain(recording.counts[0], 300, gain, rails=rails)
        if found.assessable:
            assert found.class_name == CLASSES[decided[i]]
            np.testing.assert_array_equal(found.evidence, said.evidence[i])
        assert found.assessable or SYMBOLS[tracks[i].label] == "~"

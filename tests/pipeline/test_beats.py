"""The beats task from simulated ECG to findings: train, compress, export, evaluate, stream."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner

from beatlens.errors import DataError, ModelError, RecipeError
from beatlens.nets.lookup_tables import LookupTables, load_tables, save_tables
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import compress
from beatlens.pipeline.evaluate import evaluate, evaluate_bundle
from beatlens.pipeline.export import export_again, export_bundle
from beatlens.pipeline.train import keep_teacher, train_teacher
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import read_annotations
from beatlens.signals.beat_features import FEATURES, TRAINED
from beatlens.signals.simulate import COUNTS_PER_MV, LEAD, RAILS, simulate_patient
from beatlens.tasks.beats.data import PreparedBeats, prepare_beats
from beatlens.tasks.beats.evaluation import ALL, DEQUANTIZED, OUTPUT, as_ec57, choose_rule
from beatlens.tasks.beats.labels import add_set_entries, beat_track
from beatlens.tasks.beats.metrics import calibrate, run_beats, run_integer_beats
from beatlens.tasks.beats.offsets import choose_offsets
from beatlens.tasks.beats.recipe import BeatRecipe, PlacedShares
from beatlens.tasks.beats.rule import write_rule
from beatlens.tasks.common.runs import (
    CROP_SPAN,
    integer_windows,
    network_windows,
    recording_evidence,
)
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.contract import Evaluation, Int8Model, Networks
from beatlens.tasks.registry import default_recipe, read_recipe
from beatlens.verbs.app import app

from ..toml_text import toml_of
from .tiny import NETWORK, TINY_BEATS, tiny_recipe

Run = tuple[BeatRecipe, PreparedBeats, Networks]
RECIPE = BeatRecipe.parse(TINY_BEATS)
CLASSES = RECIPE.classes
CODES = tuple(one.beats for one in RECIPE.task.classes.values())


def make_networks(
    recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher, folder: Path
) -> Networks:
    student, quantized = compress(recipe, prepared, teacher, folder)
    return Networks(teacher, student, Int8Model.build(quantized, CROP_SPAN))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beats")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    prepared = prepare_beats(RECIPE, folder)
    teacher = train_teacher(RECIPE, prepared, folder)
    return RECIPE, prepared, make_networks(RECIPE, prepared, teacher, folder)


@pytest.fixture(scope="module")
def bundle(run: Run, folder: Path) -> Bundle:
    recipe, prepared, networks = run
    export_bundle(recipe, prepared, networks.teacher, networks.device.quantized, folder)
    return Bundle.load(folder / "bundle")


def test_a_run_is_kept(run: Run, folder: Path) -> None:
    recipe, prepared, networks = run
    again = train_teacher(recipe, prepared, folder)
    assert again.equals(networks.teacher)
    assert np.abs(again.table_values).max() > 0
    student, quantized = compress(recipe, prepared, again, folder)
    assert (student.head.weight == networks.student.head.weight).all()
    assert quantized.logit_scale == networks.device.quantized.logit_scale


def test_a_teacher_trained_elsewhere_comes_with_its_tables(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    recipe, prepared, networks = run
    keep_teacher(folder / "teacher.pt", recipe, tmp_path / "run")
    assert train_teacher(recipe, prepared, tmp_path / "run").equals(networks.teacher)
    keep_teacher(folder / "teacher.pt", recipe, tmp_path / "run")  # the same again
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "run", other)
    (other / "tables.pt").unlink()
    with pytest.raises(ModelError, match=r"tables\.pt"):
        keep_teacher(other / "teacher.pt", recipe, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    save_tables(other / "tables.pt", LookupTables(len(CLASSES), 6))
    with pytest.raises(ModelError, match=r"not of 7 features: .*; train the teacher again"):
        keep_teacher(other / "teacher.pt", recipe, tmp_path / "new")
    save_tables(other / "tables.pt", LookupTables(len(CLASSES), len(TRAINED)))
    with pytest.raises(RecipeError, match="another teacher than the one given"):
        keep_teacher(other / "teacher.pt", recipe, tmp_path / "run")
    windows = tiny_recipe(teacher=recipe.teacher)
    with pytest.raises(
        ModelError, match=r"for the classes n, s, v, f; expected .* for the classes pvc, sve"
    ):
        keep_teacher(folder / "teacher.pt", windows, tmp_path / "new")


def test_a_teacher_of_two_members_is_their_mean(run: Run, tmp_path: Path) -> None:
    alone, prepared, networks = run
    recipe = BeatRecipe.parse({**TINY_BEATS, "teacher": {**NETWORK, "members": 2}})
    teacher = train_teacher(recipe, prepared, tmp_path)
    members = [
        train_teacher(recipe.of_member(i), prepared, tmp_path / "members" / str(i))
        for i in range(2)
    ]
    means = np.stack([each.table_values for each in members]).mean(0)
    np.testing.assert_allclose(teacher.table_values, means, atol=1e-6)
    # The first has the recipe's own seed, the second another.
    np.testing.assert_array_equal(members[0].table_values, networks.teacher.table_values)
    assert not np.array_equal(members[1].table_values, networks.teacher.table_values)
    x = prepared.test[0].x[:CROP_SPAN]
    windows = np.pad(x, teacher.net.geometry.left, mode="edge")[None]
    said = [network_windows(each.net.eval())(windows) for each in (teacher, *members)]
    np.testing.assert_allclose(said[0], np.mean(said[1:], axis=0), atol=1e-4)
    # Students of it are trained as of any other, and it can be given to another run.
    student, quantized = compress(recipe, prepared, teacher, tmp_path)
    assert student.classes == quantized.classes == CLASSES
    keep_teacher(tmp_path / "teacher.pt", recipe, tmp_path / "other")
    with pytest.raises(ModelError, match="expected the recipe's teacher"):
        keep_teacher(tmp_path / "teacher.pt", alone, tmp_path / "third")
    # What is there is not trained again.
    (tmp_path / "teacher.pt").unlink()
    joined = train_teacher(recipe, prepared, tmp_path)
    assert np.array_equal(joined.table_values, teacher.table_values)


def test_a_device_takes_one_network() -> None:
    changes = {"start": "teacher", "packed_bytes": 4000, "steps": [{"method": "quantize"}]}
    with pytest.raises(RecipeError, match="mean of 2 networks; expected one that a device can"):
        BeatRecipe.parse({**TINY_BEATS, "teacher": {**NETWORK, "members": 2}, "compress": changes})
    with pytest.raises(RecipeError, match=r"student\.members"):
        BeatRecipe.parse({**TINY_BEATS, "student": {**NETWORK, "members": 2}})


def test_evidence_does_not_depend_on_where_windows_are_cut(run: Run) -> None:
    _, prepared, networks = run
    x, net = prepared.test[0].x, networks.teacher.net
    whole = recording_evidence(network_windows(net), net.geometry, x)
    assert whole.shape == (len(CLASSES), len(x) // net.geometry.stride)
    start = 200 * net.geometry.stride
    window = x[start - net.geometry.left : start + CROP_SPAN + net.geometry.right]
    again = network_windows(net)(window[None])[0]
    assert whole[:, 200 : 200 + again.shape[1]] == pytest.approx(again, abs=1e-4)
    assert to_millivolts(window).dtype == np.float32


def test_an_irregular_rhythm_speaks_against_s_and_less_so_against_v(run: Run) -> None:
    recipe, prepared, networks = run
    rule = choose_rule(recipe, prepared, networks.teacher, networks.device)
    table = rule.tables[FEATURES.index("rr_irregularity")]
    irregular = dict(zip(CLASSES, rule.step * table.T, strict=True))
    for name in "nf":
        assert not irregular[name].any()
    assert (np.diff(irregular["s"]) <= 0).all()
    assert (np.diff(irregular["v"]) <= 0).all()
    assert irregular["s"][[6, 12, 31]] == pytest.approx([0.0, -2.0, -4.0], abs=rule.step)
    assert irregular["v"][31] == pytest.approx(-1.5, abs=rule.step)


def test_a_beat_that_is_not_early_speaks_against_s_and_less_against_v(run: Run) -> None:
    recipe, prepared, networks = run
    trained = networks.teacher.table_values
    entries = add_set_entries(trained, recipe.task.classes)
    set_ = entries[: len(TRAINED)] - trained
    assert not entries[FEATURES.index("rr_irregularity") + 1 :].any()
    s, v = CLASSES.index("s"), CLASSES.index("v")
    named = dict(zip(FEATURES, set_, strict=False))
    for name in ("rr_over_mean", "rr_before_over_after"):
        said = named[name][[0, 12, 13, 16, 31]]
        assert said[:, s] == pytest.approx([0, 0, -0.25, -1, -1], abs=1e-9)
        assert said[:, v] == pytest.approx(said[:, s] / 2, abs=1e-9)
        named[name][:, [s, v]] = 0
    assert not set_.any()
    rule = choose_rule(recipe, prepared, networks.teacher, networks.device)
    slow = FEATURES.index("rr_over_mean")
    said = rule.step * rule.tables[slow, [8, 16], s]
    assert said == pytest.approx(entries[slow, [8, 16], s], abs=rule.step)


def test_the_int8_model_predicts_what_its_float_form_predicts(run: Run) -> None:
    recipe, prepared, networks = run
    model = networks.device
    rule = choose_rule(recipe, prepared, networks.teacher, model)
    said, decided = run_integer_beats(
        integer_windows(model.graph), model.graph, model.geometry, rule, prepared.test
    )
    tables = add_set_entries(networks.teacher.table_values, recipe.task.classes)
    fake = run_beats(model.quantized, tables, prepared.test)
    for mine, theirs in zip(said.evidence, fake.evidence, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    for mine, theirs in zip(said.logits, fake.logits, strict=True):
        assert np.abs(mine - theirs).max() < 3.5 * rule.scale / (rule.before + rule.after)
    assert all(len(d) == len(t.peaks) for d, t in zip(decided, prepared.test, strict=True))


@pytest.mark.parametrize("pieces", [(10_000_000,), (997,), (50, 4001)])
def test_a_stream_finds_what_the_evaluation_finds(
    run: Run, bundle: Bundle, pieces: tuple[int, ...]
) -> None:
    patient = simulate_patient(5, 45)
    counts = patient.recording.counts[0]
    track = beat_track(patient.recording, patient.annotations, LEAD, CODES)
    graph = run[2].device.graph
    said, decided = run_integer_beats(
        integer_windows(graph), graph, bundle.geometry, bundle.rule, [track]
    )
    stream = bundle.stream(patient.recording.rate_hz, COUNTS_PER_MV, rails=RAILS)
    found, at, number = [], 0, 0
    while at < len(counts):
        size = pieces[number % len(pieces)]
        found += stream.push(counts[at : at + size])
        at, number = at + size, number + 1
    found += stream.flush()
    assert [round(f.time_s * 128) for f in found] == track.peaks.tolist()
    assert all(f.assessable for f in found)
    assert [f.class_name for f in found] == [CLASSES[d] for d in decided[0]]
    chances = bundle.rule.calibration.probabilities(said.logits[0])
    for f, row in zip(found, chances, strict=True):
        assert list((f.probabilities or {}).values()) == pytest.approx(row.tolist())


def test_a_findings_reasons_sum_to_its_decision(bundle: Bundle) -> None:
    patient = simulate_patient(5, 45)
    counts = patient.recording.counts[0]
    rate = patient.recording.rate_hz
    for finding in bundle.explain(counts, rate, COUNTS_PER_MV, rails=RAILS):
        scores = finding.scores()
        mine = CLASSES.index(finding.class_name or "")
        assert scores.argmax() == mine
        for other, name in enumerate(CLASSES):
            parts = sum(part.logits for part in finding.explain(against=name))
            assert parts == pytest.approx(scores[mine] - scores[other], abs=1e-5)
    assert json.loads(json.dumps(finding.as_dict()))["predicted"] == [finding.class_name]
    with pytest.raises(RecipeError, match="class is 'x', expected one of n, s, v, f"):
        finding.explain(against="x")


def test_a_lead_that_is_off_gives_no_decision(bundle: Bundle) -> None:
    patient = simulate_patient(5, 60)
    counts = patient.recording.counts[0].copy()
    rate = patient.recording.rate_hz
    counts[30 * rate : 40 * rate] = RAILS[1]
    found = list(bundle.explain(counts, rate, COUNTS_PER_MV, rails=RAILS))
    during = [f for f in found if 31 < f.time_s < 39]
    outside = [f for f in found if f.time_s < 28 or f.time_s > 43]
    assert not any(f.assessable for f in during)
    assert sum(f.assessable for f in outside) > 0.9 * len(outside) > 20
    for f in found:
        if not f.assessable:
            assert f.class_name is None
            assert f.explain() == ()
            assert "saturated" in " ".join(f.quality_notes)


def test_beats_on_both_sides_of_a_gap_are_decided(bundle: Bundle) -> None:
    patient = simulate_patient(5, 60)
    counts, rate = patient.recording.counts[0], patient.recording.rate_hz
    missing = np.zeros(len(counts), bool)
    missing[20 * rate : 25 * rate] = True
    found = list(bundle.explain(counts, rate, COUNTS_PER_MV, missing=missing, rails=RAILS))
    times = np.array([f.time_s for f in found])
    assert (np.diff(times) > 0).all()
    assert not ((times > 20) & (times < 25)).any()
    assert (times < 20).sum() > 10
    assert (times > 26).sum() > 20


def symbols_of(found: Evaluation, record: str) -> list[str]:
    """Codes of the beats of a test record as the int8 model decides them."""
    (beats,) = (one for one, _ in found.annotations if one.name == record)
    return beats.symbol.tolist()


def test_evaluation_counts_every_network_and_writes_annotations(run: Run, folder: Path) -> None:
    recipe, prepared, networks = run
    found = evaluate(recipe, prepared, networks, folder)
    assert {(r["model"], r["form"], r["mapping"], r["decided"]) for r in found.rows} == {
        (model, form, mapping, how)
        for model, form in (
            ("teacher", "float"), ("tiny", "float"), ("tiny", DEQUANTIZED), ("tiny", "int8"),
        )
        for mapping in ("aami", "bxb")
        for how in (ALL, OUTPUT)
    }  # fmt: skip
    for row in found.rows:
        assert 90 < row["qrs_sensitivity"] <= 100
        assert row["qrs_sensitivity_lo"] <= row["qrs_sensitivity"] <= row["qrs_sensitivity_hi"]
    track = prepared.test[0]
    read = read_annotations(
        folder / "ec57", track.record, "device", track.samples, rate_hz=track.rate_hz
    )
    assert read.symbol.tolist() == symbols_of(found, track.record)
    assert "SIMULATED" in json.loads((folder / "figures.json").read_text())["data"]


def test_a_bundle_is_evaluated_as_the_run_it_came_from(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    recipe, prepared, networks = run
    whole = evaluate(recipe, prepared, networks, tmp_path / "run")
    found = evaluate_bundle(recipe, prepared, networks.teacher, bundle, tmp_path, "evaluate")
    kept = [row for row in whole.rows if (row["model"], row["form"]) not in
            (("tiny", "float"), ("tiny", DEQUANTIZED))]  # fmt: skip
    assert repr(found.rows) == repr(kept)  # some figures are no numbers
    bins = "reliability.json"
    assert repr(found.tables[bins]) == repr(whole.tables[bins])


def test_each_database_has_rows_of_its_own(run: Run, bundle: Bundle, tmp_path: Path) -> None:
    test = [
        replace(track, database="other" if place % 2 else track.database)
        for place, track in enumerate(run[1].test)
    ]
    prepared = replace(run[1], test=test, patients=dict.fromkeys((t.record for t in test), "one"))
    found = evaluate_bundle(run[0], prepared, run[2].teacher, bundle, tmp_path, "evaluate")
    databases = {"all", "simulated", "other"}
    names = {"all": "simulated", "simulated": "test, simulated", "other": "test, other"}
    assert {(r["database"], r["split"]) for r in found.rows} == {(n, names[n]) for n in databases}
    chosen = {
        row["database"]: row for row in found.rows
        if (row["form"], row["mapping"], row["decided"]) == ("int8", "aami", OUTPUT)
    }  # fmt: skip
    assert sum(chosen[name]["records"] for name in databases - {"all"}) == len(test)
    assert all(np.isfinite(row["spearman"]) for row in chosen.values())
    assert all(np.isnan(row["qrs_sensitivity_lo"]) for row in chosen.values())  # one patient
    for name in ("runs.json", "reliability.json"):
        assert {row["database"] for row in found.tables[name]} == databases
    records = found.tables["records.json"]
    assert {row["database"] for row in records} == databases - {"all"}
    assert {row["patient"] for row in records} == {"one"}
    assert set(as_ec57(found).tables) == {
        "ec57.json", "ec57_runs.json", "ec57_records.json", "reliability.json",
    }  # fmt: skip


def test_a_rule_chosen_anew_is_the_one_the_recipe_chose(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    recipe, prepared, networks = run
    exported = export_again(recipe, prepared, networks.teacher, bundle, tmp_path)
    again = Bundle.load(exported.folder)
    assert again.tflite == bundle.tflite
    assert again.packed == bundle.packed
    assert (again.golden.evidence == bundle.golden.evidence).all()
    chosen, recipes = (write_rule(one.rule, one.classes) for one in (again, bundle))
    assert chosen["tables"] == recipes["tables"]
    assert chosen["never_if_clipped"] == recipes["never_if_clipped"] == ["s"]
    assert np.array(chosen["offsets"]) == pytest.approx(np.array(recipes["offsets"]), abs=1)
    assert chosen["temperature"] == pytest.approx(recipes["temperature"], rel=1e-3)
    assert again.versions["commit"] == bundle.versions["commit"]
    assert "rule" in again.versions


@pytest.mark.parametrize("gain", [1, 3, 6])
def test_decisions_as_output_are_those_of_a_stream(
    run: Run, bundle: Bundle, gain: int, tmp_path: Path
) -> None:
    """Clipped and saturated beats: refused, or never S, in an evaluation as in a stream."""
    patient = simulate_patient(7, 60, pvc_per_minute=15)
    counts = patient.recording.counts.astype(np.int64)
    counts[:, 12 * 360 :] *= gain
    counts[:, 30 * 360 : 31 * 360] = RAILS[1]
    recording = replace(patient.recording, counts=np.clip(counts, RAILS[0] + 1, RAILS[1]))
    track = beat_track(recording, patient.annotations, LEAD, CODES)
    offsets = bundle.rule.offsets + 5000 * (np.arange(len(CLASSES)) == CLASSES.index("s"))
    s_wins = replace(bundle, rule=replace(bundle.rule, offsets=offsets))
    twin = replace(track, record="twin")  # intervals are by record, of two at least
    reference = dict.fromkeys((track.record, "twin"), patient.annotations)
    prepared = replace(run[1], test=[track, twin], reference=reference)
    found = evaluate_bundle(run[0], prepared, run[2].teacher, s_wins, tmp_path, "evaluate")
    stream = s_wins.explain(recording.counts[0].astype(np.int16), 360, COUNTS_PER_MV,
                           rails=RAILS)  # fmt: skip
    wanted = [(f.class_name or "q").upper() for f in stream]
    assert symbols_of(found, track.record) == wanted
    assert {"Q", "S"} <= set(wanted)
    assert gain == 1 or len(set(wanted)) > 2


def test_offsets_and_calibration_are_better_than_none_on_what_they_are_chosen_on(run: Run) -> None:
    recipe, prepared, networks = run
    tables = add_set_entries(networks.teacher.table_values, recipe.task.classes)
    chosen = run_beats(networks.teacher.net, tables, prepared.validation)
    logits, labels, _ = chosen.beats()
    offsets = choose_offsets(chosen, recipe.task.classes)
    assert offsets[0] == 0
    calibration = calibrate(chosen)
    rows = np.arange(len(labels))
    none = type(calibration)(1.0, np.zeros(len(CLASSES)))
    after, before = (c.probabilities(logits)[rows, labels] for c in (calibration, none))
    assert np.log(after).mean() > np.log(before).mean()


def test_the_command_line_takes_a_beats_recipe(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(toml_of(TINY_BEATS))
    folder = str(tmp_path / "run")
    noted = []
    for verb in ("train", "compress", "export", "evaluate", "export"):
        result = CliRunner().invoke(app, [verb, str(path), "--run", folder])
        assert result.exit_code == 0, result.output
        noted.append("note: the bundle is not measured yet" in " ".join(result.output.split()))
    assert noted == [False, False, True, False, False]
    anew = ["--run", str(tmp_path / "anew"), "--teacher", f"{folder}/teacher.pt"]
    for verb, option in (("export", "--from-bundle"), ("evaluate", "--ec57 --bundle")):
        options = [*option.split(), f"{folder}/bundle"]
        result = CliRunner().invoke(app, [verb, str(path), *anew, *options])
        assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "anew" / "ec57.json").read_text())["rows"]
    assert (tmp_path / "anew" / "bundle" / "model.tflite").read_bytes() == (
        tmp_path / "run" / "bundle" / "model.tflite"
    ).read_bytes()
    assert Bundle.load(tmp_path / "run" / "bundle").measured["split"] == "simulated"
    firmware = ["firmware", f"{folder}/bundle", "--core", "m4", "--rate", "360",
                "--counts-per-mv", "200", "--out", str(tmp_path / "c")]  # fmt: skip
    result = CliRunner().invoke(app, firmware)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "c" / "src" / "bl_beats.c").exists()
    wfdb.wrsamp(
        "sim", fs=360, units=["mV"], sig_name=["MLII"], fmt=["16"], write_dir=str(tmp_path),
        p_signal=simulate_patient(5, 60).recording.millivolts(LEAD)[:, None],
        adc_gain=[200], baseline=[0],
    )  # fmt: skip
    explain = ["explain", str(tmp_path / "sim"), "--bundle", str(tmp_path / "run" / "bundle")]
    result = CliRunner().invoke(app, explain)
    assert result.exit_code == 0, result.output
    assert re.search(r"^beats +\d+ found", result.output, re.M)
    lines = CliRunner().invoke(app, [*explain, "--json", "--engine", "c"]).output.splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(found) > 40
    assert {"peak_s", "predicted", "contributions"} <= found[0].keys()
    for arguments, message in (
        (["compress", str(path), "--run", str(tmp_path / "other")], "run `beatlens train` first"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code != 0
        assert message in str(result.exception)


def test_the_released_recipes_are_the_built_in_one_with_few_changes() -> None:
    models = Path(__file__).parents[2] / "models"
    released, default = read_recipe(models / "beats.toml"), default_recipe("beats")
    shares = {"s": 0.0, "v": 0.35, "f": 0.15}
    changed = {
        "teacher": default.teacher.model_copy(update={"members": 4}),
        "distill": default.distill.model_copy(update={"noise_share": 0.25, "cache": 20_000}),
        "unlabelled": default.unlabelled.model_copy(
            update={
                "databases": ("cinc2017",),
                "members": 2,
                "labelled": PlacedShares(shares=shares),
            }
        ),
    }
    assert released == default.model_copy(update=changed)
    small = read_recipe(models / "beats-6k.toml")
    assert isinstance(small, BeatRecipe)
    assert (small.teacher, small.unlabelled) == (released.teacher, released.unlabelled)
    assert small.student.spec != released.student.spec


def test_missing_data_and_damaged_tables_are_refused(tmp_path: Path) -> None:
    data = default_recipe("beats").data.model_copy(update={"source": "real"})
    recipe = RECIPE.model_copy(update={"data": data})
    with pytest.raises(DataError, match="expected a folder that exists"):
        prepare_beats(recipe, tmp_path, tmp_path / "nothing")
    path = tmp_path / "tables.pt"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="not a network file"):
        load_tables(path)

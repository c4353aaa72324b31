"""The main job, every step of it, on simulated ECG: train, compress, export, evaluate, report."""

import html
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.errors import RecipeError
from beatlens.evaluate.prediction import prediction
from beatlens.integer.tflite_read import read_tflite
from beatlens.nets.files import load_net
from beatlens.pipeline.compress import compress
from beatlens.pipeline.evaluate import evaluate, evaluate_bundle, load_networks
from beatlens.pipeline.export import export_again, export_bundle
from beatlens.pipeline.folder import claim
from beatlens.pipeline.train import find_teacher, train_teacher
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import GOLDEN
from beatlens.tasks.contract import Evaluation, Int8Model
from beatlens.tasks.windows import metrics
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.evaluation import DeviceRule, run_device
from beatlens.tasks.windows.labels import WindowSet, cut_windows
from beatlens.tasks.windows.metrics import run_network
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.report import choose_windows, make_report
from beatlens.tasks.windows.rhythm import add_up, build_tables
from beatlens.tasks.windows.rule import build_rule

from .tiny import tiny_recipe

pytestmark = [pytest.mark.export, pytest.mark.rounding]
CLASSES = tiny_recipe().classes
Run = tuple[WindowRecipe, PreparedWindows, Evaluation, Path]


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[WindowRecipe, PreparedWindows, Evaluation, Path]:
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe()
    prepared = prepare_windows(recipe, folder)
    teacher = train_teacher(recipe, prepared, folder)
    _, quantized = compress(recipe, prepared, teacher, folder)
    found = evaluate(recipe, prepared, load_networks(recipe, folder), folder)
    export_bundle(recipe, prepared, teacher, quantized, folder)
    return recipe, prepared, found, folder


def test_simulated_data_say_so(run: tuple) -> None:
    _, prepared, _, _ = run
    assert prepared.simulated
    assert "SIMULATED" in prepared.description
    patients = [{t.patient for t in role} for role in
                (prepared.train, prepared.validation, prepared.test)]  # fmt: skip
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]


def test_figures_file_has_the_table_keys(run: tuple) -> None:
    *_, folder = run
    figures = load_figures(folder / "figures.json")
    forms = [(row["model"], row["form"]) for row in figures.rows]
    assert forms[:3] == [("teacher", "float"), ("student", "float"), ("student", "int8")]
    for key in ("macro_ap", "ap_pvc", "loc_auc_pvc", "point_sve", "spearman", "spearman_p5",
                "same_peak", "cosine", "bytes", "spearman_lo", "spearman_hi"):  # fmt: skip
        assert key in figures.rows[2], key
    assert figures.rows[0]["spearman"] in (1.0, None)


def test_bundle_verifies_and_streams(run: tuple) -> None:
    _, _prepared, _, folder = run
    bundle = Bundle.load(folder / "bundle")
    assert bundle.classes == CLASSES
    bundle.verify(bundle.engine())
    document = json.loads((folder / "bundle" / "bundle.json").read_text())
    assert document["measured"]["macro_ap"] is not None


def test_shipped_thresholds_decide_as_often_as_the_teacher_on_validation(
    run: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somewhere(validation: WindowSet, said: metrics.Run) -> np.ndarray:
        """A teacher that predicts every class in every record, however it was trained."""
        records = validation.records
        highest = [said.logits[records == record].max(axis=0) for record in set(records)]
        return np.min(highest, axis=0)

    monkeypatch.setattr("beatlens.tasks.windows.evaluation.choose_thresholds", somewhere)
    recipe, prepared, _, folder = run
    teacher = find_teacher(recipe, folder)
    export_again(recipe, prepared, teacher, Bundle.load(folder / "bundle"), tmp_path)
    bundle = Bundle.load(tmp_path / "bundle")
    validation = cut_windows(prepared.validation, rhythm=True)
    rule = DeviceRule.read(bundle)
    assert rule.tables is not None
    added = add_up(build_tables(recipe.task.classes), validation.rhythm)
    said = replace(run_network(teacher.net, validation), added=added)
    wanted = (said.logits >= somewhere(validation, said)).sum(axis=0)
    device = run_device(Int8Model.read(bundle), rule, validation)
    found = (device.logits >= rule.limits).sum(axis=0)
    ties = [np.unique(column, return_counts=True)[1].max() for column in device.logits.T]
    assert (np.abs(found - wanted) <= ties).all()
    assert (found > 0).all()


def test_a_bundle_alone_is_measured_as_its_run_was(run: tuple, tmp_path: Path) -> None:
    recipe, prepared, found, folder = run
    bundle, teacher = Bundle.load(folder / "bundle"), find_teacher(recipe, folder)
    again = evaluate_bundle(recipe, prepared, teacher, bundle, tmp_path, "beatlens evaluate")
    assert again.details.student is None
    assert [(row["model"], row["form"]) for row in again.rows] == [
        ("teacher", "float"), ("student", "int8"), ("shuffled floor", "int8"),
    ]  # fmt: skip
    wanted = next(row for row in found.rows if row["form"] == "int8")
    assert again.rows[1].keys() == wanted.keys()
    for key, value in wanted.items():
        assert again.rows[1][key] == pytest.approx(value, nan_ok=True), key
    assert make_report(recipe, prepared, again, tmp_path).exists()


def test_exported_again_a_bundle_keeps_its_network_and_gets_thresholds(
    run: tuple, tmp_path: Path
) -> None:
    recipe, prepared, _, folder = run
    bundle, teacher = Bundle.load(folder / "bundle"), find_teacher(recipe, folder)
    low = build_rule(read_tflite(bundle.tflite), dict.fromkeys(CLASSES, 0.001))
    off = Bundle.create(
        tmp_path / "off", name=bundle.name, kind="windows", rule=low, tflite=bundle.tflite,
        classes=bundle.titles, golden_inputs=bundle.golden.inputs, measured=bundle.measured,
    )  # fmt: skip
    export_again(recipe, prepared, teacher, off, tmp_path)
    again = Bundle.load(tmp_path / "bundle")
    assert again.rule.thresholds == bundle.rule.thresholds
    assert again.rule.sum_thresholds == bundle.rule.sum_thresholds
    assert again.measured == bundle.measured
    for name in ("model.tflite", "weights.blpk", *GOLDEN.values()):
        own = (tmp_path / "bundle" / name).read_bytes()
        assert own == (folder / "bundle" / name).read_bytes(), name


def test_f1_has_intervals_and_label_sets_are_held_against_the_teachers(run: tuple) -> None:
    *_, found, _ = run
    teacher, device = found.rows[0], next(r for r in found.rows if r["form"] == "int8")
    assert teacher["label_set"] == 1
    assert 0 < device["label_set"] <= 1
    for name in CLASSES:
        assert f"f1_{name}_lo" in device
    windows, measured = found.details.windows, found.details.device
    figures = prediction(windows.labels, measured.run.logits, measured.thresholds)
    assert device["f1_pvc"] == pytest.approx(figures.f1[0], nan_ok=True)
    assert device["macro_f1"] == pytest.approx(figures.macro_f1)


def test_streamed_decision_is_the_evaluated_one(run: tuple) -> None:
    """The runtime, fed sensor counts, gives the evidence the table was measured on."""
    _, _prepared, found, folder = run
    bundle = Bundle.load(folder / "bundle")
    windows = found.details.windows
    index = next(i for i in range(len(windows)) if windows.starts[i] == 1280)
    window = bundle.geometry.trim(windows.windows[index], 1280)
    quantization = bundle.tensors["evidence"]
    steps = bundle.engine().evidence(np.ascontiguousarray(window)).astype(np.float32)
    evidence = (steps - quantization.zero_point) * np.float32(quantization.scale)
    assert np.allclose(evidence.T, found.details.device.run.evidence[index], atol=1e-6)


def test_report_is_written_and_says_simulated(run: tuple) -> None:
    recipe, prepared, found, folder = run
    text = make_report(recipe, prepared, found, folder).read_text(encoding="utf-8")
    assert "SIMULATED" in text
    assert "Evidence used by the model, not cause" in text
    shown = choose_windows(found.details)
    assert shown
    assert {name for _, name in shown} <= set(CLASSES)
    assert len(set(shown)) == len(shown)
    for index, name in shown:
        assert found.details.windows.labels[index, CLASSES.index(name)] == 1


def test_steps_are_not_done_twice(run: tuple) -> None:
    recipe, prepared, _, folder = run
    before = (folder / "teacher.pt").stat().st_mtime_ns, (folder / "student.pt").stat().st_mtime_ns
    teacher = train_teacher(recipe, prepared, folder)
    compress(recipe, prepared, teacher, folder)
    after = (folder / "teacher.pt").stat().st_mtime_ns, (folder / "student.pt").stat().st_mtime_ns
    assert before == after


def test_a_teacher_of_two_members_from_training_to_report(run: tuple, tmp_path: Path) -> None:
    alone, prepared, _, folder = run
    short = alone.teacher_schedule.model_copy(update={"steps": 20, "validate_every": 20})
    changes = {
        "teacher": alone.teacher.model_copy(update={"members": 2}),
        "teacher_schedule": short,
        "distill": alone.distill.model_copy(update={"noise_share": 0.5}),
    }
    recipe = alone.model_copy(update=changes)
    teacher = train_teacher(recipe, prepared, tmp_path)
    members = [load_net(tmp_path / "members" / str(i) / "teacher.pt")[0] for i in range(2)]
    x = torch.randn(1, 1, teacher.net.geometry.input_length(9))
    with torch.no_grad():
        said = [net.evidence(x) for net in (teacher.net, *members)]
    assert not torch.allclose(said[1], said[2], atol=1e-3)
    torch.testing.assert_close(said[0], (said[1] + said[2]) / 2, rtol=1e-4, atol=1e-5)
    assert load_net(tmp_path / "teacher.pt")[1].members == 2
    compress(recipe, prepared, teacher, tmp_path)
    found = evaluate(recipe, prepared, load_networks(recipe, tmp_path), tmp_path)
    text = make_report(recipe, prepared, found, tmp_path).read_text()
    assert "Training of the teacher's member 0" in html.unescape(text)
    assert "Training of the teacher's member 1" in html.unescape(text)
    # A teacher that was trained elsewhere has no history to draw.
    shutil.rmtree(tmp_path / "members")
    assert "Training of" not in make_report(recipe, prepared, found, tmp_path).read_text()
    assert "Training of the teacher" in (folder / "report.html").read_text()


def test_a_run_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(seed=0)
    claim(tmp_path / "run", recipe)
    assert claim(tmp_path / "run", recipe) == tmp_path / "run"
    with pytest.raises(RecipeError, match=r"seed = 0, the recipe now says 3"):
        claim(tmp_path / "run", tiny_recipe(seed=3))
    other = recipe.distill.model_copy(update={"cache": 65})
    with pytest.raises(RecipeError, match=r"distill\.cache = 64"):
        claim(tmp_path / "run", tiny_recipe(seed=0, distill=other))


def test_a_run_folder_of_an_older_version_had_the_defaults(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = claim(tmp_path / "run", recipe) / "recipe.json"
    older = json.loads(path.read_text())
    del older["compress"]
    schedules = ("teacher_schedule", "student_schedule", "quantize_schedule")
    for name in schedules:
        del older[name]["keep"]
    path.write_text(json.dumps(older))
    claim(tmp_path / "run", recipe)
    for name in schedules:
        last = getattr(recipe, name).model_copy(update={"keep": "last"})
        with pytest.raises(RecipeError, match=rf"{name}\.keep = 'best'.* says 'last'"):
            claim(tmp_path / "run", tiny_recipe(**{name: last}))
    path.write_text(json.dumps({**older, "task": "strips"}))
    with pytest.raises(RecipeError, match="an older beatlens made this run folder"):
        claim(tmp_path / "run", recipe)
    path.write_text("[]")
    with pytest.raises(RecipeError, match="not a recipe"):
        claim(tmp_path / "run", recipe)


def test_a_run_folder_of_a_version_that_knew_fewer_settings_of_steps(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = claim(tmp_path / "run", recipe) / "recipe.json"
    older = json.loads(path.read_text())
    for step in older["compress"]["steps"]:
        del step["packed_bytes"]
    path.write_text(json.dumps(older))
    claim(tmp_path / "run", recipe)
    older["compress"]["steps"][0]["method"] = "low-bit"
    path.write_text(json.dumps(older))
    with pytest.raises(RecipeError, match=r"was made with compress\.steps"):
        claim(tmp_path / "run", recipe)


def test_compress_is_for_one_process(
    tmp_path: Path, run: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, prepared, _, folder = run
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="2 processes"):
        compress(recipe, prepared, find_teacher(recipe, folder), tmp_path)

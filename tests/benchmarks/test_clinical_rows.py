"""Clinical figures of a tiny run on simulated ECG, and what the committed ones have to say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from beatlens.errors import RecipeError
from beatlens.pipeline.compress import compress
from beatlens.pipeline.evaluate import load_networks
from beatlens.pipeline.train import train_teacher
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.databases import find_database
from beatlens.tasks.beats.data import PreparedBeats, prepare_beats
from beatlens.tasks.beats.labels import UNKNOWN
from beatlens.tasks.beats.recipe import BeatRecipe
from benchmarks.__main__ import app
from benchmarks.clinical.classes import check_classes
from benchmarks.clinical.data import (
    ALGORITHM,
    PEOPLE,
    diagnosed_ectopy,
    judged_beats,
    ludb_beats,
)
from benchmarks.clinical.delineation import NONE
from benchmarks.clinical.faithfulness import BeatMargin, beat_windows
from benchmarks.clinical.networks import (
    Explained,
    explained_int8,
    explained_teacher,
    list_depths,
)
from benchmarks.clinical.rows import clinical_figures, labelled
from benchmarks.clinical.waves import WAVES

from ..pipeline.tiny import TINY_BEATS
from ..toml_text import toml_of

FIGURES = Path(__file__).parents[2] / "docs" / "figures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clinical")


@pytest.fixture(scope="module")
def prepared(folder: Path) -> PreparedBeats:
    return prepare_beats(BeatRecipe.parse(TINY_BEATS), folder)


@pytest.fixture(scope="module")
def networks(folder: Path, prepared: PreparedBeats) -> list[Explained]:
    recipe = BeatRecipe.parse(TINY_BEATS)
    teacher = train_teacher(recipe, prepared, folder)
    compress(recipe, prepared, teacher, folder)
    return [
        explained_teacher(recipe, prepared, teacher),
        explained_int8(recipe, prepared, load_networks(recipe, folder)),
    ]


def test_contributions_decide_as_the_networks_do(
    networks: list[Explained], prepared: PreparedBeats
) -> None:
    for network in networks:
        contributions = network.contributions(prepared.test)
        scores, rows = contributions.scores(), np.arange(len(contributions))
        assert len(contributions) == sum(len(track.peaks) for track in prepared.test)
        # Ties of whole numbers are broken by order, those of floats by rounding.
        assert (scores[rows, contributions.decided] >= scores.max(axis=1) - 1e-5).all()


def test_windows_of_beats_give_the_evidence_of_recordings(
    networks: list[Explained], prepared: PreparedBeats
) -> None:
    for network in networks:
        contributions = network.contributions(prepared.test)[np.arange(0, 200, 7)]
        second = contributions.second()
        x = beat_windows(prepared.test, contributions, network.net.geometry)
        with torch.no_grad():
            found = BeatMargin(network.net, contributions.decided, second).maps(x).numpy()
        expected = contributions.contrast(contributions.decided, second).columns * found.shape[1]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_layers_drawn_anew_change_the_evidence_and_none_does_not(
    networks: list[Explained], prepared: PreparedBeats
) -> None:
    teacher, student = networks
    contributions = teacher.contributions(prepared.test)[:40]
    x = beat_windows(prepared.test, contributions, teacher.net.geometry)
    depths = list_depths(teacher.net)  # type: ignore[arg-type]
    assert depths["head"] == ["head"]
    assert depths["all"] == ["head", "backbone.2", "backbone.1", "backbone.0"]
    with torch.no_grad():
        for network in (teacher, student):
            whole = network.redrawn([], 0).evidence(x)
            assert torch.equal(whole, network.redrawn([], 1).evidence(x))
            for layers in depths.values():
                first, second = (network.redrawn(layers, seed).evidence(x) for seed in (0, 1))
                assert not torch.allclose(first, whole)
                assert not torch.allclose(first, second)


def test_figures_have_every_network_and_their_nulls(
    networks: list[Explained], prepared: PreparedBeats
) -> None:
    sets = [judged_beats(prepared.test, simulated=True)]
    said: list[str] = []
    found = clinical_figures(networks, sets, each=2, say=said.append)
    assert len(said) == 2
    keys = {(row["model"], row["form"]) for row in found.waves}
    assert keys == {("teacher", "float"), ("tiny", "int8")}
    for row in found.waves:
        assert (row["data"], row["boundaries"]) == ("simulated", ALGORITHM)
        if row["silent"] < 1:
            assert sum(row[f"time_{w}"] for w in WAVES) == pytest.approx(1)
            assert sum(row[f"share_{w}"] for w in WAVES) == pytest.approx(1)
    for row in found.contributions:
        parts = row["signal"] + sum(row[name] for name in FEATURES) + row["offset"]
        assert parts == pytest.approx(row["sum"])
    told = {row["class"] for row in found.checks if row["form"] == "float"}
    assert len(told) >= 2
    for row in found.checks:
        assert row["checked"] <= 2 * len(prepared.test)
        assert {"deletion_random", "drop_qrs", "elsewhere_qrs", "head_size", "head_floor"} <= set(
            row
        )
        assert ("none_spearman" in row) == (row["form"] == "int8")
        kept = row["form"] == "int8" and row["class"] in told  # of others there is nothing to keep
        assert ("spearman_floor" in row) == kept


def test_the_command_writes_figures_beside_those_of_other_models(
    networks: list[Explained], folder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(toml_of(TINY_BEATS))
    out = tmp_path / "figures"
    out.mkdir()
    about = {"data": "simulated", "boundaries": ALGORITHM, "class": "v", "form": "int8"}
    older = {**about, "model": "other", "outcome": "right"}
    content = {"command": "c", "commit": "c", "data": "d", "machine": "m", "rows": [older]}
    (out / "clinical.json").write_text(json.dumps(content))
    arguments = ["clinical", str(recipe), "--run", str(folder), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--beats", "1"])
    assert result.exit_code == 0, result.output
    assert "SIMULATED" in result.output
    rows = json.loads((out / "clinical.json").read_text())["rows"]
    assert {row["model"] for row in rows} == {"other", "teacher", "tiny"}
    for name in ("clinical_contributions.json", "clinical_checks.json"):
        assert json.loads((out / name).read_text())["rows"]
    strips = Path(__file__).parents[2] / "models" / "strips.toml"
    result = CliRunner().invoke(app, ["clinical", str(strips), "--run", str(tmp_path)])
    assert "expected a recipe of beats" in str(result.exception)


def test_figures_are_of_the_classes_they_name() -> None:
    task = {"kind": "beats", "classes": {"n": {"beats": "N"}, "v": {"beats": "V"}}}
    sampling = {"shares": {"v": 0.3}}
    other = BeatRecipe.parse({**TINY_BEATS, "task": task, "sampling": sampling})
    with pytest.raises(RecipeError, match="has the classes n, v, expected n, s, v, f"):
        check_classes(other)
    check_classes(BeatRecipe.parse(TINY_BEATS))


def test_beats_of_ludb_are_what_their_recordings_are_said_to_have(
    data_dir: Path, networks: list[Explained], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert diagnosed_ectopy(["Atrial extrasystole: undefined"]) == (1,)
    database = find_database("ludb", data_dir)
    chosen = tuple(str(n) for n in range(1, 16))
    monkeypatch.setattr(type(database), "records", lambda self: chosen)
    people, algorithm = ludb_beats(database)
    assert (people.boundaries, algorithm.boundaries) == (PEOPLE, ALGORITHM)
    assert (people.kept() == algorithm.kept()).all()
    assert 0.5 < people.kept().mean() < 1
    assert (people.all_waves().qrs[people.kept()] != NONE).all()
    contributions = labelled(networks[0].contributions(people.tracks), people)
    assert people.ectopic is not None
    for record, classes in people.ectopic.items():
        of_record = contributions[contributions.record == record]
        assert (
            (of_record.labels == 0).all()
            if not classes
            else set(of_record.labels) <= {UNKNOWN, *classes}
        )


@pytest.mark.parametrize("name", ["clinical", "clinical_contributions", "clinical_checks"])
def test_committed_figures_show_teacher_and_int8_models_side_by_side(name: str) -> None:
    rows = json.loads((FIGURES / f"{name}.json").read_text())["rows"]
    models = {(row["model"], row["form"]) for row in rows if row["data"] == "test"}
    assert models == {("teacher", "float"), ("beats", "int8"), ("beats-6k", "int8")}
    sets = {(row["data"], row["boundaries"]) for row in rows}
    expected = {("test", ALGORITHM), ("ludb", PEOPLE), ("ludb", ALGORITHM)}
    assert sets == ({("test", ALGORITHM)} if name == "clinical_checks" else expected)


def test_the_page_of_beats_shows_them_side_by_side() -> None:
    text = (FIGURES.parent / "beats.md").read_text()
    for name in ("clinical", "clinical-contributions", "clinical-checks"):
        table = text.split(f"<!-- table:{name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
        models = [line.split(" | ") for line in table]
        order = [m for cells in models for m in ("teacher", "beats", "beats-6k") if m in cells]
        assert order == ["teacher", "beats", "beats-6k"] * (len(table) // 3)

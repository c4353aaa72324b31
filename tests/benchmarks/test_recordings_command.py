"""`python -m benchmarks recordings-crossval`: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beatlens.errors import RecipeError
from benchmarks.__main__ import app

from ..pipeline.recording_runs import TINY
from ..pipeline.tiny import document_of
from ..toml_text import toml_of

pytestmark = pytest.mark.export


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def refused(error: type[Exception], *arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, error), result.exception
    return str(result.exception)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(toml_of(TINY))
    return path


def test_it_adds_its_rows_when_all_folds_are_there(recipe: Path, tmp_path: Path) -> None:
    command = ("recordings-crossval", recipe, "--run", tmp_path / "run", "--out", tmp_path / "out")
    text = done(*command, "--folds", "0,2")
    assert "fold 1 of 5" in text
    assert "fold 3 of 5" in text
    assert "Score: mean F1" in text
    assert not (tmp_path / "out").exists()
    text = done(*command)
    assert "fold 1 of 5" not in text
    figures = json.loads((tmp_path / "out" / "wearable.json").read_text())
    assert [row["recordings"] for row in figures["rows"]] == [80, 80, 80]
    assert "every one classified by networks not trained on it, 5 folds" in figures["data"]
    assert json.loads((tmp_path / "run" / "crossval.json").read_text())["rows"] == figures["rows"]
    wrong = json.loads((tmp_path / "run" / "crossval_misclassified.json").read_text())["rows"]
    assert all(row["label"] != row["decided"] for row in wrong)
    done(*command)  # rows of the same recipe and seed are replaced
    again = json.loads((tmp_path / "out" / "wearable.json").read_text())
    assert again["rows"] == figures["rows"]


@pytest.mark.parametrize("folds", ["", "5", "-1", "0,x", "1,1", "0;1", "0,"])
def test_folds_that_are_none_are_refused(recipe: Path, tmp_path: Path, folds: str) -> None:
    said = refused(RecipeError, "recordings-crossval", recipe, "--run", tmp_path / "run",
                   f"--folds={folds}")  # fmt: skip
    assert said == f"--folds is {folds!r}, expected some of 0,1,2,3,4, each once"


def test_it_takes_recipes_of_recordings_only(tmp_path: Path) -> None:
    other = tmp_path / "beats.toml"
    other.write_text(toml_of(document_of("beats")))
    said = refused(RecipeError, "recordings-crossval", other, "--run", tmp_path / "run")
    assert "task.kind is 'beats', expected a recipe of recordings" in said

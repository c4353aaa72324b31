"""Kinds of span by name, and recipes of any kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.tasks.beats.recipe import BeatClass
from beatlens.tasks.contract import KindTraining
from beatlens.tasks.registry import (
    default_recipe,
    find_training,
    kind_names,
    parse_recipe,
    read_recipe,
)

from ..pipeline.tiny import document_of


@pytest.mark.parametrize("kind", kind_names())
def test_every_kind_has_a_training_side_and_a_recipe(kind: str) -> None:
    training = find_training(kind)
    assert isinstance(training, KindTraining)
    assert training.name == kind
    recipe = default_recipe(kind)
    assert type(recipe) is training.recipe_type
    assert recipe.task.kind == kind
    assert read_recipe(training.default_recipe) == recipe
    assert parse_recipe(recipe.model_dump()) == recipe


def test_without_a_file_the_recipe_is_one_of_windows() -> None:
    assert read_recipe(None) == default_recipe("windows")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"there is no \[task\] with a kind, expected one of windows, beats, recordings"),
        ("[task]\nclasses = {}", r"there is no \[task\] with a kind"),
        ("[task]\nkind = 'hearts'", "task.kind is 'hearts', expected one of windows, beats, rec"),
        ("[task]\nkind = 3", "task.kind is 3, expected one of"),
        (
            "task = 'strips'",
            r"task is 'strips', expected a section: \[task\] with kind = 'win",
        ),
        ("task = 'wearable'", "task is 'wearable', expected a section: .* kind = 'recordings'"),
        ("task = 'beats'", "task is 'beats', expected a section: .* kind = 'beats'"),
    ],
)
def test_recipes_of_no_kind_and_old_ones_are_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": {"kindd": "dense"}}, "teacher.kind is missing, expected it"),
        ({"sede": 1}, "sede is 1, but there is no such key"),
        ({"task": {"kind": "windows", "classes": {}}}, "task.classes has 0 entries, expected at"),
        (
            {"data": {"sources": [{"path": "x", "lead": "II"}]}},
            r"data.sources.0.lead is 'II': expected a list, in \[ \]",
        ),
        (
            {"data": {"sources": [{"path": "x", "split": {"validation": -1}}]}},
            "data.sources.0.split.validation is -1: expected greater than or equal to 0",
        ),
        ({"data": {"sources": [{"path": "x", "patient": "y"}]}}, "sources.0.patient is 'y': exp"),
        (
            {"task": {"kind": "windows", "classes": {"a": {"rhythms": ["(VT"]}}}},
            r"classes.a: rhythms has '\(VT', expected labels without the bracket: 'VT'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words_of_recipes(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe({**document_of("windows"), **change})


def test_a_class_of_beats_is_written_with_a_code_of_beats() -> None:
    with pytest.raises(ValueError, match="symbol is '7', expected one of WFDB's codes of beats"):
        BeatClass(beats="N", symbol="7")


def test_a_recipe_of_another_kind_is_not_taken_for_one() -> None:
    beats, windows = default_recipe("beats"), find_training("windows")
    with pytest.raises(RecipeError, match=r"task\.kind is 'beats'"):
        windows.recipe_type.parse(beats.model_dump())


def test_no_other_kind_is_found() -> None:
    with pytest.raises(
        RecipeError, match=r"task\.kind is 'strips', expected one of windows, beats"
    ):
        find_training("strips")

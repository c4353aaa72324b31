"""Kinds of span by name, and recipes of any kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.tasks.contract import KindTraining
from beatlens.tasks.registry import (
    default_recipe,
    find_training,
    kind_names,
    parse_recipe,
    read_recipe,
)


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


def test_a_recipe_of_another_kind_is_not_taken_for_one() -> None:
    beats, windows = default_recipe("beats"), find_training("windows")
    with pytest.raises(RecipeError, match=r"task\.kind is 'beats'"):
        windows.recipe_type.parse(beats.model_dump())


def test_no_other_kind_is_found() -> None:
    with pytest.raises(
        RecipeError, match=r"task\.kind is 'strips', expected one of windows, beats"
    ):
        find_training("strips")

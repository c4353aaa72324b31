"""The built-in recipe of each kind of span, as its own type."""

from __future__ import annotations

from beatlens.recipe import Recipe
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.registry import default_recipe, parse_recipe
from beatlens.tasks.windows.recipe import WindowRecipe


def window_recipe() -> WindowRecipe:
    """The built-in recipe of windows."""
    recipe = default_recipe("windows")
    assert isinstance(recipe, WindowRecipe)
    return recipe


def beat_recipe() -> BeatRecipe:
    """The built-in recipe of beats."""
    recipe = default_recipe("beats")
    assert isinstance(recipe, BeatRecipe)
    return recipe


def recording_recipe() -> RecordingRecipe:
    """The built-in recipe of recordings."""
    recipe = default_recipe("recordings")
    assert isinstance(recipe, RecordingRecipe)
    return recipe


def change_recipe(kind: str, **sections: object) -> Recipe:
    """The built-in recipe of a kind with other sections; RecipeError as `parse_recipe`."""
    return parse_recipe({**default_recipe(kind).model_dump(), **sections})

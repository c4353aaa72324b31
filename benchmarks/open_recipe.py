"""Opens the recipe that a benchmark is given, and reads its recordings; refuses other kinds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from beatlens.errors import RecipeError
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.recordings.data import PreparedRecordings
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.registry import read_recipe
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.verbs.runs import open_run, prepare


def open_windows(
    path: Path | None, run: Path | None, threads: int | None
) -> tuple[WindowRecipe, Path]:
    """A recipe of windows and its run folder; None is the built-in recipe."""
    check_kind(path, "windows")
    recipe, folder = open_run(path, run, threads)
    return cast(WindowRecipe, recipe), folder


def open_beats(path: Path, run: Path | None, threads: int | None) -> tuple[BeatRecipe, Path]:
    """A recipe of beats and its run folder."""
    check_kind(path, "beats")
    recipe, folder = open_run(path, run, threads)
    return cast(BeatRecipe, recipe), folder


def open_recordings(
    path: Path, run: Path | None, threads: int | None
) -> tuple[RecordingRecipe, Path]:
    """A recipe of recordings and its run folder."""
    check_kind(path, "recordings")
    recipe, folder = open_run(path, run, threads)
    return cast(RecordingRecipe, recipe), folder


def read_window_recipe(path: Path) -> WindowRecipe:
    """A recipe of windows."""
    check_kind(path, "windows")
    return cast(WindowRecipe, read_recipe(path))


def check_kind(path: Path | None, kind: str) -> None:
    """Raise `RecipeError` unless a file is a recipe of that kind of span."""
    found = read_recipe(path).task.kind
    if found != kind:
        raise RecipeError(f"{path}: task.kind is {found!r}, expected a recipe of {kind}")


def read_windows(recipe: WindowRecipe, folder: Path, data: Path | None) -> PreparedWindows:
    """The recordings of a recipe of windows."""
    return cast(PreparedWindows, prepare(recipe, folder, data))


def read_recordings(recipe: RecordingRecipe, folder: Path, data: Path | None) -> PreparedRecordings:
    """The recordings of a recipe of recordings."""
    return cast(PreparedRecordings, prepare(recipe, folder, data))


def read_beats(recipe: BeatRecipe, folder: Path, data: Path | None) -> PreparedBeats:
    """The recordings of a recipe of beats."""
    return cast(PreparedBeats, prepare(recipe, folder, data))

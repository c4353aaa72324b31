"""What all verbs share: their options, and how they show what they are doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from beatlens.beat_recipe import AnyRecipe
from beatlens.beat_recipe import read_recipe as read_any_recipe
from beatlens.pipeline.folder import claim
from beatlens.recipe import Recipe
from beatlens.training.loop import Report, world

console = Console()

RecipePath = Annotated[
    Path | None,
    typer.Argument(
        metavar="RECIPE", help="Recipe, a TOML file. Left out: the built-in recipe `strips`."
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="Run folder all steps read and write. (default: runs/NAME)"
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="BEATLENS_DATA",
        help="Folder with databases (mitdb, svdb, ...) in PhysioNet's layout. "
        "(default: ../shared/data beside a checkout, else the cache `beatlens data get` fills)",
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads to use. (default: all)")
]


Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", min=1, help="Recordings worked on at a time, each by a process of its own."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler, tcp://HOST:PORT: its workers do it instead, and find recordings "
        "under the same paths.",
    ),
]


def opened(path: Path | None, run: Path | None, threads: int | None) -> tuple[Recipe, Path]:
    """Read the recipe and open its run folder, see `pipeline.folder.claim`."""
    recipe = read_recipe(path)
    use_threads(threads)
    return recipe, claim(run if run is not None else Path("runs") / recipe.name, recipe)


def opened_any(path: Path | None, run: Path | None, threads: int | None) -> tuple[AnyRecipe, Path]:
    """As `opened`, for a recipe of any task."""
    recipe = Recipe() if path is None else read_any_recipe(path)
    use_threads(threads)
    return recipe, claim(run if run is not None else Path("runs") / recipe.name, recipe)


def read_recipe(path: Path | None) -> Recipe:
    """The recipe of a file; None: the built-in one."""
    return Recipe() if path is None else Recipe.read(path)


def use_threads(count: int | None) -> None:
    """Limit torch to `count` threads; None leaves it at all cores."""
    if count is not None:
        torch.set_num_threads(count)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for something counted: call what is yielded with (done, total)."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
        _hide_unless_begun(bar, task)


@contextmanager
def output_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar beside what a verb prints: below it on a terminal, else on stderr if that is one.

    Call what is yielded with (what, done, total).
    """
    shown = console if console.is_terminal else Console(stderr=True)
    with _bar(shown) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


@contextmanager
def loading_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per database while recordings are read."""
    with _bar() as bar:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(f"reading {name}", total=total)
            bar.update(tasks[name], completed=done, total=total)

        yield show


@contextmanager
def training_bar(what: str) -> Iterator[Report]:
    """A bar for a training; figures of the latest validation stand beside it."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)
        shown: dict[str, float] = {}

        def report(step: int, steps: int, figures: dict[str, float]) -> None:
            shown.update(figures)
            text = "  ".join(f"{key} {value:.3f}" for key, value in shown.items())
            bar.update(task, completed=step, total=steps, description=f"{what}  [dim]{text}[/dim]")

        yield report
        _hide_unless_begun(bar, task)


def _hide_unless_begun(bar: Progress, task: TaskID) -> None:
    """What was made before is loaded, and there was nothing to count."""
    (row,) = (each for each in bar.tasks if each.id == task)
    if row.total is None:
        bar.update(task, visible=False)


def _bar(shown: Console | None = None) -> Progress:
    """A bar on the console of all verbs, or on one that disappears with what it shows."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=shown or console,
        disable=world()[0] != 0 or (shown is not None and not shown.is_terminal),
        transient=shown is not None,
    )

"""What verbs print on: one console for all, and bars for what takes long."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from beatlens.training.loop import Report

console = Console(markup=False, soft_wrap=True)
"""No markup, since names of files and leads may hold brackets; long lines are not broken, so that
other programs can read them."""


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
    shown = console if console.is_terminal else Console(stderr=True, markup=False)
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
            bar.update(task, completed=step, total=steps, description=f"{what}  {text}")

        yield report
        _hide_unless_begun(bar, task)


def _hide_unless_begun(bar: Progress, task: TaskID) -> None:
    """What was made before is loaded, and there was nothing to count."""
    (row,) = (each for each in bar.tasks if each.id == task)
    if row.total is None:
        bar.update(task, visible=False)


def _bar(shown: Console | None = None) -> Progress:
    """A bar on the console of all verbs, or on one that disappears with what it shows."""
    quiet = os.environ.get("RANK", "0") != "0" or (shown is not None and not shown.is_terminal)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=shown or console,
        disable=quiet,
        transient=shown is not None,
    )

"""What all verbs share: bars for what is counted."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from beatlens.verbs import show


def test_a_bar_that_counted_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    monkeypatch.setattr(show, "console", Console(file=shown, width=100))
    for bar in (show.progress_bar, show.training_bar):
        with bar("nothing"):
            pass
    assert "nothing" not in shown.getvalue()
    with show.progress_bar("counted") as count:
        count(3, 7)
    with show.training_bar("trained") as report:
        report(4, 9, {"f": 0.5})
    for said in ("counted", "3/7", "trained  f 0.500", "4/9"):
        assert said in shown.getvalue()


def test_names_out_of_files_are_no_markup() -> None:
    """A lead called `[/red]` is one of rich's errors, and `[bold]` would not be shown."""
    shown = StringIO()
    with show.console.capture() as captured:
        show.console.print("lead [/red] of a[bold]b")
    assert captured.get() == "lead [/red] of a[bold]b\n"
    bar = show._bar(Console(file=shown, width=100, force_terminal=True))
    with bar:
        bar.add_task("reading [/red]")
    assert "reading [/red]" in shown.getvalue()


def test_long_lines_are_not_broken() -> None:
    line = "word " * 60
    with show.console.capture() as captured:
        show.console.print(line)
    assert captured.get() == f"{line}\n"

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

"""The table of a recipe of beats: EC57's figures, and F1 of classes that EC57 does not have."""

from __future__ import annotations

from beatlens.tasks.beats.recipe import BeatTask
from beatlens.tasks.beats.summary import RUNS_COLUMN, build_summary
from beatlens.tasks.contract import Summary
from beatlens.tasks.registry import default_recipe

NAN = float("nan")


def columns(classes: dict[str, str], seen: float = 90.0) -> list[str]:
    task = BeatTask.model_validate({"classes": {name: {"beats": b} for name, b in classes.items()}})
    return list(summary(task, seen).columns[4:])


def summary(task: BeatTask, seen: float) -> Summary:
    row: dict[str, object] = {
        "model": "a",
        "form": "int8",
        "decided": "all beats",
        "split": "test",
        "mapping": "aami",
    }
    for measure in ("qrs", "veb", "sveb"):
        row |= {f"{measure}_sensitivity": seen, f"{measure}_predictivity": seen}
    row |= {
        f"veb_sensitivity_in_runs_of_{n}": rate for n, rate in (("1", 95), ("2", 90), ("3_9", 80))
    }
    return build_summary([row | {f"f1_{name}": 0.5 for name in task.classes}], task)


def test_the_built_in_classes_have_ec57s_figures_alone() -> None:
    found = summary(default_recipe("beats").task, 90.0)
    assert found.columns[4:] == ("QRS", "VEB", "SVEB", RUNS_COLUMN, "Spearman")
    assert found.rows[0][4:] == ("90.0 / 90.0",) * 3 + ("95 / 90 / 80 / -", "-")


def test_classes_that_ec57_does_not_have_have_f1() -> None:
    assert columns({"usual": "NLR", "early": "AV"}) == ["QRS", "F1 usual", "F1 early", "Spearman"]
    assert columns({"n": "N", "left": "L", "v": "V"})[:3] == ["QRS", "VEB", RUNS_COLUMN]


def test_where_no_record_is_counted_there_is_f1() -> None:
    assert columns({"n": "N", "v": "V"}, NAN) == [
        "QRS", "VEB", RUNS_COLUMN, "F1 n", "F1 v", "Spearman",
    ]  # fmt: skip

"""How networks do on patients that they never saw, by the folds of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.evaluation import Judged, judge
from beatlens.tasks.beats.metrics import calibrate
from beatlens.tasks.beats.out_of_fold import cost_offsets, run_folds, score_out_of_fold
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.contract import Row

FORM = "float, out of fold"


def evaluate_folds(
    recipe: BeatRecipe, prepared: PreparedBeats, networks: Sequence[EvidenceNet]
) -> dict[str, list[Row]]:
    """Figures of the students of the folds, each on the patients that it was not trained on.

    Tables are those fitted on the other folds; calibration and costs are the recipe's, as for the
    released model. The rows are those of test patients (`beatlens.tasks.beats.evaluation`), of all
    databases and of each.

    Returns:
        Rows by file name: `out_of_fold.json`, and `_runs`, `_records` and `_reliability` of it.
    """
    run = score_out_of_fold(recipe, run_folds(recipe, prepared, networks))
    calibration = calibrate(run)
    offsets = calibration.temperature * (calibration.bias + cost_offsets(recipe.task.classes))
    about = {"model": recipe.name, "form": FORM, "bytes": 4 * networks[0].weights}
    judged = Judged(about, run, [logits + offsets for logits in run.logits])
    patients = replace(prepared, test=list(run.tracks), shared=frozenset())
    found = judge(recipe, patients, [judged], calibration)
    files = {"out_of_fold.json": found.rows}
    return files | {f"out_of_fold_{name}": list(rows) for name, rows in found.tables.items()}

"""Cross-validations of recipes for windows, recordings and beats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads


def crossval(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[str, typer.Option(metavar="LIST", help="Seeds, separated by commas.")] = "0",
    folds: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Folds to train now, of 0 to 4. The table needs all five."
        ),
    ] = "0,1,2,3,4",
    out: Out = Path("docs/figures"),
) -> None:
    """Cross-validate a teacher's recipe on the patients of DS1.

    Also writes the thresholds of a final fit. Adds the recipe's rows to crossval.json, beside those
    of other recipes.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.verbs.show import console, training_bar
    from benchmarks.crossval.windows import build_row, out_of_fold
    from benchmarks.open_recipe import open_windows, read_windows

    chosen, folder = open_windows(recipe, run, threads)
    prepared = read_windows(chosen, folder, data)
    numbers = [int(part) for part in folds.split(",")]
    rows = []
    with training_bar("training") as report:
        for seed in (int(part) for part in seeds.split(",")):
            seeded = chosen.model_copy(update={"seed": seed})
            place = folder / "crossval"
            found = out_of_fold(seeded, prepared, place, numbers, 5, report, console.print)
            rows.append(build_row(seeded, found))
    if len(numbers) < 5:
        return
    command = "python -m benchmarks crossval RECIPE"
    described = "MIT-BIH DS1, every record predicted by a network not trained on it; lead MLII"
    merge_figures(out / "crossval.json", command, described, rows, key=("recipe", "seed"))
    for row in rows:
        figures = "  ".join(f"{name} {row[f'ap_{name}']:.3f}" for name in chosen.classes)
        console.print(f"seed {row['seed']}: macro AP {row['macro_ap']:.3f}  {figures}")


def recordings_crossval(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe of recordings.")],
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    folds: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Folds to train now, of 0 to 4. The table needs all five."
        ),
    ] = "0,1,2,3,4",
    teachers: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder of a recipe with the same teacher, whose teachers are used.",
        ),
    ] = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Cross-validate a recipe of recordings on its own source.

    Five folds; teacher, student and int8 model are trained anew for each. Adds the recipe's rows to
    wearable.json, and writes the recordings that the int8 model misclassifies to
    crossval_misclassified.json of the run folder. A benchmark that was interrupted continues where
    it stopped.
    """
    from beatlens.evaluate.figures import merge_figures, write_figures
    from beatlens.tasks.recordings.evaluation import format_rows, misclassified_rows, summarize
    from beatlens.verbs.runs import print_summary
    from beatlens.verbs.show import console, training_bar
    from benchmarks.crossval.recordings import (
        FIGURES,
        FOLDS,
        KEY,
        MISCLASSIFIED,
        describe,
        fold_recipe,
        out_of_fold,
        read_folds,
    )
    from benchmarks.open_recipe import open_recordings, read_recordings

    numbers = read_folds(folds)
    chosen, folder = open_recordings(recipe, run, threads)
    prepared = {n: read_recordings(fold_recipe(chosen, n), folder, data) for n in numbers}
    with training_bar("training") as report:
        found = out_of_fold(chosen, prepared, folder, teachers, report, console.print)
    one = prepared[numbers[0]]
    rows = format_rows(chosen, found, one.published)
    print_summary(summarize(chosen, rows))
    if sorted(numbers) != list(range(FOLDS)):
        return
    command = "python -m benchmarks recordings-crossval RECIPE"
    described = describe(chosen, one, found)
    write_figures(folder / FIGURES, command, described, rows)
    write_figures(folder / MISCLASSIFIED, command, described, misclassified_rows(chosen, found))
    merge_figures(out / "wearable.json", command, described, rows, key=KEY)


def beats_crossval(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe of beats.")],
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[str, typer.Option(metavar="LIST", help="Seeds, separated by commas.")] = "0",
    out: Out = Path("docs/figures"),
) -> None:
    """Cross-validate a recipe for beats on DS1 and svdb.

    Trains the small network without a teacher. Adds the recipe's rows to beats_crossval.json,
    beside those of other recipes.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.verbs.show import console, training_bar
    from benchmarks.crossval.beats import build_row, out_of_fold
    from benchmarks.open_recipe import open_beats, read_beats

    chosen, folder = open_beats(recipe, run, threads)
    prepared, rows = read_beats(chosen, folder, data), []
    with training_bar("training") as report:
        for seed in (int(part) for part in seeds.split(",")):
            seeded = chosen.model_copy(update={"seed": seed})
            found = out_of_fold(
                seeded, prepared, folder / "crossval", report=report, say=console.print
            )
            rows.append(build_row(seeded, found))
    command = "python -m benchmarks beats-crossval RECIPE"
    described = (
        "MIT-BIH DS1 and svdb, and cinc2017's recordings in fibrillation, every recording "
        "classified by networks not trained on it"
    )
    key = ("recipe", "seed")
    merge_figures(out / "beats_crossval.json", command, described, rows, key)
    for row in rows:
        shown = {key: row[key] for key in row if f"{key}_lo" in row}
        figures = "  ".join(f"{key} {value:.3f}" for key, value in shown.items())
        console.print(f"seed {row['seed']}: {figures}")

"""Benchmarks of the matching losses: agreement of evidence, cost of a step, other maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads


def attribution(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="Seeds, separated by commas.")
    ] = "0,1,2",
    train_only: Annotated[
        bool, typer.Option("--train-only", help="Train and run the networks; write no table.")
    ] = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Compare the matching losses on test patients.

    Trains a teacher, students without a teacher, with distillation, and with distillation and each
    matching loss; measures each as float and int8. Networks are kept in the run folder: a benchmark
    that was interrupted continues where it stopped.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.verbs.show import console, training_bar
    from benchmarks.attribution.matching import Bench, list_arms
    from benchmarks.open_recipe import open_windows, read_windows

    chosen, folder = open_windows(recipe, run, threads)
    numbers = [int(part) for part in seeds.split(",")]
    prepared = read_windows(chosen, folder, data)
    with training_bar("training") as report:
        bench = Bench(
            chosen, prepared, folder, numbers, list_arms(chosen), say=console.print, report=report
        )
        bench.train()
    if train_only:
        return
    rows, differences = bench.figures()
    named = f" {recipe}" if recipe else ""
    command = f"python -m benchmarks attribution{named} --seeds {seeds}"
    write_figures(out / "attribution.json", command, prepared.description, rows)
    write_figures(out / "attribution_differences.json", command, prepared.description, differences)
    console.print(f"{out / 'attribution.json'}: {len(rows)} rows")


def step_cost(
    recipe: RecipePath = None,
    threads: Threads = None,
    rounds: Annotated[
        int, typer.Option(min=3, metavar="N", help="Steps that are timed of each kind.")
    ] = 15,
    out: Out = Path("docs/figures"),
) -> None:
    """Time of a training step with each matching loss.

    Given as the ratio to a step of plain distillation.
    """
    from beatlens.evaluate.figures import machine, write_figures
    from beatlens.tasks.registry import read_recipe
    from beatlens.verbs.runs import use_threads
    from beatlens.verbs.show import console
    from benchmarks.attribution.step_cost import step_cost as measure_step_cost

    chosen = read_recipe(recipe)
    use_threads(threads)
    rows = measure_step_cost(chosen.teacher.spec, chosen.student.spec, 24, rounds)
    write_figures(
        out / "step_cost.json",
        f"python -m benchmarks step-cost --rounds {rounds}",
        "random input; no data needed",
        rows,
    )
    for row in rows:
        console.print(
            f"{row['matching']:>10} {row['path']:<16} teacher {row['teacher']:<7} "
            f"{row['ms']:7.1f} ms  {row['ratio']:.2f} x KD"
        )
    console.print(machine(), style="dim")


def maps(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="Seeds, separated by commas.")
    ] = "0,1,2",
    strips: Annotated[int, typer.Option(min=2, metavar="N", help="Strips per seed.")] = 60,
    out: Out = Path("docs/figures"),
) -> None:
    """Compare other attribution maps than the matched one.

    Maps that no loss used, their faithfulness, and randomisation tests, for the networks that
    `python -m benchmarks attribution` trained.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.tasks.windows.labels import cut_windows
    from beatlens.verbs.show import console
    from benchmarks.attribution.maps import MapsBench
    from benchmarks.attribution.matching import list_arms
    from benchmarks.open_recipe import open_windows, read_windows

    chosen, folder = open_windows(recipe, run, threads)
    prepared = read_windows(chosen, folder, data)
    with console.status("measuring maps"):
        bench = MapsBench(folder, chosen.classes, cut_windows(prepared.test), strips)
        arms = [arm.name for arm in list_arms(chosen)]
        rows = bench.rows([int(part) for part in seeds.split(",")], arms)
    command = f"python -m benchmarks maps --seeds {seeds} --strips {strips}"
    write_figures(out / "maps.json", command, prepared.description, rows)
    console.print(f"{out / 'maps.json'}: {len(rows)} rows")


def matching_weight(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    weights: Annotated[
        str, typer.Option(metavar="LIST", help="Weights to try, separated by commas.")
    ] = "2,4,8,16",
    steps: Annotated[
        int, typer.Option(min=100, metavar="N", help="Steps of each training.")
    ] = 1000,
    out: Out = Path("docs/figures"),
) -> None:
    """Choose the weight of each matching loss.

    On validation patients. Each loss gets the same number of trainings.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.verbs.show import console, training_bar
    from benchmarks.attribution.matching_weight import matching_weights
    from benchmarks.open_recipe import open_windows, read_windows

    chosen, folder = open_windows(recipe, run, threads)
    prepared = read_windows(chosen, folder, data)
    numbers = [float(part) for part in weights.split(",")]
    with training_bar("training") as report:
        rows = matching_weights(chosen, prepared, folder, numbers, steps, report)
    command = f"python -m benchmarks matching-weight --weights {weights} --steps {steps}"
    described = f"{prepared.description}; MEASURED ON VALIDATION PATIENTS"
    write_figures(out / "matching_weight.json", command, described, rows)
    for row in rows:
        console.print(
            f"{row['matching']:>10} weight {row['weight']:<5g} Spearman {row['spearman']:.3f}  "
            f"macro AP {row['macro_ap']:.3f}"
        )

"""`beatlens bench`: the benchmarks behind the tables; each writes docs/figures/NAME.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs import bench_clinical, bench_compress, bench_device
from beatlens.verbs.group import VerbGroup
from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="Run the benchmarks behind the tables.")


@app.command()
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
    from beatlens.pipeline.attribution_bench import Bench, arms_of
    from beatlens.verbs.runs import opened
    from beatlens.verbs.show import console, training_bar
    from beatlens.verbs.strips import prepared_for

    chosen, folder = opened(recipe, run, threads)
    numbers = [int(part) for part in seeds.split(",")]
    prepared = prepared_for(chosen, folder, data)
    with training_bar("training") as report:
        bench = Bench(
            chosen, prepared, folder, numbers, arms_of(chosen), say=console.print, report=report
        )
        bench.train()
    if train_only:
        return
    rows, differences = bench.figures()
    named = f" {recipe}" if recipe else ""
    command = f"beatlens bench attribution{named} --seeds {seeds}"
    write_figures(out / "attribution.json", command, prepared.description, rows)
    write_figures(out / "attribution_differences.json", command, prepared.description, differences)
    console.print(f"{out / 'attribution.json'}: {len(rows)} rows")


@app.command("step-cost")
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
    from beatlens.pipeline.step_cost import step_cost as measure_step_cost
    from beatlens.verbs.runs import read_recipe, use_threads
    from beatlens.verbs.show import console

    chosen = read_recipe(recipe)
    use_threads(threads)
    rows = measure_step_cost(chosen.teacher.spec, chosen.student.spec, 24, rounds)
    write_figures(
        out / "step_cost.json",
        f"beatlens bench step-cost --rounds {rounds}",
        "random input; no data needed",
        rows,
    )
    for row in rows:
        console.print(
            f"{row['matching']:>10} {row['path']:<16} teacher {row['teacher']:<7} "
            f"{row['ms']:7.1f} ms  {row['ratio']:.2f} x KD"
        )
    console.print(machine(), style="dim")


@app.command()
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
    `bench attribution` trained.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.pipeline.attribution_bench import arms_of
    from beatlens.pipeline.maps_bench import MapsBench
    from beatlens.tasks.windows.labels import cut_windows
    from beatlens.verbs.runs import opened
    from beatlens.verbs.show import console
    from beatlens.verbs.strips import prepared_for

    chosen, folder = opened(recipe, run, threads)
    prepared = prepared_for(chosen, folder, data)
    with console.status("measuring maps"):
        bench = MapsBench(folder, cut_windows(prepared.test), strips)
        arms = [arm.name for arm in arms_of(chosen)]
        rows = bench.rows([int(part) for part in seeds.split(",")], arms)
    command = f"beatlens bench maps --seeds {seeds} --strips {strips}"
    write_figures(out / "maps.json", command, prepared.description, rows)
    console.print(f"{out / 'maps.json'}: {len(rows)} rows")


@app.command()
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
    from beatlens.pipeline.crossval import out_of_fold, row_of
    from beatlens.tasks.windows.labels import CLASSES
    from beatlens.verbs.runs import opened
    from beatlens.verbs.show import console, training_bar
    from beatlens.verbs.strips import prepared_for

    chosen, folder = opened(recipe, run, threads)
    prepared = prepared_for(chosen, folder, data)
    numbers = [int(part) for part in folds.split(",")]
    rows = []
    with training_bar("training") as report:
        for seed in (int(part) for part in seeds.split(",")):
            seeded = chosen.model_copy(update={"seed": seed})
            place = folder / "crossval"
            found = out_of_fold(seeded, prepared, place, numbers, 5, report, console.print)
            rows.append(row_of(seeded, found))
    if len(numbers) < 5:
        return
    command = "beatlens bench crossval RECIPE"
    described = "MIT-BIH DS1, every record predicted by a network not trained on it; lead MLII"
    merge_figures(out / "crossval.json", command, described, rows, key=("recipe", "seed"))
    for row in rows:
        figures = "  ".join(f"{name} {row[f'ap_{name}']:.3f}" for name in CLASSES)
        console.print(f"seed {row['seed']}: macro AP {row['macro_ap']:.3f}  {figures}")


@app.command("matching-weight")
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
    from beatlens.pipeline.tuning import matching_weights
    from beatlens.verbs.runs import opened
    from beatlens.verbs.show import console, training_bar
    from beatlens.verbs.strips import prepared_for

    chosen, folder = opened(recipe, run, threads)
    prepared = prepared_for(chosen, folder, data)
    numbers = [float(part) for part in weights.split(",")]
    with training_bar("training") as report:
        rows = matching_weights(chosen, prepared, folder, numbers, steps, report)
    command = f"beatlens bench matching-weight --weights {weights} --steps {steps}"
    described = f"{prepared.description}; MEASURED ON VALIDATION PATIENTS"
    write_figures(out / "matching_weight.json", command, described, rows)
    for row in rows:
        console.print(
            f"{row['matching']:>10} weight {row['weight']:<5g} Spearman {row['spearman']:.3f}  "
            f"macro AP {row['macro_ap']:.3f}"
        )


@app.command()
def wearable(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe of the task wearable.")
    ],
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
    """Cross-validate a recipe for whole recordings on cinc2017.

    Five folds; teacher, student and int8 model are trained anew for each. Adds the recipe's rows to
    wearable.json, and writes the recordings that the int8 model misclassifies to
    crossval_wrong.json of the run folder. A benchmark that was interrupted continues where it
    stopped.
    """
    from beatlens.verbs.wearable import bench

    bench(recipe, run, data, threads, folds, teachers, out)


@app.command("beats-crossval")
def beats_crossval(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe of the task beats.")],
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
    from beatlens.verbs.beats import crossval

    crossval(recipe, run, data, threads, seeds, out)


app.command()(bench_device.qrs)
app.command()(bench_device.quality)
app.command()(bench_device.noise)
app.command()(bench_device.doubts)
app.command()(bench_device.firmware)
app.command()(bench_device.decoder)
app.command()(bench_device.host)
app.command()(bench_compress.compress)
app.command()(bench_compress.compress_rates)
app.command()(bench_compress.compress_tries)
app.command()(bench_clinical.clinical)
app.command()(bench_clinical.delineation)

"""`beatlens bench`: the benchmarks behind the tables; each writes docs/figures/NAME.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs import bench_clinical, bench_compress, bench_device
from beatlens.verbs.group import VerbGroup
from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="Measure, and write what was measured.")


@app.command()
def attribution(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0,1,2",
    train_only: Annotated[
        bool, typer.Option(help="Train and run the networks; leave the table to a later call.")
    ] = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Teacher, students alone, KD, KD with each matching loss; float and int8; on test patients.

    Everything trained is kept under the run folder: interrupted, it goes on where it stopped.
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
    rounds: Annotated[int, typer.Option(min=3, help="Steps of each kind.")] = 15,
    out: Out = Path("docs/figures"),
) -> None:
    """What matching adds to the time of a training step, in ratios to a plain KD step."""
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
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0,1,2",
    strips: Annotated[int, typer.Option(min=2, help="Strips looked at per seed.")] = 60,
    out: Out = Path("docs/figures"),
) -> None:
    """Maps no loss looked at, faithfulness, randomisation; of bench attribution's networks."""
    from beatlens.evaluate.figures import write_figures
    from beatlens.pipeline.attribution_bench import arms_of
    from beatlens.pipeline.maps_bench import MapsBench
    from beatlens.tasks.strips import cut_strips
    from beatlens.verbs.runs import opened
    from beatlens.verbs.show import console
    from beatlens.verbs.strips import prepared_for

    chosen, folder = opened(recipe, run, threads)
    prepared = prepared_for(chosen, folder, data)
    with console.status("measuring maps"):
        bench = MapsBench(folder, cut_strips(prepared.test), strips)
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
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0",
    folds: Annotated[
        str, typer.Option(help="Folds to train now, of 0 to 4; the table needs all.")
    ] = "0,1,2,3,4",
    out: Out = Path("docs/figures"),
) -> None:
    """The teacher's recipe on every patient of DS1, out of fold; and the thresholds of a final fit.

    Adds the recipe's rows to docs/figures/crossval.json, beside those of other recipes.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.pipeline.crossval import out_of_fold, row_of
    from beatlens.tasks.strips import CLASSES
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
    weights: Annotated[str, typer.Option(help="Weights to try, comma separated.")] = "2,4,8,16",
    steps: Annotated[int, typer.Option(min=100, help="Steps of each training.")] = 1000,
    out: Out = Path("docs/figures"),
) -> None:
    """The weight of each matching loss, chosen on validation patients with equal effort."""
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
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Of the task wearable.")],
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    folds: Annotated[
        str, typer.Option(help="Folds to train now, of 0 to 4; the table needs all.")
    ] = "0,1,2,3,4",
    teachers: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder of a recipe with the same teacher."),
    ] = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Whole recordings of cinc2017, five-fold: teacher, student and int8 model, trained anew each.

    Adds the recipe's rows to docs/figures/wearable.json, and writes the recordings that the int8
    model tells wrong to crossval_wrong.json of the run folder. Interrupted, it goes on where it
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
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0",
    out: Out = Path("docs/figures"),
) -> None:
    """A recipe for beats on every patient of DS1 and svdb, out of fold; its small network alone.

    Adds the recipe's rows to docs/figures/beats_crossval.json, beside those of other recipes.
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

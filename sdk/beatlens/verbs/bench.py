"""`beatlens bench`: the benchmarks behind the tables; each writes docs/figures/NAME.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import ModelError, RecipeError
from beatlens.evaluate.figures import commit, machine, merge_figures, write_figures
from beatlens.firmware.boards import BOARDS
from beatlens.pipeline.attribution_bench import Bench, arms_of
from beatlens.pipeline.crossval import out_of_fold, row_of
from beatlens.pipeline.decoder_size import COMPILER, decoder_sizes, has_compiler
from beatlens.pipeline.doubt_bench import doubt_rows, groups
from beatlens.pipeline.firmware_bench import grown, window_models
from beatlens.pipeline.firmware_bench import rows as firmware_rows
from beatlens.pipeline.host_bench import host_rows, make_day
from beatlens.pipeline.maps_bench import MapsBench
from beatlens.pipeline.noise_bench import NoiseBench
from beatlens.pipeline.qrs_bench import group_rows, other_groups, qrs_rows
from beatlens.pipeline.quality_bench import quality_rows
from beatlens.pipeline.step_cost import step_cost as measure_step_cost
from beatlens.pipeline.tuning import matching_weights
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases import find_database
from beatlens.tasks.strips import CLASSES, cut_strips
from beatlens.verbs import beats, wearable
from beatlens.verbs.bench_clinical import clinical, delineation
from beatlens.verbs.bench_compress import compress, compress_rates, compress_tries
from beatlens.verbs.explain import BundleFolder
from beatlens.verbs.options import (
    DataFolder,
    RecipePath,
    RunFolder,
    Threads,
    console,
    loading_bar,
    opened,
    read_recipe,
    training_bar,
    use_threads,
)
from beatlens.verbs.steps import prepared_for

app = typer.Typer(no_args_is_help=True, help="Measure, and write what was measured.")
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for the figures files written.")
]


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
def qrs(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """R peaks by the integer detector, beat by beat after EC57: mitdb, svdb, qtdb, and in noise.

    Databases that are not at hand are left out, mitdb excepted. Rows of earlier detectors stay in
    docs/figures/qrs.json.
    """
    rows, records = qrs_rows(find_database("mitdb", data))
    with loading_bar() as show:
        rows += group_rows(other_groups(data), show)
    described = (
        "mitdb, MLII; svdb and qtdb (records of no patient of mitdb or svdb), first lead; noise of "
        "nstdb's first lead in every other two minutes; after 5:00, 150 ms; intervals by record"
    )
    rows = [{**row, "commit": commit()} for row in rows]
    key = ("detector", "split")
    merge_figures(out / "qrs.json", "beatlens bench qrs", described, rows, key)
    write_figures(out / "qrs_records.json", "beatlens bench qrs", described, records)
    for row in rows:
        console.print(
            f"{row['split']}: {row['beats']:,} beats, {row['missed']:,} missed, "
            f"{row['wrong']:,} false, Se {row['sensitivity']:.2f} %, +P {row['predictivity']:.2f} %"
        )


@app.command()
def quality(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Leads that are off or saturated: flagged within 2 s? And what is flagged in clean ECG."""
    rows = quality_rows(find_database("mitdb", data))
    described = "mitdb DS2, MLII; defects put in at random places"
    write_figures(out / "quality.json", "beatlens bench quality", described, rows)
    for row in rows:
        said = f"{row['found']:.1f} % found" if "found" in row else f"{row['false']:.4f} % flagged"
        console.print(f"{row['what']}: {said}")


@app.command()
def noise(
    bundles: Annotated[
        list[Path], typer.Option("--bundle", metavar="DIR", help="Bundle to run; repeatable.")
    ],
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Noise of nstdb in the records of DS2: decisions, doubts, and evidence, at six levels.

    Runs the firmware's C; adds rows to docs/figures/noise_beats.json and noise_strips.json.
    """
    bench = NoiseBench(find_database("mitdb", data), find_database("nstdb", data))
    described = "mitdb DS2, MLII; noise of nstdb's first lead in every other two minutes from 5:00"
    for bundle in [Bundle.load(folder) for folder in bundles]:
        with loading_bar() as show:
            rows = bench.rows(bundle, show)
        name = "noise_strips.json" if bundle.beats is None else "noise_beats.json"
        key = ("model", "noise", "snr_db")
        merge_figures(out / name, "beatlens bench noise", described, rows, key)
        for row in rows:
            level = "" if row["snr_db"] is None else f" {row['snr_db']} dB"
            shown = f"{bundle.name} {row['noise']}{level}: {row['wrong']:.1f} % wrong"
            console.print(f"{shown}, {row['wrong_doubted']:.0f} % of those doubted")


@app.command()
def doubts(
    bundles: Annotated[
        list[Path], typer.Option("--bundle", metavar="DIR", help="Bundle to run; repeatable.")
    ],
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """What beats models doubt: DS2 as it is and upside down, pacemakers, svdb.

    Adds the bundles' rows to docs/figures/doubts.json.
    """
    chosen = groups(find_database("mitdb", data), find_database("svdb", data))
    described = "mitdb (MLII; V5 of 102 and 104) and svdb (first lead), after 5:00"
    for bundle in [Bundle.load(folder) for folder in bundles]:
        with loading_bar() as show:
            rows = doubt_rows(bundle, chosen, show)
        merge_figures(
            out / "doubts.json", "beatlens bench doubts", described, rows, ("model", "what")
        )
        for row in rows:
            console.print(
                f"{bundle.name} {row['what']}: {row['doubted']:.1f} % doubted, "
                f"{row['wrong']:.1f} % wrong, {row['wrong_doubted']:.0f} % of those doubted"
            )


@app.command("firmware")
def firmware_cost(
    windows: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of .tflite that see windows (reference models)."),
    ] = None,
    bundles: Annotated[
        list[Path] | None,
        typer.Option("--bundle", metavar="DIR", help="Bundle to run as a stream; repeatable."),
    ] = None,
    cores: Annotated[str, typer.Option(help="Cores, comma separated.")] = ",".join(BOARDS),
    gate: Annotated[
        bool, typer.Option(help="Write nothing; fail if a figure grew by over 2 %.")
    ] = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Instructions, flash, RAM and stack of the C engine on Cortex-M, counted under QEMU."""
    models = window_models(windows) if windows else []
    released = [Bundle.load(folder) for folder in bundles or []]
    wanted = cores.split(",")
    if unknown := sorted(set(wanted) - set(BOARDS)):
        raise RecipeError(f"core is {unknown[0]!r}, expected one of {', '.join(BOARDS)}")
    if not models and not released:
        raise RecipeError("nothing to measure: give --windows or --bundle")
    path, found = out / "firmware.json", []
    for row in firmware_rows(models, released, wanted):
        console.print(
            f"{row['model']} {row['core']}: {row['instructions']:,} instructions a {row['per']}, "
            f"{row['per_mac']:.3f} per product, flash {row['flash_bytes']:,}, "
            f"RAM {row['ram_bytes']:,}, stack {row['stack_bytes']:,}"
        )
        found.append(row)
    if not gate:
        command = "make bench-firmware"
        write_figures(path, command, "no data: executed instructions", found)
        console.print(f"{path}: {len(found)} rows")
        return
    committed = [dict(row) for row in load_figures(path).rows]
    if complaints := [text for row in found for text in grown(row, committed)]:
        raise ModelError("grew by over 2 %: " + "; ".join(complaints))


@app.command()
def decoder(out: Out = Path("docs/figures")) -> None:
    """Flash, RAM and stack of the C decoder of packed weights, on microcontroller cores."""
    if not has_compiler():
        console.print(f"SKIPPED: {COMPILER} is not installed, nothing was measured", style="bold")
        return
    rows = decoder_sizes()
    write_figures(out / "decoder.json", "beatlens bench decoder", "compiled; no data needed", rows)
    for row in rows:
        console.print(
            f"{row['core']:>14}  flash {row['flash_bytes']} bytes  state {row['state_bytes']}  "
            f"stack {row['stack_bytes']}"
        )


@app.command()
def host(
    bundle: BundleFolder = Path("runs/strips/bundle"),
    data: DataFolder = None,
    hours: Annotated[float, typer.Option(min=0.01, help="Hours of signal for engine c.")] = 24.0,
    hop: Annotated[float, typer.Option(help="Seconds between decisions.")] = 1.0,
    windows: Annotated[
        int, typer.Option(min=2, help="Windows the interpreters run; scaled to 24 h.")
    ] = 300,
    out: Out = Path("docs/figures"),
) -> None:
    """A day of ECG on one core: the firmware's C beside interpreters that re-run windows."""
    day = make_day(data, hours)
    console.print(day.description, style="bold yellow" if "SIMULATED" in day.description else "")
    rows = host_rows(bundle, day, hop, windows, lambda text: console.print(text, style="dim"))
    command = f"beatlens bench host --hours {hours:g} --hop {hop:g} --windows {windows}"
    described = f"{day.description}; interpreters: {windows} windows, scaled to 24 h"
    write_figures(out / "host.json", command, described, rows)
    for row in rows:
        console.print(
            f"{row['engine']:>14} {row['kernels']:<10} {row['cpu_seconds']:8.1f} s per 24 h  "
            f"{row['ratio']:7.1f} x  {row['bits']} bits"
        )
    console.print(machine(), style="dim")


app.command("compress")(compress)
app.command("compress-rates")(compress_rates)
app.command("compress-tries")(compress_tries)
app.command("beats-crossval")(beats.crossval)
app.command("clinical")(clinical)
app.command("delineation")(delineation)
app.command("wearable")(wearable.bench)

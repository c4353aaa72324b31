"""Benchmarks of what runs on a device: R peaks, signal quality, warnings, and the cost of the C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import BundleFolder, BundleFolders, DataFolder, Out


def qrs(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Measure the R-peak detector, also in noise.

    On mitdb, svdb and qtdb, beat by beat, as EC57 defines it. mitdb is needed; other databases that
    are not found are left out. Rows of earlier detectors stay in qrs.json.
    """
    from beatlens.evaluate.figures import commit, merge_figures, write_figures
    from beatlens.pipeline.qrs_bench import group_rows, other_groups, qrs_rows
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar

    rows, records = qrs_rows(find_database("mitdb", data))
    with loading_bar() as show:
        rows += group_rows(other_groups(data), show)
    described = (
        "mitdb, MLII; svdb and qtdb (records of no patient of mitdb or svdb), first lead; noise of "
        "nstdb (second lead for DS1, first for DS2) in every other two minutes; after 5:00, "
        "150 ms; intervals by record"
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


def quality(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Measure the quality flags: lead off, saturation.

    How many defects are flagged within 2 s, and how much of clean ECG is flagged.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.pipeline.quality_bench import quality_rows
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console

    rows = quality_rows(find_database("mitdb", data))
    described = "mitdb DS2, MLII; defects put in at random places"
    write_figures(out / "quality.json", "beatlens bench quality", described, rows)
    for row in rows:
        said = f"{row['found']:.1f} % found" if "found" in row else f"{row['false']:.4f} % flagged"
        console.print(f"{row['what']}: {said}")


def noise(
    bundles: BundleFolders,
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure models with the noise of nstdb added to DS2.

    Decisions, warnings and evidence at six levels of noise, computed by the C of the firmware. Adds
    rows to noise_beats.json and noise_strips.json.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.pipeline.noise_bench import NoiseBench
    from beatlens.runtime.bundle import Bundle
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar

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


def doubts(
    bundles: BundleFolders,
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure the warnings of models that decide on beats.

    On DS2, on DS2 with inverted leads, on patients with pacemakers, and on svdb. Adds rows to
    doubts.json.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.pipeline.doubt_bench import doubt_rows, groups
    from beatlens.runtime.bundle import Bundle
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar

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


def firmware(
    windows: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of .tflite files that take windows (reference models)."
        ),
    ] = None,
    bundles: BundleFolders = [],  # noqa: B006 (typer copies it)
    cores: Annotated[
        str, typer.Option(metavar="LIST", help="Cores, separated by commas. (default: all)")
    ] = "",
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Write nothing; fail where a figure grew by more than 2 %."),
    ] = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Count instructions, flash, RAM and stack on Cortex-M.

    The C engine is run under QEMU.
    """
    from beatlens.errors import ModelError, RecipeError
    from beatlens.evaluate.figures import write_figures
    from beatlens.firmware.boards import BOARDS
    from beatlens.pipeline.firmware_bench import grown, rows, window_models
    from beatlens.report.tables import load_figures
    from beatlens.runtime.bundle import Bundle
    from beatlens.verbs.show import console

    models = window_models(windows) if windows else []
    released = [Bundle.load(folder) for folder in bundles]
    wanted = cores.split(",") if cores else list(BOARDS)
    if unknown := sorted(set(wanted) - set(BOARDS)):
        raise RecipeError(f"core is {unknown[0]!r}, expected one of {', '.join(BOARDS)}")
    if not models and not released:
        raise RecipeError("nothing to measure: give --windows or --bundle")
    path, found = out / "firmware.json", []
    for row in rows(models, released, wanted):
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


def decoder(out: Out = Path("docs/figures")) -> None:
    """Flash, RAM and stack of the decoder of packed weights."""
    from beatlens.evaluate.figures import write_figures
    from beatlens.pipeline.decoder_size import COMPILER, decoder_sizes, has_compiler
    from beatlens.verbs.show import console

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


def host(
    bundle: BundleFolder = Path("strips"),
    data: DataFolder = None,
    hours: Annotated[
        float,
        typer.Option(min=0.01, metavar="HOURS", help="Hours of signal that engine c computes."),
    ] = 24.0,
    hop: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between decisions.")] = 1.0,
    windows: Annotated[
        int,
        typer.Option(min=2, metavar="N", help="Windows that interpreters compute, scaled to 24 h."),
    ] = 300,
    out: Out = Path("docs/figures"),
) -> None:
    """Time a day of ECG: engine c beside the interpreters.

    On one core of this computer. The interpreters compute every window anew.
    """
    from beatlens.evaluate.figures import machine, write_figures
    from beatlens.pipeline.host_bench import host_rows, make_day
    from beatlens.verbs.show import console

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

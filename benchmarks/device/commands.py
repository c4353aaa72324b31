"""Benchmarks of what the C costs: on a microcontroller, and for a day of ECG on a computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import BundleFolder, BundleFolders, DataFolder, Out


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
    from beatlens.report.tables import load_figures
    from beatlens.runtime.bundle import Bundle
    from beatlens.verbs.show import console
    from benchmarks.device.boards import BOARDS
    from benchmarks.device.firmware import grown, rows, window_models

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
    from beatlens.verbs.show import console
    from benchmarks.device.decoder_size import COMPILER, decoder_sizes, has_compiler

    if not has_compiler():
        console.print(f"SKIPPED: {COMPILER} is not installed, nothing was measured", style="bold")
        return
    rows = decoder_sizes()
    write_figures(
        out / "decoder.json", "python -m benchmarks decoder", "compiled; no data needed", rows
    )
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
    from beatlens.verbs.show import console
    from benchmarks.device.host import host_rows, make_day

    day = make_day(data, hours)
    console.print(day.description, style="bold yellow" if "SIMULATED" in day.description else "")
    rows = host_rows(bundle, day, hop, windows, lambda text: console.print(text, style="dim"))
    command = f"python -m benchmarks host --hours {hours:g} --hop {hop:g} --windows {windows}"
    described = f"{day.description}; interpreters: {windows} windows, scaled to 24 h"
    write_figures(out / "host.json", command, described, rows)
    for row in rows:
        console.print(
            f"{row['engine']:>14} {row['kernels']:<10} {row['cpu_seconds']:8.1f} s per 24 h  "
            f"{row['ratio']:7.1f} x  {row['bits']} bits"
        )
    console.print(machine(), style="dim")

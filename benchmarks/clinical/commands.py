"""`python -m benchmarks clinical` and `python -m benchmarks delineation`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beatlens.verbs.options import DataFolder, Out, RunFolder, Threads

if TYPE_CHECKING:
    from benchmarks.clinical.rows import ClinicalFigures


def clinical(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe of beats.")],
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    beats: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Beats of each class and recording that are checked."
        ),
    ] = 8,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure where the evidence of beats lies.

    In which waves it lies, what contributes to decisions for S and V, and whether decisions change
    when the evidence is removed. Measures the teacher and the int8 model of a run folder, after
    `train` and `compress`. Adds rows to clinical.json, clinical_contributions.json and
    clinical_checks.json.
    """
    from beatlens.pipeline.evaluate import load_networks
    from beatlens.pipeline.train import find_teacher
    from beatlens.signals.databases import find_database
    from beatlens.tasks.common.sources import is_at_hand
    from beatlens.verbs.show import console
    from benchmarks.clinical.classes import check_classes
    from benchmarks.clinical.data import judged_beats, ludb_beats
    from benchmarks.clinical.networks import explained_int8, explained_teacher
    from benchmarks.clinical.rows import clinical_figures
    from benchmarks.open_recipe import open_beats, read_beats

    chosen, folder = open_beats(recipe, run, threads)
    check_classes(chosen)
    teacher, networks = find_teacher(chosen, folder), load_networks(chosen, folder)
    prepared = read_beats(chosen, folder, data)
    with console.status("preparing") as status:
        sets = [judged_beats(prepared.test, simulated=prepared.simulated)]
        described = f"{prepared.description}; boundaries of waves by algorithm"
        if not prepared.simulated and is_at_hand("ludb", data):
            sets += ludb_beats(find_database("ludb", data))
            described += "; and ludb, lead II, with people's boundaries"
        elif not prepared.simulated:
            console.print(
                "SKIPPED: ludb was not found; no figures with boundaries that people marked"
            )
        found = clinical_figures(
            [
                explained_teacher(chosen, prepared, teacher),
                explained_int8(chosen, prepared, networks),
            ],
            sets,
            beats,
            status.update,
        )
    command = f"python -m benchmarks clinical models/{chosen.name}.toml --beats {beats}"
    found.merge(command, described, out)
    _print(found)


def delineation(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Measure algorithms that find wave boundaries.

    Against the boundaries that people marked in ludb.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console
    from benchmarks.clinical.boundaries import delineation_rows

    with console.status("measuring boundaries"):
        rows = delineation_rows(find_database("ludb", data))
    described = "ludb, lead II, 128 Hz, R peaks found by the system; recordings with pacemaker too"
    write_figures(out / "delineation.json", "python -m benchmarks delineation", described, rows)
    for row in rows:
        console.print(
            f"{row['method']:>22} {row['wave']:<16} found {row['found']:5.1f} %  onset "
            f"{row['onset_ms']:+6.1f} ms  end {row['end_ms']:+6.1f} ms"
        )


def _print(found: ClinicalFigures) -> None:
    from beatlens.verbs.show import console

    for row in found.waves:
        where = "  ".join(
            f"{name} {row[f'share_{name}']:.2f} ({row[f'time_{name}']:.2f})"
            for name in ("p", "pr", "qrs", "st_t")
        )
        console.print(
            f"{row['data']:>5} {row['boundaries']:<9} {row['model']:>9} {row['class'].upper()} "
            f"{row['outcome']:<5} {row['beats']:>6}: {where}"
        )

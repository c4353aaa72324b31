"""`beatlens figures`: tables and plots of the documentation, made from docs/figures/*.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import DataError
from beatlens.report import plots
from beatlens.report.tables import (
    Column,
    Figures,
    Row,
    load_figures,
    markdown_table,
    update_readme,
)
from beatlens.signals.rhythm import CONTEXTS
from beatlens.verbs.options import console

SIZE = (
    Column("bytes", "bytes", digits=None, interval=False),
    Column("macs", "MACs per strip", digits=None, interval=False),
)
ATTRIBUTION = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("loc_auc_sve", "AUC SVE", digits=2),
    Column("point_sve", "pointing SVE", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2),
    Column("same_peak", "same peak", digits=2),
    *SIZE,
)
DIFFERENCES = (
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "p5", digits=2),
    Column("same_peak", "same peak", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=3),
    Column("point_pvc", "pointing PVC", digits=3),
    Column("macro_ap", "macro AP", digits=3),
)
STEP_COST = (
    Column("ms", "ms per step", digits=0, interval=False),
    Column("ratio", "times a KD step", digits=2, interval=False),
)
MAPS = (
    Column("evidence_spearman", "evidence", digits=2),
    Column("integrated_gradients_spearman", "integrated gradients", digits=2),
    Column("guided_grad_cam_spearman", "guided Grad-CAM", digits=2),
    Column("deletion_random", "deletion − random", digits=2),
    Column("deletion_shifted", "deletion − shifted", digits=2),
    Column("insertion_random", "insertion − random", digits=2),
    Column("insertion_shifted", "insertion − shifted", digits=2),
    Column("randomised_head", "head randomised", digits=2),
    Column("randomised_head_and_last", "head and last randomised", digits=2),
)
WEIGHTS = (
    Column("spearman", "Spearman", digits=2),
    Column("macro_ap", "macro AP", digits=2),
)
CROSSVAL = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("ap_sve", "AP SVE", digits=2),
    Column("ap_afib", "AP AF", digits=2),
    Column("ap_bbb", "AP BBB", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
)
RATES = (
    Column("spearman", "Spearman", digits=2, interval=False),
    Column("macro_ap", "macro AP", digits=2, interval=False),
    Column("jsv_mean_pruned", "mean singular value, pruned", digits=3, interval=False),
    Column("jsv_mean_retrained", "retrained", digits=3, interval=False),
)
COMPRESS = (
    Column("packed_bytes", "packed bytes", digits=None, interval=False),
    Column("macs", "MACs per strip", digits=None, interval=False),
    Column("macro_ap", "macro AP", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "Spearman p5", digits=2),
)
COMPRESS_DIFFERENCES = (
    Column("spearman", "Spearman", digits=2),
    Column("spearman_p5", "p5", digits=2),
    Column("loc_auc_pvc", "AUC PVC", digits=2),
    Column("point_pvc", "pointing PVC", digits=2),
    Column("macro_ap", "macro AP", digits=2),
)
DECODER = (
    Column("flash_bytes", "flash", digits=None, interval=False),
    Column("state_bytes", "state", digits=None, interval=False),
    Column("stack_bytes", "stack", digits=None, interval=False),
)
FIRMWARE = (
    Column("instructions", "instructions", digits=None, interval=False),
    Column("per_mac", "per MAC", digits=3, interval=False),
    Column("tflm_instructions", "TFLM + CMSIS-NN", digits=None, interval=False),
    Column("flash_bytes", "flash", digits=None, interval=False),
    Column("model_bytes", "model", digits=None, interval=False),
    Column("ram_bytes", "RAM", digits=None, interval=False),
    Column("stack_bytes", "stack", digits=None, interval=False),
)
QRS = (
    Column("beats", "beats", digits=None, interval=False),
    Column("sensitivity", "Se, %", digits=2),
    Column("predictivity", "+P, %", digits=2),
    Column("average_sensitivity", "average Se", digits=2, interval=False),
    Column("average_predictivity", "average +P", digits=2, interval=False),
)
EC57 = (
    Column("bytes", "bytes", digits=None, interval=False),
    Column("qrs_sensitivity", "QRS Se", digits=2, interval=False),
    Column("qrs_predictivity", "+P", digits=2, interval=False),
    Column("veb_sensitivity", "V Se", digits=1),
    Column("veb_predictivity", "+P", digits=1),
    Column("sveb_sensitivity", "S Se", digits=1),
    Column("sveb_predictivity", "+P", digits=1),
    Column("spearman", "Spearman", digits=2, interval=False),
)
BEATS_CROSSVAL = (
    Column("ap_s_mitdb", "AP S, DS1", digits=2),
    Column("ap_v_mitdb", "AP V, DS1", digits=2),
    Column("ap_s_svdb", "AP S, svdb", digits=2),
    Column("ap_v_svdb", "AP V, svdb", digits=2),
    Column("predictivity_s_mitdb", "+P of S at Se 65, DS1", digits=0, interval=False),
    Column("predictivity_s_svdb", "svdb", digits=0, interval=False),
)
QUALITY = (
    Column("trials", "places", digits=None, interval=False),
    Column("found", "flagged within 2 s, %", digits=1, interval=False),
    Column("hours", "hours", digits=1, interval=False),
    Column("false", "flagged, %", digits=4, interval=False),
)
WHERE = (
    Column("beats", "beats", digits=None, interval=False),
    *(
        column
        for wave, name in (
            ("before_qrs", "before QRS"),
            ("p", "P"),
            ("qrs", "QRS"),
            ("st_t", "ST-T"),
        )
        for column in (
            Column(f"share_{wave}", name, digits=2),
            Column(f"time_{wave}", "time", digits=2, interval=False),
        )
    ),
    Column("peak_before_qrs", "peak before QRS", digits=2),
    Column("peak_qrs", "peak in QRS", digits=2),
    Column("peak_st_t", "peak in ST-T", digits=2),
    Column("peak_ms", "peak, ms from R", digits=0, interval=False),
)
REASONS = (
    Column("beats", "beats", digits=None, interval=False),
    Column("sum", "sum", digits=1),
    Column("signal", "signal", digits=1),
    Column("signal_earlier", "before P", digits=1, interval=False),
    Column("signal_p", "P", digits=1, interval=False),
    Column("signal_pr", "PR", digits=1, interval=False),
    Column("signal_qrs", "QRS", digits=1, interval=False),
    Column("signal_st_t", "ST-T", digits=1, interval=False),
    Column("signal_later", "after T", digits=1, interval=False),
    Column("rhythm", "rhythm", digits=1),
    *(Column(name, name, digits=1, interval=False) for name in CONTEXTS),
    Column("offset", "offset", digits=1, interval=False),
)
CHECKS = (
    Column("checked", "beats", digits=None, interval=False),
    Column("at_stake", "whole span", digits=1),
    Column("deletion_random", "deletion − random", digits=2),
    Column("deletion_shifted", "− shifted", digits=2),
    Column("insertion_random", "insertion − random", digits=2),
    Column("insertion_shifted", "− shifted", digits=2),
    Column("beyond_earlier", "before P bridged", digits=1),
    Column("beyond_p", "P", digits=1),
    Column("beyond_qrs", "QRS", digits=1),
    Column("beyond_st_t", "ST-T", digits=1),
    Column("head_size", "head randomised", digits=2),
    Column("head_floor", "chance", digits=2, interval=False),
    Column("all_size", "all randomised", digits=2),
    Column("all_floor", "chance", digits=2, interval=False),
)
KEPT = (
    Column("compared", "beats", digits=None, interval=False),
    Column("same_class", "same class", digits=2),
    Column("spearman", "Spearman", digits=2),
    Column("spearman_floor", "other beat's", digits=2, interval=False),
    Column("same_peak", "same peak", digits=2),
    Column("same_peak_floor", "other beat's", digits=2, interval=False),
    Column("same_wave", "same wave", digits=2),
    Column("same_wave_floor", "other beat's", digits=2, interval=False),
)
HOST = (
    Column("cpu_seconds", "processor seconds per 24 h", digits=1, interval=False),
    Column("ratio", "times the C", digits=1, interval=False),
)


FEW = 10
"""Beats of ludb below which a row is left to the figures file."""


def _best_boundaries(row: Row) -> bool:
    """Of DS2 all; of ludb people's boundaries, beats called right, where there are a few."""
    if row["data"] != "ludb":
        return True
    return bool(row["boundaries"] == "people" and row["outcome"] == "right" and row["beats"] >= FEW)


def _supraventricular(row: Row) -> bool:
    return bool(row["data"] != "ludb" and row["class"] == "s")


def _compressed(row: Row) -> bool:
    return bool(row["model"] != "teacher")


SHOWN: dict[str, Callable[[Row], bool]] = {
    "clinical": _best_boundaries,
    "clinical-reasons": _supraventricular,
    "clinical-checks": lambda row: True,
    "clinical-kept": _compressed,
}
"""Rows that a table shows, where not all."""


def figures(
    folder: Annotated[
        Path, typer.Option("--figures", metavar="DIR", help="Folder of the figures files.")
    ] = Path("docs/figures"),
    readme: Annotated[Path, typer.Option(help="File whose marked tables are replaced.")] = Path(
        "README.md"
    ),
) -> None:
    """Make the documentation's tables and plots again from the committed figures files."""
    groups = ("model", "matching", "form")
    wanted = {
        "attribution": ("attribution.json", ATTRIBUTION, groups),
        "differences": ("attribution_differences.json", DIFFERENCES, ("less", "form")),
        "step-cost": ("step_cost.json", STEP_COST, ("teacher", "matching", "path")),
        "maps": ("maps.json", MAPS, ("model", "matching")),
        "matching-weight": ("matching_weight.json", WEIGHTS, ("matching", "weight")),
        "crossval": ("crossval.json", CROSSVAL, ("recipe", "steps")),
        "compress": ("compress.json", COMPRESS, ("method", "start", "share", "matching")),
        "compress-differences": (
            "compress_differences.json",
            COMPRESS_DIFFERENCES,
            ("method", "share", "matching"),
        ),
        "compress-rates": ("compress_rates.json", RATES, ("method", "share", "rate")),
        "decoder": ("decoder.json", DECODER, ("core",)),
        "firmware": ("firmware.json", FIRMWARE, ("model", "per", "core")),
        "qrs": ("qrs.json", QRS, ("split",)),
        "ec57": ("ec57.json", EC57, ("split", "mapping", "model", "form")),
        "beats-crossval": ("beats_crossval.json", BEATS_CROSSVAL, ("recipe", "steps")),
        "quality": ("quality.json", QUALITY, ("what",)),
        "clinical": ("clinical.json", WHERE, ("class", "outcome", "data", "model", "form")),
        "clinical-reasons": (
            "clinical_reasons.json",
            REASONS,
            ("beat", "model", "form"),
        ),
        "clinical-checks": ("clinical_checks.json", CHECKS, ("class", "model", "form")),
        "clinical-kept": ("clinical_checks.json", KEPT, ("class", "model", "form")),
        "host": ("host.json", HOST, ("engine", "way", "kernels", "bits")),
    }
    made = {
        marker: _table(folder / name, columns, by, SHOWN.get(marker))
        for marker, (name, columns, by) in wanted.items()
    }
    for marker, markdown in made.items():
        if markdown is not None:
            update_readme(readme, marker, markdown)
            console.print(f"{readme}: table {marker}")
    for path in _plots(folder):
        console.print(path)


def _table(
    path: Path,
    columns: tuple[Column, ...],
    groups: tuple[str, ...],
    shown: Callable[[Row], bool] | None,
) -> str | None:
    """The table of a figures file; with `shown`, of those rows, side by side."""
    if not path.exists():
        return None
    found = load_figures(path)
    if shown is not None:
        rows = _side_by_side([row for row in found.rows if shown(row)], groups)
        found = replace(found, rows=rows)
    return markdown_table(found, columns, groups)


def _side_by_side(rows: list[Row], groups: tuple[str, ...]) -> list[Row]:
    """Rows by the first group's values, then the second's and so on; the teacher leads.

    Values are in the order they first appear in: rows of models measured one by one come together.
    """
    first = {key: list(dict.fromkeys(row[key] for row in rows)) for key in groups}

    def place(row: Row) -> list[tuple[bool, int]]:
        return [(row[key] != "teacher", first[key].index(row[key])) for key in groups]

    return sorted(rows, key=place)


def _plots(folder: Path) -> list[Path]:
    made: list[Path] = []
    if (folder / "attribution.json").exists():
        chosen = _students(folder / "attribution.json", "model", "student")
        made += [
            plots.save(plots.fidelity_by_matching(chosen), folder / "fidelity_by_matching.svg"),
            plots.save(
                plots.fidelity_by_matching(chosen, "point_pvc"), folder / "pointing_pvc.svg"
            ),
        ]
    if (folder / "compress.json").exists():
        chosen = _students(folder / "compress.json", "form", "int8")
        points = ("method", "start", "share")
        drawn = plots.size_vs_fidelity(chosen, "packed_bytes", of=points, joined=False)
        made.append(plots.save(drawn, folder / "size_vs_fidelity.svg"))
    return made


def _students(path: Path, key: str, value: str) -> Figures:
    """The rows of compressed networks, which are those with that value."""
    found = load_figures(path)
    rows = [row for row in found.rows if row[key] == value]
    if not rows:
        raise DataError(f"{path} has no row with {key} {value!r}; run the benchmark again")
    return Figures(found.command, found.commit, found.data, found.machine, rows)

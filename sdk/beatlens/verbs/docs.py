"""`beatlens figures`: tables and plots of the documentation, made from docs/figures/*.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import DataError
from beatlens.report import plots
from beatlens.report.noise_curves import noise_curves
from beatlens.report.reliability_plot import reliability_plot
from beatlens.report.tables import Column, Figures, load_figures, markdown_table, update_readme
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
EPISODES = (
    Column("episodes", "episodes", digits=None, interval=False),
    Column("episode_sensitivity", "episodes found, %", digits=0),
    Column("episode_predictivity", "of its own right, %", digits=0),
    Column("duration_sensitivity", "time found, %", digits=0),
    Column("duration_predictivity", "of its own right, %", digits=0),
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
NOISE_BEATS = (
    Column("veb_sensitivity", "V Se, %", digits=1),
    Column("veb_predictivity", "+P", digits=1),
    Column("veb_loss", "Se lost, points", digits=1, interval=False),
    Column("wrong", "wrong, %", digits=1, interval=False),
    Column("wrong_doubted", "of those doubted, %", digits=0),
    Column("doubted", "doubted, %", digits=0, interval=False),
    Column("undecided", "undecided, %", digits=0, interval=False),
    Column("spearman", "Spearman with clean", digits=2, interval=False),
    Column("same_peak", "same top column", digits=2),
)
NOISE_STRIPS = (
    Column("macro_ap", "macro AP", digits=2),
    Column("ap_pvc", "AP PVC", digits=2),
    Column("wrong", "wrong, %", digits=0, interval=False),
    Column("wrong_doubted", "of those doubted, %", digits=0),
    Column("doubted", "doubted, %", digits=0, interval=False),
    Column("undecided", "undecided, %", digits=0, interval=False),
    Column("spearman", "Spearman with clean", digits=2, interval=False),
    Column("same_peak", "same top column", digits=2),
)
DOUBTED = (
    Column("beats", "beats", digits=None, interval=False),
    Column("wrong", "wrong, %", digits=1),
    Column("wrong_doubted", "of those doubted, %", digits=0),
    Column("doubted", "doubted, %", digits=1),
    Column("noise", "for noise", digits=1, interval=False),
    Column("close", "close", digits=1, interval=False),
    Column("unfamiliar", "unfamiliar", digits=1, interval=False),
    Column("undecided", "undecided, %", digits=1, interval=False),
)
RELIABILITY = (
    Column("count", "beats", digits=None, interval=False),
    Column("error", "calibration error", digits=3, interval=False),
    Column("error_uncalibrated", "uncalibrated", digits=3, interval=False),
)
HOST = (
    Column("cpu_seconds", "processor seconds per 24 h", digits=1, interval=False),
    Column("ratio", "times the C", digits=1, interval=False),
)

CURVES = {
    "beats": ("veb_sensitivity", "veb_predictivity", "wrong_doubted", "same_peak"),
    "strips": ("ap_pvc", "macro_ap", "wrong_doubted", "same_peak"),
}
"""What is drawn of the noise stress test, of the released model of each task."""


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
        "ec57-episodes": ("ec57_episodes.json", EPISODES, ("split", "model", "form")),
        "beats-crossval": ("beats_crossval.json", BEATS_CROSSVAL, ("recipe", "steps")),
        "quality": ("quality.json", QUALITY, ("what",)),
        "noise-beats": ("noise_beats.json", NOISE_BEATS, ("model", "noise", "snr_db")),
        "noise-strips": ("noise_strips.json", NOISE_STRIPS, ("model", "noise", "snr_db")),
        "doubts": ("doubts.json", DOUBTED, ("model", "what")),
        "host": ("host.json", HOST, ("engine", "way", "kernels", "bits")),
    }
    made = {
        marker: _table(folder / name, columns, by) for marker, (name, columns, by) in wanted.items()
    }
    reliability = folder / "reliability.json"
    if reliability.exists():
        whole = _rows_with(reliability, "bin", "all")
        made["reliability"] = markdown_table(whole, RELIABILITY, ("model", "form"))
    for marker, markdown in made.items():
        if markdown is not None:
            update_readme(readme, marker, markdown)
            console.print(f"{readme}: table {marker}")
    for path in _plots(folder):
        console.print(path)


def _table(path: Path, columns: tuple[Column, ...], groups: tuple[str, ...]) -> str | None:
    return markdown_table(load_figures(path), columns, groups) if path.exists() else None


def _plots(folder: Path) -> list[Path]:
    made: list[Path] = []
    if (folder / "attribution.json").exists():
        chosen = _rows_with(folder / "attribution.json", "model", "student")
        made += [
            plots.save(plots.fidelity_by_matching(chosen), folder / "fidelity_by_matching.svg"),
            plots.save(
                plots.fidelity_by_matching(chosen, "point_pvc"), folder / "pointing_pvc.svg"
            ),
        ]
    if (folder / "compress.json").exists():
        chosen = _rows_with(folder / "compress.json", "form", "int8")
        points = ("method", "start", "share")
        drawn = plots.size_vs_fidelity(chosen, "packed_bytes", of=points, joined=False)
        made.append(plots.save(drawn, folder / "size_vs_fidelity.svg"))
    if (folder / "reliability.json").exists():
        drawn = reliability_plot(load_figures(folder / "reliability.json"))
        made.append(plots.save(drawn, folder / "reliability.svg"))
    for task, keys in CURVES.items():
        if (folder / f"noise_{task}.json").exists():
            noise = noise_curves(load_figures(folder / f"noise_{task}.json"), task, keys)
            made.append(plots.save(noise, folder / f"noise_{task}.svg"))
    return made


def _rows_with(path: Path, key: str, value: str) -> Figures:
    """The rows with that value."""
    found = load_figures(path)
    rows = [row for row in found.rows if row[key] == value]
    if not rows:
        raise DataError(f"{path} has no row with {key} {value!r}; run the benchmark again")
    return Figures(found.command, found.commit, found.data, found.machine, rows)

"""Atrial fibrillation of the strips task after EC57: episodes and their time, on test patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import DataError
from beatlens.tasks.beats.metrics import RunWindows, integer_windows, network_windows, recording_evidence
from beatlens.evaluate.episodes import EpisodeCounts, compare_episodes
from beatlens.evaluate.figures import merge_figures
from beatlens.evaluate.rhythms import episode_row, inside_episodes, rhythm_annotations
from beatlens.tasks.windows.metrics import run_integer, run_network
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.windows.data import Prepared
from beatlens.pipeline.evaluate import check_strips_bundle, shipped_thresholds
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import write_annotations
from beatlens.signals.databases import find_database
from beatlens.signals.splits import DS2_WITHOUT_202
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.windows.labels import CLASSES, SPAN, Track, cut_windows

AFIB = CLASSES.index("afib")
ANNOTATOR = "rhythm"


@dataclass(frozen=True)
class Counted:
    """A network whose episodes are counted.

    Args:
        about: `model` and `form` of its rows.
        run: gives its evidence in logit units.
        geometry: of the network.
        level: threshold of fibrillation, logits.
        written: whether its episodes are written as annotations.
    """

    about: dict[str, str]
    run: RunWindows
    geometry: Geometry
    level: float
    written: bool = False


def evaluate_episodes(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    quantized: QuantizedEvidenceNet,
    folder: Path,
    out: Path,
    data: Path | None = None,
) -> list[dict[str, Any]]:
    """Put rows of the teacher and the int8 student into `out/ec57_episodes.json`.

    The int8 student's episodes are also written as WFDB annotations, `ec57/RECORD.rhythm` in the
    run folder.

    Raises:
        DataError: the recordings are simulated: they have no annotated episodes of fibrillation and
            flutter.
    """
    _check_real(prepared)
    validation, graph = cut_windows(prepared.validation), build_graph(quantized, CROP_SPAN)
    said = run_network(teacher, validation)
    student = run_integer(build_graph(quantized, SPAN), quantized.geometry, validation)
    levels = prepared.thresholds(recipe, validation, student, said)
    device = Counted(
        {"model": recipe.name, "form": "int8"},
        _integer_evidence(graph),
        quantized.geometry,
        float(levels[AFIB]),
        written=True,
    )
    command = f"beatlens evaluate models/{recipe.name}.toml --ec57"
    networks = _teacher(recipe, prepared, teacher), device
    return _counted(recipe, prepared, networks, command, folder, out, data)


def evaluate_bundle_episodes(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    bundle: Bundle,
    command: str,
    folder: Path,
    out: Path,
    data: Path | None = None,
) -> list[dict[str, Any]]:
    """As `evaluate_episodes`, of a bundle at the threshold it ships.

    Raises:
        DataError: see `evaluate_episodes`.
        ModelError: the bundle decides on something else than strips.
    """
    _check_real(prepared)
    check_strips_bundle(bundle)
    graph = read_tflite(bundle.tflite)
    wide = graph.with_input_length(
        bundle.geometry.input_length(CROP_SPAN // bundle.geometry.stride)
    )
    device = Counted(
        {"model": recipe.name, "form": "int8"},
        _integer_evidence(wide),
        bundle.geometry,
        float(shipped_thresholds(bundle)[AFIB]),
        written=True,
    )
    networks = _teacher(recipe, prepared, teacher), device
    return _counted(recipe, prepared, networks, command, folder, out, data)


def _check_real(prepared: Prepared) -> None:
    if prepared.simulated:
        raise DataError(
            "the test recordings are simulated, expected real ones with annotated rhythms: get "
            "mitdb by `beatlens data get mitdb`"
        )


def _teacher(recipe: Recipe, prepared: Prepared, teacher: EvidenceNet) -> Counted:
    validation = cut_windows(prepared.validation)
    levels = prepared.thresholds(recipe, validation, run_network(teacher, validation))
    about = {"model": "teacher", "form": "float"}
    return Counted(about, network_windows(teacher), teacher.geometry, float(levels[AFIB]))


def _counted(
    recipe: Recipe,
    prepared: Prepared,
    networks: Sequence[Counted],
    command: str,
    folder: Path,
    out: Path,
    data: Path | None,
) -> list[dict[str, Any]]:
    """Count, and write what is to be written."""
    mitdb = find_database("mitdb", data)
    rows: list[dict[str, Any]] = []
    (folder / "ec57").mkdir(exist_ok=True)
    for net in networks:
        counts: dict[str, EpisodeCounts] = {}
        for track in prepared.test:
            reference = mitdb.annotations(track.record)
            rate = mitdb.open(track.record).rate_hz
            inside = _inside(net.run, net.geometry, track, net.level)
            said = rhythm_annotations(
                inside, track.record, net.geometry.stride, reference.length, rate
            )
            counts[track.record] = compare_episodes(reference, said, rate)
            if net.written:
                write_annotations(folder / "ec57", ANNOTATOR, said, rate)
        for split, kept in (("DS2", tuple(counts)), ("DS2 without 202", DS2_WITHOUT_202)):
            some = {record: count for record, count in counts.items() if record in kept}
            row = {**net.about, "seed": recipe.seed, "split": split, "records": len(some)}
            rows.append({**row, **episode_row(some)})
    described = f"{prepared.description}; atrial fibrillation, flutter left out, after 5:00"
    key = ("model", "form", "seed", "split")
    merge_figures(out / "ec57_episodes.json", command, described, rows, key)
    return rows


def _inside(run: RunWindows, geometry: Geometry, track: Track, level: float) -> NDArray[np.bool_]:
    evidence = recording_evidence(run, geometry, track.x)[AFIB]
    return inside_episodes(evidence, level, SPAN // geometry.stride)


def _integer_evidence(graph: IntegerGraph) -> RunWindows:
    """Evidence in logit units of an int8 network of `CROP_SPAN` samples, by LiteRT itself."""
    run = integer_windows(graph)
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    return lambda windows: (
        quantization.scale * (run(windows).astype(np.float32) - quantization.zero_point)
    )

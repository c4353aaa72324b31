"""Atrial fibrillation of the strips task after EC57: episodes and their time, on test patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import DataError
from beatlens.evaluate.beats import RunWindows, integer_windows, network_windows, recording_evidence
from beatlens.evaluate.episodes import EpisodeCounts, compare_episodes
from beatlens.evaluate.figures import merge_figures
from beatlens.evaluate.rhythms import episode_row, inside_episodes, rhythm_annotations
from beatlens.evaluate.strips import run_network
from beatlens.integer.build import build_graph
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.geometry import Geometry
from beatlens.pipeline.data import Prepared
from beatlens.recipe import Recipe
from beatlens.signals.annotations import write_annotations
from beatlens.signals.databases import find_database
from beatlens.signals.splits import DS2_WITHOUT_202
from beatlens.tasks.beat_sampling import CROP_SPAN
from beatlens.tasks.strips import CLASSES, SPAN, Track, cut_strips

AFIB = CLASSES.index("afib")
ANNOTATOR = "rhythm"


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
    if prepared.simulated:
        raise DataError(
            "the test recordings are simulated, expected real ones with annotated rhythms: get "
            "mitdb by `beatlens data get mitdb`"
        )
    mitdb, validation = find_database("mitdb", data), cut_strips(prepared.validation)
    rows: list[dict[str, Any]] = []
    (folder / "ec57").mkdir(exist_ok=True)
    for net, about in (
        (teacher, {"model": "teacher", "form": "float"}),
        (quantized, {"model": recipe.name, "form": "int8"}),
    ):
        chosen_on = run_network(net, validation)
        level = float(prepared.thresholds(recipe, validation, chosen_on)[AFIB])
        counts: dict[str, EpisodeCounts] = {}
        run = _evidence_of(net)
        for track in prepared.test:
            reference = mitdb.annotations(track.record)
            rate = mitdb.open(track.record).rate_hz
            inside = _inside(run, net.geometry, track, level)
            said = rhythm_annotations(
                inside, track.record, net.geometry.stride, reference.length, rate
            )
            counts[track.record] = compare_episodes(reference, said, rate)
            if net is quantized:
                write_annotations(folder / "ec57", ANNOTATOR, said, rate)
        for split, kept in (("DS2", tuple(counts)), ("DS2 without 202", DS2_WITHOUT_202)):
            some = {record: count for record, count in counts.items() if record in kept}
            row = {**about, "seed": recipe.seed, "split": split, "records": len(some)}
            rows.append({**row, **episode_row(some)})
    command = f"beatlens evaluate models/{recipe.name}.toml --ec57"
    described = f"{prepared.description}; atrial fibrillation, flutter left out, after 5:00"
    key = ("model", "form", "seed", "split")
    merge_figures(out / "ec57_episodes.json", command, described, rows, key)
    return rows


def _inside(run: RunWindows, geometry: Geometry, track: Track, level: float) -> NDArray[np.bool_]:
    evidence = recording_evidence(run, geometry, track.x)[AFIB]
    return inside_episodes(evidence, level, SPAN // geometry.stride)


def _evidence_of(net: EvidenceNet | QuantizedEvidenceNet) -> RunWindows:
    """Evidence in logit units; of an int8 network by LiteRT itself."""
    if isinstance(net, EvidenceNet):
        return network_windows(net)
    graph = build_graph(net, CROP_SPAN)
    run, quantization = (
        integer_windows(graph),
        graph.tensors[graph.outputs["evidence"]].quantization,
    )
    return lambda windows: (
        quantization.scale * (run(windows).astype(np.float32) - quantization.zero_point)
    )

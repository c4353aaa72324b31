"""The README's picture: a real strip with the full network's evidence above the 20 KB model's.

`make picture` writes docs/figures/strip.svg and docs/figures/strip.json. The strip is chosen by
rule: among DS2's strips with one to three premature ventricular beats, found by both networks, the
one whose agreement is the median. Needs the MIT-BIH Arrhythmia Database.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from beatlens.attribution.fidelity import fidelity
from beatlens.evaluate.figures import write_figures
from beatlens.integer.tflite_read import read_tflite
from beatlens.nets.files import load_net
from beatlens.recipe import SourceSection
from beatlens.report import plots
from beatlens.report.views import MapView, StripView
from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases import find_database
from beatlens.signals.databases.mitdb import DS2
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.common.sources import Source
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.registry import default_recipe
from beatlens.tasks.windows.labels import CONTEXT, WindowSet, WindowTrack, cut_windows
from beatlens.tasks.windows.metrics import Run, run_integer, run_network
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rule import window_rule
from beatlens.tasks.windows.tracks import MakeTrack
from benchmarks.docs_tables.example_strip import example_strip

SHOWN = "pvc"
SHOWN_S = 6
"""Seconds of the strip that are drawn, around its first premature ventricular beat."""
ROOT = Path(__file__).resolve().parents[1]
TASK = cast(WindowRecipe, default_recipe("windows")).task
CLASSES = tuple(TASK.classes)


@dataclass(frozen=True)
class Maps:
    """Both networks' evidence on one strip set, and how far each pair of maps agrees, `[S]`."""

    strips: WindowSet
    teacher: Run
    device: Run
    spearman: np.ndarray


def read_tracks(data: Path | None) -> list[WindowTrack]:
    """The records of DS2, lead MLII, with the labels of the released models' classes."""
    folder = find_database("mitdb", data).folder
    source, make = (
        Source(SourceSection(database="mitdb", split="published"), folder),
        MakeTrack(tuple(TASK.classes.items())),
    )
    tracks = [make((source, record)) for record in DS2]
    return [track for track in tracks if track is not None]


def run_both(teacher: Path, bundle: Bundle, tracks: list[WindowTrack]) -> Maps:
    """Run the float teacher, and the int8 model by LiteRT's reference kernels."""
    strips = cut_windows(tracks)
    full = run_network(load_net(teacher)[0], strips)
    small = run_integer(read_tflite(bundle.tflite), bundle.geometry, strips)
    scores = fidelity(full.evidence, small.evidence, full.logits >= 0).scores["spearman"]
    return Maps(strips, full, small, scores[:, CLASSES.index(SHOWN)])


def choose_strip(maps: Maps, tracks: dict[str, WindowTrack], thresholds: np.ndarray) -> int:
    """The strip whose agreement is the median of those the module's rule takes."""
    column = CLASSES.index(SHOWN)
    found = (maps.teacher.logits[:, column] >= 0) & (
        maps.device.logits[:, column] >= thresholds[column]
    )
    beats = np.array(
        [len(_beats_in(maps.strips, tracks, i, "VE")) for i in range(len(maps.strips))]
    )
    taken = np.flatnonzero(found & (beats >= 1) & (beats <= 3) & np.isfinite(maps.spearman))
    order = taken[np.argsort(maps.spearman[taken], kind="stable")]
    return int(order[len(order) // 2])


def _beats_in(
    strips: WindowSet, tracks: dict[str, WindowTrack], index: int, symbols: str | None = None
) -> list[tuple[int, str]]:
    """Samples, from the recording's start, and symbols of the annotated beats of a strip."""
    track, start = tracks[str(strips.records[index])], int(strips.starts[index])
    inside = (track.beats >= start) & (track.beats < start + strips.masks.shape[2])
    pairs = zip(track.beats[inside].tolist(), track.symbols[inside].tolist(), strict=True)
    return [(at, str(symbol)) for at, symbol in pairs if symbols is None or symbol in symbols]


def strip_view(
    maps: Maps,
    tracks: dict[str, WindowTrack],
    index: int,
    names: tuple[str, str],
    limits: np.ndarray,
) -> StripView:
    """Six seconds of the strip with both maps."""
    strips, span, stride = maps.strips, maps.strips.masks.shape[2], 8
    start = int(strips.starts[index])
    first = _beats_in(strips, tracks, index, "VE")[0][0] - start
    length = SHOWN_S * MODEL_RATE_HZ
    begin = int(np.clip(first - length // 2, 0, span - length)) // stride * stride
    kept = slice(begin // stride, (begin + length) // stride)

    def view(name: str, run: Run, thresholds: np.ndarray) -> MapView:
        chances = 1 / (1 + np.exp(-run.logits[index]))
        return MapView(
            name=name,
            probabilities=dict(zip(CLASSES, chances.tolist(), strict=True)),
            thresholds=dict(zip(CLASSES, (1 / (1 + np.exp(-thresholds))).tolist(), strict=True)),
            evidence={n: run.evidence[index, c, kept] for c, n in enumerate(CLASSES)},
            stride=stride,
        )

    from_s = (start + begin) / MODEL_RATE_HZ
    beats = _beats_in(strips, tracks, index)
    return StripView(
        record=str(strips.records[index]),
        start_s=from_s,
        millivolts=to_millivolts(strips.windows[index, CONTEXT + begin :][:length]),
        teacher=view(names[0], maps.teacher, np.zeros(len(CLASSES))),
        device=view(names[1], maps.device, limits),
        beats=[
            (at / MODEL_RATE_HZ, symbol)
            for at, symbol in beats
            if start + begin <= at < start + begin + length
        ],
        lead="MLII",
        rate_hz=MODEL_RATE_HZ,
        focus=SHOWN,
    )


def main() -> None:
    """Draw the picture, and write down which strip it is and how far its maps agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with mitdb")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    given = parser.parse_args()
    bundle = Bundle.load(given.bundle)
    tracks = read_tracks(given.data)
    by_record = {track.record: track for track in tracks}
    chances = np.array(list(window_rule(bundle).thresholds.values()))
    limits = np.log(chances / (1 - chances))
    maps = run_both(given.teacher, bundle, tracks)
    index = choose_strip(maps, by_record, limits)
    ratio = round(given.teacher.stat().st_size / len(bundle.tflite))
    names = (
        f"full network, {given.teacher.stat().st_size / 1e6:.1f} MB",
        f"{bundle.name} on the device, {len(bundle.tflite) / 1e3:.0f} KB",
    )
    view = strip_view(maps, by_record, index, names, limits)
    plots.save(example_strip(view, SHOWN), given.out / "strip.svg")
    row = {
        "model": bundle.name,
        "record": view.record,
        "start_s": view.start_s,
        "class": SHOWN,
        "spearman": float(maps.spearman[index]),
        "bytes": len(bundle.tflite),
        "times_smaller": ratio,
    }
    write_figures(
        given.out / "strip.json",
        "make picture",
        "real ECG: MIT-BIH Arrhythmia Database, DS2, lead MLII; the strip with one to three "
        "ventricular beats whose agreement is the median",
        [row],
    )


if __name__ == "__main__":
    main()

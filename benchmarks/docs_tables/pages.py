"""Which table stands on which page of the documentation, and what it shows of a figures file.

`PAGES` is the one place that states it. A table's place on its page is between the marks
`<!-- table:MARKER -->` and `<!-- /table:MARKER -->`; `python -m benchmarks figures` fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from beatlens.report.tables import Column, Row
from benchmarks.docs_tables import columns as of

Shown = Callable[[Row], bool]


@dataclass(frozen=True)
class DocumentedTable:
    """A table of the documentation.

    Args:
        file: of figures.
        columns: to the right of the groups.
        groups: keys whose values name a line.
        shown: which rows are in it; None: all, in the file's order. Those that are chosen stand
            side by side: by the first group's values, then the second's and so on.
    """

    file: str
    columns: tuple[Column, ...]
    groups: tuple[str, ...]
    shown: Shown | None = None


LEAST_NOISE_DB = 12
"""Less noise than that is left to the figures file, and to the curves."""
FEW = 20
"""Beats of ludb below which a row is left to the figures file: ectopic ones are fewer."""


def having(**values: tuple[str | float | None, ...]) -> Shown:
    """Chooses the rows whose keys have one of the values.

    >>> shown = having(core=("m4",))
    >>> shown({"core": "m4"}), shown({"core": "m7"})
    (True, False)
    """
    return lambda row: all(row[key] in chosen for key, chosen in values.items())


def _everything(row: Row) -> bool:
    return True


def of_all_databases(row: Row) -> bool:
    """Whether a row counts all databases; one that names none does.

    >>> of_all_databases({}), of_all_databases({"database": "svdb"})
    (True, False)
    """
    return bool(row.get("database", "all") == "all")


def _of_all_bins(row: Row) -> bool:
    return bool(row["bin"] == "all" and of_all_databases(row))


def _best_boundaries(row: Row) -> bool:
    """Of DS2 all; of ludb people's boundaries, beats called right, where there are a few."""
    if row["data"] != "ludb":
        return True
    return bool(row["boundaries"] == "people" and row["outcome"] == "right" and row["beats"] >= FEW)


def _supraventricular(row: Row) -> bool:
    return bool(row["data"] != "ludb" and row["class"] == "s")


def _compressed(row: Row) -> bool:
    return bool(row["model"] != "teacher")


def _noisy_enough(row: Row) -> bool:
    return row["snr_db"] is None or row["snr_db"] <= LEAST_NOISE_DB


ATTRIBUTION: Mapping[str, DocumentedTable] = {
    "attribution": DocumentedTable(
        "attribution.json", of.ATTRIBUTION, ("model", "matching", "form")
    ),
    "differences": DocumentedTable(
        "attribution_differences.json", of.DIFFERENCES, ("less", "form")
    ),
    "step-cost": DocumentedTable("step_cost.json", of.STEP_COST, ("teacher", "matching", "path")),
    "matching-weight": DocumentedTable("matching_weight.json", of.WEIGHTS, ("matching", "weight")),
    "maps": DocumentedTable("maps.json", of.MAPS, ("model", "matching")),
    "crossval": DocumentedTable("crossval.json", of.CROSSVAL, ("recipe", "steps")),
}
COMPRESSION: Mapping[str, DocumentedTable] = {
    "compress": DocumentedTable(
        "compress.json", of.COMPRESS, ("method", "start", "share", "matching")
    ),
    "compress-differences": DocumentedTable(
        "compress_differences.json",
        of.COMPRESS_DIFFERENCES,
        ("method", "share", "matching"),
        having(less=("none",)),
    ),
    "compress-headlines": DocumentedTable(
        "compress_headlines.json", of.HEADLINES, ("system", "figure", "met")
    ),
    "compress-tries": DocumentedTable("compress_tries.json", of.TRIES, ("recipe", "steps")),
    "compress-rates": DocumentedTable("compress_rates.json", of.RATES, ("method", "share", "rate")),
    "decoder": DocumentedTable("decoder.json", of.DECODER, ("core",)),
}
DEVICE: Mapping[str, DocumentedTable] = {
    "firmware": DocumentedTable("firmware.json", of.FIRMWARE, ("model", "per", "core")),
    "tflm": DocumentedTable("tflm.json", of.TFLM, ("model", "core", "cmsis_nn")),
    "host": DocumentedTable("host.json", of.HOST, ("engine", "way", "kernels", "bits")),
}
BEATS: Mapping[str, DocumentedTable] = {
    "qrs": DocumentedTable("qrs.json", of.QRS, ("split", "detector", "commit"), _everything),
    "rhythms": DocumentedTable("rhythms.json", of.RHYTHMS, ("split", "kind"), _everything),
    "ec57": DocumentedTable(
        "ec57.json", of.EC57, ("split", "mapping", "model", "form", "decided"), _everything
    ),
    "ec57-runs": DocumentedTable(
        "ec57_runs.json",
        of.EC57_RUNS,
        ("split", "counted", "length", "model", "form"),
        having(**{"class": ("veb",), "mapping": ("aami",), "decided": ("as output",)}),
    ),
    "beats-crossval": DocumentedTable(
        "beats_crossval.json", of.BEATS_CROSSVAL, ("recipe", "steps")
    ),
    "adapt": DocumentedTable("adapt.json", of.ADAPT, ("model", "patients"), _everything),
    "reliability": DocumentedTable(
        "reliability.json", of.RELIABILITY, ("model", "form"), _of_all_bins
    ),
    "clinical": DocumentedTable(
        "clinical.json", of.WHERE, ("class", "outcome", "data", "model", "form"), _best_boundaries
    ),
    "clinical-contributions": DocumentedTable(
        "clinical_contributions.json",
        of.CONTRIBUTIONS,
        ("beat", "model", "form"),
        _supraventricular,
    ),
    "clinical-checks": DocumentedTable(
        "clinical_checks.json", of.CHECKS, ("class", "model", "form"), _everything
    ),
    "clinical-kept": DocumentedTable(
        "clinical_checks.json", of.KEPT, ("class", "model", "form"), _compressed
    ),
}
STRIPS: Mapping[str, DocumentedTable] = {
    "released-strips": DocumentedTable(
        "strips.json", of.RELEASED_STRIPS, ("model", "form"), _everything
    ),
    "ec57-episodes": DocumentedTable("ec57_episodes.json", of.EPISODES, ("split", "model", "form")),
}
NOISE: Mapping[str, DocumentedTable] = {
    "noise-beats": DocumentedTable(
        "noise_beats.json", of.NOISE_BEATS, ("model", "noise", "snr_db"), _noisy_enough
    ),
    "noise-strips": DocumentedTable(
        "noise_strips.json", of.NOISE_STRIPS, ("model", "noise", "snr_db"), _noisy_enough
    ),
    "warnings": DocumentedTable("warnings.json", of.WARNED, ("model", "what")),
    "quality": DocumentedTable("quality.json", of.QUALITY, ("what",)),
}
UNSEEN: Mapping[str, DocumentedTable] = {
    "unseen-strips": DocumentedTable(
        "unseen.json", of.UNSEEN_STRIPS, ("model", "database"), having(task=("windows",))
    ),
    "unseen-beats": DocumentedTable(
        "unseen.json", of.UNSEEN_BEATS, ("model", "database", "decided"), having(task=("beats",))
    ),
    "unseen-recordings": DocumentedTable(
        "unseen.json", of.UNSEEN_RECORDINGS, ("model", "database"), having(task=("recordings",))
    ),
}
WEARABLE: Mapping[str, DocumentedTable] = {
    "wearable": DocumentedTable(
        "wearable.json", of.WEARABLE, ("model", "teacher_steps", "form"), _everything
    ),
}

PAGES: Mapping[str, Mapping[str, DocumentedTable]] = {
    "docs/attribution.md": ATTRIBUTION,
    "docs/compression.md": COMPRESSION,
    "docs/device.md": DEVICE,
    "docs/beats.md": BEATS,
    "docs/strips.md": STRIPS,
    "docs/wearable.md": WEARABLE,
    "docs/noise.md": NOISE,
    "docs/unseen.md": UNSEEN,
}
"""By the page, from the root of the documentation, then by the marker around the table's place."""

CURVES = {
    "beats": ("veb_sensitivity", "veb_predictivity", "wrong_warned", "same_peak"),
    "strips": ("ap_pvc", "macro_ap", "wrong_warned", "same_peak"),
}
"""What is drawn of the noise stress test, of the released model of each task."""

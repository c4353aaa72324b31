"""Bundles of format 2, which beatlens 0.1 made: their `bundle.json` as one of format 3.

Format 2 held thresholds of windows for every model, and the rule of beats or recordings in a
section of its own; beat features and limits of warnings had other names.
"""

from __future__ import annotations

from typing import Any

FEATURES = {
    "early": "prematurity",
    "pause": "compensatory_pause",
    "slow": "rr_over_mean",
    "change": "rr_difference",
    "balance": "rr_before_over_after",
    "irregular": "rr_variability",
    "alike": "morphology_similarity",
    "erratic": "rr_irregularity",
}
"""Names of the features in format 3 by those in format 2."""
LIMITS = {"close": "low_margin", "familiar": "out_of_distribution"}
SECTIONS = {"beats": "beats", "recording": "recordings"}
"""Kinds by their section in format 2; windows had none."""
NEVER_CLIPPED = "s"
"""The class that a clipped beat was never called, by its name."""


def from_format_2(document: Any) -> Any:
    """A parsed `bundle.json` of format 2 as one of format 3; any other as it is.

    What is wrong in it stays wrong, for the reader of format 3 to find.
    """
    if not isinstance(document, dict) or document.get("format") != 2:
        return document
    kept = {key: value for key, value in document.items() if key not in SECTIONS}
    classes = document.get("classes")
    entries = classes if isinstance(classes, list) else []
    named = [entry for entry in entries if isinstance(entry, dict)]
    if len(named) == len(entries) > 0:
        kept["classes"] = [_without_thresholds(entry) for entry in named]
    names = [entry.get("name") for entry in named]
    sections = [key for key in SECTIONS if key in document]
    # Of two sections the second one stays, and is refused as unknown.
    kept |= {key: document[key] for key in sections[1:]}
    if not sections:
        return {**kept, "format": 3, "kind": "windows", "rule": _thresholds(named)}
    rule = _renamed(document[sections[0]])
    if sections[0] == "beats" and isinstance(rule, dict):
        never = NEVER_CLIPPED in names and len(names) > 1
        rule["never_if_clipped"] = [NEVER_CLIPPED] if never else []
    return {**kept, "format": 3, "kind": SECTIONS[sections[0]], "rule": rule}


def _thresholds(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The rule of windows out of the entries of classes."""
    return {
        key: {
            entry["name"]: entry[old]
            for entry in entries
            if isinstance(entry.get("name"), str) and old in entry
        }
        for key, old in (("thresholds", "threshold"), ("sum_thresholds", "sum_threshold"))
    }


def _without_thresholds(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in entry if key not in ("threshold", "sum_threshold")}


def _renamed(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    rule = {LIMITS.get(key, key): value for key, value in section.items()}
    if isinstance(tables := rule.get("tables"), dict):
        rule["tables"] = {FEATURES.get(key, key): value for key, value in tables.items()}
    return rule

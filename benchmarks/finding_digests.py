"""Digests of what every released bundle finds in twelve real recordings, by every engine.

A change that must not change a bit is held against them:

    python -m benchmarks.finding_digests --write    # before
    python -m benchmarks.finding_digests            # after: exit 1 and the differences, if any

A digest is of whole numbers only: when, evidence as int8, decisions and warnings. Findings of all
kinds of span go through `list_facts`; it is the one place that knows how their fields are called.
Needs mitdb, svdb and cinc2017.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.pipeline.score import choose_lead, findings_in, open_record
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.stream import Piece

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_suffix(".json")
RECORDS = (
    "mitdb/100", "mitdb/102", "mitdb/119", "mitdb/201", "mitdb/203", "mitdb/207", "mitdb/232",
    "svdb/848", "svdb/820", "cinc2017/A00004", "cinc2017/A00005", "cinc2017/A00015",
)  # fmt: skip
SECONDS = {"c": 1800, "litert": 600, "simulator": 60}
"""How much of a recording each engine is given: the slower, the less."""


def list_facts(finding: Finding, bundle: Bundle) -> list[Any]:
    """A finding as whole numbers and names, the same however its fields are called."""
    facts: list[Any] = [round(finding.time_s * 128), finding.assessable]
    facts.append(sorted(finding.warnings))
    if finding.evidence is None:
        return facts
    scale = bundle.tensors["evidence"].scale
    steps = np.round(finding.evidence / np.float32(scale)).astype(np.int16)
    facts.append(hashlib.sha256(steps.tobytes()).hexdigest())
    facts.append(steps.sum(axis=1, dtype=np.int64).tolist())
    facts.append(list(finding.predicted) if finding.independent else finding.class_name)
    return facts


def digest(bundle: Bundle, record: str, engine: str, data: Path | None) -> dict[str, Any]:
    """Number and digest of the findings in the start of one recording."""
    recording = open_record(record, data)
    row = choose_lead(recording)

    def start() -> Iterator[Piece]:
        left = SECONDS[engine] * recording.rate_hz
        for counts, missing in recording.pieces(row):
            yield counts[:left], None if missing is None else missing[:left]
            left -= len(counts)
            if left <= 0:
                return

    total, count = hashlib.sha256(), 0
    for finding in findings_in(bundle, recording, row, start(), every=1.0, engine=engine):
        total.update(json.dumps(list_facts(finding, bundle)).encode() + b"\n")
        count += 1
    return {"findings": count, "sha256": total.hexdigest()}


def measured(data: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Digests by `BUNDLE RECORD ENGINE`."""
    for folder in sorted((ROOT / "models").glob("*/bundle")):
        bundle = Bundle.load(folder)
        for record in RECORDS:
            for engine in SECONDS:
                if engine == "c" and not bundle.kind.has_c:
                    continue  # there is no C of the decision on whole recordings
                yield f"{bundle.name} {record} {engine}", digest(bundle, record, engine, data)


def main() -> int:
    """Write the digests, or compare with those that were written; 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="keep what is found now")
    parser.add_argument("--data", type=Path, help="folder of databases")
    given = parser.parse_args()
    found = {}
    for name, one in measured(given.data):
        found[name] = one
        print(name, one["findings"], one["sha256"][:12], flush=True)
    if given.write:
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    names = kept.keys() | found.keys()
    wrong = sorted(name for name in names if kept.get(name) != found.get(name))
    print("\n".join(f"DIFFERS: {name}" for name in wrong) or f"{len(found)} digests, all the same")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

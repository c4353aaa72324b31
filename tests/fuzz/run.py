"""Fuzzes everything that takes bytes, for as long as wished: `make fuzz FUZZ_SECONDS=600`.

    python -m tests.fuzz.run SECONDS [SEED] [TARGET ...]

Targets are unpack, qrs, stream and tflite, each for so many seconds. New inputs are kept under
`build/fuzz/`, where the next run goes on from. An input that breaks a promise is written there too,
and the exit status is 1.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path

from . import targets, tflite_fuzz

KEPT = Path(__file__).parents[2] / "build" / "fuzz"
TARGETS = (*targets.SOURCES, "tflite")


def run_c(name: str, seconds: int, seed: int) -> bool:
    """Fuzz a C target; whether all promises were kept."""
    if not targets.has_fuzzer():
        print(f"NOT FUZZED: {name}: NO clang with libFuzzer (Debian: apt install clang)")
        return False
    folder = KEPT / name
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    program = targets.build(name, folder)
    known = [folder / "inputs", targets.CORPUS / name]
    outcome = targets.fuzz(program, known, seconds, seed, folder)
    print(f"{name}: {outcome.executions} inputs, {outcome.edges} edges, {outcome.corpus} kept")
    if outcome.status:
        print(outcome.output[-8000:])
    return outcome.status == 0


def run_tflite(seconds: int, seed: int) -> bool:
    """Fuzz the reader of `.tflite` files; whether it gave nothing but graphs and ModelErrors."""
    report = tflite_fuzz.fuzz(seconds, seed)
    counts = f"{report.executions} files, {report.sound} sound, {len(report.reasons)} reasons"
    print(f"tflite: {counts}, slowest {report.slowest_s:.2f} s, {len(report.findings)} findings")
    folder = KEPT / "tflite"
    folder.mkdir(parents=True, exist_ok=True)
    for data, error in report.findings:
        written = folder / f"finding-{hashlib.sha256(data).hexdigest()[:12]}.tflite"
        written.write_bytes(data)
        print(f"{written}:")
        traceback.print_exception(error)
    return not report.findings


def main(arguments: list[str]) -> int:
    """Run the targets one after the other; the exit status."""
    seconds = int(arguments[0]) if arguments else 60
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    names = arguments[2:] or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        print(f"target is {min(unknown)!r}, expected one of {', '.join(TARGETS)}")
        return 2
    kept = [
        run_tflite(seconds, seed) if name == "tflite" else run_c(name, seconds, seed)
        for name in names
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

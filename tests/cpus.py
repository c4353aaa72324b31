"""The tests marked `rounding`, as other CPUs round and with other seeds: `make test-cpus`.

    python -m tests.cpus [WORKERS] [pytest's arguments]

PyTorch, oneDNN, MKL and OpenBLAS choose their code by the CPU they find, and each sums in another
order. All four can be told to take the code for an older CPU, so that one machine shows what
several would. Every setting is a run of its own; the exit status is 1 if one of them failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS: dict[str, dict[str, str]] = {
    "SSE 4.1": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "this CPU, seed + 1": {"BEATLENS_TEST_SEED": "1"},
    "this CPU, seed + 2": {"BEATLENS_TEST_SEED": "2"},
}
"""Name of a setting to the environment variables that make it."""
FAILED_STATUS = 1


def run_setting(variables: dict[str, str], workers: str, arguments: list[str]) -> int:
    """Run the tests in a process that has these variables; its exit status."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "rounding", "-n", workers, "--dist",
        "worksteal", "--disable-warnings", *arguments,
    ]  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(workers: str = "2", *arguments: str) -> int:
    """Run every setting, then say which failed."""
    lines, failed = [], 0
    for name, variables in SETTINGS.items():
        print(f"\n== {name}: {' '.join(f'{k}={v}' for k, v in variables.items())}", flush=True)
        started = time.monotonic()
        status = run_setting(variables, workers, list(arguments))
        failed += status != 0
        said = "passed" if status == 0 else "FAILED"
        lines.append(f"{said:8} {time.monotonic() - started:6.0f} s  {name}")
    print("\n" + "\n".join(lines))
    return FAILED_STATUS if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))

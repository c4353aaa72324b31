"""Where the Python with tflite-runtime lies, which needs an older numpy than all else."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "TFLITE_VENV"
"""Names the environment's folder, as in the Makefile; relative to the top of the sources."""
ROOT = Path(__file__).resolve().parents[2]


def other_python() -> Path:
    """Python of the folder `TFLITE_VENV`, by default `.venv-tflite` at the top of the sources.

    It may not exist: `make tflite-env` makes it where it can.

    >>> other_python().parts[-2:]
    ('bin', 'python')
    """
    return ROOT / (os.environ.get(VARIABLE) or ".venv-tflite") / "bin" / "python"

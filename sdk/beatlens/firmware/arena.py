"""How much memory TensorFlow Lite Micro needs for a model: measured, or not known."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from beatlens.errors import ModelError, RecipeError
from beatlens.firmware import arena_search
from beatlens.integer.graph import Convolution
from beatlens.integer.tflite_read import read_tflite

SECONDS = 120


@dataclass(frozen=True)
class Arena:
    """Bytes of an arena, and where the number comes from, as text."""

    bytes: int
    origin: str


def estimated_arena(tflite: bytes) -> int:
    """Bytes of an arena that is large enough, for a model whose arena was not measured.

    All activations at once, though they share memory when the network runs; records of 192 bytes
    for each tensor and each operator, and 8 bytes for each channel's factor, as TensorFlow Lite
    Micro keeps them; scratch memory as large as the largest activation, twice, and the largest
    window of a convolution in 16 bit, which optimised kernels unfold. For the released models this
    is 2 to 6 times what was measured.
    """
    graph = read_tflite(tflite)
    sizes = [tensor.length * tensor.channels for tensor in graph.tensors.values()]
    convolutions = [op for op in graph.ops if isinstance(op, Convolution)]
    records = 192 * (len(sizes) + 2 * len(convolutions) + len(graph.ops))
    factors = 8 * sum(op.channels for op in convolutions)
    unfolded = 4 * max((op.input_channels * op.kernel for op in convolutions), default=0)
    total = sum(sizes) + 2 * max(sizes) + records + factors + unfolded + 4096
    return -(-total // 16) * 16


def measure_arena(tflite: bytes, python: Path | str | None = None) -> Arena | None:
    """The smallest arena TensorFlow Lite Micro loads a model in.

    Args:
        tflite: the bytes of a `.tflite` file.
        python: the Python of an environment with silabs-mltk (which needs numpy < 2); this one if
            None.

    Returns:
        The arena, or None where that environment has no silabs-mltk.

    Raises:
        RecipeError: there is no such Python, or it cannot run the search.
        ModelError: TensorFlow Lite Micro does not accept the model.
    """
    if not hasattr(os, "fork"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(tflite)
        command = [str(python or sys.executable), arena_search.__file__, str(model)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RecipeError(
                f"the arena cannot be measured with {command[0]} ({error}), expected a Python with "
                "silabs-mltk; name another one, or give the arena's bytes"
            ) from error
    message = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode == arena_search.NOT_INSTALLED:
        return None
    if done.returncode == arena_search.NOT_ACCEPTED:
        raise ModelError(
            f"TensorFlow Lite Micro does not accept the model: {message}, expected one of "
            "operators it knows; give the arena's bytes where yours knows more"
        )
    if done.returncode != 0:
        raise RecipeError(
            f"the arena cannot be measured with {command[0]}: {message}; name another Python with "
            "silabs-mltk, or give the arena's bytes"
        )
    facts = json.loads(done.stdout.splitlines()[-1])
    origin = (
        f"measured: the smallest in which TensorFlow Lite Micro of silabs-mltk {facts['version']} "
        f"loads this network (reference kernels, {platform.machine()})"
    )
    return Arena(int(facts["arena_bytes"]), origin)

"""Released bundles in today's form: format 3, and a network that takes samples of 0.05 mV.

    python -m benchmarks.convert_bundles            # models/*/bundle

A network that was trained on samples in steps of 0.025 mV takes steps of 0.05 mV with the same
weights: one step of its input counts twice as much, so the first layer's biases, in steps of input
and weights, are halved. That is exact but for the rounding of these biases and of the samples.
Golden inputs stay, their outputs are computed anew. A bundle of today's form is left alone.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from beatlens.errors import ModelError
from beatlens.integer.graph import Convolution, IntegerGraph, Quantization
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import MANIFEST, read_folder
from beatlens.runtime.manifest_file import FORMAT
from beatlens.signals.frontend import LSB_MV

MODELS = Path(__file__).resolve().parents[1] / "models"


def convert(folder: Path) -> bool:
    """Write a bundle in today's form; returns False for one that has it.

    Raises ModelError where the bundle is damaged, or cannot be written.
    """
    files = read_folder(folder)
    bundle = Bundle.load(folder)
    if json.loads(files[MANIFEST])["format"] == FORMAT and bundle.lsb_mv == LSB_MV:
        return False
    graph = with_input_step(read_tflite(bundle.tflite), LSB_MV)
    Bundle.create(
        folder,
        name=bundle.name,
        kind=bundle.kind_name,
        classes=bundle.titles,
        rule=bundle.rule,
        tflite=write_tflite(graph),
        golden_inputs=bundle.golden.inputs,
        hop_columns=bundle.hop_columns,
        measured=bundle.measured,
        versions=bundle.versions,
        replace=True,
    )
    return True


def with_input_step(graph: IntegerGraph, lsb_mv: float) -> IntegerGraph:
    """The network for an input in other steps.

    Args:
        graph: whose input has zero point 0 and is read by convolutions only.
        lsb_mv: millivolt of a step of the new input.

    Raises:
        ModelError: another operator reads the input, or the input has another zero point.
    """
    old = graph.tensors[graph.input]
    new = Quantization(float(np.float32(lsb_mv)), 0)
    readers = [op for op in graph.ops if graph.input in op.inputs]
    if old.quantization.zero_point or not all(isinstance(op, Convolution) for op in readers):
        raise ModelError(
            f"the input has zero point {old.quantization.zero_point} and is read by "
            f"{', '.join(op.kind for op in readers)}; expected 0 and convolutions only"
        )
    ratio = old.quantization.scale / new.scale
    ops = tuple(
        replace(op, bias=np.rint(op.bias * ratio).astype(np.int32))
        if isinstance(op, Convolution) and op in readers
        else op
        for op in graph.ops
    )
    tensors = {**graph.tensors, graph.input: replace(old, quantization=new)}
    return IntegerGraph(tensors, ops, graph.input, graph.outputs)


def main() -> None:
    """Convert bundles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="of bundles; models/*/bundle if none")
    for folder in parser.parse_args().folders or sorted(MODELS.glob("*/bundle")):
        print(folder, "converted" if convert(folder) else "has today's form")


if __name__ == "__main__":
    main()

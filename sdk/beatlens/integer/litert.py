"""Run an int8 model in LiteRT, to compare the simulator with.

LiteRT has three kinds of kernels. "reference" (`OpResolverType.BUILTIN_REF`) has the golden
arithmetic. "optimised" has LiteRT's fast kernels without XNNPACK. "xnnpack", the default on phones,
rescales in floating point and may differ by a few LSB.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.graph import ROLES, IntegerGraph
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_write import write_tflite

Kernels = Literal["reference", "optimised", "xnnpack"]
RESOLVERS = {
    "reference": OpResolverType.BUILTIN_REF,
    "optimised": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "xnnpack": OpResolverType.BUILTIN,
}


def run_litert(
    model: bytes, x: NDArray[np.int8], kernels: Kernels = "reference"
) -> dict[str, NDArray[np.int8]]:
    """Run a batch through LiteRT, one input after the other.

    `model` is a `.tflite` file of :func:`~beatlens.integer.tflite_write.write_tflite`, `x` int8
    `[B, N, leads]`. Returns "evidence" int8 `[B, T, C]` and "logits" int8 `[B, C]`, found by name.
    Raises ModelError if LiteRT does not accept the file.
    """
    try:
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=RESOLVERS[kernels],
            num_threads=1,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"LiteRT does not accept the .tflite file: {error}") from error
    source = interpreter.get_input_details()[0]["index"]
    details = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    outputs: dict[str, list[NDArray[np.int8]]] = {role: [] for role in ROLES}
    for sample in x:
        interpreter.set_tensor(source, sample[None, None])
        interpreter.invoke()
        for role in ROLES:
            outputs[role].append(interpreter.get_tensor(details[role])[0])
    stacked = {role: np.stack(values) for role, values in outputs.items()}
    return {"evidence": stacked["evidence"][:, 0], "logits": stacked["logits"]}


def xnnpack_difference(graph: IntegerGraph, x: NDArray[np.int8]) -> dict[str, float]:
    """Measure how far XNNPACK, the default on phones, is from the golden arithmetic on `x`.

    `x` is int8 `[B, N, leads]`. Returns, for evidence and for logits, the largest difference in
    LSB (`evidence_max_lsb`, `logits_max_lsb`), the mean absolute difference (`*_mean_lsb`) and the
    share of values that differ (`*_share`).
    """
    golden = simulate(graph, x)
    phone = run_litert(write_tflite(graph), x, "xnnpack")
    result = {}
    for role in ROLES:
        difference = np.abs(golden[role].astype(int) - phone[role])
        result[f"{role}_max_lsb"] = float(difference.max())
        result[f"{role}_mean_lsb"] = float(difference.mean())
        result[f"{role}_share"] = float((difference > 0).mean())
    return result

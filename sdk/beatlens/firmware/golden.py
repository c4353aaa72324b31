"""Golden vectors of a network as C, for `firmware_export/src/bl_selftest.c`.

Those of a bundle are the ones recorded in the bundle. Golden findings depend on the sensor; they
are made by the bundle's kind (`beatlens.tasks.KIND.c_golden`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.golden import golden_source
from beatlens.c_source.text import CSource, check_identifier, numbers, row
from beatlens.errors import ModelError
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.simulate import simulate

Int8 = NDArray[np.int8]


def example_inputs(graph: IntegerGraph, cases: int = 2) -> Int8:
    """Inputs int8 `[cases, N, leads]`: first noise over the whole range, then random walks."""
    source = graph.tensors[graph.input]
    rng = np.random.default_rng(0)
    steps = rng.integers(-12, 13, (cases, source.length, source.channels))
    steps[0] = rng.integers(-128, 128, steps[0].shape)
    walks = np.cumsum(steps, axis=1)
    walks[0] = steps[0]
    return ((walks + 128) % 256 - 128).astype(np.int8)


def net_golden_source(
    graph: IntegerGraph, inputs: Int8, model: str, name: str, evidence: Int8 | None = None
) -> CSource:
    """C that defines `const bl_golden_net NAME`.

    Args:
        graph: of the network.
        inputs: int8 `[cases, N, leads]`, `N` the graph's length.
        evidence: int8 `[cases, T, C]`, what the network has to give for them, as recorded when its
            bundle was made; None computes it from the graph, for a network without a bundle.
        model: name of its C constants, and of their header.
        name: a C identifier.

    Raises:
        RecipeError: a name is not a C identifier.
        ModelError: inputs have another shape.
    """
    for what in (model, name):
        check_identifier(what, "golden vectors")
    source = graph.tensors[graph.input]
    if inputs.ndim != 3 or inputs.shape[1:] != (source.length, source.channels):
        raise ModelError(
            f"golden inputs have shape {inputs.shape}, expected "
            f"[cases, {source.length}, {source.channels}]"
        )
    if evidence is None:
        evidence = simulate(graph, inputs)["evidence"]
    values = row(
        f"&{model}", f"{name}_inputs", f"{name}_evidence", *inputs.shape[:2], evidence.shape[1]
    )
    parts = [
        numbers("int8_t", f"{name}_inputs", inputs.ravel().tolist()),
        numbers("int8_t", f"{name}_evidence", evidence.ravel().tolist()),
        f"const bl_golden_net {name} = {values};\n",
    ]
    return golden_source(name, "bl_golden_net", [model], parts, "bl_selftest.h")

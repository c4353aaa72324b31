"""The cost of a model: bytes in a file and packed, RAM, multiply-accumulates.

>>> from beatlens.integer.graph import Conv, Mean, Quantization, Tensor
>>> import numpy as np
>>> q = Quantization(scale=0.5, zero_point=0)
>>> conv = Conv(name="conv", input="input", output="evidence",
...             weights=np.ones((1, 3, 1), np.int8), weight_scales=np.ones(1, np.float32),
...             bias=np.zeros(1, np.int32))
>>> mean = Mean(name="mean", input="evidence", output="logits")
>>> tensors = [Tensor("input", 10, 1, q), Tensor("evidence", 8, 1, q), Tensor("logits", 1, 1, q)]
>>> graph = IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input",
...                      {"logits": "logits", "evidence": "evidence"})
>>> ram_bytes(graph), graph.macs
(18, 24)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from beatlens.errors import ModelError
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.packing import pack_model

DECODER_FIGURES = Path(__file__).parents[3] / "docs" / "figures" / "decoder.json"
DECODER_CORE = "cortex-m4"


@dataclass(frozen=True)
class SizeAccount:
    """The cost of a model.

    Attributes:
        file_bytes: the `.tflite` file.
        packed_bytes: weights, biases and scales in the packed format (`weights.blpk`).
        decoder_bytes: code and constants of the C decoder on a Cortex-M4, as last measured by
            `python -m benchmarks decoder`; None outside a checkout with that measurement.
        ram_bytes: activations alive at once, see `ram_bytes`.
        macs: multiply-accumulates of one inference.
    """

    file_bytes: int
    packed_bytes: int
    decoder_bytes: int | None
    ram_bytes: int
    macs: int

    def as_dict(self) -> dict[str, int | None]:
        """The account as plain data."""
        return asdict(self)


def size_account(graph: IntegerGraph) -> SizeAccount:
    """Measure what a model costs; the file is written in memory for that."""
    from beatlens.integer.tflite_write import write_tflite

    return SizeAccount(
        file_bytes=len(write_tflite(graph)),
        packed_bytes=len(pack_model(graph)),
        decoder_bytes=decoder_bytes(),
        ram_bytes=ram_bytes(graph),
        macs=graph.macs,
    )


def ram_bytes(graph: IntegerGraph) -> int:
    """Compute the peak bytes of int8 activations when the graph runs one window, op by op.

    An activation lives from the operator that writes it to the last one that reads it. Input and
    output of an operator do not overlap, and the graph's outputs stay. This is a lower bound of an
    interpreter's arena, which also holds alignment, gaps, scratch buffers and the interpreter's
    records. An engine that streams, or works depth first, needs less.
    """
    last_use = {name: i for i, op in enumerate(graph.ops) for name in op.inputs}
    last_use |= dict.fromkeys(graph.outputs.values(), len(graph.ops))
    made = {graph.input: -1} | {op.output: i for i, op in enumerate(graph.ops)}
    most = 0
    for i in range(len(graph.ops)):
        alive = (
            graph.tensors[name]
            for name, begin in made.items()
            if begin <= i <= last_use.get(name, begin)
        )
        most = max(most, sum(tensor.length * tensor.channels for tensor in alive))
    return most


def decoder_bytes(figures: Path = DECODER_FIGURES, core: str = DECODER_CORE) -> int | None:
    """Read the bytes of the C decoder on a core as last measured; None without a measurement.

    Raises ModelError if the measurement cannot be read.
    """
    if not figures.exists():
        return None
    try:
        rows = json.loads(figures.read_text(encoding="utf-8"))["rows"]
        sizes = {row["core"]: int(row["flash_bytes"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{figures}: no figures of the decoder ({error!r}); run `python -m benchmarks decoder`"
        ) from error
    return sizes.get(core)

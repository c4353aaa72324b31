"""Files of quantised networks: weights, scales and constraints."""

from __future__ import annotations

from pathlib import Path

from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weighted_layers
from beatlens.errors import ModelError
from beatlens.nets.constraint import impose_described, release
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import plain_state, read_state, save_state

QUANTIZED_FORMAT = "beatlens-quantized-1"


def save_quantized(path: Path, net: QuantizedEvidenceNet) -> None:
    """Write a quantised network's weights, scales and constraints, whole or not at all."""
    save_state(path, {"format": QUANTIZED_FORMAT, **plain_state(net)})


def load_quantized(path: Path, student: EvidenceNet) -> QuantizedEvidenceNet:
    """Read a quantised network; `student` is the float network it was made from.

    Constraints are the file's, whatever the student has. Raises `ModelError` where they do not fit.
    """
    net = QuantizedEvidenceNet(student)
    state = read_state(path, QUANTIZED_FORMAT)
    try:
        for layer, tensor in weighted_layers(net).values():
            release(layer, tensor)
        impose_described(net, state.get("constraints", {}))  # absent from older files
        net.load_state_dict(state["weights"])
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: does not fit the student it belongs to: {error}") from error
    return net.eval()

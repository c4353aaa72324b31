"""Network files: weights with the specification that builds the network again.

Constraints on weights (masks, codebooks and so on) go with them, so that a later step can hold
them.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.constraint import describe_constraints, impose_described
from beatlens.nets.evidence import EvidenceNet
from beatlens.output import write_whole

FORMAT = "beatlens-network-1"


def save_net(path: Path, net: EvidenceNet, spec: NetworkSpec) -> None:
    """Write a network, whole or not at all."""
    state = {"format": FORMAT, "spec": spec.as_dict(), "classes": list(net.classes)}
    state["constraints"] = describe_constraints(net)
    save_state(path, {**state, "weights": net.state_dict()})


def load_net(path: Path) -> tuple[EvidenceNet, NetworkSpec]:
    """Read a network, in `eval()` mode, and its specification.

    Raises `ModelError` when the file is missing or is not a network file. Only tensors and plain
    data are read (`weights_only`), so a hostile file cannot run code.
    """
    state = read_state(path, FORMAT)
    try:
        spec = NetworkSpec.from_dict(state["spec"])
        net = build(spec, tuple(state["classes"]))
        impose_described(net, state.get("constraints", {}))  # absent from older files
        net.load_state_dict(state["weights"])
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: damaged network file: {error}") from error
    return net.eval(), spec


def save_state(path: Path, state: object) -> None:
    """Write tensors and plain data for `read_plain`, whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder refuses. (torch itself raises RuntimeError for
            some of that.)
    """
    buffer = BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getbuffer())


def read_state(path: Path, expected: str) -> dict:
    """Read a file written by `torch.save`; its `format` entry must be `expected`."""
    state = read_plain(path)
    found = state.get("format") if isinstance(state, dict) else type(state).__name__
    if not isinstance(state, dict) or found != expected:
        raise ModelError(f"{path}: format is {found!r}, expected {expected!r}")
    return state


def read_plain(path: Path) -> object:
    """Read tensors and plain data written by `torch.save`, or raise `ModelError`."""
    try:
        return torch.load(path, weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); train it first") from error
    except Exception as error:  # torch's unpickler raises whatever a foreign file trips it over
        raise ModelError(f"{path}: not a network file: {error!r}") from error

"""Network files: weights, with the specification that builds the network.

Constraints on weights (masks, codebooks and others) are saved with them, so that later steps keep
them.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.constraint import describe_constraints, impose_described
from beatlens.nets.evidence import EvidenceNet
from beatlens.output import write_whole

FORMAT = "beatlens-network-1"
COMPILED = "_orig_mod"
"""Where `torch.compile` keeps the module that it compiled."""


def save_net(path: Path, net: EvidenceNet, spec: NetworkSpec) -> None:
    """Write a network, whole or not at all.

    Wrappers of `torch.compile`, `DataParallel` and `DistributedDataParallel` are left out.

    Raises `ModelError` where `net` is not an `EvidenceNet`, `OutputError` as `save_state`.
    """
    inner = without_wrappers(net)
    if not isinstance(inner, EvidenceNet):
        raise ModelError(
            f"the network to save is a {type(inner).__name__}, expected an EvidenceNet"
        )
    state = {"format": FORMAT, "spec": spec.as_dict(), "classes": list(inner.classes)}
    save_state(path, {**state, **plain_state(inner)})


def load_net(path: Path) -> tuple[EvidenceNet, NetworkSpec]:
    """Read a network, in `eval()` mode, and its specification.

    Raises `ModelError` when the file is missing or is not a network file. Only tensors and plain
    data are read (`weights_only`), so a file cannot run code.
    """
    state = read_state(path, FORMAT)
    try:
        spec = NetworkSpec.from_dict(state["spec"])
        net = build(spec, tuple(state["classes"]))
        impose_described(net, state.get("constraints", {}))  # absent from older files
        # A compiled network was once written with its wrapper's names.
        net.load_state_dict({_plain_name(name): w for name, w in state["weights"].items()})
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


def without_wrappers(net: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of `torch.compile` and of parallel training."""
    while True:
        if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
            net = net.module
        elif isinstance(original := getattr(net, COMPILED, None), nn.Module):
            net = original
        else:
            return net


def plain_state(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Return `constraints` and `weights` of a network, with the names of an uncompiled network."""
    inner = without_wrappers(net)
    constraints, weights = describe_constraints(inner), inner.state_dict()
    return {
        "constraints": {_plain_name(name): kept for name, kept in constraints.items()},
        "weights": {_plain_name(name): tensor for name, tensor in weights.items()},
    }


def _plain_name(name: str) -> str:
    """A tensor's name without the wrappers' part of it."""
    return name.replace(f"{COMPILED}.", "").removeprefix("module.")


def read_state(path: Path, expected: str) -> dict[str, Any]:
    """Read a file of `save_state`; `ModelError` unless its `format` entry is `expected`."""
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
    except Exception as error:  # torch's unpickler may raise anything on a foreign file
        raise ModelError(f"{path}: not a network file: {error!r}") from error

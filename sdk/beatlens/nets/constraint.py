"""Constraints on a layer's weights, which every later compression step keeps.

A constraint maps a layer's trained tensor to the weights the layer uses
(`torch.nn.utils.parametrize`). Masks, shared magnitudes, codebooks and low-bit grids are
constraints, so every training, float or quantisation-aware, keeps them without code of its own. All
of them survive a rescaling of output channels, which folding batch norm is.

>>> conv = nn.Conv1d(1, 2, 3, bias=False)
>>> impose(conv, Mask(torch.tensor([[[1.0, 0, 1]], [[0, 1, 0]]])))
>>> int((conv.weight == 0).sum())
3
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beatlens.errors import ModelError

KINDS: dict[str, type[Constraint]] = {}
HOMES = {
    "kernel-codebook": "beatlens.compression.kernel_codebook",
    "low-bit": "beatlens.compression.low_bit",
    "permuted-blocks": "beatlens.compression.permuted_blocks",
    "unified": "beatlens.compression.unify",
}
"""Modules that define kinds of constraint; imported when a file has one, since they import this."""


class Constraint(nn.Module, ABC):
    """Maps a layer's trained tensor `[out, in, k]` to the weights it uses, same shape.

    Subclasses set `kind`, by which they are found when a file is read. All their state is in
    buffers and parameters, so that `state_dict` holds it.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        KINDS[cls.kind] = cls

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights to use, same shape, differentiable in `weight`."""

    @abstractmethod
    def rescaled(self, weight: Tensor) -> Constraint:
        """Return the same constraint for a layer whose output channels were multiplied by factors.

        Args:
            weight: the multiplied weights `[out, in, k]`; a factor may be negative.
        """

    def steps(self, weight: Tensor) -> Tensor | None:
        """Return the step of the int8 weights per output channel, `[out]`, for the trained
        `weight`.

        None: the constraint has no grid of its own, and the largest weight gets 127 steps.
        """
        return None

    def stored(self, whole: Tensor) -> Tensor:
        """Return the part of the int8 weights `[out, in, k]` that the device must store."""
        return whole

    @classmethod
    @abstractmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:
        """Make a constraint of this kind from the tensors of a file's `state`."""


class Mask(Constraint):
    """Keeps weights at zero where the mask is zero. `mask [out, in, k]` of 0 and 1."""

    kind = "mask"
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.detach().to(torch.float32).clone())

    def forward(self, weight: Tensor) -> Tensor:  # noqa: D102 (documented by the base class)
        return weight * self.mask.to(weight.dtype)

    def rescaled(self, weight: Tensor) -> Constraint:  # noqa: D102
        return Mask(self.mask)

    @classmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:  # noqa: D102
        return cls(state["mask"])


_NOT_COPIED = ("__dict__", "__weakref__")


def impose(layer: nn.Module, constraint: Constraint, tensor: str = "weight") -> None:
    """Put a constraint on a layer's tensor; an older one is made permanent and replaced."""
    release(layer, tensor)
    parametrize.register_parametrization(layer, tensor, constraint)


def release(layer: nn.Module, tensor: str = "weight") -> None:
    """Remove a layer's constraint and keep the weights it gave."""
    if parametrize.is_parametrized(layer, tensor):
        # torch takes the tensor off the layer's class, which a deep copy of the layer shares.
        kind = type(layer)
        own = {key: value for key, value in vars(kind).items() if key not in _NOT_COPIED}
        layer.__class__ = type(kind.__name__, kind.__bases__, own)
        parametrize.remove_parametrizations(layer, tensor, leave_parametrized=True)


def constraint_on(layer: nn.Module, tensor: str = "weight") -> Constraint | None:
    """The constraint on a layer's tensor, or None."""
    if not parametrize.is_parametrized(layer, tensor):
        return None
    chain = cast(nn.ModuleList, cast(nn.ModuleDict, layer.parametrizations)[tensor])
    return cast(Constraint, chain[0])


def trained_tensor(layer: nn.Module, tensor: str = "weight") -> Tensor:
    """Return the tensor that is trained: under a constraint, the constraint's input."""
    if not parametrize.is_parametrized(layer, tensor):
        return cast(Tensor, getattr(layer, tensor))
    return cast(Tensor, cast(nn.ModuleDict, layer.parametrizations)[tensor].original)


def find_constraints(net: nn.Module) -> dict[str, Constraint]:
    """Find every constraint in a network, by name of layer and tensor (`layer:tensor`)."""
    found: dict[str, Constraint] = {}
    for name, module in net.named_modules():
        if parametrize.is_parametrized(module):
            for tensor in cast(nn.ModuleDict, module.parametrizations):
                constraint = constraint_on(module, tensor)
                if constraint is not None:
                    found[f"{name}:{tensor}"] = constraint
    return found


def describe_constraints(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Describe a network's constraints as plain data and tensors, for `impose_described`."""
    return {
        where: {"kind": c.kind, "state": dict(c.state_dict())}
        for where, c in find_constraints(net).items()
    }


def impose_described(net: nn.Module, described: dict[str, dict[str, Any]]) -> None:
    """Impose described constraints; `ModelError` where one is unknown or does not fit."""
    for where, entry in described.items():
        layer, _, tensor = where.partition(":")
        kind = entry["kind"]
        if kind in HOMES:
            import_module(HOMES[kind])
        if kind not in KINDS:
            known = ", ".join(sorted(KINDS | HOMES))
            raise ModelError(f"{where}: constraint is {kind!r}, expected one of {known}")
        try:
            constraint = KINDS[kind].empty(entry["state"])
            impose(net.get_submodule(layer), constraint, tensor)
        except (AttributeError, KeyError, RuntimeError, ValueError) as error:
            raise ModelError(f"{where}: constraint does not fit the network: {error}") from error

"""What a method imposes on a layer's weights, kept through every later step.

A constraint stands between a layer's trained tensor and the weights the layer uses
(`torch.nn.utils.parametrize`): masks, shared magnitudes, codebooks and low-bit grids are all
constraints, so any training, float or quantisation-aware, holds them without knowing of them. All
of them survive a rescaling of output channels, which is what folding batch norm is.

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
    "kernel-codebook": "beatlens.compress.kernel_codebook",
    "low-bit": "beatlens.compress.low_bit",
    "permuted-blocks": "beatlens.compress.permuted_blocks",
    "unified": "beatlens.compress.unify",
}
"""Modules that define kinds, imported when a file asks for one (they import this module)."""


class Constraint(nn.Module, ABC):
    """Maps a layer's trained tensor `[out, in, k]` to the weights it uses, same shape.

    Subclasses name themselves by `kind` and are found again by it when a file is read. Everything
    they hold is in buffers and parameters, so that `state_dict` is the whole of them.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        KINDS[cls.kind] = cls

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """The weights in use, differentiable in `weight`."""

    @abstractmethod
    def rescaled(self, weight: Tensor) -> Constraint:
        """The same constraint for a layer whose output channels were multiplied by numbers.

        Args:
            weight: the multiplied weights `[out, in, k]`; a factor may be negative.
        """

    def steps(self, weight: Tensor) -> Tensor | None:
        """The grid int8 weights must stand on: a step per output channel, `[out]`.

        `weight` is the trained tensor. None: no grid of its own, the usual 127 steps to the
        largest weight.
        """
        return None

    def stored(self, whole: Tensor) -> Tensor:
        """Of the weights as whole numbers `[out, in, k]`, those the device must store."""
        return whole

    @classmethod
    @abstractmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:
        """A constraint with the tensors of a file's `state`."""


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
    """Take a layer's constraint away and leave the weights as it had made them."""
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
    """The tensor that is trained: under a constraint, what goes into it."""
    if not parametrize.is_parametrized(layer, tensor):
        return cast(Tensor, getattr(layer, tensor))
    return cast(Tensor, cast(nn.ModuleDict, layer.parametrizations)[tensor].original)


def find_constraints(net: nn.Module) -> dict[str, Constraint]:
    """Every constraint in a network, by the name of its layer and tensor (`layer:tensor`)."""
    found: dict[str, Constraint] = {}
    for name, module in net.named_modules():
        if parametrize.is_parametrized(module):
            for tensor in cast(nn.ModuleDict, module.parametrizations):
                constraint = constraint_on(module, tensor)
                if constraint is not None:
                    found[f"{name}:{tensor}"] = constraint
    return found


def describe_constraints(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Plain data and tensors from which `impose_described` makes a network's constraints again."""
    return {
        where: {"kind": c.kind, "state": dict(c.state_dict())}
        for where, c in find_constraints(net).items()
    }


def impose_described(net: nn.Module, described: dict[str, dict[str, Any]]) -> None:
    """Impose what `describe_constraints` described. Raises `ModelError` for what does not fit."""
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

"""Cores that firmware is written for: what to compile for them with, and their kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beatlens.c_source.kernels import KernelSet
from beatlens.errors import RecipeError


@dataclass(frozen=True)
class Core:
    """A core.

    Args:
        title: as its maker writes it.
        flags: of GCC and Clang, to compile for it; none for any core.
        kernels: those a model gets for it.
    """

    title: str
    flags: tuple[str, ...]
    kernels: KernelSet

    @property
    def optimise(self) -> str:
        """How to compile: small where assembly does the work, else fast."""
        return "-Os" if self.kernels == "dsp" else "-O2"

    @property
    def cpu(self) -> str:
        """The value of `-mcpu`; empty for any core."""
        return self.flags[0].removeprefix("-mcpu=") if self.flags else ""


def _cortex(title: str, cpu: str, kernels: KernelSet, *more: str) -> Core:
    return Core(f"Cortex-{title}", (f"-mcpu=cortex-{cpu}", "-mthumb", *more), kernels)


CORES: Mapping[str, Core] = {
    "any": Core("any core", (), "portable"),
    "m0": _cortex("M0+", "m0plus", "portable"),
    "m3": _cortex("M3", "m3", "long"),
    "m4": _cortex("M4", "m4", "dsp"),
    "m7": _cortex("M7", "m7", "dsp"),
    "m33": _cortex("M33", "m33", "dsp"),
    # Fewer instructions, and twice the flash for weights.
    "m4-long": _cortex("M4", "m4", "long"),
    "m7-long": _cortex("M7", "m7", "long"),
    "m33-long": _cortex("M33", "m33", "long"),
    # Compilers use vectors with a hardware floating point ABI only.
    "m55": _cortex("M55", "m55", "mve", "-mfloat-abi=hard"),
}


def find_core(name: str) -> Core:
    """The core of that name.

    Raises:
        RecipeError: no core has it.

    >>> find_core("m4").kernels
    'dsp'
    """
    if name not in CORES:
        raise RecipeError(f"core is {name!r}, expected one of {', '.join(CORES)}")
    return CORES[name]

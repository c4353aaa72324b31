"""What the C of all kinds of span shares: the sources of a task, and limits of quality."""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.c_source.text import CSource, row
from beatlens.runtime.quality import Limits


@dataclass(frozen=True)
class TaskSource:
    """C of a network and of the task that decides with it."""

    net: CSource
    task: CSource


@dataclass(frozen=True)
class ChainParts:
    """What a firmware package needs of the chain that decides.

    Attributes:
        task: its C.
        golden: golden vectors `NAME_golden_CHAIN`, of the type `bl_golden_CHAIN`.
        chain: `stream` or `beats`: names of its types and of its self-test, `bl_selftest_CHAIN`.
        sources: files of `src/` beside those that every chain needs.
        headers: files of `include/` beside those; the first one is its interface.
        memory_bytes: that a stream needs, its sensor's ring included.
        fact: what a decision is made of, for the README.
        selftest_state: name of a static `bl_CHAIN` that the self-test gets; empty: none.
    """

    task: TaskSource
    golden: CSource
    chain: str
    sources: tuple[str, ...]
    headers: tuple[str, ...]
    memory_bytes: int
    fact: str
    selftest_state: str = ""


@dataclass(frozen=True)
class TflmParts:
    """What a project for TensorFlow Lite Micro holds of a bundle.

    Attributes:
        task: C of `const bl_task NAME_task`.
        memory_bytes: of a stream, its sensor's ring included.
        sources: files of `firmware_export/` beside those of every project.
    """

    task: CSource
    memory_bytes: int
    sources: tuple[str, ...] = ()


def limits_row(limits: Limits, total: int) -> str:
    """A `bl_limits` of a span of `total` samples."""
    shares = (limits.unusable, limits.clipped, limits.noisy)
    return row(*(int(share * total) for share in shares))

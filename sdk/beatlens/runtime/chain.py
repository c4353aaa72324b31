"""What lies between the counts of a lead and its findings.

A `Stream` checks what it is given and hands counts to a chain. Each kind of span has two, with the
same findings bit for bit: one in Python around an engine (`segment_chain`), and one that runs the
firmware's C (`host`).
"""

from __future__ import annotations

from math import gcd
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.finding import Finding

PIECE = 1 << 15
"""Counts worked on at once, so that a long push needs no more memory than a short one."""


class Chain(Protocol):
    """Counts in, findings out."""

    @property
    def received(self) -> int:
        """Counts so far, lost ones included."""
        ...

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """Take checked 16 bit counts `[n]`, any n; return the findings that became ready."""
        ...

    def gap(self, samples: int) -> list[Finding]:
        """Take a number of lost counts, at least 1; return the findings that became ready."""
        ...

    def end(self) -> list[Finding]:
        """The last findings; nothing is called afterwards."""
        ...


def until_column(received: int, up: int, down: int, at_hand: int) -> int:
    """Counts to leave out, of those at hand, so that a column begins exactly at the next one.

    Where a stream resumes, all its columns so stay on one grid: column c begins at count
    `c * down / up`.

    >>> until_column(1, up=16, down=360, at_hand=100)
    44
    """
    step = down // gcd(down, up)
    return min(-received % step, at_hand)

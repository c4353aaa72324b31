"""What a training draws its batches from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Crops(Protocol):
    """Where crops come from: a sampler of any kind of span.

    Crop number `i` depends on the seed and on `i` only, so that training resumes exactly, and that
    workers of a distributed run draw different crops without talking to each other.
    """

    def batch(self, first: int, size: int) -> tuple[np.ndarray, ...]:
        """Crops `first .. first + size - 1`: windows float32 `[size, n]` in mV, and what the loss
        needs to know of them, arrays `[size, ...]`."""
        ...


def make_batches(crops: Crops) -> Callable[[int, int], tuple[Tensor, ...]]:
    """Batches of tensors for `beatlens.training.loop.fit` out of a sampler."""

    def batches(first: int, size: int) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in crops.batch(first, size))

    return batches

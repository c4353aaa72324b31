"""Runs networks over the samples of recordings: float networks and int8 models alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.litert import Kernels, run_litert
from beatlens.integer.tflite_write import write_tflite
from beatlens.tasks.common.tracks import to_millivolts

CROP_SPAN = 960
"""Samples of a span that recordings are gone through in: 7.5 s, about ten beats."""
Windows = NDArray[np.int8]
RunWindows = Callable[[Windows], NDArray[Any]]
BATCH = 64


class Explaining(Protocol):
    """What can be measured: a float or a fake-quantised evidence network."""

    geometry: Geometry

    def evidence(self, x: Tensor) -> Tensor:
        """Evidence `[B, C, T]`."""


def recording_evidence(run: RunWindows, geometry: Geometry, x: NDArray[np.int8]) -> NDArray[Any]:
    """Evidence `[C, T]` of a whole recording, its edges held, in windows of `CROP_SPAN` samples.

    Args:
        run: takes windows int8 `[W, N]`, gives evidence `[W, C, CROP_SPAN / stride]`.
        geometry: of the network.
        x: int8 `[n]`.
    """
    columns = len(x) // geometry.stride
    windows = -(-columns * geometry.stride // CROP_SPAN)
    right = geometry.right + windows * CROP_SPAN - len(x)
    padded = np.pad(x, (geometry.left, max(0, right)), mode="edge")
    length = CROP_SPAN + geometry.left + geometry.right
    cut = np.lib.stride_tricks.sliding_window_view(padded, length)[::CROP_SPAN][:windows]
    parts = [run(np.ascontiguousarray(cut[i : i + BATCH])) for i in range(0, windows, BATCH)]
    evidence = np.concatenate(parts).transpose(1, 0, 2)
    return np.ascontiguousarray(evidence.reshape(len(evidence), -1)[:, :columns])


def network_windows(net: Explaining) -> RunWindows:
    """Evidence float32 of a torch network, in `eval()` mode."""

    @torch.no_grad()
    def run(windows: Windows) -> NDArray[Any]:
        found = net.evidence(torch.from_numpy(to_millivolts(windows)).unsqueeze(1))
        return np.asarray(found.float().numpy())

    return run


def integer_windows(graph: IntegerGraph, kernels: Kernels = "reference") -> RunWindows:
    """Evidence int8 of an int8 model of `CROP_SPAN` samples, run by LiteRT itself."""
    model = write_tflite(graph)

    def run(windows: Windows) -> NDArray[Any]:
        return run_litert(model, windows[:, :, None], kernels)["evidence"].transpose(0, 2, 1)

    return run

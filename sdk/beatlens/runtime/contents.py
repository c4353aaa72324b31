"""What a bundle holds, as checked data: the base of `Bundle`, which opens, writes and runs them.

Engines, chains and streams take this, and `Bundle` makes them; so imports go one way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.manifest import Manifest

Int8 = NDArray[np.int8]


@dataclass(frozen=True)
class Golden:
    """Golden vectors, int8: `inputs` `[n, N]`, `evidence` `[n, T, C]`, `logits` `[n, C]`."""

    inputs: Int8
    evidence: Int8
    logits: Int8


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents(Manifest):
    """A model that is ready to run.

    Attributes (and those of `Manifest`):
        tflite: the bytes of `model.tflite`.
        packed: the bytes of `weights.blpk`, which hold exactly the parameters of `model.tflite`.
        golden: inputs with the outputs that every engine must give for them.
    """

    tflite: bytes
    packed: bytes
    golden: Golden

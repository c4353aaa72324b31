"""Writes `corpus/`: what the C fuzz targets start from. Simulated data only.

    python -m tests.fuzz.make_corpus

Packed tensors of every coding and structure, as encoded by `beatlens.packed`; for the stream,
simulated ECG at every sensor's rate with gaps, flat segments and rails; for the detector of R
peaks, simulated ECG behind the front end.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from beatlens.packed import encode_tensor
from beatlens.signals.frontend import FrontEnd

from ..packed import tensors
from ..runtime.cases import ecg_counts
from .targets import CORPUS, RATES_HZ

COUNTS, CONSTANT, GAP, LONG_GAP, END = range(5)
"""Calls, as `stream_fuzz.c` numbers them."""
PIECE = 64
SHAPES = ((3, 5, 4), (8, 1, 12))
LARGEST_BYTES = 150


def unpack_seeds() -> dict[str, bytes]:
    """Packed tensors by name."""
    rng = np.random.default_rng(1)
    made = {
        f"{make.__name__}-{'x'.join(map(str, shape))}": encode_tensor(make(rng, shape))
        for make in tensors.MAKERS
        for shape in SHAPES
    }
    return {name: packed for name, packed in made.items() if len(packed) <= LARGEST_BYTES}


def counts_call(counts: np.ndarray) -> bytes:
    """Calls that push counts."""
    pieces = [counts[i : i + PIECE] for i in range(0, len(counts), PIECE)]
    return b"".join(
        struct.pack(f">BB{len(piece)}H", COUNTS, len(piece), *(piece.astype(int) + 32768))
        for piece in pieces
    )


def constant_call(value: int, times: int) -> bytes:
    """A call that pushes about the same count many times."""
    return struct.pack(">BHH", CONSTANT, times, value + 32768)


def task(sensor: int, span: int, hop: int, left: int = 8) -> bytes:
    """The task that an input begins with; some of a span may be unusable."""
    return bytes([sensor, span - 1, hop - 1, left, 40, 20])


def stream_seeds() -> dict[str, bytes]:
    """Sequences of calls by name."""
    found = {}
    for sensor, rate in enumerate(RATES_HZ):
        ecg = counts_call(ecg_counts(0.9 if rate > 500 else 1.8, rate, seed=rate))
        found[f"ecg-{rate}"] = task(sensor, 16, 8) + ecg
        found[f"gaps-{rate}"] = (
            task(sensor, 8, 8)
            + counts_call(ecg_counts(0.3, rate, seed=rate))
            + struct.pack(">BB", GAP, 3)
            + constant_call(12, min(2 * rate, 2000))
            + struct.pack(">BI", LONG_GAP, 70 * rate)
            + constant_call(-50, rate)
        )
        found[f"rails-{rate}"] = (
            task(sensor, 40, 5) + constant_call(2047, rate) + constant_call(-32768, rate)
            + constant_call(0, 2 * rate) + bytes([END, 0, COUNTS, 1, 0, 0])
        )  # fmt: skip
    return found


def qrs_seeds() -> dict[str, bytes]:
    """How often they come, and samples of the front end, by name."""
    found = {}
    for seed in range(4):
        x = FrontEnd(250, 200.0).run(ecg_counts(10, 250, seed=seed)).x
        falling = x.copy()
        falling[400:] //= 4
        found[f"ecg-{seed}"] = bytes([seed]) + x.tobytes()
        found[f"falling-{seed}"] = bytes([15]) + falling[:800].tobytes() + bytes(300)
    return found


SEEDS = {"qrs": qrs_seeds, "unpack": unpack_seeds, "stream": stream_seeds}


def write_corpus(folder: Path = CORPUS) -> None:
    """A file per seed, in a folder per target."""
    for target, make in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in make().items():
            (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    write_corpus()

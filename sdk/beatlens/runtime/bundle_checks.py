"""What is checked of a bundle when it is opened, beside the sums of its files.

1. `bundle.json` describes the network in `model.tflite`, and `weights.blpk` holds its parameters.
2. `decision_sha256` in `bundle.json` is that of what decides: labels, thresholds, rules, scales,
   the network, and the golden vectors. Bundles made before this field was there have none.
3. The network, run by the integer simulator, gives the golden outputs for the golden inputs, bit
   for bit. This is done once per content in a process.

Together they find files of different models, damage, and changes by hand. They do not find a bundle
that somebody made on purpose with other labels: who can write all files can compute all sums anew.
Only a signature by the maker shows who made a bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.graph import Convolution, IntegerGraph
from beatlens.integer.ops import output_length
from beatlens.integer.packing import check_model
from beatlens.integer.simulate import simulate
from beatlens.runtime.contents import Contents
from beatlens.runtime.folder import GOLDEN, MANIFEST, MODEL, PACKED

DECISION_KEY = "decision_sha256"
NOT_DECIDING = frozenset({"measured", "versions", DECISION_KEY})
"""Of `bundle.json`: what changes no finding."""
MAX_MACS = 1 << 32
"""Multiply-accumulates of one window; a file of a few bytes may ask for 2^40 and more."""
MAX_UNFOLDED = 1 << 27
"""Values that one convolution may read for one window, each as often as it is read."""
MACS_AT_ONCE = 1 << 28

_replayed: set[bytes] = set()
"""Digests of networks with golden vectors that agreed, in this process."""


def decision_sha256(document: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """The digest of all that decides.

    Args:
        document: the content of `bundle.json`, as parsed.
        files: at least `model.tflite` and the golden vectors, by name.
    """
    deciding = {key: document[key] for key in document if key not in NOT_DECIDING}
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode())
    for name in (MODEL, *GOLDEN.values()):
        digest.update(hashlib.sha256(files[name]).digest())
    return digest.hexdigest()


def check_decision(document: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Raise ModelError if what decides is not what it was when the bundle was made."""
    kept = document.get(DECISION_KEY)
    if kept is None:
        return
    found = decision_sha256(document, files)
    if kept != found:
        raise ModelError(
            f"{MANIFEST}: {DECISION_KEY} is {str(kept)[:12]!r}..., expected {found[:12]!r}...: a "
            "label, a threshold, a rule, the network or a golden vector was changed after the "
            "bundle was made; get the bundle again"
        )


def check_packed(bundle: Contents, graph: IntegerGraph) -> None:
    """Raise ModelError if `weights.blpk` does not hold the parameters of this network."""
    if len(bundle.packed) != bundle.packed_bytes:
        raise ModelError(
            f"{MANIFEST}: packed_bytes is {bundle.packed_bytes}, expected {len(bundle.packed)}, "
            f"the size of {PACKED}; the files are not of one model, get the bundle again"
        )
    try:
        check_model(bundle.packed, graph)
    except ModelError as error:
        raise ModelError(f"{PACKED}: {error}") from error


def check_golden(bundle: Contents, graph: IntegerGraph) -> None:
    """Raise ModelError if the network does not give the golden outputs for the golden inputs.

    Costs 5 to 110 ms of one core for the released models, and nothing the second time.
    """
    golden = bundle.golden
    parts = (bundle.tflite, *(getattr(golden, key).tobytes() for key in GOLDEN))
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    if digest in _replayed:
        return
    _check_work(graph)
    at_once = max(1, MACS_AT_ONCE // max(graph.macs, 1))
    for start in range(0, len(golden.inputs), at_once):
        part = slice(start, start + at_once)
        found = simulate(graph, np.ascontiguousarray(golden.inputs[part])[:, :, None])
        for role in ("evidence", "logits"):
            _check_same(role, start, found[role], getattr(golden, role)[part])
    _replayed.add(digest)


def _check_same(role: str, start: int, found: NDArray[np.int8], wanted: NDArray[np.int8]) -> None:
    off = np.abs(found.astype(int) - wanted.astype(int)).reshape(len(found), -1)
    if off.any():
        case = int(off.any(axis=1).argmax())
        raise ModelError(
            f"{GOLDEN[role]}: {role} of golden vector {start + case} differs from what {MODEL} "
            f"gives in {np.count_nonzero(off[case])} of {off[case].size} values, by up to "
            f"{off[case].max()} LSB, expected none; a file was changed or is of another model, "
            "get the bundle again"
        )


def _check_work(graph: IntegerGraph) -> None:
    """Raise ModelError for a network that takes this machine minutes or all of its memory."""
    if graph.macs > MAX_MACS:
        _too_large("multiply-accumulates for a window", graph.macs, MAX_MACS)
    for op in graph.ops:
        if isinstance(op, Convolution):
            columns = output_length(op, graph.tensors[op.input].length)
            unfolded = columns * op.input_channels * op.kernel
            if unfolded > MAX_UNFOLDED:
                _too_large(f"values that {op.name} reads for a window", unfolded, MAX_UNFOLDED)


def _too_large(what: str, found: int, most: int) -> NoReturn:
    raise ModelError(
        f"{MODEL}: has {found} {what}, at most {most} are run; expected a network for a wearable"
    )

"""Opens and runs a bundle whose network was changed in one bit, with all sums computed anew.

    python one_bit_changes.py BUNDLE SEED FIRST LAST [--packed]

Changes number FIRST to LAST of a random sequence. With `--packed`, `weights.blpk` is made anew as
well where the changed network can be read. Prints one line of JSON for each: what the change gave.
Runs with numpy and an interpreter alone; the interpreter that is installed is used.
"""

from __future__ import annotations

import json
import random
import sys
from contextlib import suppress
from pathlib import Path

from beatlens.errors import BeatlensError
from beatlens.integer.packing import pack_model
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.bundle_checks import decision_sha256
from beatlens.runtime.folder import FILES, MANIFEST, MODEL, PACKED


def changed(files: dict[str, bytes], position: int, packed: bool) -> dict[str, bytes]:
    """The files with one bit of the network changed."""
    data = bytearray(files[MODEL])
    data[position // 8] ^= 1 << position % 8
    document = json.loads(files[MANIFEST])
    made = {**files, MODEL: bytes(data)}
    if packed:
        with suppress(BeatlensError):  # which opening it gives again
            made[PACKED] = pack_model(read_tflite(made[MODEL]))
        document["packed_bytes"] = len(made[PACKED])
    document["decision_sha256"] = decision_sha256(document, made)
    return {**made, MANIFEST: json.dumps(document).encode()}


def outcome(files: dict[str, bytes]) -> str:
    """What opening and running gave: "refused", "wrong" bits, or "right" ones."""
    try:
        bundle = Bundle._read(files)
        engine = bundle.engine()
    except BeatlensError:
        return "refused"
    try:
        bundle.verify(engine)
    except BeatlensError:
        return "wrong"
    return "right"


def main(folder: str, seed: str, first: str, last: str, *options: str) -> None:
    files = {name: (Path(folder) / name).read_bytes() for name in FILES}
    places = random.Random(int(seed))
    for number in range(int(last)):
        position = places.randrange(8 * len(files[MODEL]))
        if number < int(first):
            continue
        try:
            found = outcome(changed(files, position, "--packed" in options))
        except Exception as error:  # anything else is a defect, and named
            found = f"{type(error).__name__}: {error}"
        print(json.dumps({"number": number, "position": position, "found": found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

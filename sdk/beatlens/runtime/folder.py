"""The files of a bundle on disk: written whole or not at all, read only as they were written.

    bundle.json  model.tflite  weights.blpk
    golden_inputs.bin  golden_evidence.bin  golden_logits.bin  SHA256SUMS

`SHA256SUMS` is in the format of `sha256sum`, so that `sha256sum -c SHA256SUMS` checks a bundle
without beatlens. The sums show damage; they do not show who made the bundle.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from beatlens.errors import ModelError

MANIFEST, MODEL, PACKED, SUMS = "bundle.json", "model.tflite", "weights.blpk", "SHA256SUMS"
GOLDEN = {
    "inputs": "golden_inputs.bin",
    "evidence": "golden_evidence.bin",
    "logits": "golden_logits.bin",
}
FILES = (MANIFEST, MODEL, PACKED, *GOLDEN.values())
MAX_FILE = 32 << 20
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9_.-]{1,100})")


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of a bundle, by name, after checking each against `SHA256SUMS`.

    Only the names in `FILES` are ever opened, whatever the folder lists; links are not
    followed. Raises ModelError if a file is missing, too large, a link, or not as it was written.
    """
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: no such folder, expected a bundle (a folder with {MANIFEST}, {MODEL}, ...)"
        )
    sums = _sums(folder)
    files = {name: _read(folder / name) for name in FILES}
    for name, data in files.items():
        found = hashlib.sha256(data).hexdigest()
        if found != sums[name]:
            raise ModelError(
                f"{folder / name}: SHA-256 is {found[:12]}..., expected {sums[name][:12]}... as in "
                f"{SUMS}; the file was changed or damaged, get the bundle again"
            )
    return files


def write_folder(folder: Path, files: Mapping[str, bytes], *, replace: bool) -> None:
    """Write the files and their sums into a new folder that appears complete or not at all.

    With `replace` an older bundle in the same place is removed; a folder that holds anything else
    never is. Raises ModelError if there is something in the way, or the disk refuses.
    """
    folder = Path(os.path.abspath(folder))  # a name of its own, even for "."; links are kept
    check_free(folder, replace)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    old = part.with_suffix(".old")
    try:
        part.mkdir(parents=True)
        for name in FILES:
            (part / name).write_bytes(files[name])
        lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in FILES]
        (part / SUMS).write_text("".join(lines), encoding="ascii")
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        raise ModelError(f"{folder}: the bundle cannot be written ({error})") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def check_free(folder: Path, replace: bool) -> None:
    """Raise ModelError where a bundle cannot be written: something else is in the way."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise ModelError(f"{folder}: is not a folder, expected a name that is free")
    others = sorted(path.name for path in folder.iterdir() if path.name not in (*FILES, SUMS))
    if others:
        raise ModelError(
            f"{folder}: holds {others[0]!r}, which is no part of a bundle; "
            "give the bundle a folder of its own"
        )
    if not replace:
        raise ModelError(f"{folder}: exists already; remove it, or ask for it to be replaced")


def _read(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ModelError(f"{path}: no such file, expected one (not a link) in every bundle")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    if len(data) > MAX_FILE:
        raise ModelError(f"{path}: larger than {MAX_FILE} bytes, the most that is read")
    return data


def _sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    text = _read(path).decode("ascii", errors="replace")
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _SUM_LINE.fullmatch(line)
        if not match or match[2] not in FILES or match[2] in sums:
            raise ModelError(
                f"{path}: line {number} is {line[:60]!r}, expected the SHA-256 of each of "
                f"{', '.join(FILES)} once"
            )
        sums[match[2]] = match[1]
    if missing := [name for name in FILES if name not in sums]:
        raise ModelError(f"{path}: has no line for {missing[0]}")
    return sums

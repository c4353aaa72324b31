"""Objects of the firmware's library, compiled once a run for each compiler and set of options.

Many tests link the same sources with a model of their own. A source is known by its text and that
of the headers, so copies in a package count as the source itself. As a command, it stands in for a
compiler: `python objects.py FOLDER cc OPTIONS... src/bl_net.c main.c -o program`.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

COMPILING = ("-std", "-W", "-D", "-O", "-f", "-g", "-m")
"""How options begin that change an object; those of the linker and folders do not."""


@cache
def folder() -> Path:
    """The folder of this process's objects, deleted when it ends."""
    made = Path(tempfile.mkdtemp(prefix="beatlens-objects-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def with_objects(
    compiler: str, options: Sequence[str], sources: Sequence[Path], to: Path
) -> list[Path]:
    """The sources, those of the library as objects in the folder `to`.

    Raises:
        subprocess.CalledProcessError: the compiler refuses a source; what it wrote is on stderr.
    """
    options = [o for o in options if o.startswith(COMPILING) and not o.startswith("-Wl,")]
    return [
        _compiled(compiler, options, source, to)
        if source.suffix == ".c" and source.parent.name == "src"
        else source
        for source in sources
    ]


def _compiled(compiler: str, options: Sequence[str], source: Path, to: Path) -> Path:
    include = source.parents[1] / "include"
    known = hashlib.sha256("\0".join((compiler, *options)).encode())
    for path in (source, *sorted(include.rglob("*.h")), *sorted(source.parent.rglob("*.h"))):
        known.update(path.name.encode() + b"\0" + path.read_bytes())
    made = to / f"{source.stem}-{known.hexdigest()[:32]}.o"
    if not made.exists():
        part = made.with_suffix(f".{os.getpid()}.o")
        subprocess.run([compiler, *options, f"-I{include}", "-c", source, "-o", part], check=True)
        part.replace(made)
    return made


def main() -> int:
    """Compile as the compiler would, the library's sources from their objects."""
    to, compiler, *words = sys.argv[1:]
    replaced = [
        with_objects(compiler, words, [Path(word)], Path(to))[0] if word.endswith(".c") else word
        for word in words
    ]
    return subprocess.run([compiler, *replaced], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

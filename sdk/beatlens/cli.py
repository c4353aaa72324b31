"""The command `beatlens`: runs a verb, and says in one line what is wrong or missing."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from beatlens.errors import BeatlensError

_EXTRAS = {"typer": "litert", "rich": "litert", "ai_edge_litert": "litert", "flatbuffers": "litert"}
"""By package, the extra that brings it; all others come with `train,litert`."""


def main() -> None:
    """Run the command line of `beatlens`."""
    run("beatlens", _load_verbs)


def _load_verbs() -> Callable[..., Any]:
    from beatlens.verbs.app import app

    return app


def run(name: str, load: Callable[[], Callable[..., Any]]) -> None:
    """Run a command line; exit 1 with one sentence on stderr where a verb cannot go on.

    That is: an error that beatlens raises on purpose, a file that the system refuses (a full disk,
    a folder that may not be written to), a package that is not installed. Wrong usage exits 2 and
    Ctrl-C 130. Any other error is a fault of the program and keeps its traceback.

    Args:
        name: how the command is called.
        load: gives the command, so that a package that it imports and that is not installed is
            reported too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A terminal without UTF-8 shows ? for a dash.
            stream.reconfigure(errors="replace")
    try:
        app = load()
        try:
            app(prog_name=name)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # Here, not at exit: a full disk is then reported as below.
    except BeatlensError as error:
        sys.exit(f"{name}: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "beatlens":
            raise
        package = error.name.partition(".")[0]
        sys.exit(
            f"{name}: this command needs the Python package {package!r}, which is not installed. "
            f"Install it with: pip install 'beatlens[{_EXTRAS.get(package, 'train,litert')}]'"
        )
    except OSError as error:
        _discard_output()
        sys.exit(1 if isinstance(error, BrokenPipeError) else f"{name}: {refusal(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def refusal(error: OSError) -> str:
    """What the system refused, in a sentence.

    >>> refusal(OSError(28, "No space left on device", "findings/a.jsonl"))
    'findings/a.jsonl: no space left on device'
    >>> refusal(OSError(28, "No space left on device"))
    'a file cannot be read or written: no space left on device'
    """
    reason = error.strerror or str(error) or type(error).__name__
    what = error.filename
    named = os.fsdecode(what) if isinstance(what, str | bytes) else None
    return f"{named or 'a file cannot be read or written'}: {reason[:1].lower()}{reason[1:]}"


def _discard_output() -> None:
    """Drop what stdout still holds, so that Python does not try to write it again at exit.

    The reader of a pipe may have gone away, as `| head` does, or the disk may be full.
    """
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())

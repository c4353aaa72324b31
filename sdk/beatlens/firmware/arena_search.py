"""Searches the smallest arena that TensorFlow Lite Micro loads a model in.

    python arena_search.py model.tflite

Prints one line of JSON: `arena_bytes`, and `version` of silabs-mltk, whose compiled interpreter is
used. Exits with 3 where that is not installed, with 4 if it does not accept the model.

This file knows nothing of beatlens and needs nothing but silabs-mltk: that wants numpy < 2, so it
lives in an environment of its own, where beatlens may be missing.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

MAX_ARENA = 1 << 20
NOT_INSTALLED, NOT_ACCEPTED = 3, 4


def load_tflm() -> Any:
    """The compiled extension inside silabs-mltk; importing its package would need TensorFlow.

    Raises ImportError where it is not installed.
    """
    package = importlib.util.find_spec("mltk")
    if package is None or not package.submodule_search_locations:
        raise ImportError("silabs-mltk is not installed")
    folder = Path(package.submodule_search_locations[0]) / "core" / "tflite_micro"
    paths = sorted(folder.glob("_tflite_micro_wrapper.*"))
    if not paths:
        raise ImportError(f"{folder} has no _tflite_micro_wrapper")
    name = "_tflite_micro_wrapper"
    loader = importlib.machinery.ExtensionFileLoader(name, str(paths[0]))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def load_into(wrapper: Any, model: bytes, arena_bytes: int) -> Any:
    """An interpreter with a model in an arena of this size, or None."""
    interpreter = wrapper.TfliteMicroModelWrapper()
    # No accelerator, profiler, recorders or overlapping buffers.
    loaded = interpreter.load(model, None, False, False, False, False, [arena_bytes])
    return interpreter if loaded else None


def arena_suffices(wrapper: Any, model: bytes, arena_bytes: int) -> bool:
    """Whether the model loads in an arena of this size.

    Tried in a child process: TFLM's MEAN does not check whether it got its scratch memory, so that
    an arena a little too small is a crash (which is also why the search silabs-mltk offers fails).
    """
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(0 if load_into(wrapper, model, arena_bytes) else 1)
    return os.waitpid(child, 0)[1] == 0


def smallest_arena(wrapper: Any, model: bytes) -> int | None:
    """Bytes of the smallest arena the model loads in, to a multiple of 16; None if in no arena."""
    low, high = 0, MAX_ARENA // 16
    if not arena_suffices(wrapper, model, 16 * high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if arena_suffices(wrapper, model, 16 * middle) else (middle, high)
    return 16 * high


def main(model: str) -> int:
    """Run the search; returns the exit code."""
    try:
        wrapper = load_tflm()
    except ImportError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    wrapper.init()
    found = smallest_arena(wrapper, Path(model).read_bytes())
    if found is None:
        print(f"TFLM does not load it in {MAX_ARENA} bytes", file=sys.stderr)
        return NOT_ACCEPTED
    print(json.dumps({"arena_bytes": found, "version": importlib.metadata.version("silabs-mltk")}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

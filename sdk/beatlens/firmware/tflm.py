"""TensorFlow Lite Micro projects: a model as C, its operators, and the chain of firmware around it.

A project is a folder that ESP-IDF, Zephyr, PlatformIO and Arduino take as it is:

    README.md  CMakeLists.txt  idf_component.yml  library.json  library.properties
    zephyr/    module.yml  CMakeLists.txt  Kconfig
    src/       NAME.h, NAME.cc       the interface in C, and the interpreter behind it
               NAME_model_data.*     the .tflite file
               NAME_resolver.h       the operators it uses
               NAME_sensor.*, NAME_task.*, beatlens.*, bl_*.*    front end, decisions, findings

It depends on TensorFlow Lite Micro and holds none of its code. Texts that are not C constants are
the templates in `firmware_export/tflm/`.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from beatlens.c_source.files import c_folder
from beatlens.c_source.sensor import sensor_source
from beatlens.c_source.text import CSource, check_identifier, guarded, wrapped
from beatlens.errors import ModelError, RecipeError
from beatlens.firmware.arena import Arena, measure_arena
from beatlens.firmware.mve import CORES, MVE_CORES, mve_unsafe
from beatlens.firmware.tflm_operators import resolver_header
from beatlens.firmware.tflm_words import Project
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle, derive_geometry
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd

SHARED = (
    "src/beatlens.c",
    "src/bl_lead.c",
    "src/bl_frontend.c",
    "include/beatlens.h",
    "include/bl_error.h",
    "include/bl_frontend.h",
    "include/bl_lead.h",
    "include/bl_net.h",
    "include/bl_qrs.h",
    "include/bl_qrs_shapes.h",
    "include/bl_version.h",
    "include/bl_window_rhythm.h",
)
PACKAGING = (
    "README.md",
    "CMakeLists.txt",
    "idf_component.yml",
    "library.json",
    "library.properties",
    "zephyr/module.yml",
    "zephyr/CMakeLists.txt",
    "zephyr/Kconfig",
)
MAX_ARENA = (1 << 31) - 1
_PLACE = re.compile(r"@([a-z_]+)@")


def tflm_model(tflite: bytes, folder: Path | str, name: str) -> list[Path]:
    """Write a model of any project as C++ for TensorFlow Lite Micro.

    Args:
        tflite: the bytes of a `.tflite` file.
        folder: a new folder, which gets NAME_model_data.h, NAME_model_data.cc and NAME_resolver.h.
        name: a C identifier.

    Returns:
        The files.

    Raises:
        RecipeError: the name is not a C identifier.
        ModelError: the file is damaged or uses an operator that is not known here, or the folder
            is in use or cannot be written.
    """
    check_identifier(name, "the model")
    return _write(Path(folder), _model_files(bytes(tflite), name))


def tflm_project(
    bundle: Bundle,
    frontend: FrontEnd,
    folder: Path | str,
    name: str,
    limits: Limits | None = None,
    arena_bytes: int | None = None,
    *,
    core: str | None = None,
    tflm_python: Path | str | None = None,
) -> list[Path]:
    """Write a project that runs a bundle on TensorFlow Lite Micro: counts in, findings out.

    Args:
        bundle: of a streaming network with one lead.
        frontend: rate, gain and rails of the sensor; its samples become steps of the bundle's.
        folder: a new folder for it.
        name: a C identifier; files and functions begin with it.
        limits: how much of a span may be bad, as for a `Stream`.
        arena_bytes: of the interpreter's arena. None measures it where a TensorFlow Lite Micro is
            at hand; where none is, the project says that it has to be measured, and how.
        core: the Cortex-M it is for, such as "m4"; None is any. A model that CMSIS-NN gets wrong
            on cores with MVE is refused for those; else the project warns of them.
        tflm_python: the Python of an environment with silabs-mltk, to measure the arena with; this
            one if None.

    Returns:
        The files.

    Raises:
        RecipeError: name, core, arena or Python cannot be used; the message says which.
        SignalError: the sensor's counts are not of 16 bit.
        ModelError: the bundle cannot run this way (the message says why), or the folder is in use
            or cannot be written.
    """
    _check_options(name, arena_bytes, core)
    folder = Path(folder)
    _check_free(folder)
    graph = read_tflite(bundle.tflite)
    unsafe = _check_network(graph, core)
    # Nothing but what was read and checked: TFLM follows every offset of a file unchecked.
    bundle = replace(bundle, tflite=write_tflite(graph))
    kind, frontend = bundle.kind, frontend.with_lsb(bundle.lsb_mv)
    parts = kind.write_tflm(bundle, frontend, name, limits or kind.limits)
    files = {
        **_model_files(bundle.tflite, name),
        **_pair(f"{name}_task", parts.task),
        **_pair(f"{name}_sensor", sensor_source(frontend, f"{name}_sensor")),
    }
    for path in (*SHARED, *parts.sources):
        files[Path(path).name] = (c_folder() / path).read_text(encoding="ascii")
    if arena_bytes is None:
        arena = measure_arena(bundle.tflite, tflm_python)
    else:
        arena = Arena(arena_bytes, "as given when this was exported")
    own = (f"{name}.h", f"{name}.cc")
    sources = sorted(f"src/{path}" for path in (*files, *own) if path.endswith((".c", ".cc")))
    values = Project(name, bundle, frontend, parts.memory_bytes, arena, unsafe).values(sources)
    files |= {path: _filled(f"name{Path(path).suffix}", values) for path in own}
    placed = {f"src/{path}": text for path, text in files.items()}
    return _write(folder, placed | {path: _filled(path, values) for path in PACKAGING})


def _check_options(name: str, arena_bytes: int | None, core: str | None) -> None:
    check_identifier(name, "the project")
    taken = {Path(path).stem for path in SHARED}
    if name.lower() in taken:
        raise RecipeError(
            f"name of the project is {name!r}, expected none of {', '.join(sorted(taken))}: those "
            "are files of every project"
        )
    if core is not None and core not in CORES:
        raise RecipeError(f"core is {core!r}, expected one of {', '.join(CORES)}")
    if arena_bytes is not None and not 0 < arena_bytes <= MAX_ARENA:
        raise RecipeError(f"arena is {arena_bytes} bytes, expected 1 to {MAX_ARENA}")


def _check_network(graph: IntegerGraph, core: str | None) -> list[tuple[str, str]]:
    """What CMSIS-NN gets wrong of it on cores with MVE, if `core` is none of them."""
    derive_geometry(graph)  # refuses padding: columns would depend on where a window starts
    unsafe = mve_unsafe(graph)
    if core in MVE_CORES and unsafe:
        operator, reason = unsafe[0]
        raise ModelError(
            f"operator {operator!r}: {reason}, expected none that CMSIS-NN gets wrong on {core}; "
            "use lengths without left-over samples, or beatlens' own engine"
        )
    return unsafe


def _model_files(tflite: bytes, name: str) -> dict[str, str]:
    """The model and its operators, text by file name."""
    resolver = resolver_header(tflite, name)  # first: it refuses what is no model
    header = guarded(
        f"{name}_model_data",
        "/* A .tflite file. */\n"
        f"extern const unsigned char {name}_model_data[];\n"
        f"extern const unsigned int {name}_model_data_bytes;\n",
    )
    source = (
        f'/* Made by beatlens. */\n#include "{name}_model_data.h"\n\n'
        f"alignas(16) const unsigned char {name}_model_data[{len(tflite)}] = {{\n"
        f"{wrapped(tflite)}\n}};\n\n"
        f"const unsigned int {name}_model_data_bytes = {len(tflite)};\n"
    )
    return {
        f"{name}_model_data.h": header,
        f"{name}_model_data.cc": source,
        f"{name}_resolver.h": resolver,
    }


def _pair(name: str, made: CSource) -> dict[str, str]:
    return {f"{name}.h": made.header, f"{name}.c": made.source}


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template of `firmware_export/tflm/` with its places filled."""
    text = (c_folder() / "tflm" / f"{template}.in").read_text(encoding="ascii")
    return _PLACE.sub(lambda place: values[place[1]], text)


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ModelError(f"{folder}: is not a folder, expected a name that is free")
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder}: holds files already, expected a new or an empty folder")


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write a folder that appears complete or not at all."""
    folder = Path(os.path.abspath(folder))  # a name of its own, even for "."
    _check_free(folder)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        for path, text in files.items():
            written = part / path
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text, encoding="ascii", newline="\n")
        part.replace(folder)  # an empty folder in its place gives way
    except OSError as error:
        raise ModelError(f"{folder}: the project cannot be written ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / path for path in sorted(files)]

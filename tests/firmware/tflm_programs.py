"""TensorFlow Lite Micro projects as programs for this machine, and .tflite files with faults.

There is no TensorFlow Lite Micro here to link with. What a project uses of its headers is in
`tflm_double/`, whose interpreter computes with beatlens' own engine.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from beatlens.c_source.files import c_folder
from beatlens.firmware import lay_out, model_source, tflm_project
from beatlens.integer.tflite_read import operators, output_position, read_tflite
from beatlens.integer.tflite_schema import IDENTIFIER
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd

from .compiled import HERE, SANITIZERS, WARNINGS, run_c, source, write_c

DOUBLE = HERE / "tflm_double"
CXX = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti")
ENGINE = [f"-Dbl_net_{verb}=engine_{verb}" for verb in ("init", "push", "reset", "end")]
ARENA = 4096  # of the double, which knows no tensors but inputs and outputs


def compiler(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"NO COMPILER ({name}): the TensorFlow Lite Micro project was not compiled")
    return path


@dataclass
class Program:
    """A project, compiled with the double and the harness."""

    folder: Path
    cc: str = "gcc"
    cxx: str = "g++"

    def object(self, path: Path, *options: str, sanitizers: tuple[str, ...] = SANITIZERS) -> Path:
        """One source, compiled."""
        out = self.folder / f"{path.stem}{path.suffix}.o"
        plain_c = path.suffix == ".c"
        flags = WARNINGS if plain_c else CXX
        includes = [f"-I{folder}" for folder in (self.folder, self.folder / "project/src", DOUBLE)]
        command = [compiler(self.cc if plain_c else self.cxx), *flags, *sanitizers, *includes]
        command += [*options, "-c", path, "-o", out]
        subprocess.run(command, check=True)
        return out

    def build(self, bundle: Bundle, evidence: int = 1) -> Path:
        """The program; `evidence` is where the double has it among its outputs."""
        plan = lay_out(read_tflite(bundle.tflite))
        engine = write_c(model_source(plan, "engine_net"), self.folder, "engine_net")
        include = f"-I{c_folder() / 'include'}"
        listed = ", ".join(f'"{kind}"' for kind in operators(bundle.tflite))
        double = (
            f"-DDOUBLE_EVIDENCE={evidence}",
            f"-DDOUBLE_OPERATORS={listed}",
            f"-DDOUBLE_WINDOW={bundle.input_length}",
            f"-DDOUBLE_COLUMNS={bundle.span_columns}",
        )
        objects = [
            self.object(path)
            for path in sorted((self.folder / "project" / "src").iterdir())
            if path.suffix in (".c", ".cc")
        ]
        objects += [self.object(source("bl_net"), include, *ENGINE)]
        objects += [self.object(path, include) for path in (source("bl_kernels"), engine)]
        objects += [self.object(DOUBLE / "interpreter.cc", include, *double)]
        objects += [self.object(HERE / "tflm_harness.c", f"-DHARNESS_ARENA={ARENA}")]
        program = self.folder / "strips"
        subprocess.run([compiler(self.cxx), *SANITIZERS, *objects, "-o", program], check=True)
        return program


def build(bundle: Bundle, frontend: FrontEnd, folder: Path, **options: object) -> Path:
    """A project of one bundle and one sensor as a program for this machine."""
    tflm_project(bundle, frontend, folder / "project", "strips", arena_bytes=ARENA, **options)  # type: ignore[arg-type]
    written = write_tflite(read_tflite(bundle.tflite))  # what a project holds
    return Program(folder).build(bundle, output_position(written, "evidence"))


def dumped(folder: Path, name: str) -> bytes:
    """The bytes of NAME_model_data as a compiler lays them down; they must be aligned."""
    main = folder / "dump.cc"
    main.write_text(
        f'#include <stdint.h>\n#include <stdio.h>\n#include "{name}_model_data.h"\n'
        "int main()\n{\n"
        f"    if (reinterpret_cast<uintptr_t>({name}_model_data) % 16 != 0)\n        return 1;\n"
        f"    fwrite({name}_model_data, 1, {name}_model_data_bytes, stdout);\n"
        "    return 0;\n}\n"
    )
    sources = [main, folder / f"{name}_model_data.cc"]
    command = [compiler("g++"), *CXX, f"-I{folder}", *sources, "-o", folder / "dump"]
    subprocess.run(command, check=True)
    return run_c(folder / "dump", b"")


def edited(data: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    """A .tflite file with something changed."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    edit(model)
    builder = Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def with_outputs(data: bytes, change: Callable[[list[int]], object]) -> bytes:
    """A .tflite file with other outputs, or in another order."""

    def edit(model: schema.ModelT) -> None:
        outputs = [int(index) for index in model.subgraphs[0].outputs]
        change(outputs)
        model.subgraphs[0].outputs = outputs

    return edited(data, edit)

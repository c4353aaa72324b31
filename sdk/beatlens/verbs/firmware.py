"""`beatlens firmware MODEL`: a model as C for a microcontroller."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import ModelError, RecipeError
from beatlens.verbs.options import complete_names

CORES = ("any", "m0", "m3", "m4", "m7", "m33", "m4-long", "m7-long", "m33-long", "m55")
"""Names of `beatlens.firmware.cores.CORES`, for help."""
RATES_HZ = (125, 128, 200, 250, 256, 300, 360, 500, 512, 1000)
"""`beatlens.signals.frontend.RATES_HZ`, for help."""
Core = Annotated[
    str,
    typer.Option(
        metavar="CORE",
        help=f"Core that the kernels are chosen for: {', '.join(CORES)}. With -long: fewest "
        "instructions, twice the flash for weights. `any` is portable C.",
    ),
]


def firmware(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete_names,
            help="A released model's name or a bundle's folder (the whole chain), or a .tflite "
            "(network alone).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Name of the new folder. (default: NAME_firmware)"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="C identifier of the model. (default: made from its name)"
        ),
    ] = None,
    core: Core = "any",
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="HZ",
            help=f"Sampling rate of the sensor in Hz: {', '.join(map(str, RATES_HZ))}.",
        ),
    ] = None,
    counts_per_mv: Annotated[
        float | None, typer.Option(metavar="GAIN", help="Gain of the sensor, in counts per mV.")
    ] = None,
    rails: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="LOW HIGH", help="Lowest and highest count of the sensor. (default: 16 bits)"
        ),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Input columns that the network works on at once. More is faster, and needs more "
            "memory.",
        ),
    ] = None,
    tflm: Annotated[
        bool,
        typer.Option(
            "--tflm", help="Write a project for TensorFlow Lite Micro, not for our engine."
        ),
    ] = False,
    arena_bytes: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            help="With --tflm: size of the arena, where it cannot be measured on this computer.",
        ),
    ] = None,
    tflm_python: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --tflm: a Python that has silabs-mltk, to measure the arena with.",
        ),
    ] = None,
) -> None:
    """Write a model as C for a microcontroller.

    The new folder holds C source of the model and the engine, golden vectors with a self-test, and
    build files. For a bundle the C takes the sensor's counts and gives findings with their
    evidence; --rate and --counts-per-mv are needed. For a .tflite it runs the network alone: int8
    in, evidence out.

    With --tflm the folder is a project for ESP-IDF, Zephyr, PlatformIO and Arduino, in which
    TensorFlow Lite Micro runs the network.
    """
    from beatlens.firmware import tflm_model, tflm_project
    from beatlens.firmware.cores import find_core
    from beatlens.firmware.package import write_bundle, write_network
    from beatlens.runtime.bundle import Bundle
    from beatlens.runtime.folder import MANIFEST
    from beatlens.runtime.released import find_bundle, released_names
    from beatlens.signals.frontend import FrontEnd
    from beatlens.verbs.show import console

    if str(model) in released_names():
        model = find_bundle(model)
    if (model / MANIFEST).is_file():
        bundle = Bundle.load(model)
        if bundle.decision_sha256 is None:
            console.print(
                f"note: {MANIFEST} has no decision_sha256 (an older beatlens made it): a change of "
                "its labels or thresholds cannot be seen; export the bundle again",
                soft_wrap=True,
            )
        chosen = name or identifier(bundle.name)
        if rate is None or counts_per_mv is None:
            raise RecipeError(
                "firmware of a bundle needs the sensor: give --rate and --counts-per-mv"
            )
        sensor, folder = FrontEnd(rate, counts_per_mv, rails), _out(out, chosen)
        if not bundle.kind.has_c:
            raise RecipeError(
                f"{model} decides on {bundle.decides_on}, expected a bundle that decides on spans "
                "or beats: there is no C for recordings; a phone runs it by bundle.stream"
            )
        if tflm and not bundle.kind.has_tflm:
            raise RecipeError(
                f"--tflm, but {model} decides on beats: expected a bundle that decides on spans; "
                "leave --tflm out, our engine runs it"
            )
        if tflm:
            target = None if not find_core(core).flags else core.removesuffix("-long")
            tflm_project(bundle, sensor, folder, chosen, arena_bytes=arena_bytes, core=target,
                         tflm_python=tflm_python)  # fmt: skip
        else:
            write_bundle(bundle, sensor, folder, chosen, core, chunk=chunk)
    elif model.is_file():
        chosen = name or identifier(model.stem)
        folder = _out(out, chosen)
        if tflm:
            tflm_model(model.read_bytes(), folder, chosen)
        else:
            write_network(model.read_bytes(), folder, chosen, core, chunk=chunk)
    else:
        raise ModelError(
            f"{model}: no such model, expected {', '.join(released_names())}, a bundle (a folder "
            f"with {MANIFEST}) or a .tflite"
        )
    hint = "" if tflm else f"  (see {folder / 'README.md'}; try `make check` there)"
    console.print(f"firmware: {folder}{hint}")


def identifier(name: str) -> str:
    """A model's name as a C identifier.

    >>> identifier("dense-12k"), identifier("12k")
    ('dense_12k', 'model_12k')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return plain if plain[:1].isalpha() else f"model_{plain}"


def _out(out: Path | None, name: str) -> Path:
    return out or Path(f"{name}_firmware")

"""`beatlens demo`: the main job from recordings to an explained int8 model, in minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Threads

DemoFolder = Annotated[
    Path, typer.Option("--run", metavar="DIR", help="Run folder everything is written to.")
]


def demo(
    run: DemoFolder = Path("runs/demo"),
    data: DataFolder = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use simulated ECG even if real ECG is at hand.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Train, compress, export, evaluate and explain; needs no download, takes a few minutes.

    With MIT-BIH at hand (see --data) it uses real ECG, else ECG that beatlens simulates, and says
    which. Leaves networks, bundle, figures and an HTML report in the run folder.
    """
    from beatlens.pipeline.demo import demo_recipe
    from beatlens.pipeline.folder import claim
    from beatlens.runtime.bundle import Bundle
    from beatlens.verbs.runs import use_threads
    from beatlens.verbs.show import console
    from beatlens.verbs.strips import compressed, evaluated, prepared_for, say_exported, trained

    started = time.monotonic()
    use_threads(threads)
    recipe = demo_recipe(simulated=simulated)
    folder = claim(run, recipe)
    prepared = prepared_for(recipe, folder, data)
    teacher = trained(recipe, prepared, folder)
    student, quantized = compressed(recipe, prepared, teacher, folder)
    evaluated(recipe, prepared, (teacher, student, quantized), folder)
    say_exported(recipe, prepared, teacher, quantized, folder)
    bundle = Bundle.load(folder / "bundle")
    bundle.verify(bundle.engine())
    console.print("golden vectors: the interpreter gives the same bits as the simulator")
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")
    console.print(f"open {folder / 'report.html'} in a browser")

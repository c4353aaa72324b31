"""`beatlens demo`: the main job from recordings to an explained int8 model, in minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Threads

DemoFolder = Annotated[
    Path, typer.Option("--run", metavar="DIR", help="Run folder that everything is written to.")
]


def demo(
    run: DemoFolder = Path("runs/demo"),
    data: DataFolder = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use simulated ECG, also where real ECG is found.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Run all steps on a small recipe, in a few minutes.

    Trains a network, compresses it, measures both, and exports a bundle. Uses real ECG where the
    MIT-BIH databases are found (see --data), else simulated ECG, and prints which. Nothing is
    downloaded. Networks, bundle, figures and report.html are in the run folder.
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
    console.print("golden vectors: interpreter and simulator give the same bits")
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")
    console.print(f"open {folder / 'report.html'} in a browser")

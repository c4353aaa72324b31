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
    from beatlens.pipeline.evaluate import evaluate
    from beatlens.pipeline.export import export_bundle
    from beatlens.pipeline.folder import claim
    from beatlens.runtime.bundle import Bundle
    from beatlens.tasks.contract import Int8Model, Networks
    from beatlens.tasks.registry import find_training
    from beatlens.verbs.runs import (
        prepare,
        print_evaluation,
        print_exported,
        run_compression,
        run_training,
        use_threads,
    )
    from beatlens.verbs.show import console

    started = time.monotonic()
    use_threads(threads)
    recipe = demo_recipe(simulated=simulated)
    folder = claim(run, recipe)
    prepared = prepare(recipe, folder, data)
    teacher = run_training(recipe, prepared, folder)
    student, quantized = run_compression(recipe, prepared, teacher, folder)
    span = find_training(recipe.task.kind).model_span
    networks = Networks(teacher, student, Int8Model.build(quantized, span))
    with console.status("measuring on test patients"):
        found = evaluate(recipe, prepared, networks, folder)
    print_evaluation(recipe, prepared, found, folder)
    print_exported(export_bundle(recipe, prepared, teacher, quantized, folder))
    bundle = Bundle.load(folder / "bundle")
    bundle.verify(bundle.engine())
    console.print("golden vectors: interpreter and simulator give the same bits")
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")
    console.print(f"open {folder / 'report.html'} in a browser")

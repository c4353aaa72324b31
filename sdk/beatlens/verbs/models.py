"""`beatlens models`: the released models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MEANING = """\
bytes: of the .tflite file, and packed (weights.blpk).
Se/+P: sensitivity / positive predictivity, over all beats, R peaks found by the system.
AP: average precision, mean of the findings. score: mean F1 of normal, AF and other rhythm.
map: Spearman correlation of the evidence with the uncompressed model's; 1 is the same map.
Patients of the test were not trained on; `--json` has all figures, intervals and data."""


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per model, with all figures.")
    ] = False,
) -> None:
    """List the released models, with size and main figures.

    Each name can be given wherever a bundle is asked for: `beatlens explain RECORD --bundle beats`,
    `Bundle.load("beats")`.
    """
    import json

    from beatlens.runtime.released import find_bundle, released_folder, released_names

    found = [describe(find_bundle(name)) for name in released_names()]
    if as_json:
        for model in found:
            typer.echo(json.dumps(model))
        return
    typer.echo(f"{'name':<15} {'decides on':<17} {'bytes':>6} {'packed':>7}  figures")
    for model in found:
        typer.echo(
            f"{model['name']:<15} {model['decides_on']:<17} {model['bytes']:>6,}"
            f" {model['packed_bytes']:>7,}  {main_figures(model['measured'])}"
        )
    typer.echo(f"\n{MEANING}")
    typer.echo(f"Model cards, with known failures: {released_folder()}/NAME/README.md")
    typer.echo("Evidence used by the model, not cause. Not a medical device.")


def describe(folder: Path) -> dict[str, Any]:
    """What `--json` prints of a bundle; its manifest is read, nothing is run."""
    from beatlens.runtime.folder import MANIFEST, MODEL
    from beatlens.runtime.kinds import find_kind
    from beatlens.runtime.manifest import Manifest
    from beatlens.runtime.manifest_file import read_manifest

    model = Manifest(**read_manifest((folder / MANIFEST).read_bytes()))
    return {
        "name": model.name,
        "decides_on": find_kind(model.kind_name).describe(model),
        "classes": dict(model.titles),
        "bytes": (folder / MODEL).stat().st_size,
        "packed_bytes": model.packed_bytes,
        "measured": dict(model.measured),
        "folder": str(folder),
    }


def main_figures(measured: dict[str, Any]) -> str:
    """The figures of a line of the list; a model without one is listed without it.

    >>> main_figures({"ap_pvc": 0.961, "macro_ap": 0.656, "spearman": 0.8952})
    'PVC AP 0.96, AP 0.66, map 0.90'
    """
    parts = [
        f"{name} Se/+P {measured[f'{key}_sensitivity']:.1f}/{measured[f'{key}_predictivity']:.1f} %"
        for name, key in (("V", "veb"), ("S", "sveb"))
        if f"{key}_sensitivity" in measured
    ]
    plain = (
        ("PVC AP", "ap_pvc"),
        ("AP", "macro_ap"),
        ("score", "score"),
        ("AF F1", "f1_afib"),
        ("map", "spearman"),
    )
    parts += [f"{name} {measured[key]:.2f}" for name, key in plain if key in measured]
    return ", ".join(parts) or "none in its bundle"

"""What `train`, `compress`, `export` and `evaluate` do with a recipe for strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.pipeline.compress import compress as compress_step
from beatlens.pipeline.data import ROLES, Prepared, prepare
from beatlens.pipeline.episode_evaluate import evaluate_bundle_episodes, evaluate_episodes
from beatlens.pipeline.evaluate import Evaluation, evaluate_bundle, merge_evaluation
from beatlens.pipeline.evaluate import evaluate as evaluate_step
from beatlens.pipeline.export import export_again, export_bundle
from beatlens.pipeline.report import COLUMNS, make_report
from beatlens.pipeline.student import load_quantized
from beatlens.pipeline.train import taken_teacher, train_teacher
from beatlens.recipe import Recipe
from beatlens.report.tables import load_figures, make_table
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.windows.rule import window_rule
from beatlens.verbs.show import console, loading_bar, progress_bar, training_bar


def prepared_for(
    recipe: Recipe,
    folder: Path,
    data: Path | None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> Prepared:
    """Tracks of a recipe, with a bar while they are read; says which ECG it is."""
    with loading_bar() as show:
        prepared = prepare(recipe, folder, data, show, workers, roles)
    console.print(prepared.description, style="bold yellow" if prepared.simulated else "")
    return prepared


def trained(recipe: Recipe, prepared: Prepared, folder: Path) -> EvidenceNet:
    """The teacher of a run, trained now or before."""
    with training_bar("teacher") as report:
        return train_teacher(recipe, prepared, folder, report)


def compressed(
    recipe: Recipe, prepared: Prepared, teacher: EvidenceNet, folder: Path
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """The student of a run, float and int8, trained now or before."""
    with (
        progress_bar("teacher's evidence") as progress,
        training_bar("student") as report,
    ):
        return compress_step(recipe, prepared, teacher, folder, report, progress)


def train(recipe: Recipe, folder: Path, data: Path | None, workers: Workers = ALONE) -> None:
    """Train the teacher."""
    trained(recipe, prepared_for(recipe, folder, data, workers), folder)
    console.print(f"teacher: {folder / 'teacher.pt'}")


def compress(recipe: Recipe, folder: Path, data: Path | None) -> None:
    """Run the recipe's compression steps on the teacher of the run folder."""
    if not (folder / "teacher.pt").exists():
        raise ModelError(
            f"{folder / 'teacher.pt'} is not there: run `beatlens train` first, or give --teacher"
        )
    teacher = taken_teacher(folder / "teacher.pt", recipe)
    student, _ = compressed(recipe, prepared_for(recipe, folder, data), teacher, folder)
    console.print(f"student: {student.weights:,} weights, {folder / 'quantized.pt'}")


def export(recipe: Recipe, folder: Path, data: Path | None) -> None:
    """Write the bundle."""
    teacher, _, quantized = _networks(folder)
    say_exported(recipe, prepared_for(recipe, folder, data), teacher, quantized, folder)


def export_from(
    recipe: Recipe, folder: Path, data: Path | None, bundle: Path, teacher: Path
) -> None:
    """Write the run folder's bundle from another, thresholds set by the teacher's decisions."""
    network, model = taken_teacher(teacher, recipe), Bundle.load(bundle)
    prepared = prepared_for(recipe, folder, data, roles=("validation",))
    exported = export_again(recipe, prepared, network, model, folder)
    console.print(f"bundle: {exported.folder}  model.tflite as in {bundle}")
    console.print(f"thresholds before: {_thresholds(model)}")
    console.print(f"thresholds now: {_thresholds(Bundle.load(exported.folder))}")


def _thresholds(bundle: Bundle) -> str:
    return ", ".join(
        f"{name} {value:.3f}" for name, value in window_rule(bundle).thresholds.items()
    )


def evaluate(recipe: Recipe, folder: Path, data: Path | None, out: Path | None) -> None:
    """Measure all networks on the test patients; with `out`, episodes of fibrillation as well."""
    networks, prepared = _networks(folder), prepared_for(recipe, folder, data)
    evaluated(recipe, prepared, networks, folder)
    if out is not None:
        _episodes(recipe, prepared, networks, folder, out, data)


def evaluate_from(
    recipe: Recipe,
    folder: Path,
    data: Path | None,
    bundle: Path,
    teacher: Path,
    out: Path | None,
) -> None:
    """As `evaluate`, of a bundle and its teacher."""
    network, model = taken_teacher(teacher, recipe), Bundle.load(bundle)
    prepared = prepared_for(recipe, folder, data, roles=("validation", "test"))
    command = f"beatlens evaluate models/{recipe.name}.toml --bundle {bundle} --teacher {teacher}"
    with console.status("measuring on test patients"):
        found = evaluate_bundle(recipe, prepared, network, model, folder, command)
        report = make_report(recipe, prepared, found, folder)
    print_table(folder / "figures.json")
    console.print(f"report: {report}")
    if out is not None:
        command = f"{command} --ec57"
        merge_evaluation(recipe.name, command, prepared.description, found, out)
        with console.status("counting episodes of fibrillation"):
            rows = evaluate_bundle_episodes(
                recipe, prepared, network, model, command, folder, out, data
            )
        _say_episodes(rows, folder)


def _networks(folder: Path) -> tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet]:
    for name, verb in (("teacher.pt", "train"), ("student.pt", "compress")):
        if not (folder / name).exists():
            raise ModelError(f"{folder / name} is not there: run `beatlens {verb}` first")
    student = load_net(folder / "student.pt")[0]
    quantized = load_quantized(folder / "quantized.pt", student)
    return load_net(folder / "teacher.pt")[0], student, quantized


def say_exported(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    quantized: QuantizedEvidenceNet,
    folder: Path,
) -> None:
    """Export and say what was written."""
    exported = export_bundle(recipe, prepared, teacher, quantized, folder)
    console.print(
        f"bundle: {exported.folder}  model.tflite {exported.file_bytes:,} bytes, "
        f"{exported.macs:,} multiply-accumulates per strip, "
        f"operators {', '.join(exported.operators)}"
    )
    if exported.note:
        console.print(exported.note, soft_wrap=True)


def evaluated(
    recipe: Recipe,
    prepared: Prepared,
    networks: tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet],
    folder: Path,
) -> Evaluation:
    """Evaluate, print the table, write the report."""
    with console.status("measuring on test patients"):
        found = evaluate_step(recipe, prepared, *networks, folder)
        report = make_report(recipe, prepared, found, folder)
    print_table(folder / "figures.json")
    console.print(f"report: {report}")
    return found


def _episodes(
    recipe: Recipe,
    prepared: Prepared,
    networks: tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet],
    folder: Path,
    out: Path,
    data: Path | None,
) -> None:
    """Count episodes of fibrillation, and print what was found."""
    teacher, _, quantized = networks
    with console.status("counting episodes of fibrillation"):
        rows = evaluate_episodes(recipe, prepared, teacher, quantized, folder, out, data)
    _say_episodes(rows, folder)


def _say_episodes(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    for row in rows:
        console.print(
            f"{row['model']} {row['form']}, {row['split']}: of {row['episodes']:.0f} episodes "
            f"{row['episode_sensitivity']:.0f} % found, {row['episode_predictivity']:.0f} % of its "
            f"own right; of their time {row['duration_sensitivity']:.0f} % and "
            f"{row['duration_predictivity']:.0f} %"
        )
    console.print(f"WFDB annotations of the int8 model's episodes: {folder / 'ec57'}")


def print_table(path: Path) -> None:
    """Print a figures file, one network a column."""
    from rich.table import Table

    made = make_table(load_figures(path), COLUMNS, ("model", "matching", "form"))
    table = Table(title=f"{path}", caption="mean [95 % interval by record]")
    table.add_column("")
    for row in made.rows:
        table.add_column("\n".join(row[:3]), justify="right")
    for column in range(3, len(made.columns)):
        table.add_row(made.columns[column], *(row[column] for row in made.rows))
    console.print(table, soft_wrap=False)

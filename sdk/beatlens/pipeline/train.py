"""The teacher: the uncompressed network whose explanations are to be kept."""

from __future__ import annotations

from pathlib import Path

from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.files import load_net
from beatlens.nets.teacher import TEACHER_FILE, Teacher, mean_teacher
from beatlens.recipe import Recipe
from beatlens.tasks.contract import Prepared
from beatlens.tasks.registry import find_training
from beatlens.training.crops import Crops, make_batches
from beatlens.training.history import write_history
from beatlens.training.loop import Report, Schedule, fit, world
from beatlens.training.losses import seed_everything
from beatlens.training.model import TabledNet


def train_teacher(
    recipe: Recipe, prepared: Prepared, folder: Path, report: Report | None = None
) -> Teacher:
    """Train the teacher of a recipe, or load it where the run folder has it already.

    Writes `teacher.pt`, `teacher.json` (how training went) and, where beats have features,
    `tables.pt`; an interrupted training goes on from `teacher.checkpoint`. A teacher of several
    members is the mean of networks that differ in their seed: member i is trained in `members/i/`
    of the run folder, one after the other.
    """
    kind = find_training(recipe.task.kind)
    path = folder / TEACHER_FILE
    if path.exists():
        return Teacher.load(path, kind.features)
    make_crops = kind.teacher_crops(recipe, prepared)
    if recipe.teacher.members == 1:
        return _train_member(recipe, prepared, make_crops(recipe, ()), folder, report)
    members: list[Teacher] = []
    for number in range(recipe.teacher.members):
        one, where = recipe.of_member(number), folder / "members" / str(number)
        if (where / TEACHER_FILE).exists():
            members.append(Teacher.load(where / TEACHER_FILE, kind.features))
        else:
            crops = make_crops(one, tuple(members))
            members.append(_train_member(one, prepared, crops, where, report))
    teacher = mean_teacher(members)
    if world()[0] == 0:
        teacher.save(path, recipe.teacher.spec)
    return teacher


def _train_member(
    recipe: Recipe, prepared: Prepared, crops: Crops, folder: Path, report: Report | None
) -> Teacher:
    spec, schedule = recipe.teacher.spec, recipe.teacher_schedule.schedule
    return train_network(recipe, prepared, crops, spec, schedule, folder / TEACHER_FILE, report)


def train_network(
    recipe: Recipe,
    prepared: Prepared,
    crops: Crops,
    spec: NetworkSpec,
    schedule: Schedule,
    path: Path,
    report: Report | None = None,
) -> Teacher:
    """Train one network on labels alone into `path`, with its tables beside it.

    Args:
        recipe: gives the classes and the seed.
        prepared: the validation recordings are looked at as often as `schedule` says.
        crops: what is trained on.
        spec: of the network.
        schedule: length and speed.
        path: file of the network; its checkpoint and its history lie beside it.
        report: progress.
    """
    kind = find_training(recipe.task.kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    seed_everything(recipe.seed)
    model = TabledNet(build(spec, recipe.classes), kind.features)
    history = fit(
        kind.objective(recipe, model, crops),
        model,
        make_batches(crops),
        schedule,
        lambda: kind.validate_teacher(recipe, model, prepared),
        score=kind.score,
        checkpoint=path.with_suffix(".checkpoint"),
        report=report,
    )
    tables = None if model.tables is None else model.tables.requires_grad_(False)
    teacher = Teacher(model.net, tables)
    if world()[0] == 0:
        teacher.save(path, spec)
        write_history(path.with_suffix(".json"), history)
        path.with_suffix(".checkpoint").unlink(missing_ok=True)
    return teacher


def read_teacher(path: Path, recipe: Recipe) -> Teacher:
    """A teacher of a recipe that was trained here or elsewhere, with the tables beside its file.

    Raises:
        ModelError: that is no network, one of other layers than the recipe's teacher, or for other
            classes than its task's; or there are no tables beside it.
    """
    net, spec = load_net(path)
    if spec != recipe.teacher.spec or net.classes != recipe.classes:
        raise ModelError(
            f"{path}: a network of {spec.as_dict()} for the classes {', '.join(net.classes)}; "
            f"expected the recipe's teacher, {recipe.teacher.spec.as_dict()} for the classes "
            f"{', '.join(recipe.classes)}"
        )
    return Teacher.load(path, find_training(recipe.task.kind).features)


def find_teacher(recipe: Recipe, folder: Path) -> Teacher:
    """The teacher of a run folder; `ModelError` where it was not trained yet."""
    path = folder / TEACHER_FILE
    if not path.exists():
        raise ModelError(f"{path} is not there: run `beatlens train` first, or give --teacher")
    return read_teacher(path, recipe)


def keep_teacher(path: Path, recipe: Recipe, folder: Path) -> None:
    """Make a teacher that was trained elsewhere the run folder's own.

    Raises:
        ModelError: see `read_teacher`.
        RecipeError: the run folder has another teacher already.
    """
    given, kept = read_teacher(path, recipe), folder / TEACHER_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        given.save(kept, recipe.teacher.spec)
    elif not given.equals(Teacher.load(kept, find_training(recipe.task.kind).features)):
        raise RecipeError(
            f"{kept} is another teacher than the one given; use another run folder (--run)"
        )

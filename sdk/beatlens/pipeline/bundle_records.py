"""A bundle on records that somebody names: its decisions there, and its agreement with its teacher.

For records that nobody trained or chose on: `beatlens evaluate --bundle DIR --database svdb
--records FILE` makes the figures of unseen patients again for whoever has the database. Nothing is
chosen on these records: the bundle decides as it ships. The int8 model is run by LiteRT itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from beatlens.errors import DataError, ModelError
from beatlens.nets.files import load_net
from beatlens.nets.teacher import Teacher
from beatlens.recipe import ListSplit, Recipe, SourceSection
from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases import database_type
from beatlens.tasks.common.workers import ALONE
from beatlens.tasks.contract import Evaluation, Int8Model, Networks
from beatlens.tasks.registry import default_recipe, find_training

Progress = Callable[[str, int, int], None]


def read_record_list(path: Path) -> tuple[str, ...]:
    """Names of records in a text file: one a line; `#` begins a comment.

    Raises:
        DataError: the file cannot be read, has no name, a name twice, or a line of several words.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of records ({error})") from error
    names: list[str] = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if len(words) > 1:
            raise DataError(f"{path}: line {number} is {line!r}, expected one record's name")
        names += words
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: record {twice[0]} is there twice, expected each record once")
    if not names:
        raise DataError(f"{path}: no record in it, expected one record's name a line")
    return tuple(names)


def recipe_for_records(
    bundle: Bundle,
    recipe: Recipe | None,
    database: str,
    records: Sequence[str],
    with_validation: bool,
) -> Recipe:
    """A recipe whose test records are those that are named.

    Args:
        bundle: as it ships.
        recipe: gives the classes, and what a teacher's thresholds are chosen on; None: the built-in
            one of the bundle's kind.
        database: that has the records.
        records: their names.
        with_validation: whether the recipe's own sources are needed, to choose thresholds of the
            teacher; the records named are left out of them.

    Raises:
        ModelError: the recipe has other classes than the bundle, or decides on something else.
        DataError: no such database.
    """
    published = database_type(database).splits.get("validation", ())
    chosen = recipe or default_recipe(bundle.kind_name)
    bundle.check_decides(chosen.task.kind, chosen.classes)
    sources = [] if not with_validation else list(chosen.data.sources)
    place = next((i for i, one in enumerate(sources) if one.name == database), len(sources))
    validates = place < len(sources) and sources[place].split == "published"
    kept = tuple(record for record in published if validates and record not in records)
    split = ListSplit(train=(), validation=kept, test=tuple(records))
    sources[place : place + 1] = [SourceSection(database=database, split=split)]
    data = chosen.data.model_copy(update={"source": "real", "sources": tuple(sources)})
    return chosen.model_copy(update={"data": data, "name": bundle.name})


def measure_records(
    recipe: Recipe,
    bundle: Bundle,
    teacher: Path | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Figures of a bundle, of whichever kind, on the test records of a recipe.

    Args:
        recipe: of `recipe_for_records`.
        bundle: as it ships.
        teacher: file of the network that the bundle was compressed from, with `tables.pt` beside it
            where its kind has lookup tables; None leaves out how far the evidence agrees.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).

    Raises:
        DataError: a record is not there, or the database lacks what the kind needs.
        ModelError: the teacher is not one for these classes, or the bundle takes samples in other
            steps than recordings are prepared in.
    """
    kind, model = find_training(recipe.task.kind), Int8Model.read(bundle)
    roles = ("test",) if teacher is None else ("validation", "test")
    with tempfile.TemporaryDirectory() as folder:
        prepared = kind.prepare(recipe, Path(folder), data, progress, ALONE, roles)
        given = None if teacher is None else _read_teacher(teacher, bundle, kind.features)
        networks = Networks(given, None, model)
        return kind.evaluate(recipe, prepared, networks, kind.read_rule(bundle))


def _read_teacher(path: Path, bundle: Bundle, features: int) -> Teacher:
    """A teacher, if it is one for the bundle's classes."""
    network = load_net(path)[0]
    if network.classes != bundle.classes:
        raise ModelError(
            f"{path}: a network for {', '.join(network.classes)}, expected the bundle's "
            f"teacher, for {', '.join(bundle.classes)}"
        )
    return Teacher.load(path, features)

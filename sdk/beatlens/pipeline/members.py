"""A teacher of several members: each trained as a teacher of its own, then joined.

Member `i` lies in `members/i/` of the run folder; what is there is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from beatlens.nets.ensemble import ensemble
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import save_net
from beatlens.nets.lookup_tables import TABLES_FILE, LookupTables, mean_tables, save_tables
from beatlens.recipe import ModelRecipe
from beatlens.training.loop import world

R = TypeVar("R", bound=ModelRecipe)
Member = tuple[EvidenceNet, LookupTables]


def members_of(recipe: R, folder: Path) -> list[tuple[R, Path]]:
    """Recipes of a teacher's members and the folders they are trained in."""
    numbers = range(recipe.teacher.members)
    return [(recipe.of_member(i), folder / "members" / str(i)) for i in numbers]


def joined_members(
    folder: Path,
    recipe: R,
    train: Callable[[R, Path, Sequence[Member]], Member],
) -> Member:
    """Train the members of a teacher with lookup tables; write the mean of both, and return it.

    Args:
        folder: run folder; gets `teacher.pt` and `tables.pt`.
        recipe: of the teacher.
        train: trains the teacher of a recipe of one member into a folder, or loads it from there;
            is given the members before it.
    """
    trained: list[Member] = []
    for one, where in members_of(recipe, folder):
        trained.append(train(one, where, trained))
    net, tables = mean_of(trained)
    if world()[0] == 0:
        save_tables(folder / TABLES_FILE, tables)
        save_net(folder / "teacher.pt", net, recipe.teacher.spec)
    return net, tables.requires_grad_(False)


def mean_of(members: Sequence[Member]) -> Member:
    """The mean of networks and that of their tables."""
    nets, tables = zip(*members, strict=True)
    return ensemble([net.eval() for net in nets]), mean_tables(tables)

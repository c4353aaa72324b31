"""The classes of beats that clinical figures are of: AAMI's, as the released models of beats.

Figures name the class by its letter: what speaks for S or V rather than N.
"""

from __future__ import annotations

from beatlens.errors import RecipeError
from beatlens.tasks.beats.recipe import BeatRecipe

CLASSES = ("n", "s", "v", "f")
N, S, V, F = range(len(CLASSES))


def check_classes(recipe: BeatRecipe) -> None:
    """Raise `RecipeError` unless a recipe has these classes, in this order."""
    if recipe.classes != CLASSES:
        raise RecipeError(
            f"{recipe.name} has the classes {', '.join(recipe.classes)}, expected "
            f"{', '.join(CLASSES)}: clinical figures are of these"
        )

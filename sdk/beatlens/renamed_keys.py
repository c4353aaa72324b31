"""Keys of recipes that have another name now.

A key is written with dots between its sections, as in messages: `distill.pool`. An old key is
refused, with the new name in the message, before anything else of a recipe is checked.

>>> refuse_renamed({"distill": {"pool": 12000}}, "my.toml")
Traceback (most recent call last):
beatlens.errors.RecipeError: my.toml: distill.pool is called distill.cache now
"""

from __future__ import annotations

from collections.abc import Mapping

from beatlens.errors import RecipeError

_WINDOW_CLASSES = ("pvc", "sve", "afib", "bbb")
RENAMED: dict[str, str] = {
    "distill.pool": "distill.cache",
    "data.databases": "write a section [[data.sources]] with database = NAME for each of them",
    "data.normal_has_no_ectopy": 'write assume = ["normal_has_no_ectopy"] into the source',
    "data.ludb_ectopy": 'write assume = ["ectopy_by_diagnosis"] into the source',
    "data.test_fold": "write split = { parts = 5, test_part = N } into the source",
    "data.validation": "write split = { parts = 5, validation = SHARE } into the source",
    "data.simulated_recordings": "data.simulated_patients",
    "sampling.database_weights": "write weight = NUMBER into each source",
    **{f"sampling.{name}": f"sampling.shares.{name}" for name in (*"svf", *_WINDOW_CLASSES)},
    **{f"unlabelled.labelled.{name}": f"unlabelled.labelled.shares.{name}" for name in "svf"},
    "decision.thresholds": "write threshold = NUMBER into each class of [task.classes]",
    "decision.offsets": "write offset = NUMBER into the class of [task.classes]",
}
"""Old key to new key, or to a sentence that says what to do instead (it has a space in it)."""


def refuse_renamed(
    data: Mapping[str, object], where: str, renamed: Mapping[str, str] = RENAMED
) -> None:
    """Raise `RecipeError` where `data` has a key that has another name now.

    Args:
        data: a recipe's plain content: sections are mappings, lists of sections are lists.
        where: name of the recipe in the message.
        renamed: old key to new key or sentence.

    Raises:
        RecipeError: the first old key that is found, and what to write instead.

    >>> refuse_renamed({"steps": [{}, {"kind": 1}]}, "a.toml", {"steps.kind": "leave it out: ..."})
    Traceback (most recent call last):
    beatlens.errors.RecipeError: a.toml: steps.kind: leave it out: ...
    """
    for old, new in renamed.items():
        if _has(data, old.split(".")):
            instead = f": {new}" if " " in new else f" is called {new} now"
            raise RecipeError(f"{where}: {old}{instead}")


def _has(data: object, path: list[str]) -> bool:
    if isinstance(data, list | tuple):
        return any(_has(item, path) for item in data)
    if not isinstance(data, Mapping) or path[0] not in data:
        return False
    return len(path) == 1 or _has(data[path[0]], path[1:])

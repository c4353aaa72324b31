"""Checks that recipes of all kinds of span share."""

from __future__ import annotations

from collections.abc import Iterable


def check_names(given: Iterable[str], classes: Iterable[str], where: str) -> None:
    """Raise ValueError where `where` of a recipe names a class that the task does not have.

    >>> check_names(["pvc"], ["pvc", "afib"], "sampling.shares")
    """
    known = tuple(classes)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(
            f"{where} names the class {unknown[0]!r}, expected one of {', '.join(known)}"
        )

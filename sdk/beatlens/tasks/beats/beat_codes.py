"""WFDB's codes of the beats of each class, in a bundle: what a class is, whatever it is called."""

from __future__ import annotations

from beatlens.runtime.fields import Fields
from beatlens.signals.annotation_types import AAMI_CLASSES, BEAT_SYMBOLS, MAPPINGS
from beatlens.tasks.beats.rhythm_kinds import Role


def role_of(codes: str) -> Role:
    """What a class of WFDB's codes is for a rhythm, by EC57's classes.

    >>> role_of("VrE"), role_of("AV")
    (<Role.V: 2>, <Role.OTHER: 3>)
    """
    found = {MAPPINGS["aami"][code] for code in codes}
    return next((role for role in (Role.N, Role.S, Role.V) if found == {role.name}), Role.OTHER)


def read_codes(fields: Fields, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The section `codes` of a rule: codes of each class, no code twice.

    Raises:
        ModelError: a class is missing or unknown, or its codes are not those of beats.
    """
    found: list[str] = []
    for name in classes:
        codes = fields.text(name, f"[{BEAT_SYMBOLS}]+", f"some of WFDB's codes {BEAT_SYMBOLS}")
        found.append(codes)
        if len(set("".join(found))) != len("".join(found)):
            fields.refuse(name, "codes that are there once, and of one class")
    fields.finish()
    return tuple(found)


def guess_codes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Codes of classes in a bundle that was made before it named them: those of EC57's names.

    >>> guess_codes(("n", "v", "late"))
    ('N', 'V', '?')
    """
    return tuple(name.upper() if name.upper() in AAMI_CLASSES else "?" for name in classes)

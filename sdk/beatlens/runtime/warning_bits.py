"""Warnings about a decision that is given, as bits and as names.

| name | of | meaning |
|---|---|---|
| `noisy` | all | most of the span bends as QRS complexes do (`beatlens.signals.frontend`) |
| `low_margin` | beats | another class is nearly as likely, or likelier, than the one decided on |
| `out_of_distribution` | beats | the largest score is smaller than that of nearly all beats |
| `clipped` | beats | more of the span is clipped than `Limits.clipped_warning` allows |

>>> name_warnings(NOISY | OUT_OF_DISTRIBUTION), pack_warnings(["out_of_distribution", "noisy"])
(('noisy', 'out_of_distribution'), 5)
"""

from collections.abc import Iterable

NOISY, LOW_MARGIN, OUT_OF_DISTRIBUTION, CLIPPED = 1, 2, 4, 8
WARNINGS = ("noisy", "low_margin", "out_of_distribution", "clipped")
"""Names of the bits, the lowest first."""


def name_warnings(warnings: int) -> tuple[str, ...]:
    """Names of a number's bits."""
    return tuple(name for bit, name in enumerate(WARNINGS) if warnings >> bit & 1)


def pack_warnings(names: Iterable[str]) -> int:
    """The number that `name_warnings` gives these names of."""
    return sum(1 << WARNINGS.index(name) for name in names)

"""Why a decision that is given is to be doubted, as bits and as names.

- `noise`: most of the span bends as QRS complexes do (see `beatlens.signals.frontend`),
- `close`: of a beat; another class is nearly as likely, or likelier, and a rare one was chosen,
- `unfamiliar`: of a beat; no class is spoken for as much as for nearly all beats the model was
  chosen on, as with a pacemaker, or a lead from elsewhere,
- `clipped`: of a beat; more of its span is clipped than `Limits.clipped_warning` allows. Such a
  beat is never called S.

>>> names_of(NOISE | UNFAMILIAR), bits_of(["unfamiliar", "noise"])
(('noise', 'unfamiliar'), 5)
"""

from collections.abc import Iterable

NOISE, CLOSE, UNFAMILIAR, CLIPPED = 1, 2, 4, 8
DOUBTS = ("noise", "close", "unfamiliar", "clipped")
"""Names of the bits, the lowest first."""


def names_of(doubts: int) -> tuple[str, ...]:
    """Names of a number's bits."""
    return tuple(name for bit, name in enumerate(DOUBTS) if doubts >> bit & 1)


def bits_of(names: Iterable[str]) -> int:
    """The number that `names_of` gives these names of."""
    return sum(1 << DOUBTS.index(name) for name in names)

"""Times and names as readers see them.

>>> clock(49.82, 2), clock(3599.996, 2), clock(86400), share(469, 2013), plural(1, "beat")
('0:00:49.82', '1:00:00.00', '24:00:00', '23.3 %', '1 beat')
"""

from __future__ import annotations

from collections.abc import Sequence

STATEMENT = "Evidence used by the model, not cause. Not a medical device."

WARNINGS = {
    "noisy": "noisy signal",
    "low_margin": "low margin",
    "out_of_distribution": "out of distribution",
    "clipped": "clipped signal",
}
"""Names of warnings by the names that findings have."""
WARNING_MEANS = {
    "noisy": "more than half of the signal bends as sharply as QRS complexes do",
    "low_margin": "another class is nearly as likely, or likelier",
    "out_of_distribution": "less evidence for any class than nearly all beats of the model's "
    "records have",
    "clipped": "the signal leaves the network's input range",
}


def clock(seconds: float, decimals: int = 0) -> str:
    """A time from the start of the recording as h:mm:ss, with decimals of a second."""
    scale = 10**decimals
    units = round(seconds * scale)
    sign = "-" if units < 0 else ""
    whole, part = divmod(abs(units), scale)
    text = f"{sign}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{part:0{decimals}d}" if decimals else text


def share(part: float, whole: float) -> str:
    """A part in percent of the whole; a small one is not shown as none.

    >>> share(0, 10), share(1, 100_000), share(99_999, 100_000), share(1, 0)
    ('0 %', '< 0.1 %', '> 99.9 %', '-')
    """
    if whole <= 0:
        return "-"
    percent = 100.0 * part / whole
    if part <= 0 or part >= whole:
        return f"{percent:.0f} %"
    if percent < 0.05:
        return "< 0.1 %"
    return "> 99.9 %" if percent >= 99.95 else f"{percent:.1f} %"


def plural(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def mark_letters(names: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """What marks beats of each class on a strip: names of up to `most` letters, else beginnings.

    Beginnings are as short as tells the classes apart.

    >>> mark_letters(["n", "s", "v"]), mark_letters(["usual", "left", "right", "late"])
    (('N', 'S', 'V'), ('U', 'LE', 'R', 'LA'))
    """
    if all(len(name) <= most for name in names):
        return tuple(name.upper() for name in names)
    letters = []
    for name in names:
        others = [other for other in names if other != name]
        length = next(
            (n for n in range(1, len(name)) if not any(o.startswith(name[:n]) for o in others)),
            len(name),
        )
        letters.append(name[:length].upper())
    return tuple(letters)


def warning(name: str) -> str:
    """The name of a finding's warning, as readers see it."""
    return WARNINGS.get(name, name)


def printable(text: str) -> str:
    """The text with each character that is not printable replaced: names come from files."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)

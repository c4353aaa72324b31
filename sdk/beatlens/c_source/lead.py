"""How a network reads a lead, as C constants, and the memory a stream needs for it: `bl_lead.h`.

>>> Lead(Geometry(8, 840), classes=4, kept=160).row("strips_net")
'{&strips_net, 160, 416, 416, 8}'
"""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.c_source.text import guarded, row
from beatlens.errors import ModelError
from beatlens.geometry import Geometry

MAX_CLASSES = 32
"""BL_MAX_CLASSES of bl_lead.h."""
MAX_STRIDE = 255
MAX_COUNT = (1 << 16) - 1
"""Of columns that are kept, and of samples of context."""
QUALITY_BYTES = 6
"""A `bl_quality`."""


@dataclass(frozen=True)
class Lead:
    """A `bl_lead_config` without its network.

    Args:
        geometry: of the network.
        classes: their number.
        kept: newest columns whose evidence is kept.

    Raises:
        ModelError: a size is larger than the firmware can count.
    """

    geometry: Geometry
    classes: int
    kept: int

    def __post_init__(self) -> None:
        for what, found, largest in (
            ("classes", self.classes, MAX_CLASSES),
            ("samples of stride", self.geometry.stride, MAX_STRIDE),
            ("columns in a span", self.kept, MAX_COUNT),
            ("samples of context", self.geometry.receptive_field, MAX_COUNT),
        ):
            if found > largest:
                raise ModelError(
                    f"the bundle has {found} {what}, expected at most {largest}: the firmware "
                    "counts them in fewer bits"
                )

    def row(self, net: str) -> str:
        """The C constant, with the network of that name."""
        return row(f"&{net}", self.kept, self.geometry.left, self.geometry.right,
                   self.geometry.stride)  # fmt: skip

    def waiting_columns(self, chunk: int) -> int:
        """Columns whose samples have come and whose evidence has not, at most."""
        return (self.geometry.right + chunk) // self.geometry.stride + 2

    def memory_bytes(self, state_bytes: int, chunk: int) -> int:
        """Bytes of memory a lead needs without its sensor's ring, not rounded to whole words.

        Args:
            state_bytes: of the network.
            chunk: samples that are given to the network at once.
        """
        waits = self.waiting_columns(chunk)
        return state_bytes + self.kept * self.classes + (self.kept + waits) * QUALITY_BYTES + chunk


def round_to_words(count: int) -> int:
    """Bytes of whole 32-bit words.

    >>> round_to_words(5)
    8
    """
    return -(-count // 4) * 4


def task_header(
    name: str, kind: str, include: str, classes: tuple[str, ...], memory: int, *more: str
) -> str:
    """The header of a task: its classes, and the memory a stream needs beside its sensor's ring.

    Args:
        name: of the constant.
        kind: its type, `bl_task` or `bl_beat_task`.
        include: the header of that type.
        classes: their names.
        memory: bytes without the ring.
        more: what comes behind all that.
    """
    upper = name.upper()
    listed = ", ".join(f"{upper}_{key.upper()}" for key in classes)
    return guarded(
        name,
        f'#include "{include}"\n',
        f"enum {{ {listed} }}; /* classes */\n",
        "/* Bytes of memory a stream needs; `taps` are the sensor's, of a phase. */\n"
        f"#define {upper}_MEMORY_BYTES(taps) ((({memory}u + 2u * (taps)) + 3u) / 4u * 4u)\n",
        f"extern const {kind} {name};\n",
        *more,
    )

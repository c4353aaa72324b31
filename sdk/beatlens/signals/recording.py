"""A recording: samples of one or more leads as the analogue-to-digital converter gave them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError

Piece = tuple[NDArray[np.int32], NDArray[np.bool_] | None]
"""Consecutive samples of one lead: `counts` and `missing` as in `Recording`, cut."""


class Recorded(Protocol):
    """What a recording is to those who go through it once: in memory, or a file read in pieces.

    Attributes are those of `Recording`; `wfdb_pieces.RecordingFile` is the other kind.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (documented by `Recording`)
    @property
    def database(self) -> str: ...  # noqa: D102
    @property
    def patient(self) -> str: ...  # noqa: D102
    @property
    def rate_hz(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def lead_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def counts_per_mv(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def rails(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102
    def lead(self, name: str) -> int: ...  # noqa: D102
    def pieces(self, row: int) -> Iterator[Piece]: ...  # noqa: D102


@dataclass(frozen=True)
class Recording:
    """Samples of one recording, with what is needed to turn them into millivolts.

    Attributes
    ----------
    name: the record's name, such as `"100"`.
    database: the database it belongs to, such as `"mitdb"`; empty for a file of one's own.
    patient: who was recorded, unique over all databases (`"mitdb/201"`); records that share a
        patient must never be on both sides of a split.
    rate_hz: samples per second.
    lead_names: one name per lead, as the header gives them.
    counts: int32 [leads, samples], raw converter counts minus the header's baseline: 0 is 0 mV.
        Read-only.
    counts_per_mv: gain of each lead.
    rails: (lowest, highest) count each lead's converter can give, on the scale of `counts`.
    calibrated: False where the header has no known gain (noise records of nstdb,
        many of svdb); `counts_per_mv` is then WFDB's nominal 200.
    missing: bool [leads, samples], True where the file holds its format's "no sample here" code;
        `counts` holds the last good value there (the first good one at the start). None where no
        sample is missing.

    >>> import numpy as np
    >>> recording = Recording(
    ...     name="demo", database="", patient="demo", rate_hz=4, lead_names=("MLII",),
    ...     counts=np.array([[0, 100, 200, 100]], dtype=np.int32), counts_per_mv=(200.0,),
    ...     rails=((-1024, 1023),),
    ... )
    >>> recording.duration_s, recording.lead("MLII"), recording.millivolts("MLII").tolist()
    (1.0, 0, [0.0, 0.5, 1.0, 0.5])
    """

    name: str
    database: str
    patient: str
    rate_hz: int
    lead_names: tuple[str, ...]
    counts: NDArray[np.int32]
    counts_per_mv: tuple[float, ...]
    rails: tuple[tuple[int, int], ...]
    calibrated: bool = True
    missing: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Raise DataError for masked counts: everything that reads them would drop the mask."""
        if isinstance(self.counts, np.ma.MaskedArray) and np.ma.is_masked(self.counts):
            raise DataError(
                f"counts of recording {self.name!r} are a masked array, expected a plain one; give "
                "the mask as `missing`, and any count in its place"
            )

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return int(self.counts.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.rate_hz

    def lead(self, name: str) -> int:
        """Row of the lead called `name` (exact, then ignoring case).

        Leads are chosen by name because their order is not fixed: in record 114 of mitdb MLII
        comes second.

        Raises
        ------
        DataError: no lead has that name; the message lists those there are.
        """
        where = f"{self.database}/{self.name}" if self.database else self.name
        return find_lead(self.lead_names, name, where)

    def pieces(self, row: int) -> Iterator[Piece]:
        """The samples of one lead, in one piece."""
        yield self.counts[row], None if self.missing is None else self.missing[row]

    def millivolts(self, name: str) -> NDArray[np.float64]:
        """Samples of one lead in mV, float64 [samples]; DataError as `lead`."""
        row = self.lead(name)
        found = np.divide(self.counts[row], self.counts_per_mv[row], dtype=np.float64)
        return np.asarray(found)


def find_lead(lead_names: tuple[str, ...], name: str, record: str) -> int:
    """Row of the lead called `name` of `record`; see `Recording.lead`."""
    if name in lead_names:
        return lead_names.index(name)
    folded = [lead.casefold() for lead in lead_names]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    raise DataError(f"record {record} has no lead {name!r}; its leads are {', '.join(lead_names)}")

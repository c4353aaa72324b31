"""The sources of a recipe, found on disk: which records there are, and in which role each is.

A source is a database or a folder of own records (`beatlens.recipe.SourceSection`). No patient who
is validated or tested on is trained on, whatever source a record of that patient is in; a published
split stays as it is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.recipe import (
    ClassSection,
    CsvPatient,
    DataSection,
    HeaderPatient,
    ListSplit,
    PartSplit,
    ShareSplit,
    SourceSection,
)
from beatlens.signals.annotation_types import Annotations
from beatlens.signals.databases import (
    Database,
    DatabaseNotFoundError,
    database_type,
    find_database,
    is_database,
    named_folder,
    published_as,
)
from beatlens.signals.databases.own_records import OwnRecords, PatientBy
from beatlens.signals.recording import Recorded

ROLES = ("train", "validation", "test")
TEST, UNSHARED = "test", "test, patients of no other role"
"""Which test records a row of figures counts: all, or those whose patient has no record in another
role."""
PARTS_SEED, VALIDATION_SEED = 2017, 2018
Named = tuple["Source", str]
"""A source and the name of one of its records."""
Roles = dict[str, list[Named]]


@dataclass(frozen=True)
class Source:
    """One source with the folder its records lie in; small enough to be sent to a worker."""

    section: SourceSection
    folder: Path

    @property
    def name(self) -> str:
        """Name of the database or of the folder."""
        return self.section.name

    @property
    def database(self) -> Database:
        """What reads its records; the same object at every call in one process."""
        return open_source(self)

    def lead(self, recording: Recorded) -> str:
        """The lead that is used: the first of the section's list, else the database's own."""
        if not self.section.lead or self.section.path is not None:
            return self.database.lead(recording)
        folded = {name.casefold(): name for name in recording.lead_names}
        for lead in self.section.lead:
            if lead.casefold() in folded:
                return folded[lead.casefold()]
        raise DataError(
            f"record {self.name}/{recording.name} has the leads {', '.join(recording.lead_names)}, "
            f"expected one of {', '.join(self.section.lead)}"
        )

    def annotations(self, record: str) -> Annotations:
        """Beats and rhythms of a record, of the section's annotator if it names one."""
        return self.database.annotations(record, self.section.annotator)


@lru_cache(maxsize=16)
def open_source(source: Source) -> Database:
    """The database of a source; its list of records is read once."""
    section = source.section
    if section.database is not None:
        return database_type(section.database)(source.folder)
    by: PatientBy
    match section.patient:
        case HeaderPatient(header=key):
            by = "header"
        case CsvPatient(csv=key):
            by = "csv"
        case _:
            by, key = section.patient, ""
    return OwnRecords(
        source.folder,
        annotator=section.annotator or "atr",
        leads=section.lead,
        patient_by=by,
        patient_key=key,
        labels_csv=section.labels or "",
        intervals_csv=section.intervals or "",
    )


def simulates(data: DataSection, folder: Path | None) -> bool:
    """Whether a recipe's ECG is simulated.

    Args:
        data: of the recipe. `auto` simulates only where no folder of databases was asked for, none
            of the databases was found, and no source is a folder of own records. Databases that are
            simulated themselves do not count as found.
        folder: the folder of databases that was asked for; None: none was, unless BEATLENS_DATA is
            set.

    Raises:
        DataError: with `auto`, something was asked for or found, but not a source that the recipe
            needs; or a database is there but damaged or incomplete.
    """
    if data.source != "auto":
        return data.source == "simulated"
    if any(source.path is not None for source in data.sources):
        return False
    names = [name for source in data.sources if not is_simulated(name := source.database or "")]
    if not names:
        return False
    return not any(is_at_hand(name, folder) for name in names) and named_folder(folder) is None


def is_simulated(name: str) -> bool:
    """Whether a source is a database that is simulated; own records and unknown names are not."""
    return is_database(name) and published_as(name).simulated


def is_at_hand(name: str, folder: Path | None) -> bool:
    """Whether a database is there.

    Raises `DataError` where it is there but damaged or incomplete, and where `folder` is no folder
    of databases: what was asked for is never left out without a word.
    """
    try:
        find_database(name, folder).check_whole()
    except DatabaseNotFoundError:
        return False
    return True


def find_sources(data: DataSection, folder: Path | None) -> tuple[Source, ...]:
    """The recipe's sources that are there, in its order.

    Raises:
        DataError: one that is not `optional` is not there; one is damaged or incomplete.
    """
    open_source.cache_clear()  # A folder may have changed since it was read.
    found = []
    for section in data.sources:
        if section.path is not None:
            source = Source(section, Path(section.path).expanduser().resolve())
            source.database.records()
            found.append(source)
        elif not section.optional or is_at_hand(section.database or "", folder):
            database = find_database(section.database or "", folder)
            database.check_whole()
            found.append(Source(section, database.folder))
    return tuple(found)


def assign_roles(sources: Sequence[Source], *, final_fit: bool = False) -> Roles:
    """Records by role, in the order of the sources.

    Args:
        sources: of `find_sources`.
        final_fit: train on the validation records too, but for those whose patient is tested on.

    Raises:
        DataError: a list names a record that is not there, or a role that a recipe needs is empty.
    """
    split = {source: _split(source) for source in sources}
    roles: Roles = {role: [] for role in ROLES}
    tested = _patients(split, "test")
    for source, parts in split.items():
        roles["test"] += [(source, record) for record in parts["test"]]
    for source, parts in split.items():
        own = set(parts["test"])
        elsewhere = _patients({s: p for s, p in split.items() if s is not source}, "test")
        for record in parts["validation"]:
            if record not in own and source.database.patient(record) not in elsewhere:
                roles["validation"].append((source, record))
    if final_fit:
        watched = [n for n in roles["validation"] if _patient(n) in tested]
        moved = {n for n in roles["validation"] if n not in watched}
        roles["validation"] = watched
    else:
        moved = set()
    held = tested | {_patient(named) for named in roles["validation"]}
    for source, parts in split.items():
        wanted = {*parts["train"], *(record for s, record in moved if s is source)}
        order = parts["train"] if not final_fit else source.database.records()
        roles["train"] += [
            (source, record)
            for record in order
            if record in wanted and source.database.patient(record) not in held
        ]
    return roles


def check_roles_filled(roles: Roles, *, final_fit: bool = False) -> None:
    """Raise `DataError` where nothing is left to train or to validate on.

    Args:
        roles: of `assign_roles`.
        final_fit: nothing is chosen on validation patients, so there may be none.
    """
    needed = ("train",) if final_fit else ("train", "validation")
    empty = [role for role in needed if not roles[role]]
    if empty:
        raise DataError(
            f"{describe_roles(roles)}; expected at least one record for {empty[0]}: change `split` "
            "of the sources"
        )


def find_shared(roles: Roles) -> frozenset[str]:
    """Test records whose patient has a record in another role, as a published split may have."""
    others = {_patient(named) for role in ("train", "validation") for named in roles[role]}
    return frozenset(named[1] for named in roles["test"] if _patient(named) in others)


def held_patients(roles: Roles) -> frozenset[str]:
    """Patients who are validated or tested on."""
    return frozenset(_patient(n) for role in ("validation", "test") for n in roles[role])


def _patient(named: Named) -> str:
    return named[0].database.patient(named[1])


def _patients(split: Mapping[Source, Mapping[str, Sequence[str]]], role: str) -> set[str]:
    return {s.database.patient(r) for s, parts in split.items() for r in parts[role]}


def _split(source: Source) -> dict[str, Sequence[str]]:
    """Records of one source by role."""
    split, database = source.section.split, source.database
    match split:
        case ShareSplit():
            return _by_patient(database, split)
        case PartSplit():
            return _by_class(database, split)
        case ListSplit():
            return _by_list(database, split)
        case "published":
            return _published(database)
        case _:
            return {role: database.records() if role == split else () for role in ROLES}


def _published(database: Database) -> dict[str, Sequence[str]]:
    """The database's own split; where it names none to train on, that is the rest."""
    published = database.splits
    if "train" in published:
        return {role: published.get(role, ()) for role in ROLES}
    records = database.records()
    named = {role: [r for r in records if r in published.get(role, ())] for role in ROLES[1:]}
    taken = {record for part in named.values() for record in part}
    return {"train": [r for r in records if r not in taken], **named}


def _by_list(database: Database, split: ListSplit) -> dict[str, Sequence[str]]:
    there = database.records()
    for record in (*(split.train or ()), *split.validation, *split.test):
        if record not in there:
            raise DataError(
                f"split names record {record!r}, which {database.name} does not have; its records "
                f"are {', '.join(there[:10])}{' ...' if len(there) > 10 else ''}"
            )
    taken = {*split.validation, *split.test}
    rest = tuple(record for record in there if record not in taken)
    train = rest if split.train is None else split.train
    return {"train": train, "validation": split.validation, "test": split.test}


def _by_patient(database: Database, split: ShareSplit) -> dict[str, Sequence[str]]:
    """Shares of the patients; each share above 0 gets at least one."""
    patients = {record: database.patient(record) for record in database.records()}
    names = sorted(set(patients.values()))
    shares = {"test": split.test, "validation": split.validation}
    wanted = {role: share for role, share in shares.items() if share}
    if len(names) <= len(wanted):
        raise DataError(
            f"{database.name} has {len(names)} patients, expected at least {len(wanted) + 1} to "
            "train, validate and test on different ones: give a split of its own, or more patients"
        )
    drawn = [names[i] for i in np.random.default_rng(split.seed).permutation(len(names))]
    of: dict[str, str] = {}
    for role, share in wanted.items():
        count = max(1, round(share * len(names)))
        of |= dict.fromkeys(drawn[:count], role)
        drawn = drawn[count:]
    of |= dict.fromkeys(drawn, "train")
    return {role: [r for r, patient in patients.items() if of[patient] == role] for role in ROLES}


def _by_class(database: Database, split: PartSplit) -> dict[str, Sequence[str]]:
    """Parts with equal shares of every label."""
    records = np.array(sorted(database.records()))
    labels = np.array([database.label(record) for record in records])
    order = database.labels or tuple(sorted(set(labels.tolist())))
    parts = stratified_parts(labels, order, split.parts, PARTS_SEED)
    tested = parts == split.test_part if split.test_part is not None else np.zeros(len(parts), bool)
    rest, of_rest = records[~tested], labels[~tested]
    count = max(2, round(1 / split.validation))
    chosen = stratified_parts(of_rest, order, count, VALIDATION_SEED) == 0
    return {
        "train": rest[~chosen].tolist(),
        "validation": rest[chosen].tolist(),
        "test": records[tested].tolist(),
    }


def stratified_parts(
    labels: NDArray[Any], order: Sequence[Any], count: int, seed: int
) -> NDArray[np.int64]:
    """Number of a part for each label, `[n]`: at random, each part with the same share of a label.

    Args:
        labels: `[n]`.
        order: the labels there are, in the order they are drawn in.
        count: how many parts.
        seed: of the draw.

    >>> sorted(stratified_parts(np.array(["a", "a", "b", "b"]), "ab", 2, seed=0)[:2].tolist())
    [0, 1]
    """
    rng, parts = np.random.default_rng(seed), np.zeros(len(labels), np.int64)
    for label in order:
        drawn = rng.permutation(np.flatnonzero(labels == label))
        parts[drawn] = np.arange(len(drawn)) % count
    return parts


def check_classes_found(counts: Mapping[str, int], classes: Mapping[str, ClassSection]) -> None:
    """Raise `DataError` where a class is nowhere in the recordings of a recipe.

    Args:
        counts: how often each class is there, by its name.
        classes: of the task.
    """
    for name, one in classes.items():
        if counts[name]:
            continue
        way = next(way for way in ("beats", "rhythms", "labels", "intervals") if getattr(one, way))
        raise DataError(
            f"class {name} is in no recording: expected {way} {' '.join(getattr(one, way))} in the "
            "annotations or CSV files of a source; mend its spelling, add a source that has it, or "
            "leave the class out"
        )


def describe_roles(roles: Roles, wanted: Iterable[str] = ROLES) -> str:
    """How many records of which source are in each role, in words."""
    verbs = {"train": "trained on", "validation": "validated on", "test": "tested on"}

    def counted(role: str) -> str:
        names = [source.name for source, _ in roles[role]]
        parts = [f"{names.count(name)} of {name}" for name in dict.fromkeys(names)]
        return " and ".join(parts) or "none"

    said = ", ".join(f"{verbs[role]} {counted(role)}" for role in ROLES if role in wanted)
    made = [s.name for s in dict.fromkeys(s for role in wanted for s, _ in roles[role])
            if s.section.database is not None and is_simulated(s.name)]  # fmt: skip
    return f"real ECG{''.join(f' and {n}' for n in made)}, records by patient: {said}"

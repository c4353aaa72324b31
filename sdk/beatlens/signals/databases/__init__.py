"""The public databases beatlens trains and tests on, one file each, and those of other packages.

`find_database` looks in a folder given by the caller (`--data`) or named by `BEATLENS_DATA`, else
in `../shared/data` next to a checkout, else in the cache that `beatlens data get NAME` fills. Each
of these holds one sub-folder per database, named by its name here or as on PhysioNet, with or
without a folder for the version inside.

To add a database: a class in a file of its own (`contract.Database`), and a line of `registry.py`
or an entry point: see README.md here.

>>> database = find_database("mitdb")  # doctest: +SKIP
>>> recording = database.read("114")  # doctest: +SKIP
>>> recording.lead("MLII"), database.annotations("114").beats.symbol[:2]  # doctest: +SKIP
(1, array(['N', 'N'], dtype='<U1'))
"""

from beatlens.signals.databases.cinc2017 import CINC2017_LABELS
from beatlens.signals.databases.contract import (
    ECTOPIC,
    FIBRILLATION_AND_FLUTTER,
    ITS_WORD,
    Assumptions,
    Codes,
    Database,
    Published,
    Statement,
)
from beatlens.signals.databases.find import (
    DatabaseNotFoundError,
    database_in,
    find_database,
    named_folder,
)
from beatlens.signals.databases.ludb import LUDB_LEADS, as_ludb
from beatlens.signals.databases.registry import (
    BUILT_IN,
    database_names,
    database_type,
    is_database,
    published_as,
)
from beatlens.signals.databases.wfdb_database import WfdbDatabase, listed_records, record_stems

__all__ = [
    "BUILT_IN",
    "CINC2017_LABELS",
    "ECTOPIC",
    "FIBRILLATION_AND_FLUTTER",
    "ITS_WORD",
    "LUDB_LEADS",
    "Assumptions",
    "Codes",
    "Database",
    "DatabaseNotFoundError",
    "Published",
    "Statement",
    "WfdbDatabase",
    "as_ludb",
    "database_in",
    "database_names",
    "database_type",
    "find_database",
    "is_database",
    "listed_records",
    "named_folder",
    "published_as",
    "record_stems",
]

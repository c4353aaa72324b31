"""The inter-patient split of the MIT-BIH Arrhythmia Database, and what else is split.

What they are stands with their databases, in `beatlens.signals.databases.mitdb` and `.svdb`.
"""

from beatlens.signals.databases.mitdb import (
    DS1,
    DS2,
    DS2_WITHOUT_202,
    PACED,
    TRAIN,
    VALIDATION,
    WATCHED,
    folds,
    mitdb_patient,
    patients_disjoint,
    roles,
)
from beatlens.signals.databases.svdb import VALIDATION as SVDB_VALIDATION

__all__ = [
    "DS1",
    "DS2",
    "DS2_WITHOUT_202",
    "PACED",
    "SVDB_VALIDATION",
    "TRAIN",
    "VALIDATION",
    "WATCHED",
    "folds",
    "mitdb_patient",
    "patients_disjoint",
    "roles",
]

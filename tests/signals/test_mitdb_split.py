"""The split by patient."""

from beatlens.signals.databases.mitdb import (
    DS1,
    DS2,
    DS2_WITHOUT_202,
    PACED,
    TRAIN,
    VALIDATION,
    mitdb_patient,
    patients_disjoint,
)


def test_split_covers_mitdb_once() -> None:
    assert len(DS1) == len(DS2) == 22
    assert len(set(DS1) | set(DS2) | set(PACED)) == 48
    assert sorted(TRAIN + VALIDATION) == sorted(DS1)
    assert len(VALIDATION) == 5


def test_only_validation_shares_a_patient_with_the_test_records() -> None:
    assert patients_disjoint(TRAIN, DS2)
    assert patients_disjoint(TRAIN, VALIDATION)
    assert patients_disjoint(DS1, DS2_WITHOUT_202)
    assert not patients_disjoint(DS1, DS2)
    assert [record for record in DS1 if not patients_disjoint([record], DS2)] == ["201"]
    assert "201" in VALIDATION
    assert mitdb_patient("201") == mitdb_patient("202") == "mitdb/201"

"""What networks are trained on does not change by a bit with how databases are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from beatlens.signals.databases import find_database
from beatlens.tasks.common.sources import assign_roles, find_sources

from .recipes import beat_recipe
from .track_digests import DIGESTS, RECORDS, digests


@pytest.mark.parametrize("name", RECORDS)
def test_tracks_are_those_of_before(data_dir: Path, name: str) -> None:
    if not (data_dir / name).is_dir():
        pytest.skip(f"NO REAL ECG: {name} is not beside this checkout, its tracks are UNTESTED")
    found = dict(digests(data_dir, name))
    kept = json.loads(DIGESTS.read_text(encoding="utf-8"))
    assert found == {key: kept[key] for key in kept if key.split("/")[1] == name}
    assert len(found) >= 3 * len(RECORDS[name])


def test_records_by_role_are_those_of_before(data_dir: Path) -> None:
    if len(find_database("svdb", data_dir).records()) != 52:
        pytest.skip("svdb has other records than when the digest was made: roles UNTESTED")
    roles = assign_roles(find_sources(beat_recipe().data, data_dir))
    order = ("train", "validation", "test")
    wanted = {role: [[s.name, record] for s, record in roles[role]] for role in order}
    assert hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16] == "7de51309095fdd50"

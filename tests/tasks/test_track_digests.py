"""What networks are trained on does not change by a bit with how databases are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from beatlens.signals.databases import find_database
from beatlens.tasks.beats.data import wanted_records
from beatlens.tasks.beats.recipe import BeatDataSection

from .track_digests import DIGESTS, STRIPS, digests, sections


@pytest.mark.parametrize("name", STRIPS)
def test_tracks_are_those_of_before(data_dir: Path, name: str) -> None:
    if not (data_dir / name).is_dir():
        pytest.skip(f"NO REAL ECG: {name} is not beside this checkout, its tracks are UNTESTED")
    found = dict(digests(data_dir, name))
    kept = json.loads(DIGESTS.read_text(encoding="utf-8"))
    assert found == {key: kept[key] for key in kept if key.split("/")[1] == name}
    assert len(found) >= 3 * len(STRIPS[name])


def test_records_by_role_are_those_of_before(data_dir: Path) -> None:
    if len(find_database("svdb", data_dir).records()) != 52:
        pytest.skip("svdb has other records than when the digest was made: roles UNTESTED")
    wanted = wanted_records(BeatDataSection(), data_dir)
    assert hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16] == "7de51309095fdd50"


def test_data_sections_of_recipes_are_those_of_before() -> None:
    """They go into the fingerprint of tracks that a run folder keeps."""
    kept = json.loads(DIGESTS.read_text(encoding="utf-8"))
    assert sections() == {key: kept[key] for key in kept if key.startswith("sections/")}

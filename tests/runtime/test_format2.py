"""Bundles of format 2, as beatlens 0.1 wrote them: one is kept here, and reads as its format 3."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import FILES, MANIFEST, SUMS
from beatlens.runtime.format2 import from_format_2
from beatlens.runtime.manifest_file import read_manifest
from benchmarks.convert_bundles import convert

OLD = Path(__file__).parent / "format2" / "beats"
NEW = Path(__file__).parents[2] / "models" / "beats-6k" / "bundle"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "beats")


def edit(folder: Path, *change: object) -> None:
    """Set a field of bundle.json, or remove it for `...`, and make the sums anew."""
    document = json.loads((folder / MANIFEST).read_text())
    *path, last, value = change
    place = document
    for step in path:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    (folder / MANIFEST).write_text(json.dumps(document))
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in FILES]
    (folder / SUMS).write_text("".join(lines))


def test_it_is_of_format_2_and_the_released_one_is_not() -> None:
    assert json.loads((OLD / MANIFEST).read_text())["format"] == 2
    assert json.loads((NEW / MANIFEST).read_text())["format"] == 3


def test_it_reads_as_the_released_one() -> None:
    old, new = Bundle.load(OLD), Bundle.load(NEW)
    assert (old.name, old.kind_name, old.titles) == (new.name, "beats", new.titles)
    assert old.decision_sha256 != new.decision_sha256
    assert (old.measured, old.versions) == (new.measured, new.versions)
    for name in ("before", "after", "scale", "never_if_clipped"):
        assert getattr(old.rule, name) == getattr(new.rule, name)
    for name in ("tables", "offsets"):
        np.testing.assert_array_equal(getattr(old.rule, name), getattr(new.rule, name))
    assert old.rule.never_if_clipped == (1,)
    assert vars(old.rule.warning).keys() == {"odds", "low_margin", "out_of_distribution"}
    assert old.rule.warning.low_margin == new.rule.warning.low_margin
    for name in FILES[1:]:
        assert (OLD / name).read_bytes() == (NEW / name).read_bytes()


def test_converted_it_is_the_released_one(copy: Path) -> None:
    assert convert(copy)
    for name in (*FILES, SUMS):
        assert (copy / name).read_bytes() == (NEW / name).read_bytes()
    assert not convert(copy)


def test_its_digest_is_checked_as_it_was_written(copy: Path) -> None:
    edit(copy, "beats", "offsets", [0, 540, 349, 0])
    with pytest.raises(ModelError, match=r"decision_sha256 is .* was changed after the bundle was"):
        Bundle.load(copy)
    edit(copy, "decision_sha256", ...)
    assert Bundle.load(copy).rule.offsets.tolist() == [0, 540, 349, 0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("beats", "tables", "early", ...), "rule.tables.prematurity is missing"),
        (("beats", "close", 0.5), "rule.low_margin is 0.5"),
        (("beats", []), "rule is [], expected an object"),
        (("recording", {}), "'recording' is unknown"),
        (("classes", 1, "name", 7), "classes[1].name is 7"),
        (("classes", 1), "classes is 1, expected a list"),
        (("classes", [1]), "classes[0] is 1, expected an object"),
        (("format", 4), "format is 4"),
    ],
)
def test_what_is_wrong_in_it_is_refused(copy: Path, change: tuple, named: str) -> None:
    edit(copy, "decision_sha256", ...)
    edit(copy, *change)
    with pytest.raises(ModelError) as caught:
        Bundle.load(copy)
    assert named in str(caught.value)


def test_windows_get_their_thresholds_as_a_rule() -> None:
    entry = {"name": "pvc", "title": "PVC", "threshold": 0.3, "sum_threshold": -3}
    found = from_format_2({"format": 2, "classes": [entry], "name": "x"})
    assert found == {
        "format": 3,
        "kind": "windows",
        "name": "x",
        "classes": [{"name": "pvc", "title": "PVC"}],
        "rule": {"thresholds": {"pvc": 0.3}, "sum_thresholds": {"pvc": -3}},
    }


def test_a_model_whose_only_class_is_s_was_never_kept_from_it() -> None:
    found = from_format_2({"format": 2, "classes": [{"name": "s", "title": "S"}], "beats": {}})
    assert found["rule"] == {"never_if_clipped": []}


def test_other_documents_are_left_alone() -> None:
    for document in (1, None, [], {"format": 3, "classes": 5}):
        assert from_format_2(document) is document
    with pytest.raises(ModelError, match="the file is 7, expected an object"):
        read_manifest(b"7")

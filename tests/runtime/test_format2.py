"""Bundles of format 2, as beatlens 0.1 wrote them: one is kept here, and reads as its format 3."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import FILES, MANIFEST, SUMS
from beatlens.runtime.format2 import from_format_2
from beatlens.runtime.manifest_file import read_manifest
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import LSB_MV
from beatlens.signals.simulate import COUNTS_PER_MV, simulate_patient
from beatlens.tasks.beats.rule import BeatRule
from benchmarks.convert_bundles import convert

OLD = Path(__file__).parent / "format2" / "beats"
TWIN = Path(__file__).parent / "format3" / "beats-6k"
"""What of the same model's bundle of format 3 differs: `bundle.json` and the sums."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(OLD, tmp_path / "beats")


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    """The bundle of format 3."""
    folder = shutil.copytree(OLD, tmp_path / "twin")
    return shutil.copytree(TWIN, folder, dirs_exist_ok=True)


def assert_same_rule(a: BeatRule, b: BeatRule) -> None:
    for name in ("before", "after", "scale", "never_if_clipped", "sharing"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("tables", "offsets"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.warning.low_margin == b.warning.low_margin


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


def test_it_is_of_format_2_and_its_twin_of_format_3(twin: Path) -> None:
    assert json.loads((OLD / MANIFEST).read_text())["format"] == 2
    assert json.loads((twin / MANIFEST).read_text())["format"] == 3


def test_it_reads_as_its_twin(twin: Path) -> None:
    old, new = Bundle.load(OLD), Bundle.load(twin)
    assert (old.name, old.kind_name, old.titles) == (new.name, "beats", new.titles)
    assert old.decision_sha256 != new.decision_sha256
    assert (old.measured, old.versions) == (new.measured, new.versions)
    assert_same_rule(old.rule, new.rule)
    assert old.rule.never_if_clipped == (1,)
    assert vars(old.rule.warning).keys() == {"odds", "low_margin", "out_of_distribution"}


def test_features_and_sharing_that_it_does_not_know_count_nothing() -> None:
    rule = Bundle.load(OLD).rule
    assert rule.tables[: FEATURES.index("rr_over_long_mean")].any(axis=(1, 2)).all()
    assert not rule.tables[FEATURES.index("rr_over_long_mean") :].any()
    assert rule.sharing is None


def test_converted_it_takes_steps_of_today(copy: Path, twin: Path) -> None:
    """The network is the same but for the first layer's biases, which are in steps of its input."""
    old = Bundle.load(OLD)
    for folder in (copy, twin):
        assert convert(folder)
        new = Bundle.load(folder)
        assert json.loads((folder / MANIFEST).read_text())["format"] == 3
        assert (old.lsb_mv, new.lsb_mv) == (0.025, LSB_MV)
        assert (old.measured, old.versions) == (new.measured, new.versions)
        assert_same_rule(old.rule, new.rule)
        np.testing.assert_array_equal(old.golden.inputs, new.golden.inputs)
        first, *others = zip(read_tflite(old.tflite).ops, read_tflite(new.tflite).ops, strict=True)
        np.testing.assert_array_equal(first[0].weights, first[1].weights)
        np.testing.assert_array_equal(first[1].bias, np.rint(first[0].bias / 2))
        for before, after in others:
            np.testing.assert_array_equal(
                getattr(before, "bias", None), getattr(after, "bias", None)
            )
        assert not convert(folder)


def test_converted_it_decides_nearly_the_same(copy: Path) -> None:
    """On a signal that neither clips: what differs is the rounding of samples and of biases."""
    convert(copy)
    recording, found = simulate_patient(2, 120, pvc_per_minute=20).recording, []
    for folder in (OLD, copy):
        stream = Bundle.load(folder).stream(recording.rate_hz, COUNTS_PER_MV)
        beats = [*stream.push(recording.counts[0].astype(np.int16)), *stream.flush()]
        found.append({beat.time_s: beat.class_name for beat in beats if beat.assessable})
    before, after = found
    same = sum(after.get(time_s) == name for time_s, name in before.items())
    assert same > 0.95 * len(before) > 100


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

"""Bundles that decide on whole recordings: written, read again, and refused by the field's name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from beatlens.errors import ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import FILES, MANIFEST, SUMS
from beatlens.runtime.manifest_file import write_manifest
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.rule import beat_rule
from beatlens.tasks.recordings.rule import recording_rule

from .cases import GAIN, RATE, TITLES, ecg_counts
from .recordings import RECIPE, assert_same, explain_whole, make_recording_bundle, random_rule

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    return make_recording_bundle(folder), folder


def edited(folder: Path, tmp_path: Path, path: tuple[str, ...], value: object) -> Path:
    """A copy with one field of bundle.json set, or removed for `...`, and signed again."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    document = json.loads((copy / MANIFEST).read_text())
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (copy / MANIFEST).write_text(json.dumps(document))
    lines = [f"{hashlib.sha256((copy / n).read_bytes()).hexdigest()}  {n}\n" for n in FILES]
    (copy / SUMS).write_text("".join(lines))
    return copy


def test_what_is_written_is_read(written: tuple[Bundle, Path]) -> None:
    made, folder = written
    loaded = Bundle.load(folder)
    rule, wanted = loaded.rule, random_rule(made.tensors["evidence"].scale)
    assert (rule.tables == wanted.tables).all()
    assert rule.offsets.tolist() == wanted.offsets.tolist()
    assert rule.scale == wanted.scale == loaded.tensors["evidence"].scale
    assert rule.calibration.temperature == wanted.calibration.temperature
    assert rule.calibration.bias.tolist() == wanted.calibration.bias.tolist()
    assert write_manifest(loaded) == write_manifest(made) == (folder / MANIFEST).read_bytes()
    counts = ecg_counts(15)
    assert_same(*(explain_whole(bundle, counts, RATE, GAIN) for bundle in (made, loaded)))
    loaded.verify(loaded.engine())


def test_a_bundle_says_what_it_decides_on(written: tuple[Bundle, Path], bundle: Bundle) -> None:
    made, _ = written
    assert (made.decides_on, made.kind.name) == ("whole recordings", "recordings")
    assert made.titles == RECIPE.titles
    assert made.classes == RECIPE.classes
    assert (bundle.decides_on, bundle.kind.name) == ("spans of 10 s", "windows")
    assert json.loads(write_manifest(bundle))["rule"].keys() == {"thresholds", "sum_thresholds"}


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("rule",), [], "rule is [], expected an object"),
        (("rule",), None, "rule is None, expected an object"),
        (("rule", "offsets"), [0, 0, 0], "rule.offsets is [0, 0, 0]"),
        (("rule", "tables", "rr_over_mean"), ..., "rule.tables.rr_over_mean is missing"),
        (
            ("rule", "tables", "rr_over_mean"),
            [0.5] * BINS * 4,
            "rule.tables.rr_over_mean is [0.5, ",
        ),
        (("rule", "bias"), "none", "rule.bias is 'none'"),
        (("rule", "temperature"), None, "rule.temperature is None"),
        (("rule", "scale"), 1, "rule.'scale' is unknown"),
        (("kind",), "beats", "rule.before is missing"),
        (("kind",), "breaths", "no kind of span is called 'breaths'"),
        (("beats",), {}, "'beats' is unknown"),
    ],
)
def test_a_malformed_rule_is_refused(
    written: tuple[Bundle, Path], tmp_path: Path, path: tuple[str, ...], value: object, named: str
) -> None:
    with pytest.raises(ModelError) as caught:
        Bundle.load(edited(written[1], tmp_path, path, value))
    assert str(caught.value).startswith((f"{MANIFEST}: ", "no kind"))
    assert named in str(caught.value)


def test_a_rule_of_another_kind_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the rule is a WindowRule, expected a RecordingRule"):
        make_recording_bundle(tmp_path / "other", rule=bundle.rule)
    with pytest.raises(ModelError, match="is of kind 'windows', expected one of beats"):
        beat_rule(bundle)
    with pytest.raises(ModelError, match="is of kind 'windows', expected one of recordings"):
        recording_rule(bundle)
    assert not (tmp_path / "other").exists()


def test_a_rule_of_other_classes_is_refused_when_written(tmp_path: Path) -> None:
    rule = random_rule(0.05)
    narrow = type(rule)(rule.tables[..., :3], rule.offsets[:3], 0.05, rule.calibration)
    with pytest.raises(ModelError, match=r"rule\.offsets is .*, expected a list of 4 whole"):
        make_recording_bundle(tmp_path / "narrow", rule=narrow)
    assert not (tmp_path / "narrow").exists()
    named = make_recording_bundle(tmp_path / "named", classes=TITLES)
    assert explain_whole(named, ecg_counts(12), RATE, GAIN).class_name in TITLES

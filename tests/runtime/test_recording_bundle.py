"""Bundles that decide on whole recordings: written, read again, and refused by the field's name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.calibration import Calibration
from beatlens.errors import ModelError
from beatlens.runtime.beat_rule import BeatRule
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import FILES, MANIFEST, SUMS
from beatlens.runtime.manifest import read_manifest
from beatlens.runtime.recording_stream import explain_whole
from beatlens.signals.beat_features import FEATURES as OF_BEATS
from beatlens.signals.rr_features import BINS

from .cases import GAIN, RATE, TITLES, ecg_counts
from .recordings import RECIPE, assert_same, make_recording_bundle, random_rule

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
    assert loaded.beats is None
    rule, wanted = loaded.recording, random_rule(made.tensors["evidence"].scale)
    assert rule is not None
    assert (rule.tables == wanted.tables).all()
    assert rule.offsets.tolist() == wanted.offsets.tolist()
    assert rule.scale == wanted.scale == loaded.tensors["evidence"].scale
    assert rule.calibration.temperature == wanted.calibration.temperature
    assert rule.calibration.bias.tolist() == wanted.calibration.bias.tolist()
    assert loaded.document() == made.document() == (folder / MANIFEST).read_bytes()
    counts = ecg_counts(15)
    assert_same(*(explain_whole(bundle, counts, RATE, GAIN) for bundle in (made, loaded)))
    loaded.verify(loaded.engine())


def test_a_bundle_says_what_it_decides_on(written: tuple[Bundle, Path], bundle: Bundle) -> None:
    made, _ = written
    assert (made.decides_on, made.stream_name) == ("whole recordings", "recording_stream")
    assert made.titles == RECIPE.titles
    assert made.classes == RECIPE.classes
    assert "recording" not in json.loads(bundle.document())
    assert bundle.recording is None
    assert (bundle.decides_on, bundle.stream_name) == ("spans of 10 s", "stream")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("recording",), [], "recording is [], expected an object"),
        (("recording",), None, "recording is None, expected an object"),
        (("recording", "offsets"), [0, 0, 0], "recording.offsets is [0, 0, 0]"),
        (("recording", "tables", "slow"), ..., "recording.tables.slow is missing"),
        (
            ("recording", "tables", "slow"),
            [0.5] * BINS * 4,
            "recording.tables.slow is [0.5, ",
        ),
        (("recording", "bias"), "none", "recording.bias is 'none'"),
        (("recording", "temperature"), None, "recording.temperature is None"),
        (("recording", "scale"), 1, "recording.'scale' is unknown"),
        (("beats",), {}, "beats.before is missing"),
    ],
)
def test_a_malformed_rule_is_refused(
    written: tuple[Bundle, Path], tmp_path: Path, path: tuple[str, ...], value: object, named: str
) -> None:
    with pytest.raises(ModelError) as caught:
        Bundle.load(edited(written[1], tmp_path, path, value))
    assert str(caught.value).startswith(f"{MANIFEST}: ")
    assert named in str(caught.value)


def beat_rule(scale: float) -> BeatRule:
    tables, calm = np.zeros((len(OF_BEATS), BINS, 4)), Calibration(1.0, np.zeros(4))
    return BeatRule.of(tables, np.zeros(4), scale, (4, 7), calm, 0.0, 0.0)


def test_a_model_decides_on_one_thing_only(written: tuple[Bundle, Path], tmp_path: Path) -> None:
    made, folder = written
    both = beat_rule(made.tensors["evidence"].scale)
    told = "recording is .* expected none beside `beats`: a model decides on one of them"
    with pytest.raises(ModelError, match=told):
        make_recording_bundle(tmp_path / "both", beats=both)
    assert not (tmp_path / "both").exists()
    document = json.loads((folder / MANIFEST).read_text()) | {"beats": both.document()}
    with pytest.raises(ModelError, match=told):
        read_manifest(json.dumps(document).encode())


def test_a_rule_of_other_classes_is_refused_when_written(tmp_path: Path) -> None:
    rule = random_rule(0.05)
    narrow = type(rule)(rule.tables[..., :3], rule.offsets[:3], 0.05, rule.calibration)
    with pytest.raises(ModelError, match=r"recording\.offsets is .*, expected a list of 4 whole"):
        make_recording_bundle(tmp_path / "narrow", recording=narrow)
    assert not (tmp_path / "narrow").exists()
    named = make_recording_bundle(tmp_path / "named", classes=TITLES)
    assert explain_whole(named, ecg_counts(12), RATE, GAIN).class_name in TITLES

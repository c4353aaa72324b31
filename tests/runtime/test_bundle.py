"""Bundles made, written whole, and read back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import beatlens
from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Conv, IntegerGraph, Mean, Quantization, Tensor
from beatlens.integer.packing import check_model
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle, derive_geometry
from beatlens.runtime.folder import FILES, SUMS
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.windows.rule import WindowRule, build_rule, logit, sum_threshold

from .cases import TITLES

pytestmark = pytest.mark.export


def test_a_bundle_reads_back_as_it_was_made(bundle, bundle_dir):
    again = Bundle.load(str(bundle_dir))
    assert again.name == "tiny-dense"
    assert again.classes == ("pvc", "sve", "afib", "bbb")
    assert again.titles == TITLES
    assert again.rule.thresholds == {"pvc": 0.5, "sve": 0.3, "afib": 0.6, "bbb": 0.5}
    assert again.measured["macro_ap"]["data"].startswith("none")
    assert again.versions["beatlens"] == beatlens.__version__
    assert (again.span_columns, again.span_samples, again.span_s) == (160, 1280, 10.0)
    assert again.hop_columns == 16
    assert again.geometry == Geometry.of([(16, 2), (7, 2), (7, 2), (9, 1)])
    assert again.tflite == (bundle_dir / "model.tflite").read_bytes() == bundle.tflite
    assert again.packed == (bundle_dir / "weights.blpk").read_bytes() == bundle.packed
    assert again.packed_bytes == len(again.packed) < len(again.tflite)
    check_model(again.packed, read_tflite(again.tflite))
    assert again.golden.evidence.shape == (3, 160, 4)
    for name in ("inputs", "evidence", "logits"):
        np.testing.assert_array_equal(getattr(again.golden, name), getattr(bundle.golden, name))


def test_a_bundle_has_these_files_and_no_more(bundle_dir):
    assert sorted(p.name for p in bundle_dir.iterdir()) == sorted([*FILES, SUMS])
    assert [p.name for p in bundle_dir.parent.iterdir()] == ["dense"]


def test_the_sums_are_those_of_sha256sum(bundle_dir):
    lines = (bundle_dir / SUMS).read_text().splitlines()
    for line, name in zip(lines, FILES, strict=True):
        assert line == f"{hashlib.sha256((bundle_dir / name).read_bytes()).hexdigest()}  {name}"


@pytest.mark.parametrize("kind", ["dense", "residual"])
def test_geometry_is_derived_from_the_network(kind, bundle, residual):
    from beatlens.nets.backbones import build

    from .conftest import SPECS

    model = bundle if kind == "dense" else residual
    assert derive_geometry(read_tflite(model.tflite)) == build(SPECS[kind], ("a",)).geometry


def test_thresholds_in_integers_decide_as_probabilities_do():
    for q in (Quantization(0.05, 0), Quantization(0.013, -20), Quantization(0.2, 127)):
        for threshold in (0.02, 0.3, 0.5, 0.9):
            least = sum_threshold(threshold, q, 160)
            value = [q.scale * (s / 160 - q.zero_point) for s in (least, least - 1)]
            assert -128 * 160 <= least <= 127 * 160 + 1
            if least <= 127 * 160:
                assert value[0] >= logit(threshold) - 1e-9
            if least > -128 * 160:
                assert value[1] < logit(threshold) + 1e-9
    assert sum_threshold(1 - 1e-6, Quantization(0.001, 0), 160) == 127 * 160 + 1


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, float("nan")])
def test_thresholds_that_are_no_probabilities_are_refused(bundle, value):
    with pytest.raises(ModelError, match=f"threshold of pvc is {value}, expected a probability"):
        build_rule(read_tflite(bundle.tflite), {"pvc": value})


def test_replacing_a_bundle_is_asked_for(bundle, tmp_path):
    arguments = {
        "tflite": bundle.tflite,
        "kind": "windows",
        "rule": bundle.rule,
        "classes": TITLES,
        "golden_inputs": bundle.golden.inputs[:1],
    }
    Bundle.create(tmp_path / "b", name="first", **arguments)
    with pytest.raises(ModelError, match="exists already"):
        Bundle.create(tmp_path / "b", name="second", **arguments)
    assert Bundle.load(tmp_path / "b").name == "first"
    Bundle.create(tmp_path / "b", name="second", replace=True, **arguments)
    assert Bundle.load(tmp_path / "b").name == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    (tmp_path / "b" / "README.md").write_text("mine")
    with pytest.raises(ModelError, match=r"'README\.md', which is no part of a bundle"):
        Bundle.create(tmp_path / "b", name="third", replace=True, **arguments)
    assert (tmp_path / "b" / "README.md").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="not a folder"):
        Bundle.create(tmp_path / "file", name="third", replace=True, **arguments)


def test_an_interrupted_replacement_leaves_the_old_bundle(bundle, tmp_path, monkeypatch):
    arguments = {
        "tflite": bundle.tflite,
        "kind": "windows",
        "rule": bundle.rule,
        "classes": TITLES,
        "golden_inputs": bundle.golden.inputs[:1],
    }
    Bundle.create(tmp_path / "b", name="first", **arguments)
    rename = Path.rename

    def interrupted(path, target):
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Bundle.create(tmp_path / "b", name="second", replace=True, **arguments)
    assert Bundle.load(tmp_path / "b").name == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_disk_that_refuses_is_an_error(bundle, tmp_path, monkeypatch):
    def refuse(path, data):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ModelError, match=r"cannot be written .*No space left"):
        Bundle.create(
            tmp_path / "b",
            name="x",
            tflite=bundle.tflite,
            kind="windows",
            rule=bundle.rule,
            classes=TITLES,
            golden_inputs=bundle.golden.inputs[:1],
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../evil"}, "name is '../evil'"),
        ({"name": ""}, "name is ''"),
        ({"classes": {"pvc": "x"}}, "1 classes are named, the network has 4"),
        ({"classes": {**dict.fromkeys("abc", "x"), "d d": "x"}}, "'d d'"),
        ({"classes": dict.fromkeys("abcd", "\n")}, "printable"),
        ({"rule": WindowRule({"pvc": 0.5}, {"pvc": 0})}, "rule.thresholds.sve is missing"),
        ({"rule": None}, "the rule is a NoneType, expected a WindowRule"),
        (
            {"kind": "breaths"},
            "no kind of span is called 'breaths', expected one of windows, beats",
        ),
        ({"golden_inputs": np.zeros((1, 7), np.int8)}, r"golden inputs are int8 \(1, 7\)"),
        ({"golden_inputs": np.zeros((0, 1432), np.int8)}, "golden inputs are"),
        ({"golden_inputs": np.zeros((1, 1432))}, "golden inputs are float64"),
        ({"hop_columns": 161}, "hop_columns is 161"),
        ({"measured": {"x": float("nan")}}, "cannot be written"),
        ({"measured": {"x": object()}}, "cannot be written"),
        ({"versions": {"torch": 2}}, "versions.torch is 2"),
        ({"tflite": b"TFL3"}, ".tflite"),
    ],
)
def test_a_bundle_that_cannot_be_made_leaves_nothing_behind(bundle, tmp_path, change, message):
    arguments = {
        "name": "x",
        "tflite": bundle.tflite,
        "kind": "windows",
        "rule": bundle.rule,
        "classes": TITLES,
        "golden_inputs": bundle.golden.inputs,
    }
    with pytest.raises(ModelError, match=message):
        Bundle.create(tmp_path / "b", **{**arguments, **change})
    assert list(tmp_path.iterdir()) == []


def padded_graph() -> IntegerGraph:
    q = Quantization(0.5, 0)
    first = Quantization(float(np.float32(LSB_MV)), 0)
    conv = Conv(
        name="conv",
        input="input",
        output="evidence",
        weights=np.ones((1, 3, 1), np.int8),
        weight_scales=np.ones(1, np.float32),
        bias=np.zeros(1, np.int32),
        padding="same",
    )
    tensors = [Tensor("input", 10, 1, first), Tensor("evidence", 10, 1, q)]
    tensors.append(Tensor("logits", 1, 1, q))
    mean = Mean(name="mean", input="evidence", output="logits")
    outputs = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input", outputs)


def test_a_padded_network_is_refused(tmp_path):
    with pytest.raises(ModelError, match="padding 'same', expected 'valid'"):
        Bundle.create(
            tmp_path / "b",
            name="x",
            tflite=write_tflite(padded_graph()),
            kind="windows",
            rule=None,
            classes={"a": "A"},
            golden_inputs=np.zeros((1, 10), np.int8),
        )

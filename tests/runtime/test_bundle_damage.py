"""Every damage and contradiction in a bundle is refused by name."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import beatlens
from beatlens.errors import BeatlensError, ModelError
from beatlens.integer.graph import Quantization
from beatlens.integer.packing import pack_model
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime import bundle_checks
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.bundle_checks import decision_sha256
from beatlens.runtime.folder import FILES, MANIFEST, SUMS
from beatlens.runtime.manifest_file import read_manifest
from beatlens.tasks.windows.rule import sum_threshold

pytestmark = pytest.mark.export
OLD_PYTHON = Path(__file__).parents[2] / ".venv-tflite" / "bin" / "python"


@pytest.fixture
def folder(bundle_dir, tmp_path):
    """A copy of the dense bundle to be damaged."""
    return shutil.copytree(bundle_dir, tmp_path / "copy")


def sign(folder):
    """Make the sums right again, as one who tampers would."""
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in FILES]
    (folder / SUMS).write_text("".join(lines))


def edit(folder, *path_and_value):
    """Set one field of bundle.json, or remove it where the value is `...`; make all sums anew."""
    *path, key, value = path_and_value
    document = json.loads((folder / MANIFEST).read_text())
    place = document
    for step in path:
        place = place[step]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    if "decision_sha256" in document and key != "decision_sha256":
        files = {name: (folder / name).read_bytes() for name in FILES}
        document["decision_sha256"] = decision_sha256(document, files)
    (folder / MANIFEST).write_text(json.dumps(document))
    sign(folder)


# Damaged files


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_each_file_is_needed(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_each_file_is_checked(folder, name):
    data = bytearray((folder / name).read_bytes())
    for position in (0, len(data) // 2, len(data) - 2):
        damaged = data.copy()
        damaged[position] ^= 0x11
        (folder / name).write_bytes(damaged)
        with pytest.raises(ModelError):
            Bundle.load(folder)
    (folder / name).write_bytes(data[:-3])
    with pytest.raises(ModelError):
        Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_each_file_truncated_and_signed_again(folder, name):
    data = (folder / name).read_bytes()
    for keep in (0, 1, len(data) // 2):
        (folder / name).write_bytes(data[:keep])
        sign(folder)
        with pytest.raises(ModelError):
            Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_links_are_not_followed(folder, name, tmp_path):
    outside = tmp_path / "outside"
    shutil.move(folder / name, outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(ModelError, match="not a link"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "line",
    ["0" * 64 + "  ../../secret", "0" * 64 + "  /etc/passwd", "x", "", "0" * 63 + "  bundle.json"],
)
def test_lines_that_do_not_belong_into_the_sums(folder, line):
    (folder / SUMS).write_text((folder / SUMS).read_text() + line + "\n")
    with pytest.raises(ModelError, match="line 7 is"):
        Bundle.load(folder)


def test_a_sum_given_twice_or_not_at_all(folder):
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join([*lines, lines[0]]))
    with pytest.raises(ModelError, match="line 7"):
        Bundle.load(folder)
    (folder / SUMS).write_text("".join(lines[1:]))
    with pytest.raises(ModelError, match=r"has no line for bundle\.json"):
        Bundle.load(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        Bundle.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="no such folder"):
        Bundle.load(tmp_path / "file")


# Wrong fields

WRONG = [
    ("format", 1),
    ("format", "1"),
    ("format", True),
    ("name", 7),
    ("name", "a/b"),
    ("name", "x" * 65),
    ("classes", []),
    ("classes", {"pvc": 1}),
    ("classes", 0, "pvc"),
    ("classes", 0, "name", "PVC"),
    ("classes", 0, "name", "sve"),
    ("classes", 1, "title", ""),
    ("classes", 1, "threshold", 0.5),
    ("kind", 1),
    ("kind", "Windows"),
    ("rule", None),
    ("rule", "offsets", []),
    ("rule", "thresholds", "sve", 0),
    ("rule", "thresholds", "sve", 1.5),
    ("rule", "thresholds", "sve", None),
    ("rule", "thresholds", "other", 0.5),
    ("rule", "sum_thresholds", "afib", 10**6),
    ("rule", "sum_thresholds", "afib", 0.5),
    ("rule", "sum_thresholds", "afib", ...),
    ("front_end", "model_rate_hz", 250),
    ("front_end", "lsb_mv", 0.025),
    ("front_end", "lsb_mv", 0.04),
    ("front_end", "extra", 1),
    ("front_end", ...),
    ("geometry", "stride", 0),
    ("geometry", "stride", 2**70),
    ("geometry", "receptive_field", 4),
    ("geometry", "receptive_field", -1),
    ("geometry", None),
    ("span_columns", 0),
    ("span_columns", 10**9),
    ("span_columns", 159.0),
    ("hop_columns", 0),
    ("hop_columns", 161),
    ("tensors", "input", "scale", 0.05),
    ("tensors", "input", "scale", 0.02500000037252903),
    ("tensors", "input", "zero_point", 1),
    ("tensors", "evidence", "scale", 0),
    ("tensors", "evidence", "scale", 0.1),
    ("tensors", "evidence", "scale", 1e300),
    ("tensors", "evidence", "zero_point", 128),
    ("tensors", "logits", ...),
    ("tensors", "other", {}),
    ("packed_bytes", 0),
    ("packed_bytes", 2**40),
    ("packed_bytes", "1"),
    ("packed_bytes", ...),
    ("golden_cases", 0),
    ("golden_cases", 65),
    ("measured", []),
    ("measured", ...),
    ("versions", "beatlens", 1),
    ("versions", []),
    ("surprise", 1),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda c: "-".join(map(str, c))[:60])
def test_each_field_is_checked_and_named(folder, change):
    edit(folder, *change)
    with pytest.raises(ModelError, match=r"bundle\.json") as caught:
        Bundle.load(folder)
    field = [str(part) for part in change[:-1] if isinstance(part, str)][-1]
    assert field in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": 1, "format": 1}',
        b"[" * 100_000,
        b'{"format": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object(folder, text):
    (folder / MANIFEST).write_bytes(text)
    sign(folder)
    with pytest.raises(ModelError, match=r"bundle\.json"):
        Bundle.load(folder)


def with_scale(document, scale):
    document["tensors"]["evidence"]["scale"] = scale
    q = Quantization(scale, document["tensors"]["evidence"]["zero_point"])
    rule = document["rule"]
    for name, value in rule["thresholds"].items():
        rule["sum_thresholds"][name] = sum_threshold(value, q, document["span_columns"])


def other_scale(document):
    with_scale(document, 0.5)


def other_logit_scale(document):
    document["tensors"]["logits"]["scale"] = 0.5


def other_geometry(document):
    """Another stride that asks for the same number of samples."""
    stride, span = document["geometry"]["stride"], document["span_columns"]
    document["geometry"]["stride"] = stride // 2
    document["geometry"]["receptive_field"] += (span - 1) * (stride // 2)


@pytest.mark.parametrize("change", [other_scale, other_logit_scale, other_geometry])
def test_a_manifest_that_contradicts_the_network(folder, change):
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    rewrite(folder, document)
    with pytest.raises(ModelError, match=r"as in model\.tflite"):
        Bundle.load(folder)


@pytest.mark.parametrize("change", ["scale", "geometry"])
def test_an_engine_too_finds_a_bundle_that_contradicts_the_network(bundle, change):
    """A bundle that was not loaded but made of parts."""
    if change == "scale":
        q = Quantization(0.5, bundle.tensors["evidence"].zero_point)
        other = dataclasses.replace(bundle, tensors={**bundle.tensors, "evidence": q})
    else:
        other = dataclasses.replace(bundle, span_columns=bundle.span_columns - 1)
    with pytest.raises(ModelError, match=r"model\.tflite"):
        other.engine()


def test_packed_weights_that_are_damaged(folder):
    data = bytearray((folder / "weights.blpk").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "weights.blpk").write_bytes(data)
    sign(folder)
    with pytest.raises(ModelError, match=r"weights\.blpk: packed weights: the checksum is"):
        Bundle.load(folder)


def test_packed_weights_of_another_size_than_told(folder):
    edit(folder, "packed_bytes", 7)
    with pytest.raises(
        ModelError, match=r"bundle\.json: packed_bytes is 7, expected \d+, the size"
    ):
        Bundle.load(folder)


def test_packed_weights_of_another_network(folder, bundle):
    """One weight differs: sound in itself, but not what model.tflite holds."""
    graph = read_tflite(bundle.tflite)
    weights = graph.ops[0].weights.copy()
    weights[0, 0, 0] += 1 if weights[0, 0, 0] < 0 else -1
    ops = (dataclasses.replace(graph.ops[0], weights=weights), *graph.ops[1:])
    packed = pack_model(dataclasses.replace(graph, ops=ops))
    (folder / "weights.blpk").write_bytes(packed)
    edit(folder, "packed_bytes", len(packed))
    with pytest.raises(ModelError, match=r"weights\.blpk: packed weights: layer 0 of shape"):
        Bundle.load(folder)


# What decides


def rewrite(folder, document):
    """Write another bundle.json, with all sums as one who tampers would make them."""
    files = {name: (folder / name).read_bytes() for name in FILES}
    document["decision_sha256"] = decision_sha256(document, files)
    (folder / MANIFEST).write_text(json.dumps(document))
    sign(folder)


@pytest.mark.parametrize("role", ["evidence", "logits"])
def test_golden_vectors_of_another_model_are_found(folder, role):
    name = f"golden_{role}.bin"
    data = bytearray((folder / name).read_bytes())
    data[-1] = (data[-1] + 3) % 256
    (folder / name).write_bytes(data)
    rewrite(folder, json.loads((folder / MANIFEST).read_text()))
    with pytest.raises(ModelError, match=rf"{name}: {role} of golden vector 2 differs .* in 1 of"):
        Bundle.load(folder)


def test_the_scale_of_an_inner_activation_is_checked(folder):
    """No other file holds it, and every engine would run the changed network."""
    data = bytearray((folder / "model.tflite").read_bytes())
    graph = read_tflite(bytes(data))
    inner = next(t for name, t in graph.tensors.items() if name not in ("input", *graph.outputs))
    word = struct.pack("<f", inner.quantization.scale)
    assert data.count(word) == 1
    at = data.index(word)
    data[at : at + 4] = struct.pack("<f", inner.quantization.scale * 1.25)
    (folder / "model.tflite").write_bytes(data)
    rewrite(folder, json.loads((folder / MANIFEST).read_text()))
    with pytest.raises(
        ModelError, match=r"golden_evidence\.bin: evidence of golden vector 0 differs"
    ):
        Bundle.load(folder)


def test_golden_vectors_are_replayed_once(bundle_dir, monkeypatch):
    monkeypatch.setattr(bundle_checks, "_replayed", set())
    runs = []
    monkeypatch.setattr(
        bundle_checks, "simulate", lambda graph, x: runs.append(len(x)) or simulate(graph, x)
    )
    for _ in range(3):
        Bundle.load(bundle_dir)
    assert runs == [3]


def test_a_network_that_takes_too_much_work_is_refused(folder, monkeypatch):
    monkeypatch.setattr(bundle_checks, "_replayed", set())
    for limit, what in (("MAX_MACS", "multiply-accumulates"), ("MAX_UNFOLDED", "values that")):
        with monkeypatch.context() as limited:
            limited.setattr(bundle_checks, limit, 1000)
            with pytest.raises(ModelError, match=rf"has \d+ {what}.*, at most 1000 are run"):
                Bundle.load(folder)
    with monkeypatch.context() as limited:
        limited.setattr(bundle_checks, "MACS_AT_ONCE", 1)
        Bundle.load(folder)


def swap_labels(document):
    first, second = document["classes"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    first["title"], second["title"] = second["title"], first["title"]


def other_threshold(document):
    document["rule"]["thresholds"]["pvc"] = 0.5000001


@pytest.mark.parametrize("change", [swap_labels, other_threshold])
def test_what_decides_is_tied_to_the_network(folder, change):
    """By a digest made with the bundle; the sums alone are made anew here."""
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))
    sign(folder)
    with pytest.raises(ModelError, match=r"bundle\.json: decision_sha256 is .* was changed after"):
        Bundle.load(folder)


def test_figures_may_be_added(folder):
    edit(folder, "measured", {"macro_ap": {"value": 0.7, "data": "of somebody else"}})
    assert Bundle.load(folder).measured["macro_ap"]["value"] == 0.7


def test_a_bundle_of_before_the_digest_is_read(folder):
    edit(folder, "decision_sha256", ...)
    assert Bundle.load(folder).decision_sha256 is None
    edit(folder, "decision_sha256", "0")
    with pytest.raises(ModelError, match="decision_sha256 is '0', expected 64 hex"):
        Bundle.load(folder)


# One bit


CHANGES = 60


def one_bit_changes(python, folder, count, *options):
    """What so many changes gave; a crash is an outcome of its own."""
    script = Path(__file__).with_name("one_bit_changes.py")
    outcomes, first = [], 0
    while first < count:
        done = subprocess.run(
            [python, script, folder, "1", str(first), str(count), *options],
            env={**os.environ, "PYTHONPATH": str(Path(beatlens.__file__).parents[1])},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode <= 0, done.stderr[-2000:]
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        outcomes += [line["found"] for line in lines]
        outcomes += [f"signal {-done.returncode}"] if done.returncode else []
        first = len(outcomes)
    return outcomes


@pytest.mark.parametrize("options", [(), ("--packed",)], ids=["tflite", "tflite and blpk"])
@pytest.mark.parametrize("environment", ["litert", "tflite"])
def test_a_bit_of_the_network_is_refused_or_makes_no_difference(bundle_dir, environment, options):
    """In the environment of tflite-runtime 338 of 1,000 such changes ended the process."""
    python = sys.executable
    if environment == "tflite":
        python = OLD_PYTHON
        if not Path(python).exists():
            pytest.skip(
                "NO .venv-tflite (make tflite-env): changes were not tried on tflite-runtime"
            )
    outcomes = one_bit_changes(python, bundle_dir, CHANGES, *options)
    assert len(outcomes) == CHANGES
    assert set(outcomes) <= {"refused", "right"}
    assert outcomes.count("refused") > CHANGES // 2


# Anything

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
hostile = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places(value, path=()):
    """Paths to everything inside a document."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@hostile
@given(data=st.data())
def test_any_change_of_the_manifest_is_read_or_refused(bundle_dir, data):
    files = {name: (bundle_dir / name).read_bytes() for name in FILES}
    document = json.loads(files[MANIFEST])
    paths = sorted(places(document), key=str)
    *path, key = data.draw(st.sampled_from(paths))
    place = document
    for step in path:
        place = place[step]
    place[key] = data.draw(junk | st.just(copy.deepcopy(document)))
    try:
        read = Bundle._read({**files, MANIFEST: json.dumps(document).encode()})
    except BeatlensError:
        return
    assert read.classes == tuple(entry["name"] for entry in document["classes"])


@hostile
@given(position=st.integers(0, 1 << 20), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_any_byte_of_the_manifest_is_read_or_refused(bundle_dir, position, byte, cut):
    data = bytearray((bundle_dir / MANIFEST).read_bytes())
    position %= len(data)
    data[position : position + cut] = bytes([byte])
    try:
        read_manifest(bytes(data))
    except BeatlensError:
        return


@hostile
@given(position=st.integers(0, 1 << 20), word=st.integers(0, 2**32 - 1))
def test_any_word_of_the_network_is_read_or_refused(bundle_dir, position, word):
    files = {name: (bundle_dir / name).read_bytes() for name in FILES}
    data = bytearray(files["model.tflite"])
    position %= len(data) - 4
    data[position : position + 4] = struct.pack("<I", word)
    try:
        Bundle._read({**files, "model.tflite": bytes(data)})
    except BeatlensError:
        return

"""Firmware packages: they build as they are, their golden vectors hold, and damage is seen."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.errors import ModelError, RecipeError
from beatlens.firmware.cores import CORES
from beatlens.firmware.package import write_bundle, write_network
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.bundle_checks import decision_sha256
from beatlens.runtime.folder import FILES, MANIFEST, MODEL, write_folder
from beatlens.runtime.manifest_file import write_manifest
from beatlens.signals.frontend import FrontEnd
from beatlens.verbs.app import app
from beatlens.verbs.firmware import identifier

from ..integer.graphs import student_graph
from ..runtime.conftest import make_bundle
from . import objects
from .boards import BOARDS, COMPILER, build, require_tools, run

SENSOR = FrontEnd(250, 400.0, (-2048, 2047))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


def made_by_make(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """The result of `make`; skips, loudly, where it is missing."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("NO make OR cc: firmware packages were not built")
    compiler = f"{sys.executable} -IS {objects.__file__} {objects.folder()} cc"
    return subprocess.run(
        ["make", *targets, f"HOST_CC={compiler}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def spoil(source: Path, array: str) -> None:
    """Change the last number of an array of C, by much."""
    text = source.read_text()
    start = text.index("{", text.index(array))
    end = text.index("}", start)
    number = re.search(r"(-?\d+)\s*$", text[start:end])
    assert number is not None
    at = start + number.start()
    other = 77 if re.search(rf"int8_t {array}", text) else 7777
    assert int(number[1]) != other
    source.write_text(f"{text[:at]}{other}{text[start + number.end() :]}")


@pytest.mark.parametrize("core", CORES)
def test_golden_vectors_hold_on_this_computer(bundle: Bundle, core: str, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips", core)
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("core", [core for core in CORES if core != "any"])
def test_a_library_is_made_for_each_core(bundle: Bundle, core: str, tmp_path: Path) -> None:
    if shutil.which(COMPILER) is None:
        pytest.skip(f"NO {COMPILER}: firmware packages were not compiled for microcontrollers")
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips", core)
    done = made_by_make(folder)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert (folder / "libstrips.a").stat().st_size > 1000


@pytest.mark.parametrize("board", ["m3", "m4", "m55"])
def test_golden_vectors_hold_on_boards(bundle: Bundle, board: str, tmp_path: Path) -> None:
    require_tools()
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips", board)
    sources = [*folder.glob("*.c"), *(folder / "src").glob("*.c")]
    program = build(BOARDS[board], sources, tmp_path, f"-I{folder}")
    assert run(BOARDS[board], program).status == 0


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("strips_golden_net.c", "strips_golden_net_evidence"),
        ("strips_golden_stream.c", "strips_golden_stream_sums_0"),
        ("strips_golden_stream.c", "strips_golden_stream_counts"),
        ("strips_net.c", "strips_net_2_weights"),
        ("strips_sensor.c", "strips_sensor_taps"),
    ],
)
def test_damage_is_seen(bundle: Bundle, file: str, array: str, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips")
    spoil(folder / file, array)
    done = made_by_make(folder, "check")
    assert done.returncode != 0
    assert "selftest] Error 1" in done.stderr or "check] Error 1" in done.stderr, done.stderr


def test_networks_of_other_makers(shared_dir: Path, tmp_path: Path) -> None:
    model = (shared_dir / "anchors" / "tiny_cam.tflite").read_bytes()
    folder = write_network(model, tmp_path / "out", "tiny", "m4")
    assert made_by_make(folder, "check").returncode == 0
    assert "windows of 1250 columns" in (folder / "README.md").read_text()
    assert not (folder / "src" / "bl_mve.c").exists()
    assert not (folder / "src" / "bl_taps.c").exists()


def test_readme_says_what_a_board_engineer_asks_first(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips", "m4")
    text = (folder / "README.md").read_text()
    assert re.search(r"A stream needs [\d,]+ bytes", text)
    assert "250 Hz with 400 counts per mV" in text
    assert "sums reach" in text
    assert "Not a medical device" in text


def test_cmake_takes_the_folder(bundle: Bundle, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("NO cmake: CMakeLists.txt was not tried")
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", "strips")
    subprocess.run(["cmake", "-S", folder, "-B", tmp_path / "build"], check=True)
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True)
    assert (tmp_path / "build" / "libstrips.a").exists()


def test_nothing_is_written_over_or_half(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="core is 'm9'"):
        write_bundle(bundle, SENSOR, tmp_path / "out", "strips", "m9")
    with pytest.raises(RecipeError, match="C identifier"):
        write_bundle(bundle, SENSOR, tmp_path / "out", "two words")
    assert not list(tmp_path.iterdir())
    write_network(write_tflite(student_graph(columns=4)), tmp_path / "out", "net")
    with pytest.raises(ModelError, match="is there already"):
        write_network(write_tflite(student_graph(columns=4)), tmp_path / "out", "net")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_verb_needs_a_sensor_and_a_model(tmp_path: Path) -> None:
    make_bundle("dense", tmp_path / "model")
    model = str(tmp_path / "model")

    def run_command(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["firmware", *arguments])
        return result.exit_code, result.output + str(result.exception or "")

    assert "needs the sensor" in run_command(model)[1]
    assert "no such model" in run_command(str(tmp_path / "nothing"))[1]
    out = str(tmp_path / "out")
    status, text = run_command(model, "--out", out, "--rate", "250", "--counts-per-mv", "400")
    assert status == 0, text
    assert (tmp_path / "out" / "tiny_dense.h").exists()
    (tmp_path / "net.tflite").write_bytes(write_tflite(student_graph(columns=4)))
    net = run_command(str(tmp_path / "net.tflite"), "--out", str(tmp_path / "net"), "--core", "m55")
    assert net[0] == 0, net[1]
    (tmp_path / "bad.tflite").write_bytes(b"bad")
    assert "TFL3" in run_command(str(tmp_path / "bad.tflite"))[1]


def test_a_bundle_that_fails_is_refused(tmp_path: Path) -> None:
    """Nothing is written, and no golden vector is made to fit a changed network."""
    make_bundle("dense", tmp_path / "model")
    files = {name: (tmp_path / "model" / name).read_bytes() for name in FILES}
    network = bytearray(files[MODEL])
    graph = read_tflite(files[MODEL])
    inner = next(t for name, t in graph.tensors.items() if name not in ("input", *graph.outputs))
    at = network.index(struct.pack("<f", inner.quantization.scale))
    network[at : at + 4] = struct.pack("<f", inner.quantization.scale * 1.25)
    document = json.loads(files[MANIFEST])
    swapped = json.loads(files[MANIFEST])
    first, second = swapped["classes"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    changes = {
        "scale": {MODEL: bytes(network)},
        "labels": {MANIFEST: json.dumps(swapped).encode()},
    }
    for name, changed in changes.items():
        made = {**files, **changed}
        if name == "scale":
            document["decision_sha256"] = decision_sha256(document, made)
            made[MANIFEST] = json.dumps(document).encode()
        write_folder(tmp_path / name, made, replace=False)
        arguments = ["--rate", "250", "--counts-per-mv", "400", "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(app, ["firmware", str(tmp_path / name), *arguments])
        assert result.exit_code == 1
        assert isinstance(result.exception, ModelError)
        assert "get the bundle again" in str(result.exception)
        assert not (tmp_path / "out").exists()


def test_golden_vectors_are_those_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    evidence = bundle.golden.evidence.copy()
    evidence[0, 0, 0] ^= 1
    other = replace(bundle, golden=replace(bundle.golden, evidence=evidence))
    folder = write_bundle(other, SENSOR, tmp_path / "out", "strips")
    assert made_by_make(folder, "check").returncode != 0


def test_a_bundle_without_a_digest_is_noted(tmp_path: Path) -> None:
    bundle = make_bundle("dense", tmp_path / "model")
    arguments = ["firmware", str(tmp_path / "model"), "--rate", "250", "--counts-per-mv", "400"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "one")])
    assert "note:" not in result.output
    files = {name: (tmp_path / "model" / name).read_bytes() for name in FILES}
    files[MANIFEST] = write_manifest(replace(bundle, decision_sha256=None))
    write_folder(tmp_path / "model", files, replace=True)
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "two")])
    assert "note: bundle.json has no decision_sha256" in " ".join(result.output.split())
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["int8_t", "wrist_t", "INT8_MAX", "UINT8_C", "NULL", "class", "bool", "while", "main", "string",
     "stdint", "memcpy", "bl_net", "beatlens", "selftest", "linux"],
)  # fmt: skip
def test_names_that_c_or_the_engine_has_are_refused(
    bundle: Bundle, name: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=rf"is '{name}', which C, C\+\+, .* expected another C"):
        write_bundle(bundle, SENSOR, tmp_path / "out", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["memory", "beats", "stream", "counts", "f", "net"])
def test_other_names_compile(bundle: Bundle, name: str, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "out", name)
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr


def test_names_become_identifiers() -> None:
    assert identifier("dense 12k") == "dense_12k"
    assert identifier("12k") == "model_12k"

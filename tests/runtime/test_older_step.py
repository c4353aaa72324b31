"""Bundles whose networks take samples in steps of 0.025 mV: two that were released are kept here.

They run as they did, in Python and in C; what recordings in today's steps would be prepared for
refuses them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from beatlens.errors import ModelError
from beatlens.firmware.package import write_bundle
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.folder import MANIFEST
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, simulate_patient
from beatlens.tasks.contract import Int8Model
from beatlens.verbs.app import app

from ..firmware.test_package import made_by_make
from .cases import assert_same, run

pytestmark = pytest.mark.export
HERE = Path(__file__).parent
OLD = {"windows": HERE / "format3" / "strips-6k", "beats": HERE / "format2" / "beats"}
REFUSED = "takes samples in steps of 0.025 mV, expected 0.05"


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest) -> Bundle:
    return Bundle.load(OLD[request.param])


def findings(bundle: Bundle, engine: str) -> list[Finding]:
    """Of half a minute of a simulated patient, after whom a lead falls off."""
    recording = simulate_patient(4, 30, pvc_per_minute=15).recording
    counts = recording.counts[0].astype(np.int16)
    stream = bundle.stream(recording.rate_hz, COUNTS_PER_MV, engine=engine)  # type: ignore[arg-type]
    return run(stream, [counts[:777], counts[777:], np.full(500, counts[-1])])


def test_they_are_what_was_released() -> None:
    for folder, written in zip(OLD.values(), (3, 2), strict=True):
        document = json.loads((folder / MANIFEST).read_text())
        assert (document["format"], document["front_end"]["lsb_mv"]) == (written, 0.025)


@pytest.mark.parametrize("engine", ["simulator", "litert"])
def test_golden_vectors_hold(old: Bundle, engine: str) -> None:
    assert old.lsb_mv == 0.025
    old.verify(old.engine(engine))  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["litert", "c"])
def test_every_engine_gives_the_same_bits(old: Bundle, engine: str) -> None:
    if engine == "c" and not has_compiler():
        pytest.skip("NO C COMPILER (cc, gcc, clang): older bundles were not tested with engine 'c'")
    wanted, found = findings(old, "simulator"), findings(old, engine)
    assert sum(finding.assessable for finding in wanted) > 10
    assert_same(found, wanted)
    for ours, other in zip(wanted, found, strict=True):
        assert ours.features == other.features
        if ours.assessable:
            assert ours.explain() == other.explain()


def test_their_network_sees_steps_of_their_own() -> None:
    """Evidence is that of samples in steps of 0.025 mV, computed apart from the stream."""
    bundle = Bundle.load(OLD["windows"])
    recording = simulate_patient(4, 30).recording
    counts = recording.counts[0].astype(np.int16)
    stream = bundle.stream(recording.rate_hz, COUNTS_PER_MV, engine="simulator")
    found = next(f for f in run(stream, [counts]) if f.start_s == 10.0)
    x = FrontEnd(recording.rate_hz, COUNTS_PER_MV, lsb_mv=0.025).run(counts).x
    start = 10 * 128 - bundle.geometry.left
    window = x[start : start + bundle.geometry.input_length(bundle.span_columns)]
    evidence = simulate(read_tflite(bundle.tflite), window[None, :, None])["evidence"][0]
    q = bundle.tensors["evidence"]
    expected = (evidence.astype(np.float32) - np.float32(q.zero_point)) * np.float32(q.scale)
    np.testing.assert_array_equal(found.evidence, expected.T)


def test_their_range_is_half_as_large(bundle: Bundle) -> None:
    """Spikes of 4 mV clip there, and not where a step is 0.05 mV."""
    t = np.arange(15 * 128) / 128
    millivolts = 4.5 * np.exp(-((((t % 1) - 0.5) / 0.02) ** 2))
    unusable = []
    for one in (Bundle.load(OLD["windows"]), bundle):
        stream = one.stream(128, engine="simulator")
        found = [*stream.push_millivolts(millivolts), *stream.flush()]
        unusable.append(sum(int((~finding.usable).sum()) for finding in found))
    assert unusable[0] >= 10
    assert unusable[1] == 0


@pytest.mark.parametrize("core", ["m4", "m55"])
def test_a_firmware_package_of_theirs_holds_here(old: Bundle, core: str, tmp_path: Path) -> None:
    sensor = FrontEnd(250, 400.0, (-2048, 2047))
    folder = write_bundle(old, sensor, tmp_path / "out", "older", core)
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr


def test_what_prepares_recordings_refuses_them(old: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=REFUSED) as caught:
        Int8Model.read(old)
    assert "(explain, score, firmware)" in str(caught.value)
    names, folder = tmp_path / "records.txt", OLD[old.kind_name]
    names.write_text("100\n")
    asked = ["evaluate", "--bundle", folder, "--database", "mitdb", "--records", names]
    result = CliRunner().invoke(app, [*map(str, asked), "--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert REFUSED in str(result.exception)

"""Engine "c" of a stream: the firmware's C on this machine, and the cache it is compiled into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import beatlens
from beatlens.errors import ModelError, SignalError
from beatlens.firmware import lay_out, sensor_source
from beatlens.integer.graph import IntegerGraph
from beatlens.runtime import host_build
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import RATES_HZ, FrontEnd
from beatlens.signals.wfdb_files import read_recording
from beatlens.tasks.windows import host
from beatlens.tasks.windows.c_task import window_task_source

from ..integer.blocks import RESIDUAL, block_graph
from ..integer.graphs import permuted_graph, random_graph, student_graph
from ..runtime.cases import GAIN, RATE, ecg_counts, run
from ..runtime.conftest import make_bundle
from . import test_net, test_stream
from .compiled import FIRMWARE, HERE, compile_c, source, write_c

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(
        not host_build.has_compiler(), reason="NO C COMPILER (cc, gcc, clang): engine 'c' UNTESTED"
    ),
]
HOST = FIRMWARE / "ports" / "host"
PROCESSORS = {
    "x86_64": ("native", "haswell", "nehalem", "x86-64"),
    "aarch64": ("native", "armv8-a"),
}
"""By machine, those whose instructions the kernels have a way of their own for."""


@pytest.fixture(scope="module", params=["dense", "residual"])
def bundle(request, tmp_path_factory) -> Bundle:
    return make_bundle(request.param, tmp_path_factory.mktemp("bundle") / request.param)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own; libraries that are loaded already are forgotten."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    host._library.cache_clear()
    return host_build.cache_folder()


def assert_equal(found: list[Finding], wanted: list[Finding]) -> None:
    """Every field of every finding, and what arrays hold, to the bit."""
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        for field in fields(Finding):
            one, other = getattr(a, field.name), getattr(b, field.name)
            if isinstance(other, np.ndarray):
                assert one.dtype == other.dtype, field.name
                assert one.shape == other.shape, field.name
                assert one.tobytes() == other.tobytes(), field.name
                assert one.flags.writeable == other.flags.writeable, field.name
            else:
                assert type(one) is type(other), field.name
                assert one == other, field.name
        assert a.explain() == b.explain()


def both(bundle: Bundle, pieces: list[Any], rate: int = RATE, **options: Any) -> list[Finding]:
    """Findings of both engines, which have to be equal."""
    wanted = run(Stream(bundle, rate, GAIN, **options), pieces)
    assert_equal(run(Stream(bundle, rate, GAIN, engine="c", **options), pieces), wanted)
    return wanted


# Findings


@pytest.mark.parametrize("rate", RATES_HZ)
def test_findings_are_those_of_python(bundle: Bundle, rate: int) -> None:
    rng = np.random.default_rng(rate)
    options = {"rails": test_stream.RAILS}
    found = both(bundle, [ecg_counts(25, rate)], rate, **options)
    found += both(
        bundle, test_stream.cut(rng, test_stream.troubled(rng, rate, 60), gaps=3), rate, **options
    )
    assert sum(f.assessable for f in found) > 15
    assert not all(f.assessable for f in found)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rate=st.sampled_from([125, 128, 250, 360, 1000]),
    seed=st.integers(0, 99),
    plan=st.lists(
        st.one_of(
            st.integers(0, 9_000).map(lambda n: ("push", n)),
            st.integers(1, 40_000).map(lambda n: ("gap", n)),
        ),
        max_size=9,
    ),
)
def test_any_pushes_and_gaps(bundle: Bundle, rate: int, seed: int, plan: list) -> None:
    counts = test_stream.troubled(np.random.default_rng(seed), rate, 75)
    pieces, at = [], 0
    for kind, size in plan:
        pieces.append(size if kind == "gap" else counts[at : at + size])
        at += size if kind == "push" else 0
    both(bundle, pieces, rate, rails=test_stream.RAILS)


@pytest.mark.parametrize("hop_s", [1 / 16, 0.5, 2.5, 10.0])
def test_hops_and_limits(bundle: Bundle, hop_s: float) -> None:
    counts = test_stream.troubled(np.random.default_rng(5), RATE, 40)
    pieces = [counts[:5000], 3000, counts[5000:]]
    for limits in (None, Limits(0.0, 0.0), Limits(1.0, 1.0), Limits(0.123, 0.0437)):
        both(bundle, pieces, hop_s=hop_s, limits=limits, rails=test_stream.RAILS)


def test_findings_come_with_the_same_push(bundle: Bundle) -> None:
    """Not only in the same order: a hop is not held back until a chunk is full."""
    streams = [Stream(bundle, RATE, GAIN, engine=engine) for engine in (None, "c")]
    given = [0, 0]
    for piece in np.split(ecg_counts(30), 30):
        for number, stream in enumerate(streams):
            given[number] += len(stream.push(piece))
        assert abs(given[0] - given[1]) <= 1
        assert streams[0].seconds == streams[1].seconds
    assert given[1] > 15


def test_many_findings_of_one_push(bundle: Bundle) -> None:
    """The most a call can give: a finding a column, and a gap before."""
    counts = ecg_counts(150, 128)
    found = both(bundle, [counts[:9000], 9_000_000, counts], 128, hop_s=1 / 16)
    assert len(found) > 2000


def test_millivolts(bundle: Bundle) -> None:
    millivolts = np.sin(np.arange(5000) / 40) * 1.2345 + ecg_counts(5000 / RATE)[:5000] / 200
    rails = (-1.1, 2.0)
    found = []
    for engine in (None, "c"):
        stream = Stream(bundle, RATE, rails=rails, engine=engine)
        found.append(stream.push_millivolts(millivolts) + stream.flush())
    assert_equal(found[1], found[0])
    assert any("saturated" in reason for f in found[0] for reason in f.quality_notes)


def test_two_streams_of_one_library_do_not_mix(bundle: Bundle) -> None:
    counts = [ecg_counts(14, seed=seed) for seed in (1, 2)]
    streams = [Stream(bundle, RATE, GAIN, engine="c") for _ in counts]
    found: list[list[Finding]] = [[], []]
    for start in range(0, len(counts[0]), 700):
        for number, stream in enumerate(streams):
            found[number] += stream.push(counts[number][start : start + 700])
    for number, stream in enumerate(streams):
        wanted = run(Stream(bundle, RATE, GAIN), [counts[number]])
        assert_equal(found[number] + stream.flush(), wanted)


def test_a_real_recording(bundle: Bundle, mitdb_dir: Path) -> None:
    record = read_recording(mitdb_dir, "207")  # ventricular flutter, rails
    arguments = (bundle, record.counts[0][: 360 * 600], 360, record.counts_per_mv[0])
    options = {"rails": record.rails[0]}
    wanted = list(arguments[0].explain(*arguments[1:], **options))
    assert_equal(list(arguments[0].explain(*arguments[1:], engine="c", **options)), wanted)
    assert len(wanted) > 550


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers(dense: Bundle, compiler: str, empty_cache: Path, monkeypatch) -> None:
    monkeypatch.setenv("CC", compiler)
    if host_build._found() != [compiler]:
        pytest.skip(f"NO {compiler}: engine 'c' was not tested with it")
    both(dense, [ecg_counts(20), 500, ecg_counts(14)])
    assert len(list(empty_cache.iterdir())) == 2


# What is refused


def test_a_stream_longer_than_c_can_count(dense: Bundle) -> None:
    stream = Stream(dense, RATE, GAIN, engine="c")
    found = stream.push(ecg_counts(12))
    with pytest.raises(SignalError, match="at most 388 days"):
        stream.gap(389 * 86400 * RATE)
    pieces = [ecg_counts(12), 300 * 86400 * RATE, ecg_counts(12)]
    found += run(stream, pieces[1:])
    assert_equal(found, run(Stream(dense, RATE, GAIN), pieces))


def test_rails_that_are_no_counts(dense: Bundle) -> None:
    with pytest.raises(SignalError, match="rails are"):
        Stream(dense, RATE, GAIN, rails=(-40_000, 40_000), engine="c")


def test_a_network_that_c_cannot_run(dense: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    host._library.cache_clear()
    # The package's attribute of this name is the function.
    monkeypatch.setattr(sys.modules["beatlens.c_source.plan"], "MAX_STATE", 64)
    with pytest.raises(ModelError, match="the state takes"):
        Stream(dense, RATE, GAIN, engine="c")


def test_an_engine_that_does_not_exist(dense: Bundle) -> None:
    with pytest.raises(ModelError, match=r"engine is 'onnx', expected one of .* 'c'"):
        Stream(dense, RATE, GAIN, engine="onnx")


def test_without_a_compiler(
    dense: Bundle, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"no C compiler .* install one .* 'litert'"):
        Stream(dense, RATE, GAIN, engine="c")
    assert not empty_cache.exists()
    assert run(Stream(dense, RATE, GAIN), [ecg_counts(11)])


def test_a_compiler_that_fails(
    dense: Bundle, empty_cache: Path, tmp_path: Path, monkeypatch
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'error: out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(ModelError, match="refuses the firmware's C: error: out of order"):
        Stream(dense, RATE, GAIN, engine="c")
    assert list(empty_cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(
    dense: Bundle, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="set XDG_CACHE_HOME"):
        Stream(dense, RATE, GAIN, engine="c")


# The cache


def test_what_is_there_is_not_compiled_again(
    dense: Bundle, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(dense, [ecg_counts(11)])
    host._library.cache_clear()
    monkeypatch.setattr(host_build, "_make", None)
    both(dense, [ecg_counts(11)])
    assert empty_cache.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no checksum"])
def test_a_damaged_entry_is_made_anew(dense: Bundle, empty_cache: Path, damage: str) -> None:
    both(dense, [ecg_counts(11)])
    for product in (*empty_cache.glob("*/chain.so"), *empty_cache.glob("*/core.o")):
        # Written anew, as the library in use must stay as it is.
        data = product.read_bytes()
        product.unlink()
        if damage == "cut":
            product.write_bytes(data[: len(data) // 2])
        elif damage == "changed":
            product.write_bytes(data.replace(b"bl_host_push", b"bl_host_pish"))
        elif damage == "no checksum":
            product.write_bytes(data)
            (product.parent / host_build.CHECKSUM).unlink()
    host._library.cache_clear()
    both(dense, [ecg_counts(11)])
    assert all(host_build._is_sound(p) for p in empty_cache.glob("*/*.so"))
    assert not list(empty_cache.glob("making-*"))


def folder_of_another_user(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o700)
    os.chown(cache, 65534, 65534)


def folder_above_of_another_user(cache: Path) -> None:
    """As root has it under sudo, with the HOME of the user."""
    cache.mkdir(parents=True, mode=0o700)
    os.chown(cache.parent, 65534, 65534)


def folder_that_all_may_write(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)


def folder_above_that_a_group_may_write(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o700)
    cache.parent.chmod(0o775)


def link_to_a_folder_that_all_may_write(cache: Path) -> None:
    other = cache.parents[1] / "other"
    other.mkdir(parents=True)
    other.chmod(0o777)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(other)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (folder_of_another_user, "belongs to user 65534, not to"),
        (folder_above_of_another_user, "belongs to user 65534, not to"),
        (folder_that_all_may_write, r"can be written by other users \(mode 777\)"),
        (folder_above_that_a_group_may_write, r"can be written by other users \(mode 775\)"),
        (link_to_a_folder_that_all_may_write, r"can be written by other users \(mode 777\)"),
    ],
)
def test_nothing_is_loaded_from_where_others_can_write(
    dense: Bundle, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, make, reason: str
) -> None:
    if "another_user" in make.__name__ and os.geteuid() != 0:
        pytest.skip("NOT ROOT: the folder of another user was not tried")
    make(empty_cache)
    loaded: list[str] = []
    monkeypatch.setattr(host_build.ctypes, "CDLL", loaded.append)
    host._library.cache_clear()
    with pytest.raises(ModelError, match=rf"{reason}.* set XDG_CACHE_HOME to one"):
        Stream(dense, RATE, GAIN, engine="c")
    assert not loaded
    assert list(empty_cache.iterdir()) == []


def planted_link(product: Path, aside: Path) -> None:
    shutil.copy(product, aside)
    product.unlink()
    product.symlink_to(aside)


def planted_owner(product: Path, aside: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT ROOT: the library of another user was not tried")
    os.chown(product, 65534, 65534)


def planted_mode(product: Path, aside: Path) -> None:
    product.chmod(0o666)


def planted_entry(product: Path, aside: Path) -> None:
    product.parent.chmod(0o777)


@pytest.mark.parametrize("plant", [planted_link, planted_owner, planted_mode, planted_entry])
def test_a_library_that_others_may_have_changed_is_made_anew(
    dense: Bundle, empty_cache: Path, tmp_path: Path, plant
) -> None:
    both(dense, [ecg_counts(11)])
    for product in (*empty_cache.glob("*/chain.so"), *empty_cache.glob("*/core.o")):
        assert host_build._is_sound(product)
        plant(product, tmp_path / product.name)
        assert not host_build._is_sound(product)
    host._library.cache_clear()
    both(dense, [ecg_counts(11)])
    assert all(host_build._is_sound(p) for p in empty_cache.glob("*/*.so"))


def test_a_generous_umask_does_not_open_the_cache(dense: Bundle, empty_cache: Path) -> None:
    before = os.umask(0)
    try:
        both(dense, [ecg_counts(11)])
    finally:
        os.umask(before)
    made = [empty_cache, *empty_cache.glob("*"), *empty_cache.glob("*/chain.so")]
    assert len(made) == 4
    assert all(path.stat().st_mode & 0o022 == 0 for path in made)


SCRIPT = """
import sys
import numpy as np
from beatlens import Bundle
stream = Bundle.load(sys.argv[1]).stream(360, 200.0, engine="c")
print(len(stream.push(np.zeros(360 * 20, np.int16)) + stream.flush()))
heavy = {"torch", "scipy", "wfdb", "tensorflow"} & set(sys.modules)
assert not heavy, heavy
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(beatlens.__file__).parents[1])}


def test_processes_may_compile_at_once(tmp_path: Path, empty_cache: Path) -> None:
    make_bundle("dense", tmp_path / "bundle")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "bundle")]
    started = [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=200)[0] for process in started] == ["11\n"] * 3
    assert len(list(empty_cache.iterdir())) == 2


def test_with_numpy_and_a_compiler_only(tmp_path: Path) -> None:
    make_bundle("dense", tmp_path / "bundle")
    blocked = "import sys\nsys.modules['flatbuffers'] = sys.modules['ai_edge_litert'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + SCRIPT, str(tmp_path / "bundle")],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("11\n", "")


# C under the sanitizers


def test_the_library_under_sanitizers(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    frontend = FrontEnd(250, GAIN, test_stream.RAILS)
    made = window_task_source(bundle, "task")
    parts = {"sensor": sensor_source(frontend, "sensor"), "task": made.task, "task_net": made.net}
    program = compile_c(
        [
            *(FIRMWARE / name for name in host.SOURCES),
            *(write_c(part, tmp_path, name) for name, part in parts.items()),
            HERE / "host_harness.c",
        ],
        tmp_path / "host", f"-I{tmp_path}", f"-I{HOST}", *native(),
    )  # fmt: skip
    for pieces in (
        [ecg_counts(25, 250)],
        test_stream.cut(rng, test_stream.troubled(rng, 250, 60), gaps=3),
        [9 * 250, ecg_counts(14, 250), 3, 70 * 250],
        [ecg_counts(0.2, 250)],
    ):
        wanted = test_stream.find_in_python(bundle, frontend, pieces, monkeypatch)
        assert test_stream.find_in_c(program, pieces, len(bundle.classes)) == wanted


def machine() -> str:
    return os.uname().machine


def native() -> list[str]:
    """The compiler's option for all instructions of this machine."""
    return [option] if (option := host_build.NATIVE.get(machine())) else []


class HostBuilder(test_net.Builder):
    """Programs that run one network each with the kernels for computers."""

    def __init__(self, folder: Path, processor: str) -> None:
        self.folder, self.made = folder, 0
        files = {"bl_net": source("bl_net"), "kernels": HOST / "bl_kernels_host.c"}
        self.objects = [
            compile_c([path], folder / f"{name}.o", "-c", f"-march={processor}")
            for name, path in files.items()
        ]


@pytest.fixture(scope="module", params=PROCESSORS.get(machine(), ("native",)))
def builder(request, tmp_path_factory) -> HostBuilder:
    supported = _processor_runs(request.param)
    if not supported:
        pytest.skip(f"THIS MACHINE IS NO {request.param}: its kernels were not tested")
    return HostBuilder(tmp_path_factory.mktemp("net"), request.param)


@cache
def _processor_runs(processor: str) -> bool:
    """Whether programs for a processor run here."""
    if processor != "haswell":
        return True
    return " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8").replace("\n", " ")


def graphs() -> list[IntegerGraph]:
    found = [random_graph(seed) for seed in range(4)]
    found += [permuted_graph(seed) for seed in range(1, 3)]
    return [*found, student_graph(columns=40), block_graph(RESIDUAL)]


@pytest.mark.parametrize("number", range(len(graphs())))
def test_kernels_give_what_the_simulator_gives(builder: HostBuilder, number: int) -> None:
    graph = graphs()[number]
    test_net.agree(builder, graph)
    if not lay_out(graph).window:
        test_net.agree(builder, graph, chunk=16 * lay_out(graph).stride + 3)

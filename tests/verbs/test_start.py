"""The command starts at once, and verbs that run a model need none of the packages that train one.

Every check is of a process of its own: what pytest imported does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

import beatlens
from beatlens.firmware.cores import CORES
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.frontend import RATES_HZ
from beatlens.signals.simulate import simulate_patient
from beatlens.verbs import firmware
from beatlens.verbs.app import app

SDK = Path(beatlens.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SDK)}
TRAINING = {
    "torch", "sklearn", "scipy", "matplotlib", "wfdb", "pandas", "captum", "neurokit2", "jinja2",
    "joblib", "dask", "filelock", "torch_pruning",
}  # fmt: skip
"""Packages that only `train` and its like need."""
HEAVY = TRAINING | {"numpy", "pydantic", "rich", "ai_edge_litert", "flatbuffers"}
"""Packages that nobody needs who asks for help; numpy alone doubles the time."""


def verbs(command: object = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All verbs: `("explain",)`, `("data", "get")`, and `()` for the command itself."""
    command = typer.main.get_command(app) if command is None else command
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*path, name))


def imported(*arguments: str) -> tuple[set[str], str]:
    """Top packages that the command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "beatlens", *arguments],
        env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}, done.stdout


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_help_imports_nothing_heavy(verb: tuple[str, ...]) -> None:
    packages, printed = imported(*verb, "--help")
    assert printed.startswith(" ".join(["Usage: beatlens", *verb]))
    assert {"typer", "beatlens"} <= packages
    assert not packages & HEAVY


@pytest.mark.parametrize("group", [(), ("data",)], ids=str)
def test_lists_of_verbs_show_whole_sentences(group: tuple[str, ...]) -> None:
    listed = imported(*group, "--help")[1].partition("Commands:")[2].strip().splitlines()
    assert len(listed) >= 3
    for line in listed:
        assert line.endswith("."), line
        assert not line.endswith("..."), line


def test_the_version_imports_nothing_heavy() -> None:
    packages, printed = imported("--version")
    assert printed == f"beatlens {beatlens.__version__}\n"
    assert not packages & HEAVY


def cpu_seconds(*command: str, times: int = 7) -> float:
    """CPU time of a command, the least of several: other processes only add to it."""
    found = []
    for _ in range(times):
        before = os.times()
        subprocess.run([sys.executable, *command], env=ENVIRONMENT, capture_output=True, check=True)
        after = os.times()
        found.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    return min(found)


@pytest.mark.parametrize("arguments", ["--version", "--help", "explain --help", "data --help"])
def test_it_starts_in_little_cpu_time(arguments: str) -> None:
    """0.3 s are promised, 0.15 s measured on a busy two-core Xeon, 3.5 s before.

    A slower machine gets the time that typer itself takes there, and three times as much: importing
    numpy besides would take it up.
    """
    bound = max(0.3, 3 * cpu_seconds("-c", "import typer"))
    assert cpu_seconds("-m", "beatlens", *arguments.split()) < bound


def test_help_states_what_the_code_takes() -> None:
    """Help must not import the code, so these are written down twice."""
    assert tuple(CORES) == firmware.CORES
    assert firmware.RATES_HZ == RATES_HZ


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WFDB record of 40 s, written without the `wfdb` package."""
    folder = tmp_path_factory.mktemp("record")
    recording = simulate_patient(3, 40, pvc_per_minute=8).recording
    codes = recording.counts[0].astype("<i2")
    codes.tofile(folder / "sim.dat")
    (folder / "sim.hea").write_text(
        f"sim 1 {recording.rate_hz} {codes.size}\n"
        f"sim.dat 16 200/mV 16 0 {codes[0]} {int(codes.sum(dtype=np.int64)) % 65536} 0 MLII\n",
        encoding="ascii",
    )
    return folder / "sim"


RUN = """
import sys
from beatlens.cli import main
sys.argv[0] = "beatlens"
try:
    main()
finally:
    print("PACKAGES", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def packages_of_run(*arguments: object, cwd: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("PACKAGES ")[2].split())


@pytest.mark.parametrize(
    "options",
    [
        ("explain", "RECORD"),
        ("explain", "RECORD", "--html", "page.html"),
        ("explain", "RECORD", "--bundle", "strips-6k", "--json"),
        ("explain", "RECORD", "--bundle", "wearable-af-6k"),
        ("explain", "RECORD", "--engine", "simulator"),
        ("explain", "RECORD", "--engine", "c"),
        ("score", "RECORD", "--out", "findings"),
        ("firmware", "beats", "--core", "m4", "--rate", "250", "--counts-per-mv", "400"),
        ("firmware", "strips-6k", "--rate", "360", "--counts-per-mv", "200"),
        ("models",),
        ("models", "--json"),
        ("data", "list"),
    ],
    ids=" ".join,
)
@pytest.mark.export
def test_running_a_model_imports_no_training(
    options: tuple[str, ...], record: Path, tmp_path: Path
) -> None:
    if "c" in options and not has_compiler():
        pytest.skip("NO C COMPILER: explain --engine c was not tested")
    arguments = [record if part == "RECORD" else part for part in options]
    assert not packages_of_run(*arguments, cwd=tmp_path) & TRAINING


COMPLETE = {"COMP_WORDS": "beatlens {}", "COMP_CWORD": "{}", "_BEATLENS_COMPLETE": "complete_bash"}


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("ex", {"explain", "export"}),
        ("data g", {"get"}),
        ("explain --bundle strips-3", {"strips-31k"}),
        ("firmware wear", {"wearable-af", "wearable-af-6k"}),
    ],
)
def test_the_shell_completes(typed: str, wanted: set[str]) -> None:
    words = {key: value.format(typed) for key, value in COMPLETE.items()}
    words["COMP_CWORD"] = str(len(typed.split()))
    done = subprocess.run(
        [sys.executable, "-m", "beatlens"], env={**ENVIRONMENT, **words},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert set(done.stdout.split()) == wanted, done.stderr


def test_completion_can_be_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", "--show-completion", "bash"],
        env={**ENVIRONMENT, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "complete -o default -F _beatlens_completion beatlens" in done.stdout

"""The package as a stranger meets it: version, imports, the command without its packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import beatlens

SDK = Path(beatlens.__file__).parents[1]


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SDK)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python(
        "import sys, beatlens\n"
        "heavy = {'numpy', 'torch', 'scipy', 'wfdb', 'pydantic', 'typer'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert done.returncode == 0, done.stderr


def test_unknown_attributes_are_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="Bundel"):
        _ = beatlens.Bundel
    assert "Bundle" in dir(beatlens)


def test_the_command_says_what_to_install() -> None:
    """Without typer (blocked here) the command is one line and no traceback."""
    done = python(
        "import sys\n"
        "sys.modules['typer'] = None\n"
        "sys.argv = ['beatlens', '--version']\n"
        "from beatlens.cli import main\n"
        "main()"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "'typer'" in done.stderr
    assert "pip install 'beatlens[litert]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


FAIL = """
import beatlens.verbs.app, beatlens.cli
from beatlens.errors import DataError
def app(prog_name):
    print("begun")
    {}
beatlens.verbs.app.app = app
beatlens.cli.main()
"""


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("raise DataError('record 100: no such file')", 1, "beatlens: record 100: no such file\n"),
        ("open('/nowhere/a', 'w')", 1, "beatlens: /nowhere/a: no such file or directory\n"),
        (
            "raise OSError(28, 'No space left on device')",
            1,
            "beatlens: a file cannot be read or written: no space left on device\n",
        ),
        ("raise BrokenPipeError(32, 'Broken pipe')", 1, ""),
        ("raise KeyboardInterrupt", 130, ""),
        (
            "import pandas_of_nowhere",
            1,
            "beatlens: this command needs the Python package 'pandas_of_nowhere', which is not "
            "installed. Install it with: pip install 'beatlens[train,litert]'\n",
        ),
    ],
)
def test_an_error_of_the_world_is_one_line(fault: str, code: int, said: str) -> None:
    done = python(FAIL.format(fault))
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("fault", ["raise KeyError('row')", "import beatlens.nowhere"])
def test_an_error_of_the_program_keeps_its_traceback(fault: str) -> None:
    done = python(FAIL.format(fault))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NO /dev/full: a full disk UNTESTED")
def test_a_full_disk_under_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "beatlens", "--version"],
            env={**os.environ, "PYTHONPATH": str(SDK)},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "beatlens: a file cannot be read or written: no space left on device\n"


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", "--help"],
        env={**os.environ, "PYTHONPATH": str(SDK)},
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


def test_version_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", "--version"],
        env={**os.environ, "PYTHONPATH": str(SDK)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == f"beatlens {beatlens.__version__}\n"

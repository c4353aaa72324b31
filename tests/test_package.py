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
    assert "pip install 'beatlens[train,litert]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_error_on_purpose_is_one_line() -> None:
    done = python(
        "import beatlens.verbs.app, beatlens.cli\n"
        "from beatlens.errors import DataError\n"
        "def app(): raise DataError('record 100: no such file')\n"
        "beatlens.verbs.app.app = app\n"
        "beatlens.cli.main()"
    )
    assert done.returncode == 1
    assert done.stderr == "beatlens: record 100: no such file\n"


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

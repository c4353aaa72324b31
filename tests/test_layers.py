"""Imports go one way: the contract of pyproject.toml holds, sees a breach, and is documented."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "pyproject.toml"
needs_linter = pytest.mark.skipif(
    find_spec("importlinter") is None, reason="NO IMPORT-LINTER: layers of imports UNCHECKED"
)
BROKEN = {
    "runtime imports firmware": ("runtime/stream.py", "from beatlens.firmware import tflm"),
    "the device side imports torch": ("runtime/chain.py", "import torch"),
    "a kind's device side imports its sampling": (
        "tasks/beats/rule.py",
        "from beatlens.tasks.beats.sampling import BeatSampler",
    ),
    "firmware imports a kind": ("firmware/package.py", "import beatlens.tasks.beats.kind"),
    "the package imports the benchmarks": ("pipeline/steps.py", "import benchmarks.clinical.data"),
    "a circle in a folder": ("integer/ops.py", "import beatlens.integer.graph"),
}


def lint(sdk: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the package in a folder."""
    code = "import sys; from importlinter.cli import lint_imports_command as run; run(sys.argv[1:])"
    options = ["--no-cache", "--no-logo", str(CONFIG)]
    return subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=sdk,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(sdk), str(ROOT), os.environ.get("PYTHONPATH", ""))),
        },
    )


@needs_linter
def test_imports_go_one_way() -> None:
    done = lint(ROOT / "sdk")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kept, 0 broken" in done.stdout


@needs_linter
@pytest.mark.parametrize("what", BROKEN)
def test_an_import_the_wrong_way_is_seen_inside_a_function_too(what: str, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "sdk" / "beatlens", tmp_path / "beatlens", ignore=shutil.ignore_patterns("models")
    )
    file, line = BROKEN[what]
    path = tmp_path / "beatlens" / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\ndef lazy():\n    {line}\n", "utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = f"beatlens.{file.removesuffix('.py').replace('/', '.')}"
    assert broken in done.stdout or f".{Path(file).stem} ->" in done.stdout


def test_no_part_imports_the_package_itself() -> None:
    """`beatlens/__init__.py` names parts; import-linter sees circles below it only."""
    upwards = re.compile(r"^\s*(from beatlens import|import beatlens$)", re.MULTILINE)
    for path in (ROOT / "sdk" / "beatlens").rglob("*.py"):
        assert not upwards.search(path.read_text(encoding="utf-8")), path


def test_contributing_states_the_contract() -> None:
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (part["layers"] for part in config["contracts"] if part["type"] == "layers")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Where things are")[1].split("\n## ")[0]
    stated = re.findall(r"^    (\w+(?: \| \w+)*)(?:$|  )", section, flags=re.MULTILINE)
    assert stated == layers


def test_names_of_databases_stand_in_their_own_files() -> None:
    """No code outside the folder of databases knows one by name; recipes and help texts may."""
    from beatlens.signals.databases import BUILT_IN

    package = ROOT / "sdk" / "beatlens"
    names = "|".join(BUILT_IN)
    literal = re.compile(rf"({names})(/.*)?", re.IGNORECASE)
    identifier = re.compile(rf"(.*_)?({names})(_.*)?", re.IGNORECASE)
    found = []
    for path in sorted(package.rglob("*.py")):
        if package / "signals" / "databases" in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                known = literal.fullmatch(node.value) is not None
            else:
                words = (getattr(node, part, None) for part in ("id", "attr", "arg", "name"))
                known = any(isinstance(w, str) and identifier.fullmatch(w) for w in words)
            if known:
                found.append(f"{path.relative_to(package)}:{getattr(node, 'lineno', '')}")
    assert not found, found

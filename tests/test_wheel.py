"""What is shipped: the wheel and the sources hold the released models, and no teacher."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from beatlens.runtime.folder import FILES, SUMS
from beatlens.runtime.released import released_names

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    find_spec("hatchling") is None, reason="NO HATCHLING: wheel and sdist were not built"
)
MOST_WHEEL_BYTES = 2_000_000
"""1.3 MB as of this writing, 0.6 of them models; a teacher alone has 3 MB."""


def built(folder: Path, kind: str) -> Path:
    """The package built out of the working tree; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


def test_the_wheel_holds_the_released_models_and_no_teacher(tmp_path: Path) -> None:
    wheel = built(tmp_path, "wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in released_names():
            inside = f"beatlens/models/{name}"
            assert f"{inside}/README.md" in names
            for file in (*FILES, SUMS):
                source = ROOT / "models" / name / "bundle" / file
                assert archive.read(f"{inside}/bundle/{file}") == source.read_bytes()
    assert "beatlens/c_source/c/include/beatlens.h" in names
    for kind in ("windows", "beats", "recordings"):
        assert f"beatlens/tasks/{kind}/default.toml" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"beatlens"}
    assert not [name for name in names if "teacher" in name and not name.endswith(".py")]
    assert not [name for name in names if name.endswith(".pt")]
    assert wheel.stat().st_size < MOST_WHEEL_BYTES


def test_the_sources_hold_no_teacher(tmp_path: Path) -> None:
    with tarfile.open(built(tmp_path, "sdist")) as archive:
        names = archive.getnames()
    assert [name for name in names if name.endswith("models/beats/bundle/model.tflite")]
    assert not [name for name in names if name.endswith(".pt")]

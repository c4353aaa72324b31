"""Numbers that stand in the C and in Python: versions, errors, warnings, features, limits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from beatlens.c_source import lead
from beatlens.packed import encode_tensor
from beatlens.runtime import warning_bits
from beatlens.signals.beat_features import FEATURES
from beatlens.tasks.beats import c_task as c_beat_task
from beatlens.version import __version__

from ..packed import tensors
from .compiled import FIRMWARE

HEADERS = sorted(FIRMWARE.glob("include/*.h"))


def read_enum(path: Path, name: str) -> dict[str, int]:
    """Names and numbers of an enum of a header."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="ascii"), flags=re.DOTALL)
    found = re.search(rf"enum {name} \{{(.*?)\}}", text, re.DOTALL)
    assert found is not None, (path, name)
    return {key: int(value) for key, value in re.findall(r"(BL_\w+) = (-?\d+)", found[1])}


def read_macro(header: str, name: str) -> int:
    """The number of a macro."""
    text = (FIRMWARE / "include" / header).read_text(encoding="ascii")
    found = re.search(rf"#define {name} (\w+)", text)
    assert found is not None, name
    return int(found[1], 0)


def test_the_engine_has_the_version_of_the_package() -> None:
    version = read_macro("bl_version.h", "BL_VERSION")
    parts = (version >> 16, version >> 8 & 0xFF, version & 0xFF)
    assert __version__.split(".dev")[0] == ".".join(map(str, parts))


def test_the_packed_format_has_the_version_that_python_writes() -> None:
    rng = np.random.default_rng(0)
    packed = encode_tensor(tensors.MAKERS[0](rng, (2, 3, 4)))
    assert packed[0] >> 4 == read_macro("bl_unpack.h", "BL_PACKED_VERSION")


def test_every_error_has_one_meaning() -> None:
    """All errors are in one list, and no number is there twice."""
    errors = read_enum(FIRMWARE / "include" / "bl_error.h", "bl_error")
    assert errors.pop("BL_OK") == 0
    assert len(set(errors.values())) == len(errors) > 20
    assert max(errors.values()) < 0
    for path in sorted(FIRMWARE.rglob("*.[ch]*")):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\bBL_ERROR_[A-Z_]+\b", text)) <= set(errors) | {"BL_ERROR_H"}, path
        if path.name != "bl_error.h":
            assert not re.search(r"= -\d+,|#define \w+ \(-", text), path


def test_every_error_is_returned_somewhere() -> None:
    errors = read_enum(FIRMWARE / "include" / "bl_error.h", "bl_error")
    sources = [*FIRMWARE.glob("src/*.c"), *FIRMWARE.glob("ports/host/*.c"),
               FIRMWARE / "tflm" / "name.cc.in"]  # fmt: skip
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert [name for name in errors if not re.search(rf"\b{name}\b", text)] == []


def test_warnings_and_features_are_those_of_python() -> None:
    found = read_enum(FIRMWARE / "include" / "bl_lead.h", "bl_warning")
    names = [name.removeprefix("BL_WARNING_").lower() for name in found]
    assert tuple(names) == warning_bits.WARNINGS
    assert list(found.values()) == [1 << bit for bit in range(len(names))]
    features = read_enum(FIRMWARE / "include" / "bl_features.h", "bl_feature")
    assert tuple(name.removeprefix("BL_FEATURE_").lower() for name in features) == FEATURES
    assert list(features.values()) == list(range(len(FEATURES)))


def test_limits_are_those_of_python() -> None:
    assert read_macro("bl_lead.h", "BL_MAX_CLASSES") == lead.MAX_CLASSES
    assert read_macro("bl_beats.h", "BL_BEATS_WAITING") == c_beat_task.MAX_WAITING


@pytest.mark.parametrize("chain", ["beatlens", "bl_beats"])
def test_a_chain_knows_nothing_of_the_other(chain: str) -> None:
    """So a device links the code of its own chain only."""
    other = {"beatlens": "bl_beats", "bl_beats": "beatlens"}[chain]
    for path in (FIRMWARE / "include" / f"{chain}.h", FIRMWARE / "src" / f"{chain}.c"):
        assert f'#include "{other}.h"' not in path.read_text(encoding="ascii")
    for path in (FIRMWARE / "include" / "bl_lead.h", FIRMWARE / "src" / "bl_lead.c"):
        assert f'#include "{chain}.h"' not in path.read_text(encoding="ascii")

"""The files of a project that ESP-IDF, Zephyr, PlatformIO, Arduino and people read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from beatlens.firmware import tflm_project
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd

from ..runtime.cases import GAIN
from ..runtime.conftest import make_bundle
from .compiled import WARNINGS
from .tflm_programs import (
    ARENA,
    compiler,
)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


@pytest.fixture(scope="module")
def project(dense: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "strips"
    tflm_project(dense, FrontEnd(250, GAIN), folder, "strips", arena_bytes=ARENA)
    return folder


def sources_of(project: Path) -> set[Path]:
    return {path.resolve() for path in project.glob("src/*") if path.suffix in (".c", ".cc")}


def plain_yaml(text: str) -> dict[str, object]:
    """Mappings and lists of text, which is all these files have of YAML."""
    stack: list[tuple[int, dict[str, object] | list[object]]] = [(-1, {})]
    key_of: dict[int, tuple[dict[str, object], str]] = {}
    for line in text.splitlines():
        indent, line = len(line) - len(line.lstrip()), line.strip()
        while stack[-1][0] >= indent:
            stack.pop()
        if line.startswith("- "):
            parent, key = key_of[max(at for at in key_of if at < indent)]
            items = parent.setdefault(key, [])
            assert isinstance(items, list)
            items.append(line[2:])
            continue
        key, colon, value = line.partition(":")
        assert colon, line
        top = stack[-1][1]
        assert isinstance(top, dict)
        assert key.strip('"') not in top
        if value.strip():
            top[key] = value.strip().strip('"')
        else:
            key_of = {at: pair for at, pair in key_of.items() if at < indent} | {indent: (top, key)}
            follows = text.split(f"{line}\n", 1)[1].lstrip()
            if not follows.startswith("- "):
                inner: dict[str, object] = {}
                top[key] = inner
                stack.append((indent, inner))
    result = stack[0][1]
    assert isinstance(result, dict)
    return result


def cmake(folder: Path, script: str) -> list[str]:
    """What a CMake script prints, run in a folder."""
    path = shutil.which("cmake")
    if path is None:
        pytest.skip("NO CMAKE: the CMake files of the TensorFlow Lite Micro project were not run")
    (folder.parent / "check.cmake").write_text(script)
    done = subprocess.run(
        [path, "-P", folder.parent / "check.cmake"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("-- ") for line in done.stdout.splitlines()]


def test_esp_idf(project: Path) -> None:
    output = cmake(
        project,
        "function(idf_component_register)\n"
        '  cmake_parse_arguments(A "" "" "SRCS;INCLUDE_DIRS;REQUIRES;PRIV_REQUIRES" ${ARGN})\n'
        '  foreach(part ${A_SRCS} ${A_INCLUDE_DIRS})\n    message(STATUS "${part}")\n'
        "  endforeach()\n"
        "  if(A_UNPARSED_ARGUMENTS)\n"
        '    message(FATAL_ERROR "${A_UNPARSED_ARGUMENTS}")\n  endif()\n'
        "endfunction()\n"
        f'include("{project}/CMakeLists.txt")\n',
    )
    assert {(project / path).resolve() for path in output[:-1]} == sources_of(project)
    assert output[-1] == "src"
    manifest = plain_yaml((project / "idf_component.yml").read_text())
    assert set(manifest) == {"version", "description", "dependencies"}
    dependencies = manifest["dependencies"]
    assert dependencies == {
        "idf": {"version": ">=5.1"},
        "espressif/esp-tflite-micro": {"version": ">=1.3.1"},
    }


def test_zephyr(project: Path) -> None:
    script = (
        "function(zephyr_library)\nendfunction()\n"
        'function(show)\n  foreach(part ${ARGN})\n    message(STATUS "${part}")\n  endforeach()\n'
        "endfunction()\n"
        "function(zephyr_library_sources)\n  show(${ARGN})\nendfunction()\n"
        "function(zephyr_include_directories)\n  show(${ARGN})\nendfunction()\n"
        'include("${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")\n'
    )
    assert cmake(project / "zephyr", script) == []
    output = cmake(project / "zephyr", f"set(CONFIG_BEATLENS_STRIPS y)\n{script}")
    assert Path(output[0]).resolve() == (project / "src").resolve()
    assert {Path(path).resolve() for path in output[1:]} == sources_of(project)
    build_keys = plain_yaml((project / "zephyr" / "module.yml").read_text())
    assert build_keys == {
        "name": "strips",
        "build": {"cmake": "zephyr", "kconfig": "zephyr/Kconfig", "depends": ["tflite-micro"]},
    }
    kconfig = (project / "zephyr" / "Kconfig").read_text().splitlines()
    assert kconfig[0] == "config BEATLENS_STRIPS"
    assert "\tdepends on CPP && TENSORFLOW_LITE_MICRO" in kconfig
    assert all(line.startswith("\t") for line in kconfig[1:])


def test_platformio_and_arduino(project: Path) -> None:
    manifest = json.loads((project / "library.json").read_text())
    assert manifest["name"] == "strips"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", manifest["version"])
    assert (project / manifest["build"]["srcDir"]).is_dir()
    assert (project / manifest["build"]["includeDir"] / manifest["headers"]).is_file()
    assert [set(entry) for entry in manifest["dependencies"]] == [{"name", "version"}]
    lines = (project / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert set(properties) == {
        "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
        "architectures", "includes", "depends",
    }  # fmt: skip
    assert properties["category"] == "Data Processing"
    assert properties["depends"] == manifest["dependencies"][0]["name"]
    assert (project / "src" / properties["includes"].split(",")[1]).is_file()


def test_the_readme_tells_what_is_there(project: Path, dense: Bundle, tmp_path: Path) -> None:
    text = (project / "README.md").read_text()
    assert f"| {len(dense.tflite)} |" in text
    assert "WARNING" not in text
    for path in re.findall(r"`(src/[\w.]+)`", text):
        assert (project / path).is_file(), path
    (example,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    main = tmp_path / "example.c"
    main.write_text(
        "#include <stdint.h>\n"
        "void show(void *context, uint32_t c, uint32_t column, int8_t evidence);\n"
        f"uint32_t next_counts(int16_t *counts, uint32_t most);\nint run(void);\n{example}"
    )
    command = [compiler("gcc"), *WARNINGS, f"-I{project / 'src'}", "-c", main, "-o", tmp_path / "o"]
    subprocess.run(command, check=True)


def test_no_place_of_a_template_is_left(project: Path) -> None:
    for path in project.rglob("*"):
        if path.is_file():
            assert not re.search(r"@[a-z_]+@", path.read_text(encoding="ascii")), path

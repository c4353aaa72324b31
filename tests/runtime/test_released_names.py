"""Released models by name: found, listed, and refused in one sentence."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.errors import ModelError
from beatlens.runtime import released
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.released import find_bundle, released_folder, released_names
from beatlens.verbs.app import app

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.export


def test_names_are_those_of_the_folder() -> None:
    assert released_folder() == ROOT / "models"
    assert set(released_names()) == {path.parent.name for path in ROOT.glob("models/*/bundle")}
    assert released.DEFAULT in released_names()


@pytest.mark.parametrize("name", released_names())
def test_a_name_loads_the_bundle(name: str) -> None:
    assert Bundle.load(name).name == name
    assert find_bundle(name) == ROOT / "models" / name / "bundle"


def test_a_bundle_on_disk_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beats").mkdir()
    (tmp_path / "beats" / "bundle.json").write_text("{}")
    assert find_bundle("beats") == Path("beats")
    with pytest.raises(ModelError, match=r"^beats/"):
        Bundle.load("beats")


def test_a_folder_without_a_bundle_hides_no_released_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beats").mkdir()
    assert find_bundle("beats") == released_folder() / "beats" / "bundle"


def test_the_folder_around_a_bundle_stands_for_it() -> None:
    assert find_bundle(released_folder() / "beats") == released_folder() / "beats" / "bundle"


def test_an_unknown_name_gets_the_list(tmp_path: Path) -> None:
    for name in ("beets", "", "../models/beats", "beats/"[:4], str(tmp_path / "none")):
        with pytest.raises(ModelError, match="no such folder, and no released") as caught:
            find_bundle(name if name else "none")
        assert ", ".join(released_names()) in str(caught.value)
        assert "bundle.json" in str(caught.value)


def test_an_installation_without_models_says_what_a_path_must_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released, "_CHECKOUT", tmp_path)
    with pytest.raises(ModelError, match=r"beats: no such folder, .* expected a folder with"):
        find_bundle("beats")


def test_the_list_has_a_line_per_model_and_all_figures_as_json() -> None:
    text = CliRunner().invoke(app, ["models"]).output.splitlines()
    lines = dict(zip(released_names(), text[1:], strict=False))
    rows = [json.loads(x) for x in CliRunner().invoke(app, ["models", "--json"]).output.split("\n")
            if x]  # fmt: skip
    assert [row["name"] for row in rows] == list(released_names())
    for row in rows:
        bundle = Bundle.load(row["name"])
        assert row["measured"] == json.loads(json.dumps(dict(bundle.measured)))
        assert (row["bytes"], row["packed_bytes"]) == (len(bundle.tflite), len(bundle.packed))
        assert row["classes"] == dict(bundle.titles)
        words = lines[row["name"]].split()
        assert words[0] == row["name"]
        assert f"{row['bytes']:,}" in words
        assert f"{row['packed_bytes']:,}" in words
        assert f"map {row['measured']['spearman']:.2f}" in lines[row["name"]]
    assert max(map(len, text)) <= 100


def test_the_wheel_is_told_to_hold_every_model_and_no_teacher() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = built["targets"]["wheel"]["force-include"]
    for name in released_names():
        for part in ("bundle", "README.md"):
            assert included[f"models/{name}/{part}"] == f"beatlens/models/{name}/{part}"
    assert not [path for path in included if "teacher" in path]
    assert "/models/teachers" in built["targets"]["sdist"]["exclude"]

"""Keys that have another name now: refused, with the new name."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.renamed_keys import RENAMED, refuse_renamed
from beatlens.tasks.registry import read_recipe


@pytest.mark.parametrize("key", RENAMED)
def test_every_old_key_is_refused_and_the_new_one_named(key: str) -> None:
    *sections, last = key.split(".")
    data: object = {last: 1}
    for section in reversed(sections):
        data = {section: data}
    with pytest.raises(RecipeError, match=r"^old\.toml: ") as refused:
        refuse_renamed(data, "old.toml")  # type: ignore[arg-type]
    assert key in str(refused.value)
    assert RENAMED[key] in str(refused.value)


def test_other_keys_pass() -> None:
    refuse_renamed({"distill": {"cache": 3}, "pool": 3, "student": {"pool": 1}}, "new.toml")


def test_a_file_with_an_old_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('[task]\nkind = "windows"\n[distill]\npool = 64\n')
    with pytest.raises(RecipeError, match=r"old\.toml: distill\.pool is called distill\.cache now"):
        read_recipe(path)

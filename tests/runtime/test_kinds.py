"""The registry of kinds of span: built-in ones, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from beatlens.errors import ModelError
from beatlens.runtime import kinds
from beatlens.runtime.kinds import BUILT_IN, GROUP, find_kind, kind_names


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch):
    """Sets the entry points of other packages."""

    def set_points(**objects: object) -> None:
        found = {}
        for name, value in objects.items():
            point = EntryPoint(name, f"{name}_ecg.kind:KIND", GROUP)

            def load(value: object = value) -> object:
                if isinstance(value, Exception):
                    raise value
                return value

            found[name] = SimpleNamespace(name=name, value=point.value, load=load)
        monkeypatch.setattr(kinds, "_others", lambda: found)
        find_kind.cache_clear()

    yield set_points
    find_kind.cache_clear()


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_kinds_have_all_that_is_asked(name: str) -> None:
    kind = find_kind(name)
    assert kind.name == name
    assert all(hasattr(kind, member) for member in kinds._MEMBERS)
    module, _, attribute = kind.training.partition(":")
    assert module.startswith(f"beatlens.tasks.{name}")
    assert attribute


def test_a_kind_of_another_package_is_found(others) -> None:
    members = {member: getattr(find_kind("beats"), member) for member in kinds._MEMBERS}
    breaths = SimpleNamespace(**{**members, "name": "breaths"})
    others(breaths=breaths)
    assert find_kind("breaths") is breaths
    assert kind_names() == (*BUILT_IN, "breaths")


def test_what_is_wrong_with_a_kind_is_said(others) -> None:
    members = {member: getattr(find_kind("beats"), member) for member in kinds._MEMBERS}
    others(
        broken=ImportError("no such thing"),
        empty=SimpleNamespace(name="empty"),
        other=SimpleNamespace(**members),
    )
    with pytest.raises(ModelError, match="no kind of span is called 'breaths', expected one of"):
        find_kind("breaths")
    with pytest.raises(ModelError, match="cannot be loaded: ImportError: no such thing; mend or"):
        find_kind("broken")
    with pytest.raises(ModelError, match=r"kind 'empty' .* lacks training, "):
        find_kind("empty")
    with pytest.raises(ModelError, match="its name is 'beats', expected the entry point's"):
        find_kind("other")

"""Compression methods of other packages, by an entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import ClassVar, Literal

import pytest
from torch import nn

from beatlens.compression import methods
from beatlens.compression.contract import Budget, Compressed, Retraining, run_steps
from beatlens.compression.methods import METHODS, build_method, find_method, method_names
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError

from ..nets.networks import SMALL, lively
from ..tasks.recipes import change_recipe
from .retrainings import make_retraining


@dataclass(frozen=True)
class Scale:
    """Multiplies the head's weights."""

    factor: float = 0.5
    where: Literal["head", "all"] = "head"
    name: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        if self.factor <= 0:
            raise RecipeError(f"factor is {self.factor}, expected above 0")

    def check(self, net: nn.Module) -> None:
        """Takes any network."""

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: object = None
    ) -> Compressed:
        net.head.weight.data *= self.factor
        row = {"method": self.name, "event": "scaled", "factor": self.factor}
        return Compressed(net, weight_account(net), [row])


@dataclass(frozen=True)
class ScaleLate(Scale):
    """The same, of int8 networks too."""

    after_int8: ClassVar[bool] = True


@dataclass(frozen=True)
class NoCheck:
    """Not a method."""

    name: ClassVar[str] = "no-check"


class Plain:
    """Not a dataclass."""


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    module = ModuleType("compressor_of_tests")
    for kind in (Scale, ScaleLate, NoCheck, Plain):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "compressor_of_tests", module)
    found = [
        EntryPoint("scale", "compressor_of_tests:Scale", methods.GROUP),
        EntryPoint("scale-late", "compressor_of_tests:ScaleLate", methods.GROUP),
        EntryPoint("no-check", "compressor_of_tests:NoCheck", methods.GROUP),
        EntryPoint("plain", "compressor_of_tests:Plain", methods.GROUP),
        EntryPoint("lost", "package_of_nowhere:Lost", methods.GROUP),
        EntryPoint("distill", "compressor_of_tests:Scale", methods.GROUP),
    ]
    monkeypatch.setattr(methods, "entry_points", lambda group: found)
    methods._others.cache_clear()
    yield found
    methods._others.cache_clear()


def test_a_method_of_another_package_is_found_and_runs(others: list[EntryPoint]) -> None:
    assert method_names() == (*METHODS, "scale", "scale-late", "no-check", "plain", "lost")
    assert find_method("distill") is METHODS["distill"]
    net = lively(SMALL["dense"])
    before = net.head.weight.detach().clone()
    step = build_method("scale", {"factor": 2, "where": "head"})
    done = run_steps(net, [step], make_retraining(net), Budget(1))
    assert done.log == [{"method": "scale", "event": "scaled", "factor": 2}]
    assert done.net.head.weight.equal(2 * before)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("scale", {"facter": 2}, "scale: no setting 'facter', expected one of factor, where"),
        ("scale", {"factor": "2"}, "scale: factor is '2', expected float"),
        ("scale", {"factor": -1.0}, "factor is -1.0, expected above 0"),
        ("no-check", {}, r"'no-check' .* lacks check, __call__, expected all of"),
        (
            "plain",
            {},
            r"'plain' \(beatlens.compressors: compressor_of_tests:Plain\) is .*dataclass",
        ),
        ("lost", {}, "cannot be loaded: ModuleNotFoundError: .* mend or remove its package"),
        ("nowhere", {}, "method is 'nowhere', expected one of .*, unify-weights, scale"),
    ],
)
def test_errors_are_one_sentence(
    others: list[EntryPoint], name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as refused:
        build_method(name, settings)
    assert "\n" not in str(refused.value)


def steps(*names: str) -> dict[str, object]:
    return {"compress": {"packed_bytes": 9000, "steps": [{"method": name} for name in names]}}


def test_recipes_take_it(others: list[EntryPoint]) -> None:
    recipe = change_recipe("windows", **steps("distill", "scale", "quantize", "scale-late"))
    assert [step.method for step in recipe.compress.steps][1] == "scale"
    with pytest.raises(RecipeError, match="scale after quantize, expected only head-manifold"):
        change_recipe("windows", **steps("distill", "quantize", "scale"))
    bound = steps("distill", "scale", "quantize")
    del bound["compress"]["packed_bytes"]  # type: ignore[attr-defined]
    with pytest.raises(RecipeError, match="packed_bytes is not set"):
        change_recipe("windows", **bound)

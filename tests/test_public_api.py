"""What `import beatlens` offers: about fifteen names, typed, described, with examples that run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import subprocess
import sys

import pytest

import beatlens

NAMES = [name for name in beatlens.__all__ if name != "__version__"]


def test_about_fifteen_names() -> None:
    assert 12 <= len(beatlens.__all__) <= 16
    assert beatlens.__all__ == sorted(beatlens.__all__)


def test_importing_loads_nothing() -> None:
    code = "import sys, beatlens; assert not {'numpy', 'torch'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'comprss'"):
        beatlens.comprss  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_described_typed_and_has_an_example(name: str) -> None:
    value = getattr(beatlens, name)
    text = inspect.getdoc(value) or ""
    assert len(text.splitlines()) >= 3, "a docstring of more than a line"
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(
            one.annotation is not inspect.Parameter.empty for one in signature.parameters.values()
        )
    module = importlib.import_module(value.__module__)
    found = doctest.DocTestFinder(recurse=False).find(value, name, module)
    examples = [one for test in found for one in test.examples]
    assert examples, "an example"
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in found:
        runner.run(test)
    assert runner.failures == 0

"""CITATION.cff, the forms for issues and the workflow are what GitHub and citation tools read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import beatlens

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def read(path: Path) -> dict:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: YAML files UNCHECKED")
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_citation_is_of_this_version_and_licence() -> None:
    found = read(ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == beatlens.__version__
    assert found["license"] == project["license"]
    assert [a["name"] for a in found["authors"]] == [a["name"] for a in project["authors"]]
    assert found["title"].startswith(project["name"])
    for key in ("message", "abstract"):
        assert found[key]
    matching, physionet = found["references"]
    assert matching["identifiers"][0]["value"] == "arXiv:2010.15054"
    assert physionet["doi"] == "10.1161/01.CIR.101.23.e215"
    for reference in (matching, physionet):
        assert {"type", "title", "authors", "year"} <= set(reference)


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda p: p.stem)
def test_a_form_has_what_github_asks_for(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert questions
    assert {item["type"] for item in form["body"]} <= KINDS
    names = [item["id"] for item in questions]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
    for item in questions:
        assert item["attributes"]["label"]
        assert isinstance(item["validations"]["required"], bool)
        assert item["type"] != "dropdown" or len(item["attributes"]["options"]) > 1


def test_the_config_of_the_forms_allows_empty_issues() -> None:
    assert read(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml") == {
        "blank_issues_enabled": True
    }


def test_the_workflow_runs_what_a_change_has_to_pass() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "ci.yml")
    assert True in workflow  # YAML 1.1 reads the key `on` as true
    commands = {name: [step.get("run") for step in job["steps"]]
                for name, job in workflow["jobs"].items()}  # fmt: skip
    assert "bash .ci/run" in commands["checks"]
    assert "sudo bash .ci/packages" in commands["checks"]
    assert "make test-cpus" in commands["cpus"]
    for job in workflow["jobs"].values():
        (python,) = [s for s in job["steps"] if "setup-python" in s.get("uses", "")]
        assert python["with"] == {
            "python-version": "3.11", "cache": "pip", "cache-dependency-path": "pyproject.toml"
        }  # fmt: skip
    for path in (ROOT / ".ci" / "run", ROOT / ".ci" / "packages"):
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"test", "demo", "test-cpus"} <= set(re.findall(r"^([\w-]+):", makefile, re.M))

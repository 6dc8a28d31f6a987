"""The site builds strictly, shows what commands print, and its generated parts are those of the code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import tomllib
from tests.docs import blocks

from graphlint.rules.registry import RULES
from graphlint.rules.targets.model import all_targets

PROJECT = Path(__file__).parents[2]
SITE = PROJECT / "docs" / "site"
SCHEMA = SITE / "graphlint.schema.json"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_rule_and_target_has_a_page(site):
    for rule in RULES:
        page = (site / "rules" / rule.code / "index.html").read_text()
        assert rule.code in page
        assert rule.name in page
    for target in all_targets():
        assert target.title in (site / "targets" / target.name / "index.html").read_text().replace("&#39;", "'")


@pytest.mark.parametrize("path", blocks.page_paths(), ids=lambda path: str(path.relative_to(SITE)))
def test_the_code_of_a_page_runs_and_shows_what_comes_out(path):
    assert blocks.shown_anew(path) == path.read_text()


@pytest.mark.parametrize("name", ["cache.svg", "view.svg", "terminal.svg"])
def test_pictures_are_those_of_the_code(name, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "docs")
    from pictures import drawn

    assert dict(drawn())[name] == (SITE / "pictures" / name).read_text(encoding="utf-8")


def test_the_schema_is_that_of_the_structs(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "docs")
    from generate import configuration_schema

    assert json.loads(SCHEMA.read_text()) == configuration_schema()


def test_every_key_of_the_configuration_is_described():
    described = json.loads(SCHEMA.read_text())["properties"]
    assert [name for name, key in described.items() if not key.get("description") and "properties" not in key] == []


def examples() -> list[str]:
    """The configurations on the pages, as tables of graphlint."""
    found = []
    for path in blocks.page_paths():
        for kind, _, code in blocks.BLOCK.findall(path.read_text()):
            if kind == "toml":
                table = tomllib.loads(code)
                found.append(json.dumps(table["tool"]["graphlint"] if "tool" in table else table))
    return found


@pytest.mark.parametrize("example", examples())
def test_the_schema_admits_the_examples(example):
    jsonschema.validate(json.loads(example), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("wrong", [{"selct": ["ALL"]}, {"select": "ALL", "exact": 1}, {"fix": {"state": "both"}}])
def test_the_schema_refuses_what_graphlint_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(SCHEMA.read_text()))

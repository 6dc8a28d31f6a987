"""What people read says things in the words of CONTRIBUTING.md, "How we write"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphlint.rules.registry import RULES

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "lint" / "graphlint"
BANNED = {
    "nobody": "say what is missing: 'unknown op', 'unused results'",
    "data flow": "functional",
    "written back at the end": "written back when the call returns",
    "may be dropped": "may be removed by dead-code elimination",
    "if alike": "if results are identical",
    "has said": "declare, or unknown",
    "on the picture": "shown",
    "leave out what": "exclude",
    "in place of the defaults": "replaces the defaults",
    "has no functional form": "cannot be made functional",
    "suppressed by": "accepted by",
    "put up with": "accept",
    "training mode": "train mode",
    "tells of": "reports",
    "told of": "reported",
    "left alone": "not changed, not written",
    "this file says": "the artifact records",
    "kept results": "the cache of results",
    "violations": "findings",
    "go by": "look at",
    "die of": "fail on",
    "without a word": "silently",
    "so that nothing can": "so no ... can",
    "depends on more than the artifact tells": "cannot be determined from the artifact",
}
"""Phrases that were replaced, with what to write."""


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module, but for docstrings, which are about code."""
    tree = ast.parse(path.read_text("utf-8"))
    documenting = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documenting:
            yield node.lineno, node.value


def read_by_people() -> Iterator[tuple[str, str]]:
    """Each text with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield from ((f"{path.relative_to(PROJECT)}:{line}", text) for line, text in literals(path))
    documents = [
        *sorted((PROJECT / "docs" / "site").rglob("*.md")),
        PROJECT / "README.md",
        PROJECT / "hooks" / "README.md",
        PROJECT / "lint" / "TARGETS.md",
    ]
    shown = [path for ending in ("txt", "toml", "md", "html", "svg", "xml") for path in PACKAGE.rglob(f"*.{ending}")]
    for path in (*documents, *sorted(shown), PACKAGE / "cli" / "help" / "options.tsv"):
        lines = path.read_text("utf-8").splitlines()
        yield from ((f"{path.relative_to(PROJECT)}:{number}", text) for number, text in enumerate(lines, 1))
    for rule in RULES:
        yield rule.code, f"{rule.summary} {rule.documentation} {rule.advice}"


TEXTS = list(read_by_people())


@pytest.mark.parametrize("phrase", BANNED)
def test_a_phrase_that_was_replaced_stays_away(phrase):
    pattern = re.compile(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", re.IGNORECASE)
    found = [(where, text) for where, text in TEXTS if pattern.search(re.sub(r"\s+", " ", text))]
    assert found == [], BANNED[phrase]


@pytest.mark.parametrize("source", ["lint/graphlint/rules/mutation.py:", "README.md:", "GL103"])
def test_texts_are_looked_at(source):
    assert any(where.startswith(source) for where, _ in TEXTS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_advice_is_an_order_to_the_author(rule):
    """It stands behind ``help:``: no capital in front, no full stop behind, code in backquotes that are closed."""
    assert rule.advice[:1] == rule.advice[:1].lower()
    assert not rule.advice.endswith(".")
    assert rule.advice.count("`") % 2 == 0

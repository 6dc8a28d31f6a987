"""Selectors and how they combine."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.rules.selection import Layer, enabled_codes, find_rule, fixable_codes, matching_codes, split_selectors


class Rule(NamedTuple):
    code: str
    name: str
    enabled_by_default: bool = True


RULES = (
    Rule("GL001", "unreadable-artifact"),
    Rule("GL002", "lfs-pointer"),
    Rule("GL004", "unloadable-schema", False),
    Rule("GL101", "in-place-op"),
    Rule("GL103", "buffer-mutation"),
    Rule("GL201", "async-assert"),
    Rule("GL501", "training-dialect", False),
    Rule("GL502", "mutation-output", False),
)
READABLE = {"GL001", "GL002"}
DEFAULT = READABLE | {"GL101", "GL103", "GL201"}


@pytest.fixture(autouse=True)
def few_rules(monkeypatch):
    monkeypatch.setattr("graphlint.rules.selection.RULES", RULES)


def enabled(*layers: Layer) -> set[str]:
    return set(enabled_codes(layers))


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("GL103", {"GL103"}),
        ("buffer-mutation", {"GL103"}),
        ("GL1", {"GL101", "GL103"}),
        ("GL10", {"GL101", "GL103"}),
        ("GL5", {"GL501", "GL502"}),
        ("GL", {rule.code for rule in RULES}),
        ("ALL", {rule.code for rule in RULES}),
    ],
)
def test_what_a_selector_selects(select, expected):
    assert enabled(Layer(select=(select,))) == expected | READABLE
    assert matching_codes([select], "select", "") == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([], DEFAULT, id="defaults"),
        pytest.param([Layer(extend_select=("GL501",))], DEFAULT | {"GL501"}, id="extend-select-adds"),
        pytest.param([Layer(ignore=("GL1",))], DEFAULT - {"GL101", "GL103"}, id="ignore-subtracts"),
        pytest.param([Layer(select=("GL1",), ignore=("GL103",))], {"GL101"} | READABLE, id="longer-ignore-wins"),
        pytest.param([Layer(select=("GL103",), ignore=("GL1",))], {"GL103"} | READABLE, id="longer-select-wins"),
        pytest.param(
            [Layer(select=("buffer-mutation",), ignore=("GL1",))], {"GL103"} | READABLE, id="names-are-longest"
        ),
        pytest.param([Layer(select=("GL1",), ignore=("GL1",))], READABLE, id="ignore-wins-a-draw"),
        pytest.param([Layer(select=("ALL",), ignore=("GL",))], set(), id="all-is-the-shortest"),
        pytest.param(
            [Layer(ignore=("GL103",)), Layer(select=("GL1",))], {"GL101", "GL103"} | READABLE, id="later-select"
        ),
        pytest.param([Layer(ignore=("GL103",)), Layer(extend_select=("GL1",))], DEFAULT, id="later-extend-select"),
        pytest.param([Layer(select=("GL103",)), Layer(ignore=("GL1",))], READABLE, id="later-ignore"),
        pytest.param(
            [Layer(select=("GL1",)), Layer(select=("GL2",))], {"GL201"} | READABLE, id="later-select-replaces"
        ),
        pytest.param([Layer(select=())], READABLE, id="nothing-selected"),
        pytest.param([Layer(select=("GL1",), ignore=("GL001", "GL002"))], {"GL101", "GL103"}, id="ignoring-unreadable"),
        pytest.param(
            [Layer(ignore=("GL0",)), Layer(select=("GL2",))], {"GL201"} | READABLE, id="unreadable-comes-back"
        ),
    ],
)
def test_layers(layers, expected):
    assert enabled(*layers) == expected


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("GL130", "; did you mean 'GL103'?"),
        ("gl103", "; did you mean 'GL103'?"),
        ("buffer-mutations", "; did you mean 'buffer-mutation'?"),
        ("all", "; did you mean 'ALL'?"),
        ("zzzzzz", ""),
    ],
)
def test_unknown_selectors(selector, hint):
    with pytest.raises(ConfigError) as caught:
        enabled(Layer(ignore=(selector,), origin="x.toml"))
    message = str(caught.value)
    start = f"x.toml: ignore: no rule is called '{selector}'"
    assert message.startswith(start + hint)
    assert bool(hint) == ("did you mean" in message)


@pytest.mark.parametrize("selector", ["G", "GL9", "GL1034", "L103", ""])
def test_what_is_no_selector(selector):
    with pytest.raises(ConfigError):
        matching_codes([selector], "select", "")


def test_fixable():
    everything = {rule.code for rule in RULES}
    assert fixable_codes(None, (), "") == everything
    assert fixable_codes(None, ("GL1",), "") == everything - {"GL101", "GL103"}
    assert fixable_codes(("GL1",), ("GL103",), "") == {"GL101"}
    assert fixable_codes(("GL103",), ("GL1",), "") == {"GL103"}
    assert fixable_codes(("GL1",), ("GL1",), "") == set()
    with pytest.raises(ConfigError, match=r"a\.toml: unfixable: no rule is called 'X'"):
        fixable_codes(None, ("X",), "a.toml")


def test_find_rule():
    for wanted in ("GL103", "gl103", "buffer-mutation", "Buffer-Mutation"):
        assert find_rule(wanted).code == "GL103"
    with pytest.raises(ConfigError, match=r"no rule is called 'GL1'; did you mean 'GL101' or 'GL103'\?"):
        find_rule("GL1")


def test_split_selectors():
    assert split_selectors(["GL1, GL2", "", "x,,y,"]) == ("GL1", "GL2", "x", "y")


def test_did_you_mean_is_deterministic():
    assert did_you_mean("ab", ["ac", "ad", "ae", "ab "]) == did_you_mean("ab", ["ab ", "ae", "ad", "ac"])
    assert did_you_mean("ab", []) == ""

"""The rules as a whole: complete, in order, documented, and as the catalogue says."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import graphlint.rules
from graphlint.rules import documentation
from graphlint.rules.base import Rule
from graphlint.rules.registry import RULES

# code, name, on by default, severity, best fix
CATALOGUE = """
GL001 unreadable-artifact yes error none
GL002 lfs-pointer yes error none
GL003 code-in-artifact yes error none
GL004 unloadable-schema no warning none
GL005 no-programs yes warning none
GL006 stale-companion yes note none
GL101 in-place-op yes error safe
GL102 input-mutation yes error safe
GL103 buffer-mutation yes error safe
GL104 parameter-mutation yes error safe
GL105 constant-mutation yes error safe
GL106 out-variant yes error safe
GL107 hidden-update yes error safe
GL108 shared-state no error safe
GL201 async-assert yes error safe
GL202 bare-async-assert yes error safe
GL203 scalar-assert yes error safe
GL204 range-constraint yes error safe
GL205 metadata-assert yes warning safe
GL301 print yes error unsafe
GL302 random-op yes warning none
GL303 training-dropout no error none
GL304 mutable-custom-op yes error safe
GL305 unknown-op yes warning none
GL306 in-place-collective yes error none
GL307 script-object-call yes warning none
GL308 effect-token yes warning safe
GL309 train-mode yes error unsafe
GL401 grad-mode-region yes warning safe
GL402 autocast-region yes warning safe
GL403 dead-effect yes error none
GL501 training-dialect no warning safe
GL502 mutation-output no warning safe
GL503 aliased-output no warning none
GL601 refused-by-target yes error safe
GL602 unavailable-op yes error none
GL603 lost-state yes error safe
GL604 lost-initial-value yes error safe
GL605 lost-input-write yes error safe
GL606 lost-draw yes error none
GL607 lost-check yes note none
GL608 refused-dtype yes error none
GL609 too-many-nodes yes error none
GL610 other-values yes note none
GL611 too-many-dimensions yes error none
GL612 unloadable-call yes error safe
GL901 unused-ignore no warning none
GL902 broad-ignore yes warning none
GL903 invalid-ignore yes warning none
"""
EXAMPLE = re.compile(r"```graph\n(.*?)```", re.DOTALL)
WITHOUT_EXAMPLE = {
    "GL901": "is about comments in the model's source",
    "GL902": "is about comments in the model's source",
    "GL903": "is about comments in the model's source",
    "GL001": "is about files",
    "GL002": "is about files",
    "GL003": "is about files",
    "GL004": "the text form is always of a schema that loads",
    "GL005": "is about files",
    "GL006": "is about files",
    "GL306": "see the tests of effects",
    "GL307": "see the tests of effects",
    "GL601": "depends on the target",
    "GL602": "depends on the versions that are required",
    "GL603": "depends on the target",
    "GL604": "depends on the target",
    "GL605": "depends on the target",
    "GL606": "depends on the target",
    "GL607": "depends on the target",
    "GL608": "depends on the target",
    "GL609": "depends on the target",
    "GL610": "depends on the target",
    "GL611": "depends on the target",
    "GL108": "depends on what the archive holds",
}


def by_code(rule: Rule) -> str:
    return rule.code


def sections(rule: Rule) -> dict[str, str]:
    """Heading to text."""
    parts = re.split(r"^## (.+)$", rule.documentation, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples(heading: str) -> list[tuple[str, str]]:
    """Code and graph of every example under that heading."""
    return [(rule.code, graph) for rule in RULES for graph in EXAMPLE.findall(sections(rule).get(heading, ""))]


def test_the_rules_are_those_of_the_catalogue():
    found = [
        f"{rule.code} {rule.name} {'yes' if rule.enabled_by_default else 'no'} {rule.severity} {rule.fix}"
        for rule in RULES
    ]
    assert found == CATALOGUE.split("\n")[1:-1]


def test_the_reference_is_up_to_date():
    reference = Path(graphlint.__file__).parents[1] / "RULES.md"
    assert reference.read_text(encoding="utf-8") == documentation.reference(), (
        "run python -m graphlint.rules.documentation"
    )


def test_links_lead_to_headings_of_the_reference():
    anchors = {
        heading.strip().lower().replace(" ", "-")
        for heading in re.findall(r"^## (GL.*)$", documentation.reference(), re.MULTILINE)
    }
    assert {documentation.link(rule.name, rule.code).partition("#")[2] for rule in RULES} == anchors


def test_codes_and_names_are_unique_well_formed_and_in_order():
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"GL[1-6]\d\d|GL[09]\d\d", rule.code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)


def test_every_rule_that_is_defined_is_registered():
    defined: set[type[Rule]] = set()
    for module in pkgutil.iter_modules(graphlint.rules.__path__, "graphlint.rules."):
        loaded = importlib.import_module(module.name)
        for _, one in inspect.getmembers(loaded, inspect.isclass):
            if issubclass(one, Rule) and "code" in vars(one):
                defined.add(one)
    assert defined == {type(rule) for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=by_code)
def test_every_rule_is_documented(rule):
    assert vars(type(rule)).get("__doc__"), "a docstring of its own"
    assert re.fullmatch(r"[A-Z].+\.", rule.summary)
    found = sections(rule)
    assert {"What it does", "Why is this bad?"} <= set(found)
    known = ["What it does", "Why is this bad?", "Example", "Use instead", "Fix safety", "References"]
    assert list(found) == [heading for heading in known if heading in found]
    assert all(text.strip() for text in found.values())
    if rule.fix != "none":
        assert "Fix safety" in found
    assert bool(EXAMPLE.findall(found.get("Example", ""))) == (rule.code not in WITHOUT_EXAMPLE)


@pytest.mark.parametrize("rule", RULES, ids=by_code)
def test_references_are_cited(rule):
    cited = set(re.findall(r"[\w.-]+/[\w.-]+#\d+", sections(rule).get("References", "")))
    body = rule.documentation.partition("## References")[0]
    assert set(re.findall(r"[\w.-]+/[\w.-]+#\d+", body)) <= cited or not cited


@pytest.mark.parametrize(("code", "graph"), examples("Example"))
def test_examples_are_flagged(lint_text, code, graph):
    assert code in {one.code for one in lint_text(graph)}


@pytest.mark.parametrize(("code", "graph"), examples("Use instead"))
def test_what_to_use_instead_is_not(lint_text, code, graph):
    assert code not in {one.code for one in lint_text(graph)}


def test_examples_say_one_thing(lint_text):
    # An example shows its own rule; the others that it may trip over are named here.
    also = {"GL403": {"GL201"}, "GL107": {"GL309"}, "GL303": {"GL309"}, "GL309": {"GL107", "GL303"}, "GL612": {"GL302"}}
    off = {"GL501", "GL502", "GL503"}
    for code, graph in examples("Example"):
        found = {one.code for one in lint_text(graph)} - off
        assert found - {code} <= also.get(code, set()), code


def test_diagnostics_carry_code_name_and_severity_of_their_rule(lint_text):
    rules = {rule.code: rule for rule in RULES}
    for _, graph in examples("Example"):
        for one in lint_text(graph):
            rule = rules[one.code]
            assert (one.rule, one.severity) == (rule.name, rule.severity)
            assert (one.path, one.program) == ("model.pt2", "model")
            assert one.message
            assert not one.message.endswith(".")
            assert one.fix.message
            if one.fix.applicability != "none":
                assert one.fix.applicability == rule.fix
            if rule.fix != "none" and one.fix.applicability == "none":
                assert rule.fix_sometimes

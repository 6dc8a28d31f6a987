"""results.json, exceptions.toml and the table of the documentation say the same, and cover what they are to cover."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from graphlint.rules.targets.model import all_targets, load_target

from . import cases, results, table, verdict
from .consumers import CONSUMERS
from .outcomes import NOT_LOADED, REFUSED, TAKEN, Judgement
from .preparing import Prepared

RESULTS = results.read()
CHECKED = {"async_assert", "two_async_asserts", "bare_async_assert", "scalar_assert", "constrain_range"}
CHECKED |= {"constrain_range_for_size", "cond_assert", "dynamic_batch", "nested", "two_programs/encoder"}
CHECKED |= {"dependency_tokens", "size_from_data", "position_from_data", "slice_from_data", "narrow_from_data"}


def test_what_was_measured_contradicts_graphlint_only_where_the_exceptions_say_so():
    assert verdict.problems(RESULTS.cells(), verdict.load_exceptions()) == []


def test_the_readme_shows_what_was_measured():
    assert table.shown() == table.matrix(RESULTS, verdict.load_exceptions())


def test_every_consumer_was_measured_on_every_case(tmp_path):
    in_corpus = []
    for path in sorted(cases.CORPUS.glob("*.pt2")):
        programs = cases.PROGRAMS.get(path.stem)
        in_corpus += [path.stem] if programs is None else [f"{path.stem}/{program}" for program in programs]
    assert set(RESULTS.cases) == {*in_corpus, *cases.OWN, *cases.FIXED}
    assert list(RESULTS.consumers) == list(CONSUMERS)
    assert all(list(row) == list(CONSUMERS) for row in RESULTS.cases.values())
    assert {name: one.target for name, one in RESULTS.consumers.items()} == {
        name: one.target for name, one in CONSUMERS.items()
    }


def test_every_target_but_the_default_has_a_consumer():
    assert {one.target for one in CONSUMERS.values()} == {target.name for target in all_targets()} - {"functional"}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_the_target_names_the_versions_that_were_measured(consumer):
    measured = {name: version.partition("+")[0] for name, version in RESULTS.consumers[consumer].versions.items()}
    said = load_target(CONSUMERS[consumer].target).measured
    assert {name: version for name, version in said.items() if name in measured} == {
        name: version for name, version in measured.items() if name in said
    }
    assert said.keys() & measured.keys()


def test_checks_were_tripped_wherever_the_result_could_run():
    tripped = {
        (case, consumer)
        for (case, consumer), cell in RESULTS.cells().items()
        if cell.after.outcome == TAKEN and consumer != "coreml" and cell.after.tripped
    }
    ran = {
        (case, consumer)
        for (case, consumer), cell in RESULTS.cells().items()
        if cell.after.outcome == TAKEN and consumer != "coreml" and case in CHECKED
    }
    assert tripped == ran
    assert {case for case, _ in ran} == CHECKED


def test_eager_torch_keeps_everything():
    outcomes = {case: row["module"].after for case, row in RESULTS.cases.items()}
    assert {case for case, one in outcomes.items() if one.outcome == NOT_LOADED} == {"random"}
    assert {case: one.describe() for case, one in outcomes.items() if one.describe() not in (TAKEN, NOT_LOADED)} == {}


# ------------------------------------------------------------------------------------------------ the verdict

CLEAN = Prepared(True, ("GL105",), (), ())
NOTED = Prepared(False, (), (), ("GL607",))
REPORTED = Prepared(False, (), ("GL301",), ())


@pytest.mark.parametrize(
    ("fix", "after", "said"),
    [
        (CLEAN, Judgement(TAKEN), ""),
        (CLEAN, Judgement(REFUSED, "no"), "refused"),
        (CLEAN, Judgement(TAKEN, lost=("writes",)), "taken, writes lost"),
        (CLEAN, Judgement(NOT_LOADED, "no"), ""),
        (NOTED, Judgement(TAKEN, lost=("checks",)), ""),
        (NOTED, Judgement(TAKEN, lost=("checks", "writes")), "taken, writes lost"),
        (REPORTED, Judgement(REFUSED, "no"), ""),
    ],
    ids=["taken", "refused", "loses", "not loaded", "announced", "announced in part", "reported"],
)
def test_what_contradicts_graphlint(fix, after, said):
    assert verdict.contradiction(verdict.Cell(fix, after)) == said


KNOWN = verdict.Known("onnx", "clean", "refused", "it does")


@pytest.mark.parametrize(
    ("outcome", "exceptions", "expected"),
    [
        (REFUSED, [KNOWN], []),
        (REFUSED, [], ["clean: graphlint calls it clean for onnx, which has it refused: why"]),
        (TAKEN, [KNOWN], ["exceptions.toml: clean, onnx: 'refused' does not occur any more"]),
        (
            "crashed",
            [KNOWN],
            ["exceptions.toml: clean, onnx: 'refused' does not occur any more, but 'crashed': why"],
        ),
        (
            TAKEN,
            [verdict.Known("onnx", "gone", "refused", "it does")],
            ["exceptions.toml: gone, onnx: there is no such case"],
        ),
    ],
    ids=["known", "unknown", "not any more", "something else", "no such case"],
)
def test_exceptions_excuse_what_they_name_and_nothing_else(outcome, exceptions, expected):
    cells = {("clean", "onnx"): verdict.Cell(CLEAN, Judgement(outcome, "why"))}
    assert verdict.problems(cells, exceptions) == expected

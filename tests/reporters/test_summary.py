"""The lines after the findings: exact text."""

from __future__ import annotations

import re
import shutil

import msgspec
import pytest

import graphlint
from graphlint.report.formats import counts, summary
from graphlint.report.formats.registry import FORMATS, STATISTICS, renderer
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Fix, Suppression


def test_all_passed():
    assert summary.render([FileResult("a.pt2")], ReportOptions()) == "All checks passed!\n"


def test_nothing_to_check_passes_no_checks():
    assert summary.render([], ReportOptions()) == "No artifacts: nothing was checked.\n"


def test_found_and_fixable(results):
    assert summary.render(results, ReportOptions()) == (
        "Found 3 errors and 1 warning.\n"
        "[*] 1 fixable with the --fix option.\n"
        "[!] 1 fixable with --fix --unsafe-fixes.\n"
    )


def test_without_hints(results):
    options = ReportOptions(hint_unsafe=False)
    assert summary.render(results, options).splitlines()[1:] == ["[*] 1 fixable with the --fix option."]


def test_only_hidden_fixes(print_op):
    results = [FileResult("a.pt2", (print_op, print_op))]
    assert summary.render(results, ReportOptions()) == (
        "Found 2 errors, from 1 cause.\n[!] 2 fixable with --fix --unsafe-fixes.\n"
    )


def test_fixed_and_remaining(buffer_mutation, random_op):
    note = msgspec.structs.replace(random_op, severity="note")
    results = [FileResult("a.pt2", (random_op, note), fixed=(buffer_mutation,), changed=True)]
    assert summary.render(results, ReportOptions()) == (
        "Found 1 error, 1 warning and 1 note (1 fixed, 2 remaining).\n"
    )  # fmt: skip


def test_what_a_fix_brings_about_and_takes_along_is_counted(buffer_mutation, random_op):
    """What a check finds and what comes up are together what was fixed, what went with it, and what is left."""
    one, new = FileResult("a.pt2", (random_op,), fixed=(buffer_mutation,), changed=True), (random_op,)
    fixed = (
        msgspec.structs.replace(one, brought=new),
        msgspec.structs.replace(one, gone=(buffer_mutation, random_op)),
    )
    assert [summary.render([result], ReportOptions()) for result in fixed] == [
        "Found 1 error, and 1 more while fixing (1 fixed, 1 remaining).\n",
        "Found 2 errors and 2 warnings (1 fixed, 2 gone with it, 1 remaining).\n",
    ]
    assert summary.render(fixed, ReportOptions()) == (
        "Found 3 errors and 2 warnings, and 1 more while fixing (2 fixed, 2 gone with them, 2 remaining).\n"
    )


def test_what_went_along_is_listed(buffer_mutation, random_op):
    result = FileResult("a.pt2", fixed=(buffer_mutation,), gone=(random_op,), changed=True)
    assert summary.render_fixes([result]) == (
        "Fixed 1 error:\n- a.pt2:\n    1 x GL103 (buffer-mutation)\n    1 x GL302 (random-op), gone with the others\n\n"
    )


def test_statistics_mark_what_takes_an_option(results):
    assert "1\tGL301\t[!] print\n" in counts.render(results, ReportOptions())
    assert "1\tGL301\t[ ] print\n" in counts.render(results, ReportOptions(hint_unsafe=False))


def test_an_option_that_a_fix_takes_is_named(buffer_mutation, print_op):
    lacking = msgspec.structs.replace(buffer_mutation, fix=Fix("safe", "is returned, too", option="--lift-state"))
    result = FileResult("a.pt2", (lacking, print_op), fixed=(), diff="")
    assert summary.render([result], ReportOptions()).splitlines()[1:] == [
        "[!] 1 fixable with --fix --lift-state.",
        "[!] 1 fixable with --fix --unsafe-fixes.",
    ]
    options = ReportOptions(unsafe_paths=frozenset({"a.pt2"}), hint_unsafe=False)
    assert [(options.mark(one), options.applies(one)) for one in (lacking, buffer_mutation)] == [
        ("[!]", False),
        ("[*]", True),
    ]
    assert summary.render_would_fix([result], ReportOptions()) == (
        "No findings would be fixed (1 more with --lift-state, 1 more with --unsafe-fixes).\n"
    )


def test_what_the_baseline_holds_is_counted(buffer_mutation, random_op):
    known = tuple(msgspec.structs.replace(buffer_mutation, suppression=Suppression("baseline")) for _ in range(2))
    commented = msgspec.structs.replace(random_op, suppression=Suppression("comment"))
    clean = FileResult("a.pt2", suppressed=(*known, commented))
    assert summary.render([clean], ReportOptions()) == "All checks passed! (2 in the baseline)\n"
    found = msgspec.structs.replace(clean, diagnostics=(random_op,))
    assert summary.render([found], ReportOptions()) == "Found 1 warning (2 in the baseline).\n"
    failed = FileResult("b.pt2", error="gone")
    assert summary.render([clean, failed], ReportOptions()) == "1 path could not be processed, 2 in the baseline.\n"
    fixed = msgspec.structs.replace(clean, fixed=(buffer_mutation,), changed=True)
    assert summary.render([fixed, failed], ReportOptions()) == (
        "Found 1 error (1 fixed, 0 remaining, 1 path could not be processed, 2 in the baseline).\n"
    )


def test_failures_are_never_all_passed(buffer_mutation):
    failed = FileResult("a.pt2", error="gone")
    assert summary.render([failed], ReportOptions()) == "1 path could not be processed.\n"
    found = FileResult("b.pt2", (buffer_mutation,))
    assert summary.render([failed, found, failed], ReportOptions()).splitlines()[0] == (
        "Found 1 error (2 paths could not be processed)."
    )
    fixed = FileResult("b.pt2", fixed=(buffer_mutation,), changed=True)
    assert summary.render([failed, fixed], ReportOptions()) == (
        "Found 1 error (1 fixed, 0 remaining, 1 path could not be processed).\n"
    )


def test_who_cannot_take_tokens(buffer_mutation):
    check = msgspec.structs.replace(buffer_mutation, code="GL203")
    fixed = FileResult("a.pt2", fixed=(buffer_mutation, check), changed=True)
    options = ReportOptions()
    hint = summary.render_tokens([FileResult("b.pt2"), fixed], options)
    assert hint.startswith(
        "Checks became dependency tokens, which AOTInductor, ONNX, ExecuTorch, ExecuTorch with XNNPACK, Core ML, "
        "OpenVINO, IREE, LiteRT and TVM refuse: "
    )
    assert summary.render_tokens([FileResult("a.pt2", fixed=(buffer_mutation,), changed=True)], options) == ""
    assert summary.render_tokens([FileResult("a.pt2", fixed=(check,), diff="-")], options) == ""
    chosen = ReportOptions(targeted_paths=frozenset({"a.pt2"}))
    assert summary.render_tokens([FileResult("b.pt2"), fixed], chosen) == ""


def test_rewritten_files(buffer_mutation, print_op):
    one = FileResult("a\n.pt2", fixed=(buffer_mutation, print_op, buffer_mutation), changed=True)
    two = FileResult("b.pt2", fixed=(buffer_mutation,), changed=True)
    assert summary.render_fixed_files([one, FileResult("c.pt2"), two]) == (
        "Fixed 3 findings in a\\n.pt2\nFixed 1 finding in b.pt2\n"
    )
    assert summary.render_rewritten([one]) == (
        "1 artifact was rewritten, hence exit status 1: review it and commit again.\n"
    )
    assert summary.render_rewritten([one, two]) == (
        "2 artifacts were rewritten, hence exit status 1: review them and commit again.\n"
    )
    assert summary.render_rewritten([FileResult("c.pt2")]) == ""
    assert summary.render_fix_only([one, two]) == "Fixed 4 errors.\n"
    assert summary.render_fix_only([FileResult("c.pt2")]) == ""
    assert summary.render_fixes([one, two]) == (
        "Fixed 4 errors:\n"
        "- a\\n.pt2:\n    2 x GL103 (buffer-mutation)\n    1 x GL301 (print)\n"
        "- b.pt2:\n    1 x GL103 (buffer-mutation)\n\n"
    )
    assert summary.render_fixes([FileResult("c.pt2")]) == ""


@pytest.mark.parametrize(
    ("fixes", "hidden", "expected"),
    [
        (2, 1, "Would fix 2 findings (1 more with --unsafe-fixes).\n"),
        (1, 0, "Would fix 1 finding.\n"),
        (0, 1, "No findings would be fixed (1 more with --unsafe-fixes).\n"),
        (0, 0, "No findings would be fixed.\n"),
    ],
)
def test_would_fix(fixes, hidden, expected, buffer_mutation, print_op):
    result = FileResult("a.pt2", diagnostics=(print_op,) * hidden, fixed=(buffer_mutation,) * fixes)
    assert summary.render_would_fix([result], ReportOptions()) == expected


def test_diff():
    results = [
        FileResult("a.pt2", diff="--- a\n+++ a\n-x\t\x1b\n+y\n"),
        FileResult("b.pt2"),
        FileResult("c.pt2", diff=" z"),
    ]
    assert summary.render_diff(results, ReportOptions()) == "--- a\n+++ a\n-x\t\\x1b\n+y\n z\n"
    assert "\x1b[32m+y\x1b[0m\n" in summary.render_diff(results, ReportOptions(color=True))


@pytest.mark.parametrize(
    ("name", "statistics"), [*((name, False) for name in FORMATS), *((name, True) for name in STATISTICS)]
)
def test_every_format_can_be_loaded(name, statistics, results):
    text = renderer(name, statistics=statistics)(results, ReportOptions())
    assert text.endswith("\n")
    assert text == renderer(name, statistics=statistics)(results, ReportOptions())


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, []),
        (1, ["--fix would turn 1 check into a dependency token"]),
        (2, ["--fix would turn 2 checks into dependency tokens"]),
    ],
)
def test_who_would_get_tokens_is_told_to_choose(number, said):
    check = Diagnostic("GL201", "async-assert", "error", "m", Fix("safe", "f"), path="a.pt2")
    stays = Diagnostic("GL201", "async-assert", "error", "m", Fix("none", "f"), path="a.pt2")
    results = [FileResult("a.pt2", diagnostics=(check,) * number + (stays,))]
    choice = [line for line in summary.render(results, ReportOptions()).splitlines() if "Choose what" in line]
    assert [line.partition(",")[0] for line in choice] == said
    assert not [one for one in choice if "or --target functional" not in one]
    chosen = ReportOptions(targeted_paths=frozenset({"a.pt2"}))
    assert "Choose" not in summary.render(results, chosen)


SUMS = re.compile(
    r"Found (?P<found>[^,(]+?)(, from \d+ causes?)?(, and (\d+) more while fixing)?( \((.*)\))?\.$", re.MULTILINE
)


@pytest.mark.parametrize(
    "options", [{}, {"target": "onnx"}, {"state": "io"}, {"target": "onnx", "state": "io"}], ids=str
)
def test_a_fix_counts_what_a_check_finds(artifacts, tmp_path, options):
    """The numbers of ``--fix`` add up, and those of the check before it are among them."""
    said = set()
    for artifact in sorted((artifacts / "2.13.0").glob("*.pt2")):
        path = tmp_path / artifact.name
        shutil.copy(artifact, path)
        checked = summary.render([graphlint.lint(path, isolated=True, **options)], ReportOptions())
        fixed = graphlint.fix(path, isolated=True, **options)
        before, after = SUMS.search(checked), SUMS.search(summary.render([fixed], ReportOptions()))
        if not fixed.fixed:
            continue
        assert after["found"] == before["found"], artifact.stem
        found = sum(map(int, re.findall(r"\d+", after["found"]))) + int(after[4] or 0)
        parts = dict(reversed(part.split(" ", 1)) for part in after[6].split(", "))
        assert found == sum(map(int, parts.values())), artifact.stem
        said.update(parts, ["more"] if after[4] else [])
    assert {"fixed", "remaining"} <= said
    # State that is lifted is refused as an output; the casts of an autocast region make bfloat16, which ONNX refuses.
    assert ("more" in said) == bool(options)

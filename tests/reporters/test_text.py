"""The formats for people: exact text."""

from __future__ import annotations

import click
import msgspec
import pytest

from graphlint.ir.source import SourceFrame
from graphlint.report.formats import concise, counts, full, grouped
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Fix, Location

FULL = """\
GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'
  --> models.py:84 in forward
84 |     self.count.add_(1)
  ::: model.pt2, node %add_, module layers.0 (Counter)
   = help: --fix: becomes aten.add.Tensor

GL302 random-op (warning): aten.rand.default draws from the global generator
 --> model.pt2, program decoder, graph cond > true_graph_0, node %rand, module noise
  = note: not fixable: no op does the same without

GL301 [!] print: aten._print.default prints
  --> models.py:84 in forward
84 |     self.count.add_(1)
  ::: model.pt2, node %_print
   = help: --fix --unsafe-fixes: removed (this may change what the program does)

GL001 unreadable-artifact: the JSON ends early
 --> broken.pt2, member archive/models/model.json
  = help: export again

"""

CONCISE = """\
models.py:84: GL103 [*] aten.add_.Tensor writes buffer 'count' (model.pt2)
model.pt2: program decoder, graph cond > true_graph_0, node %rand: GL302 (warning) aten.rand.default draws from the \
global generator
models.py:84: GL301 [!] aten._print.default prints (model.pt2)
broken.pt2: member archive/models/model.json: GL001 the JSON ends early
"""

GROUPED = """\
model.pt2:
  models.py:84: self.count.add_(1) (2 findings)
    GL103 [*] aten.add_.Tensor writes buffer 'count'
    GL301 [!] aten._print.default prints
  program decoder, graph cond > true_graph_0, node %rand: GL302 (warning) aten.rand.default draws from the global \
generator

broken.pt2:
  member archive/models/model.json: GL001 the JSON ends early

"""


@pytest.mark.parametrize(
    ("reporter", "expected"), [(full, FULL), (concise, CONCISE), (grouped, GROUPED)], ids=["full", "concise", "grouped"]
)
def test_exact_text(reporter, expected, results):
    assert reporter.render(results, ReportOptions()) == expected


@pytest.mark.parametrize("reporter", [full, concise, grouped, counts])
def test_nothing_to_say_about_clean_files(reporter):
    assert reporter.render([FileResult("a.pt2"), FileResult("b.pt2", error="gone")], ReportOptions()) == ""


@pytest.mark.parametrize("reporter", [full, concise, grouped, counts])
def test_color_changes_nothing_but_color(reporter, results):
    plain = reporter.render(results, ReportOptions())
    colored = reporter.render(results, ReportOptions(color=True))
    assert "\x1b[" in colored
    assert click.unstyle(colored) == plain


def test_unsafe_fixes_are_marked_where_they_are_enabled(results):
    lines = concise.render(results, ReportOptions(unsafe_paths=frozenset({"model.pt2"}))).splitlines()
    assert "GL301 [*] aten._print.default" in lines[2]
    assert "--unsafe-fixes" not in full.render(results, ReportOptions(unsafe_paths=frozenset({"model.pt2"})))


def test_unsafe_fixes_are_not_mentioned_where_they_are_turned_off(results):
    assert "--unsafe-fixes" not in full.render(results, ReportOptions(hint_unsafe=False))


def test_source_below_the_current_folder_is_shown_relative(buffer_mutation):
    def shown(path):
        frame = SourceFrame(path, 7, "forward")
        finding = msgspec.structs.replace(buffer_mutation, source=frame)
        return concise.render([FileResult("model.pt2", (finding,))], ReportOptions(folder="/home/me"))

    assert shown("/home/me/models/a.py").startswith("models/a.py:7: ")
    assert shown("/home/melissa/a.py").startswith("/home/melissa/a.py:7: ")


def in_layers(finding, *numbers, **changes):
    """The finding as it is in several layers."""
    return tuple(
        msgspec.structs.replace(
            finding,
            message=f"aten.add_.Tensor writes buffer 'layers.{number}.count'",
            node=f"add__{number}",
            module_path=f"layers.{number}",
            **changes,
        )
        for number in numbers
    )


@pytest.mark.parametrize(
    ("numbers", "places"),
    [
        ((0, 1), "in 2 places: layers.0, layers.1"),
        ((0, 1, 2), "in 3 places: layers.0, layers.1, layers.2"),
        (tuple(range(24)), "in 24 places: layers.0 … layers.23"),
    ],
)
def test_findings_of_one_line_are_told_as_one(buffer_mutation, numbers, places):
    results = [FileResult("model.pt2", in_layers(buffer_mutation, *numbers))]
    head = "GL103 [*] aten.add_.Tensor writes buffer 'layers.0.count'"
    assert concise.render(results, ReportOptions()) == f"models.py:84: {head} (model.pt2, {places})\n"
    assert grouped.render(results, ReportOptions()) == (
        f"model.pt2:\n  models.py:84: self.count.add_(1) ({len(numbers)} findings)\n    {head} ({places})\n\n"
    )
    text = full.render(results, ReportOptions())
    assert f"\n  ::: model.pt2, {places}\n" in text
    assert text.count("GL103") == 1
    assert counts.render(results, ReportOptions()).split("\t")[0] == str(len(numbers))


def test_nodes_tell_places_apart_where_modules_do_not(buffer_mutation):
    twice = in_layers(buffer_mutation, 1, 2)
    in_root = tuple(msgspec.structs.replace(one, module_path="") for one in twice)
    assert "(model.pt2, in 2 places: %add__1, %add__2)" in concise.render(
        [FileResult("model.pt2", in_root)], ReportOptions()
    )
    branches = tuple(
        msgspec.structs.replace(one, subgraph=("cond", f"{branch}_graph_0"), program="decoder")
        for one, branch in zip(in_root, ("true", "false"), strict=True)
    )
    assert concise.render([FileResult("model.pt2", branches)], ReportOptions()).endswith(
        "(model.pt2, program decoder, in 2 places: cond > true_graph_0 > %add__1, cond > false_graph_0 > %add__2)\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"op": "aten.sub_.Tensor"},
        {"code": "GL104"},
        {"program": "decoder"},
        {"fix": Fix("none", "it overlaps")},
        {"stack": (SourceFrame("models.py", 85, "forward", "self.count.add_(1)"),)},
        {"stack": (SourceFrame("other.py", 84, "forward", "self.count.add_(1)"),)},
    ],
)
def test_what_differs_stays_apart(buffer_mutation, changes):
    [one, other] = (*in_layers(buffer_mutation, 0), *in_layers(buffer_mutation, 1, **changes))
    assert len(concise.render([FileResult("model.pt2", (one, other))], ReportOptions()).splitlines()) == 2


def test_other_messages_stay_apart(buffer_mutation):
    one, other = (
        msgspec.structs.replace(buffer_mutation, message=f"its check ('u0 >= {number} on node ge_{number}')")
        for number in (2, 10)
    )
    assert len(concise.render([FileResult("model.pt2", (one, other))], ReportOptions()).splitlines()) == 2


def test_the_marker_stands_below_the_expression_even_where_text_is_escaped(buffer_mutation):
    text = "\ts = '\x1b\u202e'; self.count.add_(1)"
    begin = text.index("self") + 1
    place = Location("m.py", 7, "forward", text, "/home/me/m.py", begin, len(text) + 1, "current")
    finding = msgspec.structs.replace(buffer_mutation, location=place)
    lines = full.render([FileResult("model.pt2", (finding,))], ReportOptions(folder="/home/me")).splitlines()
    assert lines[1] == f" --> m.py:7:{begin} in forward"
    assert lines[2] == "7 |     s = '\\x1b\\u202e'; self.count.add_(1)"
    assert lines[3] == f"  |{' ' * (lines[2].index('self') - 3)}^^^^^^^^^^^^^^^^^^"
    wide = msgspec.structs.replace(place, text="f('漢字e\u0301'); g()", column=11, end_column=14)
    finding = msgspec.structs.replace(buffer_mutation, location=wide)
    lines = full.render([FileResult("model.pt2", (finding,))], ReportOptions()).splitlines()
    assert lines[2:4] == ["7 |     f('漢字e\u0301'); g()", f"  |     {' ' * 11}^^^"]  # f('漢字é'); takes 11 columns


def test_only_the_place_in_the_source_for_what_is_about_the_source():
    place = Location("net.py", 7, text="x()  # graphlint: ignore", file="/home/me/net.py", column=6, end_column=25)
    finding = Diagnostic(
        "GL902", "broad-ignore", "warning", "names no rule", Fix("none", "name it"), "net.py", location=place
    )
    results = [FileResult("net.py", (finding,), is_source=True)]
    options = ReportOptions(folder="/home/me")
    assert concise.render(results, options) == "net.py:7:6: GL902 (warning) names no rule\n"
    assert grouped.render(results, options) == (
        "net.py:\n  net.py:7:6: x()  # graphlint: ignore\n    GL902 (warning) names no rule\n\n"
    )
    assert full.render(results, options) == (
        "GL902 broad-ignore (warning): names no rule\n"
        " --> net.py:7:6\n"
        "7 |     x()  # graphlint: ignore\n"
        "  |          ^^^^^^^^^^^^^^^^^^^\n"
        "  = help: name it\n\n"
    )


def test_source_without_text_has_no_excerpt(buffer_mutation):
    finding = msgspec.structs.replace(buffer_mutation, stack=(), source=SourceFrame("a.py", 123, "forward"))
    finding = msgspec.structs.replace(finding, module_path="")
    assert full.render([FileResult("model.pt2", (finding,))], ReportOptions()) == (
        "GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'\n"
        "   --> a.py:123 in forward\n"
        "   ::: model.pt2, node %add_\n"
        "    = help: --fix: becomes aten.add.Tensor\n\n"
    )


@pytest.mark.parametrize("reporter", [full, concise, grouped])
def test_nothing_from_outside_reaches_the_terminal_raw(reporter, buffer_mutation):
    evil = "a\nb\x1b[2J\u202ec\udce9"
    finding = msgspec.structs.replace(
        buffer_mutation,
        message=evil,
        path=evil,
        program=evil,
        node=evil,
        subgraph=(evil,),
        source=SourceFrame(evil, 1, evil, evil),
        module_path=evil,
    )
    harmless = msgspec.structs.replace(finding, **dict.fromkeys(("message", "path", "program", "node"), "x"))
    harmless = msgspec.structs.replace(
        harmless, subgraph=("x",), module_path="x", source=SourceFrame("x", 1, "x", "x")
    )  # fmt: skip
    text = reporter.render([FileResult(evil, (finding,))], ReportOptions())
    assert r"a\nb\x1b[2J\u202ec\xe9" in text
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == reporter.render([FileResult("x", (harmless,))], ReportOptions()).count("\n")


def test_counts_are_sorted_by_frequency_then_code(results, buffer_mutation, print_op):
    unfixable = msgspec.structs.replace(buffer_mutation, fix=print_op.fix)
    more = [*results, FileResult("b.pt2", (unfixable, buffer_mutation))]
    assert counts.render(more, ReportOptions()) == (
        "3\tGL103\t[-] buffer-mutation\n"
        "1\tGL001\t[ ] unreadable-artifact\n"
        "1\tGL301\t[!] print\n"
        "1\tGL302\t[ ] random-op\n"
    )
    assert counts.render([FileResult("a", (buffer_mutation,))], ReportOptions()) == "1\tGL103\t[*] buffer-mutation\n"

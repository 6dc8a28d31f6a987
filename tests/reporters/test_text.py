"""The formats for people: exact text."""

from __future__ import annotations

import click
import msgspec
import pytest

from graphlint.diagnostics import SourceFrame
from graphlint.reporters import concise, counts, full, grouped
from graphlint.reporters.options import ReportOptions
from graphlint.results import FileResult

FULL = """\
GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'
  --> models.py:84 in forward
   |
84 |     self.count.add_(1)
   |
  ::: model.pt2, node %add_, module layers.0 (Counter)
   = help: becomes aten.add.Tensor

GL302 random-op (warning): aten.rand.default draws from the global generator
 --> model.pt2, program decoder, graph cond > true_graph_0, node %rand, module noise
  = note: not fixable: no op does the same without

GL301 print: aten._print.default prints
  --> models.py:84 in forward
   |
84 |     self.count.add_(1)
   |
  ::: model.pt2, node %_print
   = help: removed
   = note: this fix is unsafe: it can change what the program does; enable with --unsafe-fixes

GL001 unreadable-artifact: the JSON ends early
 --> broken.pt2, member archive/models/model.json
  = help: export again

"""

CONCISE = """\
models.py:84: GL103 [*] aten.add_.Tensor writes buffer 'count' (model.pt2)
model.pt2: program decoder, graph cond > true_graph_0, node %rand: GL302 (warning) aten.rand.default draws from the \
global generator
models.py:84: GL301 aten._print.default prints (model.pt2)
broken.pt2: member archive/models/model.json: GL001 the JSON ends early
"""

GROUPED = """\
model.pt2:
  models.py:84: self.count.add_(1) (2 findings)
    GL103 [*] aten.add_.Tensor writes buffer 'count'
    GL301 aten._print.default prints
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


def test_source_without_text_has_no_excerpt(buffer_mutation):
    finding = msgspec.structs.replace(buffer_mutation, source=SourceFrame("a.py", 123, "forward"), module_path="")
    assert full.render([FileResult("model.pt2", (finding,))], ReportOptions()) == (
        "GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'\n"
        "   --> a.py:123 in forward\n"
        "   ::: model.pt2, node %add_\n"
        "    = help: becomes aten.add.Tensor\n\n"
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
        "1\tGL301\t[ ] print\n"
        "1\tGL302\t[ ] random-op\n"
    )
    assert counts.render([FileResult("a", (buffer_mutation,))], ReportOptions()) == "1\tGL103\t[*] buffer-mutation\n"

"""Markdown: exact rows, what from outside it lets through, and its size."""

from __future__ import annotations

import msgspec
import pytest

from graphlint.report.formats import markdown
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Location

RULES = "https://github.com/graphlint/graphlint/blob/main/lint/RULES.md"


def test_a_row(buffer_mutation):
    place = Location("src/models.py", 84, "forward", "    self.count.add_(1)", "/repo/src/models.py", 5, 23, "current")
    finding = msgspec.structs.replace(buffer_mutation, location=place)
    options = ReportOptions(folder="/repo", root="/repo", source_url="https://example.org/blob/abc/")
    assert markdown.render([FileResult("model.pt2", (finding,))], options) == (
        "## graphlint: 1 error\n\n"
        "1 artifact · 1 finding fixable with `--fix`\n\n"
        "### <code>model.pt2</code>\n\n"
        "| | rule | source line | where in the artifact | finding | fix |\n"
        "|---|---|---|---|---|---|\n"
        f"| 🔴 error | [GL103]({RULES}#gl103-buffer-mutation) buffer-mutation "
        "| [<code>src/models.py:84:5</code>](https://example.org/blob/abc/src/models.py#L84)<br>"
        "<code>self.count.add&#95;(1)</code> | node %add&#95;, module layers.0 (Counter) "
        "| aten.add&#95;.Tensor writes buffer 'count' | `--fix`: becomes aten.add.Tensor |\n"
    )


@pytest.mark.parametrize(
    ("results", "headline"),
    [
        ([], "no artifacts, nothing was checked"),
        ([FileResult("a.pt2")], "all checks passed"),
        ([FileResult("a.pt2", error="gone")], "1 path could not be processed"),
    ],
)
def test_headlines_without_findings(results, headline):
    assert markdown.render(results, ReportOptions()).startswith(f"## graphlint: {headline}\n")


def test_headline_of_a_fix(buffer_mutation, random_op):
    result = FileResult("a.pt2", (random_op,), fixed=(buffer_mutation,), changed=True)
    text = markdown.render([result], ReportOptions())
    assert text.startswith(
        "## graphlint: 1 warning left, 1 fixed\n\n1 artifact · 1 finding fixed · 1 artifact rewritten\n"
    )
    assert "\nFixed:\n\n- [GL103](" in text


def test_nothing_from_outside_is_markdown_or_html(buffer_mutation):
    evil = "<script>a|b`c`*d*[e](f)@g#1 https://h $i$ &lt;\n| j |"
    finding = msgspec.structs.replace(buffer_mutation, message=evil, path=evil, node=evil, module_path=evil)
    text = markdown.render([FileResult(evil, (finding,), error=evil)], ReportOptions())
    for forbidden in ("<script", "a|b", "`c`", "*d*", "[e]", "@g", "g#1", "https://h", "$i$", "&lt;"):
        assert forbidden not in text, forbidden
    rows = [line for line in text.splitlines() if line.startswith("| 🔴")]
    assert [row.count("|") for row in rows] == [7]


def test_what_does_not_fit_is_counted(buffer_mutation, random_op):
    found = [msgspec.structs.replace(buffer_mutation, source=None, stack=(), node=f"add_{n}") for n in range(500)]
    results = [FileResult("a.pt2", tuple(found)), FileResult("b.pt2", (random_op,))]
    whole = markdown.render(results, ReportOptions())
    text = markdown.render(results, ReportOptions(size_limit=20_000))
    assert len(text.encode()) <= 20_000 < len(whole.encode())
    rows = text.count("| 🔴 error |")
    assert 0 < rows < 500
    assert text.endswith(f"\n… and {501 - rows} more findings: the report would be too large.\n")
    assert markdown.render(results, ReportOptions(size_limit=10_000_000)) == whole

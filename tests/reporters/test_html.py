"""The page as text: what is in it, what from outside gets into it, and that it needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.fuzz.shapes import SHAPES

from graphlint.cli.clicked import app
from graphlint.ir.source import SourceFrame
from graphlint.report.formats.html import page
from graphlint.report.results import FileResult, Illustration, Picture, ReportOptions
from graphlint.rules.diagnostics import Location, Suppression
from graphlint.rules.settings import Settings
from graphlint.run.engine import process

VOID = {"meta", "link", "input", "br"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>]]>&amp;</title></pre></svg>\x1b\u202e\udce9\n"


class Page(HTMLParser):
    """All elements with their attributes and texts; fails on what is not closed where it has to be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, *tags):
        return "".join(text for tag, text in self.texts if not tags or tag in tags)


def rendered(*results, **options):
    return page.render(results, ReportOptions(**options))


def test_nothing_is_loaded_and_only_its_own_script_runs(results):
    text = rendered(*results)
    made = Page(text)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    [policy] = [one["content"] for one in made.named("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert not any(attributes.get("src") for _, attributes in made.elements)
    assert [one["href"] for one in made.named("link")] == ["data:,"]
    assert all(one["href"].startswith("https://github.com/graphlint/") for one in made.named("a"))
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    assert not any(name.startswith("on") for _, attributes in made.elements for name in attributes)


def test_style_and_script_are_the_same_in_any_encoding():
    assert (page.part("page.css") + page.part("page.js")).isascii()


def test_every_finding_is_there_with_what_filters_ask_for(results, buffer_mutation):
    accepted = msgspec.structs.replace(buffer_mutation, suppression=Suppression("comment", "ours & only ours"))
    more = FileResult("b.pt2", suppressed=(accepted,), fixed=(buffer_mutation,), changed=True, diff="-a\n+b\n@@ c\n")
    made = Page(rendered(*results, more, FileResult("c.pt2", error="disk full")))
    found = [one for one in made.named("details") if one.get("class") == "finding"]
    assert [(one["data-code"], one["data-severity"], one["data-status"]) for one in found] == [
        ("GL103", "error", "left"),
        ("GL302", "warning", "left"),
        ("GL301", "error", "left"),
        ("GL001", "error", "left"),
        ("GL103", "error", "fixed"),
        ("GL103", "error", "accepted"),
    ]
    assert len({one["id"] for one in found}) == len(found)
    assert "a comment in the source: ours & only ours" in made.text("dd")
    assert "disk full" in made.text("p")
    assert [one.get("class") for one in made.named("span") if one.get("class") in ("removed", "added", "hunk")] == [
        "removed",
        "added",
        "hunk",
    ]
    said = "3 errors\n1 warning\n1 fixable with --fix\n1 fixed\n1 accepted\n1 not processed\n5 artifacts\n"
    assert said in made.text("ul", "li", "strong")


def test_ids_are_unique(artifacts):
    settings = Settings(enabled=frozenset({"GL101", "GL302"}), fixable=frozenset(), illustrate=True)
    path = str(artifacts / "2.13.0" / "random.pt2")
    result = process(path, settings, "check")
    assert msgspec.json.decode(msgspec.json.encode(result), type=FileResult) == result, "pictures can be stored"
    made = Page(rendered(result, result))
    ids = [attributes["id"] for _, attributes in made.elements if "id" in attributes]
    assert len(made.named("svg")) == 8, "two rules on one node show the same picture"
    assert len(ids) == len(set(ids)) > 20
    references = {one["marker-end"][5:-1] for one in made.named("path") if "marker-end" in one}
    assert references <= set(ids)


def test_the_expression_is_marked(buffer_mutation):
    place = Location("models.py", 84, "forward", "    x = self.count.add_(1) < 2", "/models.py", 9, 27, "current")
    made = Page(rendered(FileResult("m.pt2", (msgspec.structs.replace(buffer_mutation, location=place),))))
    assert [text for tag, text in made.texts if tag == "mark"] == ["self.count.add_(1)"]
    assert "x =  < 2" in made.text("pre")


def test_source_is_a_link_where_there_is_an_address(buffer_mutation):
    place = Location("a b.py", 84, file="/repo/a b.py", state="current")
    finding = msgspec.structs.replace(buffer_mutation, location=place)
    made = Page(rendered(FileResult("m.pt2", (finding,)), folder="/repo", root="/repo", source_url="https://h/blob/"))
    assert "https://h/blob/a%20b.py#L84" in [one["href"] for one in made.named("a")]


def evil_result(buffer_mutation):
    place = Location(EVIL, 3, EVIL, EVIL, f"/repo/{EVIL}", 2, 9, "changed")
    finding = msgspec.structs.replace(
        buffer_mutation,
        message=EVIL,
        path=EVIL,
        program=EVIL,
        subgraph=(EVIL, EVIL),
        node=EVIL,
        op=EVIL,
        module_path=EVIL,
        module_type=EVIL,
        source=SourceFrame(EVIL, 3, EVIL, EVIL),
        location=place,
        fingerprint="f" * 32,
        suppression=None,
    )
    picture = Picture(EVIL, "<svg></svg>")
    accepted = msgspec.structs.replace(finding, suppression=Suppression("comment", EVIL))
    illustrations = (
        Illustration(EVIL, (EVIL, EVIL), EVIL, picture, position=finding.position),
        Illustration(EVIL, (EVIL, EVIL), EVIL, picture, fixed=True, after=picture),
    )
    return FileResult(
        EVIL,
        (finding,),
        (accepted,),
        (finding,),
        (EVIL,),
        diff=f"-{EVIL}\n+{EVIL}",
        notes=(EVIL,),
        error=EVIL,
        illustrations=illustrations,
    )


def test_nothing_from_outside_is_html(buffer_mutation):
    harmless = Page(rendered(FileResult("m.pt2", (buffer_mutation,))))
    text = rendered(evil_result(buffer_mutation), folder="/repo", root="/repo", source_url="https://h/")
    made = Page(text)
    known = {tag for tag, _ in harmless.elements} | {
        "svg",
        "g",
        "rect",
        "path",
        "text",
        "title",
        "desc",
        "defs",
        "mark",
    }
    assert {tag for tag, _ in made.elements} <= known | {"marker", "strong", "fieldset", "legend", "figcaption"}
    assert len(made.named("script")) == 1
    assert len(made.named("svg")) == 3
    assert "<script>alert(1)</script>" in made.text("h2")
    assert not any("onerror" in name for _, attributes in made.elements for name in attributes)
    for raw in ("\x1b", "\u202e", "\udce9"):
        assert raw not in text
    text.encode()


@pytest.mark.parametrize("action", ["check", "--diff"])
def test_a_hostile_artifact_is_shown_as_it_is(hostile, action, monkeypatch):
    monkeypatch.chdir(hostile.parent)
    result = CliRunner().invoke(app, [action, "--isolated", "--output-format", "html=out.html", hostile.name])
    assert result.exit_code == 1
    made = Page(Path("out.html").read_text("utf-8"))
    assert len(made.named("script")) == 1
    assert made.named("img") == made.named("i") == made.named("b") == []
    assert "index_put_</script><script>alert(1)</script>" in made.text("text", "code", "p", "span")
    assert "cache</script><script>alert(1)</script>" in made.text("text", "code", "p", "span")
    assert len(made.named("svg")) == (1 if action == "check" else 2)


def test_nodes_without_a_name_have_pictures_of_their_own(tmp_path, monkeypatch):
    """torch before 2.11 names no node, and a check makes no value that could name it."""
    monkeypatch.chdir(tmp_path)
    Path("checks.pt2").write_bytes(SHAPES["checks"](3))
    result = CliRunner().invoke(app, ["check", "--isolated", "--output-format", "html=out.html", "checks.pt2"])
    assert result.exit_code == 1
    page = Path("out.html").read_text()
    blocks = page.split('<details class="finding"')[1:]
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        said = [f"no {other}" for other in range(3) if f"&#x27;no {other}&#x27;" in block.partition("</summary>")[0]]
        assert said == [f"no {number}"]
        drawn = [other for other in range(3) if f'"no {other}")' in block or f"&quot;no {other}&quot;)" in block]
        assert drawn == [number]

"""What readers of each output ask of it, whatever an artifact holds. Each function raises FailedError."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import jsonschema
import msgspec

FORGED = "forged"
"""Mutations put it where it must not be taken for more than text: as a tag, an attribute, a command."""
FORGED_LINE = "forgedline"
"""Mutations put it behind line breaks, where it must not begin a line."""
STYLE = re.compile(r"\x1b\[[0-9;]*m")
LINK = re.compile(r"\x1b\]8;;(?:[!-~]*)\x1b\\")


class FailedError(Exception):
    """What must not have happened."""


def _fail(what: str, why: str, shown: str) -> None:
    raise FailedError(f"{what}: {why}: {shown[:2000]!r}")


def terminal(text: str, what: str = "stdout") -> None:
    """No control characters, no bytes that are no text, no line that begins where an artifact says."""
    for line in text.split("\n"):
        if not line.replace("\t", "").isprintable():
            _fail(what, "a line with what does not print", line)
        _no_forged_line(line, what)


def colored(text: str, plain: str, what: str) -> None:
    """Colours and links are all that is more than in the plain text."""
    if LINK.sub("", STYLE.sub("", text)) != plain:
        _fail(what, "more than colours and links was added", text)


def _no_forged_line(line: str, what: str) -> None:
    if line.lstrip().startswith(FORGED_LINE):
        _fail(what, "a line that the artifact made", line)


# --- JSON


def strict_json(text: str, what: str = "JSON") -> Any:
    """ASCII, no key twice, no NaN, no lone surrogate: what the strictest of readers takes."""
    if not text.isascii():
        _fail(what, "not ASCII", text)
    try:
        tree = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
        msgspec.json.decode(text)
    except (ValueError, msgspec.DecodeError) as error:
        _fail(what, str(error), text)
    return tree


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


@functools.cache
def _validator(reference: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(files("graphlint.report.formats").joinpath("schema.json").read_text())
    return jsonschema.Draft202012Validator({**schema, "$ref": reference})


def _valid(tree: Any, reference: str, what: str) -> None:
    error = next(_validator(reference).iter_errors(tree), None)
    if error is not None:
        _fail(what, error.message, str(error.instance))


def report(text: str) -> SimpleNamespace:
    """The format ``json``."""
    _valid(strict_json(text, "json"), "#/$defs/Report", "json")
    return json.loads(text, object_hook=lambda keys: SimpleNamespace(**keys))


def json_lines(text: str) -> Counter[str]:
    """The format ``json-lines``: how many findings there are of each status."""
    found: Counter[str] = Counter()
    lines = text.split("\n")
    if lines.pop() or len(lines) < 2:
        _fail("json-lines", "no whole lines", text)
    for line in lines:
        one = strict_json(line, "json-lines")
        _valid(one, "#/$defs/Line", "json-lines")
        if one["type"] == "finding":
            found[one["status"]] += 1
    return found


URI = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})+")


def sarif(text: str) -> int:
    """The format ``sarif``: the number of results that nobody accepted."""
    [run] = strict_json(text, "sarif")["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]
    if len(set(prints)) < len(prints):
        _fail("sarif", "two results with one fingerprint", text)
    for one in run["results"]:
        if rules[one["ruleIndex"]] != one["ruleId"] or not one["message"]["text"]:
            _fail("sarif", "not its rule, or no message", str(one))
        for place in (*one["locations"], *one.get("relatedLocations", ())):
            physical = place["physicalLocation"]
            if not URI.fullmatch(physical["artifactLocation"]["uri"]):
                _fail("sarif", "no URI", str(place))
            if physical.get("region", {"startLine": 1})["startLine"] < 1:
                _fail("sarif", "lines are counted from 1", str(place))
        # Only the link that graphlint makes itself.
        message = one["message"]["text"]
        links = re.findall(r"(?<!\\)(?:\\\\)*\]\(([^)]*)\)", message)
        if links not in ([], ["1"]):
            _fail("sarif", "a link that the artifact made", message)
    return sum(not one.get("suppressions") for one in run["results"])


def gitlab(text: str) -> int:
    """The format ``gitlab``: the number of findings."""
    entries = strict_json(text, "gitlab")
    if len({one["fingerprint"] for one in entries}) < len(entries):
        _fail("gitlab", "two entries with one fingerprint", text)
    for one in entries:
        if not one["location"]["path"] or one["location"]["lines"]["begin"] < 1:
            _fail("gitlab", "no place", str(one))
        terminal(one["description"], "gitlab")
    return len(entries)


# --- markup


def _xml(text: str, what: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, UnicodeEncodeError) as error:
        _fail(what, f"no XML ({error})", text)
        raise


def junit(text: str) -> int:
    """The format ``junit``: the number of failures, and of passed tests that have something to say."""
    root = _xml(text, "junit")
    for suite in root:
        cases = list(suite)
        counted = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        if any(suite.get(name) != str(number) for name, number in counted.items()):
            _fail("junit", f"counted {counted}", str(suite.attrib))
        if len({(case.get("classname"), case.get("name")) for case in cases}) < len(cases):
            _fail("junit", "two tests of one name", text)
    return sum(len(root.findall(f"testsuite/testcase/{kind}")) for kind in ("failure", "system-out"))


_SVG = "{http://www.w3.org/2000/svg}"
_SVG_TAGS = {
    _SVG + tag for tag in ("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text")
}  # fmt: skip


def svg(text: str) -> None:
    """A picture: XML of the elements that pictures are made of, no id twice."""
    ids = []
    for element in _xml(text, "svg").iter():
        if element.tag not in _SVG_TAGS or any(name.startswith("on") or "href" in name for name in element.attrib):
            _fail("svg", "an element that is not graphlint's", f"{element.tag} {element.attrib}")
        ids += [element.attrib["id"]] if "id" in element.attrib else []
    if len(set(ids)) < len(ids):
        _fail("svg", "an id is there twice", str(ids))


_VOID = {"meta", "link", "input", "br"}


class _Page(HTMLParser):
    """Fails on what opens and does not close, and on whatever the artifact could have brought in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.scripts = 0
        self.findings: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        odd = [name for name in given if name.startswith("on") or not re.fullmatch("[A-Za-z-]+[0-9]?", name)]
        if FORGED in tag or odd or any(FORGED in name for name in given) or len(given) < len(attrs):
            _fail("html", "markup that the artifact made", f"<{tag} {attrs}>")
        address = given.get("href") or ""
        if tag == "a" and not address.startswith("https://"):
            _fail("html", "a link to anywhere", address)
        self.scripts += tag == "script"
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids[str(given["id"])] += 1
        if given.get("class") == "finding":
            self.findings[str(given["data-status"])] += int(given["data-number"] or 0)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            _fail("html", "an end of what was not open", tag)

    def handle_comment(self, data: str) -> None:
        _fail("html", "a comment", data)

    def handle_pi(self, data: str) -> None:
        _fail("html", "a processing instruction", data)


def html(text: str) -> Counter[str]:
    """The format ``html``: how many findings there are of each status."""
    if not text.isascii():
        _fail("html", "not ASCII", text)
    page = _Page()
    page.feed(text)
    page.close()
    if page.open or page.scripts != 1 or max(page.ids.values()) > 1:
        _fail("html", f"{page.scripts} scripts, open: {page.open}, ids {page.ids.most_common(1)}", "")
    return page.findings


# --- lines


_COMMAND = re.compile(
    r"::(error|warning|notice) title=[\w .%-]+(?:,file=(?:[^%,:\s]| |%(?:25|0A|0D|3A|2C))+)?"
    r"(?:,line=\d+)?(?:,col=\d+)?(?:,endColumn=\d+)?::(?:[^%\r\n]|%(?:25|0A|0D))+"
)


def github(text: str) -> None:
    """The format ``github``: each line is a command of graphlint's, and there are as many as are shown."""
    kinds: Counter[str] = Counter()
    for line in text.splitlines():
        command = _COMMAND.fullmatch(line)
        if command is None or not line.isprintable():
            _fail("github", "no command", line)
        else:
            kinds[command[1]] += 1
    if any(number > 10 for number in kinds.values()):
        _fail("github", "more than is shown", text)


_CELLS = 7


def markdown(text: str) -> None:
    """The format ``markdown``: rows have their cells, and no markup comes from outside."""
    terminal(text, "markdown")
    for line in text.split("\n"):
        rest = re.sub(r"</?code>|<br>|&#\d+;|\[(?:GL\d{3}|<code>[^\[\]]*</code>)\]\(https://[^\s()]+\)", "", line)
        if re.search(r"[<>\[\]]", rest):
            _fail("markdown", "markup that the artifact made", line)
        if line.startswith("| ") and line.count("|") != _CELLS:
            _fail("markdown", "another number of cells", line)
        if FORGED in rest and not line.startswith(("| ", "- ", "### ", "**Not processed:** ")):
            _fail("markdown", "a line that the artifact made", line)


_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')


def dot(text: str) -> None:
    """Graphviz text: besides strings, nothing but what graphlint writes."""
    for line in text.splitlines():
        if not line.isprintable() or not re.fullmatch(r"[\w\s{}\[\]=;,.>-]*", _QUOTED.sub("", line)):
            _fail("dot", "not what graphlint writes", line)
    bare = _QUOTED.sub("", text)
    if bare.count("{") != bare.count("}") or FORGED in bare:
        _fail("dot", "braces do not match", text)

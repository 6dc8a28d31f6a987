"""Pictures: what is on them, that nothing overlaps or is cut off, and that they are SVG by themselves."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.text_form import document_of

from graphlint.artifact.artifact import open_artifact
from graphlint.ir.document import Document
from graphlint.report.graphs.dot import render_dot
from graphlint.report.graphs.drawing import MOST, Drawing
from graphlint.report.graphs.flow import Flow, Vertex
from graphlint.report.graphs.layers import place
from graphlint.report.graphs.svg import draw, render_svg
from graphlint.rules.linting import lint_view
from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView

SVG = "{http://www.w3.org/2000/svg}"
BRANCHES = """\
program TRAINING
graph(%cache: f32[4, 8] = buffer "cache", %x: f32[4, 8], %flag: b8[]):
  %row: f32[8] = aten.select.int(%cache, 0, 1)
  %early: f32[4, 8] = aten.sin.default(%x)
  %out: f32[4, 8] = higher_order.cond(%flag, @true_graph_0, @false_graph_0, [%cache, %x])
    @true_graph_0(%c: f32[4, 8], %y: f32[4, 8]):
      %fill_: f32[4, 8] = aten.fill_.Scalar(%c, 1)
      return %y
    @false_graph_0(%c: f32[4, 8], %y: f32[4, 8]):
      return %y
  %later: f32[8] = aten.mul.Tensor(%row, 2)
  %sum: f32[4, 8] = aten.add.Tensor(%out, %early)
  return %sum, %later
"""


def view(text):
    return ProgramView(document_of(text), Settings(frozenset(), frozenset()))


def neighbourhood(program, site, hops, flow=None) -> Drawing:
    flow = flow or Flow(program)
    return Drawing(flow, [flow.vertex(site.position)], hops)


def drawn(drawing: Drawing, vertices: list[Vertex]) -> list[Vertex]:
    return [
        one
        for vertex in vertices
        for one in (vertex, *(v for _, inner in drawing.called(vertex) for v in drawn(drawing, inner)))
    ]


@pytest.fixture
def written():
    program = view(BRANCHES)
    return neighbourhood(program, program.writes[0].site, 1)


def test_what_is_on_the_picture_of_a_write(written):
    facts = {
        written.heading(one): (
            one.number in written.focus,
            written.writes(one.number),
            one.number in written.shows,
            one.number in written.reads,
            bool(list(written.called(one))),
        )
        for one in drawn(written, written.graph)
    }
    assert facts == {
        'buffer "cache"': (False, "", True, False, False),
        "aten.select.int": (False, "", True, False, False),
        "higher_order.cond": (False, "", False, False, True),
        "input": (False, "", True, False, False),  # of both branches
        "aten.fill_.Scalar": (True, "buffer 'cache'", True, False, False),
        "aten.mul.Tensor": (False, "", False, True, False),
    }
    assert written.left_out == 2
    assert written.title == "What is around %fill_ (aten.fill_.Scalar)"
    assert written.description == (
        "%fill_ (aten.fill_.Scalar) writes buffer 'cache'. %cache, %row, %c, %fill_ and %c may show that memory. "
        "After the write it is read by %later (aten.mul.Tensor). 2 of the program's nodes are not shown."
    )


def test_a_read_that_takes_no_value_of_the_write_hangs_on_it_by_order(written):
    keys = {written.heading(one): one.number for one in written.graph}
    wires = {(wire.source, wire.target): wire.kind for wire in written.wires(written.graph)}
    assert wires == {
        (keys['buffer "cache"'], keys["aten.select.int"]): "storage",
        (keys['buffer "cache"'], keys["higher_order.cond"]): "storage",
        (keys["aten.select.int"], keys["aten.mul.Tensor"]): "storage",
        (keys["higher_order.cond"], keys["aten.mul.Tensor"]): "order",
    }


def test_a_neighbourhood_has_room_for_so_many_and_the_nearest_come_first():
    reads = "".join(f"  %r{i}: f32[4] = aten.sin.default(%x)\n" for i in range(100))
    program = view(
        f"program TRAINING\ngraph(%x: f32[4]):\n  %w: f32[4] = aten.add_.Tensor(%x, 1)\n{reads}  return %r0\n"
    )
    picture = neighbourhood(program, program.writes[0].site, 1)
    assert len(picture.graph) == MOST
    assert [picture.lines(one)[0] for one in picture.graph[:4]] == [
        "%x: f32[4]",
        "%w: f32[4]",
        "%r0: f32[4]",
        "%r1: f32[4]",
    ]
    [base] = [one for one in picture.graph if one.kind == "input"]
    assert picture.more(base.number)[1] == 101 - (MOST - 1)
    # 38 of the readers have room, and five of those are named.
    assert "%r4 (aten.sin.default) and 33 more." in picture.description


def element(drawing: Drawing) -> ET.Element:
    return ET.fromstring(render_svg(drawing))


def rectangles(root: ET.Element, x: float = 0.0, y: float = 0.0):
    """Each rectangle with its place on the page."""
    for child in root:
        dx, dy = x, y
        if moved := re.fullmatch(r"translate\((\S+) (\S+)\)", child.get("transform", "")):
            dx, dy = x + float(moved[1]), y + float(moved[2])
        if child.tag == f"{SVG}rect":
            left, top = dx + float(child.get("x", 0)), dy + float(child.get("y", 0))
            yield child, left, top, left + float(child.get("width")), top + float(child.get("height"))
        yield from rectangles(child, dx, dy)


def test_the_svg_stands_by_itself_and_says_what_it_shows(written):
    root = element(written)
    text = render_svg(written)
    assert root.get("role") == "img"
    labels = {child.get("id"): child.text for child in root if child.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [labels[one] for one in root.get("aria-labelledby").split()] == [written.title, written.description]
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"(href|src|@import|url\((?!#))", text.replace("http://www.w3.org/2000/svg", ""))
    words = [child.text for child in root.iter(f"{SVG}text")]
    assert {"writes buffer 'cache'", "reads it after the write", "the written memory", "@true_graph_0"} <= set(words)


def every_picture(artifacts: Path):
    everything = Settings(frozenset({"GL101", "GL102", "GL103", "GL104", "GL201"}), frozenset())
    for path in sorted((artifacts / "2.13.0").glob("*.pt2")):
        with open_artifact(path) as artifact:
            for entry in artifact.programs:
                program = ProgramView(Document.from_bytes(artifact.read_program(entry)), everything)
                flow = Flow(program)
                yield Drawing(flow)
                for found in lint_view(program, entry.name, "", everything):
                    yield neighbourhood(program, found.site, 2, flow)


def test_nothing_overlaps_or_leaves_the_page_and_texts_fit_their_boxes(artifacts):
    pictures = list(every_picture(artifacts))
    assert len(pictures) > 40
    for picture in pictures:
        root = element(picture)
        width, height = float(root.get("width")), float(root.get("height"))
        found = [one for one in rectangles(root) if "glp-paper" not in one[0].get("class")]
        for _, left, top, right, bottom in found:
            assert 0 <= left < right <= width + 0.1
            assert 0 <= top < bottom <= height + 0.1
        for (_, a, b, c, d), (_, e, f, g, h) in itertools.combinations(found, 2):
            apart = c <= e or g <= a or d <= f or h <= b
            inside = (a <= e and g <= c and b <= f and h <= d) or (e <= a and c <= g and f <= b and d <= h)
            assert apart or inside
        for group in root.iter(f"{SVG}g"):
            box = group.find(f"{SVG}rect")
            if box is None or group.find(f"{SVG}title") is None:
                continue
            for text in group.findall(f"{SVG}text"):
                assert len(text.text) * 7.3 <= float(box.get("width"))


def test_the_same_picture_is_the_same_text_and_others_have_other_ids(written):
    program = view(BRANCHES)
    assert render_svg(neighbourhood(program, program.writes[0].site, 1)) == render_svg(written)
    other = Drawing(Flow(program))
    assert element(other).get("aria-labelledby") != element(written).get("aria-labelledby")


def test_foreign_text_cannot_break_out():
    program = view(BRANCHES)
    [early] = [node for node in program.program.graph.nodes if node.label == "early"]
    early.name = "<b>&\n\x1b\0]]>"
    early.target = '</text><script>alert("1")</script>\x1b[31m' + "x" * 500
    flow = Flow(program)
    picture = Drawing(flow, flow.named("%early"), 1)
    root = element(picture)
    assert root.find(f"{SVG}title").text.startswith("What is around %<b>&\\n\\x1b\\x00]]> (</text><script>")
    assert not list(root.iter(f"{SVG}script"))
    assert all(len(text.text) <= 64 for text in root.iter(f"{SVG}text"))
    assert "\0" not in draw(picture).svg("key")
    dot = render_dot(picture, 'a"b\\')
    assert dot.startswith('digraph "a\\"b\\\\" {')
    assert "\x1b" not in dot


def test_layers_go_down_and_long_lines_go_around():
    sizes = dict.fromkeys(range(4), (50.0, 20.0))
    placed = place(sizes, [(0, 1), (1, 2), (2, 3), (0, 3)])
    tops = [placed.boxes[key][1] for key in range(4)]
    assert tops == sorted(set(tops))
    # The line from the first to the last box passes the layers of the two between beside them.
    long = placed.lines[3]
    for key in (1, 2):
        left, top = placed.boxes[key]
        passing = [x for x, y in long if top <= y <= top + 20]
        assert passing
        assert all(x <= left or x >= left + 50 for x in passing)
    assert place({}, []).height == 0.0


def test_what_must_be_last_is_at_the_bottom():
    placed = place(dict.fromkeys(range(4), (50.0, 20.0)), [(0, 1), (0, 2), (2, 3)], frozenset({1}))
    assert placed.boxes[1][1] == placed.boxes[3][1] == max(y for _, y in placed.boxes.values())


def test_two_crossing_lines_are_untangled():
    placed = place(dict.fromkeys(range(4), (50.0, 20.0)), [(0, 3), (1, 2)])
    assert (placed.boxes[0][0] < placed.boxes[1][0]) == (placed.boxes[3][0] < placed.boxes[2][0])


def test_dot_marks_writes_and_groups_subgraphs(written):
    dot = render_dot(written)
    assert re.search(r'n\d+ \[label="aten.fill_.Scalar.*writes buffer \'cache\'", style="filled,bold"', dot)
    assert 'label="@true_graph_0 of %out: f32[4, 8]"' in dot
    assert "style=dashed" in dot
    assert dot.count("{") == dot.count("}")


def test_an_input_can_be_in_the_middle():
    program = view(BRANCHES)
    flow = Flow(program)
    picture = Drawing(flow, flow.named("x"), 0)
    assert [
        (picture.heading(one), one.number in picture.focus, picture.more(one.number)[1]) for one in picture.graph
    ] == [("input", True, 2)]


def test_values_that_lead_from_one_node_to_one_other_are_one_line():
    program = view("""\
program ATEN
graph(%a: f32[4]):
  %x: f32[4], %y: i64[] = aten.max.dim(%a, 0)
  %z: f32[4] = aten.add.Tensor(%x, %y)
  return %z
""")
    root = element(Drawing(Flow(program)))
    lines = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    assert [line.find(f"{SVG}title").text for line in lines] == ["%a", "%x, %y", "%z"]

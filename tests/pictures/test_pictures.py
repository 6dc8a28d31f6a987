"""Pictures: what is on them, that nothing overlaps or is cut off, and that they are SVG by themselves."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.ir.document import Document
from graphlint.ir.text import parse_program
from graphlint.report.graphs.dot import render_dot
from graphlint.report.graphs.drawing import MOST, Scene, around, neighbourhood, whole_program
from graphlint.report.graphs.layers import place
from graphlint.report.graphs.picture import Box, Picture, Sheet, Wire
from graphlint.report.graphs.svg import render_svg
from graphlint.rules.linting import lint_view, view_of
from graphlint.rules.settings import Settings

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
    return view_of(Document.from_tree(parse_program(text)), Settings(frozenset(), frozenset()))


def boxes(sheet: Sheet) -> list[Box]:
    return [one for box in sheet.boxes for one in (box, *(b for inner in box.sheets for b in boxes(inner)))]


@pytest.fixture
def written():
    program = view(BRANCHES)
    return neighbourhood(program, program.writes[0].site, 1)


def test_what_is_on_the_picture_of_a_write(written):
    facts = {
        box.heading: (box.focus, box.writes, box.shows, box.reads, bool(box.sheets)) for box in boxes(written.sheet)
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
        "After the write it is read by %later (aten.mul.Tensor). 2 of the program's nodes are not on the picture."
    )


def test_a_read_that_takes_no_value_of_the_write_hangs_on_it_by_order(written):
    keys = {box.heading: box.key for box in written.sheet.boxes}
    wires = {(wire.source, wire.target): wire.kind for wire in written.sheet.wires}
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
    assert len(picture.sheet.boxes) == MOST
    assert [box.lines[0] for box in picture.sheet.boxes[:4]] == [
        "%x: f32[4]",
        "%w: f32[4]",
        "%r0: f32[4]",
        "%r1: f32[4]",
    ]
    [base] = [box for box in picture.sheet.boxes if box.kind == "input"]
    assert base.more_below == 101 - (MOST - 1)
    # 38 of the readers have room, and five of those are named.
    assert "%r4 (aten.sin.default) and 33 more." in picture.description


def element(picture: Picture) -> ET.Element:
    return ET.fromstring(render_svg(picture))


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
                program = view_of(Document.from_bytes(artifact.read_program(entry)), everything)
                scene = Scene(program)
                yield whole_program(scene)
                for found in lint_view(program, entry.name, "", everything):
                    yield neighbourhood(program, found.site, 2, scene=scene)


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
    other = whole_program(Scene(program))
    assert element(other).get("aria-labelledby") != element(written).get("aria-labelledby")


def test_foreign_text_cannot_break_out():
    heading = '</text><script>alert("1")</script>\x1b[31m' + "x" * 500
    picture = Picture("<b>&", "a\nb", Sheet("", (Box(1, "node", heading, ('"quoted"',), "]]>"),), ()))
    root = element(picture)
    assert root.find(f"{SVG}title").text == "<b>&"
    assert not list(root.iter(f"{SVG}script"))
    assert all(len(text.text) <= 64 for text in root.iter(f"{SVG}text"))
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
    scene = Scene(program)
    picture = around(scene, scene.flow.named("x"), 0)
    assert [(box.heading, box.focus, box.more_below) for box in picture.sheet.boxes] == [("input", True, 2)]


def test_wires_of_one_value_taken_twice_are_one_line():
    both = Sheet("", (Box(0, "input", "a", (), "a"), Box(1, "node", "b", (), "b")), (Wire(0, 1, "x"), Wire(0, 1, "y")))
    root = element(Picture("", "", both))
    lines = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    assert [line.find(f"{SVG}title").text for line in lines] == ["%x, %y"]

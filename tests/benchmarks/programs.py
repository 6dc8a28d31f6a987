"""Artifacts of any size, put together without torch: loadable by stock torch like exported ones."""

from __future__ import annotations

from pathlib import Path

from graphlint.archive.container import Container
from graphlint.archive.rewrite import write_archive
from graphlint.program.document import encode
from graphlint.program.text import parse_program

SHELL = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "async_assert.pt2"
"""A real archive without weights, whose program is replaced."""
MEMBER = "async_assert/models/model.json"


def program_text(nodes: int, writes: int) -> str:
    """A chain of ``nodes`` elementwise ops on a 4 by 4 tensor with ``writes`` in-place ops spread over it: a third
    each straight, through a row, and through a transposed view; with one check for every ten writes."""
    lines = ["program TRAINING", "graph(%x: f32[4, 4]):", "  %v0: f32[4, 4] = aten.mul.Tensor(%x, 0.5)"]
    every = max(nodes // max(writes, 1), 4)
    current, made, written = "v0", 1, 0
    while made < nodes:
        name = f"v{made}"
        if made % every == 0 and written < writes:
            view = ("", "select.int(%{0}, 0, 1)", "t.default(%{0})")[written % 3]
            target, shape = current, "[4, 4]"
            if view:
                shape = "[4] +4" if "select" in view else "[4, 4]{1, 4}"
                lines.append(f"  %{name}_view: f32{shape} = aten.{view.format(current)}")
                target, made = f"{name}_view", made + 1
            lines.append(f"  %{name}: f32{shape} = aten.add_.Tensor(%{target}, 0.001)")
            if not view:
                current = name
            written += 1
            if written % 10 == 0:
                lines.append(f"  %{name}_ok: b8[4, 4] = aten.lt.Scalar(%{current}, 1000000.0)")
                lines.append(f"  %{name}_all: b8[] = aten.all.default(%{name}_ok)")
                lines.append(f'  aten._assert_async.msg(%{name}_all, "too large after write {written}")')
                made += 3
        else:
            op = ("aten.add.Tensor(%{}, 0.001)", "aten.mul.Tensor(%{}, 0.999)", "aten.sin.default(%{})")[made % 3]
            lines.append(f"  %{name}: f32[4, 4] = {op.format(current)}")
            current = name
        made += 1
    lines.append(f"  return %{current}")
    return "\n".join(lines) + "\n"


def write_artifact(path: Path, nodes: int, writes: int) -> Path:
    """An artifact with such a program."""
    data = encode(parse_program(program_text(nodes, writes)))
    with Container(SHELL) as container, path.open("wb") as file:
        write_archive(container, {MEMBER: data}, file)
    return path

"""Artifacts of any size, put together without torch: loadable by stock torch like exported ones."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from graphlint.artifact.container import Container
from graphlint.artifact.rewrite import write_archive

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of all tests
from text_form import encoded, parse_program

if TYPE_CHECKING:
    from typing_extensions import Buffer

SHELL = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "async_assert.pt2"
"""A real archive without weights, whose program is replaced."""
MEMBER = "async_assert/models/model.json"
WEIGHT = "async_assert/data/weights/weight_0"
WEIGHTS_CONFIG = "async_assert/data/weights/model_weights_config.json"


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


def norms_text(nodes: int) -> str:
    """A chain of ``nodes`` nodes, by turns a convolution and a batch norm in training mode, which writes
    two buffers."""
    states = [f'%{kind}{number}: f32[4] = buffer "{kind}{number}"' for number in range(nodes // 2) for kind in "mv"]
    lines = ["program TRAINING", f"graph({', '.join(states)}, %x: f32[2, 4, 1, 2], %w: f32[4, 4, 1, 1]):"]
    current = "x"
    for number in range(nodes // 2):
        lines.append(f"  %c{number}: f32[2, 4, 1, 2] = aten.conv2d.default(%{current}, %w)")
        state = f"%m{number}, %v{number}, True, 0.1, 1e-05, True"
        lines.append(f"  %n{number}: f32[2, 4, 1, 2] = aten.batch_norm.default(%c{number}, None, None, {state})")
        current = f"n{number}"
    return "\n".join([*lines, f"  return %{current}"]) + "\n"


def transposes_text(nodes: int) -> str:
    """A chain of transposes of one tensor, which is written in the end."""
    lines = ["program TRAINING", "graph(%x: f32[4, 4]):", "  %v0: f32[4, 4] = aten.mul.Tensor(%x, 2)"]
    for number in range(1, nodes - 1):
        strides = "{1, 4}" if number % 2 else ""
        lines.append(f"  %v{number}: f32[4, 4]{strides} = aten.t.default(%v{number - 1})")
    lines += ["  %written: f32[4, 4] = aten.add_.Tensor(%v0, 1)", f"  return %v{nodes - 2}"]
    return "\n".join(lines) + "\n"


FORMS: Final[dict[str, Callable[[int, int], str]]] = {
    "elementwise": program_text,
    "norms": lambda nodes, _: norms_text(nodes),
    "transposes": lambda nodes, _: transposes_text(nodes),
}
"""The programs of so many nodes and writes, by what they are made of."""


def write_artifact(
    path: Path, nodes: int, writes: int, *, form: str = "elementwise", weights: int = 0, dense: bool = False
) -> Path:
    """An artifact with such a program, and a buffer of ``weights`` bytes (a multiple of 4) that it does not use: zeros
    in a sparse file, or, where ``dense``, random bytes that take their room on the disk.
    """
    text = FORMS[form](nodes, writes)
    changes = {}
    if weights:
        text = text.replace("graph(", f'graph(%b_state: f32[{weights // 4}] = buffer "state", ', 1)
        block = os.urandom(1 << 20) if dense else bytes(1 << 20)
        changes[WEIGHT] = (block * (weights // len(block) + 1))[:weights] if dense else bytes(weights)
        changes[WEIGHTS_CONFIG] = json.dumps({"config": {"state": _weight(weights // 4)}}).encode()
    changes[MEMBER] = encoded(parse_program(text))
    with Container(SHELL) as container, path.open("wb") as file:
        write_archive(container, changes, Sparse(file), before=WEIGHTS_CONFIG)
    return path


def _weight(elements: int) -> dict[str, object]:
    meta = {
        "dtype": 7,
        "sizes": [{"as_int": elements}],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": 1}],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }
    return {"path_name": "weight_0", "is_param": False, "use_pickle": False, "tensor_meta": meta}


class Sparse(io.RawIOBase):
    """A file in which large pieces that begin with zeros are holes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: Buffer) -> int:
        view = memoryview(data)
        if len(view) > 1 << 16 and not any(view[: 1 << 12]):
            self.file.seek(len(view), os.SEEK_CUR)
            return len(view)
        return self.file.write(view)

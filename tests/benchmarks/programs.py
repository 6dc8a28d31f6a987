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
    """A chain of ``nodes`` nodes, by turns a convolution and a batch norm in train mode, which writes
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


def chains_text(views: int) -> str:
    """Chains of a hundred views, through the last of which a tensor is written."""
    lines = ["program TRAINING", "graph(%x0: f32[4, 4]):"]
    chains = max(views // 100, 1)
    for chain in range(chains):
        lines.append(f"  %v{chain}_0: f32[4, 4] = aten.mul.Tensor(%x{chain}, 0.5)")
        for number in range(1, 101):
            strides = "{1, 4}" if number % 2 else ""
            lines.append(f"  %v{chain}_{number}: f32[4, 4]{strides} = aten.t.default(%v{chain}_{number - 1})")
        lines.append(f"  %w{chain}: f32[4, 4] = aten.add_.Tensor(%v{chain}_100, 1)")
        lines.append(f"  %x{chain + 1}: f32[4, 4] = aten.sin.default(%v{chain}_0)")
    return "\n".join([*lines, f"  return %x{chains}"]) + "\n"


def lstm_text(steps: int) -> str:
    """An LSTM cell unrolled: its gates are pieces of one tensor, which activations write in place."""
    lines = ["program TRAINING"]
    inputs = f"%w: f32[64, 16], %u: f32[64, 16], %b: f32[64], %h0: f32[1, 16], %c0: f32[1, 16], %x: f32[{steps}, 1, 16]"
    lines.append(f"graph({inputs}):")
    for step in range(steps):
        lines.append(f"  %x_{step}: f32[1, 16] +{16 * step} = aten.select.int(%x, 0, {step})")
        lines.append(f"  %g_{step}: f32[1, 64] = aten.linear.default(%x_{step}, %w, %b)")
        lines.append(f"  %r_{step}: f32[1, 64] = aten.linear.default(%h{step}, %u, %b)")
        lines.append(f"  %s_{step}: f32[1, 64] = aten.add_.Tensor(%g_{step}, %r_{step})")
        gates = [f"%{gate}_{step}: f32[1, 16]{{64, 1}} +{16 * place}" for place, gate in enumerate("ifno")]
        lines.append(f"  [{', '.join(gates)}] = aten.split.Tensor(%s_{step}, 16, 1)".replace(" +0", ""))
        for place, (gate, op) in enumerate(zip("ifno", ("sigmoid_", "sigmoid_", "tanh_", "sigmoid_"), strict=True)):
            shape = f"f32[1, 16]{{64, 1}} +{16 * place}".replace(" +0", "")
            lines.append(f"  %{gate}w_{step}: {shape} = aten.{op}.default(%{gate}_{step})")
        lines.append(f"  %a_{step}: f32[1, 16] = aten.mul.Tensor(%i_{step}, %n_{step})")
        lines.append(f"  %k_{step}: f32[1, 16] = aten.mul.Tensor(%f_{step}, %c{step})")
        lines.append(f"  %c{step + 1}: f32[1, 16] = aten.add_.Tensor(%k_{step}, %a_{step})")
        lines.append(f"  %t_{step}: f32[1, 16] = aten.tanh.default(%c{step + 1})")
        lines.append(f"  %h{step + 1}: f32[1, 16] = aten.mul.Tensor(%o_{step}, %t_{step})")
    return "\n".join([*lines, f"  return %h{steps}, %c{steps}"]) + "\n"


def transformer_text(layers: int) -> str:
    """Layers with key and value caches, which are written at a position and read whole."""
    kinds = ("q", "k", "v", "o", "up", "down")
    held = [f"%p{layer}_{kind}: f32[32, 32]" for layer in range(layers) for kind in kinds]
    caches = [
        f'%c{layer}_{kind}: f32[1, 4, 64, 8] = buffer "layers.{layer}.{kind}_cache"'
        for layer in range(layers)
        for kind in "kv"
    ]
    lines = ["program TRAINING", f"graph({', '.join([*held, *caches])}, %x0: f32[1, 1, 32]):"]
    heads = "f32[1, 4, 1, 8]{32, 8, 32, 1}"
    for layer in range(layers):
        for kind in "qkv":
            lines.append(f"  %{kind}{layer}_flat: f32[1, 1, 32] = aten.linear.default(%x{layer}, %p{layer}_{kind})")
            lines.append(
                f"  %{kind}{layer}_split: f32[1, 1, 4, 8] = aten.view.default(%{kind}{layer}_flat, [1, 1, 4, 8])"
            )
            lines.append(f"  %{kind}{layer}: {heads} = aten.transpose.int(%{kind}{layer}_split, 1, 2)")
        for kind in "kv":
            place = "f32[1, 4, 1, 8]{2048, 512, 8, 1} +40"
            lines.append(f"  %{kind}{layer}_place: {place} = aten.slice.Tensor(%c{layer}_{kind}, 2, 5, 6)")
            lines.append(
                f"  %{kind}{layer}_written: {place} = aten.copy_.default(%{kind}{layer}_place, %{kind}{layer})"
            )
        lines.append(f"  %turned{layer}: f32[1, 4, 8, 64]{{2048, 512, 1, 8}} = aten.transpose.int(%c{layer}_k, 2, 3)")
        lines.append(f"  %scores{layer}: f32[1, 4, 1, 64] = aten.matmul.default(%q{layer}, %turned{layer})")
        lines.append(f"  %scaled{layer}: f32[1, 4, 1, 64] = aten.mul_.Tensor(%scores{layer}, 0.35)")
        lines.append(f"  %weights{layer}: f32[1, 4, 1, 64] = aten.softmax.int(%scaled{layer}, -1)")
        lines.append(f"  %mixed{layer}: f32[1, 4, 1, 8] = aten.matmul.default(%weights{layer}, %c{layer}_v)")
        lines.append(f"  %back{layer}: f32[1, 1, 4, 8]{{32, 8, 8, 1}} = aten.transpose.int(%mixed{layer}, 1, 2)")
        lines.append(f"  %joined{layer}: f32[1, 1, 32] = aten.reshape.default(%back{layer}, [1, 1, 32])")
        lines.append(f"  %attended{layer}: f32[1, 1, 32] = aten.linear.default(%joined{layer}, %p{layer}_o)")
        lines.append(f"  %sum{layer}: f32[1, 1, 32] = aten.add_.Tensor(%attended{layer}, %x{layer})")
        lines.append(f"  %up{layer}: f32[1, 1, 32] = aten.linear.default(%sum{layer}, %p{layer}_up)")
        lines.append(f"  %act{layer}: f32[1, 1, 32] = aten.relu_.default(%up{layer})")
        lines.append(f"  %down{layer}: f32[1, 1, 32] = aten.linear.default(%act{layer}, %p{layer}_down)")
        lines.append(f"  %x{layer + 1}: f32[1, 1, 32] = aten.add.Tensor(%down{layer}, %sum{layer})")
    return "\n".join([*lines, f"  return %x{layers}"]) + "\n"


def windows_text(blocks: int) -> str:
    """Blocks of shifted windows, each of which fills nine pieces of a mask through two slices."""
    lines = ["program TRAINING", "graph(%x0: f32[1, 8, 8, 4]):"]
    spans = ((0, 4), (4, 6), (6, 8))
    cut, order = "[1, 2, 4, 2, 4, 4]", "[0, 1, 3, 2, 4, 5]"
    by_windows, by_rows = (
        "f32[1, 2, 2, 4, 4, 4]{256, 128, 16, 32, 4, 1}",
        "f32[1, 2, 4, 2, 4, 4]{256, 128, 16, 64, 4, 1}",
    )
    for block in range(blocks):
        lines.append(f"  %mask{block}: f32[1, 8, 8, 1] = aten.zeros.default([1, 8, 8, 1])")
        for number, (rows, columns) in enumerate((rows, columns) for rows in spans for columns in spans):
            height, width = rows[1] - rows[0], columns[1] - columns[0]
            name = f"{block}_{number}"
            start = f" +{8 * rows[0]}" if rows[0] else ""
            across = f"f32[1, {height}, 8, 1]{{64, 8, 1, 1}}{start}"
            lines.append(f"  %rows{name}: {across} = aten.slice.Tensor(%mask{block}, 1, {rows[0]}, {rows[1]})")
            start = f" +{8 * rows[0] + columns[0]}" if rows[0] + columns[0] else ""
            piece = f"f32[1, {height}, {width}, 1]{{64, 8, 1, 1}}{start}"
            lines.append(f"  %piece{name}: {piece} = aten.slice.Tensor(%rows{name}, 2, {columns[0]}, {columns[1]})")
            lines.append(f"  %filled{name}: {piece} = aten.fill_.Scalar(%piece{name}, {number})")
        lines.append(f"  %rolled{block}: f32[1, 8, 8, 4] = aten.roll.default(%x{block}, [-2, -2], [1, 2])")
        lines.append(f"  %cut{block}: f32[1, 2, 4, 2, 4, 4] = aten.view.default(%rolled{block}, {cut})")
        lines.append(f"  %turned{block}: {by_windows} = aten.permute.default(%cut{block}, {order})")
        lines.append(f"  %windows{block}: f32[4, 16, 4] = aten.reshape.default(%turned{block}, [4, 16, 4])")
        lines.append(f"  %flat{block}: f32[1, 64, 1] = aten.view.default(%mask{block}, [1, 64, 1])")
        lines.append(f"  %seen{block}: f32[4, 16, 1] = aten.view.default(%flat{block}, [4, 16, 1])")
        lines.append(f"  %masked{block}: f32[4, 16, 4] = aten.add_.Tensor(%windows{block}, %seen{block})")
        lines.append(f"  %back{block}: f32[1, 2, 2, 4, 4, 4] = aten.view.default(%masked{block}, [1, 2, 2, 4, 4, 4])")
        lines.append(f"  %order{block}: {by_rows} = aten.permute.default(%back{block}, {order})")
        lines.append(f"  %x{block + 1}: f32[1, 8, 8, 4] = aten.reshape.default(%order{block}, [1, 8, 8, 4])")
    return "\n".join([*lines, f"  return %x{blocks}"]) + "\n"


def branches_text(conds: int) -> str:
    """Conds one after the other, each of whose branches counts in an input and returns a tensor of its own."""
    lines = ["program TRAINING", "graph(%count: f32[4], %p: b8[], %x0: f32[4]):"]
    for number in range(conds):
        branches = f"@yes{number}, @no{number}"
        lines.append(f"  %x{number + 1}: f32[4] = higher_order.cond(%p, {branches}, [%x{number}, %count])")
        for branch, op in (("yes", "sin"), ("no", "cos")):
            lines.append(f"    @{branch}{number}(%x: f32[4], %count: f32[4]):")
            lines.append("      %written: f32[4] = aten.add_.Tensor(%count, 1)")
            lines.append(f"      %made: f32[4] = aten.{op}.default(%x)")
            lines.append("      return %made")
    return "\n".join([*lines, f"  return %x{conds}"]) + "\n"


FORMS: Final[dict[str, Callable[[int, int], str]]] = {
    "elementwise": program_text,
    "norms": lambda nodes, _: norms_text(nodes),
    "transposes": lambda nodes, _: transposes_text(nodes),
    "chains": lambda views, _: chains_text(views),
    "lstm": lambda steps, _: lstm_text(steps),
    "transformer": lambda layers, _: transformer_text(layers),
    "windows": lambda blocks, _: windows_text(blocks),
    "branches": lambda conds, _: branches_text(conds),
}
"""The programs of so many nodes (steps, layers, blocks) and writes, by what they are made of."""


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

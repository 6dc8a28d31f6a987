"""How the package is laid out. Which layer may import which other ones, `lint-imports` holds (pyproject.toml)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from graphlint.ops.table import op_table

PACKAGE = Path(__file__).parents[1] / "lint" / "graphlint"
NAMES = set(op_table().names())
PACKETS = {name.rpartition(".")[0] for name in NAMES if name.count(".") > 1}
PRIVATE = {word for packet in PACKETS if re.match(r"_[^_]", word := packet.rpartition(".")[2])}
OPS = NAMES | PACKETS | PRIVATE
"""Ops as code could name them: overloads, ops, and ops without a namespace that are no words."""
BELOW = ("executable.py", "torch.ops.aten.from_file")
"""What opens a file is told with what else torch runs as code, which asks no facts: it is a layer below them."""
NAMESPACES = {packet.partition(".")[0] for packet in PACKETS} - {"torch"}  # dtypes are of torch, too


def test_the_package_has_ten_packages_and_nothing_beside():
    entries = {one.name for one in PACKAGE.iterdir() if not one.name.startswith("__")} - {"py.typed"}
    assert len(entries) <= 10, sorted(entries)
    assert all((PACKAGE / name / "__init__.py").is_file() for name in entries)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module, each with its line, docstrings aside: those are words for people. What a string is
    put together from stands as ``*`` in it.
    """
    tree = ast.parse(path.read_text())
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "*" for part in node.values]
            yield node.lineno, "".join(map(str, parts))


def is_op(word: str) -> bool:
    word = word.removeprefix("torch.ops.")
    return word in OPS or word.partition(".*")[0] in NAMESPACES - {word}


def test_no_op_is_named_outside_of_ops():
    """What code asks of an op is a fact; which op a pass makes, its role tells (`op_of`)."""
    assert all(
        map(is_op, ("torch.ops.aten.clone.default", "aten.clone", "_assert_async", "_operator.add", "aten.*.out"))
    )
    named = [
        f"{path.relative_to(PACKAGE)}:{line} {word}"
        for path in PACKAGE.rglob("*.py")
        if "ops" not in path.relative_to(PACKAGE).parts
        for line, string in strings(path)
        for word in re.findall(r"[\w.*]+", re.sub(r"\\(.)", lambda one: "." if one[1] == "." else " ", string))
        if is_op(word) and (path.name, word) != BELOW
    ]
    assert named == []

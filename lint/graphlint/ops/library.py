"""The ops that come with popular libraries: a table for each, opened when a program uses a namespace of it.

``python -m tests.facts.libraries`` writes the tables, in ``libraries/``, from what each library has registered and from
``libraries/reviewed.tsv``. A table's head says which library it is of, in which version, and for which namespaces it
answers.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Final

import msgspec

from graphlint.ops.info import OpInfo
from graphlint.ops.rows import Row

TABLES: Final = os.path.join(os.path.dirname(__file__), "libraries")
NAMESPACES: Final = "# namespaces "
"""How the line of a table's head begins that names its namespaces."""


def library_op(name: str) -> OpInfo | None:
    """What the table of a library says of an op; None where none knows it."""
    for path in _tables().get(name.partition(".")[0], ()):
        line = _rows(path).get(name)
        if line is not None:
            return msgspec.structs.replace(Row.parse(line).info(), source="library")
    return None


@cache
def _tables() -> dict[str, list[str]]:
    """The tables' paths by namespace."""
    found: dict[str, list[str]] = {}
    for file in sorted(os.listdir(TABLES)):
        path = os.path.join(TABLES, file)
        for namespace in _namespaces(path):
            found.setdefault(namespace, []).append(path)
    return found


def _namespaces(path: str) -> list[str]:
    """The namespaces that a table's head names."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            if line.startswith(NAMESPACES):
                return line.removeprefix(NAMESPACES).split()
    return []


@cache
def _rows(path: str) -> dict[str, str]:
    """A table's lines by the name of the op."""
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("#")]
    return {line.partition("\t")[0]: line for line in lines}

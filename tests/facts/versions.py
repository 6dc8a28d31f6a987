"""The table of ops as one version of torch has them."""

import torch

from graphlint.ops.rows import Row
from graphlint.ops.table import OpTable, op_table


def of_version(version: str) -> OpTable:
    """The rows of a version (``2.13``), and no others."""
    lines = (line for line in op_table().lines if _covers(Row.parse(line).facts.get("torch", ""), version))
    return OpTable("".join(f"{line}\n" for line in lines).encode())


def _covers(span: str, version: str) -> bool:
    """Whether ``2.6-2.12`` includes a version. Rows that say nothing are of versions before."""
    since, _, until = span.partition("-")
    return bool(span) and _order(since) <= _order(version) <= _order(until or since)


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


INSTALLED = of_version(".".join(torch.__version__.split(".")[:2]))

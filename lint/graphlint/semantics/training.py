"""What a program does because it was exported in train mode."""

from __future__ import annotations

from typing import Final

from graphlint.ir.model import Argument, Node
from graphlint.ops.info import OpInfo
from graphlint.semantics.analysis import Analysis, Write
from graphlint.semantics.sites import Site

COUNTER: Final = "num_batches_tracked"
"""The buffer that counts the batches which the statistics are of (``torch/nn/modules/batchnorm.py``)."""


def training_sites(analysis: Analysis) -> list[Site]:
    """The nodes that drop, draw or update statistics as in train mode, and would not in eval mode."""
    return [site for site in analysis.sites if site.op is not None and _trains(site.op, site.node)]


def _trains(op: OpInfo, node: Node) -> bool:
    if op.in_eval is None:
        return op.dropout and op.draws(node)
    return op.draws(node) or updates(op, node)


def updates(op: OpInfo, node: Node) -> bool:
    """Whether a normalization writes running statistics: with none, it normalizes in eval mode as in training."""
    hidden = op.hidden_writes
    return hidden is not None and any(name in hidden.arguments for name in op.written(node))


def evaluated_argument(op: OpInfo | None, node: Node) -> tuple[str, Argument] | None:
    """The argument that the node's op has in eval mode, with its name; None where the node has it already."""
    if op is None or op.in_eval is None or op.in_eval.holds(node, op.schema):
        return None
    if op.hidden_writes is not None and not updates(op, node):
        return None
    return op.in_eval.argument, Argument(as_bool=bool(op.in_eval.value))


def counting_writes(analysis: Analysis) -> list[Write]:
    """The writes that count the batches of updated statistics."""
    updated = {site.position for site in analysis.sites if site.op is not None and updates(site.op, site.node)}
    buffers = [write for write in analysis.writes if write.kind == "buffer"]
    statistics = (write.target.storage.name for write in buffers if write.site.position in updated)
    modules = {str(name).rpartition(".")[0] for name in statistics if name is not None}
    counters = {f"{module}.{COUNTER}" if module else COUNTER for module in modules}
    return [write for write in buffers if write.certain and write.target.storage.name in counters]

r"""A program's graph as JSON, for programs. Version 1:

::

    {
      "version": 1,
      "tool": {"name": "graphlint", "version": "0.1.0"},
      "path": "model.pt2",
      "programs": [{
        "name": "model",
        "dialects": ["TRAINING"], "schema_version": [8, 20], "torch_version": "2.13.0",
        "range_constraints": {"s77": {"min": 2, "max": 64}},    a bound is null where there is none
        "nodes": [...], "edges": [...], "writes": [...], "findings": [...]
      }]
    }

A node is a call of an op, an input of a graph, or a graph's ``return``::

    {
      "id": 4, "kind": "input" | "node" | "return",
      "graph": ["cond", "true_graph_0"],        the path to its graph; empty for the program's own
      "name": "index_put_", "op": "aten.index_put_.default",
      "position": 3,                            ordinal among the calls, as in findings; null for the others
      "text": "%index_put_: ... = ...",         its line of the text form; an input's or output's part of it
      "values": [{"name": "index_put_", "dtype": "float32", "shape": [1, 8, 4], "stride": [32, 4, 1],
                  "device": "cpu", "requires_grad": false}],    what it defines; sizes may be expressions (strings, "?"
                                                for what is neither a number nor one), and all but the name are null
                                                where nothing is recorded
      "source": {"path": "models.py", "line": 129, "function": "forward", "text": "..."} | null,
      "module_path": "layers.0" | null, "module_type": "models.Layer" | null
    }

An edge is ``{"source": 1, "target": 4, "value": "b_cache", "kind": "value" | "call" | "return"}``: ``call`` leads into
the input of a subgraph, ``return`` from a subgraph's end to the node that calls it. A write is ``{"node": 4,
"argument": "self", "value": "b_cache", "storage": {...}, "shown_by": [0, 4, 5], "read_by": [6, 8]}``: the nodes whose
values may show the written storage, and those that read it after the write. Storages and findings are as in ``check
--output-format json``. With ``--node``, nodes and edges are those around it, writes and findings those of the nodes.
The text is ASCII. Within one version keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphlint import __version__
from graphlint.ir.enums import DTYPES
from graphlint.ir.source import model_frame, module_of, stack_frames
from graphlint.report.formats.encoding import encode
from graphlint.report.formats.json_report import described
from graphlint.report.formats.options import ReportOptions
from graphlint.report.graphs.drawing import Scene
from graphlint.report.graphs.flow import Vertex
from graphlint.report.graphs.reach import Reaches
from graphlint.report.listings.shown import ShownProgram

VERSION = 1


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    """The JSON text."""
    return encode(
        {
            "version": VERSION,
            "tool": {"name": "graphlint", "version": __version__},
            "path": path,
            "programs": [_program(program, options) for program in programs],
        }
    )


def _program(shown: ShownProgram, options: ReportOptions) -> dict[str, Any]:
    program = shown.view.program
    chosen = shown.chosen()
    scene = Scene(shown.view, shown.flow)
    vertices = [vertex for vertex in shown.flow.vertices if chosen is None or vertex.number in chosen]
    here = {vertex.number for vertex in vertices}
    return {
        "name": shown.name,
        "dialects": program.dialects,
        "schema_version": program.schema,
        "torch_version": program.torch_version,
        "range_constraints": {symbol: _range(bounds) for symbol, bounds in sorted(program.range_constraints.items())},
        "nodes": [_node(vertex, scene) for vertex in vertices],
        "edges": [
            {"source": edge.source, "target": edge.target, "value": edge.value, "kind": edge.kind}
            for edge in sorted(shown.flow.edges, key=lambda edge: (edge.source, edge.target))
            if edge.source in here and edge.target in here
        ],
        "writes": [one for writer in scene.reaches.writers if writer in here for one in _writes(writer, scene.reaches)],
        "findings": [
            described(diagnostic, options)
            for number, found in sorted(shown.findings().items())
            if chosen is None or number in here
            for diagnostic in found
        ],
    }


def _range(bounds: Any) -> dict[str, Any]:
    low, high = (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else bounds
    return {"min": low, "max": high}


def _node(vertex: Vertex, scene: Scene) -> dict[str, Any]:
    site = vertex.site
    frame = model_frame(stack_frames(site.node)) if site is not None else None
    module = module_of(site.node) if site is not None else None
    return {
        "id": vertex.number,
        "kind": vertex.kind,
        "graph": vertex.scope.path,
        "name": vertex.label,
        "op": site.name if site is not None else None,
        "position": site.position if site is not None else None,
        "text": scene.text(vertex),
        "values": [_value(vertex, name) for name in vertex.defines],
        "source": frame
        and {"path": frame.path, "line": frame.line, "function": frame.function, "text": frame.text},
        "module_path": module[0] if module is not None else None,
        "module_type": module[1] if module is not None else None,
    }  # fmt: skip


def _value(vertex: Vertex, name: str) -> dict[str, Any]:
    meta = vertex.scope.graph.meta(name)
    return {
        "name": name,
        "dtype": None if meta is None else DTYPES.get(meta.dtype, f"dtype{meta.dtype}"),
        "shape": None if meta is None else [size.shown for size in meta.sizes],
        "stride": None if meta is None else [size.shown for size in meta.strides],
        "device": None if meta is None or meta.device is None else str(meta.device),
        "requires_grad": None if meta is None else meta.requires_grad,
    }


def _writes(writer: int, reaches: Reaches) -> list[dict[str, Any]]:
    reach = reaches.of(writer)
    if reach is None:
        return []
    return [
        {
            "node": writer,
            "argument": write.argument,
            "value": write.value,
            "storage": {
                "kind": write.storage().kind,
                "value": write.storage().value,
                "name": write.storage().name,
                "views": write.storage().views,
            },
            "shown_by": reach.shown_by,
            "read_by": reach.read_by,
        }
        for write in reaches.writes(writer)
    ]

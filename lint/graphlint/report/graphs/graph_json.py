r"""A program's graph as JSON, for programs. Version 1:

::

    {
      "version": 1,
      "tool": {"name": "graphlint", "version": "0.1.0"},
      "path": "model.pt2",
      "programs": [{
        "name": "model",
        "dialects": ["TRAINING"], "schema_version": [8, 20], "torch_version": "2.13.0",
        "loads_in": ["2.9", "2.10"],                 the versions of torch, as in check --output-format json
        "range_constraints": {"s77": {"min": 2, "max": 64}},    a bound is null where there is none
        "nodes": [...], "edges": [...], "writes": [...], "findings": [...]
      }]
    }

A node is a call of an op, an input of a graph, or a graph's ``return``. ``graph`` is the path to its graph,
``position`` the ordinal among the calls, as in findings, ``text`` its line of the text form. Of the values that it
defines, sizes are numbers, expressions (strings) or ``"?"``; all but the name are null where nothing is recorded. An
edge of the kind ``call`` leads into the input of a subgraph, ``return`` from a subgraph's end to the node that calls
it. A write names the nodes whose values may show the written storage, and those that read it after the write. Storages
and findings are as in ``check --output-format json``. With ``--node``, nodes and edges are those around it, writes and
findings those of the nodes. The text is ASCII. Within one version keys are only ever added.
"""

from collections.abc import Sequence
from typing import Any, Final

from graphlint import __version__
from graphlint.ir.dtypes import DTYPES
from graphlint.ir.source import model_frame, module_of, stack_frames
from graphlint.report.formats.escaping import encode
from graphlint.report.formats.json_report import finding
from graphlint.report.graphs.flow import ShownProgram, Vertex
from graphlint.report.graphs.text import range_bounds
from graphlint.report.results import ReportOptions
from graphlint.rules.diagnostics import WrittenStorage

VERSION: Final = 1


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    return encode(
        {
            "version": VERSION,
            "tool": {"name": "graphlint", "version": __version__},
            "path": path,
            "programs": [_program(program, options) for program in programs],
        }
    )


def _program(shown: ShownProgram, options: ReportOptions) -> dict[str, Any]:
    program, flow = shown.flow.view.program, shown.flow
    chosen = shown.chosen()
    here = {vertex.number for vertex in flow.vertices} if chosen is None else chosen
    ranges = ((symbol, range_bounds(bounds)) for symbol, bounds in sorted(program.range_constraints.items()))
    return {
        "name": shown.name,
        "dialects": program.dialects,
        "schema_version": program.schema,
        "torch_version": program.torch_version,
        "loads_in": shown.loads_in,
        "range_constraints": {symbol: {"min": low, "max": high} for symbol, (low, high) in ranges},
        "nodes": [_node(vertex) for vertex in flow.vertices if vertex.number in here],
        "edges": [
            edge._asdict()
            for number in sorted(here)
            for edge in sorted(flow.outgoing[number], key=lambda edge: edge.target)
            if edge.target in here
        ],
        "writes": [
            {
                "node": reach.writer,
                "argument": write.argument,
                "value": write.value,
                "storage": WrittenStorage.of(write),
                "shown_by": reach.shown_by,
                "read_by": reach.read_by,
            }
            for reach in flow.reaches(sorted(here))
            for write in flow.writes(reach.writer)
        ],
        "findings": [
            finding(diagnostic, options)
            for number, found in sorted(shown.findings().items())
            if chosen is None or number in here
            for diagnostic in found
        ],
    }


def _node(vertex: Vertex) -> dict[str, Any]:
    site = vertex.site
    path, kind = (module_of(site.node) if site is not None else None) or (None, None)
    return {
        "id": vertex.number,
        "kind": vertex.kind,
        "graph": vertex.scope.path,
        "name": vertex.label,
        "op": site.name if site is not None else None,
        "position": site.position if site is not None else None,
        "text": vertex.text,
        "values": [_value(vertex, name) for name in vertex.defines],
        "source": model_frame(stack_frames(site.node)) if site is not None else None,
        "module_path": path,
        "module_type": kind,
    }


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

r"""A comparison as JSON, for programs. Version 1:

::

    {
      "version": 1,
      "tool": {"name": "graphlint", "version": "0.1.0"},
      "old": "a.pt2", "new": "b.pt2", "equal": false,
      "programs_added": [], "programs_removed": [],
      "programs": [{
        "name": "model", "old_name": null,          the name in the old artifact where it is another
        "equal": false, "unchanged": 7,             nodes that are in both as they are
        "interface": [{"kind": "added" | "removed" | "changed" | "moved",
                       "what": "dialect" | "input" | "output" | "range" | "arguments" | "result",
                       "name": "buffer \"cache\"", "old": null, "new": "f32[1, 8, 4]"}],
        "changes": [{"kind": "added" | "removed" | "changed" | "moved",
                     "graph": ["cond", "true_graph_0"],       empty for the program's own graph
                     "old": {...} | null, "new": {...} | null,
                     "details": [{"what": "op", "old": "aten.index_put_.default", "new": "aten.index_put.default"}]}]
      }]
    }

A node is ``{"name": ..., "op": ..., "position": ..., "text": ..., "source": {...} | null, "module_path": ...}``, its
position the ordinal in its own graph. A change without nodes is one of what a graph returns. ``what`` of a detail is
``op``, ``argument NAME``, ``result``, ``result N`` or an output's name (of what a graph returns), ``graphs``, ``graph
inputs``, ``after`` (the node before it) and, with ``--metadata``, ``module`` and ``source``. The text is ASCII. Within
one version keys are only ever added.
"""

from __future__ import annotations

from typing import Any

from graphlint import __version__
from graphlint.report.comparison.changes import ArtifactDiff, NodeFacts, ProgramDiff
from graphlint.report.formats.encoding import encode

VERSION = 1


def render(diff: ArtifactDiff) -> str:
    """The JSON text."""
    return encode(
        {
            "version": VERSION,
            "tool": {"name": "graphlint", "version": __version__},
            "old": diff.old,
            "new": diff.new,
            "equal": diff.equal,
            "programs_added": diff.added,
            "programs_removed": diff.removed,
            "programs": [_program(program) for program in diff.programs],
        }
    )


def _program(program: ProgramDiff) -> dict[str, Any]:
    return {
        "name": program.name,
        "old_name": program.old_name,
        "equal": program.equal,
        "unchanged": program.unchanged,
        "interface": [
            {"kind": one.kind, "what": one.what, "name": one.name, "old": one.old, "new": one.new}
            for one in program.interface
        ],
        "changes": [
            {
                "kind": change.kind,
                "graph": change.graph,
                "old": _node(change.old),
                "new": _node(change.new),
                "details": [{"what": one.what, "old": one.old, "new": one.new} for one in change.details],
            }
            for change in program.changes
        ],
    }


def _node(facts: NodeFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    frame = facts.source
    return {
        "name": facts.name,
        "op": facts.op,
        "position": facts.position,
        "text": facts.text,
        "source": frame and {"path": frame.path, "line": frame.line, "function": frame.function, "text": frame.text},
        "module_path": facts.module_path,
    }

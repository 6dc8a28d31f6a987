r"""The format ``json``, for programs. Version 1:

::

    {
      "version": 1,
      "tool": {"name": "graphlint", "version": "0.1.0"},
      "files": [
        {
          "path": "model.pt2",          as named on the command line or found in a folder
          "programs": ["model"],        what was linted in it
          "changed": false,             whether the file was rewritten
          "diagnostics": [...],         what is left
          "fixed": [...],               what was fixed, or would be with --diff
          "error": null,                why it could not be processed (exit code 2)
          "notes": []                   why there was nothing to lint; what becomes of the program at its targets
        }
      ],
      "summary": {
        "files": 1, "changed": 0, "failed": 0,
        "findings": 0, "errors": 0, "warnings": 0, "notes": 0,
        "fixable": 0,                   of the findings: by --fix as it was configured
        "fixable_unsafe": 0,            of the findings: only with --unsafe-fixes
        "fixed": 0
      }
    }

A diagnostic has all of these keys; what does not apply is null::

    {
      "code": "GL103", "rule": "buffer-mutation", "severity": "error" | "warning" | "note", "message": "...",
      "fix": {"applicability": "safe" | "unsafe" | "none", "message": "...", "enabled": true},
      "program": "model", "subgraph": ["cond", "true_graph_0"], "node": "add_", "op": "aten.add_.Tensor",
      "position": 7, "member": null,
      "storage": {"kind": "buffer", "value": "b_count", "name": "count", "views": ["aten.select.int"]},
      "source": {"path": "models.py", "line": 84, "function": "forward", "text": "self.count.add_(1)"},
      "stack": [...],                   frames like "source", outermost first
      "module_path": "layers.0", "module_type": "models.Counter"
    }

``position`` is the node's ordinal in its program, or null where there is no node; ``subgraph`` leads from the
program's graph to the nested one that the node is in.

The text is ASCII; other characters are escaped as JSON does. A byte of a path that is not UTF-8 is shown as the four
characters ``\xe9``. Paths are given as they are, never made absolute. Within one version keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphlint import __version__
from graphlint.diagnostics import Diagnostic, SourceFrame
from graphlint.reporters.encoding import encode
from graphlint.reporters.options import ReportOptions
from graphlint.results import FileResult

VERSION = 1


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON text."""
    return encode(
        {
            "version": VERSION,
            "tool": {"name": "graphlint", "version": __version__},
            "files": [_file(result, options) for result in results],
            "summary": _summary(results, options),
        }
    )


def described(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    """A diagnostic as this format has it, for other formats that hold some."""
    return _diagnostic(diagnostic, options)


def _file(result: FileResult, options: ReportOptions) -> dict[str, Any]:
    return {
        "path": result.path,
        "programs": result.programs,
        "changed": result.changed,
        "diagnostics": [_diagnostic(diagnostic, options) for diagnostic in result.diagnostics],
        "fixed": [_diagnostic(diagnostic, options) for diagnostic in result.fixed],
        "error": result.error or None,
        "notes": result.notes,
    }


def _diagnostic(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    storage = diagnostic.storage
    return {
        "code": diagnostic.code,
        "rule": diagnostic.rule,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "fix": {
            "applicability": diagnostic.fix.applicability,
            "message": diagnostic.fix.message,
            "enabled": options.applies(diagnostic),
        },
        "program": diagnostic.program,
        "subgraph": diagnostic.subgraph,
        "node": diagnostic.node,
        "op": diagnostic.op,
        "position": None if diagnostic.node is None else diagnostic.position,
        "member": diagnostic.member,
        "storage": storage
        and {"kind": storage.kind, "value": storage.value, "name": storage.name, "views": storage.views},
        "source": diagnostic.source and _frame(diagnostic.source),
        "stack": [_frame(frame) for frame in diagnostic.stack],
        "module_path": diagnostic.module_path,
        "module_type": diagnostic.module_type,
    }


def _frame(frame: SourceFrame) -> dict[str, Any]:
    return {"path": frame.path, "line": frame.line, "function": frame.function, "text": frame.text}


def _summary(results: Sequence[FileResult], options: ReportOptions) -> dict[str, int]:
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    severities = [diagnostic.severity for diagnostic in found]
    applying = [diagnostic for diagnostic in found if options.applies(diagnostic)]
    unsafe = [diagnostic for diagnostic in found if diagnostic.fix.applicability == "unsafe"]
    return {
        "files": len(results),
        "changed": sum(result.changed for result in results),
        "failed": sum(bool(result.error) for result in results),
        "findings": len(found),
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "notes": severities.count("note"),
        "fixable": len(applying),
        "fixable_unsafe": sum(not options.applies(diagnostic) for diagnostic in unsafe),
        "fixed": sum(len(result.fixed) for result in results),
    }

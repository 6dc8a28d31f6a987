r"""The format ``json``, for programs. Version 1:

::

    {
      "version": 1,
      "tool": {"name": "graphlint", "version": "0.1.0"},
      "files": [
        {
          "path": "model.pt2",          as named on the command line or found in a folder
          "kind": "artifact" | "source",    a source file: what is wrong with comments in it
          "programs": ["model"],        what was linted in it
          "changed": false,             whether the file was rewritten
          "diagnostics": [...],         what is left
          "suppressed": [...],          what a comment, per-file ignores or a baseline accepts
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
        "fixed": 0,
        "suppressed": 0,                by comments and per-file ignores
        "baseline": 0                   by the baseline
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
      "location": {"path": "src/models.py", "line": 86, "column": 9, "end_column": 27, "text": "    self.count.add_(1)",
                   "state": "current" | "moved" | "changed" | "absent"},
      "stack": [...],                   frames like "source", outermost first
      "module_path": "layers.0", "module_type": "models.Counter",
      "fingerprint": "9f0c..."          the same for the same finding in another export
    }

``source`` is the line of the model's own code as the artifact records it, ``location`` where that line is in the
repository now, relative to its root; columns count characters from 1, the end is excluded. What is suppressed has
``"suppression": {"by": "comment" | "per-file-ignores" | "baseline", "reason": "..."}`` besides.

``position`` is the node's ordinal in its program, or null where there is no node; ``subgraph`` leads from the
program's graph to the nested one that the node is in.

The text is ASCII; other characters are escaped as JSON does. A byte of a path that is not UTF-8 is shown as the four
characters ``\xe9``. Paths are given as they are, never made absolute. Within one version keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphlint import __version__
from graphlint.diagnostics import Diagnostic, Location, SourceFrame
from graphlint.reporters.encoding import encode
from graphlint.reporters.options import ReportOptions
from graphlint.results import FileResult, in_baseline

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
        "kind": "source" if result.is_source else "artifact",
        "programs": result.programs,
        "changed": result.changed,
        "diagnostics": [_diagnostic(diagnostic, options) for diagnostic in result.diagnostics],
        "suppressed": [
            {
                **_diagnostic(diagnostic, options),
                "suppression": diagnostic.suppression
                and {"by": diagnostic.suppression.by, "reason": diagnostic.suppression.reason or None},
            }
            for diagnostic in result.suppressed
        ],
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
        "location": diagnostic.location and _location(diagnostic.location),
        "stack": [_frame(frame) for frame in diagnostic.stack],
        "module_path": diagnostic.module_path,
        "module_type": diagnostic.module_type,
        "fingerprint": diagnostic.fingerprint or None,
    }


def _location(location: Location) -> dict[str, Any]:
    return {
        "path": location.path,
        "line": location.line,
        "column": location.column or None,
        "end_column": location.end_column or None,
        "text": location.text,
        "state": location.state,
    }


def _frame(frame: SourceFrame) -> dict[str, Any]:
    return {"path": frame.path, "line": frame.line, "function": frame.function, "text": frame.text}


def _summary(results: Sequence[FileResult], options: ReportOptions) -> dict[str, int]:
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    severities = [diagnostic.severity for diagnostic in found]
    applying = [diagnostic for diagnostic in found if options.applies(diagnostic)]
    unsafe = [diagnostic for diagnostic in found if diagnostic.fix.applicability == "unsafe"]
    return {
        "files": sum(not result.is_source for result in results),
        "changed": sum(result.changed for result in results),
        "failed": sum(bool(result.error) for result in results),
        "findings": len(found),
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "notes": severities.count("note"),
        "fixable": len(applying),
        "fixable_unsafe": sum(not options.applies(diagnostic) for diagnostic in unsafe),
        "fixed": sum(len(result.fixed) for result in results),
        "suppressed": sum(len(result.suppressed) for result in results) - in_baseline(results),
        "baseline": in_baseline(results),
    }

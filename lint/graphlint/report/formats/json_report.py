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

``schema.json`` beside this file says the same as a JSON schema.

The text is ASCII; other characters are escaped as JSON does. A byte of a path that is not UTF-8 is shown as the four
characters ``\xe9``. Paths are given as they are, never made absolute. Within one version keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from graphlint.report.formats.document import (
    VERSION,
    Finding,
    Report,
    Summary,
    file_of,
    finding_of,
    summary_of,
    tool_of,
)
from graphlint.report.formats.encoding import encode
from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON text."""
    report = Report(
        VERSION,
        tool_of(options),
        tuple(file_of(result, options) for result in results),
        Summary(**summary_of(results, options)),
    )
    return encode(msgspec.to_builtins(report))


def described(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    """A diagnostic as this format has it, for other formats that hold some."""
    fields: dict[str, Any] = msgspec.to_builtins(Finding(**finding_of(diagnostic, options)))
    return fields

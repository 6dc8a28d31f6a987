"""What the engine reports for one artifact: the seam between engine, command line and reporters."""

from __future__ import annotations

from typing import Literal

import msgspec

from graphlint.diagnostics import Diagnostic

Action = Literal["check", "fix", "diff"]


class FileResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome for one artifact."""

    path: str
    diagnostics: tuple[Diagnostic, ...] = ()
    """What is left to report, in the order of the report: after ``--fix``, what the fix did not take away."""
    fixed: tuple[Diagnostic, ...] = ()
    """What was fixed (action ``fix``) or would be (action ``diff``)."""
    programs: tuple[str, ...] = ()
    """Names of the programs that were linted."""
    changed: bool = False
    """Whether the file was rewritten."""
    diff: str = ""
    """Unified diff of the graph text (action ``diff``)."""
    note: str = ""
    """Why there was nothing to lint (a package of compiled code only)."""
    error: str = ""
    """Why the fixed artifact could not be written, or that a fix failed its validation: exit code 2."""

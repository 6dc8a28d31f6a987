"""What a reporter is told besides the results."""

from __future__ import annotations

import msgspec

from graphlint import __version__
from graphlint.rules.diagnostics import Diagnostic


class ReportOptions(msgspec.Struct, frozen=True):
    """How to show results."""

    color: bool = False
    hyperlinks: bool = False
    """Whether codes and places become links that terminals open."""
    folder: str = ""
    """Absolute folder below which absolute source paths are shown relative; the current one."""
    root: str = ""
    """Absolute folder that paths in reports for other systems are relative to: the root of the repository."""
    source_url: str = ""
    """Address that a path relative to ``root`` is put behind to link to it; empty where there is none."""
    size_limit: int = 0
    """How many bytes the report may have, for formats that can say less; 0 for any number."""
    version: str = __version__
    """The version of graphlint that reports name."""
    unsafe_paths: frozenset[str] = frozenset()
    """The artifacts for which unsafe fixes are enabled."""
    targeted_paths: frozenset[str] = frozenset()
    """The artifacts whose targets were chosen rather than left at the default."""
    hint_unsafe: bool = True
    """Whether to mention unsafe fixes that are not enabled."""

    def applies(self, diagnostic: Diagnostic) -> bool:
        """Whether ``--fix`` would apply the diagnostic's fix: the meaning of ``[*]``."""
        applicability = diagnostic.fix.applicability
        return applicability == "safe" or (applicability == "unsafe" and diagnostic.path in self.unsafe_paths)

    def hides(self, diagnostic: Diagnostic) -> bool:
        """Whether the diagnostic's fix needs ``--unsafe-fixes`` first, and that is worth a mention."""
        return self.hint_unsafe and diagnostic.fix.applicability == "unsafe" and not self.applies(diagnostic)

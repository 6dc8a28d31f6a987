"""What a reporter is told besides the results."""

from __future__ import annotations

import msgspec

from graphlint.diagnostics import Diagnostic


class ReportOptions(msgspec.Struct, frozen=True):
    """How to show results."""

    color: bool = False
    folder: str = ""
    """Absolute folder below which absolute source paths are shown relative; the current one."""
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

"""What the engine reports for one artifact: the seam between engine, command line and reporters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from graphlint.ir.source import SourceFrame
from graphlint.report.graphs.picture import Picture
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.files import UNREADABLE

if TYPE_CHECKING:
    from graphlint.passes.restoring import Check

Action = Literal["check", "fix", "diff"]


class RestoredCheck(msgspec.Struct, frozen=True):
    """A functional check that became a plain one again, or that stays."""

    program: str
    subgraph: tuple[str, ...]
    """Where its graph is called from, caller and graph in turn; empty for the root graph."""
    node: str
    op: str
    """The functional op."""
    plain: str
    """The plain one."""
    reason: str = ""
    """Why it stays; empty where it was restored."""

    @classmethod
    def of(cls, check: Check, program: str) -> RestoredCheck:
        """What the pass says of a check in the program of that name."""
        op, plain = (target.removeprefix("torch.ops.") for target in (check.target, check.plain))
        return cls(program, check.subgraph, check.node, op, plain, check.reason)


class Illustration(msgspec.Struct, frozen=True):
    """What is around a finding's node in the graph."""

    program: str
    subgraph: tuple[str, ...]
    node: str
    picture: Picture
    fixed: bool = False
    """Whether it belongs to what was fixed; ``picture`` is of the program before the fix then."""
    after: Picture | None = None
    """What is there in the fixed program; None where the node is gone."""


class FileResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome for one artifact, or what is wrong with comments in a source file."""

    path: str
    diagnostics: tuple[Diagnostic, ...] = ()
    """What is left to report, in the order of the report: after ``--fix``, what the fix did not take away."""
    suppressed: tuple[Diagnostic, ...] = ()
    """What was found and is not reported: accepted by a comment in the source, per-file ignores or a baseline."""
    fixed: tuple[Diagnostic, ...] = ()
    """What was fixed (action ``fix``) or would be (action ``diff``)."""
    restored: tuple[RestoredCheck, ...] = ()
    """What became a plain check again, or would."""
    kept: tuple[RestoredCheck, ...] = ()
    """What could not."""
    programs: tuple[str, ...] = ()
    """Names of the programs that were linted."""
    changed: bool = False
    """Whether the file was rewritten."""
    diff: str = ""
    """Unified diff of the graph text (action ``diff``, and ``fix`` where illustrations were asked for)."""
    illustrations: tuple[Illustration, ...] = ()
    """Where they were asked for: one for each node that a group of findings is first met at."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no finding: that there was nothing to lint (a package of compiled code only), what
    becomes, at a target, of what it takes, that a program is not what its record says.
    """
    error: str = ""
    """Why the fixed artifact could not be written, or that a fix failed its validation: exit code 2."""
    frames: tuple[SourceFrame, ...] = ()
    """The lines of the model that its programs come from, for who is to find comments that accept nothing."""
    before: tuple[Diagnostic, ...] = ()
    """What a fix found, for who is to find entries of baselines, and comments, that accept nothing."""
    is_source: bool = False
    """Whether it is a source file of a model (rules on comments), no artifact."""

    @property
    def unreadable(self) -> tuple[Diagnostic, ...]:
        """The diagnostics about what could not be read: never left out, whatever else a run does not show."""
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.code in UNREADABLE)

    def without_suppressed(self) -> FileResult:
        """The result with what nobody wants to hear of set aside."""
        suppressed = tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.suppression is not None)
        if not suppressed:
            return self
        left = tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.suppression is None)
        return msgspec.structs.replace(self, diagnostics=left, suppressed=suppressed)

    def without_fixes_except(self, fixable: frozenset[str]) -> FileResult:
        """The result with the diagnostics of other rules, which the configuration excludes, marked as not fixable."""
        if all(one.code in fixable or not one.fixable for one in self.diagnostics):
            return self
        fix = Fix("none", "the configuration excludes this rule from fixing ('fixable', 'unfixable')")
        marked = (
            one if one.code in fixable or not one.fixable else msgspec.structs.replace(one, fix=fix)
            for one in self.diagnostics
        )
        return msgspec.structs.replace(self, diagnostics=tuple(marked))


def in_baseline(results: Iterable[FileResult]) -> int:
    """How many findings are not reported because a baseline has them."""
    return sum(
        one.suppression is not None and one.suppression.by == "baseline"
        for result in results
        for one in result.suppressed
    )

"""What the engine reports for one artifact, and how to show it: the seam between engine, command line and reporters."""

import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from graphlint import __version__
from graphlint.ir.source import SourceFrame
from graphlint.ops.table import op_name
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.files import UNREADABLE

if TYPE_CHECKING:
    from graphlint.passes.restoring import Check

Action = Literal["check", "fix", "diff"]
UNSAFE: Final = "--unsafe-fixes"
KEY: Final = "\0"
"""What stands in a drawing for the key that tells its ids from those of others: no text in an SVG can hold it."""


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
    def of(cls, check: "Check", program: str) -> "RestoredCheck":
        """What the pass says of a check in the program of that name."""
        op, plain = map(op_name, (check.target, check.plain))
        return cls(program, check.subgraph, check.node, op, plain, check.reason)


class Picture(msgspec.Struct, frozen=True):
    """A drawing, and what there is to see on it."""

    description: str
    """In words: for who cannot see it."""
    drawing: str
    """The ``<svg>`` element, with :data:`KEY` in its ids."""

    def svg(self, key: str) -> str:
        """The element. ``key`` is unique in a page, in which a picture may stand several times."""
        return self.drawing.replace(KEY, key)


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
    position: int = 0
    """The finding's."""


class FileResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome for one artifact, or what is wrong with comments in a source file."""

    path: str
    diagnostics: tuple[Diagnostic, ...] = ()
    """What is left to report, in the order of the report: after ``--fix``, what the fix did not take away."""
    suppressed: tuple[Diagnostic, ...] = ()
    """What was found and is not reported: accepted by a comment in the source, per-file ignores or a baseline."""
    fixed: tuple[Diagnostic, ...] = ()
    """What was fixed (action ``fix``) or would be (action ``diff``)."""
    brought: tuple[Diagnostic, ...] = ()
    """Those of :attr:`fixed` and :attr:`diagnostics` that a check would not have found: a fix brought them about."""
    gone: tuple[Diagnostic, ...] = ()
    """What went with what was fixed, though no fix was its own: as many of each rule as are missing."""
    restored: tuple[RestoredCheck, ...] = ()
    """What became a plain check again, or would."""
    state: tuple[str, ...] = ()
    """The names of what was among the inputs and outputs, and is state of its program again, or would be."""
    kept: tuple[RestoredCheck, ...] = ()
    """What could not."""
    programs: tuple[str, ...] = ()
    """Names of the programs that were linted."""
    loads_in: dict[str, tuple[str, ...]] = {}
    """The versions of torch that load each program that could be read, as far as is known; after a fix, what it made
    of it."""
    changed: bool = False
    """Whether the file was rewritten."""
    diff: str = ""
    """Unified diff of the graph text (action ``diff``, and ``fix`` where illustrations were asked for)."""
    illustrations: tuple[Illustration, ...] = ()
    """Where they were asked for: one for each node that a group of findings is first met at."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no finding: that there was nothing to lint (a package of compiled code only), that a
    program is not what its record says.
    """
    idle: int = 0
    """How many idle findings there are, or are left, of rules that nobody asked for."""
    error: str | None = None
    """Why the artifact could not be processed or written, or that a fix failed its validation: exit code 2."""
    frames: tuple[SourceFrame, ...] = ()
    """The lines of the model that its programs come from, for who is to find comments that accept nothing."""
    before: tuple[Diagnostic, ...] = ()
    """What a fix found, for who is to find entries of baselines, and comments, that accept nothing."""
    is_source: bool = False
    """Whether it is a source file of a model (rules on comments), no artifact."""

    @property
    def ok(self) -> bool:
        """Whether a check passes: no findings but notes are left, nothing was rewritten, and there was no error."""
        return not (self.failing or self.changed or self.error)

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """What is left to report: :attr:`diagnostics`."""
        return self.diagnostics

    def __bool__(self) -> bool:
        """Refused: a result with findings is no more false than one without."""
        raise TypeError("a result is neither true nor false: use result.ok or result.findings")

    def __str__(self) -> str:
        """The report as a terminal shows it."""
        from graphlint.report.formats import full, summary

        options = ReportOptions(folder=os.getcwd())
        failed = f"error: {self.path}: {self.error}\n" if self.error else ""
        return (full.render([self], options) + summary.render([self], options) + failed).rstrip("\n")

    def _repr_html_(self) -> str:
        """The report for notebooks, in a frame of its own."""
        from html import escape

        from graphlint.report.formats.html import page

        report = escape(page.render([self], ReportOptions(folder=os.getcwd())))
        return (
            f'<iframe srcdoc="{report}" style="width: 100%; height: 40em; border: 0" sandbox="allow-scripts"></iframe>'
        )

    @property
    def unreadable(self) -> tuple[Diagnostic, ...]:
        """The diagnostics about what could not be read: never left out, whatever else a run does not show."""
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.code in UNREADABLE)

    @property
    def failing(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that make a check fail where nothing else is said: all but notes."""
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.severity != "note")

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that make every check fail."""
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error")

    def without_suppressed(self) -> "FileResult":
        """The result with what nobody wants to hear of set aside."""
        suppressed = tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.suppression is not None)
        if not suppressed:
            return self
        left = tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.suppression is None)
        return msgspec.structs.replace(self, diagnostics=left, suppressed=suppressed)

    def without_fixes_except(self, fixable: frozenset[str]) -> "FileResult":
        """The result with the diagnostics of other rules, which the configuration excludes, marked as not fixable."""
        fix = Fix("none", "the configuration excludes this rule from fixing ('fixable', 'unfixable')")
        marked = (
            one if one.code in fixable or not one.fixable else msgspec.structs.replace(one, fix=fix)
            for one in self.diagnostics
        )
        return msgspec.structs.replace(self, diagnostics=tuple(marked))


Result = FileResult
"""What users call it."""


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
    everything: bool = False
    """Whether each finding is shown by itself, rather than each cause once."""

    def applies(self, diagnostic: Diagnostic) -> bool:
        """Whether ``--fix`` would apply the diagnostic's fix: the meaning of ``[*]``."""
        return diagnostic.fix.applies(unsafe=diagnostic.path in self.unsafe_paths)

    def lacks(self, diagnostic: Diagnostic) -> str:
        """The option that ``--fix`` lacks to apply the diagnostic's fix, where that is worth a mention: the meaning of
        ``[!]``. Empty where it lacks none.
        """
        fix = diagnostic.fix
        unsafe = fix.applicability == "unsafe" and self.hint_unsafe and not self.applies(diagnostic)
        return fix.option or (UNSAFE if unsafe else "")

    def mark(self, diagnostic: Diagnostic) -> str:
        """``[*]``, ``[!]``, or nothing."""
        return "[*]" if self.applies(diagnostic) else "[!]" if self.lacks(diagnostic) else ""

"""What a rule is: a code, a name, documentation, and a pure function from a program to findings."""

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

import msgspec

from graphlint.artifact.patterns import pattern
from graphlint.rules.diagnostics import Fix, Severity, WrittenStorage
from graphlint.rules.fixers import Fixer
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site

Applicability = Literal["safe", "unsafe", "none"]
ISSUE: Final = pattern(r"(?<![\w/.-])([\w.-]+/[\w.-]+)#(\d+)")
"""``pytorch/pytorch#68301`` in prose; graphs have no such words."""
_KEBAB: Final = {ord(letter): f"-{letter.lower()}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

LIFTING_SAFETY: Final = (
    'Safe where it is asked for, by `--lift-state` (`state = "io"`): the program is called in another way then,\n'
    "`result, state = module(x, **state)`."
)


class Finding(msgspec.Struct, frozen=True, eq=False):
    """What a rule reports; the engine adds where in artifact and model it is."""

    message: str
    fix: Fix
    site: Site | None = None
    """The node, or None for the program as a whole."""
    storage: WrittenStorage | None = None
    idle: bool = False
    """Whether it changes nothing whatever happens: it is reported where its rule was asked for, and counted elsewhere.
    """
    advice: str = ""
    """What the model's author can write in Python; the rule's own advice where it is empty."""


class Rule:
    """A rule. A subclass's docstring is its documentation: the first line says what it flags, the sections
    below (``What it does``, ``Why is this bad?``, ``Example``, ``Use instead``, ``Fix safety``, ``References``)
    are Markdown. The tests lint the graphs in the example and in what to use instead; Python there they export, and
    check the artifact with the options that stand behind ``python``. Where the Python makes no ``model`` and
    ``inputs``, they are ``Model()`` and a tensor of 3 x 4; torch is imported. The issues that the text names are its
    references; a section of that name is for when there are others.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    """``in-place-op`` for the class ``InPlaceOp``."""
    severity: ClassVar[Severity] = "error"
    advice: ClassVar[str] = ""
    """What the model's author can write in Python, so that the next export has no such finding."""
    enabled_by_default: ClassVar[bool] = True
    fix: ClassVar[Applicability] = "none"
    """The best fix there is; every diagnostic says whether it applies to it."""
    option: ClassVar[str] = ""
    """An option of its own that ``--fix`` takes to apply the fix."""
    fix_safety: ClassVar[str] = ""
    """The section of that name, where several rules share it."""
    fixer: ClassVar[Fixer | None] = None
    """What applies the fixes; None for a rule without any."""
    follows_fixes: ClassVar[bool] = False
    """Whether fixes of other rules may bring about what it reports: of label, signature, and what targets refuse."""
    leads: ClassVar[bool] = False
    """Whether its findings come before all others of a program, of which they say what the others go back to."""
    idle: ClassVar[bool] = False
    """Whether some of its findings are idle."""
    fix_sometimes: ClassVar[bool] = False
    """Whether some findings of the rule have no fix although others have."""

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__.translate(_KEBAB)[1:]

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """The rule's findings in one program, in program order. Rules on files find none: the engine reports them."""
        yield from ()

    @property
    def _documented(self) -> str:
        from inspect import cleandoc  # takes longer to load than a rule to check

        return cleandoc(str(type(self).__doc__))

    @property
    def summary(self) -> str:
        """One line: what the rule flags."""
        return self._documented.partition("\n")[0]

    @property
    def documentation(self) -> str:
        """Markdown, headings from level 2."""
        text = self._documented.partition("\n")[2].strip()
        before, _, references = text.partition("\n\n## References\n")
        references = references or ", ".join(dict.fromkeys(one[0] for one in ISSUE.finditer(text)))
        before += f"\n\n## Fix safety\n{self.fix_safety}" if self.fix_safety else ""
        return f"{before}\n\n## References\n{references}" if references else before


LIFTING: Final = "--lift-state"


def no_fix(reason: str) -> Fix:
    """There is no fix, for that reason."""
    return Fix("none", reason)


def safe_fix(becomes: str, obstacle: str | None, option: str = "") -> Fix:
    """What a finding becomes, unless there is an obstacle to that."""
    return Fix("safe", becomes, option=option) if obstacle is None else no_fix(obstacle)


def lifting(view: ProgramView, becomes: str, obstacle: str | None) -> Fix:
    """The fix that takes ``state = "io"``: what is state becomes inputs and outputs."""
    return safe_fix(becomes, obstacle, "" if view.state == "io" else LIFTING)

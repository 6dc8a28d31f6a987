"""Version specifiers (PEP 440) for torch: ``>=2.9``, ``==2.9.*``, ``>=2.9,<2.13``.

What is told apart is what the table of ops tells apart: ``2.9`` stands for all of its patch releases, and is admitted
where one of them is. Pre-releases and builds are not told apart.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from graphlint.artifact.errors import ConfigError

_CLAUSE: Final = r"(~=|==|!=|<=|>=|<|>)\s*(\d{1,9}(?:\.\d{1,9})*)(\.\*)?"

Release = tuple[int, ...]


class RequiredTorch(msgspec.Struct, frozen=True):
    """The versions of torch that programs are to run in."""

    specifier: str
    versions: tuple[str, ...]
    """Those of the known ones that it admits, the first one first; there is one at least."""
    others: bool
    """Whether it speaks of unknown ones, too, and admits them."""


class _Clause(msgspec.Struct, frozen=True):
    operator: str
    release: Release
    """Without zeros at the end, so that ``2.9`` and ``2.9.0`` are the same."""

    def admits(self, release: Release) -> bool:
        """A comparison of releases; ``~=`` and ``.*`` are made of several."""
        if self.operator == "prefix":
            return _padded(release, len(self.release)) == self.release
        if self.operator == "other":
            return _padded(release, len(self.release)) != self.release
        one, other = _short(release), self.release
        return {
            "==": one == other,
            "!=": one != other,
            "<": one < other,
            "<=": one <= other,
            ">": one > other,
            ">=": one >= other,
        }[self.operator]


def required(specifier: str, known: Sequence[str]) -> RequiredTorch:
    """What a specifier admits of the ``known`` versions. Raises ConfigError where it is none, or admits none."""
    clauses = [clause for text in specifier.split(",") for clause in _clauses(text.strip(), specifier)]
    series = [tuple(map(int, version.split("."))) for version in known]
    admitted = tuple(version for version, one in zip(known, series, strict=True) if _admitted(one, clauses))
    if not admitted:
        raise ConfigError(
            f"'{specifier}' admits none of the versions of torch whose ops are known, {known[0]} to {known[-1]}: "
            "admit one of them, or take a newer graphlint"
        )
    before, after = (*series[0][:-1], series[0][-1] - 1), (*series[-1][:-1], series[-1][-1] + 1)
    named = [after] if any(_padded(clause.release, 2) > series[-1] for clause in clauses) else []
    return RequiredTorch(specifier, admitted, any(_admitted(one, clauses) for one in (before, *named)))


def _clauses(text: str, specifier: str) -> Iterator[_Clause]:
    found = re.fullmatch(_CLAUSE, text, re.ASCII)
    operator, digits, wildcard = found.groups() if found else ("", "", None)
    release = tuple(map(int, digits.split("."))) if digits else ()
    if not release or (wildcard and operator not in ("==", "!=")) or (operator == "~=" and len(release) < 2):
        hint = f"did you mean '=={text}.*' or '>={text}'?" if re.fullmatch(r"\d+\.\d+", text, re.ASCII) else ""
        hint = hint or "write comparisons with releases, such as '>=2.9', '==2.9.*' or '>=2.9,<2.13'"
        raise ConfigError(f"'{specifier}' is no version specifier; {hint}")
    if wildcard:
        yield _Clause("prefix" if operator == "==" else "other", release)
    elif operator == "~=":
        yield _Clause(">=", _short(release))
        yield _Clause("prefix", release[:-1])
    else:
        yield _Clause(operator, _short(release))


def _admitted(series: Release, clauses: Sequence[_Clause]) -> bool:
    """Whether there is a patch release of a minor one that all clauses admit."""
    patches = {0, 1}
    for clause in clauses:
        patch = _padded(clause.release, 3)[2]
        patches |= {patch, patch + 1, max(patch - 1, 0)}
    return any(all(clause.admits((*series, patch)) for clause in clauses) for patch in patches)


def _padded(release: Release, length: int) -> Release:
    return (release + (0,) * length)[:length]


def _short(release: Release) -> Release:
    while release and not release[-1]:
        release = release[:-1]
    return release

"""What a configuration says of custom ops, and of the versions of torch that programs are to run in.

Those are version specifiers (PEP 440): ``>=2.9``, ``==2.9.*``, ``>=2.9,<2.13``. What is told apart is what the table of
ops tells apart: ``2.9`` stands for all of its patch releases, and is admitted where one of them is. Pre-releases and
builds are not told apart.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.ops.schema import SchemaError, parse_schema


class DeclaredOp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What ``[tool.graphlint.ops]`` says of a custom op.

    ``[tool.graphlint.ops]`` maps an op (``"mylib.scale_"`` for all its overloads, or ``"mylib.scale_.default"``,
    or ``"mylib.*"`` for a namespace) to a table with these keys; an empty table declares the op functional.
    """

    writes: tuple[str, ...] = ()
    """Names or positions (``"0"``) of the arguments that it writes to."""
    aliases: tuple[str, ...] = ()
    """Names or positions of the arguments that its results may share storage with."""
    random: bool = False
    """Whether it draws from the global random number generator."""
    effect: bool = False
    """Whether it has any other side effect (I/O, global state)."""
    schema: str = ""
    """What torch has registered (``(Tensor(a!) x, Tensor(b!)? y=None) -> ()``, as
    ``torch.ops.mylib.scale_.default._schema`` prints it behind the name), which tells what it writes and returns."""

    def __post_init__(self) -> None:
        if self.schema:
            try:
                parse_schema(self.schema)
            except SchemaError as error:
                raise ValueError(str(error)) from None


_CLAUSE: Final = r"(?:~=|==|!=|<=|>=|<|>)\s*(\d{1,9}(?:\.\d{1,9})*)(?:\.\*)?"


class RequiredTorch(msgspec.Struct, frozen=True):
    """The versions of torch that programs are to run in."""

    specifier: str
    versions: tuple[str, ...]
    """Those of the known ones that it admits, the first one first; there is one at least."""
    others: bool
    """Whether it speaks of unknown ones, too, and admits them."""


def required(specifier: str, known: Sequence[str]) -> RequiredTorch:
    """What a specifier admits of the ``known`` versions. Raises ConfigError where it is none, or admits none."""
    from packaging.specifiers import SpecifierSet

    releases = [_release(text.strip(), specifier) for text in specifier.split(",")]
    patches = {0, 1, *(max(patch + step, 0) for *_, patch in releases for step in (-1, 0, 1))}
    admits = SpecifierSet(specifier)

    def admitted(major: int, minor: int) -> bool:
        """Whether a patch release is admitted: those beside the ones that are named speak for the others."""
        return any(admits.contains(f"{major}.{minor}.{patch}") for patch in patches)

    series = [(int(major), int(minor)) for major, minor in (version.split(".") for version in known)]
    versions = tuple(version for version, one in zip(known, series, strict=True) if admitted(*one))
    if not versions:
        raise ConfigError(
            f"'{specifier}' admits none of the versions of torch whose ops are known, {known[0]} to {known[-1]}: "
            "admit one of them, or take a newer graphlint"
        )
    (first, before), (last, after) = series[0], series[-1]
    speaks_of_newer = any((major, minor) > series[-1] for major, minor, _ in releases)
    others = admitted(first, before - 1) or (speaks_of_newer and admitted(last, after + 1))
    return RequiredTorch(specifier, versions, others)


def _release(text: str, specifier: str) -> tuple[int, int, int]:
    """The release that a clause of a specifier names: major, minor and patch. Raises ConfigError."""
    from packaging.specifiers import InvalidSpecifier, Specifier

    found = re.fullmatch(_CLAUSE, text, re.ASCII)
    try:
        Specifier(text if found else "")
    except InvalidSpecifier:
        hint = f"did you mean '=={text}.*' or '>={text}'?" if re.fullmatch(r"\d+\.\d+", text, re.ASCII) else ""
        hint = hint or "write comparisons with releases, such as '>=2.9', '==2.9.*' or '>=2.9,<2.13'"
        raise ConfigError(f"'{specifier}' is no version specifier; {hint}") from None
    major, minor, patch, *_ = [*map(int, found[1].split(".") if found else ()), 0, 0, 0]
    return major, minor, patch

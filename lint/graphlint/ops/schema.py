"""torch's schema language, parsed: ``(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)``.

The language is the one of ``native_functions.yaml`` and of what ``str(torch._C.FunctionSchema)`` prints. Alias
annotations are what graphlint reads it for: ``(a)`` names a set of storages, ``(a!)`` says that it is written,
``(a -> *)`` that the argument joins the wildcard set (its results come in a list), ``(a! -> a|b)`` that it may be
of several sets afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from graphlint.artifact.errors import GraphlintError

_OPENING = "([{"
_CLOSING = ")]}"
# `$0` is a set that torch has named itself: that of an argument which was registered as `Tensor!`, without a name.
_SET = r"(?:\*|\$?[A-Za-z0-9]+(?:\|[A-Za-z0-9]+)*)"
# Only these can carry an annotation, which tells it from the parentheses of `Dict(str, Tensor)` and `Future(t)`.
_ANNOTATION = re.compile(rf"(?:(?<=Tensor)|(?<=\])|(?<=\?)|(?<=\bt))\(({_SET})?(!)?(?:\s*->\s*({_SET})?)?\)")
_NAMED_LITERALS = {"None": None, "True": True, "False": False}


class SchemaError(GraphlintError):
    """A schema that is not of torch's schema language."""


class SchemaArgument(msgspec.Struct, frozen=True):
    """One argument."""

    name: str
    type: str
    """Without alias annotation: ``Tensor``, ``Tensor?[]``, ``SymInt[2]?``."""
    default: str | None = None
    """The default as the schema spells it; None for a required argument (a default of None is ``"None"``)."""
    keyword_only: bool = False
    alias: str | None = None
    """The alias set's letters, ``"a"`` or ``"a|b"``; None where the argument shares storage with no result."""
    written: bool = False

    @property
    def default_value(self) -> bool | int | float | str | None:
        """The default as a Python value; text that is no literal (``contiguous_format``) stays text."""
        return literal(self.default) if self.default is not None else None


class SchemaReturn(msgspec.Struct, frozen=True):
    """One result; a list of tensors is one result."""

    name: str | None
    type: str
    alias: str | None = None
    written: bool = False


class OpSchema(msgspec.Struct, frozen=True):
    """What torch has registered for an op overload."""

    arguments: tuple[SchemaArgument, ...]
    returns: tuple[SchemaReturn, ...]
    variadic: bool = False
    """Whether it takes more arguments than are listed (``...``)."""

    def argument(self, name: str) -> SchemaArgument | None:
        """The argument of that name."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        return None


def literal(text: str) -> bool | int | float | str | None:
    """A default's text as a Python value; text that is no literal is returned as it is."""
    if text in _NAMED_LITERALS:
        return _NAMED_LITERALS[text]
    if text.removeprefix("-").isdecimal():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text[1:-1] if text[:1] in ("'", '"') and text[:1] == text[-1:] else text


def parse_schema(text: str) -> OpSchema:
    """Parse what follows an op's name in its schema.

    Raises :class:`SchemaError` with the offending part.
    """
    text = text.strip()
    end = _matching(text, 0)
    arrow = text[end + 1 :].strip()
    if not arrow.startswith("->"):
        raise SchemaError(f"a schema needs '->' after its arguments: {text}")
    arguments: list[SchemaArgument] = []
    keyword_only = variadic = False
    for part in _split(text[1:end]):
        if part == "*":
            keyword_only = True
        elif part == "...":
            variadic = True
        else:
            arguments.append(_argument(part, keyword_only=keyword_only))
    return OpSchema(tuple(arguments), tuple(_returns(arrow[2:].strip())), variadic)


def _returns(text: str) -> Iterator[SchemaReturn]:
    if text.startswith("(") and _matching(text, 0) == len(text) - 1:
        parts = _split(text[1:-1])
    elif text == "...":
        parts = []
    else:
        parts = [text]
    for part in parts:
        type_, alias, written, rest = _type(part)
        yield SchemaReturn(rest or None, type_, alias, written)


def _argument(part: str, *, keyword_only: bool) -> SchemaArgument:
    type_, alias, written, rest = _type(part)
    name, equals, default = rest.partition("=")
    if not name:
        raise SchemaError(f"an argument has no name: {part}")
    return SchemaArgument(name, type_, default if equals else None, keyword_only, alias, written)


def _type(part: str) -> tuple[str, str | None, bool, str]:
    """The type without annotations, the alias set, whether it is written, and what follows the type."""
    end = next((at for at, letter in _top_level(part) if letter == " "), len(part))
    type_ = part[:end]
    annotations = _ANNOTATION.findall(type_)
    alias = next((before for before, _, _ in annotations if before), None)
    return _ANNOTATION.sub("", type_), alias, any(mark for _, mark, _ in annotations), part[end:].strip()


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no parentheses and no string."""
    parts, start = [], 0
    for at, letter in _top_level(text):
        if letter == ",":
            parts.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last or parts else []


def _matching(text: str, start: int) -> int:
    """Where the parenthesis that opens at ``start`` closes."""
    if text[start : start + 1] != "(":
        raise SchemaError(f"a schema begins with '(': {text}")
    for at, letter in _top_level(text[start + 1 :]):
        if letter == ")":
            return start + 1 + at
    raise SchemaError(f"unbalanced parentheses: {text}")


def _top_level(text: str) -> Iterator[tuple[int, str]]:
    """The characters outside of brackets and strings, with their positions.

    A closing bracket without an opening one is reported too.
    """
    depth = 0
    quote = ""
    escaped = False
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and not escaped
        elif letter in "\"'":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING and depth:
            depth -= 1
        elif not depth:
            yield at, letter

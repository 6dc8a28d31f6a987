"""torch's schema language, parsed: ``(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)``.

The language is the one of ``native_functions.yaml`` and of what ``str(torch._C.FunctionSchema)`` prints. Alias
annotations are what graphlint reads it for: ``(a)`` names a set of storages, ``(a!)`` says that it is written,
``(a -> *)`` that the argument joins the wildcard set (its results come in a list), ``(a! -> a|b)`` that it may be
of several sets afterwards.
"""

import re

import msgspec

from graphlint.artifact.errors import GraphlintError
from graphlint.artifact.patterns import pattern

_GROUP = r"\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]"  # what stands in brackets, with brackets in it
_STRING = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\''
_PART = pattern(
    rf"(?P<type>(?:{_GROUP}|[^\s,()\[\]])+)(?: +(?P<name>\w+)(?:=(?P<default>(?:{_STRING}|{_GROUP}|[^,])+))?)?"
)
_SCHEMA = pattern(r"\((.*)\)\s*->\s*(.+)", re.DOTALL)
# `$0` is a set that torch has named itself: that of an argument which was registered as `Tensor!`, without a name.
_SET = r"(?:\*|\$?[A-Za-z0-9]+(?:\|[A-Za-z0-9]+)*)"
# Only these can carry an annotation, which tells it from the parentheses of `Dict(str, Tensor)` and `Future(t)`.
_ANNOTATION = pattern(rf"(?:(?<=Tensor)|(?<=\])|(?<=\?)|(?<=\bt))\(({_SET})?(!)?(?:\s*->\s*({_SET})?)?\)")
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
    sides = _SCHEMA.fullmatch(text.strip())
    if sides is None:
        raise SchemaError(f"a schema is arguments in parentheses, '->' and what is returned: {text}")
    arguments: list[SchemaArgument] = []
    keyword_only = variadic = False
    for type_, name, default in _PART.findall(sides[1]):
        if name:
            plain, alias, written = _annotated(type_)
            arguments.append(SchemaArgument(name, plain, default or None, keyword_only, alias, written))
        elif type_ not in ("*", "..."):
            raise SchemaError(f"an argument has no name: {type_}")
        keyword_only = keyword_only or type_ == "*"
        variadic = variadic or type_ == "..."
    returned = sides[2].strip()
    parts = _PART.findall(returned[1:-1] if returned.startswith("(") and returned.endswith(")") else returned)
    returns = (SchemaReturn(name or None, *_annotated(type_)) for type_, name, _ in parts if type_ != "...")
    return OpSchema(tuple(arguments), tuple(returns), variadic)


def _annotated(type_: str) -> tuple[str, str | None, bool]:
    """A type without annotations, the alias set, and whether it is written."""
    annotations = _ANNOTATION.findall(type_)
    alias = next((before for before, _, _ in annotations if before), None)
    return _ANNOTATION.sub("", type_), alias, any(mark for _, mark, _ in annotations)

"""torch's schema language, parsed: ``(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)``.

The language is the one of ``native_functions.yaml`` and of what ``str(torch._C.FunctionSchema)`` prints. Alias
annotations are what graphlint reads it for: ``(a)`` names a set of storages, ``(a!)`` says that it is written,
``(a -> *)`` that the argument joins the wildcard set (its results come in a list), ``(a! -> a|b)`` that it may be
of several sets afterwards.
"""

from collections.abc import Iterator

import msgspec

from graphlint.artifact.errors import GraphlintError
from graphlint.artifact.patterns import pattern

_STRING = pattern(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_ANNOTATED = ("Tensor", "]", "?", " t", "(t")
"""What can carry an annotation, which tells it from the parentheses of ``Dict(str, Tensor)`` and ``Future(t)``."""
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
    taken, returned = _sides(text)
    arguments: list[SchemaArgument] = []
    keyword_only = variadic = False
    for type_, name, default in _parts(taken[1:-1]):
        if name:
            plain, alias, written = _annotated(type_)
            arguments.append(SchemaArgument(name, plain, default or None, keyword_only, alias, written))
        elif type_ not in ("*", "..."):
            raise SchemaError(f"an argument has no name: {type_}")
        keyword_only = keyword_only or type_ == "*"
        variadic = variadic or type_ == "..."
    parts = _parts(returned[1:-1] if returned.startswith("(") and returned.endswith(")") else returned)
    returns = (SchemaReturn(name or None, *_annotated(type_)) for type_, name, _ in parts if type_ != "...")
    return OpSchema(tuple(arguments), tuple(returns), variadic)


def _sides(schema: str) -> tuple[str, str]:
    """The arguments, in their parentheses, and what is returned. Raises :class:`SchemaError`."""
    taken, arrow, returned = schema.rpartition("->")
    while arrow and not taken.rstrip().endswith(")"):  # the arrow of an annotation
        taken, arrow, more = taken.rpartition("->")
        returned = f"{more}->{returned}"
    taken, returned = taken.strip(), returned.strip()
    if not (taken.startswith("(") and returned):
        raise SchemaError(f"a schema is arguments in parentheses, '->' and what is returned: {schema}")
    return taken, returned


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Type, name and default of what commas separate, outside of brackets and strings. Raises :class:`SchemaError`."""
    shape = text
    if '"' in text or "'" in text:
        shape = _STRING.sub(lambda found: "_" * len(found[0]), text)
    start = end = depth = 0
    for piece in shape.split(","):
        depth += piece.count("(") + piece.count("[") - piece.count(")") - piece.count("]")
        end += len(piece) + 1
        if depth == 0 or end > len(shape):
            part = text[start : end - 1].strip()
            start = end
            head, default = map(str.strip, [*part.split("=", 1), ""][:2])
            type_, _, name = head.rpartition(" ")
            if not (type_ and name.isidentifier()):
                type_, name = head, ""
            if depth or (" " in type_.strip() and "(" not in type_):
                raise SchemaError(f"an argument is a type and a name: {part}")
            if part:
                yield type_.strip(), name, default


def _annotated(type_: str) -> tuple[str, str | None, bool]:
    """A type without annotations, the alias set, and whether it is written."""
    plain, alias, written = "", None, False
    rest = type_
    while rest:
        before, parenthesis, rest = rest.partition("(")
        plain += before
        if parenthesis and f" {plain}".endswith(_ANNOTATED):
            said, _, rest = rest.partition(")")
            # `$0` is a set that torch has named itself: that of an argument which was registered as `Tensor!`.
            before = said.partition("->")[0].strip()
            alias = alias or before.removesuffix("!") or None
            written = written or before.endswith("!")
        else:
            plain += parenthesis
    return plain, alias, written

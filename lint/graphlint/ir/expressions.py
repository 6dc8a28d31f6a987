"""Symbolic sizes: the expressions of recorded metadata, compared and printed without sympy.

Files hold them in two spellings: as people write them (``2*s0 + 1``, torch 2.1 to 2.5) and as sympy's
constructor calls (``Add(Mul(Integer(2), Symbol('s0', positive=True, integer=True)), Integer(1))``, torch 2.6
and later). Both become a polynomial with integer coefficients over atoms; an atom is a symbol or a function
of expressions (``FloorDiv(s0, 2)``). Two expressions that have the same polynomial are equal for all values of
their symbols. The reverse does not hold: different polynomials over functions may still be equal, so a
comparison that says "different" means "not known to be equal".
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache, reduce
from operator import mul
from typing import Final

from graphlint.artifact.errors import ProgramError
from graphlint.artifact.patterns import pattern

_TOKEN: Final = pattern(r"""\d+(?:\.\d+)?|[A-Za-z_][\w.]*|'[^']*'|"[^"]*"|//|\*\*|>=|<=|==|!=|\S""")
_NAME: Final = pattern(r"[A-Za-z_]")
_Monomial = tuple[tuple[str, int], ...]
_OPERATORS: Final = {"*": "Mul", "/": "IntTrueDiv", "//": "FloorDiv", "%": "Mod"}
_COMPARISONS: Final = {
    "GreaterThan": ">=",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "StrictLessThan": "<",
    "Equality": "==",
    "Eq": "==",
    "Unequality": "!=",
    "Ne": "!=",
}
_FLOOR: Final = "Max(1, "
_MAX_TERMS: Final = 32
_MAX_FACTORS: Final = 64
"""Of the atoms in a term."""
_MAX_LENGTH: Final = 1 << 16
"""Characters of an expression: what is longer is an atom. torch, too, would take minutes for more."""
_MAX_DEPTH: Final = 50
_MAX_NAME: Final = 1000
_MAX_BITS: Final = 256
"""Of a number to some power: what is larger stays a power."""


class Expression:
    """A polynomial over atoms: ``{((atom, power), ...): coefficient}``, without zero coefficients."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[_Monomial, int]) -> None:
        self.terms = {monomial: factor for monomial, factor in terms.items() if factor}

    @classmethod
    def number(cls, value: int) -> Expression:
        return cls({(): value})

    @classmethod
    def atom(cls, name: str) -> Expression:
        if len(name) > _MAX_NAME:
            # Repeated in each term of a product, long names would grow without bounds: a digest stands for them.
            from hashlib import sha256

            name = f"Large_{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        return cls({((name, 1),): 1})

    @classmethod
    def total(cls, parts: Iterable[Expression]) -> Expression:
        """The sum of many: one after the other, each sum would be copied for the next."""
        terms: dict[_Monomial, int] = {}
        for part in parts:
            for monomial, factor in part.terms.items():
                terms[monomial] = terms.get(monomial, 0) + factor
        return cls(terms)

    def __add__(self, other: Expression) -> Expression:
        return Expression.total((self, other))

    def __neg__(self) -> Expression:
        return Expression({monomial: -factor for monomial, factor in self.terms.items()})

    def __sub__(self, other: Expression) -> Expression:
        return self + -other

    def __mul__(self, other: Expression) -> Expression:
        if len(self.terms) * len(other.terms) > _MAX_TERMS or self._factors() + other._factors() > _MAX_FACTORS:
            return Expression.atom(f"(({self})*({other}))")
        terms: dict[_Monomial, int] = {}
        for left, left_factor in self.terms.items():
            for right, right_factor in other.terms.items():
                monomial = _times(left, right) if left and right else left or right
                terms[monomial] = terms.get(monomial, 0) + left_factor * right_factor
        return Expression(terms)

    def _factors(self) -> int:
        return max(map(len, self.terms), default=0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    @property
    def constant(self) -> int | None:
        """The number, where the expression is one."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        parts: list[str] = []
        for monomial, factor in sorted(self.terms.items(), key=lambda term: (term[0] == (), term[0])):
            symbols = "*".join(name if power == 1 else f"{name}**{power}" for name, power in monomial)
            size = abs(factor)
            body = str(size) if not symbols else symbols if size == 1 else f"{size}*{symbols}"
            sign = "-" if factor < 0 else "+"
            parts.append(f"{sign} {body}" if parts else body if factor > 0 else f"-{body}")
        return " ".join(parts)


def _times(left: _Monomial, right: _Monomial) -> _Monomial:
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


@lru_cache(maxsize=1 << 14)
def parse_expression(text: str) -> Expression:
    """Parse either spelling. Raises :class:`ProgramError` where the text is no expression."""
    if len(text) > _MAX_LENGTH:
        raise ProgramError(f"a symbolic expression of {len(text)} characters")
    # The next token stands last. An empty one marks the end.
    tokens = ["", *reversed(_TOKEN.findall(text))]
    try:
        result = _comparison(tokens, 0)
        _expect(tokens, "")
    except (IndexError, ValueError):
        raise ProgramError(f"not a symbolic expression: {text!r}") from None
    return result


def as_expression(size: int | str) -> Expression:
    """The expression of a size. What does not parse (a function of a newer torch, say) is an atom: equal to
    itself only.
    """
    if isinstance(size, int):
        return Expression.number(size)
    try:
        return parse_expression(size)
    except ProgramError:
        return Expression.atom(size or "?")


def canonical(size: int | str) -> str:
    """One spelling for all that are known to be equal: ``s77``, ``2*s0 + 1``, ``4``."""
    return str(as_expression(size))


@lru_cache(maxsize=1 << 14)
def stride_of(size: str) -> int | str:
    """A stride in its canonical spelling without the floors of 1 that torch gives it, ``Max(1, s0 - 1)``. They count
    where a size is 0; then there are no elements to be found.
    """
    terms = as_expression(size).terms if _FLOOR in size else {}
    if not terms or any(power > _MAX_FACTORS for monomial in terms for _, power in monomial):
        return size
    parts: list[Expression] = []
    for monomial, factor in terms.items():
        factors = [_unfloored(atom) for atom, power in monomial for _ in range(power)]
        parts.append(reduce(mul, factors, Expression.number(factor)))
    found = Expression.total(parts)
    return str(found) if found.constant is None else found.constant


def _unfloored(atom: str) -> Expression:
    with suppress(ProgramError):
        if atom.startswith(_FLOOR):
            return parse_expression(atom[len(_FLOOR) : -1])  # of more arguments, it is no expression
    return as_expression(atom)


# Recursive descent over both spellings at once: a constructor call is a function call.


def _comparison(tokens: list[str], depth: int) -> Expression:
    left = _sum(tokens, depth)
    while tokens[-1] in (">=", "<=", ">", "<", "==", "!=", "&", "|"):
        operator = tokens.pop()
        left = Expression.atom(f"{left} {operator} {_sum(tokens, depth)}")
    return left


def _sum(tokens: list[str], depth: int) -> Expression:
    parts = [_product(tokens, depth)]
    while tokens[-1] in ("+", "-"):
        operator = tokens.pop()
        right = _product(tokens, depth)
        parts.append(right if operator == "+" else -right)
    return Expression.total(parts)


def _product(tokens: list[str], depth: int) -> Expression:
    left = _factor(tokens, depth)
    while tokens[-1] in _OPERATORS:
        operator = tokens.pop()
        left = _call(_OPERATORS[operator], [left, _factor(tokens, depth)])
    return left


def _factor(tokens: list[str], depth: int) -> Expression:
    if depth > _MAX_DEPTH:
        raise ValueError("too deep")
    token = tokens.pop()
    if token == "-":
        return -_factor(tokens, depth + 1)
    if token == "~":
        return _call("Not", [_factor(tokens, depth + 1)])
    if token == "(":
        base = _comparison(tokens, depth + 1)
        _expect(tokens, ")")
    elif token.isdigit():
        base = Expression.number(int(token))
    elif len(token) > 1 and token[0] in "'\"":
        base = Expression.atom(token[1:-1])
    elif _NAME.match(token) and tokens[-1] == "(":
        base = _call(token, _arguments(tokens, depth + 1))
    elif _NAME.match(token) or token[0].isdigit():
        base = Expression.atom(token)
    else:
        raise ValueError(token)
    if tokens[-1] == "**":
        tokens.pop()
        return _call("Pow", [base, _factor(tokens, depth + 1)])
    return base


def _arguments(tokens: list[str], depth: int) -> list[Expression]:
    _expect(tokens, "(")
    arguments: list[Expression] = []
    while tokens[-1] != ")":
        if tokens[-2] == "=":
            del tokens[-3:]  # an assumption about a symbol: Symbol('s0', positive=True)
        else:
            arguments.append(_comparison(tokens, depth))
        if tokens[-1] == ",":
            tokens.pop()
    _expect(tokens, ")")
    return arguments


def _expect(tokens: list[str], token: str) -> None:
    if tokens.pop() != token:
        raise ValueError(token)


def _call(name: str, arguments: list[Expression]) -> Expression:
    if name in ("Symbol", "Integer", "Dummy") and len(arguments) == 1:
        return arguments[0]
    if name == "Add" and arguments:
        return Expression.total(arguments)
    if name == "Mul" and arguments:
        return reduce(mul, arguments)
    if name == "Pow" and len(arguments) == 2:
        base, power = arguments[0], arguments[1].constant
        if power is not None and power >= 0 and len(base.terms) == 1:
            ((monomial, factor),) = base.terms.items()
            if factor.bit_length() * power <= _MAX_BITS or abs(factor) == 1:
                return Expression(
                    {tuple((atom, exponent * power) for atom, exponent in monomial if power): factor**power}
                )
        elif power is not None and 0 <= power <= 8:
            return reduce(mul, [base] * power, Expression.number(1))
    if name in _COMPARISONS and len(arguments) == 2:
        return Expression.atom(f"{arguments[0]} {_COMPARISONS[name]} {arguments[1]}")
    return Expression.atom(f"{name.rpartition('.')[2]}({', '.join(map(str, arguments))})")

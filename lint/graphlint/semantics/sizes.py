"""What is known of symbolic sizes from the ranges that the artifact gives their symbols."""

import re
from typing import Final

from graphlint.artifact.patterns import pattern
from graphlint.ir.expressions import as_expression
from graphlint.ir.model import Graph, Program

_UNBOUNDED: Final = 1 << 31
"""From here on a bound is none: torch writes such numbers where nobody has said one, and memory has no such sizes."""
_SYMBOL: Final = pattern(r"\b[su]\d+\b")


class Sizes:
    """The sizes of one program."""

    def __init__(self, program: Program) -> None:
        self._lowest: dict[str, int] = {}
        self._bounded: set[str] = set()
        for symbol, bounds in program.range_constraints.items():
            low, high = (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else bounds
            if isinstance(low, int) and low >= 0:
                self._lowest[symbol] = low
            if isinstance(high, int) and high < _UNBOUNDED:
                self._bounded.add(symbol)

    def is_bounded(self, size: int | str) -> bool:
        """Whether every symbol in a size has an upper bound."""
        return isinstance(size, int) or self._bounded.issuperset(_SYMBOL.findall(size))

    def may_be_one(self, size: int | str) -> bool:
        """Whether the size is 1, or could be. Export traces a symbolic size as if it were not, whatever its range."""
        constant, lowest = as_expression(size).constant, self.lowest(size)
        return constant == 1 if constant is not None else lowest is None or lowest < 2

    def lowest(self, size: int | str) -> int | None:
        """What a size or position is not below; None where that is not known."""
        lowest = 0
        for monomial, factor in as_expression(size).terms.items():
            term = factor
            for atom, power in monomial:
                least = self._lowest_of_atom(atom)
                if factor < 0 or least is None:
                    return None
                term *= least ** min(power, 2)
            lowest += term
        return lowest

    def _lowest_of_atom(self, atom: str) -> int | None:
        quotient = re.fullmatch(r"FloorDiv\((.*), ([1-9]\d*)\)", atom)
        if quotient is None:
            return self._lowest.get(atom)
        lowest = self.lowest(quotient[1])
        return None if lowest is None or lowest < 0 else lowest // int(quotient[2])


def expression_of(graph: Graph, symbol: str) -> str | None:
    """What is recorded of a symbolic integer of a graph, None where that is no expression."""
    recorded = graph.sym_int_values.get(symbol)
    expression = recorded.get("as_expr") if isinstance(recorded, dict) else None
    spelled = expression.get("expr_str") if isinstance(expression, dict) else None
    return spelled if isinstance(spelled, str) else None

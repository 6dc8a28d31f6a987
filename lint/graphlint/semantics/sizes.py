"""What is known of symbolic sizes from the ranges that the artifact gives their symbols."""

from graphlint.ir.expressions import as_expression
from graphlint.ir.model import Graph, Program


class Sizes:
    """The sizes of one program."""

    def __init__(self, program: Program) -> None:
        self._lowest: dict[str, int] = {}
        for symbol, bounds in program.range_constraints.items():
            low = bounds.get("min_val") if isinstance(bounds, dict) else bounds[0]
            if isinstance(low, int) and low >= 0:
                self._lowest[symbol] = low

    def may_be_one(self, size: int | str) -> bool:
        """Whether the size is 1, or could be. Export traces a symbolic size as if it were not, whatever its range."""
        expression = as_expression(size)
        if expression.constant is not None:
            return expression.constant == 1
        lowest = 0
        for monomial, factor in expression.terms.items():
            term = factor
            for atom, power in monomial:
                if factor < 0 or atom not in self._lowest:
                    return True
                term *= self._lowest[atom] ** min(power, 2)
            lowest += term
        return lowest < 2


def expression_of(graph: Graph, symbol: str) -> str | None:
    """What is recorded of a symbolic integer of a graph, None where that is no expression."""
    recorded = graph.sym_int_values.get(symbol)
    expression = recorded.get("as_expr") if isinstance(recorded, dict) else None
    spelled = expression.get("expr_str") if isinstance(expression, dict) else None
    return spelled if isinstance(spelled, str) else None

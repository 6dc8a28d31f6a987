"""Emitting nodes: names, operands by schema, metadata, sizes that are symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from graphlint.ir.arguments import Json, tensor
from graphlint.ir.document import Dialect, GraphEdit
from graphlint.ir.expressions import as_expression, canonical
from graphlint.ops.table import OpTable
from graphlint.passes.mutation.values import Meta, Size, Value
from graphlint.semantics.sizes import Sizes


class Obstacle(Exception):  # noqa: N818  # not an error: the reason why a storage's writes stay as they are
    """A write cannot be functionalized."""


class Twin(msgspec.Struct, frozen=True):
    """What takes the place of a writing op."""

    metas: list[Meta]
    """Of its results."""
    disposable: bool
    """Whether it may go when nobody uses them."""


class Builder:
    """Appends nodes to an edited graph. ``source`` is the metadata (stack trace, module path) that new nodes get."""

    def __init__(
        self, edit: GraphEdit, dialect: Dialect, ops: OpTable, symbols: Mapping[str, Json], known: Sizes
    ) -> None:
        """``symbols`` are the symbolic integers that the graph's own inputs and nodes define, with what is recorded
        of each; only those that :meth:`define` has announced are used. ``known`` is what their ranges tell.
        """
        self.known = known
        self.edit = edit
        self.dialect = dialect
        self.source: Json = {}
        self.twins: dict[tuple[object, ...], Twin] = {}
        """Those that are known, by all that they depend on."""
        self._ops = ops
        self._symbols = symbols
        self._defined: dict[Size, str] = {}
        self.new_symbols: dict[str, Json] = {}
        self.disposable: set[str] = set()
        """Results of nodes that compute nothing on their own account (casts, scatters, …): they may go when nobody uses
        them, where a twin must stay, which can raise or draw as the op did that it stands for.
        """

    def define(self, names: Sequence[str]) -> None:
        """These symbolic integers are defined from here on."""
        if not self._symbols:
            return
        for name in names:
            expression = (self._symbols.get(name) or {}).get("as_expr")
            if isinstance(expression, dict):
                self._defined.setdefault(canonical(str(expression.get("expr_str"))), name)

    def emit(
        self, op: str, arguments: Sequence[Json], meta: Meta, stem: str, keywords: Mapping[str, Json] | None = None
    ) -> Value:
        """Append a node with one tensor result, which may go when nobody uses it."""
        (value,) = self.emit_all(op, arguments, [meta], stem, keywords)
        self.disposable.add(value.name)
        return value

    def emit_all(
        self,
        op: str,
        arguments: Sequence[Json],
        metas: Sequence[Meta],
        stem: str,
        keywords: Mapping[str, Json] | None = None,
        *,
        as_list: bool = False,
    ) -> list[Value]:
        """Append a node with several tensor results, or one list of tensors; positional ``arguments`` get their
        names from the op's schema.
        """
        operands = self._operands(op, arguments, keywords or {})
        values = [Value(self.edit.claim(stem), meta) for meta in metas]
        for value in values:
            self.edit.record(value.name, value.meta.raw)
        outputs = [tensor(value.name) for value in values]
        if as_list:
            outputs = [{"as_tensors": [{"name": value.name} for value in values]}]
        node: Json = {"target": f"torch.ops.{op}", "inputs": operands, "outputs": outputs, "metadata": self.source}
        self._finish(node, values[0].name if len(outputs) == 1 and not as_list else None, op)
        return values

    def _operands(self, op: str, arguments: Sequence[Json], keywords: Mapping[str, Json]) -> list[Json]:
        info = self._ops.lookup(op)
        if info is None or info.schema is None:
            raise AssertionError(f"{op} is not in the table of ops")
        names = [argument.name for argument in info.schema.arguments]
        operands = [self.dialect.operand(name, value) for name, value in zip(names, arguments, strict=False)]
        return operands + [self.dialect.operand(name, value, keyword=True) for name, value in keywords.items()]

    def _finish(self, node: Json, name: str | None, op: str) -> None:
        if self.dialect.single_return_flag:
            node["is_hop_single_tensor_return"] = None
        if self.dialect.names:
            node["name"] = name or self.edit.claim(op.split(".")[1])
        self.edit.nodes.append(node)

    def sizes(self, like: Value, shape: Sequence[Size], raw: Sequence[Json]) -> Json:
        """The argument for a list of sizes. Symbolic ones are read off ``like``, which must have them, or off a
        symbol that is defined already.
        """
        if all(isinstance(size, int) for size in shape):
            return {"as_ints": list(shape)}
        references: list[Json] = []
        for dim, size in enumerate(shape):
            if isinstance(size, int):
                references.append({"as_int": size})
            else:
                references.append({"as_name": self.symbol(like, size, raw[dim])})
        return {"as_sym_ints": references}

    def symbol(self, like: Value, size: Size, raw: Json) -> str:
        """The name of a symbolic integer of that value."""
        known = self._defined.get(size)
        if known is not None:
            return known
        for dim, candidate in enumerate(like.meta.shape):
            if as_expression(candidate) == as_expression(size):
                return self._size_of(like, dim, size, raw)
        raise Obstacle(f"no tensor at hand has size {size}")

    def _size_of(self, like: Value, dim: int, size: Size, raw: Json) -> str:
        name = self.edit.claim("sym_size_int")
        node: Json = {
            "target": "torch.ops.aten.sym_size.int",
            "inputs": self._operands("aten.sym_size.int", [tensor(like.name), {"as_int": dim}], {}),
            "outputs": [{"as_sym_int": {"as_name": name}}],
            "metadata": self.source,
        }
        self._finish(node, name, "aten.sym_size.int")
        self.new_symbols[name] = raw
        self.disposable.add(name)
        self._defined[size] = name
        return name

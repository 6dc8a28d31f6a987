"""Emitting nodes: names, operands by schema, metadata, sizes that are symbolic, and which memory a result lives in."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from graphlint.ir.edit import Dialect, GraphEdit, tensor, tensors
from graphlint.ir.expressions import Expression, as_expression, canonical
from graphlint.ir.model import Argument, NamedArgument, SymExpr, SymRef, SymSize
from graphlint.ir.strides import Size
from graphlint.ops.info import OpInfo, Role
from graphlint.ops.table import op_of
from graphlint.passes.functionalize.metas import Meta, Obstacle, Value
from graphlint.semantics.memory import Memory
from graphlint.semantics.sizes import Sizes, expression_of


class Result(msgspec.Struct, frozen=True):
    """A result of a functional twin."""

    meta: Meta
    laid_out: bool
    """Whether it is known to be laid out so."""
    told: bool
    """Whether its dtype is known."""


class Twin(msgspec.Struct, frozen=True):
    """What takes the place of a writing op."""

    results: list[Result]
    disposable: bool
    """Whether it may go when nobody uses them."""
    inexact: str
    """Why one may round otherwise than what it takes the place of; empty where none does."""


class Builder:
    """Appends nodes to an edited graph. ``source`` is the metadata (stack trace, module path) that new nodes get."""

    def __init__(self, edit: GraphEdit, dialect: Dialect, known: Sizes, memory: Memory) -> None:
        """``known`` is what is known of symbolic sizes, ``memory`` that of the original program."""
        self.known = known
        self.edit = edit
        self.dialect = dialect
        self.source: dict[str, str] = {}
        self.twins: dict[tuple[object, ...], Twin] = {}
        """Those that are known, by all that they depend on."""
        self.renamings: dict[str, dict[str, str]] = {}
        """What the twin of an op calls the op's arguments, by the op's name."""
        self._defined: dict[Size, str] = {}
        self._memory = memory
        self.roots: dict[str, str] = {}
        """Which memory a value lives in: the name of the value that it was made as."""
        self._known_roots: dict[str, str] = {}
        """The same of values of the original program, once somebody has asked."""
        self.born: dict[str, int] = {}
        """Where in ``edit.nodes`` a value is made."""
        self.last_read: dict[str, int] = {}
        """Where in ``edit.nodes`` a memory is read last."""
        self.starts: dict[int, list[Expression]] = {}
        """Where the pieces begin that a dimension is cut into, by the identity of what is recorded of them."""
        self.new_symbols: dict[str, Any] = {}
        """What is recorded of symbolic integers that are new."""
        self.disposable: set[str] = set()
        """Results of nodes that compute nothing on their own account (casts, scatters, …): they may go when nobody uses
        them, where a twin must stay, which can raise or draw as the op did that it stands for.
        """

    def define(self, names: Sequence[str]) -> None:
        """These symbolic integers are defined from here on."""
        for name in names if self.edit.graph.sym_int_values else ():
            expression = expression_of(self.edit.graph, name)
            if expression is not None:
                self._defined.setdefault(canonical(expression), name)

    def root(self, name: str) -> str:
        """Which memory a value lives in."""
        root = self.roots.get(name) or self._known_roots.get(name)
        if root is None:
            ref = self._memory.known(self.edit.graph, name)
            root = self._known_roots[name] = name if ref is None else ref.base.name
        return root

    def append(self, node: Any) -> None:
        """Append a node, and note what it reads."""
        place = len(self.edit.nodes)
        for operand in node.inputs:
            read = operand.arg.as_tensor
            for name in operand.arg.tensors() if read is None else (read.name,):
                if name is not None:
                    self.last_read[self.root(name)] = place
        self.edit.nodes.append(node)

    def emit(self, role: Role, arguments: Sequence[Argument], meta: Meta, **keywords: Argument) -> Value:
        """Append a node with one tensor result, which may go when nobody uses it."""
        op = op_of(role)
        (value,) = self.emit_all(op, self.operands(op, arguments, **keywords), [meta])
        self.disposable.add(value.name)
        return value

    def emit_all(
        self,
        op: OpInfo,
        operands: list[NamedArgument],
        metas: Sequence[Meta],
        stem: str = "",
        lists: Sequence[int] = (),
    ) -> list[Value]:
        """Append a node with several tensor results, or the lists of tensors that the op returns; ``lists`` says how
        long each is, where there are several.
        """
        values = [Value(self.edit.claim(stem or op.packet), meta) for meta in metas]
        names = [value.name for value in values]
        listed = op.schema is not None and op.schema.returns[0].type.endswith("[]")
        left = iter(names)
        lengths = lists or [len(names)]
        outputs = [tensors(list(islice(left, length))) for length in lengths] if listed else list(map(tensor, names))
        name = names[0] if len(names) == 1 and not listed else ""
        if not name and self.dialect.names:
            name = self.edit.claim(op.packet)
        self.append(self.dialect.node(op.target, operands, outputs, name, self.source))
        # The operand whose memory the results show, or may show.
        viewed = {rule.argument for rule in op.aliases} if op.aliases else ()
        shown = next((one.arg.as_tensor.name for one in operands if one.name in viewed and one.arg.as_tensor), None)
        for value in values:
            self.note(value, shown)
        return values

    def note(self, value: Value, shown: str | None) -> None:
        """Note a result of the node that was appended last; ``shown`` is the value whose memory it shows."""
        self.edit.record(value.name, value.meta.raw)
        self.roots[value.name] = value.name if shown is None else self.root(shown)
        self.born[value.name] = len(self.edit.nodes) - 1

    def operands(self, op: OpInfo, arguments: Sequence[Argument], **keywords: Argument) -> list[NamedArgument]:
        """Operands for an op; positional ``arguments`` get their names from its schema, if it has one."""
        names = [argument.name for argument in op.schema.arguments] if op.schema is not None else ["a", "b"]
        operands = [self.dialect.operand(name, value) for name, value in zip(names, arguments, strict=False)]
        return operands + [self.dialect.operand(name, value, keyword=True) for name, value in keywords.items()]

    def sizes(self, like: Value, shape: Sequence[Size], raw: Sequence[SymSize]) -> Argument:
        """The argument for a list of sizes. Symbolic ones are read off ``like``, which must have them, or off a
        symbol that is defined already.
        """
        numbers = [size for size in shape if isinstance(size, int)]
        if len(numbers) == len(shape):
            return Argument(as_ints=numbers)
        return Argument(
            as_sym_ints=[
                SymRef(as_int=size) if isinstance(size, int) else SymRef(as_name=self.symbol(like, size, raw[dim]))
                for dim, size in enumerate(shape)
            ]
        )

    def symbol(self, like: Value, size: Size, raw: SymSize) -> str:
        """The name of a symbolic integer of that value."""
        known = self._defined.get(size)
        if known is not None:
            return known
        for dim, candidate in enumerate(like.meta.shape):
            if as_expression(candidate) == as_expression(size):
                arguments = [tensor(like.name), Argument(as_int=dim)]
                return self._computed("size", arguments, "sym_size_int", size, raw)
        raise Obstacle(f"no tensor at hand has size {size}")

    def size(self, like: Value, dim: int) -> Argument:
        """The argument for the size of a dimension."""
        size = like.meta.shape[dim]
        if isinstance(size, int):
            return Argument(as_int=size)
        return Argument(as_sym_int=SymRef(as_name=self.symbol(like, size, like.meta.sizes[dim])))

    def computed(self, role: Role, one: Argument, other: Argument, result: Expression) -> Argument:
        """The sum, the product or the difference of two integers, which is the expression ``result``."""
        if result.constant is not None:
            return Argument(as_int=result.constant)
        expression = str(result)
        name = self._defined.get(expression)
        if name is None:
            name = self._computed(
                role, [one, other], op_of(role).packet, expression, SymSize(as_expr=SymExpr(expression))
            )
        return Argument(as_sym_int=SymRef(as_name=name))

    def expression(self, number: Argument) -> Expression | None:
        """What an integer of the graph is; None where nothing is recorded of it."""
        if number.as_int is not None:
            return as_expression(number.as_int)
        name = number.as_sym_int.as_name if number.as_sym_int is not None else None
        known = expression_of(self.edit.graph, name) if name is not None else None
        return None if known is None else as_expression(known)

    def _computed(self, role: Role, arguments: list[Argument], stem: str, size: Size, raw: SymSize) -> str:
        """The name of a symbolic integer that a new node computes."""
        op, name = op_of(role), self.edit.claim(stem)
        outputs = [Argument(as_sym_int=SymRef(as_name=name))]
        self.append(self.dialect.node(op.target, self.operands(op, arguments), outputs, name, self.source))
        self.new_symbols[name] = msgspec.to_builtins(raw)
        self.disposable.add(name)
        self._defined[size] = name
        return name

"""Whether what an artifact records of its values is what torch computes."""

import copy
import operator
from functools import partial
from typing import Any

import torch
from torch.fx import Interpreter
from torch.utils import _pytree as pytree

Mismatches = dict[str, str]
"""A value's name to what is wrong with its record."""


class Recorder(Interpreter):
    """Runs a graph and compares every tensor with what is recorded of it."""

    def __init__(
        self,
        module: torch.fx.GraphModule,
        symbols: dict[Any, int],
        offsets: dict[str, int],
        found: Mismatches,
        path: str = "",
    ) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._symbols, self._offsets, self._found, self._path = symbols, offsets, found, path
        for name, child in module.named_children():
            if isinstance(child, torch.fx.GraphModule):
                child.forward = Recorder(child, symbols, offsets, found, f"{path}{name}.").run

    def run_node(self, node: torch.fx.Node) -> Any:
        """The node's result."""
        result = super().run_node(node)
        # Of several results, each is compared where it is taken out.
        taken_out = bool(node.users) and all(user.target is operator.getitem for user in node.users)
        if node.op in ("placeholder", "call_function") and not taken_out:
            self._compare(node, node.meta.get("val"), result)
        return result

    def _compare(self, node: torch.fx.Node, recorded: Any, actual: Any) -> None:
        pairs = zip(pytree.tree_leaves(recorded), pytree.tree_leaves(actual), strict=False)
        for expected, real in pairs:
            if isinstance(expected, torch.SymInt):
                self._bind(expected, int(real))
            if not isinstance(expected, torch.Tensor) or not isinstance(real, torch.Tensor):
                continue
            for size, number in zip(expected.shape, real.shape, strict=False):
                self._bind(size, number)
            # torch loads every value with offset 0: what is recorded of it is in the JSON only, under the names of
            # single results. What a subgraph records of its inputs is left as it was.
            offset = real.storage_offset() if self._path else self._offsets.get(node.name, real.storage_offset())
            described = partial(self._described, laid_out=not _laid_out_anew(node), cast=_cast_anew(node))
            said, is_so = described(expected, offset), described(real, real.storage_offset())
            if said != is_so:
                self._found[f"{self._path}{node.name}"] = f"{node.target}: recorded {said}, computed {is_so}"

    def _bind(self, size: Any, number: int) -> None:
        if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
            self._symbols.setdefault(size.node.expr, number)

    def _number(self, size: Any) -> Any:
        return size.node.expr.xreplace(self._symbols) if isinstance(size, torch.SymInt) else size

    def _described(self, tensor: torch.Tensor, offset: int, *, laid_out: bool, cast: bool) -> str:
        shape = [self._number(size) for size in tensor.shape]
        strides = [self._number(stride) for stride in tensor.stride()]
        # The stride of a dimension of size 1 moves nothing, and ops do not agree on it; nor do any without elements,
        # which begin nowhere.
        moves = [laid_out and size != 1 and 0 not in shape for size in shape]
        strides = [stride if moving else "any" for stride, moving in zip(strides, moves, strict=True)]
        begin = "any" if 0 in shape else offset
        dtype = "any" if cast else tensor.dtype
        return f"{dtype} {shape} strides {strides} offset {begin} {tensor.device} {tensor.layout}"


def _laid_out_anew(node: torch.fx.Node) -> bool:
    """Whether the value is only read to be copied to rows, since it is not known how it is laid out."""
    rows = {"memory_format": torch.contiguous_format}
    clone = torch.ops.aten.clone.default
    return bool(node.users) and all(user.target is clone and user.kwargs == rows for user in node.users)


def _cast_anew(node: torch.fx.Node) -> bool:
    """Whether the value is only read to be cast to the dtype that is recorded of it, since its own is not known."""
    value = node.meta.get("val")

    def casts(user: torch.fx.Node) -> bool:
        if user.target is torch.ops.aten._to_copy.default:
            return isinstance(value, torch.Tensor) and user.kwargs.get("dtype") == value.dtype
        return user.target is torch.ops.aten.clone.default and _cast_anew(user)

    return bool(node.users) and all(map(casts, node.users))


def mismatches(program: torch.export.ExportedProgram, tree: dict[str, Any], args: tuple[Any, ...]) -> Mismatches:
    """Values of the program that are recorded wrongly, found by running it on ``args``. ``tree`` is its JSON."""
    signature = program.graph_signature
    flat = iter(pytree.tree_leaves(copy.deepcopy(args)))
    inputs = []
    for spec in signature.input_specs:
        state = {**program.state_dict, **program.constants}
        value = state[spec.target] if spec.target is not None else next(flat)
        inputs.append(copy.deepcopy(value.detach()) if isinstance(value, torch.Tensor) else value)
    found: Mismatches = {}
    torch.manual_seed(0)
    # A parameter's clone takes no gradient, which regions that enable them would ask of an op that writes it.
    with torch.no_grad():
        offsets: dict[str, int] = {}
        for name, meta in tree["graph_module"]["graph"]["tensor_values"].items():
            offset = (meta.get("storage_offset") or {"as_int": 0}).get("as_int")
            if offset is not None:
                offsets[name] = offset
        Recorder(copy.deepcopy(program.graph_module), {}, offsets, found).run(*inputs)
    return found

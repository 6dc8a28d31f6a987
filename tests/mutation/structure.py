"""What a fixed program's JSON must look like, whatever was fixed."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
from tests.text_form import document_of

from graphlint.ir.model import Argument
from graphlint.ops.table import op_table
from graphlint.rules.view import ProgramView

from .trial import SETTINGS, DifferenceError

Json = dict[str, Any]
GLUE = frozenset(
    {
        "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter", "permute", "view", "reshape",
        "unsqueeze", "clone", "copy", "expand", "_to_copy", "full_like", "detach", "sym_size",
    }
)  # fmt: skip
"""Ops that the passes add on their own account, which must not be left over."""


def _metadata_checks(graph: Json) -> int:
    return sum("_assert_tensor_metadata" in node["target"] for node in all_nodes(graph))


def all_nodes(graph: Json) -> Iterator[Json]:
    """The nodes of a graph and of its subgraphs."""
    for node in graph["nodes"]:
        yield node
        for operand in node["inputs"]:
            if operand["arg"].get("as_graph"):
                yield from all_nodes(operand["arg"]["as_graph"]["graph"])


def check(before: Json, after: Json) -> None:
    """Raises DifferenceError where the fixed program is not built as it should be."""
    old, new = before["graph_module"], after["graph_module"]
    before_by_path = dict(graphs(old["graph"]))
    # What was moved here from a region may have another name; other than in what it reads, it is what it was.
    nodes = [_without_names(node) for node in all_nodes(old["graph"])]
    # What a region was handed but did not use stays where it was made when the region is inlined.
    inlined = _regions(new["graph"]) < _regions(old["graph"])
    # What only a check read stays where the check goes: which one cannot fire may come out when the writes are gone.
    checked = _metadata_checks(new["graph"]) < _metadata_checks(old["graph"])
    for path, graph in graphs(new["graph"]):
        originals = {name: node for node in before_by_path.get(path, {"nodes": []})["nodes"] for name in _results(node)}
        _check_graph(graph, originals, nodes)
        if not inlined and not checked:
            _check_uses(graph, originals, nodes)
    _check_origins(list(all_nodes(old["graph"])), list(all_nodes(new["graph"])))
    _check_modules(old["graph"], new["graph"])
    _check_calls(new)
    _check_label(after)


def _check_graph(graph: Json, originals: dict[str, Json], known: list[Json]) -> None:
    defined = {name for argument in graph["inputs"] for name in names(argument)}
    defined |= {name for output in graph["outputs"] for name in names(output) if output.get("as_none")}
    for node in graph["nodes"]:
        for operand in node["inputs"]:
            missing = set(names(operand["arg"])) - defined
            if missing:
                raise DifferenceError(f"{node['target']} reads {missing}, which is not defined there")
        results = _results(node)
        if len(set(results)) < len(results) or defined.intersection(results):
            raise DifferenceError(f"{results} of {node['target']} are defined already")
        defined.update(results)
        _check_node(node, originals, known)
    for output in graph["outputs"]:
        if not set(names(output)) <= defined:
            raise DifferenceError(f"the output {output} is not defined")
    recorded = set(graph["tensor_values"])
    tensors = {name for node in graph["nodes"] for output in node["outputs"] for name in _tensors(output)}
    tensors |= {name for argument in graph["inputs"] for name in _tensors(argument)}
    if recorded != tensors:
        raise DifferenceError(f"metadata of {recorded ^ tensors} without a value, or the other way round")


def _check_uses(graph: Json, originals: dict[str, Json], known: list[Json]) -> None:
    """Nothing was added that nobody uses. Twins of list ops come unnamed, and may raise, so that they stay."""
    used = {name for output in graph["outputs"] for name in names(output)}
    for node in graph["nodes"]:
        used.update(name for operand in node["inputs"] for name in names(operand["arg"]))
    for node in graph["nodes"]:
        results = _results(node)
        info = op_table().lookup(node["target"])
        glue = info is not None and info.name.split(".")[1] in GLUE
        new = originals.keys().isdisjoint(results) and _without_names(node) not in known
        if glue and new and used.isdisjoint(results):
            raise DifferenceError(f"{results[0]} = {node['target']} was added, but nobody uses it")


def _check_node(node: Json, originals: dict[str, Json], known: list[Json]) -> None:
    results = _results(node)
    original = originals.get(results[0]) if results else None
    if original is None or original["target"] != node["target"] or _has_graphs(node):
        return
    traces = [one["metadata"].get("stack_trace") for one in (node, original)]
    if traces[0] != traces[1] and node["target"].split(".")[-2] in GLUE:
        return  # it was made for another line, and has the name of a view that went
    if _without_names(node) != _without_names(original) and _without_names(node) not in known:
        raise DifferenceError(f"{results[0]} = {node['target']} changed in more than what it reads")


def _regions(graph: Json) -> int:
    return sum(node["target"].endswith(".wrap_with_set_grad_enabled") for node in all_nodes(graph))


def _check_origins(old: list[Json], new: list[Json]) -> None:
    """New nodes say where in the source they come from, as the nodes did that they stand for, and which module they are
    in now. What makes and copies tokens stands for none, and names the module that it is in at most.
    """

    def origin(node: Json) -> Json:
        # What graphlint itself notes there is for restoring, and no origin.
        left_out = ("graphlint.", "nn_module_stack")
        return {key: value for key, value in node["metadata"].items() if not key.startswith(left_out)}

    known = [origin(node) for node in old]
    for node in new:
        if not (all(name.startswith("dep_token") for name in _results(node)) and not origin(node)) and (
            origin(node) not in known
        ):
            raise DifferenceError(
                f"{_results(node)} = {node['target']} has metadata that no node had: {node['metadata']}"
            )


def _check_modules(old: Json, new: Json) -> None:
    """No module is entered that was not: ``torch.export.unflatten`` would take that for another call of it."""
    before, after = (  # what was in a region may have come out of it
        [key for key, _ in groupby(node["metadata"].get("nn_module_stack") for node in nodes)]
        for nodes in (all_nodes(old), new["nodes"])
    )
    rest = iter(before)
    if not all(stack in rest for stack in after):
        raise DifferenceError(f"modules are entered in another order: {before} before, {after} after")


def _check_calls(module: Json) -> None:
    graph = module["graph"]
    defined = {name for argument in graph["inputs"] for name in names(argument)}
    defined |= {name for node in graph["nodes"] for name in _results(node)}
    for entry in module["module_call_graph"]:
        signature = entry.get("signature") or {}
        for argument in (*signature.get("inputs", []), *signature.get("outputs", [])):
            missing = set(names(argument)) - defined
            if missing:
                raise DifferenceError(f"the call of {entry['fqn']!r} names {missing}, which are gone")


def _check_label(after: Json) -> None:
    document = document_of(after)
    if ProgramView(document, SETTINGS).labelled_wrongly:
        raise DifferenceError(f"a functional program is labelled {after.get('verifiers')}")


def graphs(graph: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """A graph and its subgraphs, each with its path: ``true_graph_0.`` for a branch of the root."""
    yield path, graph
    for node in graph["nodes"]:
        for operand in node["inputs"]:
            reference = operand["arg"].get("as_graph")
            if reference:
                yield from graphs(reference["graph"], f"{path}{reference['name']}.")


def _has_graphs(node: Json) -> bool:
    return any(operand["arg"].get("as_graph") for operand in node["inputs"])


def names(argument: Json) -> list[str]:
    """Tensors and symbols that an argument names."""
    return msgspec.convert(argument, Argument).names()


def _tensors(argument: Json) -> list[str]:
    return [name for name in msgspec.convert(argument, Argument).tensors() if name is not None]


def _results(node: Json) -> list[str]:
    return [name for output in node["outputs"] for name in names(output)]


def _without_names(node: Json) -> Any:
    """The node with every value it reads called the same."""

    def blank(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: "?" if key in ("name", "as_name") and isinstance(one, str) else blank(one)
                for key, one in value.items()
            }
        return [blank(one) for one in value] if isinstance(value, list) else value

    inputs = [{**operand, "arg": blank(operand["arg"])} for operand in node["inputs"]]
    return {**node, "inputs": inputs, "outputs": None, "name": None}

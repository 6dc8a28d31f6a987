"""Artifacts of every shape that a few megabytes can have, and what commands cost on each.

::

    python tests/fuzz/shapes.py                        # nightly: each shape at 5 MB, then random mixtures
    python tests/fuzz/shapes.py --only views-of-views  # one shape, the file kept
    python tests/fuzz/shapes.py --size 300000          # smaller ones

A shape is a function from a number (of nodes, of buffers, of levels: of whatever it has many) to an artifact, whose
size grows with it. Each is grown to the size, and looked at by processes of their own. Exit status 1 where one took
more CPU time or memory than it may, died, or said that something is a bug.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.measuring import Cost, measure_apart

SIZE = 5_000_000
"""Bytes of a file."""
SECONDS = 5.0
"""CPU time that a command may take."""
MEBIBYTES = 500
"""Memory that it may take."""
LOGGED = ["sh", "-c", 'log=$1; shift; exec "$@" 2> "$log"', "sh"]
"""Writes what it says to the file that is named next."""
PROGRAM = ["-m", "graphlint"]
BOUNDED = ["sh", "-c", f'ulimit -t {round(6 * SECONDS)}; ulimit -v {8 * MEBIBYTES << 10}; exec "$@"', "sh"]
"""Ends what takes far too much."""

COMMANDS = {
    "check": ["check", "--isolated", "--no-cache", "--jobs=1"],
    "diff": ["check", "--isolated", "--no-cache", "--jobs=1", "--diff"],
    "show": ["show", "--isolated"],
    "fix": ["check", "--isolated", "--no-cache", "--jobs=1", "--fix"],
}
"""What is run on each, in this order: the last one may change it."""

Make = Callable[[int], bytes]
SHAPES: dict[str, Make] = {}
"""By name."""


def shape(make: Make) -> Make:
    """Registers a shape under the name of its function."""
    SHAPES[make.__name__.strip("_").replace("_", "-")] = make
    return make


# --- programs


def tensor(name: str) -> Any:
    return {"as_tensor": {"name": name}}


def tensors(names: Iterable[str]) -> Any:
    return {"as_tensors": [{"name": name} for name in names]}


def integer(number: int) -> Any:
    return {"as_int": number}


def meta(*sizes: Any, strides: Sequence[Any] | None = None, dtype: int = 7, offset: int = 0) -> Any:
    """The record of a tensor."""
    if strides is None:
        strides, step = [], 1
        for size in reversed(sizes):
            strides.insert(0, step)
            step *= size
    sized, strided = ([integer(one) if isinstance(one, int) else one for one in many] for many in (sizes, strides))
    device = {"type": "cpu", "index": None}
    return {
        "dtype": dtype,
        "sizes": sized,
        "requires_grad": False,
        "device": device,
        "strides": strided,
        "storage_offset": integer(offset),
        "layout": 7,
    }


FLAG = meta(dtype=12)


class Graph:
    """A graph to be."""

    def __init__(self, *inputs: str, record: Any = None) -> None:
        self.record = meta(4, 4) if record is None else record
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.nodes: list[Any] = []
        self.values: dict[str, Any] = {}
        self.symbols: dict[str, Any] = {}
        for name in inputs:
            self.input(name)

    def input(self, name: str, record: Any = None) -> str:
        self.inputs.append(tensor(name))
        self.values[name] = self.record if record is None else record
        return name

    def node(
        self, op: str, inputs: dict[str, Any] | Sequence[Any], *outputs: Any, record: Any = None, **metadata: str
    ) -> Any:
        """Adds a node; outputs are names of tensors, or arguments. Gives the first one."""
        pairs = inputs.items() if isinstance(inputs, dict) else (("", one) for one in inputs)
        operands = [
            {"name": name, "arg": tensor(arg) if isinstance(arg, str) else arg, "kind": 1} for name, arg in pairs
        ]
        results = [tensor(one) if isinstance(one, str) else one for one in outputs]
        self.nodes.append({"target": f"torch.ops.{op}", "inputs": operands, "outputs": results, "metadata": metadata})
        for one in results:
            for ref in one["as_tensors"] if "as_tensors" in one else [one["as_tensor"]] if "as_tensor" in one else ():
                self.values[ref["name"]] = self.record if record is None else record
        return outputs[0] if outputs else None

    def add_(self, name: str, written: str, record: Any = None) -> str:
        record = self.values.get(written) if record is None else record
        return self.node("aten.add_.Tensor", {"self": written, "other": integer(1)}, name, record=record)

    def add(self, name: str, read: str, record: Any = None) -> str:
        return self.node("aten.add.Tensor", {"self": read, "other": integer(1)}, name, record=record)

    def returns(self, *names: str) -> Graph:
        self.outputs = [tensor(name) for name in names]
        return self

    def json(self) -> Any:
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "nodes": self.nodes,
            "tensor_values": self.values,
            "sym_int_values": self.symbols,
            "sym_bool_values": {},
            "is_single_tensor_return": False,
            "custom_obj_values": {},
            "sym_float_values": {},
        }


def graph_argument(name: str, graph: Graph) -> Any:
    return {"as_graph": {"name": name, "graph": graph.json()}}


LEAF = {"type": None, "context": None, "children_spec": []}


def _spec(kind: str, children: list[Any], context: str = "null") -> Any:
    return {"type": kind, "context": context, "children_spec": children}


def program(graph: Graph, specs: dict[str, Any] | None = None, **other: Any) -> Any:
    """The program of a graph; ``specs`` are those of its inputs that are no user inputs."""
    specs = specs or {}
    inputs = [specs.get(one["as_tensor"]["name"], {"user_input": {"arg": one}}) for one in graph.inputs]
    outputs = [{"user_output": {"arg": one}} for one in graph.outputs]
    given = [one["user_input"]["arg"]["as_tensor"]["name"] for one in inputs if "user_input" in one]
    arguments = _spec("builtins.tuple", [LEAF] * len(given))
    signature = {
        "inputs": [],
        "outputs": [],
        "forward_arg_names": given,
        "in_spec": json.dumps([1, _spec("builtins.tuple", [arguments, _spec("builtins.dict", [], "[]")])]),
        "out_spec": json.dumps([1, _spec("builtins.tuple", [LEAF] * len(outputs)) if outputs[1:] else LEAF]),
    }
    module = {
        "graph": graph.json(),
        "signature": {"input_specs": inputs, "output_specs": outputs},
        "module_call_graph": [{"fqn": "", "signature": signature}],
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    return {
        "graph_module": module,
        "opset_version": {"aten": 10},
        "range_constraints": {},
        "schema_version": {"major": 8, "minor": 20},
        "verifiers": ["TRAINING"],
        "torch_version": "2.13.0+cpu",
        "guards_code": [],
        **other,
    }


def encoded(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def _nested(opening: str, inner: str, closing: str, levels: int) -> str:
    return opening * levels + inner + closing * levels


# --- archives

EMPTY: dict[str, bytes] = {
    "data/weights/model_weights_config.json": b'{"config": {}}',
    "data/constants/model_constants_config.json": b'{"config": {}}',
}
REST: dict[str, bytes] = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    ".data/version": b"3\n",
    "byteorder": b"little",
}


def archive(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of such members in torch's layout."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in {**EMPTY, **members, **REST}.items():
            file.writestr(f"m/{name}", content)
    return out.getvalue()


def artifact(tree: Any, members: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """An artifact of one program: its JSON, or the tree of that."""
    content = tree if isinstance(tree, bytes) else encoded(tree)
    return archive(
        {"models/model.json": content, "data/sample_inputs/model.pt": samples(), **(members or {})}, **options
    )


def samples(pickled: bytes = b"\x80\x02)}\x86.") -> bytes:
    """What torch.save makes of sample inputs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"}.items():
            file.writestr(f"archive/{name}", content)
    return out.getvalue()


def of_graph(graph: Graph, members: dict[str, bytes] | None = None, **other: Any) -> bytes:
    return artifact(program(graph, **other), members)


# --- memory


VIEWS: list[tuple[str, dict[str, Any], Any]] = [
    ("aten.t.default", {}, meta(4, 4, strides=(1, 4))),
    ("aten.view.default", {"size": {"as_ints": [4, 4]}}, meta(4, 4)),
    ("aten.alias.default", {}, meta(4, 4)),
    ("aten.select.int", {"dim": integer(0), "index": integer(0)}, meta(4)),
    ("aten.slice.Tensor", {"dim": integer(0), "start": integer(0), "end": integer(4)}, meta(4, 4)),
    ("aten.as_strided.default", {"size": {"as_ints": [4, 4]}, "stride": {"as_ints": [4, 1]}}, meta(4, 4)),
    ("aten.reshape.default", {"shape": {"as_ints": [4, 4]}}, meta(4, 4)),
    ("aten.contiguous.default", {}, meta(4, 4)),
    ("aten.diagonal.default", {}, meta(4, strides=(5,))),
]
KEPT = [one for one in VIEWS if len(one[2]["sizes"]) == 2]
"""Those that have the shape of what they are taken of."""


def _view(graph: Graph, name: str, of: str, view: tuple[str, dict[str, Any], Any]) -> str:
    op, arguments, record = view
    return graph.node(op, {"self": of, **arguments}, name, record=record)


def _chain(count: int, view: tuple[str, dict[str, Any], Any], *, every: int) -> bytes:
    """Views of views, written at every so many; the last one is returned."""
    graph = Graph("x")
    last = graph.add("v", "x")
    for number in range(count):
        last = _view(graph, f"v{number}", last, view)
        if number % every == every - 1:
            graph.add_(f"w{number}", last, record=view[2])
    graph.add_("written", "v")
    return of_graph(graph.returns(last, "v"))


@shape
def views_of_views(count: int) -> bytes:
    """Transposes, the base of all written in the end."""
    return _chain(count, VIEWS[0], every=1 << 40)


@shape
def written_views_of_views(count: int) -> bytes:
    """The same, written at every step."""
    return _chain(count, VIEWS[1], every=1)


@shape
def few_writes_of_views_of_views(count: int) -> bytes:
    return _chain(count, VIEWS[4], every=100)


@shape
def conditional_views_of_views(count: int) -> bytes:
    """Each may be a view, or a copy."""
    return _chain(count, VIEWS[6], every=50)


@shape
def transposed_contiguous(count: int) -> bytes:
    """Each may show the one before, as far as symbolic strides tell."""
    size = {"as_expr": {"expr_str": "s0", "hint": {"as_int": 4}}}
    graph = Graph("x", record=meta(4, 4, strides=(size, 1)))
    last = "x"
    for number in range(count):
        last = graph.node("aten.contiguous.default", {"self": last}, f"v{number}")
        if number % 50 == 0:
            graph.add_(f"w{number}", last)
    return of_graph(graph.returns(last))


@shape
def many_views_of_one(count: int) -> bytes:
    """Of one base, all of them written and then read."""
    graph = Graph("x")
    for number in range(count):
        _view(graph, f"v{number}", "x", VIEWS[number % 2])
    for number in range(count):
        graph.add_(f"w{number}", f"v{number}")
    for number in range(count):
        graph.add(f"r{number}", f"v{number}")
    return of_graph(graph.returns(f"r{count - 1}"))


@shape
def rows_of_one(count: int) -> bytes:
    graph = Graph("x", record=meta(count, 4))
    for number in range(count):
        inputs = {"self": "x", "dim": integer(0), "index": integer(number)}
        graph.node("aten.select.int", inputs, f"v{number}", record=meta(4, offset=4 * number))
        graph.add_(f"w{number}", f"v{number}", record=meta(4))
    return of_graph(graph.returns("x"))


@shape
def writes_of_one(count: int) -> bytes:
    """One after the other, each on the result of the one before."""
    graph = Graph("x")
    last = "x"
    for number in range(count):
        last = graph.add_(f"w{number}", last)
    return of_graph(graph.returns(last))


@shape
def split_and_written(count: int) -> bytes:
    """A node with as many results as it has rows, all of them written."""
    graph = Graph("x", record=meta(count, 4))
    names = [f"v{number}" for number in range(count)]
    graph.node("aten.unbind.int", {"self": "x"}, tensors(names), record=meta(4))
    for name in names:
        graph.add_(f"{name}w", name, record=meta(4))
    return of_graph(graph.returns(names[-1]))


@shape
def foreach(count: int) -> bytes:
    """One write of all inputs."""
    names = [f"x{number}" for number in range(count)]
    graph = Graph(*names)
    graph.node("aten._foreach_add_.Scalar", {"self": tensors(names), "scalar": integer(1)})
    return of_graph(graph.returns(names[0]))


@shape
def foreach_of_views(count: int) -> bytes:
    """Writes of lists of views of one tensor."""
    graph = Graph("x")
    per, made = 200, 0
    while made < count:
        names = [f"v{made + number}" for number in range(per)]
        for name in names:
            _view(graph, name, "x", VIEWS[0])
        graph.node("aten._foreach_add_.Scalar", {"self": tensors(names), "scalar": integer(1)})
        made += per
    return of_graph(graph.returns("x"))


@shape
def wide_reads(count: int) -> bytes:
    """Nodes that read everything before them."""
    side = max(int(count**0.5), 2)
    names = [f"x{number}" for number in range(side)]
    graph = Graph(*names)
    for number in range(side):
        name = graph.node("aten.cat.default", {"tensors": tensors(names)}, f"c{number}")
        names[number] = graph.add_(f"w{number}", name)
    return of_graph(graph.returns(names[-1]))


@shape
def wide_node(count: int) -> bytes:
    """One node that reads one value so many times, among writes."""
    graph = Graph("x")
    graph.add_("w", "x")
    graph.node("aten.cat.default", {"tensors": tensors(["x"] * count)}, "c")
    graph.add_("w2", "x")
    return of_graph(graph.returns("c"))


@shape
def lists_of_lists(count: int) -> bytes:
    graph = Graph("x")
    graph.add_("w", "x")
    nested = {"as_nested_tensors": [[{"name": "x"}]] * count}
    graph.node("custom.op.default", {"lists": nested}, "c")
    return of_graph(graph.returns("c"))


@shape
def foreach_of_lists(count: int) -> bytes:
    """One write of all inputs, by as many others."""
    written, read = ([f"{kind}{number}" for number in range(count)] for kind in "xy")
    graph = Graph(*written, *read)
    operands = {"self": tensors(written), "other": tensors(read)}
    graph.node("aten._foreach_add_.List", operands)
    return of_graph(graph.returns(written[0]))


@shape
def foreach_of_rows(count: int) -> bytes:
    """Writes of lists of parts of one tensor, each of many elements."""
    graph = Graph("x", record=meta(count, 60_000))
    names = []
    for number in range(count):
        inputs = {"self": "x", "dim": integer(0), "index": integer(number)}
        record = meta(60_000, offset=60_000 * number)
        names.append(graph.node("aten.select.int", inputs, f"v{number}", record=record))
    graph.node("aten._foreach_add_.Scalar", {"self": tensors(names), "scalar": integer(1)})
    return of_graph(graph.returns("x"))


@shape
def foreach_of_columns(count: int) -> bytes:
    """The same of columns, which lie among each other."""
    graph = Graph("x", record=meta(60_000, count))
    names = []
    for number in range(count):
        inputs = {"self": "x", "dim": integer(1), "index": integer(number)}
        record = meta(60_000, strides=(count,), offset=number)
        names.append(graph.node("aten.select.int", inputs, f"v{number}", record=record))
    graph.node("aten._foreach_add_.Scalar", {"self": tensors(names), "scalar": integer(1)})
    return of_graph(graph.returns("x"))


@shape
def reads_of_what_is_written(count: int) -> bytes:
    """Views of one tensor that are written by others of it."""
    graph = Graph("x", record=meta(60_000, 2))
    for number in range(count):
        for column, name in enumerate((f"v{number}", f"u{number}")):
            inputs = {"self": "x", "dim": integer(1), "index": integer(column)}
            graph.node("aten.select.int", inputs, name, record=meta(60_000, strides=(2,), offset=column))
        operands = {"self": f"v{number}", "src": f"u{number}"}
        graph.node("aten.copy_.default", operands, f"w{number}", record=meta(60_000, strides=(2,)))
    return of_graph(graph.returns("x"))


@shape
def lists_to_lists(count: int) -> bytes:
    """Views of as many tensors at once."""
    names, results = ([f"{kind}{number}" for number in range(count)] for kind in "xv")
    graph = Graph(*names)
    graph.node("aten.broadcast_tensors.default", {"tensors": tensors(names)}, tensors(results))
    for name in results:
        graph.add_(f"{name}w", name)
    return of_graph(graph.returns(results[0]))


@shape
def views_in_place(count: int) -> bytes:
    """One object that becomes another view again and again."""
    graph = Graph("x")
    last = graph.add("v", "x")
    for number in range(count):
        record = VIEWS[0][2] if number % 2 == 0 else meta(4, 4)
        last = graph.node("aten.t_.default", {"self": last}, f"t{number}", record=record)
        graph.add_(f"w{number}", last, record=record)
    return of_graph(graph.returns(last))


@shape
def gradients(count: int) -> bytes:
    """Views of an input that requires gradients, written."""
    record = {**meta(4, 4), "requires_grad": True}
    graph = Graph("x", record=record)
    last = "x"
    for number in range(count):
        last = _view(graph, f"v{number}", last, (*VIEWS[1][:2], record))
        graph.add_(f"w{number}", last)
    return of_graph(graph.returns(last))


@shape
def obstacles(count: int) -> bytes:
    """Writes of which each stays for a reason of its own, which only comes up on the way."""
    graph = Graph("x", record=meta(4, 4))
    for number in range(count):
        name = graph.add(f"b{number}", "x")
        inputs = {"self": name, "size": {"as_ints": [2]}, "stride": {"as_ints": [0]}, "storage_offset": integer(0)}
        graph.node("aten.as_strided.default", inputs, f"v{number}", record=meta(2, strides=(0,)))
        graph.add_(f"w{number}", f"v{number}", record=meta(2, strides=(0,)))
        graph.add(f"r{number}", name)
    return of_graph(graph.returns("x"))


@shape
def obstacles_in_regions(count: int) -> bytes:
    """The same in a graph that is called."""

    def body() -> Graph:
        inner = Graph("x")
        for number in range(count):
            name = inner.add(f"b{number}", "x")
            inputs = {"self": name, "size": {"as_ints": [2]}, "stride": {"as_ints": [0]}, "storage_offset": integer(0)}
            inner.node("aten.as_strided.default", inputs, f"v{number}", record=meta(2, strides=(0,)))
            inner.add_(f"w{number}", f"v{number}", record=meta(2, strides=(0,)))
            inner.add(f"r{number}", name)
        return inner.returns("x")

    graph = Graph("x")
    region = [{"as_bool": False}, graph_argument("g", body()), "x"]
    return of_graph(graph.returns(graph.node("higher_order.wrap_with_set_grad_enabled", region, "r")))


@shape
def growth(count: int) -> bytes:
    """Writes through many views of which each is then read: all are taken again each time."""
    graph = Graph("x")
    last = graph.add("v", "x")
    for number in range(150):
        last = _view(graph, f"v{number}", last, VIEWS[0] if number % 2 == 0 else ("aten.t.default", {}, meta(4, 4)))
    for number in range(count):
        graph.add_(f"w{number}", last)
        graph.add_(f"u{number}", "v")
    return of_graph(graph.returns(last))


@shape
def unused_calls(count: int) -> bytes:
    """Regions with an effect of which nobody uses the result."""
    graph = Graph("x")
    for number in range(count):
        inner = Graph("x")
        inner.node("aten._print.default", {"s": {"as_string": "x"}})
        inner.add_("w", "x")
        region = [{"as_bool": False}, graph_argument("g", inner.returns("w")), graph.add(f"b{number}", "x")]
        graph.node("higher_order.wrap_with_set_grad_enabled", region, f"r{number}")
    return of_graph(graph.returns("x"))


@shape
def wide_regions(count: int) -> bytes:
    """A region of many operands, all of them written and returned."""
    names, results = ([f"{kind}{number}" for number in range(count)] for kind in "xr")
    inner, graph = Graph(*names), Graph(*names)
    for name in names:
        inner.add_(f"{name}w", name)
    region = [{"as_bool": False}, graph_argument("g", inner.returns(*(f"{name}w" for name in names))), *names]
    graph.node("higher_order.wrap_with_set_grad_enabled", region, tensors(results))
    return of_graph(graph.returns(*results))


@shape
def wide_loops(count: int) -> bytes:
    """A loop that carries many, and writes as many that it captures."""
    names, others = ([f"{kind}{number}" for number in range(count)] for kind in "xy")
    graph, condition, body = Graph(*names, *others), Graph(*names, *others), Graph(*names, *others)
    condition.node("aten.all.default", {"self": names[0]}, "p", record=FLAG)
    for name in [*names, *others]:
        body.add_(f"{name}w", name)
    sums = [body.add(f"{name}s", name) for name in names]
    bodies = graph_argument("c", condition.returns("p")), graph_argument("b", body.returns(*sums))
    results = [f"r{number}" for number in range(count)]
    graph.node("higher_order.while_loop", [*bodies, tensors(names), tensors(others)], tensors(results))
    return of_graph(graph.returns(results[0]))


# --- state


def _weights(count: int, kind: str, how: str) -> bytes:
    """So many parameters or buffers, each with a member of its own, all with the same, or none."""
    graph, specs, config, members = Graph(), {}, {}, {}
    for number in range(count):
        name = f"b{number}"
        graph.input(name, meta(4))
        held = {"arg": {"name": name}, f"{kind}_name": name}
        specs[name] = {kind: {**held, "persistent": True} if kind == "buffer" else held}
        payload = f"weight_{number if how == 'apart' else 0}"
        if how != "missing":
            described = {"path_name": payload, "is_param": kind == "parameter", "use_pickle": False}
            config[name] = {**described, "tensor_meta": meta(4)}
            members[f"data/weights/{payload}"] = bytes(16)
    graph.input("x", meta(4))
    for number in range(count):
        graph.add_(f"w{number}", f"b{number}", record=meta(4))
    members["data/weights/model_weights_config.json"] = encoded({"config": config})
    return of_graph(graph.returns("x"), members, specs=specs)


@shape
def written_buffers(count: int) -> bytes:
    return _weights(count, "buffer", "apart")


@shape
def buffers_of_one_memory(count: int) -> bytes:
    return _weights(count, "buffer", "together")


@shape
def buffers_without_values(count: int) -> bytes:
    return _weights(count, "buffer", "missing")


@shape
def written_parameters(count: int) -> bytes:
    return _weights(count, "parameter", "together")


@shape
def unused_weights(count: int) -> bytes:
    """Weights that the archive lists, and the program does not have."""
    described = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta(4)}
    config = encoded({"config": {f"w{number}": described for number in range(count)}})
    members = {"data/weights/model_weights_config.json": config, "data/weights/weight_0": bytes(16)}
    return of_graph(Graph("x").returns("x"), members)


@shape
def inputs(count: int) -> bytes:
    """All of them written, and returned."""
    names = [f"x{number}" for number in range(count)]
    graph = Graph(*names)
    for name in names:
        graph.add_(f"{name}w", name)
    return of_graph(graph.returns(*names))


@shape
def batch_norms(count: int) -> bytes:
    """Each writes two buffers as it trains."""
    graph, specs = Graph("x", record=meta(2, 4, 1, 2)), {}
    last = "x"
    for number in range(count):
        for kind in "mv":
            name = graph.input(f"{kind}{number}", meta(4))
            specs[name] = {"buffer": {"arg": {"name": name}, "buffer_name": name, "persistent": True}}
        true = {"as_bool": True}
        operands = {"input": last, "weight": {"as_none": True}, "bias": {"as_none": True}}
        state = {"running_mean": f"m{number}", "running_var": f"v{number}", "training": true}
        rest = {"momentum": {"as_float": 0.1}, "eps": {"as_float": 1e-5}, "cudnn_enabled": true}
        last = graph.node("aten.batch_norm.default", {**operands, **state, **rest}, f"n{number}")
    return of_graph(graph.returns(last), specs=specs)


# --- called graphs


def _cond(graph: Graph, name: str, flag: str, body: Callable[[], Graph], operands: Sequence[str]) -> str:
    arguments = [flag, graph_argument("t", body()), graph_argument("f", body()), tensors(operands)]
    return graph.node("higher_order.cond", arguments, name)


@shape
def conds(count: int) -> bytes:
    """Branches that write their operand, one cond after the other."""

    def body() -> Graph:
        inner = Graph("x")
        inner.add_("w", "x")
        return inner.returns("w")

    graph = Graph("x")
    graph.input("p", FLAG)
    last = "x"
    for number in range(count):
        last = _cond(graph, f"c{number}", "p", body, [last])
    return of_graph(graph.returns(last))


@shape
def conds_of_views(count: int) -> bytes:
    """Branches that return their operand as it is: each result may be any of those before."""

    def body() -> Graph:
        return Graph("x").returns("x")

    graph = Graph("x")
    graph.input("p", FLAG)
    last = "x"
    for number in range(count):
        last = _cond(graph, f"c{number}", "p", body, [last])
        graph.add_(f"w{number}", last)
    return of_graph(graph.returns(last))


@shape
def wide_conds(count: int) -> bytes:
    """Branches of many operands, all of them written."""
    names = [f"x{number}" for number in range(count)]

    def body() -> Graph:
        inner = Graph(*names)
        for name in names:
            inner.add_(f"{name}w", name)
        return inner.returns(names[0])

    graph = Graph(*names)
    graph.input("p", FLAG)
    return of_graph(graph.returns(_cond(graph, "c", "p", body, names)))


def _deep(levels: int, width: int, *, branches: int = 2) -> bytes:
    """Nested regions, written in the innermost."""
    names = [f"x{number}" for number in range(width)]

    def level(left: int) -> Graph:
        inner = Graph(*names)
        if left == 0:
            for name in names:
                inner.add_(f"{name}w", name)
            return inner.returns(names[0])
        body = graph_argument("g", level(left - 1))
        inner.node("higher_order.wrap_with_set_grad_enabled", [{"as_bool": False}, body, *names], "r")
        return inner.returns("r")

    return of_graph(level(levels))


@shape
def nested_regions(count: int) -> bytes:
    """As deep as torch reads, and as wide as there is room."""
    return _deep(95, count)


@shape
def nested_too_deeply(count: int) -> bytes:
    return artifact(encoded(program(Graph("x").returns("x"))).replace(b'"metadata":{}', _levels(count), 1))


def _levels(count: int) -> bytes:
    return b'"metadata":{"x":' + b"[" * count + b"]" * count + b"}"


@shape
def nested_graphs_of_text(count: int) -> bytes:
    """Subgraphs of subgraphs, deeper than anybody reads."""
    node = '{"target":"torch.ops.higher_order.x","inputs":[{"name":"","arg":{"as_graph":{"name":"g","graph":'
    rest = '}}}],"outputs":[],"metadata":{}}'
    opening = '{"inputs":[],"outputs":[],"tensor_values":{},"sym_int_values":{},"sym_bool_values":{},"nodes":[' + node
    text = _nested(opening, '{"inputs":[],"outputs":[],"nodes":[]}', rest + "]}", count)
    whole = json.dumps(program(Graph("x").returns("x")))
    graph = json.dumps(Graph("x").returns("x").json())
    assert graph in whole
    return artifact(whole.replace(graph, text).encode())


@shape
def regions(count: int) -> bytes:
    """No-grad regions, one after the other."""
    graph = Graph("x")
    last = "x"
    for number in range(count):
        inner = Graph("x")
        inner.add("w", "x")
        body = graph_argument(f"g{number}", inner.returns("w"))
        last = graph.node("higher_order.wrap_with_set_grad_enabled", [{"as_bool": False}, body, last], f"r{number}")
    return of_graph(graph.returns(last))


@shape
def autocast_regions(count: int) -> bytes:
    graph = Graph("x")
    last = "x"
    options = [{"as_string": "cpu"}, {"as_scalar_type": 13}, {"as_bool": True}, {"as_none": True}]
    for number in range(count):
        inner = Graph("x")
        inner.node("aten.mm.default", {"self": "x", "mat2": "x"}, "w")
        body = graph_argument(f"g{number}", inner.returns("w"))
        last = graph.node("higher_order.wrap_with_autocast", [*options, body, last], f"r{number}")
    return of_graph(graph.returns(last))


@shape
def loops(count: int) -> bytes:
    """while_loops that write what they carry."""
    graph = Graph("x")
    last = "x"
    for number in range(count):
        condition = Graph("x")
        condition.node("aten.all.default", {"self": "x"}, "p", record=FLAG)
        body = Graph("x")
        body.add_("w", "x")
        arguments = [
            *(graph_argument("c", condition.returns("p")), graph_argument("b", body.returns("w"))),
            *(tensors([last]), tensors([])),
        ]
        last = graph.node("higher_order.while_loop", arguments, tensors([f"r{number}"])) and f"r{number}"
    return of_graph(graph.returns(last))


# --- findings


@shape
def checks(count: int) -> bytes:
    """Asserts without and with a message, each of them a finding."""
    graph = Graph("x")
    for number in range(count):
        graph.node("aten.all.default", {"self": "x"}, f"p{number}", record=FLAG)
        graph.node("aten._assert_async.msg", {"self": f"p{number}", "assert_msg": {"as_string": f"no {number}"}})
    return of_graph(graph.returns("x"))


@shape
def bare_checks(count: int) -> bytes:
    graph = Graph("x")
    graph.node("aten.all.default", {"self": "x"}, "p", record=FLAG)
    for _ in range(count):
        graph.node("aten._assert_async.default", {"self": "p"})
    return of_graph(graph.returns("x"))


@shape
def prints(count: int) -> bytes:
    graph = Graph("x")
    for _ in range(count):
        graph.node("aten._print.default", {"s": {"as_string": "x"}})
    return of_graph(graph.returns("x"))


@shape
def random_numbers(count: int) -> bytes:
    graph = Graph("x")
    for number in range(count):
        graph.node("aten.rand_like.default", {"self": "x"}, f"r{number}")
    return of_graph(graph.returns("x"))


@shape
def foreign_code(count: int) -> bytes:
    """Texts that become source."""
    return of_graph(Graph("x").returns("x"), guards_code=["__import__('os')"] * count)


@shape
def foreign_symbols(count: int) -> bytes:
    graph = Graph("x")
    for number in range(count):
        size = {"as_expr": {"expr_str": f"eval({number})", "hint": None}}
        graph.input(f"x{number}", meta(size, strides=(1,)))
    return of_graph(graph.returns("x"))


@shape
def unknown_ops(count: int) -> bytes:
    graph = Graph("x")
    for number in range(count):
        graph.node(f"library{number}.op{number}.default", {"a": "x"}, f"r{number}")
        graph.add_(f"w{number}", f"r{number}")
    return of_graph(graph.returns("x"))


# --- texts


@shape
def long_names(count: int) -> bytes:
    """Names as long as they may be, written."""
    names = [f"{'n' * 1990}{number}" for number in range(count)]
    graph = Graph("x")
    for name in names:
        graph.add_(name, "x")
    return of_graph(graph.returns("x"))


@shape
def long_chain_of_names(count: int) -> bytes:
    """The same as views of views."""
    graph = Graph("x")
    last = "x"
    for number in range(count):
        last = _view(graph, f"{'n' * 1990}{number}", last, VIEWS[1])
        graph.add_(f"w{number}", last)
    return of_graph(graph.returns(last))


@shape
def long_message(count: int) -> bytes:
    graph = Graph("x")
    graph.node("aten.all.default", {"self": "x"}, "p", record=FLAG)
    graph.node("aten._assert_async.msg", {"self": "p", "assert_msg": {"as_string": "\u202e<&'\"\\" * count}})
    return of_graph(graph.returns("x"))


@shape
def long_traces(count: int) -> bytes:
    """Each of many lines."""
    trace = "\n".join(f'  File "m.py", line {number}, in f\n    x' for number in range(1000))
    graph = Graph("x")
    for number in range(count):
        stack = "/".join([f"L{number}"] * 100)
        graph.node("aten.add_.Tensor", {"self": "x", "other": integer(1)}, f"w{number}", stack_trace=trace, x=stack)
    return of_graph(graph.returns("x"))


@shape
def one_trace(count: int) -> bytes:
    trace = 'File "m.py", line 1, in f\n' * count
    graph = Graph("x")
    for number in range(20):
        graph.node("aten.add_.Tensor", {"self": "x", "other": integer(1)}, f"w{number}")
    graph.node("aten.add_.Tensor", {"self": "x", "other": integer(1)}, "w", stack_trace=trace, nn_module_stack=trace)
    return of_graph(graph.returns("x"))


@shape
def spaces(count: int) -> bytes:
    """What regular expressions go back over."""
    trace = " " * count
    graph = Graph("x")
    metadata = {"stack_trace": trace, "nn_module_stack": trace, "torch_fn": trace, "source_fn_stack": trace}
    graph.node("aten.add_.Tensor", {"self": "x", "other": integer(1)}, "w", **metadata)
    tree = program(graph.returns("x"), guards_code=[trace], torch_version=trace)
    tree["graph_module"]["module_call_graph"][0]["fqn"] = trace
    return artifact(tree)


@shape
def dots(count: int) -> bytes:
    text = "a." * count
    graph = Graph("x")
    graph.node(text, {"self": "x"}, "w", stack_trace=text)
    return of_graph(graph.returns("x"), guards_code=[text], torch_version=text)


@shape
def escapes(count: int) -> bytes:
    graph = Graph("x")
    graph.node("aten._print.default", {"s": {"as_string": "\0\x1b\u2028" * count}})
    return of_graph(graph.returns("x"))


# --- symbols


def _sized(text: str, count: int = 1) -> bytes:
    size = {"as_expr": {"expr_str": text, "hint": {"as_int": 4}}}
    graph = Graph()
    for number in range(count):
        graph.input(f"x{number}", meta(size, strides=(1,)))
        graph.add_(f"w{number}", f"x{number}", record=meta(size, strides=(1,)))
    return of_graph(graph.returns("x0"))


@shape
def long_expression(count: int) -> bytes:
    return _sized("+".join(f"s{number}" for number in range(count)))


@shape
def nested_expression(count: int) -> bytes:
    return _sized(_nested("(s0+", "1", ")", count))


@shape
def nested_functions(count: int) -> bytes:
    return _sized(_nested("Max(1,", "s0", ")", count))


@shape
def powers(count: int) -> bytes:
    return _sized("s0" + "**9" * count)


@shape
def products(count: int) -> bytes:
    """A product that is huge when it is multiplied out."""
    return _sized("*".join(["(s0+s1+s2+1)"] * count))


@shape
def large_powers(count: int) -> bytes:
    return _sized("9**9**9**9", count)


@shape
def large_numbers(count: int) -> bytes:
    return _sized("9" * count)


@shape
def signs(count: int) -> bytes:
    return _sized("-" * count + "s0")


@shape
def long_expressions(count: int) -> bytes:
    """Many of moderate length, all of them different."""
    graph = Graph("x")
    for number in range(count):
        text = "*".join(f"(s{number + other}+{other})" for other in range(20))
        record = meta({"as_expr": {"expr_str": text, "hint": None}}, strides=(1,))
        graph.node("aten.empty.memory_format", {"size": {"as_ints": [4]}}, f"e{number}", record=record)
        _view(graph, f"v{number}", f"e{number}", (*VIEWS[1][:2], record))
        graph.add_(f"w{number}", f"v{number}", record=record)
    return of_graph(graph.returns("x"))


@shape
def symbols(count: int) -> bytes:
    ranges = {f"s{number}": {"min_val": 2, "max_val": number} for number in range(count)}
    return of_graph(Graph("x").returns("x"), range_constraints=ranges)


@shape
def symbolic_values(count: int) -> bytes:
    """Sizes that are taken, computed and asserted."""
    graph = Graph("x")
    last = None
    for number in range(count):
        name = {"as_sym_int": {"as_name": f"i{number}"}}
        graph.symbols[f"i{number}"] = {"as_expr": {"expr_str": f"s{number}", "hint": None}}
        graph.node("aten.sym_size.int", {"self": "x", "dim": integer(0)}, name)
        graph.node("aten.sym_constrain_range_for_size.default", {"size": name, "min": integer(0)})
        last = name
    assert last is not None
    return of_graph(graph.returns("x"))


@shape
def guards(count: int) -> bytes:
    return of_graph(Graph("x").returns("x"), guards_code=[f"L['x'].size()[0] == {number}" for number in range(count)])


@shape
def long_guard(count: int) -> bytes:
    return of_graph(Graph("x").returns("x"), guards_code=[" and ".join(["L['x'].size()[0] == 3"] * count)])


@shape
def nested_guard(count: int) -> bytes:
    return of_graph(Graph("x").returns("x"), guards_code=[_nested("(", "L['x'].size()[0] == 3", ")", count)])


# --- the rest of the JSON


@shape
def ranks(count: int) -> bytes:
    """Tensors of many dimensions."""
    record = meta(*[1] * count)
    graph = Graph("x", record=record)
    graph.node("aten.t.default", {"self": "x"}, "v")
    graph.add_("w", "v")
    return of_graph(graph.returns("x"))


@shape
def permutations(count: int) -> bytes:
    record = meta(*[1] * count)
    graph = Graph("x", record=record)
    graph.node("aten.permute.default", {"self": "x", "dims": {"as_ints": [*reversed(range(count))]}}, "v")
    graph.add_("w", "v")
    graph.node("aten.view.default", {"self": "v", "size": {"as_ints": [1] * count}}, "u")
    graph.add_("w2", "u")
    return of_graph(graph.returns("x"))


@shape
def empty_arguments(count: int) -> bytes:
    """As many arguments as can be."""
    graph = Graph("x")
    tree = program(graph.returns("x"))
    tree["graph_module"]["graph"]["nodes"] = [
        {"target": "torch.ops.a.b.c", "inputs": [], "outputs": [{}] * count, "metadata": {}}
    ]
    return artifact(tree)


@shape
def empty_records(count: int) -> bytes:
    """As many records of tensors as can be."""
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["graph"]["tensor_values"].update({f"{number:x}": {} for number in range(count)})
    return artifact(tree)


@shape
def empty_sizes(count: int) -> bytes:
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["graph"]["tensor_values"]["y"] = {"sizes": [{}] * count, "strides": []}
    return artifact(tree)


@shape
def empty_specs(count: int) -> bytes:
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["signature"]["input_specs"] = [{}] * count
    return artifact(tree)


@shape
def small_nodes(count: int) -> bytes:
    """As many nodes as can be."""
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["graph"]["nodes"] = [{"target": "", "inputs": [], "outputs": []}] * count
    return artifact(tree)


@shape
def unknown_keys(count: int) -> bytes:
    """What nobody has a use for."""
    return artifact(program(Graph("x").returns("x"), unknown=[[]] * count))


@shape
def metadata(count: int) -> bytes:
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["metadata"] = {f"{number:x}": "" for number in range(count)}
    return artifact(tree)


@shape
def module_calls(count: int) -> bytes:
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["module_call_graph"] += [{"fqn": f"m.{number}", "signature": None} for number in range(count)]
    return artifact(tree)


def _structured(text: str) -> bytes:
    tree = program(Graph("x").returns("x"))
    tree["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=text, out_spec=text)
    return artifact(tree)


@shape
def wide_structure(count: int) -> bytes:
    return _structured(json.dumps([1, _spec("builtins.tuple", [LEAF] * count)]))


@shape
def deep_structure(count: int) -> bytes:
    opening = '{"type": "builtins.tuple", "context": "null", "children_spec": ['
    return _structured(f"[1, {_nested(opening, json.dumps(LEAF), ']}', count)}]")


@shape
def deep_context(count: int) -> bytes:
    return _structured(json.dumps([1, _spec("builtins.dict", [LEAF], _nested("[", "", "]", count))]))


@shape
def quoted_structure(count: int) -> bytes:
    """JSON in a text in JSON in a text, which doubles what is escaped."""
    text = json.dumps([1, LEAF])
    while len(text) < count:
        text = json.dumps([1, _spec("builtins.dict", [LEAF], text)])
    return _structured(text)


@shape
def bare_infinities(count: int) -> bytes:
    """Which JSON does not have, and torch before 2.7 writes."""
    graph = Graph("x")
    graph.node("custom.op.default", {"a": {"as_floats": [float("inf")] * count}}, "w")
    return of_graph(graph.returns("x"))


@shape
def numbers(count: int) -> bytes:
    graph = Graph("x")
    graph.node("custom.op.default", {"a": {"as_ints": [1] * count}}, "w")
    graph.add_("v", "w")
    return of_graph(graph.returns("x"))


@shape
def long_number(count: int) -> bytes:
    return artifact(encoded(program(Graph("x").returns("x"))).replace(b'"metadata":{}', b'"x":' + b"9" * count, 1))


@shape
def named_arguments(count: int) -> bytes:
    graph = Graph("x")
    graph.node("custom.op.default", {f"a{number}": integer(1) for number in range(count)}, "w")
    graph.add_("v", "w")
    return of_graph(graph.returns("x"))


@shape
def dictionaries(count: int) -> bytes:
    graph = Graph("x")
    graph.node(
        "custom.op.default", {"a": {"as_string_to_argument": {f"{n:x}": tensor("x") for n in range(count)}}}, "w"
    )
    return of_graph(graph.returns("x"))


@shape
def nested_dictionaries(count: int) -> bytes:
    argument = _nested('{"as_string_to_argument":{"x":', '{"as_int":1}', "}}", count)
    graph = Graph("x")
    graph.node("custom.op.default", {"a": integer(77)}, "w")
    whole = encoded(program(graph.returns("x")))
    return artifact(whole.replace(b'{"as_int":77}', argument.encode(), 1))


# --- archives


def _programs(count: int, tree: Any) -> bytes:
    """The same program under so many names."""
    content, held, inputs = encoded(tree), b'{"config": {}}', samples()
    files: dict[str, bytes] = {}
    for number in range(count):
        files[f"models/{number}.json"] = content
        files[f"data/sample_inputs/{number}.pt"] = inputs
        files |= {f"data/{kind}/{number}_{kind}_config.json": held for kind in ("weights", "constants")}
    return archive(files)


@shape
def programs(count: int) -> bytes:
    """Small ones, each with something to fix."""
    graph = Graph("x")
    graph.add_("w", "x")
    return _programs(count, program(graph.returns("w")))


@shape
def broken_programs(count: int) -> bytes:
    return archive({f"models/{number}.json": b"" for number in range(count)})


@shape
def incomplete_programs(count: int) -> bytes:
    """Each without weights and sample inputs."""
    content = encoded(program(Graph("x").returns("x")))
    each = {f"models/{number}.json": content for number in range(count)}
    return archive({**each, **{f"data/weights/{number}": b"" for number in range(count)}})


@shape
def members(count: int) -> bytes:
    return of_graph(Graph("x").returns("x"), {f"{number:x}": b"" for number in range(count)})


@shape
def pickled_members(count: int) -> bytes:
    """Each is one that torch may unpickle."""
    content = b"\x80\x02}."
    return of_graph(Graph("x").returns("x"), {f"data/constants/{n:x}.pt": content for n in range(count)})


@shape
def archives_in_the_archive(count: int) -> bytes:
    content = samples()
    return of_graph(Graph("x").returns("x"), {f"data/constants/{n:x}.pt": content for n in range(count)})


@shape
def long_member_names(count: int) -> bytes:
    return of_graph(Graph("x").returns("x"), {f"extra/{'n' * 60000}{number}": b"" for number in range(count)})


@shape
def program_with_a_long_name(count: int) -> bytes:
    content = encoded(program(Graph("x").returns("x")))
    return archive({f"models/{'p' * 60000}{number}.json": content for number in range(count)})


@shape
def deflated(count: int) -> bytes:
    """JSON that was packed again: a program as large as others, in a smaller file."""
    graph = Graph("x")
    last = "x"
    for number in range(min(count, 11_000)):
        last = graph.add_(f"w{number}", last)
    return artifact(program(graph.returns(last)), method=zipfile.ZIP_DEFLATED)


@shape
def extra_files(count: int) -> bytes:
    """What graphlint keeps of its own in an artifact."""
    record = b'{"version": 1, "entries": [' + b"[]," * count + b"[]]}"
    return of_graph(
        Graph("x").returns("x"), {f"extra/{name}": record for name in ("graphlint.json", "graphlint_state.json")}
    )


# --- pickles


def _pickled(content: bytes, *, place: str = "data/sample_inputs/model.pt") -> bytes:
    graph = Graph("x")
    graph.add_("w", "x")
    return of_graph(graph.returns("w"), {place: samples(content)})


@shape
def deep_pickle(count: int) -> bytes:
    return _pickled(b"\x80\x02" + b"]" * count + b"a" * (count - 1) + b".")


@shape
def deep_tuples(count: int) -> bytes:
    return _pickled(b"\x80\x02)" + b"\x85" * count + b".")


@shape
def doubled_tuples(count: int) -> bytes:
    """A tuple of a tuple twice, and so on: two to the power of that when somebody walks through it."""
    return _pickled(b"\x80\x02)" + b"2\x86" * count + b".")


@shape
def doubled_keys(count: int) -> bytes:
    """The same as a key, whose hash is asked for."""
    return _pickled(b"\x80\x02})" + b"2\x86" * count + b"Ns.")


@shape
def memo(count: int) -> bytes:
    return _pickled(b"\x80\x02" + b"".join(b"]r" + struct.pack("<I", number) + b"0" for number in range(count)) + b"N.")


@shape
def memo_of_large_numbers(count: int) -> bytes:
    return _pickled(b"\x80\x02" + b"Nr\xff\xff\xff\x7f0" * count + b"N.")


@shape
def marks(count: int) -> bytes:
    return _pickled(b"\x80\x02" + b"(" * count + b"t" * count + b".")


@shape
def small_things(count: int) -> bytes:
    return _pickled(b"\x80\x02](" + b"K\1" * count + b"e.")


@shape
def names(count: int) -> bytes:
    """Things looked up and called, each of them a finding."""
    calls = b"".join(b"cm%d\nf\n)R0" % number for number in range(count))
    return _pickled(b"\x80\x02" + calls + b"N.")


@shape
def decimal_numbers(count: int) -> bytes:
    """Digits, which take time that grows with their square to read."""
    return _pickled(b"\x80\x02L" + b"9" * count + b"L\n.")


@shape
def binary_numbers(count: int) -> bytes:
    """A number of so many bytes, as a key."""
    return _pickled(b"\x80\x02}\x8b" + struct.pack("<I", count) + b"\x7f" * count + b"Ns.")


@shape
def texts(count: int) -> bytes:
    return _pickled(b"\x80\x02X" + struct.pack("<I", count) + b"'" * count + b".")


@shape
def colliding_keys(count: int) -> bytes:
    """Numbers whose hashes are the same."""
    modulus = (1 << 61) - 1
    keys = b"".join(pickle.dumps(number * modulus, 2)[2:-1] + b"N" for number in range(1, count))
    return _pickled(b"\x80\x02}(" + keys + b"u.")


@shape
def pickled_tensors(count: int) -> bytes:
    """Weights as torch 2.8 writes them, all of one storage."""
    one = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
        b"0X\x03\0\0\0cpuK\x10tQK\0"
        b"K\4K\4\x86K\4K\1\x86\x89ccollections\nOrderedDict\n)RtR"
    )
    keys = b"".join(b"X" + struct.pack("<I", len(name)) + name + one for name in (b"w%d" % n for n in range(count)))
    graph, specs = Graph(), {}
    for number in range(min(count, 300)):
        name = graph.input(f"w{number}")
        specs[name] = {"buffer": {"arg": {"name": name}, "buffer_name": name, "persistent": True}}
        graph.add_(f"v{number}", name)
    content = samples(b"\x80\x02}(" + keys + b"u.")
    return of_graph(graph.returns("w0"), {"data/weights/model.pt": content}, specs=specs)


# --- how they are grown, and measured


def grown(make: Make, size: int) -> bytes:
    """The largest artifact of a shape within ``size`` bytes, or nearly so."""
    count, data = 64, make(64)
    for _ in range(12):
        if 0.9 * size < len(data) <= size or (len(data) <= size and count >= 100 * size):
            break
        share = 0.96 * size / len(data)
        step = max(int(count * min(share, 30.0)), 1)
        larger = make(step) if step != count else data
        if len(larger) == len(data):  # there is no more of it
            break
        count, data = step, larger
    while len(data) > size and count > 1:
        count = count * 4 // 5
        data = make(count)
    return data


class Measured(NamedTuple):
    """What a command took on an artifact."""

    name: str
    command: str
    size: int
    cost: Cost
    fault: str

    @property
    def failed(self) -> bool:
        return bool(self.fault) or self.cost.cpu > SECONDS or self.cost.peak > MEBIBYTES


def measured(name: str, data: bytes, commands: dict[str, list[str]] | None = None) -> list[Measured]:
    """What each command takes. What it says is a bug, or how it died, is its fault."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        path.write_bytes(data)
        for command, arguments in (commands or COMMANDS).items():
            errors = Path(folder) / "errors"
            line = [*BOUNDED, sys.executable, *PROGRAM, *arguments, str(path)]
            cost, fault = Cost(0, 0, 0), ""
            try:
                cost = measure_apart([*LOGGED, str(errors), *line], exits=(0, 1, 2))
            except SystemExit as error:
                fault = str(error)[-200:]
            said = errors.read_text("utf-8", "replace")
            fault = fault or (said[-500:] if "internal error" in said or "bug of graphlint" in said else "")
            found.append(Measured(name, command, len(data), cost, fault))
    return found


def mixture(rng: random.Random, size: int) -> tuple[str, bytes]:
    """A random program that is made of the ways to take views, to write and to call."""
    graph = Graph("x", "y")
    graph.input("p", FLAG)
    known = ["x", "y"]
    depth, share = rng.choice([1, 3, 50, 10**9]), rng.random()
    views = rng.sample(KEPT, rng.randrange(1, len(KEPT)))
    ops = rng.sample(["view", "write", "read", "cond", "foreach", "cat", "region", "out"], rng.randrange(1, 5))
    count = 0

    def inner(name: str, of: str, *, writes: bool) -> tuple[Any, Any]:
        body = Graph("a", record=graph.values[of])
        last = _view(body, "v", "a", rng.choice(views)) if rng.random() < 0.5 else "a"
        last = body.add_("w", last) if writes else last
        return graph_argument(name, body.returns(last)), body.values[last]

    room = size // 420
    while count < room:
        name, of = f"n{count}", rng.choice(known[-depth:])
        op = "view" if rng.random() < share else rng.choice(ops)
        if op == "view":
            _view(graph, name, of, rng.choice(views))
        elif op == "write":
            graph.add_(name, of)
        elif op == "read":
            graph.add(name, of)
        elif op == "out":
            graph.node(
                "aten.add.out",
                {"self": of, "other": rng.choice(known[-depth:]), "out": of},
                name,
                record=graph.values[of],
            )
        elif op == "cond":
            (one, record), (other, _) = (inner(one, of, writes=rng.random() < 0.5) for one in "tf")
            graph.node("higher_order.cond", ["p", one, other, tensors([of])], name, record=record)
            count += 5
        elif op == "region":
            body, record = inner("g", of, writes=rng.random() < 0.5)
            graph.node("higher_order.wrap_with_set_grad_enabled", [{"as_bool": False}, body, of], name, record=record)
            count += 3
        else:
            several = [rng.choice(known[-depth:]) for _ in range(rng.choice([2, 30]))]
            count += len(several) // 8
            if op == "cat":
                graph.node("aten.cat.default", {"tensors": tensors(several)}, name)
            else:
                graph.node("aten._foreach_add_.Scalar", {"self": tensors(several), "scalar": integer(1)})
                continue
        known.append(name)
        count += 1
    names = {*ops, *(view[0] for view in views)}
    what = f"{share:.2f} of views, of the last {depth}: {' '.join(sorted(names))}"
    return what, of_graph(graph.returns(*rng.sample(known, min(3, len(known)))))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of a file")
    parser.add_argument("--mixtures", type=int, default=30, help="random programs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=[*SHAPES], metavar="SHAPE")
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    failed = []

    def look(name: str, data: bytes) -> None:
        rows = measured(name, data)
        for one in rows:
            took = f"{one.cost.cpu:7.2f} s {one.cost.peak:6.0f} MiB{'  <- too much' if one.failed else ''}"
            print(f"{one.name:32} {one.command:6} {one.size / 1e6:6.2f} MB {took}")
            if one.fault:
                print(one.fault)
        sys.stdout.flush()
        if any(one.failed for one in rows) or options.only:
            options.save.mkdir(parents=True, exist_ok=True)
            (options.save / f"{name.partition(':')[0]}.pt2").write_bytes(data)
        failed.extend(one for one in rows if one.failed)

    for name in options.only or SHAPES:
        look(name, grown(SHAPES[name], options.size))
    for number in range(0 if options.only else options.mixtures):
        rng = random.Random(f"{options.seed} {number}")
        name, data = mixture(rng, options.size)
        look(f"mixture {number}: {name}", data)
    print(f"{len(failed)} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

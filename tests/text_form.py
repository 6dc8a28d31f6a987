"""Programs for tests: parsed from the text form (:mod:`graphlint.report.graphs.text`), from JSON, and back to JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from graphlint.artifact.errors import GraphlintError
from graphlint.ir.document import Document
from graphlint.ir.dtypes import DTYPES, LAYOUTS, MEMORY_FORMATS, SHORT_DTYPES, STRIDED
from graphlint.ir.model import NAME_FIELDS, InputSpec, Program
from graphlint.ir.strides import contiguous_strides
from graphlint.ops.table import OpTable, op_table
from graphlint.report.graphs.text import OUTPUT_WORDS, program_lines

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<tensor>%\w+\??)
    | (?P<symbol>\$\w+)
    | (?P<graph>@\w+(?::\d+)?)
    | (?P<arrow><-)
    | (?P<number>-?(?:\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+|\d+|inf\b|nan\b))
    | (?P<name>[A-Za-z_][\w.-]*)
    | (?P<punct>[][(){}=,:?$+!*/<>&|~-])
    )""",
    re.VERBOSE,
)
_DTYPE_NUMBERS: Final = {short: number for number, name in DTYPES.items() for short in (SHORT_DTYPES[name],)}
_TORCH_NAMES: Final = {
    **{f"torch.{name}": {"as_scalar_type": number} for number, name in DTYPES.items()},
    **{f"torch.{name}": {"as_layout": number} for number, name in LAYOUTS.items()},
    **{f"torch.{name}": {"as_memory_format": number} for number, name in MEMORY_FORMATS.items()},
}
_LAYOUT_NUMBERS: Final = {name: number for number, name in LAYOUTS.items()}
_EMPTY_LISTS: Final = {
    "tensors": "as_tensors",
    "optionals": "as_optional_tensors",
    "floats": "as_floats",
    "bools": "as_bools",
    "strings": "as_strings",
}
_LITERALS: Final = {
    "None": {"as_none": True},
    "True": {"as_bool": True},
    "False": {"as_bool": False},
}
_OUTPUT_WORDS: Final = {word: (kind, NAME_FIELDS[kind]) for kind, word in OUTPUT_WORDS.items() if kind in NAME_FIELDS}
_SYMBOL_KINDS: Final = {"int": "as_sym_int", "float": "as_sym_float", "bool": "as_sym_bool"}
_LEAF: Final[dict[str, Any]] = {"type": None, "context": None, "children_spec": []}


class TextFormError(GraphlintError):
    """A graph's text form does not parse; ``line`` counts from 1."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


def parse_program(text: str, ops: OpTable | None = None) -> dict[str, Any]:
    """Parse the text form into the JSON tree of a program of schema 8.20, as stock torch loads it.

    ``ops`` gives positional arguments their names (the table of known ops unless given). Empty lines and
    lines that start with ``#`` are skipped. Raises :class:`TextFormError`.
    """
    return _ProgramParser(text, ops or op_table()).parse()


def encoded(tree: dict[str, Any]) -> bytes:
    """A program's JSON as torch writes it: Python's separators, bare infinities where they are floats."""
    return json.dumps(tree).encode()


def print_program(program: Program) -> str:
    """The text form of a whole program, ending in a newline."""
    return "".join(f"{line.text}\n" for line in program_lines(program))


def document_of(program: str | dict[str, Any], ops: OpTable | None = None) -> Document:
    """A program in text form, or its JSON tree, as a document, decoded and checked like one that was read."""
    tree = parse_program(program, ops) if isinstance(program, str) else program
    return Document.from_bytes(encoded(tree))


def tree_of(document: Document) -> dict[str, Any]:
    """The JSON tree of a document as it would be written."""
    tree: dict[str, Any] = json.loads(document.to_bytes())
    return tree


class _Line:
    """The tokens of one line, consumed from the left."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text
        self.indent = len(text) - len(text.lstrip())
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise TextFormError(f"cannot read {stripped[position:].strip()!r}", line=number)
            self.tokens.append((str(match.lastgroup), match[0].strip(), match.end()))
            position = match.end()
        self.position = 0

    def peek(self, ahead: int = 0) -> str:
        index = self.position + ahead
        return self.tokens[index][1] if index < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.position][0] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        if self.position >= len(self.tokens):
            raise self.error(f"the line ends where {repr(expected) if expected else 'more'} was expected")
        text = self.tokens[self.position][1]
        if expected is not None and text != expected:
            raise self.error(f"{text!r} where {expected!r} was expected")
        self.position += 1
        return text

    def accept(self, text: str) -> bool:
        if self.peek() == text:
            self.position += 1
            return True
        return False

    def raw_until(self, closing: str) -> str:
        """The text up to the bracket that closes, brackets inside it balanced; the bracket is consumed."""
        start = self.tokens[self.position - 1][2]
        depth = 0
        while True:
            token = self.take()
            if depth == 0 and token == closing:
                end = self.tokens[self.position - 1][2] - len(closing)
                return self.text[start:end].strip()
            depth += (token in "([{") - (token in ")]}")

    def string(self) -> str:
        """The text between the quotes of a string."""
        found = self.take()
        if not found.startswith('"'):
            raise self.error(f"{found!r} where a string was expected")
        try:
            return str(json.loads(found))
        except json.JSONDecodeError:
            raise self.error(f"{found} is no string of JSON's") from None

    def numeral(self) -> float:
        found = self.take()
        try:
            return float(found)
        except ValueError:
            raise self.error(f"{found!r} where a number was expected") from None

    def device(self, text: str) -> dict[str, Any]:
        """The device called ``text`` (``cuda:0``)."""
        kind, colon, index = text.partition(":")
        if not kind or bool(colon) != index.isdecimal():
            raise self.error(f"{text!r} is no device")
        return {"type": kind, "index": int(index) if index else None}

    def error(self, message: str) -> TextFormError:
        return TextFormError(f"{message}: {self.text.strip()!r}", line=self.number)


class _Scope:
    """The tables of one graph while it is parsed."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {
            "inputs": [],
            "outputs": [],
            "nodes": [],
            "tensor_values": {},
            "sym_int_values": {},
            "sym_bool_values": {},
            "is_single_tensor_return": False,
            "custom_obj_values": {},
            "sym_float_values": {},
        }
        self.names: set[str] = set()

    def unique(self, wanted: str) -> str:
        name, count = wanted, 0
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def symbol_kind(self, name: str, line: _Line) -> str:
        for kind, argument in _SYMBOL_KINDS.items():
            if name in self.tree[f"sym_{kind}_values"]:
                return argument
        raise line.error(f"${name} is used before it is defined")


class _ProgramParser:
    def __init__(self, text: str, ops: OpTable) -> None:
        self.ops = ops
        numbered = enumerate(text.split("\n"), 1)
        self.lines = [_Line(n, line) for n, line in numbered if line.strip() and not line.lstrip().startswith("#")]
        self.next = 0

    def line(self) -> _Line:
        if self.next >= len(self.lines):
            last = self.lines[-1].number if self.lines else 0
            raise TextFormError("the text ends in the middle of a graph", line=last + 1)
        self.next += 1
        return self.lines[self.next - 1]

    def parse(self) -> dict[str, Any]:
        verifiers: list[str] = ["TRAINING"]
        ranges: dict[str, Any] = {}
        line = self.line()
        if line.accept("program"):
            verifiers = [line.take() for _ in range(len(line.tokens) - 1)]
            line = self.line()
        while line.accept("range"):
            symbol = line.take()
            line.take("=")
            line.take("[")
            low, _, high = line.raw_until("]").partition(",")
            ranges[symbol] = {"min_val": _bound(low.strip(), line), "max_val": _bound(high.strip(), line)}
            line = self.line()
        line.take("graph")
        scope = _Scope()
        input_specs = self.inputs(scope, line, signature=True)
        output_specs = self.body(scope, line.indent, signature=True)
        if self.next < len(self.lines):
            raise self.lines[self.next].error("more after the end of the root graph")
        return {
            "graph_module": {
                "graph": scope.tree,
                "signature": {"input_specs": input_specs, "output_specs": output_specs},
                "module_call_graph": [{"fqn": "", "signature": _root_call(input_specs, output_specs)}],
                "metadata": {},
                "treespec_namedtuple_fields": {},
            },
            "opset_version": {"aten": 10},
            "range_constraints": ranges,
            "schema_version": {"major": 8, "minor": 20},
            "verifiers": verifiers,
            "torch_version": "2.13.0",
            "guards_code": [],
        }

    # -- graphs

    def inputs(self, scope: _Scope, line: _Line, *, signature: bool) -> list[Any]:
        specs: list[Any] = []
        line.take("(")
        while not line.accept(")"):
            argument = self.result(scope, line)
            scope.tree["inputs"].append(argument)
            if signature:
                specs.append(self.input_spec(argument, line))
            if line.peek() != ")":
                line.take(",")
        line.take(":")
        return specs

    def input_spec(self, argument: dict[str, Any], line: _Line) -> dict[str, Any]:
        if not line.accept("="):
            return {"user_input": {"arg": argument}}
        kind = line.take()
        if kind == "token":
            return {"token": {"arg": argument["as_tensor"]}}
        if kind not in NAME_FIELDS or kind not in InputSpec.__struct_fields__:
            raise line.error(f"{kind!r} is no kind of input")
        spec: dict[str, Any] = {NAME_FIELDS[kind]: line.string()}
        if kind == "buffer":
            spec["persistent"] = not line.accept("non-persistent")
        if kind == "constant_input":
            return {kind: {**spec, "value": argument}}
        return {kind: {"arg": next(iter(argument.values())), **spec}}

    def body(self, scope: _Scope, indent: int, *, signature: bool) -> list[Any]:
        while True:
            line = self.line()
            if line.indent <= indent:
                raise line.error("a graph without a return")
            if line.accept("return"):
                return self.outputs(scope, line, signature=signature)
            if line.accept("constant"):
                scope.tree.setdefault("constants", {})[line.take()[1:]] = ""
                continue
            self.node(scope, line)

    def outputs(self, scope: _Scope, line: _Line, *, signature: bool) -> list[Any]:
        specs: list[Any] = []
        scope.tree["is_single_tensor_return"] = line.accept("!")
        while line.peek():
            kind, spec = "user_output", {}
            if line.kind() == "name" and line.peek(2) == "<-":
                word = line.take()
                if word not in _OUTPUT_WORDS:
                    raise line.error(f"{word!r} is no kind of output")
                kind, field = _OUTPUT_WORDS[word]
                spec = {field: line.string()}
                line.take("<-")
            elif line.peek() in ("token", "loss") and line.peek(1) == "<-":
                kind = {"token": "token", "loss": "loss_output"}[line.take()]
                line.take("<-")
            argument = self.value(scope, line)
            scope.tree["outputs"].append(argument)
            value = argument if kind == "user_output" else next(iter(argument.values()))
            specs.append({kind: {"arg": value, **spec}})
            if line.peek():
                line.take(",")
        return specs if signature else []

    # -- nodes

    def node(self, scope: _Scope, line: _Line) -> None:
        outputs: list[Any] = []
        if line.kind() in ("tensor", "symbol") or line.peek() == "[" or (line.peek() == "None" and line.peek(1) != "("):
            while not line.accept("="):
                outputs.append(self.results(scope, line))
                if line.peek() != "=":
                    line.take(",")
        if line.kind() != "name":
            raise line.error(f"{line.take()!r} where an op was expected")
        op = line.take()
        if "." not in op:
            raise line.error(f"{op!r} is no op")
        target = op if op.startswith(("_operator.", "math.", "torch.")) else f"torch.ops.{op}"
        info = self.ops.lookup(target)
        names = [argument.name for argument in info.schema.arguments] if info and info.schema else []
        operands: list[Any] = []
        pending: dict[str, dict[str, Any]] = {}
        line.take("(")
        while not line.accept(")"):
            keyword = line.kind() == "name" and line.peek(1) == "="
            if keyword:
                name = line.take()
                line.take("=")
            else:
                name = names[len(operands)] if len(operands) < len(names) else ""
            value = self.value(scope, line)
            if "as_graph" in value:
                pending[value["as_graph"]["name"]] = value["as_graph"]
            operands.append({"name": name, "arg": value, "kind": 2 if keyword else 1})
            if line.peek() != ")":
                line.take(",")
        for _ in range(len(pending)):
            head = self.line()
            name = head.take()[1:]
            if head.indent <= line.indent or name not in pending:
                raise head.error(f"the body of @{next(iter(pending))} was expected")
            inner = _Scope()
            self.inputs(inner, head, signature=False)
            self.body(inner, head.indent, signature=False)
            pending.pop(name)["graph"] = inner.tree
        higher_order = op.startswith("higher_order.")
        results = [name for output in outputs for name in _names(output)]
        single = len(results) == 1 and not higher_order
        scope.tree["nodes"].append(
            {
                "target": target,
                "inputs": operands,
                "outputs": outputs,
                "metadata": {},
                "is_hop_single_tensor_return": False if higher_order else None,
                "name": results[0] if single else scope.unique(op.split(".")[1]),
            }
        )

    def results(self, scope: _Scope, line: _Line) -> dict[str, Any]:
        if line.accept("["):
            refs = []
            while not line.accept("]"):
                if line.kind() != "tensor":
                    raise line.error(f"{line.take()!r} where a tensor was expected")
                refs.append(self.result(scope, line)["as_tensor"])
                if line.peek() != "]":
                    line.take(",")
            return {"as_tensors": refs}
        if line.kind() not in ("tensor", "symbol") and line.peek() != "None":
            raise line.error(f"{line.take()!r} where a result was expected")
        return self.result(scope, line)

    def result(self, scope: _Scope, line: _Line) -> dict[str, Any]:
        """A value that is defined here, with its type."""
        if line.kind() == "tensor":
            name = line.take()[1:]
            scope.names.add(name)
            if line.accept(":"):
                scope.tree["tensor_values"][name] = self.tensor_type(line)
            return {"as_tensor": {"name": name}}
        if line.kind() == "symbol":
            name = line.take()[1:]
            scope.names.add(name)
            line.take(":")
            kind = line.take()
            if kind not in _SYMBOL_KINDS:
                raise line.error(f"{kind!r} is no type of a symbolic scalar")
            recorded = _size(line.raw_until("]"), kind) if line.accept("[") else None
            scope.tree[f"sym_{kind}_values"][name] = recorded
            return {_SYMBOL_KINDS[kind]: {"as_name": name}}
        return self.value(scope, line)

    def tensor_type(self, line: _Line) -> dict[str, Any]:
        short = line.take()
        if short not in _DTYPE_NUMBERS:
            raise line.error(f"{short!r} is no dtype")
        line.take("[")
        sizes = _split(line.raw_until("]"))
        strides = [str(step) for step in contiguous_strides(tuple(int(s) if s.isdigit() else s for s in sizes))]
        device: dict[str, Any] = {"type": "cpu", "index": None}
        if line.accept("{"):
            strides = _split(line.raw_until("}"))
        if line.kind() == "graph":
            device = line.device(line.take()[1:])
        offset = line.take() if line.accept("+") else "0"
        layout = STRIDED
        if line.accept("layout"):
            line.take("=")
            name = line.take()
            if name not in _LAYOUT_NUMBERS:
                raise line.error(f"{name!r} is no layout")
            layout = _LAYOUT_NUMBERS[name]
        return {
            "dtype": _DTYPE_NUMBERS[short],
            "sizes": [_size(size) for size in sizes],
            "requires_grad": line.accept("grad"),
            "device": device,
            "strides": [_size(stride) for stride in strides],
            "storage_offset": _size(offset),
            "layout": layout,
        }

    # -- values

    def value(self, scope: _Scope, line: _Line) -> dict[str, Any]:
        kind = line.kind()
        token = line.take()
        if kind == "tensor":
            if token.endswith("?"):
                return {"as_optional_tensor": {"as_tensor": {"name": token[1:-1]}}}
            return {"as_tensor": {"name": token[1:]}}
        if kind == "symbol":
            return {scope.symbol_kind(token[1:], line): {"as_name": token[1:]}}
        if kind == "graph":
            return {"as_graph": {"name": token[1:], "graph": None}}
        if kind == "string":
            line.position -= 1
            return {"as_string": line.string()}
        if kind == "number":
            return {"as_int": int(token)} if re.fullmatch(r"-?\d+", token) else {"as_float": _float(token)}
        if token == "None" and line.accept("?"):
            return {"as_optional_tensor": {"as_none": True}}
        if token in _LITERALS:
            return dict(_LITERALS[token])
        if token in _TORCH_NAMES:
            return dict(_TORCH_NAMES[token])
        if token in _EMPTY_LISTS and line.accept("["):
            line.take("]")
            return {_EMPTY_LISTS[token]: []}
        if token in ("ints", "floats", "bools") and line.accept("$"):
            line.take("[")
            return {f"as_sym_{token}": self.sequence(scope, line, lambda item: {f"as_{token[:-1]}": _literal(item)})}
        if token == "[":
            return self.list(scope, line)
        if token == "{":
            return self.mapping(scope, line)
        return self.called(token, line)

    def called(self, token: str, line: _Line) -> dict[str, Any]:
        """``device("cuda:0")``, ``op(aten.add.Tensor)``, ``object("name", "class")``, ``complex(1.0, 2.0)``."""
        if token not in ("device", "op", "object", "complex"):
            raise line.error(f"{token!r} is no value")
        line.take("(")
        value: dict[str, Any]
        if token == "device":
            value = {"as_device": line.device(line.string())}
        elif token == "op":
            value = {"as_operator": f"torch.ops.{line.take()}"}
        elif token == "object":
            name = line.string()
            line.take(",")
            value = {"as_custom_obj": {"name": name, "class_fqn": line.string()}}
        else:
            real = line.numeral()
            line.take(",")
            value = {"as_complex": {"real": real, "imag": line.numeral()}}
        line.take(")")
        return value

    def sequence(self, scope: _Scope, line: _Line, convert: Any) -> list[Any]:
        items = []
        while not line.accept("]"):
            items.append(convert(self.value(scope, line)))
            if line.peek() != "]":
                line.take(",")
        return items

    def list(self, scope: _Scope, line: _Line) -> dict[str, Any]:
        items = self.sequence(scope, line, lambda item: item)
        kinds = {next(iter(item)) for item in items}
        if "as_optional_tensor" in kinds or (kinds and kinds <= {"as_none"}):
            return {"as_optional_tensors": [item.get("as_optional_tensor", {"as_none": True}) for item in items]}
        symbolic = kinds & {"as_sym_int", "as_sym_float", "as_sym_bool"}
        if symbolic:
            kind = symbolic.pop()
            literal = kind.replace("sym_", "")
            refs = [item[kind] if kind in item else {literal: _literal(item)} for item in items]
            return {f"{kind}s": refs}
        if kinds <= {"as_int"}:
            return {"as_ints": [item["as_int"] for item in items]}
        if kinds <= {"as_int", "as_float"}:
            return {"as_floats": [_literal(item) for item in items]}
        nested = {"as_tensors": "as_nested_tensors", "as_ints": "as_int_lists", "as_floats": "as_float_lists"}
        if len(kinds) == 1:
            kind = kinds.pop()
            plural = nested.get(kind) or {
                "as_tensor": "as_tensors",
                "as_bool": "as_bools",
                "as_string": "as_strings",
            }.get(kind)
            if plural:
                return {plural: [item[kind] for item in items]}
        raise line.error("a list of values of different kinds")

    def mapping(self, scope: _Scope, line: _Line) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not line.accept("}"):
            key = line.string()
            line.take(":")
            items[key] = self.value(scope, line)
            if line.peek() != "}":
                line.take(",")
        return {"as_string_to_argument": items}


def _float(token: str) -> float | str:
    """Infinities and NaN are strings in the JSON, as torch 2.7 and later write them."""
    value = float(token)
    if value != value:
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


def _bound(text: str, line: _Line) -> int | None:
    """A bound of a symbol's range."""
    if text == "None":
        return None
    if not re.fullmatch(r"-?\d+", text):
        raise line.error(f"{text!r} is no bound")
    return int(text)


def _literal(item: dict[str, Any]) -> Any:
    return next(iter(item.values()))


def _names(output: dict[str, Any]) -> list[str]:
    (kind, value), *_ = output.items()
    if kind == "as_tensors":
        return [ref["name"] for ref in value]
    if kind == "as_none":
        return []
    return [value.get("name") or value.get("as_name")]


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts


def _size(text: str, kind: str = "int") -> dict[str, Any]:
    if kind == "int" and re.fullmatch(r"-?\d+", text):
        return {"as_int": int(text)}
    if text in ("True", "False"):
        return {"as_bool": text == "True"}
    return {"as_expr": {"expr_str": text, "hint": None}}


def _root_call(input_specs: list[Any], output_specs: list[Any]) -> dict[str, Any]:
    """The calling convention of a flat module: its user inputs by position; its one result, or a tuple."""

    def container(kind: str, context: str, children: list[Any]) -> dict[str, Any]:
        return {"type": f"builtins.{kind}", "context": context, "children_spec": children}

    given = [_LEAF for spec in input_specs if "user_input" in spec or "constant_input" in spec]
    returned = [_LEAF for spec in output_specs if "user_output" in spec]
    in_spec = container("tuple", "null", [container("tuple", "null", given), container("dict", "[]", [])])
    out_spec = returned[0] if len(returned) == 1 else container("tuple", "null", returned)
    names = [next(iter(spec["user_input"]["arg"].values())) for spec in input_specs if "user_input" in spec]
    return {
        "inputs": [],
        "outputs": [],
        "in_spec": json.dumps([1, in_spec]),
        "out_spec": json.dumps([1, out_spec]),
        "forward_arg_names": [name.get("name") or name.get("as_name") for name in names],
    }

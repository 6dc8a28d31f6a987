"""What in a program's JSON becomes Python code when torch loads it.

A program looks like data, but ``torch.export.load`` and ``.module()`` put parts of it through ``eval`` and ``exec``
(torch 2.13):

- symbolic expressions go to ``sympy.sympify``, which evaluates them (``torch/_export/serde/serialize.py``);
- ``guards_code`` is executed as it stands (``torch/export/_unlift.py``);
- names of values, inputs, buffers, parameters and arguments are printed into the source of the module's ``forward``
  (``torch/fx/graph.py``);
- inputs that are strings are put between quotes in guards as they are, and the keys of dicts among the inputs as
  Python spells them (``torch/export/_unlift.py``);
- the names of keyword arguments are put between quotes in ``forward`` as they are (``torch/fx/graph.py``), and so are
  the paths of modules that nodes record, once a program is unflattened (``torch/export/unflatten.py``);
- the ``in_spec`` and ``out_spec`` of a ``defaultdict`` name a callable of any module, and enumerations in them a class
  of any module, which is imported (``torch/utils/_pytree.py``);
- an operand may be any function below ``torch``, and some higher-order ops call theirs; a node may call any function
  of ``_operator``, some of which look up attributes, or call what they are given.

What torch itself writes is of a few harmless forms; everything else counts as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import astuple

from graphlint.artifact.patterns import pattern
from graphlint.ir.model import Argument, Graph, ModuleCallSignature, Program, SymSize

if TYPE_CHECKING:  # a check of a program without symbolic sizes does without it
    import ast

_OPS: Final = "torch.ops."
_NO_NAMESPACES: Final = frozenset({"import_module", "load_library", "loaded_libraries"})
"""What else ``torch.ops`` has."""
_PYTHON: Final = """
abs add and_ eq floordiv ge getitem gt invert le lshift lt mod mul ne neg not_ or_ pos pow rshift sub truediv xor
"""
_FUNCTION: Final = pattern(
    rf"_operator\.({'|'.join(_PYTHON.split())})|math\.\w+|torch\._?sym_\w+|"
    # What no op stands for until a program is decomposed.
    r"torch\._functorch\.predispatch\.\w+|torch\._C\._set_grad_enabled|"
    r"torch\.amp\.autocast_mode\._(enter|exit)_autocast|"
    r"torch\.fx\.experimental\.symbolic_shapes\.cast_symbool_to_symint_guardless|"
    r"torch\._higher_order_ops\.\w+\.\w+",  # how torch 2.4 spells higher-order ops
    re.ASCII,
)
"""What else a node may call."""
_ENDS_NAME: Final = frozenset({'"', "\\", *map(chr, range(ord(" ")))})
"""What could end the string that each part of a qualified name is put in, or be another name there."""
_ENDS_INPUT: Final = frozenset("\"'\\\n\r\0")
"""What does not say the same when it is put between quotes as it is."""
_NUMBER: Final = pattern(r"[-+]?(\d[\d.]*|\.\d+)(e[-+]?\d+)?|[-+]?(inf|nan|oo)", re.ASCII | re.IGNORECASE)
_TEXT: Final = pattern(r"'([^'\\\n\r]|\\[^'\n\r])*'")
"""A string in an expression."""

_FUNCTION_NAMES: Final = """
Symbol Integer Rational Float Add Mul Pow Mod Max Min Abs Eq Ne Equality Unequality GreaterThan LessThan
StrictGreaterThan StrictLessThan Ge Gt Le Lt And Or Not Piecewise ExprCondPair floor ceiling sqrt exp log sin
cos FloorDiv ModularIndexing Where PythonMod CleanDiv CeilDiv CeilToInt FloorToInt TruncToInt TruncToFloat
RoundToInt RoundDecimal ToFloat IntTrueDiv FloatTrueDiv FloatPow PowByNatural LShift RShift
BitwiseFn_bitwise_and BitwiseFn_bitwise_or BitwiseFn_bitwise_xor Identity IsNonOverlappingAndDenseIndicator
OpaqueUnaryFn_sqrt OpaqueUnaryFn_cos OpaqueUnaryFn_cosh OpaqueUnaryFn_sin OpaqueUnaryFn_sinh OpaqueUnaryFn_tan
OpaqueUnaryFn_tanh OpaqueUnaryFn_asin OpaqueUnaryFn_acos OpaqueUnaryFn_atan OpaqueUnaryFn_exp
OpaqueUnaryFn_log OpaqueUnaryFn_log2 OpaqueUnaryFn_asinh IntInfinity NegativeIntInfinity min max abs round
"""
_FUNCTIONS: Final = frozenset(_FUNCTION_NAMES.split())
"""What sympy and ``torch/utils/_sympy/functions.py`` call the functions in expressions."""
_METHODS: Final = frozenset({"size", "stride", "storage_offset", "dim", "shape"})
_MATH_NAMES: Final = """
isnan inf nan floor ceil trunc sqrt log log2 exp pow sin sinh asin asinh cos cosh acos tan tanh atan fmod
"""
_MATH: Final = frozenset(_MATH_NAMES.split())
_DICTS: Final = frozenset({"builtins.dict", "collections.OrderedDict"})
_FACTORIES: Final = frozenset({"bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
"""Builtins that a ``defaultdict`` may call."""
_QUALIFIED: Final = frozenset(
    {"parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "user_input_name", "fqn", "class_fqn"}
)
_IMPORTS: Final = "imports "
_LONGEST: Final = 1 << 16
"""Characters of an expression that is looked into: torch, too, would take minutes for more."""
_MOST: Final = 1 << 20
"""Characters of all guards together that are looked into."""
_WORLDLY: Final = frozenset({"torch.ops.aten.from_file", "torch.ops.aten.save"})
"""Ops that reach beyond the process: they open a file, and make it."""


def program_code(
    program: Program, *, strict: bool = False, allows: Callable[[str], bool] = lambda _: False
) -> str | None:
    """What of a program torch would run as code, as a phrase (``evaluates "…"``); None if nothing.

    Values that nodes make are named by names: decoding has seen to that. ``strict``: inputs, outputs and arguments of
    kinds that are not known here count, too. ``allows`` tells which names may be imported.
    """
    found = _found(program, strict)
    return next((what for what in found if not _is_allowed(what, allows)), None)


def _is_allowed(what: str, allows: Callable[[str], bool]) -> bool:
    import json

    return what.startswith(_IMPORTS) and allows(json.loads(what.removeprefix(_IMPORTS)).replace(":", "."))


def unread_code(tree: Any) -> str | None:
    """The same of a program that contradicts itself or is none, as JSON has it."""
    return next(chain(_of_guards(_guards(tree)), _of_texts(tree), _walk(tree, strict=False)), None)


def _guards(tree: Any) -> list[Any]:
    guards = tree.get("guards_code") if isinstance(tree, dict) else None
    return guards if isinstance(guards, list) else []


def _of_texts(tree: Any) -> Iterator[str]:
    """Of the strings among the inputs of graphs: other than the operands of nodes, these have no name."""
    for part in _nested(tree):
        inputs = part.get("inputs") if isinstance(part, dict) else None
        for one in inputs if isinstance(inputs, list) else ():
            text = one.get("as_string") if isinstance(one, dict) else None
            if isinstance(text, str) and not _ENDS_INPUT.isdisjoint(text):
                yield f"has the string {_shown(text)} as an input"


def _found(program: Program, strict: bool) -> Iterator[str]:
    module = program.graph_module
    yield from _of_guards(program.guards_code or ())
    yield from _of_graph(program.graph, strict)
    for spec in (*module.signature.input_specs, *module.signature.output_specs):
        given = [one for kind in spec.__struct_fields__ if (one := getattr(spec, kind)) is not None]
        if strict and not given:
            yield "has an input or output of a kind that is not known"
        yield from _walk(given, strict)
    yield from _walk(module.module_call_graph, strict)


def _of_guards(guards: Any) -> Iterator[str]:
    length = sum(len(guard) for guard in guards if isinstance(guard, str))
    if length > _MOST:
        yield f"executes guards of {length} characters, too many to look into"
        return
    for guard in guards:
        if not _is_harmless_code(guard, _is_guard):
            yield f"executes the guard {_shown(guard)}"


def _of_graph(graph: Graph, strict: bool) -> Iterator[str]:
    survey, nodes = graph.survey, graph.nodes
    named = [node.name for node in nodes]
    names = [*(name for name in named if name and not name.isidentifier()), *survey.keywords]
    paths = dict.fromkeys([node.metadata.get("nn_module_stack", "") for node in nodes if node.metadata])
    made = [output for position in survey.several for output in nodes[position].outputs]
    yield from _of_inputs(graph.inputs)
    yield from _walk(graph.inputs, strict)
    yield from _walk(graph.outputs, strict)
    yield from (found for name in dict.fromkeys(names) for found in _string("name", name))
    yield from (found for path in paths for found in _string("nn_module_stack", path))
    yield from (found for target in graph.by_target for found in _string("target", target))
    yield from _walk([*(argument for _, argument in survey.rare), *made], strict)
    symbols = (graph.sym_int_values, graph.sym_float_values, graph.sym_bool_values, graph.custom_obj_values)
    for recorded in (graph.tensor_values, *symbols):
        yield from [f"has a value named {_shown(name)}" for name in recorded if not name.isidentifier()]
    metas = list(graph.tensor_values.values())
    metas += [meta.meta for meta in metas if meta.meta]  # which one torch reads depends on its version
    sizes = [size.as_expr for meta in metas for size in meta.sizes if size.as_expr is not None]
    sizes += [stride.as_expr for meta in metas for stride in meta.strides if stride.as_expr is not None]
    offsets = [meta.storage_offset for meta in metas if isinstance(meta.storage_offset, SymSize)]
    sizes += [offset.as_expr for offset in offsets if offset.as_expr is not None]
    expressions = dict.fromkeys(size.expr_str for size in sizes)
    yield from (found for expression in expressions for found in _string("expr_str", expression))
    for values in symbols:
        yield from _walk(list(values.values()), strict)


def _walk(value: Any, strict: bool) -> Iterator[str]:
    """Of what is neither a node nor the record of a tensor, typed or not."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, strict)
    elif isinstance(value, Graph):
        yield from _of_graph(value, strict)
    elif isinstance(value, (dict, msgspec.Struct)):
        if strict and isinstance(value, Argument) and value.value is None:
            yield "has an argument of a kind that is not known"
        parts = value.items() if isinstance(value, dict) else zip(value.__struct_fields__, astuple(value), strict=True)
        for key, item in parts:
            if item is None:
                continue
            if isinstance(item, str):
                yield from _string(key, item)
            elif key == "forward_arg_names" and isinstance(item, list):
                names = (name for name in item if not (isinstance(name, str) and name.isidentifier()))
                yield from (f"has an argument named {_shown(name)}" for name in names)
            else:
                if isinstance(value, ModuleCallSignature) and key == "inputs":
                    yield from _of_inputs(item)
                yield from _walk(item, strict)


def _of_inputs(inputs: list[Argument]) -> Iterator[str]:
    texts = [one.as_string for one in inputs if one.as_string is not None]
    yield from (f"has the string {_shown(text)} as an input" for text in texts if not _ENDS_INPUT.isdisjoint(text))


def _string(key: str, value: str) -> Iterator[str]:
    """Of a string in the place that ``key`` says."""
    if key in ("in_spec", "out_spec"):
        yield from _of_spec(value, is_input=key == "in_spec")
    elif key in _STRINGS:
        admits, phrase = _STRINGS[key]
        if not admits(value):
            yield phrase.format(_shown(value))
    if key in ("target", "as_operator") and ".".join(value.split(".")[:4]) in _WORLDLY:
        yield f"runs {value}, which opens a file"


def _is_name(text: str) -> bool:
    return not text or text.isidentifier()


def _is_op(target: str) -> bool:
    """Whether it is an op, with or without overload: nothing else that ``torch.ops`` has, nor what any object has (of
    all namespaces, only aten has ops that are called ``__and__``).
    """
    if not (target.startswith(_OPS) and target.isascii()):
        return False
    namespace, *names = target.removeprefix(_OPS).split(".")
    if namespace in _NO_NAMESPACES or not 0 < len(names) < (2 if namespace == "higher_order" else 3):
        return False
    words = namespace, *names
    hidden = namespace, *names[namespace == "aten" :]
    return all(word and f"_{word}".isidentifier() for word in words) and not any(one[:2] == "__" for one in hidden)


def _is_target(target: str) -> bool:
    return _is_op(target) or _FUNCTION.fullmatch(target) is not None


@cache
def _is_size(expression: str) -> bool:
    return _is_harmless_code(expression, _is_expression)


_STRINGS: Final[dict[str, tuple[Callable[[str], object], str]]] = {
    "expr_str": (_is_size, "evaluates {}"),
    "target": (_is_target, "calls {}, which is no op"),
    "as_operator": (_is_op, "hands the function {} to an op"),  # which runs it
    **dict.fromkeys(("name", "as_name"), (_is_name, "has a value or an argument named {}")),
    "nn_module_stack": (_ENDS_NAME.isdisjoint, "has a node of a module {}"),
    **dict.fromkeys(_QUALIFIED, (_ENDS_NAME.isdisjoint, "has a parameter, buffer or module named {}")),
}
"""What a string may be in the place of a key, and what is said of others."""


def _of_spec(spec: str, *, is_input: bool) -> Iterator[str]:
    """Of a pytree's specification."""
    if not spec:
        return
    try:
        _, root = msgspec.json.decode(spec)
        contexts = [(part["type"], _context(part["context"])) for part in _parts(root)]
        children = root["children_spec"]
        keywords = _context(children[1]["context"]) if is_input and _are_arguments(children) else ()
        for kind, context in contexts:
            nested = list(_nested(context))
            if kind == "collections.defaultdict":
                module, name = context["default_factory_module"], context["default_factory_name"]
                if module != "builtins" or name not in _FACTORIES:
                    yield f"has a defaultdict that calls {_shown(f'{module}.{name}')}"
            # How torch spells the members of enumerations.
            members = [one.get("fqn") for one in nested if isinstance(one, dict) and "__enum__" in one]
            yield from (f"{_IMPORTS}{_shown(member)}" for member in members)
            if kind in _DICTS and not members and not _are_keys(context):
                yield f"has a dictionary with the keys {_shown(context)}"
            if is_input:
                odd = [text for text in nested if isinstance(text, str) and _may_end_text(text)]
                yield from (f"has an input named {_shown(text)}" for text in odd)
    except (msgspec.DecodeError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        yield f"has a structure that cannot be read: {_shown(spec)}"
        return
    odd = [name for name in keywords if not (isinstance(name, str) and name.isidentifier())]
    yield from (f"has an input named {_shown(name)}" for name in odd)


def _are_arguments(children: list[Any]) -> bool:
    """Whether they are what a call is given: a tuple, and a dict of what has a name."""
    return len(children) == 2 and children[1]["type"] == "builtins.dict"


def _are_keys(keys: Any) -> bool:
    return isinstance(keys, list) and all(key is None or isinstance(key, (str, int, float)) for key in keys)


def _may_end_text(text: str) -> bool:
    """Whether a text could end the string that torch puts it in, in a guard or in what is said where one fails."""
    return '"' in text or "'" in text


def _parts(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield spec
    for child in spec["children_spec"]:
        yield from _parts(child)


def _context(context: Any) -> Any:
    """What a container says of itself: JSON in a string, or JSON."""
    if not isinstance(context, str):
        return context
    if "{" in context:
        import json

        return json.loads(context, object_pairs_hook=_distinct)
    try:
        return msgspec.json.decode(context)
    except msgspec.DecodeError:
        return context


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no name occurs twice: torch imports the enumerations in a value even where another one
    takes its place.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TypeError("a name occurs twice")
    return found


def _nested(value: Any) -> Iterator[Any]:
    """A value of JSON and all that is in it, keys included."""
    yield value
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nested(item)


def _is_harmless_code(text: Any, admits: Any) -> bool:
    """Whether every part of a Python expression is one that ``admits`` or plain arithmetic."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return False
    bare = _TEXT.sub("", text)
    if any(character in bare for character in '\\\n\r#;"'):
        return False
    import ast

    plain = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Load)
    operators = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
    try:
        tree = ast.parse(text, mode="eval")
        return all(isinstance(node, (*plain, *operators)) or admits(node) for node in ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_expression(node: ast.AST) -> bool:
    """Numbers, names, and calls of the functions that expressions are made of."""
    import ast

    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str):
            return value.isidentifier() or _NUMBER.fullmatch(value) is not None
        return isinstance(value, (bool, int, float))
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.keyword):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, (ast.Name, ast.Tuple))


def _is_guard(node: ast.AST) -> bool:
    """Sizes and strides of inputs (``L['x'].size()[0]``), compared with one another and with numbers."""
    import ast

    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str) or not _may_end_text(node.value)
    if isinstance(node, ast.Call):
        function = node.func
        return isinstance(function, ast.Attribute) or (isinstance(function, ast.Name) and function.id in _FUNCTIONS)
    if isinstance(node, ast.Attribute):
        of = node.value.id if isinstance(node.value, ast.Name) else None
        if of == "torch":
            return node.attr.removeprefix("_").startswith("sym_")
        return node.attr in (_MATH if of == "math" else _METHODS)
    return isinstance(node, (ast.Name, ast.Subscript, ast.Slice, ast.keyword, ast.IfExp))


def _shown(text: Any) -> str:
    import json

    shown = str(text)
    return json.dumps(shown if len(shown) <= 80 else f"{shown[:77]}...")

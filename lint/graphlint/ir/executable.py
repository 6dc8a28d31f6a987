"""What in a program's JSON becomes Python code when torch loads it.

A program looks like data, but ``torch.export.load`` and ``.module()`` put parts of it through ``eval`` and ``exec``
(torch 2.13):

- symbolic expressions go to ``sympy.sympify``, which evaluates them (``torch/_export/serde/serialize.py``);
- ``guards_code`` is executed as it stands (``torch/export/_unlift.py``);
- names of values, inputs, buffers, parameters and arguments are printed into the source of the module's ``forward``
  (``torch/fx/graph.py``);
- inputs that are strings, and the keys of dicts among the inputs, are printed into guards
  (``torch/export/_unlift.py``);
- the ``in_spec`` and ``out_spec`` of a ``defaultdict`` name a callable of any module, and enumerations in them a class
  of any module, which is imported (``torch/utils/_pytree.py``);
- an operand may be any function below ``torch``, and some higher-order ops call theirs.

What torch itself writes is of a few harmless forms; everything else counts as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from graphlint.ir.arguments import Json
from graphlint.ir.model import Argument, Graph, Program, Spec, SymRef, SymSize

if TYPE_CHECKING:  # a check of a program without symbolic sizes does without it
    import ast

_OP: Final = (
    r"torch\.ops\.(?!(import_module|load_library|loaded_libraries)\b|__)\w+"  # what else `torch.ops` has
    r"\.((?<=\.aten\.)|(?!__))\w+(\.(?!__)\w+)?"  # nor what any object has: only aten's ops are called `__and__`
)
_OPERATOR: Final = re.compile(_OP, re.ASCII)
_TARGET: Final = re.compile(
    rf"{_OP}|_operator\.\w+|math\.\w+|torch\._?sym_\w+|"
    # What no op stands for until a program is decomposed.
    r"torch\._functorch\.predispatch\.\w+|torch\._C\._set_grad_enabled|"
    r"torch\.amp\.autocast_mode\._(enter|exit)_autocast|"
    r"torch\.fx\.experimental\.symbolic_shapes\.cast_symbool_to_symint_guardless|"
    r"torch\._higher_order_ops\.\w+\.\w+",  # how torch 2.4 spells higher-order ops
    re.ASCII,
)
_QUALIFIED_NAME: Final = re.compile(r'([^"\\\x00-\x1f]|\\[^".\x00-\x1f])*')
"""Nothing that could end the string that each part of such a name is put in: a quote, or a backslash before one."""
_NUMBER: Final = re.compile(r"[-+]?(\d[\d.]*|\.\d+)(e[-+]?\d+)?|[-+]?(inf|nan|oo)", re.ASCII | re.IGNORECASE)
_TEXT: Final = re.compile(r"'([^'\\\n\r]|\\[^'\n\r])*'")
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
_FACTORIES: Final = frozenset({"bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
"""Builtins that a ``defaultdict`` may call."""
_QUALIFIED: Final = frozenset(
    {"parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "user_input_name", "fqn", "class_fqn"}
)
_LONGEST: Final = 1 << 16
"""Characters of an expression that is looked into: torch, too, would take minutes for more."""
_MOST: Final = 1 << 20
"""Characters of all guards together that are looked into."""
_WORLDLY: Final = re.compile(r"torch\.ops\.aten\.from_file\b")
"""Ops that reach beyond the process: this one opens a file, and makes it if it is told to."""


def program_code(tree: Json) -> str | None:
    """What of a program's JSON torch would run as code, as a phrase (``evaluates "…"``); None if nothing."""
    return next(_found(tree), None)


def may_run(program: Program) -> bool:
    """Whether :func:`program_code` is to be asked: False only where nothing of what graphlint reads of the program is
    more than data. Takes a fraction of the time.
    """
    module = program.graph_module
    signature = module.signature
    specs = [*(signature.input_specs or ()), *(signature.output_specs or ())]
    given = [one for spec in specs for kind in spec.__struct_fields__ if (one := getattr(spec, kind)) is not None]
    parts: list[Any] = [msgspec.structs.asdict(one) for one in given if not _is_plain_spec(one)]
    arguments: list[Argument] = []
    strings = [one.as_string for one in program.graph.inputs if one.as_string is not None]
    parts.append({"inputs": [{"as_string": text} for text in strings]})
    for entry in module.module_call_graph:
        parts.append({"fqn": entry.fqn})
        if entry.signature is not None:
            called = entry.signature
            parts.append({key: getattr(called, key) for key in ("in_spec", "out_spec", "forward_arg_names")})
            arguments += (*called.inputs, *called.outputs)
    if any(True for _ in _found({"guards_code": program.guards_code, "graph_module": parts})):
        return True
    return not all(map(_is_plain, arguments)) or _graph_may_run(program.graph)


def _is_plain_spec(given: Spec) -> bool:
    """Whether it says which parameter, buffer or constant a value is, as most do, and nothing in it is code."""
    value, qualified = given.arg, given.parameter_name or given.buffer_name or given.tensor_constant_name
    if type(value) is not dict or len(value) != 1 or qualified is None or given.name is not None:
        return False
    known = (given.parameter_name, given.buffer_name, given.tensor_constant_name).count(None) == 2
    others = given.custom_obj_name is None and given.user_input_name is None
    name = value.get("name")
    if not (known and others and type(name) is str and name.isidentifier()):
        return False
    return _QUALIFIED_NAME.fullmatch(qualified) is not None


def _graph_may_run(graph: Graph) -> bool:
    # Names of values have been looked at when the program was decoded. Each node is looked at once only: this is a part
    # of every check, and takes as long as it takes to fetch them into the processor's cache.
    names: set[str] = set()
    targets: set[str] = set()
    arguments = [one for one in (*graph.inputs, *graph.outputs) if one.as_tensor is None]
    for node in graph.nodes:
        targets.add(node.target)
        if node.name and not node.name.isidentifier():
            return True
        for operand in node.inputs:
            names.add(operand.name)
            if operand.arg.as_tensor is None and not operand.arg.is_constant:
                arguments.append(operand.arg)
        for output in node.outputs:
            if output.as_tensor is None:
                arguments.append(output)  # noqa: PERF401 - a list for each node would take longer
    expressions: set[str] = set()
    for meta in graph.tensor_values.values():
        for own in (meta,) if meta.meta is None else (meta, meta.meta):  # which one torch reads depends on its version
            for size in own.sizes:
                if size.as_expr is not None:
                    expressions.add(size.as_expr.expr_str)
            for stride in own.strides:
                if stride.as_expr is not None:
                    expressions.add(stride.as_expr.expr_str)
            if isinstance(own.storage_offset, SymSize) and own.storage_offset.as_expr is not None:
                expressions.add(own.storage_offset.as_expr.expr_str)
    symbols = [graph.sym_int_values, graph.sym_float_values, graph.sym_bool_values, graph.custom_obj_values]
    return not (
        all(map(_is_name, names - {""}))
        and not any(map(_of_target, targets))
        and all(map(_is_size, expressions))
        and all(map(_is_plain, arguments))
        and not any(True for _ in _walk(symbols))
    )


def _is_plain(argument: Argument) -> bool:
    """Whether an argument is of a known kind, and nothing in it is code."""
    if argument.as_graph is not None:
        return _is_name(argument.as_graph.name) and not _graph_may_run(argument.as_graph.graph)
    if argument.as_operator is not None:
        return _of_operator(argument.as_operator) is None
    if argument.as_custom_obj is not None:
        held = argument.as_custom_obj
        return _is_name(held.name) and _QUALIFIED_NAME.fullmatch(held.class_fqn) is not None
    if argument.as_string_to_argument is not None:
        return all(map(_is_plain, argument.as_string_to_argument.values()))
    value = argument.value
    if not all(one.as_name is not None or one.literal is not None for one in _symbols(value)):
        return False
    names = argument.names()
    return all(map(_is_name, names)) if names else value is not None


def _symbols(value: Any) -> list[SymRef]:
    """The symbolic scalars that an argument is, or a list of."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, SymRef)]


@cache
def _is_size(expression: str) -> bool:
    return _is_harmless_code(expression, _is_expression)


def _found(tree: Json) -> Iterator[str]:
    guards = tree.get("guards_code") or ()
    length = sum(len(guard) for guard in guards if isinstance(guard, str))
    if length > _MOST:
        yield f"executes guards of {length} characters, too many to look into"
        guards = ()
    for guard in guards:
        if not _is_harmless_code(guard, _is_guard):
            yield f"executes the guard {_shown(guard)}"
    yield from _walk(tree.get("graph_module"))


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                found = _string(key, item)
                if found:
                    yield found
            elif key.endswith("_values") and isinstance(item, dict):
                yield from (f"has a value named {_shown(name)}" for name in item if not _is_name(name))
                yield from _walk(list(item.values()))
            elif key == "inputs" and isinstance(item, list):
                texts = [one.get("as_string") for one in item if isinstance(one, dict)]
                yield from (f"has the string {_shown(one)} as an input" for one in texts if one and may_end_text(one))
                yield from _walk(item)
            elif key == "forward_arg_names" and isinstance(item, list):
                yield from (f"has an argument named {_shown(name)}" for name in item if not _is_name(name))
            elif key != "metadata" or not _is_text(item):  # an argument may have that name, too
                yield from _walk(item)


def _is_text(metadata: Json) -> bool:
    """Whether it is what stands in ``metadata``, which torch evaluates none of: strings by name."""
    return isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())


def _string(key: str, value: str) -> str | None:
    """What is wrong with a string in the place that ``key`` says."""
    if key == "expr_str":
        return None if _is_harmless_code(value, _is_expression) else f"evaluates {_shown(value)}"
    if key == "target":
        return _of_target(value)
    if key == "as_operator":
        return _of_operator(value)
    if key in ("name", "as_name"):
        return None if not value or _is_name(value) else f"has a value or an argument named {_shown(value)}"
    if key in ("in_spec", "out_spec"):
        return _of_spec(value, is_input=key == "in_spec")
    if key in _QUALIFIED and not _QUALIFIED_NAME.fullmatch(value):
        return f"has a parameter, buffer or module named {_shown(value)}"
    return None


def _of_target(target: str) -> str | None:
    return _of_op(target) if _TARGET.fullmatch(target) else f"calls {_shown(target)}, which is no op"


def _of_operator(target: str) -> str | None:
    """What is wrong with an op that is given to another one, which runs it."""
    return _of_op(target) if _OPERATOR.fullmatch(target) else f"hands the function {_shown(target)} to an op"


def _of_op(target: str) -> str | None:
    return f"runs {target}, which opens a file" if _WORLDLY.match(target) else None


def _of_spec(spec: str, *, is_input: bool) -> str | None:
    """What is wrong with a pytree's specification (``in_spec``, ``out_spec``)."""
    if not spec:
        return None
    try:
        _, root = msgspec.json.decode(spec)
        keywords = root["children_spec"][1]["context"] if len(root["children_spec"]) == 2 else None
        names = msgspec.json.decode(keywords) if isinstance(keywords, str) else None
        parts = list(_parts(root))
        contexts = [_context(part["context"]) for part in parts]
        strings = [text for context in contexts for text in _leaves(context)]
        for part, context in zip(parts, contexts, strict=True):
            if part["type"] == "collections.defaultdict" and not _is_builtin(context):
                return f"has a defaultdict that calls {_shown(_factory(context))}"
    except (msgspec.DecodeError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"has a structure that cannot be read: {_shown(spec)}"
    for member in (found for context in contexts for found in _enumerations(context)):
        return f"imports {_shown(member)}"
    if not is_input:
        return None
    odd = [text for text in strings if may_end_text(text)]
    odd += [name for name in names or () if isinstance(name, str) and not _is_name(name)]
    return f"has an input named {_shown(odd[0])}" if odd else None


def may_end_text(text: str) -> bool:
    """Whether a text could end the string that torch puts it in, in a guard or in what is said where one fails."""
    return '"' in text or "'" in text


def _parts(spec: Json) -> Iterator[Json]:
    yield spec
    for child in spec["children_spec"]:
        yield from _parts(child)


def _context(context: Any) -> Any:
    """What a container says of itself: JSON in a string, or JSON."""
    if isinstance(context, str):
        try:
            if "{" in context:
                import json

                return json.loads(context, object_pairs_hook=_distinct)
            return msgspec.json.decode(context)
        except msgspec.DecodeError:
            return context
    return context


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no name occurs twice: torch imports the enumerations in a value even where another one
    takes its place.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TypeError("a name occurs twice")
    return found


def _enumerations(context: Any) -> Iterator[Any]:
    """The members of enumerations in it, as torch spells them."""
    if isinstance(context, dict):
        if "__enum__" in context:
            yield context.get("fqn")
        context = list(context.values())
    if isinstance(context, list):
        for item in context:
            yield from _enumerations(item)


def _is_builtin(context: Any) -> bool:
    """Whether a ``defaultdict`` makes what it lacks by a plain builtin."""
    return context["default_factory_module"] == "builtins" and context["default_factory_name"] in _FACTORIES


def _factory(context: Any) -> str:
    return f"{context['default_factory_module']}.{context['default_factory_name']}"


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)


def _is_name(name: str) -> bool:
    return name.isidentifier()


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
            return _is_name(value) or _NUMBER.fullmatch(value) is not None
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
        return not isinstance(node.value, str) or not may_end_text(node.value)
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

"""What torch would run as code: found in every form that loading has for it, and never in what torch writes."""

from __future__ import annotations

import json

import msgspec
import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ProgramError
from graphlint.artifact.rewrite import write_archive
from graphlint.ir.document import Document
from graphlint.ir.executable import program_code
from graphlint.ir.model import Program
from graphlint.rules.code import find_code, find_program_code
from graphlint.run.api import lint
from graphlint.run.engine import read_document

from .attacks import MKDIR, made, saved


def test_what_torch_writes_is_data(artifacts):
    paths = sorted(artifacts.glob("*/*.pt2"))
    assert len(paths) > 100
    for path in paths:
        with open_artifact(path) as artifact:
            assert [one.describe() for one in find_code(artifact)] == [], path
            for entry in artifact.programs:
                assert program_code(read_document(artifact, entry).program, strict=True) is None, path


COMPILED = "belongs to compiled code (AOTInductor), which torch loads with the program"


def program(artifacts, case="async_assert"):
    with open_artifact(artifacts / "2.13.0" / f"{case}.pt2") as artifact:
        return json.loads(artifact.read_program(artifact.programs[0]))


def code_in(tree):
    """What is found, whether or not the program contradicts itself."""
    return program_code(msgspec.json.decode(json.dumps(tree), type=Program))


def in_node(key, value):
    def change(tree):
        tree["graph_module"]["graph"]["nodes"][0][key] = value

    return change


def in_operand(argument):
    def change(tree):
        tree["graph_module"]["graph"]["nodes"][0]["inputs"][0] |= {"name": "self", "arg": argument}

    return change


def in_entry(key, value):
    def change(tree):
        tree["graph_module"]["module_call_graph"][0]["signature"][key] = value

    return change


def spec(kind, context, *children):
    return {"type": kind, "context": context, "children_spec": list(children)}


LEAF = spec(None, None)
FACTORY = {"default_factory_module": "os", "default_factory_name": "abort", "dict_context": ["x"]}
ENUM = {"__enum__": True, "fqn": "antigravity:A", "name": "B"}
EVIL = "__import__('os').abort()"
SYMBOL = {"as_sym_int": {"as_expr": {"expr_str": EVIL, "hint": None}}}
CHANGES = {
    "guard": (lambda tree: tree.update(guards_code=[EVIL]), f'executes the guard "{EVIL}"'),
    "guard-lambda": (lambda tree: tree.update(guards_code=["(lambda: 1)()"]), 'executes the guard "(lambda: 1)()"'),
    "guard-attribute": (
        lambda tree: tree.update(guards_code=["L['x'].__class__ == 1"]),
        "executes the guard \"L['x'].__class__ == 1\"",
    ),
    "guard-two-lines": (
        lambda tree: tree.update(guards_code=["L['x'].size()[0] ==\n1"]),
        "executes the guard \"L['x'].size()[0] ==\\n1\"",
    ),
    "expression": (in_operand(SYMBOL), f'evaluates "{EVIL}"'),
    "expression-calls-a-builtin": (
        in_operand({"as_sym_int": {"as_expr": {"expr_str": "eval('x')"}}}),
        "evaluates \"eval('x')\"",
    ),
    "value-name": (
        lambda tree: tree["graph_module"]["graph"]["inputs"].append({"as_tensor": {"name": f"x={EVIL}"}}),
        f'has a value or an argument named "x={EVIL}"',
    ),
    "keyword": (
        lambda tree: tree["graph_module"]["graph"]["nodes"][0]["inputs"][0].update(name=f"x={EVIL}"),
        f'has a value or an argument named "x={EVIL}"',
    ),
    "recorded-value": (
        lambda tree: tree["graph_module"]["graph"]["tensor_values"].update({"a b": {}}),
        'has a value named "a b"',
    ),
    "operator": (
        in_operand({"as_operator": "torch.utils._pytree.os.abort"}),
        'hands the function "torch.utils._pytree.os.abort" to an op',
    ),
    "target": (in_node("target", "torch.hub.load"), 'calls "torch.hub.load", which is no op'),
    "file": (
        in_node("target", "torch.ops.aten.from_file.default"),
        "runs torch.ops.aten.from_file.default, which opens a file",
    ),
    "buffer": (
        lambda tree: tree["graph_module"]["signature"]["input_specs"].append({"buffer": {"buffer_name": '"),x("'}}),
        'has a parameter, buffer or module named "\\"),x(\\""',
    ),
    "argument": (in_entry("forward_arg_names", [f"x={EVIL}"]), f'has an argument named "x={EVIL}"'),
    "defaultdict": (
        in_entry("out_spec", json.dumps([1, spec("collections.defaultdict", json.dumps(FACTORY), LEAF)])),
        'has a defaultdict that calls "os.abort"',
    ),
    "enumeration": (
        in_entry("out_spec", json.dumps([1, spec("builtins.dict", json.dumps([ENUM]), LEAF)])),
        'imports "antigravity:A"',
    ),
    "keys": (
        in_entry("in_spec", json.dumps([1, spec("builtins.dict", json.dumps(["x'+'"]), LEAF)])),
        "has an input named \"x'+'\"",
    ),
    "keywords-that-are-no-names": (
        in_entry(
            "in_spec", json.dumps([1, spec("builtins.tuple", "null", LEAF, spec("builtins.dict", '["x=1"]', LEAF))])
        ),
        'has an input named "x=1"',
    ),
    "keywords-that-are-no-texts": (
        # Between quotes, `['', ' + f() + ']` is a string, an expression and a string.
        in_entry(
            "in_spec", json.dumps([1, spec("builtins.tuple", "null", LEAF, spec("builtins.dict", '[["", "+f()+"]]'))])
        ),
        "has a dictionary with the keys \"[['', '+f()+']]\"",
    ),
    "keys-that-are-no-list": (
        in_entry("out_spec", json.dumps([1, spec("collections.OrderedDict", '"abc"', LEAF)])),
        'has a dictionary with the keys "abc"',
    ),
    "string-with-an-escape": (
        lambda tree: tree["graph_module"]["graph"]["inputs"].append({"as_string": "a\\x22"}),
        'has the string "a\\\\x22" as an input',
    ),
    "string-of-two-lines": (
        lambda tree: tree["graph_module"]["graph"]["inputs"].append({"as_string": "a\nb"}),
        'has the string "a\\nb" as an input',
    ),
    "module": (
        in_node("metadata", {"nn_module_stack": 'L__self__,,m.M;L__self___a,a"),f("),m.N'}),
        'has a node of a module "L__self__,,m.M;L__self___a,a\\"),f(\\"),m.N"',
    ),
    "escape-in-a-name": (
        lambda tree: tree["graph_module"]["module_call_graph"][0].update(fqn="a\\x5f"),
        'has a parameter, buffer or module named "a\\\\x5f"',
    ),
    "attribute-of-anything": (
        in_node("target", "_operator.attrgetter"),
        'calls "_operator.attrgetter", which is no op',
    ),
    "method-of-an-op": (
        in_operand({"as_operator": "torch.ops.higher_order.cond.py_impl"}),
        'hands the function "torch.ops.higher_order.cond.py_impl" to an op',
    ),
    "unreadable-spec": (in_entry("in_spec", "{"), 'has a structure that cannot be read: "{"'),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_programs_that_run_something(artifacts, change, expected):
    tree = program(artifacts)
    assert code_in(tree) is None
    change(tree)
    assert code_in(tree) == expected


REFUSED = {"value-name", "buffer", "string-with-an-escape", "string-of-two-lines"}
"""What no check gets to see: it contradicts the rest of the program."""


@pytest.mark.parametrize("name", CHANGES)
def test_checks_look_at_programs_that_run_something(artifacts, name):
    change, expected = CHANGES[name]
    tree = program(artifacts)
    change(tree)
    if name in REFUSED:
        with pytest.raises(ProgramError):
            Document.from_bytes(json.dumps(tree).encode())
    else:
        assert find_program_code(Document.from_bytes(json.dumps(tree).encode())) == expected


@pytest.mark.parametrize("context", [{"default_factory_module": "builtins", "default_factory_name": "list"}, "Mine"])
def test_containers_that_call_nothing(artifacts, context):
    kind = "collections.defaultdict" if isinstance(context, dict) else "transformers.Cache"
    tree = program(artifacts)
    in_entry("out_spec", json.dumps([1, spec(kind, json.dumps(context), LEAF)]))(tree)
    assert code_in(tree) is None


@pytest.mark.parametrize(
    "guard",
    [
        "L['x'].size()[0] > 5",
        "L['flat_args'][0].size()[0] == 2*L['y']['k'].size()[1]",
        "Eq(Mod(L['x'].stride()[0], 4), 0) and not math.isnan(L['scale'])",
    ],
)
def test_guards_on_sizes_are_data(artifacts, guard):
    assert code_in(program(artifacts) | {"guards_code": [guard]}) is None


@pytest.mark.parametrize(
    "expression",
    [
        "2*s0 + 1",
        "Add(Mul(Integer(2), Symbol('s77', positive=True, integer=True)), Integer(-1))",
        "GreaterThan(Symbol('u0', integer=True), Integer(2))",
        "FloorDiv(Symbol('s0', positive=True, integer=True), Integer(2))",
    ],
)
def test_expressions_of_sizes_are_data(artifacts, expression):
    tree = program(artifacts)
    tree["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": expression}}
    assert code_in(tree) is None


def test_members_that_are_more_than_tensors(artifacts, tmp_path):
    with open_artifact(artifacts / "2.13.0" / "constant_mutation.pt2") as original:
        root, entry = original.root, original.programs[0]
        payload = {"is_param": False, "use_pickle": True, "tensor_meta": None}
        config = {
            "config": {name: {"path_name": name, **payload} for name in ("custom_obj_0", "opaque_obj_0", "tensor_9")}
        }
        changes = {
            entry.constants_config: json.dumps(config).encode(),
            entry.sample_inputs: saved({"data.pkl": made("x") + b"."}),
            f"{root}/data/aotinductor/model/code.so": b"",
            f"{root}/models/other": b"",
            f"{root}/extra/Notes": b"",
            f"{root}/extra/notes": b"",
        }
        with (tmp_path / "code.pt2").open("wb") as file:
            write_archive(original.container, changes, file)
    with open_artifact(tmp_path / "code.pt2") as artifact:
        assert {one.describe() for one in find_code(artifact)} == {
            f'member "{entry.sample_inputs}" calls {MKDIR}',
            f'member "{root}/data/aotinductor/model/code.so" {COMPILED}',
            f'member "{root}/data/constants/custom_obj_0" is missing, but would be unpickled',
            f'member "{root}/data/constants/opaque_obj_0" is missing, but would be unpickled',
            f'member "{root}/data/constants/tensor_9" is missing, but would be unpickled',
            f'member "{root}/extra/notes" differs from "{root}/extra/Notes" in case only',
            f'member "{root}/models/other" is not one of the programs, but torch loads it as one',
        }


@pytest.mark.parametrize("name", ["models/evil.xson", "models/below/evil.jsoN", "models/x"])
def test_a_program_that_is_not_called_so(artifacts, tmp_path, name):
    """torch 2.8 and later load everything in the folder, whatever its name ends in, and evaluate what is in it."""
    path = tmp_path / "hidden.pt2"
    with open_artifact(artifacts / "2.13.0" / "clean.pt2") as original, path.open("wb") as file:
        member = f"{original.root}/{name}"
        write_archive(original.container, {member: original.read_program(original.programs[0])}, file)
    [found] = lint(path).diagnostics
    assert (found.code, found.member) == ("GL003", member)
    assert found.message == "is not one of the programs, but torch loads it as one"


@pytest.mark.parametrize("guards", [["1 == 1"] * 200_000, ["1" + " + 1" * 500_000]], ids=["many", "long"])
def test_guards_without_end_are_not_looked_into(artifacts, guards):
    assert "too many to look into" in code_in(program(artifacts) | {"guards_code": guards})


def test_arguments_of_kinds_that_are_not_known(artifacts):
    """A check is silent about them; torch is not given them without asking."""
    tree = program(artifacts)
    in_operand({"as_something_new": {"as_expr": {"expr_str": EVIL}}})(tree)
    document = Document.from_bytes(json.dumps(tree).encode())
    assert find_program_code(document) is None
    assert find_program_code(document, strict=True) == "has an argument of a kind that is not known"

from __future__ import annotations

import pytest

from graphlint.ops.schema import OpSchema, SchemaArgument, SchemaError, SchemaReturn, literal, parse_schema


def argument(text: str) -> SchemaArgument:
    (only,) = parse_schema(f"({text}) -> ()").arguments
    return only


def test_parse_in_place_op():
    assert parse_schema("(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)") == OpSchema(
        arguments=(
            SchemaArgument("self", "Tensor", alias="a", written=True),
            SchemaArgument("other", "Tensor"),
            SchemaArgument("alpha", "Scalar", default="1", keyword_only=True),
        ),
        returns=(SchemaReturn(None, "Tensor", alias="a", written=True),),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tensor(a -> *) self", SchemaArgument("self", "Tensor", alias="a")),
        ("Tensor(a! -> a|b) self", SchemaArgument("self", "Tensor", alias="a", written=True)),
        ("Tensor(a|b) self", SchemaArgument("self", "Tensor", alias="a|b")),
        ("Tensor(a!)[] self", SchemaArgument("self", "Tensor[]", alias="a", written=True)),
        ("Tensor[](a!) self", SchemaArgument("self", "Tensor[]", alias="a", written=True)),
        ("Tensor(a!)? self", SchemaArgument("self", "Tensor?", alias="a", written=True)),
        ("Tensor?(a!) self", SchemaArgument("self", "Tensor?", alias="a", written=True)),
        ("Tensor(a0!) self", SchemaArgument("self", "Tensor", alias="a0", written=True)),
        ("Tensor?[] indices", SchemaArgument("indices", "Tensor?[]")),
        ("SymInt[]? size=None", SchemaArgument("size", "SymInt[]?", default="None")),
        ("int[2] stride=[1, 1]", SchemaArgument("stride", "int[2]", default="[1, 1]")),
        ('str s="a, (b) -> c"', SchemaArgument("s", "str", default='"a, (b) -> c"')),
        (r'str s="\", "', SchemaArgument("s", "str", default=r'"\", "')),
        ("Dict(str, Tensor) d", SchemaArgument("d", "Dict(str, Tensor)")),
        ("(int, Tensor)[] pairs", SchemaArgument("pairs", "(int, Tensor)[]")),
        ("__torch__.torch.classes.c10d.Work w", SchemaArgument("w", "__torch__.torch.classes.c10d.Work")),
    ],
)
def test_argument(text, expected):
    assert argument(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("()", ()),
        ("...", ()),
        ("Tensor", (SchemaReturn(None, "Tensor"),)),
        ("Tensor(a)[]", (SchemaReturn(None, "Tensor[]", alias="a"),)),
        ("Tensor(a!) out", (SchemaReturn("out", "Tensor", alias="a", written=True),)),
        ("(Tensor values, int n)", (SchemaReturn("values", "Tensor"), SchemaReturn("n", "int"))),
        ("(Tensor(a!), Tensor(b!))", tuple(SchemaReturn(None, "Tensor", x, written=True) for x in "ab")),
    ],
)
def test_returns(text, expected):
    assert parse_schema(f"(Tensor self) -> {text}").returns == expected


def test_variadic():
    schema = parse_schema("(Tensor self, ...) -> Tensor")
    assert schema.variadic
    assert [argument.name for argument in schema.arguments] == ["self"]


@pytest.mark.parametrize(
    "text", ["", "Tensor self -> Tensor", "(Tensor self", "(Tensor self) Tensor", "(Tensor) -> ()"]
)
def test_no_schema(text):
    with pytest.raises(SchemaError):
        parse_schema(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("None", None),
        ("True", True),
        ("-1", -1),
        ("0.5", 0.5),
        ("1.0000000000000001e-05", 1e-5),
        ("inf", float("inf")),
        ('"mean"', "mean"),
        ("contiguous_format", "contiguous_format"),
        ("[0, 1]", "[0, 1]"),
    ],
)
def test_literal(text, value):
    assert literal(text) == value
    assert type(literal(text)) is type(value)


def test_agrees_with_torch():
    """Every schema of the installed version, against torch's own parser."""
    import torch

    def facts(part, alias_info):
        if part.type.endswith("[]"):  # torch hangs the annotation on the element, where Python cannot see it
            return
        assert part.written == bool(alias_info and alias_info.is_write), part
        letters = {letter.removeprefix("alias::") for letter in alias_info.before_set} if alias_info else set()
        assert set((part.alias or "").split("|")) - {""} == letters, part

    seen = 0
    from tests.facts.versions import INSTALLED

    for name in INSTALLED.names():
        schema = INSTALLED.lookup(name).schema
        if not name.startswith("aten."):  # the others register with their modules, or are not installed
            continue
        _, packet, overload = name.split(".")
        op = torch._C._get_schema(f"aten::{packet}", "" if overload == "default" else overload)
        seen += 1
        assert any(argument.written for argument in schema.arguments) == op.is_mutable, name
        for ours, theirs in zip(schema.arguments, op.arguments, strict=True):
            assert (ours.name, ours.keyword_only) == (theirs.name, theirs.kwarg_only), name
            assert (ours.default is not None) == theirs.has_default_value(), name
            facts(ours, theirs.alias_info)
        for ours, theirs in zip(schema.returns, op.returns, strict=True):
            assert (ours.name or "") == (theirs.name or ""), name
            facts(ours, theirs.alias_info)
    assert seen > 3000

"""Symbolic expressions: both spellings, one canonical form, and nothing equal that is not."""

from __future__ import annotations

import ast
import json
import operator
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ProgramError
from graphlint.ir.expressions import Expression, as_expression, canonical, parse_expression, stride_of

S0 = "Symbol('s0', positive=True, integer=True)"
U0 = "Symbol('u0', integer=True)"


@pytest.mark.parametrize(
    ("people", "sympy", "expected"),
    [
        ("s0", S0, "s0"),
        ("4", "Integer(4)", "4"),
        ("-1", "Integer(-1)", "-1"),
        ("s0 + 1", f"Add({S0}, Integer(1))", "s0 + 1"),
        ("1 + s0", f"Add(Integer(1), {S0})", "s0 + 1"),
        ("2*s0", f"Mul(Integer(2), {S0})", "2*s0"),
        ("s0*u0", f"Mul({U0}, {S0})", "s0*u0"),
        ("s0 - u0", f"Add({S0}, Mul(Integer(-1), {U0}))", "s0 - u0"),
        ("s0**2", f"Pow({S0}, Integer(2))", "s0**2"),
        ("2*(s0 + 1)", f"Mul(Integer(2), Add({S0}, Integer(1)))", "2*s0 + 2"),
        ("s0 - s0", f"Add({S0}, Mul(Integer(-1), {S0}))", "0"),
        ("(s0//2)", f"FloorDiv({S0}, Integer(2))", "FloorDiv(s0, 2)"),
        ("s0 // 2 + s0 // 2", f"Mul(Integer(2), FloorDiv({S0}, Integer(2)))", "2*FloorDiv(s0, 2)"),
        ("s0 % 2", f"Mod({S0}, Integer(2))", "Mod(s0, 2)"),
        ("u0 >= 2", f"GreaterThan({U0}, Integer(2))", "u0 >= 2"),
        ("u0 < s0 + 1", f"StrictLessThan({U0}, Add(Integer(1), {S0}))", "u0 < s0 + 1"),
        ("u0 != 2", f"Unequality({U0}, Integer(2))", "u0 != 2"),
        ("Eq(u0, 2)", f"Equality({U0}, Integer(2))", "u0 == 2"),
        ("Max(1, s0)", f"Max(Integer(1), {S0})", "Max(1, s0)"),
    ],
)
def test_both_spellings_are_one_expression(people, sympy, expected):
    assert parse_expression(people) == parse_expression(sympy)
    assert canonical(people) == canonical(sympy) == expected


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        ("s0", "s0"),
        ("Max(1, s4 - 1)", "s4 - 1"),
        ("3*Max(1, s0)*Max(1, s1 + 2)**2", str(parse_expression("3*s0*(s1 + 2)*(s1 + 2)"))),
        ("Max(1, 4)", 4),
        ("Max(2, s0)", "Max(2, s0)"),
        ("Max(1, s0)**1000000000", "Max(1, s0)**1000000000"),
        ("Max(1, s0, s1)", "Max(1, s0, s1)"),
    ],
)
def test_strides_have_no_floor(stride, expected):
    assert stride_of(canonical(stride)) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("s0", "s1"),
        ("s0 + 1", "s0"),
        ("s0*s0", "2*s0"),
        ("s0 // 2", "s0 / 2"),
        ("s0 // 2", "s0 // 3"),
        ("s0 - u0", "u0 - s0"),
        ("2**s0", "s0**2"),
        ("u0 >= 2", "u0 <= 2"),
        ("-s0**2", "(-s0)**2"),
    ],
)
def test_different_expressions_are_not_equal(left, right):
    assert parse_expression(left) != parse_expression(right)
    assert canonical(left) != canonical(right)


@pytest.mark.parametrize("text", ["", "s0 +", "(s0", "s0)", "s0 s1", "f(", "f(s0", "2 ** ", "#", "s0 = 1", ",", "f(,)"])
def test_what_is_no_expression_is_an_error(text):
    with pytest.raises(ProgramError, match="not a symbolic expression"):
        parse_expression(text)
    # As a size it is an atom: printed as it is, equal to itself only.
    assert canonical(text) == (text or "?")
    assert canonical(canonical(text)) == canonical(text)
    assert as_expression(text) == as_expression(text)
    assert as_expression(text) != as_expression("s0")


def test_depth_and_size_are_bounded():
    deep = "(" * 5000 + "s0" + ")" * 5000
    with pytest.raises(ProgramError):
        parse_expression(deep)
    with pytest.raises(ProgramError):
        parse_expression("-" * 5000 + "s0")
    with pytest.raises(ProgramError):
        parse_expression("~" * 5000 + "s0")
    with pytest.raises(ProgramError):
        parse_expression("2**" * 5000 + "s0")
    with pytest.raises(ProgramError):
        parse_expression("f(" * 5000 + "s0" + ")" * 5000)
    product = "*".join(f"(a{number} + b{number})" for number in range(100))
    assert len(parse_expression(product).terms) <= 64
    assert len(canonical(product)) < 100_000
    assert canonical(canonical(product)) == canonical(product)
    assert canonical(product) != canonical(product.replace("a0", "a1"))
    assert len(parse_expression("**".join(["s0"] + ["8"] * 40)).terms) == 1
    for base in ("2", "(-3)", "(2*s0)", "(s0 + 2)"):
        tower = base
        for _ in range(20):
            tower = f"({tower})**8"
        assert canonical(canonical(tower)) == canonical(tower)
        assert len(canonical(tower)) < 2_000


@pytest.mark.parametrize("text", ["s0**9", "((s0)**3)**3", "(-s0)**9", "FloorDiv(s0, 2)**20", "2**100", "(2*s0)**9"])
def test_high_powers(text):
    assert canonical(canonical(text)) == canonical(text)
    assert parse_expression(text) == parse_expression(canonical(text))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("s0**9", "s0**3*s0**6"),
        ("(2*s0)**9", "512*s0**9"),
        ("(-s0)**9", "-s0**9"),
        ("s0**0", "1"),
        ("0**0", "1"),
        ("0**3", "0"),
        ("(s0 + 1)**2", "s0**2 + 2*s0 + 1"),
    ],
)
def test_powers_are_products(left, right):
    assert parse_expression(left) == parse_expression(right)


def test_names_of_functions_are_part_of_them():
    assert parse_expression("torch.utils.f(s0)") == parse_expression("f(s0)") != parse_expression("g(s0)")


def test_a_product_that_is_too_large_is_still_one_factor():
    large = "*".join(f"(a{number} + b{number})" for number in range(7))
    rest = "(c + d + e)"
    squared = canonical(f"({large}*{rest})**2")
    assert canonical(squared) == squared
    assert parse_expression(squared) != parse_expression(f"{large}*{rest}*{rest}")
    assert parse_expression(f"{large}*{rest}") == parse_expression(canonical(f"{large}*{rest}"))


def test_constants():
    assert parse_expression("3*4 - 2").constant == 10
    assert parse_expression("s0 - s0").constant == 0
    assert parse_expression("s0").constant is None
    assert parse_expression("s0 + 1").constant is None
    assert as_expression(7).constant == 7
    assert (as_expression(7) == 7) is False


# -- by value

NAMES = ("s0", "s1", "u0")
people_texts = st.recursive(
    st.one_of(st.sampled_from(NAMES), st.integers(0, 9).map(str)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda text: f"-{text}" if text[0] != "-" else text),
        st.tuples(inner, st.integers(0, 3)).map(lambda t: f"({t[0]})**{t[1]}"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})//({t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})%({t[1]})"),
    ),
    max_leaves=8,
)
polynomials = st.recursive(
    st.one_of(st.sampled_from(NAMES), st.integers(-9, 9).map(lambda n: f"({n})")),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=7,
)
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def value(text: str, values: dict[str, int]) -> int:
    """What Python computes for an expression in people's spelling."""

    def of(node: ast.expr) -> int:
        match node:
            case ast.Name():
                return values[node.id]
            case ast.Constant():
                return int(node.value)
            case ast.UnaryOp():
                return -of(node.operand)
            case ast.BinOp():
                return OPERATORS[type(node.op)](of(node.left), of(node.right))
            case ast.Call(func=ast.Name(id="FloorDiv" | "Mod" as name), args=[left, right]):
                return (operator.floordiv if name == "FloorDiv" else operator.mod)(of(left), of(right))
        raise AssertionError(ast.dump(node))

    return of(ast.parse(text, mode="eval").body)


def sympy_spelling(text: str) -> str:
    """The same expression in constructor calls."""

    def of(node: ast.expr) -> str:
        match node:
            case ast.Name():
                return f"Symbol('{node.id}', integer=True)"
            case ast.Constant():
                return f"Integer({node.value})"
            case ast.UnaryOp():
                return f"Mul(Integer(-1), {of(node.operand)})"
            case ast.BinOp(op=ast.Sub()):
                return f"Add({of(node.left)}, Mul(Integer(-1), {of(node.right)}))"
            case ast.BinOp():
                names = {ast.Add: "Add", ast.Mult: "Mul", ast.Pow: "Pow", ast.FloorDiv: "FloorDiv", ast.Mod: "Mod"}
                return f"{names[type(node.op)]}({of(node.left)}, {of(node.right)})"
        raise AssertionError(ast.dump(node))

    return of(ast.parse(text, mode="eval").body)


@settings(max_examples=200, deadline=None)
@given(people_texts, st.lists(st.integers(-20, 20), min_size=3, max_size=3))
def test_the_canonical_form_has_the_same_value_and_is_its_own(text, numbers):
    values = dict(zip(NAMES, numbers, strict=True))
    form = canonical(text)
    assert canonical(form) == form
    assert parse_expression(form) == parse_expression(text)
    assert parse_expression(sympy_spelling(text)) == parse_expression(text)
    try:
        expected = value(text, values)
    except ZeroDivisionError:
        return
    assert value(form, values) == expected


@settings(max_examples=200, deadline=None)
@given(polynomials, polynomials)
def test_polynomials_are_equal_where_they_have_the_same_values(left, right):
    # Degree and coefficients are bounded by the number of leaves: agreeing at this many points is being equal.
    points = random.Random(0)
    same = all(
        value(left, values) == value(right, values)
        for values in ({name: points.randint(-(10**6), 10**6) for name in NAMES} for _ in range(40))
    )
    assert (parse_expression(left) == parse_expression(right)) == same


@settings(max_examples=100, deadline=None)
@given(polynomials, polynomials, polynomials)
def test_ring_laws(a, b, c):
    x, y, z = map(parse_expression, (a, b, c))
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) * z == x * z + y * z
    assert (x - x).constant == 0
    assert hash(x * y) == hash(y * x)
    assert x * Expression.number(1) == x


def test_every_size_of_the_corpus_parses():
    seen = set()

    def collect(value):
        if isinstance(value, dict):
            if "expr_str" in value:
                seen.add(value["expr_str"])
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    for case in ("dynamic_batch", "scalar_assert", "constrain_range_for_size"):
        for path in (Path(__file__).parent.parent / "artifacts").glob(f"*/{case}.pt2"):
            with open_artifact(path) as artifact:
                collect(json.loads(artifact.read_program(artifact.programs[0])))
    assert any("Symbol(" in text for text in seen)
    assert any("Symbol(" not in text for text in seen)
    for text in seen:
        form = str(parse_expression(text))
        assert "Symbol" not in form
        assert "'" not in form


@pytest.mark.parametrize("operator", ["+", "*", "-"])
def test_long_expressions_take_no_time(operator):
    started = time.process_time()
    for number in range(3):
        canonical(operator.join(f"s{number}{index}" for index in range(7000)))
    assert time.process_time() - started < 3


def test_what_is_longer_than_anything_torch_could_read_is_an_atom():
    text = " + ".join(["s0"] * 200_000)
    assert canonical(text) == canonical(text) != canonical(f"{text} + s0")
    assert len(canonical(text)) < 100

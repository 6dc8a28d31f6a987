"""Random programs, others every day, checks sprinkled over them: stock torch runs each before and after the fix."""

import itertools
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from tests import today
from tests.text_form import document_of, tree_of

from graphlint.rules.fixing import fix_program, restore_program
from graphlint.run.engine import process

TYPE = "f32[3]"
OPS = ("sin", "tanh", "neg", "abs")
LIMITS = st.sampled_from((-2, -0.5, 0.5, 1, 2, 4))


class Written(NamedTuple):
    """A random program."""

    text: str
    checks: int
    """How many of its checks can be fixed by a token."""
    kept: int
    """How many cannot be fixed."""


class Writer:
    """Writes one program, line by line, as hypothesis draws it."""

    def __init__(self, draw):
        self.draw = draw
        self.numbers = itertools.count()
        self.checks = self.kept = 0

    def name(self, names):
        """A fresh name in a scope, now and then one that the pass would have liked to have."""
        name = f"v{next(self.numbers)}"
        if self.draw(st.integers(0, 9)) == 0:
            wished = f"dep_token{self.draw(st.integers(0, 3))}"
            name = name if wished in names else wished
        names.add(name)
        return name

    def program(self):
        names = {"x", "n"}
        lines, values = [], ["x"]
        if self.draw(st.booleans()):
            lines += ["  $item: int[u0] = aten.item.default(%n)", "  $ge: bool[u0 >= 0] = _operator.ge($item, 0)"]
            lines.append('  aten._assert_scalar.default($ge, "n must not be negative")')
            self.checks += 1
        lines += self.body(names, values, "  ", depth=2)
        lines.append(f"  return {', '.join(f'%{value}' for value in self.some(values))}")
        head = "program TRAINING\nrange u0 = [-1000, 1000]\ngraph(%x: f32[3], %n: i64[]):\n"
        return Written(head + "\n".join(lines) + "\n", self.checks, self.kept)

    def some(self, values):
        """One or two values, none of them twice."""
        count = self.draw(st.integers(1, min(2, len(values))))
        return values[-count:]

    def body(self, names, values, indent, depth):
        lines = []
        kinds = ["op", "op", "write", "random", "assert", "assert", "bare", "metadata"]
        kinds += ["cond", "region", "loop"] if depth else []
        for _ in range(self.draw(st.integers(1, 4))):
            kind = self.draw(st.sampled_from(kinds))
            lines += getattr(self, f"_{kind}")(names, values, indent, depth)
        return lines

    def _op(self, names, values, indent, depth):
        source, op = self.draw(st.sampled_from(values)), self.draw(st.sampled_from(OPS))
        result = self.name(names)
        values.append(result)
        return [f"{indent}%{result}: {TYPE} = aten.{op}.default(%{source})"]

    def _write(self, names, values, indent, depth):
        source = self.draw(st.sampled_from(values))
        copy, result = self.name(names), self.name(names)
        values += [copy, result]
        return [
            f"{indent}%{copy}: {TYPE} = aten.clone.default(%{source})",
            f"{indent}%{result}: {TYPE} = aten.add_.Tensor(%{copy}, {self.draw(LIMITS)})",
        ]

    def _random(self, names, values, indent, depth):
        source, result = self.draw(st.sampled_from(values)), self.name(names)
        values.append(result)
        return [f"{indent}%{result}: {TYPE} = aten.rand_like.default(%{source})"]

    def _condition(self, names, values, indent):
        """Lines for a condition on some value, and its name."""
        source, compared, ok = self.draw(st.sampled_from(values)), self.name(names), self.name(names)
        return [
            f"{indent}%{compared}: b8[3] = aten.lt.Scalar(%{source}, {self.draw(LIMITS)})",
            f"{indent}%{ok}: b8[] = aten.{self.draw(st.sampled_from(('all', 'any')))}.default(%{compared})",
        ], ok

    def _assert(self, names, values, indent, depth):
        lines, ok = self._condition(names, values, indent)
        self.checks += 1
        return [*lines, f'{indent}aten._assert_async.msg(%{ok}, "check {self.checks}")']

    def _bare(self, names, values, indent, depth):
        lines, ok = self._condition(names, values, indent)
        self.checks += 1
        return [*lines, f"{indent}aten._assert_async.default(%{ok})"]

    def _metadata(self, names, values, indent, depth):
        dtype = self.draw(st.sampled_from(("float32", "float32", "float32", "float64")))
        self.kept += dtype == "float64"
        source = self.draw(st.sampled_from(values))
        return [f"{indent}aten._assert_tensor_metadata.default(%{source}, dtype=torch.{dtype})"]

    def _cond(self, names, values, indent, depth):
        lines, ok = self._condition(names, values, indent)
        given, count = self.some(values), self.draw(st.integers(1, 2))
        results = [self.name(names) for _ in range(count)]
        yes, no = f"yes{next(self.numbers)}", f"no{next(self.numbers)}"
        left = ", ".join(f"%{result}: {TYPE}" for result in results)
        operands = ", ".join(f"%{value}" for value in given)
        lines.append(f"{indent}{left} = higher_order.cond(%{ok}, @{yes}, @{no}, [{operands}])")
        for branch in (yes, no):
            lines += self._graph(branch, given, count, indent, depth)
        values += results
        return lines

    def _region(self, names, values, indent, depth):
        given, count = self.some(values), self.draw(st.integers(1, 2))
        results = [self.name(names) for _ in range(count)]
        graph = f"region{next(self.numbers)}"
        left = ", ".join(f"%{result}: {TYPE}" for result in results)
        operands = ", ".join(f"%{value}" for value in given)
        values += results
        return [
            f"{indent}{left} = higher_order.wrap_with_set_grad_enabled(False, @{graph}, {operands})",
            *self._graph(graph, given, count, indent, depth),
        ]

    def _loop(self, names, values, indent, depth):
        """Twice round: a counter and one value are carried, another one is only read."""
        (value, read), result = (self.draw(st.sampled_from(values)) for _ in range(2)), self.name(names)
        zero, count = self.name(names), self.name(names)
        going, body = f"going{next(self.numbers)}", f"body{next(self.numbers)}"
        values.append(result)
        inner, carried = {"i", "a", "b", "less", "next", "out"}, ["a", "b"]
        lines = self.body(inner, carried, indent + "    ", depth - 1)
        operands = f"[%{zero}, %{value}], [%{read}]"
        return [
            f"{indent}%{zero}: i64[] = aten.full.default([], 0, dtype=torch.int64)",
            f"{indent}%{count}: i64[], %{result}: {TYPE} = higher_order.while_loop(@{going}, @{body}, {operands})",
            f"{indent}  @{going}(%i: i64[], %a: {TYPE}, %b: {TYPE}):",
            f"{indent}    %less: b8[] = aten.lt.Scalar(%i, 2)",
            f"{indent}    return! %less",
            f"{indent}  @{body}(%i: i64[], %a: {TYPE}, %b: {TYPE}):",
            *lines,
            f"{indent}    %next: i64[] = aten.add.Tensor(%i, 1)",
            f"{indent}    %out: {TYPE} = aten.add.Tensor(%{carried[-1]}, %a)",
            f"{indent}    return %next, %out",
        ]

    def _graph(self, name, given, count, indent, depth):
        """A subgraph with as many fresh results as are asked for."""
        inputs = [f"a{position}" for position in range(len(given))]
        results = [f"out{position}" for position in range(count)]
        names, values = {*inputs, *results}, list(inputs)
        lines = self.body(names, values, indent + "    ", depth - 1)
        return [
            f"{indent}  @{name}({', '.join(f'%{one}: {TYPE}' for one in inputs)}):",
            *lines,
            *(
                f"{indent}    %{one}: {TYPE} = aten.mul.Tensor(%{values[-1 - position]}, {position + 2})"
                for position, one in enumerate(results[: len(values)])
            ),
            *(f"{indent}    %{one}: {TYPE} = aten.sin.default(%{values[0]})" for one in results[len(values) :]),
            f"{indent}    return {', '.join(f'%{one}' for one in results)}",
        ]


@st.composite
def programs(draw):
    return Writer(draw).program()


EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    derandomize=False,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
VECTORS = st.lists(st.sampled_from((-3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0)), min_size=3, max_size=3)


@pytest.mark.parametrize("sink", ["buffer", "output"])
@seed(today.SEED)
@EXAMPLES
@given(program=programs(), vectors=st.lists(VECTORS, min_size=2, max_size=4), number=st.integers(-1, 3))
def test_random_programs(sink, program, vectors, number, judge, write_pt2, settings_for):
    note(f"{today.REPEAT}\n{program.text}")
    original = write_pt2(program.text, "original.pt2")
    path = write_pt2(program.text, "fixed.pt2")
    result = process(str(path), settings_for(sink), "fix")
    assert result.error is None
    functional = [one for one in result.fixed if one.code != "GL205"]
    assert len(functional) == program.checks
    assert [one.code for one in result.diagnostics] == ["GL205"] * program.kept

    torch = judge.torch
    before, after = judge.load(original), judge.load(path)
    calls = [((torch.tensor(vector), torch.tensor(number)), {}) for vector in vectors]
    with_token = sink == "output" and bool(functional)
    raised = judge.compare(before, after, calls, token=with_token)
    # Plain metadata checks are not promised to survive.
    kept = [(call, said) for call, said in zip(calls, raised, strict=True) if "dtype mismatch" not in said]
    judge.assert_survives_dead_code_elimination(after, *zip(*kept, strict=True) if kept else ((), ()))
    twins = [name for name in judge.checks(judge.module(after)) if "_functional_" in name]
    assert len(twins) == program.checks


@pytest.mark.parametrize("sink", ["buffer", "output"])
@seed(today.SEED)
@EXAMPLES
@given(program=programs())
def test_random_programs_are_restored(sink, program, settings_for):
    """Restored, a program is what a fix of everything else makes of it."""
    note(f"{today.REPEAT}\n{program.text}")
    document = document_of(program.text)
    fixed = fix_program(document, "model", "model.pt2", settings_for(sink))
    restored = restore_program(fixed.document, "model", settings_for(sink))
    assert (len(restored.restored), restored.kept) == (program.checks, ())
    kept = fix_program(document, "model", "model.pt2", settings_for(sink, fixable={"GL205"}))
    assert {**tree_of(restored.document), "verifiers": []} == {**tree_of(kept.document), "verifiers": []}

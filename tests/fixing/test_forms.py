"""What a target takes in another form is brought into it; stock torch computes the same."""

from __future__ import annotations

import itertools

import pytest
from tests import judge
from tests.text_form import document_of

import graphlint
from graphlint.rules.fixing import fix_program
from graphlint.run.api import program_settings

torch = pytest.importorskip("torch")

COREML = program_settings(target="coreml", ignore="GL5")


def fixed_text(text):
    return fix_program(document_of(text), "model", "model.pt2", COREML)


def refusals(fixed):
    return [one for one in fixed.remaining if one.code == "GL601"]


class Writes(torch.nn.Module):
    """Writes to a part of a cache, where ``index`` has tensors; the operands are these, and what is written."""

    def __init__(self, shape, index, accumulate=False):
        super().__init__()
        self.register_buffer("cache", torch.arange(float(torch.Size(shape).numel())).reshape(shape))
        self.index, self.accumulate = index, accumulate

    def forward(self, values, *positions):
        given = iter(positions)
        indices = [next(given) if one else None for one in self.index]
        torch.ops.aten.index_put_.default(self.cache, indices, values, self.accumulate)
        return self.cache * 2


def at(*numbers):
    return torch.tensor(numbers)


INDICES = {
    "behind-one": ((2, 5, 3), (0, 1), (at(1, 3),), [(2, 2, 3), (2, 3), (3,), (), (1, 2, 1), (2, 1, 3)]),
    "behind-two": ((2, 3, 5), (0, 0, 1), (at(1, 3),), [(2, 3, 2), (3, 2), (2,), ()]),
    "a-single-one": ((1, 2, 6, 4), (0, 0, 1), (at(2),), [(1, 2, 1, 4), (4,), ()]),
    "of-two-dimensions": ((3, 5), (0, 1), (torch.tensor([[0, 1], [4, 2]]),), [(3, 2, 2), (2, 2), (2,), (3, 1, 2)]),
    "without-dimensions": ((3, 5), (0, 1), (torch.tensor(2),), [(3,), ()]),
    "two-side-by-side": ((2, 4, 5, 3), (0, 1, 1), (at(1, 3), at(0, 2)), [(2, 2, 3), (2, 3), (3,), ()]),
    "two-that-broadcast": ((2, 4, 5), (0, 1, 1), (at(1, 3)[:, None], at(0, 2)), [(2, 2, 2), (2, 2), (2,)]),
    "two-apart": ((4, 2, 5), (1, 0, 1), (at(1, 3), at(0, 2)), [(2, 2), (2,), ()]),
    "the-last-left-out": ((4, 3), (1, 0), (at(1, 3),), [(2, 3), (3,), ()]),
    "behind-and-left-out": ((2, 4, 3), (0, 1, 0), (at(1, 3),), [(2, 2, 3), (3,)]),
    "negative": ((2, 5), (0, 1), (at(-1, -3),), [(2, 2)]),
}


def cases():
    for name, (shape, index, positions, values) in INDICES.items():
        for one, accumulate in zip(values, itertools.cycle((False, True))):
            yield pytest.param(shape, index, positions, one, accumulate, id=f"{name}-{list(one)}-{accumulate}")


@pytest.mark.parametrize(("shape", "index", "positions", "values", "accumulate"), list(cases()))
def test_indexed_dimensions_come_first(tmp_path, shape, index, positions, values, accumulate):
    path = tmp_path / "model.pt2"
    args = (torch.randn(values), *positions)
    program = torch.export.export(Writes(shape, index, accumulate), args)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert (result.error, result.changed) == (None, True)
    (found,) = [one for one in result.fixed if one.code == "GL601"]
    assert (found.op, found.fix.message) == ("aten.index_put.default", "is written with the indexed dimensions first")
    assert [one.code for one in result.diagnostics if one.code == "GL601"] == []
    again = torch.export.load(path)
    (put,) = [node for node in again.graph.nodes if str(node.target) == "aten.index_put.default"]
    assert None not in put.args[1]
    # Another layout of what is written, other numbers, several calls.
    other = torch.permute(torch.randn(values[::-1]), tuple(range(len(values))[::-1]))
    calls = [((other, *positions), {}), (args, {})]
    assert judge.compare(program, again, calls) == ["", ""]


def test_symbolic_sizes(tmp_path):
    path = tmp_path / "model.pt2"
    batch = torch.export.Dim("batch", min=2, max=9)

    class Shifted(torch.nn.Module):
        def forward(self, x, position, values):
            made = x * 2
            made[:, position] = values
            return made

    args = (torch.randn(3, 5, 2), at(1, 3), torch.randn(3, 2, 2))
    program = torch.export.export(Shifted(), args, dynamic_shapes=({0: batch}, None, {0: batch}))
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert result.error is None
    assert "GL601" in {one.code for one in result.fixed}
    assert "GL601" not in {one.code for one in result.diagnostics}
    other = (torch.randn(7, 5, 2), at(0, 4), torch.randn(7, 2, 2))
    assert judge.compare(program, torch.export.load(path), [(args, {}), (other, {})]) == ["", ""]


@pytest.mark.parametrize(
    ("indices", "operands", "why"),
    [
        ("[None, %m?]", "%m: b8[8]", "it is indexed by a mask"),
        ("[None, None]", "%m: i64[8]", "the artifact does not record the sizes of its operands"),
    ],
)
def test_what_has_no_such_form_says_why(indices, operands, why):
    text = f"""
graph(%c: f32[4, 8], %v: f32[], {operands}):
  %index_put: f32[4, 8] = aten.index_put.default(%c, {indices}, %v)
  return %index_put
"""
    (found,) = refusals(fixed_text(text))
    assert (found.fix.applicability, found.fix.message) == ("none", why)


# ------------------------------------------------------------------------------------------------ conversions

CONVERSIONS = {
    "dtype": lambda x, other: x.to(torch.float16),
    "same": lambda x, other: x.to(torch.float32),
    "copy": lambda x, other: x.to(torch.float32, copy=True),
    "device": lambda x, other: x.to("cpu", torch.int32),
    "layout": lambda x, other: torch.ops.aten.to.dtype_layout(x, dtype=torch.int64, layout=torch.strided),
    "other": lambda x, other: x.to(other),
    "memory-format": lambda x, other: x.to(torch.float64, memory_format=torch.channels_last),
}


class Converts(torch.nn.Module):
    def __init__(self, convert):
        super().__init__()
        self.convert = convert

    def forward(self, x, other):
        return self.convert(x * 2, other) + 1


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_become_casts(tmp_path, name):
    path = tmp_path / "model.pt2"
    args = (torch.randn(1, 2, 3, 4), torch.ones(2, dtype=torch.int16))
    program = torch.export.export(Converts(CONVERSIONS[name]), args)
    torch.export.save(program, path)
    before = [str(node.target) for node in program.graph.nodes]
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert result.error is None
    after = [str(node.target) for node in torch.export.load(path).graph.nodes]
    assert not [one for one in after if one.startswith("aten.to.")]
    assert ("aten._to_copy.default" in after) == any(one.startswith("aten.to.") for one in before)
    assert not [one for one in result.diagnostics if one.code == "GL601"]
    judge.compare(program, torch.export.load(path), [(args, {})])


def test_what_shows_written_memory_is_not_copied():
    text = """
graph(%b_b: f32[3] = buffer "b", %x: f32[3]):
  %to: f32[3] = aten.to.dtype(%b_b, torch.float32)
  %add: f32[3] = aten.add.Tensor(%b_b, %x)
  return buffer "b" <- %add, %to
"""
    (found,) = refusals(fixed_text(text))
    assert (found.fix.applicability, found.fix.message) == ("none", "it shows memory that the program writes")
    assert not refusals(
        fixed_text(text.replace("%to: f32[3]", "%to: f64[3]").replace("torch.float32", "torch.float64"))
    )
    assert not refusals(fixed_text(text.replace('buffer "b" <- %add, ', "")))


class Spelled(torch.nn.Module):
    """What leaves out arguments: of all kinds that a schema has defaults of."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.RMSNorm(4)

    def forward(self, x, y):
        functional = torch.nn.functional
        pooled = functional.max_pool2d(x[None], 2)
        losses = functional.mse_loss(x, y), functional.nll_loss(x[0], torch.tensor([1, 0, 3, 2]))
        rolled, alike = torch.roll(x, 1), functional.cosine_similarity(x, y)
        return pooled, losses, rolled, alike, self.norm(x), functional.hardtanh(x)


def test_an_op_is_given_the_arguments_that_it_leaves_out(tmp_path):
    path = tmp_path / "model.pt2"
    args = torch.randn(3, 4, 4), torch.randn(3, 4, 4)
    program = torch.export.export(Spelled(), args)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert (result.error, result.changed) == (None, True)
    spelled = {one.op for one in result.fixed if one.fix.message == "is given all of its arguments"}
    assert len(spelled) == 6
    assert [one.code for one in result.diagnostics if one.code == "GL601"] == []
    again = torch.export.load(path)
    given = {str(node.target): node.args for node in again.graph.nodes if str(node.target) in spelled}
    assert given["aten.max_pool2d.default"][1:] == ([2, 2], [2, 2], [0, 0], [1, 1], False)
    assert given["aten.rms_norm.default"][3] is None
    assert given["aten.cosine_similarity.default"][2:] == (1, 1e-08)
    assert given["aten.roll.default"][2] == []
    assert judge.compare(program, again, [(args, {}), (args[::-1], {})]) == ["", ""]


class Becomes(torch.nn.Module):
    """A buffer that becomes what some function makes of it and an input."""

    def __init__(self, function, shape=(4, 4)):
        super().__init__()
        self.register_buffer("state", torch.zeros(shape))
        self.register_buffer("rows", torch.tensor([3, 1, 0, 2]))
        self.linear = torch.nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        self.state.copy_(self.function(self, x))
        return x + self.state


BECOMES = {
    "rolled": (lambda m, x: m.state.roll(1, 0), True),
    "indexed": (lambda m, x: (m.state + x)[m.rows], True),
    "halved": (lambda m, x: (m.state + x) / 2, True),
    "divided-by-an-input": (lambda m, x: m.state / (x + 9), False),
    "reshaped-twice": (lambda m, x: (m.state + x).reshape(2, 8).reshape(4, 4), True),
    "transposed-once": (lambda m, x: (m.state + x).t(), False),
    "product-and-bias": (lambda m, x: m.linear(x) + m.linear.bias, True),
    "product-and-state": (lambda m, x: m.linear(x) + m.state, False),
    "negative-product": (lambda m, x: -m.linear(x), True),
    "copied": (lambda m, x: torch.div(m.state + x, 3.0).clone(), True),
    "sorted": (lambda m, x: (m.state + x).sort(0)[0], True),
    "added": (lambda m, x: m.state * 0.9 + x * 0.1, False),
}


@pytest.mark.parametrize("name", BECOMES)
def test_what_is_made_anew_does_not_become_state_at_once(tmp_path, name):
    function, parted = BECOMES[name]
    path = tmp_path / "model.pt2"
    args = (torch.randn(4, 4),)
    program = torch.export.export(Becomes(function), args)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert result.error is None
    said = [one.fix.message for one in result.fixed if one.code == "GL601"]
    assert said == ["is followed by an op that computes the same"] * parted
    assert [one.code for one in result.diagnostics if one.code == "GL601"] == []
    again = torch.export.load(path)
    assert [str(node.target) for node in again.graph.nodes].count("aten.maximum.default") == parted
    other = torch.tensor([[float("nan"), -0.0, float("inf"), 1.0]] * 4)
    assert judge.compare(program, again, [(args, {}), (args, {}), ((other,), {})]) == ["", "", ""]


def test_an_op_of_two_faults_is_mended_twice(tmp_path):
    path = tmp_path / "model.pt2"
    args = (torch.randn(4, 4),)
    program = torch.export.export(Becomes(lambda m, x: torch.roll(m.state + x, 1)), args)
    torch.export.save(program, path)
    graphlint.fix(path, isolated=True)  # so that both are found at once
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert (result.error, result.ok) == (None, False)
    assert [one.fix.message for one in result.fixed if one.code == "GL601"] == [
        "is given all of its arguments",
        "is followed by an op that computes the same",
    ]
    assert judge.compare(program, torch.export.load(path), [(args, {}), (args, {})]) == ["", ""]


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (lambda m, x: x.mean(), True),
        (lambda m, x: m.state + x.mean(), False),
        (lambda m, x: m.state.exp(), False),
        (lambda m, x: x[0, 0].relu(), True),
    ],
)
def test_state_without_dimensions_comes_of_the_old_one(tmp_path, function, refused):
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Becomes(function, ()), (torch.randn(4, 4),)), path)
    result = graphlint.fix(path, target="coreml", isolated=True)
    found = [one for one in result.diagnostics if one.code == "GL601"]
    assert [one.message.partition(":")[0] for one in found] == [
        "an output of kind scalar_mutation is refused by coreml"
    ] * refused


class Several(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        for name in ("first", "second", "third"):
            self.register_buffer(name, torch.zeros(4))
        self.function = function

    def forward(self, x):
        y = x + 1
        more = self.function(self, x)
        return (y, more) if isinstance(more, torch.Tensor) else y


SEVERAL = {
    "in-order": (lambda m, x: (m.first.add_(x), m.second.sub_(x)), True),
    "in-reverse": (lambda m, x: (m.third.add_(x), m.first.sub_(x)), False),
    "one": (lambda m, x: (m.second.add_(x),), False),
    "unused": (lambda m, x: (m.first.add_(x), m.second.sub_(x), x * 3), True),
    "cast": (lambda m, x: (m.first.add_(x), m.second.sub_(x), m.first.to(torch.int32))[2], True),
    "alike": (lambda m, x: (m.first.copy_(x * 2), m.second.copy_(m.first)), True),
    "anew": (lambda m, x: (m.first.copy_(x.roll(1, 0)), m.second.copy_(x / 2)), True),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_the_first_state_is_made_last(tmp_path, name):
    function, last = SEVERAL[name]
    path = tmp_path / "model.pt2"
    args = (torch.randn(4),)
    program = torch.export.export(Several(function), args)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert result.error is None
    said = [one.fix.message for one in result.fixed if one.code == "GL601"]
    assert said.count("is followed by an op that makes the first state") == last
    assert [one.code for one in result.diagnostics if one.code == "GL601"] == []
    again = torch.export.load(path)
    assert judge.compare(program, again, [(args, {}), (args, {})]) == ["", ""]
    first, final = next(iter(again.graph_signature.buffers_to_mutate)), list(again.graph.nodes)[-2]
    assert (final.name == first) == (last or name == "in-reverse" or name == "one")


class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("x", torch.zeros(3))

    def forward(self, y):
        self.mean.mul_(0.5).add_(y.mean(0) * 0.5)
        return y - self.mean + self.x


def test_a_value_that_is_called_as_a_buffer_gets_another_name(tmp_path):
    path = tmp_path / "model.pt2"
    args = (torch.randn(2, 3),)
    program = torch.export.export(Mean(), args)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert [one.message.partition(":")[0] for one in result.fixed if one.code == "GL601"] == [
        "the value 'mean' is called as the buffer that the program writes"
    ]
    again = torch.export.load(path)
    assert "mean" not in {node.name for node in again.graph.nodes}
    assert judge.compare(program, again, [(args, {}), (args, {})]) == ["", ""]


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("x", "add", "callers know the input by its name"),
        ("add", "add", "gets another name"),
        ("other", "add", None),
        ("deeper.add", "add", None),
    ],
)
def test_namesakes_of_state(name, value, fix):
    text = f"""
graph(%b: f32[3] = buffer "{name}", %x: f32[3]):
  %{value}: f32[3] = aten.add.Tensor(%b, %x)
  return buffer "{name}" <- %{value}, %{value}
"""
    fixed = fixed_text(text)
    found = [*fixed.fixed, *fixed.remaining]
    assert [one.fix.message for one in found if one.code == "GL601"] == ([] if fix is None else [fix])


class Reshapes(torch.nn.Module):
    def forward(self, x, other):
        return torch.flatten(x, 1) * 2, x.t().ravel() + 1, torch.flatten(x[0, 0]), x.view_as(other) * 3


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_changes_the_shape_becomes_a_reshape(tmp_path, dynamic):
    path = tmp_path / "model.pt2"
    sizes = (
        ({0: torch.export.Dim("rows", min=2, max=9)}, {0: torch.export.Dim("rows", min=2, max=9)}) if dynamic else None
    )
    program = torch.export.export(Reshapes(), (torch.randn(3, 4), torch.randn(3, 4)), dynamic_shapes=sizes)
    torch.export.save(program, path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert (result.error, result.changed) == (None, True)
    assert [one.code for one in result.fixed].count("GL601") == 4
    assert not [one for one in result.diagnostics if one.code == "GL601"]


class Copies(torch.nn.Module):
    """Copies beside what they are of: what becomes state, what is returned, an input, and one that is laid out anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.zeros(3, 4))

    def forward(self, x, spectrum):
        total = self.state.add_(x).clone()
        y = x + 1
        turned = y.t() * 1
        waves = spectrum * 1
        copies = x.clone(), y.clone(), turned.clone(memory_format=torch.contiguous_format), waves.clone()
        return total, y, turned, waves, *copies


def test_copies_beside_what_they_are_of_are_the_greater_of_that_and_itself(tmp_path):
    path = tmp_path / "model.pt2"
    given = torch.randn(3, 4), torch.randn(2, dtype=torch.complex64)
    torch.export.save(torch.export.export(Copies(), given), path)
    result = graphlint.fix(path, target="xnnpack", isolated=True, verify=True)
    assert (result.error, result.changed) == (None, True)
    assert [one.fix.message for one in result.fixed if one.code == "GL601"] == ["becomes aten.maximum.default"] * 2
    left = [one.fix.message for one in result.diagnostics if one.code == "GL601" and "clone" in one.message]
    assert left == ["it is laid out otherwise", "complex numbers have no order"]
    nodes = torch.export.load(path).graph.nodes
    assert [str(node.target) for node in nodes].count("aten.maximum.default") == 2


class WholeNumbers(torch.nn.Module):
    def forward(self, x, y, z):
        return (
            torch.addmm(x, y, z, beta=3, alpha=2),
            torch.nn.functional.elu(x, 2),
            torch.nn.functional.hardtanh(x, -2, 2),
            torch.nn.functional.leaky_relu(x, 0.5),
            torch.nn.functional.leaky_relu(x, 2),
            torch.nn.functional.threshold(x, 1, 2),
        )


def test_integers_beside_floating_point_tensors_become_floating_point_numbers(tmp_path):
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(WholeNumbers(), (torch.randn(4), torch.randn(2, 3), torch.randn(3, 4))), path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    said = sorted(one.fix.message for one in result.fixed)
    assert (result.error, said) == (
        None,
        ["is given all of its arguments"] + ["is given floating-point numbers"] * 5,  # what elu leaves out are integers
    )
    assert not result.diagnostics
    calls = [node for node in torch.export.load(path).graph.nodes if node.op == "call_function"]
    assert not [one for node in calls for one in (*node.args, *node.kwargs.values()) if isinstance(one, int)]


class Chunks(torch.nn.Module):
    def forward(self, x):
        return *x.chunk(2, 1), *(x + 1).chunk(3, -1), *(x * 2).chunk(1)


def test_pieces_of_a_number_become_pieces_of_a_size(tmp_path):
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Chunks(), (torch.randn(2, 7),)), path)
    result = graphlint.fix(path, target="coreml", isolated=True, verify=True)
    assert (result.error, [one.code for one in result.fixed]) == (None, ["GL601"] * 3)
    assert not result.diagnostics
    program = torch.export.load(path)
    assert [str(node.target) for node in program.graph.nodes].count("aten.split.Tensor") == 3


STATE = """
graph(%b: f32[3, 4] = buffer "b", %b_w: f32[4] = buffer "w", %x: f32[3, 4], %z: f32[4, 3], %s: f32[3, 1, 4]):
  {}
  return buffer "b" <- %y, %x
"""


@pytest.mark.parametrize(
    ("nodes", "apart"),
    [
        (  # GELU: three ops element by element
            """%e: f32[3, 4] = aten.erf.default(%x)
  %a: f32[3, 4] = aten.add.Tensor(%e, 1)
  %y: f32[3, 4] = aten.mul.Tensor(%x, %a)""",
            True,
        ),
        ("%h: f32[3, 4] = aten.mul.Tensor(%x, 0.1)\n  %y: f32[3, 4] = aten.maximum.default(%x, %h)", True),
        ("%h: f32[3, 4] = aten.mul.Tensor(%x, 0.1)\n  %y: f32[3, 4] = aten.maximum.default(%b, %h)", False),
        ("%h: f32[3, 4] = aten.mul.Tensor(%x, %b_w)\n  %y: f32[3, 4] = aten.add.Tensor(%h, %b_w)", True),
        ("%h: f32[3, 4] = aten.mul.Tensor(%b, 0.9)\n  %y: f32[3, 4] = aten.add.Tensor(%h, %x)", False),
        ("%y: f32[3, 4] = aten.add.Tensor(%b, 1)", False),
        ("%h: f32[3, 4] = aten.sigmoid.default(%x)\n  %y: f32[3, 4] = aten.mul.Tensor(%x, %h)", False),
        ("%h: f32[3, 4] = aten.t.default(%z)\n  %y: f32[3, 4] = aten.reshape.default(%h, [3, 4])", True),
        ("%y: f32[3, 4] = aten.reshape.default(%s, [3, 4])", False),
        (
            """%h: f32[3, 2] = aten.pad.default(%x, [-1, -1])
  %y: f32[3, 4] = aten.cat.default([%h, %h], 1)""",
            False,
        ),
        (
            """%h: f32[3, 1] = aten.slice.Tensor(%x, 1, 1, 2)
  %y: f32[3, 4] = aten.cat.default([%h, %x], 1)""",
            True,
        ),
    ],
)
def test_what_a_converter_makes_anew_becomes_state_by_an_op_more(nodes, apart):
    found = [one for one in fixed_text(STATE.format(nodes)).fixed if one.node == "y" and one.code == "GL601"]
    assert [one.fix.message for one in found] == ["is followed by an op that computes the same"] * apart


def test_sizes_that_a_reshape_does_not_tell_stay():
    for sizes in ("s0, s1", "s0, 0"):
        text = f"graph(%x: f32[2, 3, 4]):\n  %y: f32[{sizes}] = aten.flatten.using_ints(%x, 1)\n  return %y\n"
        (found,) = refusals(fixed_text(text))
        assert found.fix.message == "the artifact does not record the sizes of its operands"


def test_targets_that_disagree_leave_it(lint_text):
    text = "graph(%x: f32[3]):\n  %to: f64[3] = aten.to.dtype(%x, torch.float64)\n  return %to\n"
    own = {"mine": {"extends": "module", "refuse-ops": ["aten.to"]}}
    for target, message in (
        ("coreml", "becomes aten._to_copy.default"),
        ("coreml,mine", "no other form of it is known"),
    ):
        profile = program_settings(target=target, targets=own).profile
        (found,) = [one for one in lint_text(text, profile=profile) if one.code == "GL601"]
        assert found.fix.message == message

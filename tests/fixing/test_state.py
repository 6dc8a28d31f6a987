"""State that becomes inputs and outputs: stock torch runs the program, fed with its own outputs, as the original."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import graphlint
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ArtifactError, VerificationError
from graphlint.artifact.rewrite import write_archive
from graphlint.run.state import described

torch = pytest.importorskip("torch")

from tests import judge  # noqa: E402
from tests.text_form import parse_program  # noqa: E402
from torch import nn  # noqa: E402

from graphlint.runtime import initial_state, verify  # noqa: E402
from graphlint.runtime.behaviour import same_bits  # noqa: E402


class Everything(nn.Module):
    """Buffers persistent and not, a constant, a parameter, a written input, a keyword; no value begins with zeros."""

    example = (torch.ones(2, 2),), {"scale": torch.ones(1)}

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.full((2,), 3.0))
        self.register_buffer("count", torch.tensor(7), persistent=False)
        self.parameter = nn.Parameter(torch.ones(2), requires_grad=False)
        self.constant = torch.tensor([5.0, 1.0])
        self.weight = nn.Parameter(torch.rand(2))

    def forward(self, x, *, scale=None):
        self.kept.add_(x[0])
        self.count += 1
        self.parameter.mul_(scale)
        self.constant.sub_(self.parameter)
        x.mul_(2)
        return {"out": self.weight * self.kept * self.count + self.constant}, x[0] + self.parameter


class Nested(nn.Module):
    """State of submodules, whose names are no identifiers."""

    example = (torch.ones(2), [torch.ones(2), torch.ones(2)]), {}

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.arange(6.0).view(3, 2))

        def forward(self, x):
            self.cache.copy_(torch.roll(self.cache, 1, 0))
            self.cache[0] = x
            return self.cache.sum(0)

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([self.Layer(), self.Layer()])

    def forward(self, x, others):
        for layer, other in zip(self.layers, others, strict=True):
            x = layer(x + other)
        return x


class Dynamic(nn.Module):
    """A size that is not fixed, and an input of that size that is written."""

    example = (torch.ones(3, 2),), {}
    shapes = ({0: torch.export.Dim("n", min=2, max=9)},)
    calls = (torch.ones(3, 2),), (torch.ones(5, 2),), (torch.ones(2, 2),)

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.ones(2))

    def forward(self, x):
        self.total += x.sum(0)
        x.add_(1)
        return x * self.total


class Shared(nn.Module):
    """What is written back is returned, too, is a view of what is returned, and is an input."""

    example = (torch.ones(2, 2),), {}

    def __init__(self):
        super().__init__()
        for name in ("returned", "viewed", "given", "turned"):
            self.register_buffer(name, torch.zeros(2, 2))

    def forward(self, x):
        self.returned.add_(1)
        self.viewed.add_(x)
        self.given.copy_(x)
        self.turned.copy_(self.turned.t() + x)
        return self.returned, self.viewed.view(4), x.t()


class Checked(nn.Module):
    """Runtime checks beside state."""

    example = (torch.ones(2),), {}

    def __init__(self):
        super().__init__()
        self.register_buffer("h", torch.ones(2))

    def forward(self, x):
        torch._assert_async((x > -5).all(), "x is too small")
        self.h.add_(x)
        return self.h * 2


class Nothing(nn.Module):
    """No result, and names that are taken."""

    example = (torch.ones(2),), {"out": torch.ones(2)}

    def __init__(self):
        super().__init__()
        self.register_buffer("out", torch.ones(2))
        self.register_buffer("add", torch.ones(2))

    def forward(self, x, *, out):
        self.out.copy_(x + out)
        self.add.add_(self.out)


ARTIFACTS = Path(__file__).parent.parent / "artifacts"
MODELS = (Everything, Nested, Dynamic, Shared, Checked, Nothing)


def exported(model, path):
    torch.manual_seed(0)
    args, kwargs = model.example
    shapes = getattr(model, "shapes", None)
    program = judge.quiet(torch.export.export, model().eval(), args, kwargs, dynamic_shapes=shapes)
    judge.save(program, path)
    return path


@pytest.fixture
def lifted(tmp_path):
    """Exports a model and lifts its state; the paths of the original and of the fixed artifact."""

    def lift(model, **options):
        original = exported(model, tmp_path / "original.pt2")
        path = tmp_path / "fixed.pt2"
        shutil.copy(original, path)
        result = graphlint.fix(path, isolated=True, state="io", **options)
        assert (result.error, result.changed) == (None, True)
        assert not any(one.fix.applicability == "safe" for one in result.diagnostics)
        return original, path

    return lift


def description(path, program="model"):
    with zipfile.ZipFile(path) as archive:
        member = next((name for name in archive.namelist() if name.endswith("/extra/graphlint_state.json")), None)
        return json.loads(archive.read(member))["programs"][program] if member else None


def same(left, right):
    left, spec = torch.utils._pytree.tree_flatten(left)
    right, other = torch.utils._pytree.tree_flatten(right)
    assert spec == other
    for one, two in zip(left, right, strict=True):
        assert type(one) is type(two)
        assert not isinstance(one, torch.Tensor) or (one.shape == two.shape and same_bits(one.detach(), two.detach()))


def calls_of(model):
    """Three calls with other values."""
    args, kwargs = model.example
    for number, given in enumerate(getattr(model, "calls", [args] * 3), 1):
        yield torch.utils._pytree.tree_map(partial(torch.mul, torch.tensor(number / 2)), (given, kwargs))


def copied(values):
    return torch.utils._pytree.tree_map(torch.clone, values)


def compare(model, original, path, make=judge.module, name="model"):
    """Call the original and the fixed program, which is fed with its own state."""
    before, after = judge.module(judge.load(original, name)), make(judge.load(path, name))
    pairs, state = description(path, name), initial_state(path, name)
    held = {pair["name"]: pair for pair in pairs if pair["kind"] != "user_input"}
    assert state.keys() == held.keys()
    for args, kwargs in calls_of(model):
        mine, given = copied((args, kwargs)), copied((args, kwargs))
        expected = before(*mine[0], **mine[1])
        handed = copied(state)
        result, new = after(*given[0], **given[1], **state)
        same(given, (args, kwargs))  # nothing is written
        same(state, handed)
        same(result, expected)
        assert list(new) == [pair["name"] for pair in pairs]
        for pair in pairs:
            if pair["kind"] == "user_input":
                (written,) = [one for one in before_inputs(before, mine) if one[0] == pair["target"]]
                same(new[pair["name"]], written[1])
            else:
                same(new[pair["name"]], attribute(before, pair["target"]))
        state = {name: new[name] for name in held}


def attribute(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module.detach()


def before_inputs(module, given):
    """The tensors of a call by the names of the graph's inputs."""
    placeholders = [node.name for node in module.graph.nodes if node.op == "placeholder"]
    return list(zip(placeholders, torch.utils._pytree.tree_leaves(given), strict=True))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize(
    "make",
    [judge.module, judge.unflattened, lambda one: judge.module(judge.decomposed(one))],
    ids=["module", "unflatten", "decomposed"],
)
def test_a_program_fed_with_its_own_state_does_as_the_original(model, make, lifted):
    compare(model, *lifted(model), make)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_onnx_runtime_fed_with_its_own_state_does_as_the_original(model, lifted, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    original, path = lifted(model, target="onnx")
    program, pairs, state = judge.load(path), description(path), initial_state(path)
    results = [name for name in program.graph_signature.user_outputs if name is not None]
    judge.quiet(torch.onnx.export, program, dynamo=True, verbose=False, output_names=results).save(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    names = [one.name for one in session.get_inputs()]
    assert names[len(names) - len(state) :] == list(state)
    assert [one.name for one in session.get_outputs()] == results
    before = judge.module(judge.load(original))
    for args, kwargs in calls_of(model):
        mine = copied((args, kwargs))
        expected = [one for one in torch.utils._pytree.tree_leaves(before(*mine[0], **mine[1])) if one is not None]
        given = [*torch.utils._pytree.tree_leaves((args, kwargs)), *state.values()]
        made = session.run(None, {name: value.numpy() for name, value in zip(names, given, strict=True)})
        made = {name: torch.from_numpy(value) for name, value in zip(results, made, strict=True)}
        same([*made.values()][: len(expected)], [one.detach() for one in expected])
        for pair in pairs:
            if pair["kind"] == "user_input":
                same(made[pair["output"]], dict(before_inputs(before, mine))[pair["target"]])
            else:
                state[pair["name"]] = made[pair["output"]]
                same(made[pair["output"]], attribute(before, pair["target"]))


def test_what_is_handed_out_is_in_no_other_memory(lifted):
    _, path = lifted(Shared)
    module, state = judge.module(judge.load(path)), initial_state(path)
    x = torch.ones(2, 2)
    result, new = module(x, **state)
    held = [x, *state.values(), *result, *new.values()]
    memory = [one.untyped_storage().data_ptr() for one in held]
    own = memory[-len(new) :]
    assert len(set(own)) == len(own)
    assert not set(own) & set(memory[: -len(new)])
    assert [one.stride() for one in new.values()] == [(2, 1)] * 4


def test_the_names_of_values_tell_what_belongs_together(lifted):
    _, path = lifted(Nested)
    program = judge.load(path)
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    for pair in description(path):
        assert inputs[pair["input_place"]] == pair["input"] == pair["name"]
        assert outputs[pair["output_place"]] == pair["output"] == f"{pair['name']}_out"
    assert [pair["name"] for pair in description(path)] == ["layers_0_cache", "layers_1_cache"]
    assert [pair["target"] for pair in description(path)] == ["layers.0.cache", "layers.1.cache"]
    assert not program.state_dict


def test_names_that_are_taken_get_a_number(lifted):
    _, path = lifted(Nothing)
    assert [pair["name"] for pair in description(path)] == ["out_1", "add_1"]


def test_a_note_says_how_the_program_is_called(tmp_path):
    path = exported(Everything, tmp_path / "model.pt2")
    (note,) = graphlint.fix(path, isolated=True, state="io").notes
    assert note == (
        "program 'model' takes and returns its state now: call it as result, state = module(..., **state), first with "
        "graphlint.runtime.initial_state(path); state also holds the new values of 'x'"
    )


def test_a_check_tells_what_would_become_inputs_and_a_plain_one_does_not(tmp_path):
    path = exported(Dynamic, tmp_path / "model.pt2")
    graphlint.fix(path, isolated=True)
    assert graphlint.lint(path, isolated=True).diagnostics == ()
    found = graphlint.lint(path, isolated=True, state="io").diagnostics
    assert [(one.code, one.message, one.fix.message) for one in found] == [
        ("GL502", "buffer 'total' is written back by the caller", "becomes an input and an output"),
        ("GL502", "user input 'x' is written back by the caller", "becomes an input and an output"),
    ]
    assert not graphlint.fix(path, isolated=True).changed
    assert graphlint.fix(path, isolated=True, state="io").changed
    assert not graphlint.fix(path, isolated=True, state="io").changed


def test_the_token_of_checks_stays_in_its_buffer(lifted):
    _, path = lifted(Checked)
    program = judge.load(path)
    assert list(program.graph_signature.buffers_to_mutate.values()) == ["dep_token"]
    with pytest.raises(RuntimeError, match="x is too small"):
        judge.module(program)(torch.full((2,), -9.0), **initial_state(path))


def test_a_token_that_is_an_output_stands_before_the_state(lifted):
    _, path = lifted(Checked, token_sink="output")
    (result, token), state = judge.module(judge.load(path))(torch.ones(2), **initial_state(path))
    same((result, token.shape, state), (torch.full((2,), 4.0), torch.Size(), {"h": torch.full((2,), 2.0)}))


def test_several_programs_in_one_archive(tmp_path):
    path, fixed = tmp_path / "model.pt2", tmp_path / "fixed.pt2"
    programs = {}
    for name, model in (("first", Everything), ("second", Dynamic)):
        args, kwargs = model.example
        shapes = getattr(model, "shapes", None)
        programs[name] = judge.quiet(torch.export.export, model().eval(), args, kwargs, dynamic_shapes=shapes)
    from torch.export.pt2_archive._package import package_pt2

    judge.quiet(package_pt2, path, exported_programs=programs)
    shutil.copy(path, fixed)
    assert graphlint.fix(fixed, isolated=True, state="io").error is None
    for name, model in (("first", Everything), ("second", Dynamic)):
        compare(model, path, fixed, name=name)


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x):
        self.count.add_(x)
        torch._assert_async((x >= 0).all(), "below zero")
        return x + self.count


def test_what_was_lifted_before_stays_described_when_another_program_follows(tmp_path):
    from torch.export.pt2_archive._package import package_pt2

    path = tmp_path / "model.pt2"
    first, second = (judge.quiet(torch.export.export, Counting(), (torch.ones(2),)) for _ in range(2))
    # What one program writes is data flow already, and it alone can be lifted at first.
    judge.quiet(package_pt2, path, exported_programs={"first": judge.decomposed(first), "second": second})
    before = {name: judge.load(path, name) for name in ("first", "second")}
    assert graphlint.fix(path, isolated=True, state="io", select="GL502", checks="plain").fixed
    assert [*initial_state(path, "first")] == ["count"]
    with pytest.raises(ArtifactError):
        initial_state(path, "second")
    assert graphlint.fix(path, isolated=True, state="io", extend_select="GL502").fixed
    assert [sorted(initial_state(path, name)) for name in ("first", "second")] == [["count"], ["count"]]
    assert graphlint.restore(path, isolated=True).error is None
    for name in ("first", "second"):
        judge.compare(before[name], judge.load(path, name), [((torch.ones(2),), {})])


def refusals(path, **options):
    found = graphlint.lint(path, isolated=True, select="GL502", state="io", **options).diagnostics
    return {one.message.split("'")[1]: one.fix.message for one in found if one.fix.applicability == "none"}


def test_state_of_which_nothing_is_recorded_stays(write_pt2):
    tree = parse_program("""
graph(%b: f32[2] = buffer "b", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b, %x)
  return buffer "b" <- %add, %x
""")
    del tree["graph_module"]["graph"]["tensor_values"]["b"]
    path = write_pt2(tree, weights={"b": torch.ones(2)})
    assert refusals(path) == {"b": "the artifact does not tell its dtype"}


def test_state_in_the_same_memory_stays(write_pt2):
    text = """
graph(%b_one: f32[2] = buffer "one", %b_two: f32[2] = buffer "two", %b_three: f32[2] = buffer "three", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b_one, %x)
  %sub: f32[2] = aten.sub.Tensor(%b_three, %x)
  %mul: f32[2] = aten.mul.Tensor(%b_two, %x)
  return buffer "one" <- %add, buffer "three" <- %sub, %mul
"""
    path = write_pt2(text, weights={name: torch.ones(2) for name in ("one", "two", "three")}, shared={"two": "one"})
    assert refusals(path) == {"one": "'two' is in the same memory"}
    assert graphlint.fix(path, isolated=True, state="io").changed
    assert [pair["name"] for pair in description(path)] == ["three"]
    assert list(judge.load(path).graph_signature.buffers_to_mutate.values()) == ["one"]


def test_state_that_is_written_in_place_stays(write_pt2):
    text = """
graph(%b_one: f32[2] = buffer "one", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b_one, %x)
  %mul_: f32[2] = aten.mul_.Tensor(%b_one, 2)
  return buffer "one" <- %add, %mul_
"""
    path = write_pt2(text, weights={"one": torch.ones(2)})
    assert refusals(path) == {"one": "the program also writes to it in place"}


def test_files_of_older_versions_keep_their_state(tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copy(ARTIFACTS / "2.8.0" / "buffer_counter.pt2", path)
    assert graphlint.fix(path, isolated=True, state="io").changed  # writes are data flow now
    (reason,) = refusals(path).values()
    assert reason == "the file is of torch 2.8 or before: export the model with a newer torch"
    assert not graphlint.fix(path, isolated=True, state="io").changed


@pytest.mark.parametrize("side", ["in_spec", "out_spec"])
def test_a_program_that_is_called_otherwise_keeps_its_state(side, write_pt2, read_tree):
    text = """
graph(%b_one: f32[2] = buffer "one", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b_one, %x)
  return buffer "one" <- %add, %add
"""
    tree = read_tree(write_pt2(text))
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature[side] = json.dumps([1, {"type": "builtins.list", "context": "null", "children_spec": []}])
    reasons = refusals(write_pt2(tree, name="other.pt2", weights={"one": torch.ones(2)}))
    assert "recorded structure" in reasons["one"] if side == "out_spec" else "positional" in reasons["one"]


def written(program):
    """What the program writes back."""
    return sorted(spec.target for spec in program.graph_signature.output_specs if spec.target is not None)


def alike(left, right, name="model"):
    """Two artifacts hold programs that do the same, with the same state, and say the same of how they are called."""
    before, after = judge.load(left, name), judge.load(right, name)
    assert before.call_spec == after.call_spec
    assert written(before) == written(after)
    same(before.state_dict, after.state_dict)
    same({**before.constants}, {name: after.constants[name] for name in before.constants})
    assert before.constants.keys() == after.constants.keys()
    same(before.example_inputs, after.example_inputs)
    assert Counter(node.target for node in before.graph.nodes) == Counter(node.target for node in after.graph.nodes)


@pytest.mark.parametrize("sink", ["buffer", "output"])
@pytest.mark.parametrize("model", [Everything, Nested, Dynamic, Checked, Nothing], ids=lambda model: model.__name__)
def test_restore_brings_the_state_back(model, sink, tmp_path, lifted):
    original, path = lifted(model, token_sink=sink)
    functional = tmp_path / "functional.pt2"
    shutil.copy(original, functional)
    graphlint.fix(functional, isolated=True, token_sink=sink)
    graphlint.restore(functional, isolated=True)
    result = graphlint.restore(path, isolated=True)
    assert (result.error, result.changed, result.kept) == (None, True, ())
    assert sorted(result.state) == written(judge.load(path))
    alike(functional, path)
    assert description(path) is None
    assert not graphlint.restore(path, isolated=True).changed
    assert graphlint.fix(path, isolated=True, state="io").changed
    compare(model, original, path)


def test_the_command_line_lifts_and_restores(tmp_path):
    exported(Nested, tmp_path / "model.pt2")

    def run(*arguments):
        command = [sys.executable, "-m", "graphlint", *arguments, "--isolated", "model.pt2"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    fixed = run("--fix", "--lift-state")
    assert fixed.returncode == 1
    assert "model.pt2: program 'model' takes and returns its state now: call it as result, state = " in fixed.stderr
    assert description(tmp_path / "model.pt2")
    shown = run("restore", "--diff")
    assert (shown.returncode, shown.stderr) == (1, "Would restore 2 state tensors.\n")
    restored = run("restore")
    assert restored.returncode == 1
    assert restored.stdout.startswith("Restored 2 state tensors in model.pt2\nRestored 2 state tensors.\n")
    assert run("restore").returncode == 0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_verify_feeds_the_program_with_its_state(model, tmp_path):
    path = exported(model, tmp_path / "model.pt2")
    result = graphlint.fix(path, isolated=True, state="io", verify=True)
    assert (result.error, result.changed) == (None, True)
    restored = graphlint.restore(path, isolated=True, verify=True)
    assert (restored.error, restored.changed) == (None, True)


@pytest.mark.parametrize("value", [0, 1], ids=["initial value", "state"])
def test_verify_sees_state_that_is_another_one(value, lifted):
    original, path = lifted(Nested)
    with open_artifact(str(path)) as artifact:
        tree = json.loads(artifact.read_program(artifact.programs[0]))
        pair = described(artifact).of("model")[0]
        if value:
            outputs = tree["graph_module"]["graph"]["outputs"]
            outputs[-1], outputs[-2] = outputs[-2], outputs[-1]
            specs = tree["graph_module"]["signature"]["output_specs"]
            specs[-1], specs[-2] = specs[-2], specs[-1]
            changes = {artifact.programs[0].member: json.dumps(tree).encode()}
        else:
            changes = {pair.value.member: bytes(24)}
        with (path.parent / "other.pt2").open("wb") as file:
            write_archive(artifact.container, changes, file)
    with pytest.raises(VerificationError, match=r"differs on the first call with the sample inputs: "):
        verify(str(original), str(path.parent / "other.pt2"))


def test_what_the_recorded_call_names_is_called_as_the_lifted_value(write_pt2, read_tree):
    """Some tools record as an output of the call what is written back."""
    text = """
graph(%b_one: f32[2] = buffer "one", %x: f32[2]):
  %new: f32[2] = aten.add.Tensor(%b_one, %x)
  %mul: f32[2] = aten.mul.Tensor(%x, 2)
  return buffer "one" <- %new, %mul
"""
    tree = read_tree(write_pt2(text))
    tree["graph_module"]["module_call_graph"][0]["signature"]["outputs"] = [{"as_tensor": {"name": "new"}}]
    path = write_pt2(tree, name="other.pt2", weights={"one": torch.ones(2)})
    assert graphlint.fix(path, isolated=True, state="io").changed
    named = read_tree(path)["graph_module"]["module_call_graph"][0]["signature"]["outputs"]
    assert named[0]["as_tensor"]["name"] == "one_out"
    assert graphlint.restore(path, isolated=True).changed
    named = read_tree(path)["graph_module"]["module_call_graph"][0]["signature"]["outputs"]
    assert [one["as_tensor"]["name"] for one in named] == ["one_out"]


def test_state_of_a_program_whose_name_is_no_text_stays(tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copy(ARTIFACTS / "2.13.0" / "buffer_counter.pt2", path)
    data, name, odd = path.read_bytes(), b"model", b"\xffodel"
    for member in (b"models/%s.json", b"%s_weights_config", b"%s_constants_config", b"sample_inputs/%s.pt"):
        data = data.replace(member % name, member % odd)
    path.write_bytes(data)
    before = path.read_bytes()
    result = graphlint.fix(path, isolated=True, state="io")
    assert "is no text" in result.error
    assert path.read_bytes() == before

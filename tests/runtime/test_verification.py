"""Verification: what counts as the same, what is told of a difference, and what is not run without trust."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from graphlint.artifact.container import Container
from graphlint.artifact.errors import ConfigError, VerificationError
from graphlint.artifact.rewrite import write_archive
from graphlint.run.engine import process
from graphlint.runtime import verify
from graphlint.runtime.verification import Verified, verifier

NEWEST = Path(__file__).parent.parent / "artifacts" / "2.13.0"
UNLOADABLE = {"random", "mutable_custom_op"}


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_every_fix_of_the_corpus_is_verified(tmp_path, all_rules, sink):
    settings = type(all_rules)(enabled=all_rules.enabled, fixable=all_rules.fixable, token_sink=sink)
    changed = []
    for original in sorted(NEWEST.glob("*.pt2")):
        if original.stem not in UNLOADABLE:
            path = tmp_path / original.name
            shutil.copyfile(original, path)
            result = process(str(path), settings, "fix", verifier())
            assert result.error is None, original
            changed += [original.stem] * result.changed
    assert len(changed) >= 18


@pytest.mark.parametrize("version", ["2.6.0", "2.8.0", "2.9.1"])
def test_older_layouts_are_verified(artifacts, fixed, version):
    path = artifacts / version / "key_value_cache.pt2"
    if not path.exists():
        pytest.skip(f"no artifacts of torch {version}")
    before, after = fixed(path)
    assert verify(str(before), str(after)) == Verified(("model",), 2, 0)


def test_all_programs_and_sizes_are_run(fixed):
    assert verify(*map(str, fixed(NEWEST / "two_programs.pt2"))).programs == ("encoder", "decoder")
    assert verify(*map(str, fixed(NEWEST / "dynamic_batch.pt2"))) == Verified(("model",), 5, 0)


def constant(value):
    """The number that the first ``add`` adds becomes another one."""

    def change(tree):
        for node in tree["graph_module"]["graph"]["nodes"]:
            if node["target"] == "torch.ops.aten.add.Tensor":
                node["inputs"][1]["arg"] = {"as_int": value}

    return change


def target(old, new):
    def change(tree):
        for node in tree["graph_module"]["graph"]["nodes"]:
            if node["target"] == f"torch.ops.aten.{old}":
                node["target"] = f"torch.ops.aten.{new}"

    return change


def without(name):
    def change(tree):
        graph = tree["graph_module"]["graph"]
        graph["nodes"] = [node for node in graph["nodes"] if node["target"] != f"torch.ops.aten.{name}"]

    return change


def message(text):
    def change(tree):
        for node in tree["graph_module"]["graph"]["nodes"]:
            if "_assert_async" in node["target"]:
                node["inputs"] = [node["inputs"][0], {"name": "assert_msg", "arg": {"as_string": text}, "kind": 1}]

    return change


def in_other_dtype(tree):
    """``x + 3`` becomes ``x.to(float64)`` (8 in the schema)."""
    graph = tree["graph_module"]["graph"]
    for node in graph["nodes"]:
        if node["target"] == "torch.ops.aten.add.Tensor":
            node["target"] = "torch.ops.aten._to_copy.default"
            node["inputs"][1] = {"name": "dtype", "arg": {"as_scalar_type": 8}, "kind": 2}


def a_list(tree):
    """``(a, b)`` becomes ``[a, b]``."""
    call = tree["graph_module"]["module_call_graph"][0]["signature"]
    call["out_spec"] = call["out_spec"].replace("builtins.tuple", "builtins.list")


def sometimes_raising(tree):
    """The check holds for the sample inputs, and not for the other values."""
    for node in tree["graph_module"]["graph"]["nodes"]:
        if node["target"] == "torch.ops.aten.gt.Scalar":
            node["inputs"][1]["arg"] = {"as_float": -2.3}


def always_raising(tree):
    for node in tree["graph_module"]["graph"]["nodes"]:
        if node["target"] == "torch.ops.aten.gt.Scalar":
            node["inputs"][1]["arg"] = {"as_float": 1e9}


FIRST = "program 'model' differs on the first call with the sample inputs"
DIFFERENCES = {
    "output": ("async_assert", constant(4), f"{FIRST}: output: 12 of 12 elements differ, by at most 1"),
    "input": (
        "input_mutation",
        target("relu_.default", "relu.default"),
        rf"{FIRST}( with other values)?: input after the call\[0\]\[0\]: \d+ of 12 elements differ, by at most \d.*",
    ),
    "buffer": (
        "buffer_counter",
        target("add_.Tensor", "sub_.Tensor"),
        f"{FIRST}: .*elements? differ, by at most .*",
    ),
    "printed": (
        "print",
        without("_print.default"),
        f"{FIRST}: 'step\\\\n' was printed, now it is ''",
    ),
    "dtype": ("async_assert", in_other_dtype, f"{FIRST}: output: dtype torch.float32 before, torch.float64 now"),
    "structure": (
        "two_async_asserts",
        a_list,
        rf"{FIRST}: the structure of the output differs: TreeSpec\(tuple, .* before, TreeSpec\(list, .* now",
    ),
}


@pytest.mark.parametrize(("case", "change", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences_are_told(edit, case, change, expected):
    path = edit(case, change)
    with pytest.raises(VerificationError) as raised:
        verify(str(NEWEST / f"{case}.pt2"), str(path))
    assert re.fullmatch(expected, str(raised.value)), str(raised.value)


def test_a_check_that_no_longer_fires_is_a_difference(edit):
    def both(*changes):
        def change(tree):
            for one in changes:
                one(tree)

        return change

    raising = edit(change=sometimes_raising, name="raising.pt2")
    silent = edit(change=both(sometimes_raising, without("_assert_async.msg")), name="silent.pt2")
    other = edit(change=both(sometimes_raising, message("another")), name="other.pt2")
    was = "RuntimeError: x must be above -100 was raised, now it is"
    with pytest.raises(VerificationError, match=f"other values: {was} nothing$"):
        verify(str(raising), str(silent))
    with pytest.raises(VerificationError, match=f"other values: {was} RuntimeError: another$"):
        verify(str(raising), str(other))
    assert verify(str(raising), str(raising)) == Verified(("model",), 2, 1)


def test_a_draw_more_or_less_is_a_difference(export, tmp_path):
    class Draws(torch.nn.Module):
        def forward(self, x):
            torch.rand(2)
            return x + torch.zeros(2) * torch.rand(2)

    class DrawsOther(torch.nn.Module):
        def forward(self, x):
            return x + torch.zeros(3)[:2] * torch.rand(3)[:2]

    for name, module in (("a", Draws()), ("b", DrawsOther())):
        torch.export.save(export(module, torch.ones(2)), tmp_path / f"{name}.pt2")
    with pytest.raises(VerificationError, match=r"the random number generator is in another state afterwards$"):
        verify(str(tmp_path / "a.pt2"), str(tmp_path / "b.pt2"))


def test_programs_that_cannot_be_run_are_not_verified(edit):
    path = edit(change=always_raising)
    with pytest.raises(
        VerificationError,
        match=r"^cannot be verified: program 'model' cannot be run: it raises on all 2 inputs: "
        "RuntimeError: x must be above -100$",
    ):
        verify(str(path), str(path))


UNREADABLE = f"cannot be verified: torch {re.escape(torch.__version__)} does not load it: "
ADVICE = "give the module that registers it with --import"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NEWEST / "random.pt2", f"{UNREADABLE}KeyError: 'from'"),
        (Path("nope.pt2"), "cannot be verified: cannot be read: No such file or directory"),
    ],
    ids=["schema", "missing"],
)
def test_what_torch_does_not_load(path, expected):
    with pytest.raises(VerificationError) as raised:
        verify(str(path), str(path))
    assert re.fullmatch(rf"{re.escape(str(path))}: {expected}", str(raised.value)), str(raised.value)


def test_a_custom_op_that_nothing_registers(tmp_path):
    # Under a name of its own: another test of this process may have registered the op of the artifact.
    path, original = tmp_path / "model.pt2", NEWEST / "mutable_custom_op.pt2"
    with Container(original) as container, path.open("wb") as file:
        (member,) = (name for name in container.members if name.endswith("models/model.json"))
        renamed = container.read(member).replace(b"torch.ops.sample.", b"torch.ops.nowhere.")
        write_archive(container, {member: renamed}, file)
    with pytest.raises(VerificationError) as raised:
        verify(str(path), str(path))
    expected = rf"{UNREADABLE}SerializeError: .*… \(torch\.ops\.nowhere\.scale_ is not part of torch: {ADVICE}\)"
    assert re.fullmatch(rf"{re.escape(str(path))}: {expected}", str(raised.value)), str(raised.value)


def test_other_programs(fixed):
    with pytest.raises(VerificationError, match=r"^the programs are decoder, encoder before and model after$"):
        verify(str(NEWEST / "two_programs.pt2"), str(NEWEST / "clean.pt2"))


def test_imports_register_what_a_program_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("registers_scale.py").write_text(
        "import torch\n"
        "@torch.library.custom_op('sample::scale_', mutates_args={'x'})\n"
        "def scale_(x: torch.Tensor, factor: float) -> None:\n"
        "    x.mul_(factor)\n"
    )
    path = str(NEWEST / "mutable_custom_op.pt2")
    assert verify(path, path, imports=["registers_scale"]).programs == ("model",)
    with pytest.raises(ConfigError, match=r"^--import nowhere: ModuleNotFoundError: No module named 'nowhere'$"):
        verify(path, path, imports=["nowhere"])


# What torch runs while it loads a file or makes a module of it. Each makes the folder "ran".
RUN = "__import__('os').mkdir('ran')"


class MakesFolder:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def sample_inputs(entry):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(MakesFolder(), 2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return {entry.sample_inputs: out.getvalue()}


def in_a_size(tree):
    values = tree["graph_module"]["graph"]["tensor_values"]
    first = next(iter(values))
    values[first]["sizes"][0] = {"as_expr": {"expr_str": RUN, "hint": None}}


def in_a_name(tree):
    for spec in tree["graph_module"]["signature"]["input_specs"]:
        spec["user_input"]["arg"]["as_tensor"]["name"] = f"x={RUN}"
    graph = tree["graph_module"]["graph"]
    graph["inputs"][0]["as_tensor"]["name"] = f"x={RUN}"
    graph["tensor_values"][f"x={RUN}"] = graph["tensor_values"]["x"]
    for node in graph["nodes"]:
        for operand in node["inputs"]:
            if operand["arg"].get("as_tensor") == {"name": "x"}:
                operand["arg"] = {"as_tensor": {"name": f"x={RUN}"}}


THREATS = {
    "sample-inputs": ({"members": sample_inputs}, f"calls {os.mkdir.__module__}.mkdir"),
    "guard": ({"change": lambda tree: tree.update(guards_code=[RUN])}, f'executes the guard "{RUN}"'),
    "size": ({"change": in_a_size}, f'evaluates "{RUN}"'),
    "name": ({"change": in_a_name}, f'has a value or an argument named "x={RUN}"'),
}


@pytest.mark.parametrize(("changes", "expected"), THREATS.values(), ids=THREATS)
def test_code_runs_only_where_it_is_trusted(edit, changes, expected):
    path = str(edit(**changes))
    with pytest.raises(VerificationError) as raised:
        verify(path, path)
    message = re.sub('member "[^"]*"', "member", str(raised.value))
    assert message == (
        f"{path}: cannot be verified without --trust: member {expected}, "
        "and torch would run that when it loads the file"
    )
    assert not Path("ran").exists()
    with pytest.raises(VerificationError):
        verify(path, path, trust=True)
    assert Path("ran").is_dir(), "this is no threat: the test has to find one that is"


def test_pickles_that_torch_itself_takes_for_no_data(export, tmp_path):
    path = str(tmp_path / "model.pt2")
    torch.export.save(export(torch.nn.Linear(2, 2), torch.ones(2)), path, pickle_protocol=4)
    with pytest.raises(VerificationError, match=r": cannot be verified without --trust: torch refuses some of its"):
        verify(path, path)
    assert verify(path, path, trust=True).programs == ("model",)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_second_name_of_a_buffer_may_be_left_out(export, fixed, tmp_path):
    class Cache(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = torch.zeros(3)
            self.register_buffer("cache", self.rows, persistent=False)

        def forward(self, x):
            self.rows.add_(x)
            return self.rows * 2

    path = tmp_path / "model.pt2"
    torch.export.save(export(Cache(), torch.ones(3)), path)
    assert verify(*map(str, fixed(path))) == Verified(("model",), 2, 0)


def test_guards_are_run(export, tmp_path):
    class Guarded(torch.nn.Module):
        def forward(self, x, *, y):
            return x + 1 if x.shape[0] > 5 else y

    dynamic = {"x": {0: torch.export.Dim.AUTO}, "y": None}
    program = export(Guarded(), torch.ones(7, 3), kwargs={"y": torch.ones(2)}, dynamic_shapes=dynamic)
    assert program._guards_code == ["L['x'].size()[0] > 5"]
    path = str(tmp_path / "model.pt2")
    torch.export.save(program, path)
    assert verify(path, path) == Verified(("model",), 5, 0)


class Kept(torch.nn.Module):
    """Keeps what it returns in a buffer, too: what that is, and which of the two is returned."""

    def __init__(self, of, shown):
        super().__init__()
        self.register_buffer("kept", torch.zeros(3))
        self._of, self._shown = of, shown

    def forward(self, x):
        y = self._of(x, self.kept)
        self.kept.copy_(y)
        return self._shown(self.kept, y)


@pytest.mark.parametrize("of", [lambda x, kept: kept + x, lambda x, kept: x * 2], ids=["same-inputs", "other-inputs"])
def test_a_result_that_a_later_call_changes_is_a_difference(export, tmp_path, of):
    """``b.copy_(y); return y``, of which a wrong fix returns the buffer itself."""
    shown = {"copy": lambda kept, y: y, "buffer": lambda kept, y: kept, "view": lambda kept, y: kept.view(3, 1)[:, 0]}
    paths = {name: str(tmp_path / f"{name}.pt2") for name in shown}
    for name, path in paths.items():
        torch.export.save(export(Kept(of, shown[name]), torch.ones(3)), path)
    for wrong in ("buffer", "view"):
        with pytest.raises(
            VerificationError, match=f"^{FIRST}, after later calls: output: 3 of 3 elements differ, by at"
        ):
            verify(paths["copy"], paths[wrong])
    # A fix may end that: what is written back in the end is a value of its own.
    for before, after in (("copy", "copy"), ("buffer", "view"), ("buffer", "copy"), ("view", "copy")):
        assert verify(paths[before], paths[after]) == Verified(("model",), 2, 0)

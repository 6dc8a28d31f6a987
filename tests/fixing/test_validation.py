"""A fix that fails its own checks changes nothing: what fix.py and the engine refuse to write."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from tests.text_form import parse_program

import graphlint.passes.nodes
import graphlint.passes.tokens
import graphlint.rules.fixing
import graphlint.run.writeback
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import PendingReplacement, write_archive
from graphlint.ir.edit import changed_graph, changed_node, with_graph, with_operand
from graphlint.ir.model import Argument
from graphlint.passes.tokens import Functionalized, functionalize_checks
from graphlint.rules.registry import RULES
from graphlint.run.engine import process

ARTIFACTS = Path(__file__).parent.parent / "artifacts" / "2.13.0"
CONTRADICTION = "the changed program contradicts itself: "
BUG = "a fix failed its own checks, which is a bug of graphlint: "
TEXT = """\
program TRAINING
graph(%x: f32[3]):
  %ok: b8[] = aten.all.default(%x)
  aten._assert_async.msg(%ok, "zero")
  aten._assert_tensor_metadata.default(%x, dtype=torch.float32)
  %y: f32[3] = aten.rand_like.default(%x)
  %z: f32[3] = aten.add.Tensor(%x, %y)
  return %z
"""


def with_nodes(program, nodes):
    return with_graph(program, changed_graph(program.graph, nodes=nodes))


def without(target, program):
    return [node for node in program.graph.nodes if target not in node.target]


def drop_the_check(program, sites, sink):
    return Functionalized(with_nodes(program, without("_assert_async", program)), None)


def leave_the_check(program, sites, sink):
    return Functionalized(program, None)


def run_the_check_twice(program, sites, sink):
    nodes = program.graph.nodes
    return Functionalized(with_nodes(program, [*nodes[:2], *nodes[1:]]), None)


def define_a_value_twice(program, sites, sink):
    nodes = program.graph.nodes
    return Functionalized(with_nodes(program, [nodes[0], *nodes]), None)


def read_a_value_that_is_not_there(program, sites, sink):
    return Functionalized(with_nodes(program, program.graph.nodes[1:]), None)


def lose_an_output(program, sites, sink):
    return Functionalized(with_graph(program, changed_graph(program.graph, outputs=[])), None)


def drop_a_random_op(program, sites, sink):
    made = functionalize_checks(program, sites, sink)
    *nodes, add = without("rand_like", made.program)
    inputs = [add.inputs[0], with_operand(add.inputs[1], Argument(as_float=0.5))]
    return Functionalized(with_nodes(made.program, [*nodes, changed_node(add, inputs=inputs)]), made.buffer)


def add_a_write(program, sites, sink):
    made = functionalize_checks(program, sites, sink)
    nodes = [
        changed_node(node, target="torch.ops.aten.add_.Tensor") if "add.Tensor" in node.target else node
        for node in made.program.graph.nodes
    ]
    return Functionalized(with_nodes(made.program, nodes), made.buffer)


BROKEN = {
    "drops-the-check": (
        drop_the_check,
        ("torch.ops.aten._functional_assert_async.msg occurs 0 times afterwards, 1 times were expected",),
    ),
    "leaves-the-check": (
        leave_the_check,
        (
            "torch.ops.aten._functional_assert_async.msg occurs 0 times afterwards, 1 times were expected",
            "torch.ops.aten._assert_async.msg occurs 1 times afterwards, 0 times were expected",
        ),
    ),
    "runs-the-check-twice": (
        run_the_check_twice,
        (
            "torch.ops.aten._functional_assert_async.msg occurs 0 times afterwards, 1 times were expected",
            "torch.ops.aten._assert_async.msg occurs 2 times afterwards, 0 times were expected",
        ),
    ),
    "defines-a-value-twice": (
        define_a_value_twice,
        (f"{CONTRADICTION}node 1 (aten.all.default) defines %ok a second time",),
    ),
    "reads-an-undefined-value": (
        read_a_value_that_is_not_there,
        (f"{CONTRADICTION}node 0 (aten._assert_async.msg) reads %ok, which nothing before it defines",),
    ),
    "loses-an-output": (
        lose_an_output,
        (f"{CONTRADICTION}the signature describes 1 outputs, the graph has 0",),
    ),
    "drops-a-random-op": (
        drop_a_random_op,
        ("a random op occurs 0 times afterwards, 1 times were expected",),
    ),
    "adds-a-write": (
        add_a_write,
        ("torch.ops.aten.add_.Tensor occurs 1 times afterwards, 0 times were expected",),
    ),
}


@pytest.fixture
def broken_pass(request, monkeypatch):
    """Puts a broken pass in the place of the one that chains the checks; what is said of it."""
    run, messages = request.param
    monkeypatch.setattr(graphlint.passes.tokens, "functionalize_checks", run)
    return messages


@pytest.mark.parametrize("broken_pass", BROKEN.values(), ids=BROKEN, indirect=True)
def test_a_broken_pass_is_told_and_nothing_is_written(broken_pass, write_pt2, settings_for):
    path = write_pt2(TEXT)
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    result = process(str(path), settings_for(), "fix")
    assert result.error in [BUG + message for message in broken_pass]
    assert (result.changed, result.fixed, result.diff) == (False, (), "")
    # The fix of the other pass is not written either, so its finding is still to be reported.
    assert [one.code for one in result.diagnostics] == ["GL201", "GL205"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, modified)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert process(str(path), settings_for(), "diff").error == result.error


def test_a_check_that_comes_back_is_noticed(monkeypatch, write_pt2, settings_for):
    def add_another(program, sites):
        nodes = program.graph.nodes
        return with_nodes(program, [*nodes, nodes[2]])

    monkeypatch.setattr(graphlint.passes.nodes, "remove_nodes", add_another)
    path = write_pt2(TEXT)
    result = process(str(path), settings_for(), "fix")
    target = "torch.ops.aten._assert_tensor_metadata.default"
    assert result.error == f"{BUG}{target} occurs 2 times afterwards, 0 times were expected"


def test_a_finding_that_a_fix_adds_is_noticed(monkeypatch, write_pt2, settings_for):
    """Even one of another rule: the effects are as expected, the findings are not."""
    settings = settings_for(enabled={"GL201", "GL205", "GL303"})
    real = graphlint.rules.fixing.lint_view
    calls = []

    def lint_with_one_more(program, *args):
        found = real(program, *args)
        calls.append(program)
        return [*found, *found[:1]] if len(calls) > 1 else found

    monkeypatch.setattr(graphlint.rules.fixing, "lint_view", lint_with_one_more)
    path = write_pt2(TEXT)
    before = path.read_bytes()
    result = process(str(path), settings, "fix")
    assert result.error == f"{BUG}2 findings of GL201 are left after fixing, 1 were expected"
    assert path.read_bytes() == before


# -- the written file is read again


def corrupting(what):
    """A PendingReplacement whose temporary file is not what it should be."""

    class Corrupting(PendingReplacement):
        def __enter__(self):
            pending = super().__enter__()
            what(Path(pending.path))
            return pending

    return Corrupting


def garble_the_program(path):
    data = path.read_bytes()
    place = data.index(b"_functional_assert_async")
    path.write_bytes(data[:place] + b"X" + data[place + 1 :])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def put_the_original_back(path):
    shutil.copy(ARTIFACTS / "async_assert.pt2", path)


def put_another_package_there(path):
    shutil.copy(ARTIFACTS / "two_programs.pt2", path)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (garble_the_program, 'member "async_assert/models/model.json" is damaged: its checksum does not match'),
        (truncate, "the written artifact cannot be read: the file is cut short"),
        (put_the_original_back, f"{BUG}program 'model' lints otherwise after it was written"),
        (put_another_package_there, f"{BUG}the written artifact holds other programs than the original"),
    ],
)
def test_a_file_that_was_not_written_well_does_not_replace_the_old_one(
    what, error, monkeypatch, tmp_path, settings_for
):
    monkeypatch.setattr(graphlint.run.writeback, "PendingReplacement", corrupting(what))
    path = tmp_path / "model.pt2"
    shutil.copy(ARTIFACTS / "async_assert.pt2", path)
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    result = process(str(path), settings_for(), "fix")
    assert error in result.error
    assert (result.changed, result.fixed) == (False, ())
    assert [one.code for one in result.diagnostics] == ["GL201"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, modified)
    assert [one.name for one in tmp_path.iterdir()] == ["model.pt2"]


def test_a_file_that_changes_meanwhile_is_left_alone(monkeypatch, tmp_path, settings_for):
    path = tmp_path / "model.pt2"
    shutil.copy(ARTIFACTS / "async_assert.pt2", path)
    other = (ARTIFACTS / "clean.pt2").read_bytes()
    monkeypatch.setattr(graphlint.run.writeback, "PendingReplacement", corrupting(lambda _: path.write_bytes(other)))
    result = process(str(path), settings_for(), "fix")
    assert "was changed by something else meanwhile, and was not written" in result.error
    assert not result.changed
    assert path.read_bytes() == other
    assert [one.name for one in tmp_path.iterdir()] == ["model.pt2"]


def test_a_read_only_file_is_left_alone(tmp_path, settings_for):
    path = tmp_path / "model.pt2"
    shutil.copy(ARTIFACTS / "async_assert.pt2", path)
    path.chmod(0o444)
    result = process(str(path), settings_for(), "fix")
    assert "is read-only, and was not written: make it writable" in result.error
    assert (result.changed, result.fixed) == (False, ())
    assert [one.code for one in result.diagnostics] == ["GL201"]
    assert path.read_bytes() == (ARTIFACTS / "async_assert.pt2").read_bytes()


# -- the actions


def test_check_and_diff_write_nothing(write_pt2, settings_for):
    path = write_pt2("""\
program ATEN
graph(%x: f32[3, 4]):
  %gt: b8[3, 4] = aten.gt.Scalar(%x, -100)
  %all_1: b8[] = aten.all.default(%gt)
  aten._assert_async.msg(%all_1, "x must be above -100")
  %add: f32[3, 4] = aten.add.Tensor(%x, 3)
  return %add
""")
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    checked = process(str(path), settings_for(), "check")
    assert [one.code for one in checked.diagnostics] == ["GL201"]
    assert (checked.changed, checked.fixed, checked.diff, checked.programs) == (False, (), "", ("model",))
    shown = process(str(path), settings_for(), "diff")
    assert (shown.changed, shown.diagnostics) == (False, ())
    assert shown.fixed == checked.diagnostics
    assert (
        shown.diff
        == f"""\
--- {path}:model (as it is)
+++ {path}:model (fixed)
@@ -1,7 +1,8 @@
 program ATEN
-graph(%x: f32[3, 4]):
+graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %x: f32[3, 4]):
   %gt: b8[3, 4] = aten.gt.Scalar(%x, -100)
   %all_1: b8[] = aten.all.default(%gt)
-  aten._assert_async.msg(%all_1, "x must be above -100")
+  %dep_token0: f32[] = aten._make_dep_token.default()
+  %dep_token1: f32[] = aten._functional_assert_async.msg(%all_1, "x must be above -100", dep_token=%dep_token0)
   %add: f32[3, 4] = aten.add.Tensor(%x, 3)
-  return %add
+  return buffer "dep_token" <- %dep_token1, %add
"""
    )
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, modified)
    fixed = process(str(path), settings_for(), "fix")
    assert fixed.fixed == shown.fixed
    assert (fixed.changed, fixed.diff) == (True, "")


def test_what_is_fixed_and_what_is_left_are_told_apart(write_pt2, settings_for):
    path = write_pt2(TEXT.replace("torch.float32)", "torch.float16)"))
    result = process(str(path), settings_for(), "fix")
    assert [(one.code, one.path, one.program) for one in result.fixed] == [("GL201", str(path), "model")]
    assert [(one.code, one.path, one.fix.applicability) for one in result.diagnostics] == [("GL205", str(path), "none")]
    # The diagnostics are those of the file as it is now.
    assert process(str(path), settings_for(), "check").diagnostics == result.diagnostics


def test_an_artifact_without_findings_is_not_opened_for_writing(monkeypatch, tmp_path, settings_for):
    monkeypatch.setattr(graphlint.run.writeback, "PendingReplacement", None)
    path = tmp_path / "clean.pt2"
    shutil.copy(ARTIFACTS / "clean.pt2", path)
    result = process(str(path), settings_for(), "fix")
    assert (result.changed, result.fixed, result.diagnostics, result.error) == (False, (), (), None)


@pytest.mark.parametrize("action", ["check", "fix", "diff"])
@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", "GL001", "the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            "GL002",
            "the file is a Git LFS pointer: run `git lfs pull` to fetch the artifact",
        ),
        (b"# not an artifact\n", "GL001", "not a zip archive but a text file"),
    ],
)
def test_what_cannot_be_read_is_a_diagnostic(content, code, message, action, tmp_path, settings_for):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    result = process(str(path), settings_for(enabled={"GL001", "GL002"}), action)
    assert [(one.code, one.message, one.path) for one in result.diagnostics] == [(code, message, str(path))]
    assert (result.changed, result.error, result.programs) == (False, None, ())
    assert process(str(path), settings_for(enabled={"GL201"}), action).diagnostics == ()
    assert path.read_bytes() == content


# -- several programs, one of them broken


@pytest.fixture
def half_broken(tmp_path):
    """two_programs.pt2, its second program's JSON cut short; the path and the broken member's content."""

    def make(broken="decoder"):
        path = tmp_path / "package.pt2"
        with open_artifact(ARTIFACTS / "two_programs.pt2") as artifact:
            (entry,) = (one for one in artifact.programs if one.name == broken)
            content = artifact.read_program(entry)[:-100]
            with path.open("wb") as file:
                write_archive(artifact.container, {entry.member: content}, file)
        return path, entry.member, content

    return make


def test_a_broken_program_does_not_keep_the_other_one_from_being_fixed(half_broken, settings_for):
    path, member, content = half_broken()
    settings = settings_for(enabled={"GL001", "GL201"})
    with zipfile.ZipFile(path) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    result = process(str(path), settings, "fix")
    assert (result.changed, result.error) == (True, None)
    assert [(one.code, one.program) for one in result.fixed] == [("GL201", "encoder")]
    (broken,) = result.diagnostics
    assert (broken.code, broken.program, broken.member) == ("GL001", "decoder", member)
    assert broken.message.startswith("broken JSON: ")
    with zipfile.ZipFile(path) as archive:
        after = {name: archive.read(name) for name in archive.namelist()}
    changed = {name.rpartition("/")[2] for name in after if after[name] != before.get(name)}
    assert changed == {"encoder.json", "encoder_constants_config.json", "tensor_0", "graphlint.json"}
    assert after[member] == content
    again = process(str(path), settings, "fix")
    assert (again.changed, again.diagnostics) == (False, result.diagnostics)


def test_nothing_is_written_where_only_the_sound_program_is_clean(half_broken, settings_for):
    path, member, _ = half_broken("encoder")
    before = path.read_bytes()
    result = process(str(path), settings_for(enabled={"GL001", "GL201"}), "fix")
    assert [(one.code, one.member) for one in result.diagnostics] == [("GL001", member)]
    assert (result.changed, result.fixed) == (False, ())
    assert path.read_bytes() == before


def test_both_programs_get_tokens_of_their_own(tmp_path, settings_for, read_text, judge):
    """Two programs with checks: each has its constants, in members that don't get in each other's way."""
    path = tmp_path / "package.pt2"
    program = json.dumps(parse_program(TEXT.replace("f32[3]", "f32[3, 4]"))).encode()
    with open_artifact(ARTIFACTS / "two_programs.pt2") as artifact:
        changes = {entry.member: program for entry in artifact.programs}
        with path.open("wb") as file:
            write_archive(artifact.container, changes, file)
    result = process(str(path), settings_for(enabled={"GL201"}), "fix")
    assert [(one.code, one.program) for one in result.fixed] == [("GL201", "encoder"), ("GL201", "decoder")]
    configs = {}
    with zipfile.ZipFile(path) as archive:
        for name in ("encoder", "decoder"):
            config = json.loads(archive.read(f"two_programs/data/constants/{name}_constants_config.json"))
            configs[name] = config["config"]["dep_token"]["path_name"]
            assert archive.read(f"two_programs/data/constants/{configs[name]}") == bytes(4)
    assert sorted(configs.values()) == ["tensor_0", "tensor_1"]
    torch = judge.torch
    for name in ("encoder", "decoder"):
        assert 'buffer "dep_token" <- %dep_token1' in read_text(path, name)
        witness = judge.Witness(judge.load(path, name))
        said = [witness.see((value,)).outcome.raised for value in (torch.zeros(3, 4), torch.ones(3, 4))]
        assert said == ["RuntimeError: zero", ""]


def test_constants_without_a_place_are_an_error_and_nothing_is_written(tmp_path, settings_for):
    """An archive whose member for constants is missing."""
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(ARTIFACTS / "async_assert.pt2") as given, zipfile.ZipFile(path, "w") as made:
        for info in given.infolist():
            if not info.filename.endswith("model_constants_config.json"):
                made.writestr(info.filename, given.read(info))
    before = path.read_bytes()
    result = process(str(path), settings_for(), "fix")
    assert result.error == 'the archive has no member for the constants of program "model"'
    assert (result.changed, result.fixed) == (False, ())
    assert [one.code for one in result.diagnostics] == ["GL201"]
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["model.pt2"]
    # The other sink needs no constants.
    assert process(str(path), settings_for("output"), "fix").changed


def test_every_rule_with_fixes_names_its_fixer():
    """But for those of which the fixer of GL502 takes away what they are about."""
    with_option = {rule.code for rule in RULES if rule.option}
    assert with_option == {"GL502", "GL603", "GL604", "GL605"}
    assert {rule.code for rule in RULES if rule.fix != "none"} - with_option == {
        rule.code for rule in RULES if rule.fixer is not None
    } - {"GL502"}


def test_a_call_that_only_a_region_holds_on_to(write_pt2, fix_copy, settings_for):
    """A write leaves nobody to read what a call returned but a region that does nothing with it: what the call checks
    must not go with the region.
    """
    text = """\
graph(%p: b8[], %x: f32[3, 4]):
  %r: f32[3, 4] = higher_order.cond(%p, @yes, @no, [%x])
    @yes(%a: f32[3, 4]):
      %any: b8[] = aten.any.default(%a)
      aten._assert_async.msg(%any, "zero")
      %neg: f32[3, 4] = aten.neg.default(%a)
      return %neg
    @no(%a: f32[3, 4]):
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
  %w: f32[3, 4] = higher_order.wrap_with_set_grad_enabled(False, @region, %r, %x)
    @region(%b: f32[3, 4], %c: f32[3, 4]):
      %copied: f32[3, 4] = aten.copy_.default(%b, %c)
      return %copied
  return %w
"""
    path, result = fix_copy(write_pt2(text), settings=settings_for(enabled={"GL101", "GL401", "GL403"}))
    assert (result.fixed, [one.code for one in result.diagnostics]) == ((), ["GL401", "GL101"])
    reason = "the results of higher_order.cond would be unused, and it contains an effect"
    assert reason in [one.fix.message for one in result.diagnostics]
    _, result = fix_copy(path, settings=settings_for(enabled={"GL101", "GL201", "GL401", "GL403"}))
    assert (sorted(one.code for one in result.fixed), result.diagnostics) == (["GL101", "GL201", "GL401"], ())


def test_a_check_that_goes_may_have_been_all_that_reads_a_region(write_pt2, fix_copy, settings_for):
    text = """\
graph(%x: f32[3, 4]):
  %r: f32[3, 4] = higher_order.wrap_with_set_grad_enabled(False, @region, %x)
    @region(%a: f32[3, 4]):
      %any: b8[] = aten.any.default(%a)
      aten._assert_async.msg(%any, "zero")
      %neg: f32[3, 4] = aten.neg.default(%a)
      return %neg
  aten._assert_tensor_metadata.default(%r, dtype=torch.float32)
  return %x
"""
    _, result = fix_copy(write_pt2(text), settings=settings_for(enabled={"GL205", "GL403"}))
    assert ([one.code for one in result.fixed], [one.code for one in result.diagnostics]) == (["GL205"], ["GL403"])


def test_what_changes_shape_is_the_buffer_itself_though_another_shows_its_memory(write_pt2, settings_for):
    """``real`` of real numbers returns its operand, which is no tensor that the program made."""
    text = """\
graph(%b_whole: f32[3] = buffer "whole", %b_first: f32[] = buffer "first", %x: f32[3, 4]):
  %real: f32[] = aten.real.default(%b_first)
  %same: f32[] = aten.resize_as_.default(%real, %real)
  return %x
"""
    whole = torch.zeros(3)
    path = write_pt2(text, weights={"whole": whole, "first": whole[0]}, shared={"first": "whole"})
    result = process(str(path), settings_for(enabled={"GL101", "GL103"}), "check")
    assert [one.code for one in result.diagnostics] == ["GL103"]

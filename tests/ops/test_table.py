from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from tests.facts.generate import COMMAND
from tests.facts.versions import of_version

from graphlint.ir.model import Argument, NamedArgument, Node, TensorRef
from graphlint.ops.declared import DeclaredOp
from graphlint.ops.info import Alias, Role, StepKind
from graphlint.ops.table import TABLE, OpTable, check_twins, covered, op_name, op_of, op_table, version_of

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
VERSIONS = sorted(path.name for path in ARTIFACTS.iterdir() if path.is_dir())
BY_VERSION = {version: of_version(version) for version in (f"2.{minor}" for minor in range(6, 16))}
TORCH = list(BY_VERSION)
OWN_OPS = {"torch.ops.sample.scale_.default"}
"""The custom ops of the artifacts, which nobody but they can know."""


def targets(version: str) -> set[str]:
    found: set[str] = set()
    for path in (ARTIFACTS / version).glob("*.pt2"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(("models/model.json", "serialized_exported_program.json")) or "/models/" in member:
                    found |= set(re.findall(r'"target": ?"([^"]+)"', archive.read(member).decode(errors="replace")))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_target_of_every_artifact_is_known(version):
    found = targets(version)
    assert len(found) > 30
    assert {target for target in found if op_table().lookup(target) is None} <= OWN_OPS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_op_in_the_manifest_is_known(version):
    manifest = json.loads((ARTIFACTS / version / "manifest.json").read_text())
    ops = {op for ops in manifest.values() if isinstance(ops, list) for op in ops if op.startswith("aten.")}
    assert len(ops) > 20
    assert {op for op in ops if op_table().lookup(f"torch.ops.{op}") is None} == set()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("torch.ops.aten.add_.Tensor", "aten.add_.Tensor"),
        ("torch.ops.higher_order.cond", "higher_order.cond"),
        ("torch._ops.higher_order.cond", "higher_order.cond"),
        ("torch._higher_order_ops.wrap.wrap_with_set_grad_enabled", "higher_order.wrap_with_set_grad_enabled"),
        ("torch._higher_order_ops.map.map", "higher_order.map"),
        ("_operator.ge", "_operator.ge"),
        ("math.trunc", "math.trunc"),
        ("torch.sym_max", "torch.sym_max"),
        ("torch._sym_sqrt", "torch._sym_sqrt"),
        ("torch.ops.quantized_decomposed.quantize_per_tensor.default", None),
        ("torch.ops._c10d_functional.all_reduce.default", None),
        ("torch.ops.prims.slice.default", None),
        ("torch.ops.mkldnn._linear_pointwise.default", None),
    ],
)
def test_known(target, name):
    info = op_table().lookup(target)
    assert info.name == (name or op_name(target))
    assert info.source == "table"


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.add",
        "torch.ops.aten.add_.tensor",
        "torch.ops.aten.frobnicate_.default",
        "torch.ops.mylib.add.default",
        "torch.ops.higher_order.frobnicate",
        "_operator.getitem",
        "",
        "# torch 2.13",
        "#",
        "~",
    ],
)
def test_unknown(target):
    assert op_table().lookup(target) is None


def test_writes():
    writes = {name: op_table().lookup(name).writes for name in ("aten.add.Tensor", "aten.add_.Tensor", "aten.add.out")}
    assert writes == {"aten.add.Tensor": (), "aten.add_.Tensor": ("self",), "aten.add.out": ("out",)}
    assert op_table().lookup("aten.sort.values").writes == ("values", "indices")
    assert op_table().lookup("aten._foreach_add_.List").writes == ("self",)
    assert op_table().lookup("aten.__iand__.Tensor").writes == ("self",)


def test_in_place_views():
    views = {name for name in op_table().names() if op_table().lookup(name).in_place_view}
    for expected in ("t_", "transpose_", "unsqueeze_", "detach_", "as_strided_", "set_", "resize_", "swapaxes_"):
        assert f"aten.{expected}.default" in views
    assert {"aten.squeeze_.dim", "aten.squeeze_.dims"} <= views
    assert "aten.add_.Tensor" not in views


def test_out_variants():
    table = op_table()
    assert table.lookup("aten.add.out").out_variant
    assert table.lookup("aten.max.dim_max").out_variant
    assert not table.lookup("aten.add_.Tensor").out_variant
    named = {name for name in table.names() if re.fullmatch(r"aten\..*\.(.*_)?out", name)}
    assert {name for name in named if not table.lookup(name).out_variant} == set()


@pytest.mark.parametrize(
    ("name", "kind", "effect", "returns_nothing"),
    [
        ("aten._assert_async.msg", "check", True, True),
        ("aten._assert_tensor_metadata.default", "check", True, True),
        ("aten.sym_constrain_range.default", "check", True, True),
        ("aten._print.default", "print", True, True),
        ("higher_order.print", "print", True, False),
        ("higher_order.call_torchbind", "script-object", True, False),
        ("higher_order.triton_kernel_wrapper_mutation", "mutation", True, False),
        ("higher_order.triton_kernel_wrapper_functional", None, False, False),
        ("c10d.allreduce_.default", "collective", True, False),
        ("c10d.check_for_nan.default", "check", True, True),
        ("_c10d_functional.all_reduce.default", "collective", False, False),
        ("profiler._record_function_exit._RecordFunction", "profiler", True, True),
        ("aten._foreach_add_.List", None, False, True),
        ("aten._functional_assert_async.msg", None, False, False),
        ("aten._make_dep_token.default", None, False, False),
        ("aten.add.Tensor", None, False, False),
    ],
)
def test_effects(name, kind, effect, returns_nothing):
    info = op_table().lookup(name)
    assert (info.kind, info.effect, info.returns_nothing) == (kind, effect, returns_nothing)


def test_what_autograd_does_not_see():
    found = {name for name in op_table().names() if op_table().lookup(name).detaches}
    assert found == {"aten.detach.default", "aten.detach_.default", "aten.data.default"}


@pytest.mark.parametrize("version", ["2.6", "2.15"])
def test_regions(version):
    table = BY_VERSION[version]
    assert {name: region for name in table.names() if (region := table.lookup(name).region)} == {
        "higher_order.wrap_with_set_grad_enabled": "gradients",
        "higher_order.wrap_with_autocast": "autocast",
    }


def test_ops_that_are_looked_for_by_what_they_are():
    infos = [op_table().lookup(name) for name in op_table().names()]
    checks = {op.target: f"torch.ops.{op.functional_twin}" for op in infos if op.kind == "check" and op.functional_twin}
    assert check_twins() == checks != {}
    roles = Counter(op.role for op in infos if op.role is not None)
    assert {role for role, count in roles.items() if count > 1} == {"assert-range"}
    assert {role: op_of(role).role for role in roles} == {role: role for role in roles}
    steps = {op.role: [step.kind for step in op.view] for op in infos if op.role in get_args(StepKind)}
    assert len(steps) > 10
    assert {kind: kinds for kind, kinds in steps.items() if kinds != [kind]} == {}


def test_each_role_is_that_of_an_op():
    assert {role for role in {*get_args(Role)} - {*get_args(StepKind)} if not op_of(role)} == set()


def test_what_returns_nothing_writes_or_has_an_effect():
    infos = [op_table().lookup(name) for name in op_table().names()]
    assert [i.name for i in infos if i.returns_nothing and not i.writes and not i.effect] == []


class TestDeclared:
    TABLE = op_table().with_declared(
        {
            "mylib.*": DeclaredOp(effect=True),
            "mylib.scale_": DeclaredOp(writes=("x",)),
            "mylib.scale_.both": DeclaredOp(writes=("0", "1"), aliases=("x",), random=True),
            "aten.add_.Tensor": DeclaredOp(writes=("1",)),
            "aten.*": DeclaredOp(effect=True),
        }
    )

    def test_namespace(self):
        info = self.TABLE.lookup("torch.ops.mylib.show.default")
        assert (info.effect, info.kind, info.writes, info.source) == (True, "effect", (), "configuration")

    def test_op(self):
        info = self.TABLE.lookup("torch.ops.mylib.scale_.default")
        assert (info.effect, info.writes) == (False, ("x",))

    def test_overload(self):
        info = self.TABLE.lookup("torch.ops.mylib.scale_.both")
        assert info.writes == ("0", "1")
        assert (info.aliases, info.shares) == ((Alias("x"),), "undecided")
        assert info.draws(Node("", [], []))

    def test_positions_find_the_recorded_arguments(self):
        tensor = Argument(as_tensor=TensorRef("t"))
        node = Node("", [NamedArgument("x", tensor), NamedArgument("factor", Argument(as_int=2))], [])
        assert self.TABLE.lookup("torch.ops.mylib.scale_.both").written(node) == {"0": tensor}

    def test_configuration_overrules_the_table_for_single_ops(self):
        assert self.TABLE.lookup("torch.ops.aten.add_.Tensor").writes == ("other",)

    def test_namespace_speaks_for_unknown_ops_only(self):
        assert self.TABLE.lookup("torch.ops.aten.mul_.Tensor").writes == ("self",)
        assert self.TABLE.lookup("torch.ops.aten.frobnicate.default").effect

    def test_the_table_itself_stays_as_it_was(self):
        assert op_table().lookup("torch.ops.mylib.scale_.default") is None
        assert op_table().lookup("torch.ops.aten.add_.Tensor").writes == ("self",)

    def test_twice(self):
        both = self.TABLE.with_declared({"other.op": DeclaredOp()})
        assert both.lookup("torch.ops.other.op.default").source == "configuration"
        assert both.lookup("torch.ops.mylib.scale_.default").writes == ("x",)


def test_lookup_needs_sorted_lines_and_finds_first_and_last():
    names = list(op_table().names())
    assert names == sorted(names)
    assert op_table().lookup(names[0]).name == names[0]
    assert op_table().lookup(names[-1]).name == names[-1]
    assert OpTable(b"").lookup("torch.ops.aten.add.Tensor") is None


def test_the_header_names_every_version():
    _, header, *_ = Path(TABLE).read_text(encoding="utf-8").splitlines()
    assert header.split() == ["#", "torch", *TORCH]
    assert covered() == tuple(TORCH)


@pytest.mark.parametrize("version", TORCH)
def test_every_version_has_its_rows(version):
    names = set(BY_VERSION[version].names())
    assert len(names) > 3600
    assert {"aten.add.Tensor", "aten.index_put_.default", "higher_order.cond", "_operator.ge"} <= names


@pytest.mark.parametrize("version", sorted({version.rpartition(".")[0] for version in VERSIONS} & set(TORCH)))
def test_every_target_of_an_artifact_is_an_op_of_its_version(version):
    (folder,) = (name for name in VERSIONS if name.rpartition(".")[0] == version)
    table = BY_VERSION[version]
    assert {target for target in targets(folder) - OWN_OPS if table.lookup(target) is None} == set()


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("aten.add.Tensor", "2.6", "2.15"),
        ("prims._low_memory_max_pool2d_with_offsets.default", "2.6", "2.7"),
        ("aten.argsort.dimname", "2.6", "2.12"),
        ("aten.cholesky.default", "2.6", "2.13"),
        ("aten.qr.default", "2.6", "2.13"),
        ("aten._scaled_grouped_mm.default", "2.7", "2.15"),
        ("aten.mm.dtype", "2.8", "2.15"),
        ("aten.hash_tensor.default", "2.9", "2.15"),
        ("aten.rand_like.generator", "2.10", "2.15"),
        ("aten._foreach_powsum.Scalar", "2.11", "2.15"),
        ("aten._foreach_clone.default", "2.12", "2.15"),
        ("aten._foreach_mm.default", "2.13", "2.15"),
        ("aten.linalg_polar.default", "2.14", "2.15"),
        ("aten._scaled_addmm.default", "2.15", "2.15"),
    ],
)
def test_which_versions_have_it(name, since, until):
    having = [version for version in TORCH if BY_VERSION[version].lookup(name) is not None]
    assert having == ([] if since is None else TORCH[TORCH.index(since) : TORCH.index(until) + 1])
    assert op_table().lookup(name) is not None


def test_a_schema_is_that_of_its_version():
    name = "_c10d_functional.all_reduce.default"
    types = {version: BY_VERSION[version].lookup(name).schema.argument("group_name").type for version in TORCH}
    assert (types["2.6"], types["2.15"]) == ("str", "Any")


def test_the_table_tells_which_versions_have_an_op():
    for name in op_table().names():
        having = [version for version in TORCH if BY_VERSION[version].lookup(name) is not None]
        rows = reversed(list(op_table().rows(name)))
        assert [version for row in rows for version in row.versions(covered())] == having, name
        # They follow each other.
        assert not having or having == TORCH[TORCH.index(having[0]) : TORCH.index(having[-1]) + 1], name


@pytest.mark.parametrize("version", TORCH)
def test_a_lookup_of_a_version_is_of_its_row(version):
    table, rows = op_table().of_version(version), BY_VERSION[version]
    assert op_table().of_version(version) is table
    for name in op_table().names():
        # A version that lacks an op, says the table, may be a build that has it: the last row answers.
        assert table.lookup(name) == (rows.lookup(name) or op_table().lookup(name)), name


def test_declared_ops_are_those_of_a_version_too():
    ops = {"mylib.scale_": DeclaredOp(writes=("x",))}
    for table in (op_table().with_declared(ops).of_version("2.11"), op_table().of_version("2.11").with_declared(ops)):
        assert table.lookup("torch.ops.mylib.scale_.default").writes == ("x",)
        assert table.lookup("aten.addmv.default") == BY_VERSION["2.11"].lookup("aten.addmv.default")


@pytest.mark.parametrize(
    ("torch", "version"),
    [
        ("2.13.0+cpu", "2.13"),
        ("2.10.0a0+git1f2e3d4", "2.10"),
        ("2.6", "2.6"),
        ("2.5.1+cu124", None),
        ("2.16.0", None),
        ("2", None),
        ("", None),
        (None, None),
    ],
)
def test_which_version_a_build_is_of(torch, version):
    assert version_of(torch) == version


def test_a_lookup_answers_of_the_last_version_that_has_the_op():
    for name in op_table().names():
        having = [info for version in TORCH if (info := BY_VERSION[version].lookup(name)) is not None]
        assert not having or op_table().lookup(name) == having[-1]


def test_table_is_up_to_date():
    command = COMMAND.split()[1:]
    done = subprocess.run([sys.executable, *command, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"the op table does not match the installed torch; run: {COMMAND}\n{done.stderr}"


def test_reading_the_table_imports_no_torch():
    code = "import sys; from graphlint.ops.table import op_table; op_table().lookup('aten.add.Tensor'); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"

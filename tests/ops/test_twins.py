from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tests import judge
from tests.facts.versions import INSTALLED

from graphlint.ops.table import op_table

WITHOUT_TWIN = {
    "aten._fill_mem_eff_dropout_mask_.default",
    "aten._sobol_engine_ff_.default",
    "aten._sobol_engine_initialize_state_.default",
    "aten._sobol_engine_scramble_.default",
    "aten.fill_diagonal_.default",
    "aten.polygamma_.default",  # `polygamma` takes its arguments in the other order
    "aten.requires_grad_.default",
    "aten.set_.source_Tensor_storage_offset",
}
OTHER_OVERLOAD = {
    "aten.bernoulli_.float": "aten.bernoulli.p",
    "aten.float_power_.Scalar": "aten.float_power.Tensor_Scalar",
    "aten.float_power_.Tensor": "aten.float_power.Tensor_Tensor",
    "aten.floor_divide_.Tensor": "aten.floor_divide.default",
    "aten.ldexp_.default": "aten.ldexp.Tensor",
    "aten.pow_.Scalar": "aten.pow.Tensor_Scalar",
    "aten.pow_.Tensor": "aten.pow.Tensor_Tensor",
    "aten.transpose_.default": "aten.transpose.int",
}
RENAMED_OPERAND = {f"aten.{name}dropout_.default" for name in ("", "feature_", "alpha_", "feature_alpha_")}
"""These call their operand ``self``, their twins call it ``input``."""
NEEDED_BY_THE_TWIN = {("aten.bernoulli_.float", "p"), ("aten.bernoulli.float_out", "p")}
"""Arguments that have a default in place, but none in the twin."""


def in_place():
    """aten's in-place overloads."""
    for name in INSTALLED.names():
        info = INSTALLED.lookup(name)
        in_place = name.rpartition(".")[0].endswith("_") and not info.out_variant
        if name.startswith("aten.") and in_place and "self" in info.writes:
            yield info


IN_PLACE = list(in_place())


def test_how_many_have_one():
    same = [
        i for i in IN_PLACE if i.functional_twin and i.functional_twin.rpartition(".")[2] == i.name.rpartition(".")[2]
    ]
    assert {i.name for i in IN_PLACE if i.functional_twin is None} == WITHOUT_TWIN
    assert {i.name: i.functional_twin for i in IN_PLACE if i.functional_twin and i not in same} == OTHER_OVERLOAD
    assert (len(same), len(IN_PLACE)) == (321, 337)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("aten.add_.Tensor", "aten.add.Tensor"),
        ("aten.add.out", "aten.add.Tensor"),
        ("aten.__iand__.Tensor", "aten.__and__.Tensor"),
        ("aten._foreach_add_.List", "aten._foreach_add.List"),
        ("aten.normal_.default", "aten.normal_functional.default"),
        ("aten.copy_.default", "aten.copy.default"),
        ("aten.max.dim_max", "aten.max.dim"),
        ("aten.normal.float_float_out", "aten.normal.float_float"),
        ("aten.zeros.out", "aten.zeros.default"),
        ("aten.empty.out", "aten.empty.memory_format"),
        ("aten._native_batch_norm_legit.default", "aten._native_batch_norm_legit_functional.default"),
        ("_c10d_functional.all_reduce_.default", "_c10d_functional.all_reduce.default"),
        ("aten._assert_async.msg", "aten._functional_assert_async.msg"),
        ("aten._assert_async.default", "aten._functional_assert_async.msg"),
        ("aten._assert_scalar.default", "aten._functional_assert_scalar.default"),
        ("aten.sym_constrain_range.default", "aten._functional_sym_constrain_range.default"),
        ("aten.sym_constrain_range_for_size.default", "aten._functional_sym_constrain_range_for_size.default"),
        ("aten._assert_tensor_metadata.default", None),
        ("aten.record_stream.default", None),
        ("aten.add.Tensor", None),
    ],
)
def test_twin(name, twin):
    assert op_table().lookup(name).functional_twin == twin


def test_twins_write_nothing_and_take_the_same_arguments():
    for name in INSTALLED.names():
        info = INSTALLED.lookup(name)
        if info.functional_twin is None or info.kind == "check":
            continue
        twin = INSTALLED.lookup(info.functional_twin)
        assert not twin.writes, name
        theirs = {argument.name: argument for argument in twin.schema.arguments}
        for position, argument in enumerate(info.schema.arguments):
            if argument.written and argument.keyword_only:
                continue
            if name in RENAMED_OPERAND and position == 0:
                assert twin.schema.arguments[0].name == "input"
                continue
            other = theirs[argument.name]
            assert (other.type, other.keyword_only) == (argument.type, argument.keyword_only), name
            needs = other.default is None and argument.default is not None
            assert needs == ((name, argument.name) in NEEDED_BY_THE_TWIN), name


def test_check_twins_take_a_token_more_and_return_one():
    checks = [INSTALLED.lookup(name) for name in INSTALLED.names() if INSTALLED.lookup(name).kind == "check"]
    paired = [info for info in checks if info.functional_twin]
    assert len(paired) == 5
    for info in paired:
        twin = INSTALLED.lookup(info.functional_twin)
        mine = [argument.name for argument in info.schema.arguments]
        added = [argument.name for argument in twin.schema.arguments if argument.name not in mine]
        assert added == (["assert_msg", "dep_token"] if info.name == "aten._assert_async.default" else ["dep_token"])
        assert [result.type for result in twin.schema.returns] == ["Tensor"]


SAMPLES = {"Tensor": lambda: torch.rand(3, 3) + 0.5, "Scalar": lambda: 2, "float": lambda: 0.5, "int": lambda: 1}
STORAGE_ONLY = {"aten.resize_.default", "aten.resize_as_.default", "aten.set_.default", "aten.set_.source_Tensor"}
"""What these leave in new elements is undefined."""


def sample(info) -> list:
    """Arguments for what has no default."""
    return [SAMPLES[a.type]() for a in info.schema.arguments if a.default is None and not a.keyword_only]


def test_twins_compute_and_draw_the_same(call):
    """Every in-place op that simple arguments suit, next to its twin."""
    compared, differing = set(), set()
    for info in IN_PLACE:
        required = [a for a in info.schema.arguments if a.default is None]
        if info.functional_twin is None or info.name in STORAGE_ONLY or any(a.type not in SAMPLES for a in required):
            continue
        args = sample(info)
        copies = [arg.clone() if isinstance(arg, torch.Tensor) else arg for arg in args]
        torch.manual_seed(0)
        try:
            one = call(info.name, *args).run()
        except (RuntimeError, IndexError, NotImplementedError):  # not for these dtypes or shapes
            continue
        state = torch.get_rng_state()
        torch.manual_seed(0)
        if (info.name, "p") in NEEDED_BY_THE_TWIN:
            copies.append(0.5)
        other = call(info.functional_twin, *copies).run()
        if isinstance(other, tuple):  # one more result per further argument that is written in place
            assert len(other) == len(info.writes) > 1, info.name
            other = other[0]
        compared.add(info.name)
        if not judge.same(one, other.to(one.dtype)) or not torch.equal(state, torch.get_rng_state()):
            differing.add(info.name)
    assert differing == set()
    assert len(compared) > 150
    assert {f"aten.{name}_.default" for name in ("uniform", "normal", "exponential", "cauchy", "random")} <= compared
    assert {"aten.bernoulli_.float", "aten.geometric_.default", "aten.log_normal_.default"} <= compared


def test_bernoulli_draws_as_its_substitute():
    torch.manual_seed(3)
    in_place = torch.empty(50).bernoulli_(0.3)
    torch.manual_seed(3)
    assert torch.equal(in_place, torch.ops.aten.bernoulli.p(torch.empty(50), 0.3))


def test_pairs_are_those_of_native_functions_yaml():
    """torchgen groups what functionalization takes for variants of one another."""
    code = """
import pathlib, torchgen
from torchgen.gen import get_grouped_native_functions, parse_native_yaml
from torchgen.model import NativeFunctionsGroup
folder = pathlib.Path(torchgen.__file__).parent / "packaged/ATen/native"
functions = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml")).native_functions
for group in get_grouped_native_functions(functions):
    if isinstance(group, NativeFunctionsGroup):
        for variant in (group.inplace, group.mutable, group.out):
            if variant is not None:
                for one in (variant, group.functional):
                    print(f"aten.{one.func.name.name}.{one.func.name.overload_name or 'default'}", end=" ")
                print()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pairs = dict(line.split() for line in done.stdout.splitlines())
    assert len(pairs) > 1400
    assert {name: op_table().lookup(name).functional_twin for name in pairs} == pairs

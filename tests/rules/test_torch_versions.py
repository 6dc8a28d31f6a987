"""GL602: ops that a required version of torch lacks, and which versions load a program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.text_form import document_of, parse_program

from graphlint.ops.declared import DeclaredOp, required
from graphlint.ops.table import covered, op_table
from graphlint.rules.linting import lint_view
from graphlint.rules.torch_versions import UnavailableOp
from graphlint.rules.view import ProgramView
from graphlint.semantics.versions import loads_in, misfits

TORCH = covered()
EXAMPLES = re.findall(r"```graph requires-torch=(\S+)\n(.*?)```", UnavailableOp().documentation, re.DOTALL)


def call(op: str, result: str = "%y: f32[4, 4]") -> str:
    return f"graph(%x: f32[4, 4], %w: f32[4]):\n  {result} = {op}\n  return %y\n"


@pytest.fixture
def found(lint_text):
    """Message and advice of each finding of the rule, for what is required."""

    def found(text: str, specifier: str, **settings) -> list[tuple[str, str]]:
        settings["requires_torch"] = required(specifier, TORCH)
        return [(one.message, one.advice) for one in lint_text(text, **settings) if one.code == "GL602"]

    return found


def test_the_rules_own_examples(found, lint_text):
    (bad_version, bad), (good_version, good) = EXAMPLES
    assert len(found(bad, bad_version)) == 1
    assert found(good, good_version) == []
    assert not [one for one in lint_text(bad) if one.code == "GL602"]


def test_the_documentation_names_the_versions_that_are_known():
    said = f"the ops of torch {TORCH[0]} to {TORCH[-1]}"
    for text in (
        UnavailableOp().documentation,
        (Path(__file__).parents[2] / "docs" / "site" / "guide" / "versions.md").read_text(),
    ):
        assert said in " ".join(text.split())


OTHER = "use another op in the model"


def again(version: str) -> str:
    return f"export the model again in torch {version}, or {OTHER}"


@pytest.mark.parametrize(
    ("op", "specifier", "expected"),
    [
        ("aten.add.Tensor(%x, 1)", ">=2.6", None),
        # Gone since.
        ("aten.cholesky.default(%x)", ">=2.9", ("is not in torch 2.14 (gone since 2.14)", OTHER)),
        ("aten.cholesky.default(%x)", ">=2.15", ("is not in torch 2.15 (gone since 2.14)", OTHER)),
        ("aten.cholesky.default(%x)", ">=2.9,<2.14", None),
        ('aten.cumsum.dimname(%x, "n")', "==2.13.*", ("is not in torch 2.13 (gone since 2.13)", OTHER)),
        # There only since.
        ("aten.linalg_polar.default(%x)", ">=2.9", ("is not in torch 2.9 (only since 2.14)", again("2.9"))),
        ("aten.linalg_polar.default(%x)", ">=2.13", ("is not in torch 2.13 (only since 2.14)", again("2.13"))),
        ("aten.linalg_polar.default(%x)", ">2.14", None),
        ("aten.linalg_polar.default(%x)", "~=2.14.0", None),
        ("aten._foreach_mm.default([%x], [%x])", ">=2.11,!=2.12", (
            "is not in torch 2.11 (only since 2.13)", again("2.11"),
        )),
        ("prims._low_memory_max_pool2d_with_offsets.default(%x, [2], [2], [0], [1], False)", "<2.9", (
            "is not in torch 2.8 (gone since 2.8)", OTHER,
        )),
        # What the table does not know of any version.
        ("torchvision.nms.default(%x, %w, 0.5)", ">=2.6", None),
        ("mylib.scale.default(%x)", ">=2.6", None),
    ],
)  # fmt: skip
def test_ops_that_a_version_lacks(found, op, specifier, expected):
    name = op.partition("(")[0]
    told = found(call(op), specifier)
    assert told == ([] if expected is None else [(f"{name} {expected[0]}", expected[1])])


STFT = "aten.stft.default(%x, 4, None, None, %w, False, True, True, {})"


@pytest.mark.parametrize(
    ("op", "specifier", "expected"),
    [
        # torch drops an argument that the overload lacks: no harm where it is left at its default.
        (STFT.format("None"), "==2.6.*", None),
        (STFT.format("True"), "==2.6.*", "takes no argument 'align_to_window' in torch 2.6 (only since 2.7)"),
        (STFT.format("True"), ">=2.7", None),
        (
            "aten._pdist_backward.default(%x, %x, 2.0, %x)",
            ">=2.9",
            "takes no argument 'grad_output' in torch 2.9 (only since 2.14)",
        ),
        (
            "aten.fbgemm_linear_fp16_weight_fp32_activation.default(%x, %x, None)",
            ">=2.8",
            "takes no None for argument 'bias' in torch 2.8 (only since 2.9)",
        ),
        ("aten.fbgemm_linear_fp16_weight_fp32_activation.default(%x, %x, %w)", ">=2.8", None),
        # int became SymInt: what is recorded is a number when it runs.
        ("aten.triu.default(%x, 1)", ">=2.6", None),
    ],
)
def test_arguments_that_do_not_fit(found, op, specifier, expected):
    name = op.partition("(")[0]
    told = found(call(op), specifier)
    assert [message for message, _ in told] == ([] if expected is None else [f"{name} {expected}"])


@pytest.mark.parametrize(
    ("op", "torch", "specifier", "expected", "loads"),
    [
        (
            "aten._pdist_backward.default(%x, %x, 2.0, %x)",
            "2.13",
            ">=2.9",
            "takes no argument 'grad' in torch 2.14 (gone since 2.14)",
            ("2.8", "2.9", "2.10", "2.11", "2.12", "2.13"),
        ),
        (
            "aten._fused_rms_norm.default(%x, 1, %w, 1.0)",
            "2.8",
            ">=2.9",
            "takes no argument 'normalized_shape_ndim' in torch 2.9 (only in 2.8)",
            ("2.8",),
        ),
        (
            "aten._fused_rms_norm.default(%x, 1, %w, 1.0)",
            "2.8",
            "==2.6.*",
            "is not in torch 2.6 (only since 2.8)",
            ("2.8",),
        ),
    ],
)
def test_arguments_that_an_older_overload_has(all_rules, op, torch, specifier, expected, loads):
    document = document_of(parse_program(call(op), op_table().of_version(torch)))
    settings = replace(all_rules, requires_torch=required(specifier, TORCH))
    told = [one.diagnostic for one in lint_view(ProgramView(document, settings), "model", "model.pt2", settings)]
    name = op.partition("(")[0]
    assert [one.message for one in told if one.code == "GL602"] == [f"{name} {expected}"]
    assert loads_in(document.program, misfits(document.program, op_table()), "pt2-pickled") == loads


def test_inside_of_subgraphs_and_in_program_order(found, lint_text):
    text = """
graph(%p: b8[], %x: f32[4, 4]):
  %a: f32[4, 4] = aten.cholesky.default(%x)
  %y: f32[4, 4] = higher_order.cond(%p, @true_graph_0, @false_graph_0, [%a])
    @true_graph_0(%x: f32[4, 4]):
      %b: f32[4, 4] = aten.linalg_polar.default(%x)
      return %b
    @false_graph_0(%x: f32[4, 4]):
      %c: f32[4, 4] = aten.cholesky.default(%x)
      return %c
  %z: i64[] = aten.hash_tensor.default(%x, [], keepdim=False, mode=0)
  return %y
"""
    settings = {"requires_torch": required("<=2.14", TORCH)}
    told = [one for one in lint_text(text, **settings) if one.code == "GL602"]
    assert [(one.subgraph, one.node, one.message.split(" (")[1]) for one in told] == [
        ((), "a", "gone since 2.14)"),
        (("cond", "true_graph_0"), "b", "only since 2.14)"),
        (("cond", "false_graph_0"), "c", "gone since 2.14)"),
        ((), "z", "only since 2.9)"),
    ]


def test_what_a_configuration_declares_is_in_no_other_versions(found):
    ops = {"aten.cholesky": DeclaredOp(), "mylib.*": DeclaredOp()}
    assert len(found(call("aten.cholesky.default(%x)"), ">=2.14", ops=ops)) == 1
    assert found(call("mylib.scale.default(%x)"), ">=2.14", ops=ops) == []


@pytest.mark.parametrize(
    ("torch", "dtype"),
    [
        ("2.11.0+cu130", "unknown"),
        ("2.12.1", "first"),
        ("2.15.0a0+git0", "first"),
        # Of no version, and of one that the table does not cover: the last row.
        (None, "first"),
        ("2.5.1", "first"),
        ("2.16.0", "first"),
        ("nonsense", "first"),
    ],
)
@pytest.mark.parametrize("ops", [{}, {"mylib.*": DeclaredOp()}])
def test_an_op_is_what_it_was_in_the_torch_that_wrote_the_file(all_rules, torch, dtype, ops):
    tree = parse_program(call("aten.addmv.default(%w, %x, %w)"))
    view = ProgramView(document_of({**tree, "torch_version": torch}), replace(all_rules, ops=ops))
    assert view.ops.lookup("torch.ops.aten.addmv.default").dtype == (dtype,)


def test_a_default_of_an_argument_that_is_named_like_a_keyword(found, lint_text):
    """torch looks for the argument itself: KeyError 'from'."""
    left_out = call("aten.uniform_.default(%x)")
    assert found(left_out, ">=2.13") == []
    assert [one.message for one in lint_text(left_out) if one.code == "GL612"] == [
        f"aten.uniform_.default leaves out 'from', without which torch {TORCH[0]} to {TORCH[-1]} do not load it"
    ]
    given = call("aten.uniform_.default(%x, 0.0, 1.0)")
    assert not {"GL602", "GL612"} & {one.code for one in lint_text(given, requires_torch=required(">=2.6", TORCH))}

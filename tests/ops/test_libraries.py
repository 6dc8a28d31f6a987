"""The tables of the ops that come with libraries: what they hold, and what is told of programs that use such ops."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.facts.libraries import COMMAND, FOLDER, LIBRARIES, REVIEWED

from graphlint.ops.declared import DeclaredOp
from graphlint.ops.rows import NAMESPACES, Row
from graphlint.ops.table import op_table

ROOT = Path(__file__).parents[2]


def lines_of(name: str) -> list[str]:
    return (FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines()


def rows_of(name: str) -> list[Row]:
    return [Row.parse(line) for line in lines_of(name) if not line.startswith("#")]


def test_each_library_has_a_table_and_each_table_a_library():
    assert {path.name for path in FOLDER.iterdir()} == {REVIEWED.name, *(f"{name}.tsv" for name in LIBRARIES)}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_head_says_what_the_table_is_of(name):
    library, (generated, source, namespaces) = LIBRARIES[name], lines_of(name)[:3]
    assert f"`{COMMAND} {name}`" in generated
    assert source.startswith(f"# {library.distribution} {library.version} from PyPI, read beside torch 2.")
    assert namespaces == NAMESPACES + " ".join(library.namespaces)


@pytest.mark.parametrize("name", LIBRARIES)
def test_rows(name):
    rows = rows_of(name)
    assert len(rows) > 1
    assert [row.name for row in rows] == sorted({row.name for row in rows})
    assert {row.name.partition(".")[0] for row in rows} <= set(LIBRARIES[name].namespaces)
    for row in rows:
        info = op_table().lookup(f"torch.ops.{row.name}")
        assert (info.name, info.source) == (row.name, "library")
        assert {argument for argument in info.writes if info.schema.argument(argument) is None} == set()
        assert not info.returns_nothing or info.writes or info.kind


def test_what_is_reviewed_is_of_some_library():
    lines = [line for line in REVIEWED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    names = {row.name for name in LIBRARIES for row in rows_of(name)}
    ops = names | {name.rpartition(".")[0] for name in names}
    assert {op for line in lines for op in line.split("\t")[0].split()} <= ops
    assert all(len(line.split("\t")) == 3 for line in lines)


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_table_is_what_the_installed_library_registers(name):
    torch = pytest.importorskip("torch")
    library = LIBRARIES[name]
    if importlib.util.find_spec(library.modules[0].partition(".")[0]) is None:
        pytest.skip(f"{library.distribution} is not installed")
    version = importlib.metadata.version(library.distribution)
    if version != library.version:
        pytest.skip(f"{library.distribution} {version} is installed, the table is of {library.version}")
    beside = lines_of(name)[1].rpartition(" ")[2]
    if torch.__version__.partition("+")[0] != beside:
        pytest.skip(f"torch {torch.__version__} is installed, the table was read beside {beside}")
    paths = os.pathsep.join([str(ROOT / "lint"), str(ROOT)])
    call = [sys.executable, "-m", "tests.facts.libraries", "--print", name]
    done = subprocess.run(call, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, timeout=300)
    if b"ImportError" in done.stderr or b"ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{library.distribution} {version} is installed and cannot be imported")
    assert done.stdout.decode().splitlines() == lines_of(name), done.stderr.decode()[-2000:]


def test_the_command_knows_its_libraries(capsys):
    from tests.facts.libraries import main

    with pytest.raises(SystemExit):
        main(["torchvisoin"])
    assert "no library is called torchvisoin; known are bitsandbytes, executorch" in capsys.readouterr().err


# -- looking up


@pytest.mark.parametrize(
    "target", ["torch.ops.torchvision.frobnicate.default", "torch.ops.torchvision.nms.out", "torchvision", "llama."]
)
def test_what_a_library_does_not_have_is_unknown(target):
    assert op_table().lookup(target) is None


def test_torch_itself_goes_before_a_library():
    """Both register ops of this namespace."""
    sources = {op: op_table().lookup(f"quantized_decomposed.{op}").source for op in ("add.default", "add.out")}
    own = op_table().lookup("quantized_decomposed.quantize_per_tensor.default")
    assert (own.source, sources) == ("table", {"add.default": "library", "add.out": "library"})


def test_tables_are_opened_when_a_program_uses_a_namespace_of_theirs():
    code = """
from graphlint.ops import rows
from graphlint.ops.table import op_table
op_table().lookup("torch.ops.aten.add.Tensor"), op_table().lookup("torch.ops.higher_order.cond")
print(rows._tables.cache_info().currsize, rows._rows.cache_info().currsize)
op_table().lookup("torch.ops.mylib.norm.default")
print(rows._tables.cache_info().currsize, rows._rows.cache_info().currsize)
op_table().lookup("torch.ops.torchvision.nms.default")
print(rows._tables.cache_info().currsize, rows._rows.cache_info().currsize)
"""
    paths = os.pathsep.join([str(ROOT / "lint"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["0", "0", "1", "0", "1", "1"]


def test_a_declaration_goes_before_a_library():
    declared = op_table().with_declared({"torchvision.nms": DeclaredOp(random=True), "llama.*": DeclaredOp()})
    nms, cache = declared.lookup("torchvision.nms.default"), declared.lookup("llama.update_cache.default")
    assert (nms.source, nms.random.draws, nms.schema.arguments[0].name) == ("configuration", True, "dets")
    assert (cache.source, cache.writes) == ("library", ("cache",))  # a namespace speaks for what nobody knows only


# -- facts


def test_writes():
    def written(name):
        return op_table().lookup(name).writes

    assert written("torchvision.roi_align.default") == ()
    assert written("llama.sdpa_with_kv_cache.default") == ("key_cache", "value_cache")
    assert written("quantized_decomposed.add.out") == ("out",)
    assert written("xformers_python._fused_allgather_and_linear_impl.default") == ("gathered_outputs",)
    # Registered as `Tensor! out`: torch makes up the names of such sets.
    assert written("bitsandbytes.gemv_4bit.out") == ("out",)
    assert op_table().lookup("bitsandbytes.gemv_4bit.out").schema.argument("out").type == "Tensor"


def test_aliases_that_no_schema_tells():
    op = op_table().lookup("executorch.alias.default")
    assert [(alias.argument, alias.result) for alias in op.aliases] == [("x", 0), ("y", 1)]
    assert op.shares is None  # for certain


# -- programs

CACHE = 'graph(%b: f32[1, 8, 2, 4] = buffer "cache", %v: f32[1, 1, 2, 4]):\n'


def found(lint_text, text, **settings):
    return [(one.code, one.message) for one in lint_text(text, **settings) if one.code < "GL4"]


@pytest.mark.parametrize(
    "node",
    [
        "%y: i64[4] = torchvision.nms.default(%x, %w, 0.5)",
        "%y: f32[4] = torchvision.roi_align.default(%x, %w, 1.0, 2, 2, -1, False)",
        "%y: f32[4] = torchao.dequantize_affine.default(%x, [1], %w, None, 1)",
        "%y: f32[4] = transformers.grouped_mm_fallback.default(%x, %w, %x)",
        "%y: f32[4] = quantized_decomposed.quantize_per_tensor.default(%x, 0.1, 0, -128, 127, 2)",
        "%y: f32[4] = quantized_decomposed.embedding_byte.default(%x, %w, None, 0, 255, %x)",
        "%y: f32[4] = dim_order_ops._to_dim_order_copy.default(%x)",
        '%y: f32[4] = bitsandbytes.dequantize_4bit.default(%x, %w, 64, "nf4", [4], 7)',
        "%y: f32[4] = fbgemm.jagged_to_padded_dense.default(%x, [%w], [4])",
        "%y: f32[4] = xformers_python.tiled_matmul_fwd.default([%x], [%w], [1], [1], [1])",
        "%y: f32[4] = xformer.memory_efficient_attention_forward.default(%x, %w, %w, None, 0.0)",
        "%y: f32[4] = llama.custom_sdpa.default(%x, %w, %w, 0, None, 0.5)",
    ],
)
def test_functional_ops_give_no_findings(lint_text, node):
    assert found(lint_text, f"graph(%x: f32[4], %w: f32[4]):\n  {node}\n  return %y\n") == []


def test_a_library_s_op_that_nobody_knows(lint_text):
    text = "graph(%x: f32[4]):\n  %y: f32[4] = torchvision.frobnicate.default(%x)\n  return %y\n"
    assert [code for code, _ in found(lint_text, text)] == ["GL305"]


def test_a_written_cache_is_found_and_fixable(lint_text):
    text = CACHE + "  %r: f32[1] = llama.update_cache.default(value=%v, cache=%b, start_pos=3)\n  return %b\n"
    (one,) = [one for one in lint_text(text) if one.code < "GL4"]
    assert (one.code, one.message) == ("GL304", "llama.update_cache.default writes buffer 'cache'")
    wrapped = "is called on a copy by higher_order.auto_functionalized_v2"
    written = "the new value is written back when the call returns"
    assert (one.fix.applicability, one.fix.message) == ("safe", f"{wrapped}; {written}")


def test_a_write_that_the_schema_keeps_quiet_about(lint_text):
    text = (
        CACHE + "  %r: f32[1, 8, 2, 4] = executorch.update_cross_attn_cache.default(value=%v, cache=%b)\n  return %r\n"
    )
    (one,) = [one for one in lint_text(text) if one.code < "GL4"]
    message = "executorch.update_cross_attn_cache.default writes buffer 'cache', which its schema does not say"
    assert (one.code, one.message) == ("GL107", message)
    reason = "the schema of executorch.update_cross_attn_cache.default does not tell torch what it writes"
    assert (one.fix.applicability, one.fix.message) == ("none", reason)


def test_draws(lint_text):
    name = "xformer.memory_efficient_attention_forward.default"
    text = f"graph(%x: f32[4]):\n  %y: f32[4] = {name}(%x, %x, %x, None, p=0.5)\n  return %y\n"
    assert found(lint_text, text) == [("GL302", f"{name} draws from the global random number generator")]


def test_communication(lint_text):
    text = """\
graph(%x: f32[4]):
  %y: f32[4] = xformers_python.sequence_parallel_trailing_matmul_fwd.default(%x, %x, True, "0")
  return %y
"""
    assert found(lint_text, text) == []
    text = """\
graph(%x: f32[4]):
  xformers_python._fused_linear_and_reducescatter_impl.default(%x, [%x], "0", scattered_outputs=[%x])
  return %x
"""
    assert "GL306" in [code for code, _ in found(lint_text, text)]

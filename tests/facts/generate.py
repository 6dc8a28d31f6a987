"""Write the table of ops (``lint/graphlint/ops/table.tsv``).

``python -m tests.facts.generate`` writes the rows of the installed torch into it, and leaves those of other versions.
With ``--registered`` it makes no experiments, which take minutes, and leaves what they have found; with ``--check`` it
writes nothing besides, and exits 1 where the file is stale. Run it in a process of its own: whatever else is imported
may register ops too.

A fact comes from ``ops/reviewed.tsv``, else from an experiment, else from what torch has registered: schemas, tags,
kernels.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from pathlib import Path

import msgspec
import torch
from tests.facts.autocast import autocast_fact, measure_autocast
from tests.facts.experiments import measure as measure_results
from tests.facts.samples import collect
from tests.facts.views import measure_views

from graphlint.artifact.errors import GraphlintError
from graphlint.ops.info import OpInfo
from graphlint.ops.rows import Row
from graphlint.ops.schema import OpSchema, parse_schema
from graphlint.ops.table import TABLE as TABLE_PATH

COMMAND = "python -m tests.facts.generate"
TABLE = Path(TABLE_PATH)
SUPPLEMENT = Path(__file__).with_name("supplement.tsv")
REVIEWED = TABLE.with_name("reviewed.tsv")
FIELDS = (
    "torch", "tags", "twin", "substitute", "hidden", "alias", "shares", "returns_self", "view", "detaches", "draws",
    "draw_order", "dropout", "in_eval", "elementwise", "layout", "no meta_layout", "dtype", "same_bits",
    "no complex_bits", "sets_bits", "no casts_out", "no casts_last", "no strided_writes", "resized",
    "raises_on_integers", "autocast", "effect", "calls", "region", "closed", "wraps", "role",
)  # fmt: skip
"""The facts of a row, in their order."""
_RESULTS = frozenset(
    {
        "alias",
        "shares",
        "returns_self",
        "view",
        "detaches",
        "elementwise",
        "layout",
        "no meta_layout",
        "dtype",
        "same_bits",
        "no complex_bits",
        "sets_bits",
    }
)
"""Those about new results."""
_OF_OUT = frozenset({"no casts_out", "no casts_last", "no strided_writes", "resized"})
"""Those about what ``out=`` writes."""
_MEASURED = _RESULTS | _OF_OUT | {"draw_order", "raises_on_integers", "autocast"}
"""Those that experiments tell."""
_REGISTERED = frozenset({"tags", "twin"})
"""Those that torch tells."""

# Namespaces whose ops graphlint answers for. Others (the TorchScript interpreter's, those of torch's tests, of FSDP)
# write what their schemas do not say, or never stand in an exported graph.
_NAMESPACES = frozenset(
    {
        "_c10d_functional",
        "_c10d_functional_autograd",
        "_dtensor",
        "_quantized",
        "aten",
        "c10d",
        "c10d_functional",
        "debug_mode_ops",
        "debugprims",
        "export",
        "inductor",
        "inductor_prims",
        "mkl",
        "mkldnn",
        "mkldnn_prepacked",
        "onednn",
        "onnx",
        "onnx_symbolic",
        "prims",
        "profiler",
        "quantization",
        "quantized",
        "quantized_decomposed",
        "rngprims",
        "sparse",
        "streams",
        "symm_mem",
    }
)
# Modules that register ops when imported, beyond what `import torch` does.
_REGISTERING_MODULES = (
    "torch._dynamo",
    "torch._export.serde.serialize",
    "torch._inductor.inductor_prims",
    "torch.ao.quantization.fx._decomposed",
    "torch.distributed._symmetric_memory",
    "torch.onnx.ops",
)
_KERNEL_TAGS = {
    "autocast": tuple(f"Autocast{device}" for device in ("CPU", "CUDA", "XPU", "MPS", "MTIA", "MAIA")),
    "composite": ("CompositeImplicitAutograd",),
}
"""Tags of graphlint's own: ops with a kernel for one of these dispatch keys."""
_TAGS = (
    "autocast",
    "composite",
    "core",
    "data_dependent_output",
    "dynamic_output_shape",
    "inplace_view",
    "maybe_aliasing_or_mutating",
    "nondeterministic_seeded",
    "pointwise",
)
_TENSOR_OPTIONS = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format"})

# `torch.export`'s own pass pairs these (torch/_export/passes/functionalize_side_effectful_ops_pass.py); the twin
# takes a token more and returns one. The bare assert has no twin of its own: it becomes one with a message.
_CHECK_TWINS = {
    "aten._assert_async.default": "aten._functional_assert_async.msg",
    "aten._assert_async.msg": "aten._functional_assert_async.msg",
    "aten._assert_scalar.default": "aten._functional_assert_scalar.default",
    "aten.sym_constrain_range.default": "aten._functional_sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default": "aten._functional_sym_constrain_range_for_size.default",
}


def render_table(*, measured: bool) -> str:
    """The whole file. Raises :class:`GraphlintError` where what is registered contradicts what graphlint knows."""
    versions = _read_table()
    version = ".".join(torch.__version__.split(".")[:2])
    current = _rows()
    if measured:
        _measure({row.name: row for row in current})
    elif versions:
        _keep(versions.get(version) or versions[max(versions, key=_order)], current)
    return _render({**versions, version: current})


def _render(versions: dict[str, list[Row]]) -> str:
    """The file of what is known of each version."""
    covered = sorted(versions, key=_order)
    known = {row.name for rows in versions.values() for row in rows}
    supplement = [row for row in _supplement() if row.name not in known]
    _agree_on_autocast(versions.values())
    review([*itertools.chain.from_iterable(versions.values()), *supplement])
    _agree(itertools.chain.from_iterable(versions.values()))
    rows = _merged([versions[one] for one in covered], covered) + supplement
    for row in rows:
        row.facts = {field: row.facts[field] for field in FIELDS if field in row.facts}
    rows.sort(key=lambda row: (row.name, *(-part for part in _order(_span(row)[1]))))
    verify(rows)
    header = [
        f"# Generated by `{COMMAND}` from torch, reviewed.tsv and supplement.tsv. Do not edit.",
        f"# torch {' '.join(covered)}",
    ]
    return "\n".join([*header, *map(line_of, rows)]) + "\n"


def line_of(row: Row) -> str:
    """The line of the table that holds a row."""
    facts = (f"{field}={value}" if value else field for field, value in row.facts.items())
    return "\t".join([row.name, row.schema, *facts])


def _measure(rows: dict[str, Row]) -> None:
    """Add what experiments tell."""
    samples = {name: known for name, known in collect().items() if name in rows}
    for measure in (measure_results, measure_views, measure_autocast):
        for name, facts in measure(rows, samples).items():
            rows[name].facts.update(facts)
    for row in rows.values():
        twin = rows.get(row.facts.get("twin", ""))
        if twin is not None and "inplace_view" in row.facts.get("tags", "").split():
            row.facts.update({field: twin.facts[field] for field in ("view", "detaches") if field in twin.facts})


def _keep(previous: list[Row], current: list[Row]) -> None:
    """Take over what experiments have told of the same ops."""
    known = {row.name: row.facts for row in previous}
    for row in current:
        row.facts.update({field: value for field, value in known.get(row.name, {}).items() if field in _MEASURED})


def _rows() -> list[Row]:
    """The rows of the installed torch."""
    rows = {row.name: row for row in (*registered(_NAMESPACES), *_higher_order(), *_symbolic())}
    schemas = {name: parse_schema(row.schema) for name, row in rows.items() if row.schema}
    for name, twin in _twins(schemas).items():
        rows[name].facts["twin"] = twin
    return list(rows.values())


def _read_table() -> dict[str, list[Row]]:
    """The rows of each version that the file covers, without what is written by hand."""
    lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
    covered = next((line.split()[2:] for line in lines if line.startswith("# torch ")), [])
    versions: dict[str, list[Row]] = {version: [] for version in covered}
    for row in (Row.parse(line) for line in lines if not line.startswith("#")):
        first, last = map(_order, _span(row))
        facts = {field: value for field, value in row.facts.items() if field in _MEASURED or field in _REGISTERED}
        for version in covered:
            if first <= _order(version) <= last:
                versions[version].append(Row(row.name, row.schema, dict(facts)))
    return versions


def _agree(rows: Iterable[Row]) -> None:
    """Where versions disagree, bits are not the same. With the same schema, what samples of one contradict
    is not so in the others either, or only in some builds.
    """
    of_schema: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        of_schema.setdefault((row.name, row.schema), []).append(row)
    for every in of_schema.values():
        resized = sorted(row.facts["resized"] for row in every if "resized" in row.facts)
        for row in every if resized else ():
            row.facts["resized"] = resized[0]
        same = [row for row in every if "layout" in row.facts]  # of others, nothing of the results is known
        if len({row.facts.get("same_bits") for row in same}) > 1:
            for row in same:
                row.facts.pop("same_bits", None)
        for field, some in (("no complex_bits", same), ("no casts_last", every), ("no strided_writes", every)):
            if any(field in row.facts for row in some):
                for row in some:
                    row.facts = {one: row.facts.get(one, "") for one in FIELDS if one in {*row.facts, field}}


def _agree_on_autocast(versions: Collection[list[Row]]) -> None:
    """What autocast makes of an overload is told where all versions agree in which that has been measured; those in
    between do as they do.
    """
    told: dict[str, dict[str, str]] = {}
    for rows in versions:
        if any("autocast" in row.facts for row in rows):
            for row in rows:
                policies = row.info().autocast
                agreed = told.setdefault(row.name, dict(policies))
                told[row.name] = {device: one for device, one in agreed.items() if policies.get(device) == one}
    for row in itertools.chain.from_iterable(versions):
        row.facts.pop("autocast", None)
        if told.get(row.name):
            row.facts["autocast"] = autocast_fact(told[row.name])


def _merged(versions: list[list[Row]], covered: list[str]) -> list[Row]:
    """The rows of all versions: one for those, following each other, that have the overload with the same schema and
    the same facts.
    """
    merged: list[Row] = []
    last: dict[str, Row] = {}
    """The row of the version before."""
    for version, rows in zip(covered, versions, strict=True):
        current: dict[str, Row] = {}
        for row in rows:
            same = last.get(row.name)
            if same is None or (same.schema, {**same.facts, "torch": ""}) != (row.schema, {**row.facts, "torch": ""}):
                same = row
                same.facts["torch"] = version
                merged.append(same)
            since = _span(same)[0]
            same.facts["torch"] = since if since == version else f"{since}-{version}"
            current[row.name] = same
        last = current
    return merged


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _span(row: Row) -> tuple[str, str]:
    """The first and the last version; 0 where the row tells none."""
    since, _, until = row.facts.get("torch", "0").partition("-")
    return since, until or since


def review(rows: list[Row], reviewed: Path = REVIEWED, namespaces: Container[str] | None = None) -> None:
    """Add what is written down in ``reviewed.tsv`` or its like, of some namespaces or of all. What is said of an
    overload goes before what is said of its op, and that before what is said of its namespace.
    """
    said: dict[str, dict[str, str]] = {}
    for line in reviewed.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        names, fact, *_ = line.split("\t")
        field, _, value = fact.partition("=")
        for name in names.split():
            if namespaces is not None and name.partition(".")[0] not in namespaces:
                continue
            said.setdefault(name, {})[field] = value
    unused = set(said)
    for row in rows:
        op = row.name.rpartition(".")[0] if row.name.count(".") > 1 else row.name
        writes = "!" in row.schema
        for name in (f"{row.name.partition('.')[0]}.*", op, row.name):
            unused.discard(name)
            facts = said.get(name, {})
            row.facts.update(facts if name == row.name or not writes else _of_writing(facts))
    if unused:
        raise GraphlintError(f"described but not registered: {' '.join(sorted(unused))}")


def _of_writing(facts: dict[str, str]) -> dict[str, str]:
    """What is said of an op, of those of its overloads that write: results that alias what they write are its own."""
    return {field: value for field, value in facts.items() if field not in _RESULTS}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table; the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the table of ops.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the table is stale")
    parser.add_argument("--registered", action="store_true", help="make no experiments, keep what they have found")
    given = parser.parse_args(arguments)
    table = render_table(measured=not (given.check or given.registered))
    if not given.check:
        TABLE.write_text(table, encoding="utf-8", newline="\n")
        return 0
    stale = not TABLE.exists() or TABLE.read_text(encoding="utf-8") != table
    if stale:
        sys.stderr.write(f"{TABLE.name} is stale for torch {torch.__version__}; run: {COMMAND}\n")
    return int(stale)


def registered(namespaces: Container[str]) -> Iterator[Row]:
    """The dispatcher's ops of some namespaces. TorchScript's own (``aten::append.t``) are not among them: no graph has
    those.
    """
    for module in _REGISTERING_MODULES:
        with contextlib.suppress(ImportError):  # some are newer than the oldest versions
            importlib.import_module(module)
    dispatched = set(torch._C._dispatch_get_all_op_names())
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, op = schema.name.partition("::")
        full = f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name
        if full not in dispatched or namespace not in namespaces:
            continue
        overload = schema.overload_name or "default"
        tags = {tag.name for tag in getattr(getattr(getattr(torch.ops, namespace), op), overload).tags}
        tags.update(tag for tag, keys in _KERNEL_TAGS.items() if any(_has_kernel(full, key) for key in keys))
        text = str(schema).removeprefix(full)
        named = " ".join(tag for tag in _TAGS if tag in tags)
        yield Row(f"{namespace}.{op}.{overload}", text, {"tags": named} if named else {})


def _has_kernel(op: str, key: str) -> bool:
    try:
        return bool(torch._C._dispatch_has_kernel_for_dispatch_key(op, key))
    except RuntimeError:  # a key that is newer than this torch
        return False


def _higher_order() -> Iterator[Row]:
    """Higher-order ops, most of which register where their module is imported."""
    package = importlib.import_module("torch._higher_order_ops")
    for module in pkgutil.iter_modules(package.__path__, "torch._higher_order_ops."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
    return (Row(f"higher_order.{name}") for name in sorted(torch._ops._higher_order_ops))


def _symbolic() -> Iterator[Row]:
    """Operators on symbolic scalars, spelled as torch spells them in an artifact."""
    serialize = importlib.import_module("torch._export.serde.serialize")
    # torch 2.7 and earlier have one such set for each type of result.
    ops = {op for name, found in vars(serialize).items() if re.fullmatch(r"_SYM_(\w+_)?OPS", name) for op in found}
    return (Row(f"{op.__module__}.{op.__name__}") for op in ops)


def _supplement() -> Iterator[Row]:
    for line in SUPPLEMENT.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, schema = line.partition("\t")
            yield Row(name, schema)


def _twins(schemas: dict[str, OpSchema]) -> dict[str, str]:
    """The functional twin of each op that writes and has one."""
    functional: dict[str, list[str]] = {}
    for name, schema in schemas.items():
        if not _writes(schema):
            functional.setdefault(name.rpartition(".")[0], []).append(name)
    twins = {name: twin for name, twin in _CHECK_TWINS.items() if name in schemas and twin in schemas}
    for name, schema in schemas.items():
        if _writes(schema) and (twin := _twin(name, schema, schemas, functional)):
            twins[name] = twin
    return twins


def _twin(name: str, schema: OpSchema, schemas: dict[str, OpSchema], functional: dict[str, list[str]]) -> str | None:
    """The overload of the same op, without writes, that takes the same arguments.

    torch names them so: ``add_`` and ``add``, ``__iand__`` and ``__and__``, ``normal_`` and ``normal_functional``,
    ``_native_batch_norm_legit`` and ``_native_batch_norm_legit_functional``; the overload keeps its name
    where it can, and the arguments say which is meant where it cannot.
    """
    op, _, overload = name.rpartition(".")
    namespace, _, base = op.rpartition(".")
    if base.startswith("__i") and base.endswith("__"):
        base = f"__{base[3:]}"
    elif base.endswith("_") and not base.startswith("__"):
        base = base[:-1]
    is_out = any(argument.written and argument.keyword_only for argument in schema.arguments)
    bases = (base, f"{base}_functional", *((base.removesuffix("_out"),) if is_out else ()))
    candidates = [twin for stem in dict.fromkeys(bases) for twin in functional.get(f"{namespace}.{stem}", ())]

    def fitting(signature: Callable[[OpSchema], object]) -> list[str]:
        return [twin for twin in candidates if signature(schemas[twin]) == signature(schema)]

    # `dropout_` calls its operand `self`, `dropout` calls it `input`. And an `out` brings its own dtype and device,
    # so the out variants of factories leave those arguments out.
    found = fitting(_signature) or fitting(_types) or (fitting(_without_options) if is_out else [])
    return min(found, key=lambda twin: (twin.rpartition(".")[2] != overload, twin), default=None)


def _writes(schema: OpSchema) -> bool:
    return any(argument.written for argument in schema.arguments)


def _signature(schema: OpSchema) -> list[tuple[str, str, bool]]:
    """What two overloads have in common that compute the same: names, types and order of what they read."""
    return [(a.name, a.type, a.keyword_only) for a in schema.arguments if not (a.written and a.keyword_only)]


def _types(schema: OpSchema) -> list[tuple[str, str, bool]]:
    """The signature without the first argument's name."""
    (_, first, keyword_only), *rest = _signature(schema) or [("", "", False)]
    return [("", first, keyword_only), *rest]


def _without_options(schema: OpSchema) -> list[tuple[str, str, bool]]:
    """The signature without what describes a new tensor."""
    return [argument for argument in _signature(schema) if not (argument[2] and argument[0] in _TENSOR_OPTIONS)]


def verify(rows: list[Row]) -> None:
    """Refuse a table that what is written by hand does not fit."""
    problems: list[str] = []
    for row in rows:
        name, info = row.name, row.info()
        msgspec.convert(msgspec.to_builtins(info), OpInfo)  # values are of the vocabularies
        schema = info.schema
        if schema is None:
            continue
        arguments = {argument.name for argument in schema.arguments}
        described = {alias.argument for alias in info.aliases}
        described |= set(info.hidden_writes.arguments) if info.hidden_writes else set()
        described |= {condition.argument for condition in info.random.unless}
        described |= {
            argument
            for step in info.view
            for argument in step.parameters.values()
            if isinstance(argument, str) and not info.writes
        }
        problems += [f"{name} has no argument {missing}" for missing in sorted(described - arguments)]
        if info.returns_nothing and not info.writes and info.kind is None:
            problems.append(f"{name} returns nothing and writes nothing: say in reviewed.tsv what it does")
        annotated = {argument.alias for argument in schema.arguments if argument.alias}
        lost = [r for r in schema.returns if r.alias and r.alias != "*" and not annotated & set(r.alias.split("|"))]
        if lost:
            problems.append(f"{name}: a result aliases no argument")
    if problems:
        raise GraphlintError("the table of ops would be wrong:\n" + "\n".join(sorted(problems)))


if __name__ == "__main__":
    sys.exit(main())

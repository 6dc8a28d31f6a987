"""Targets as Markdown, for ``graphlint target NAME`` and for ``lint/TARGETS.md``.

python -m graphlint.rules.targets.documentation > lint/TARGETS.md
"""

import sys
from collections.abc import Collection
from typing import Any, Final

import msgspec

from graphlint.ops.table import op_of
from graphlint.rules.losses import LossRule, OtherValues
from graphlint.rules.refusal_conditions import told
from graphlint.rules.registry import RULES
from graphlint.rules.settings import OpRow, covers
from graphlint.rules.targets.model import Target, all_targets, row_of

_KEYS: Final = ("name", "consumer", "title", "summary", "measured", "label", "references")
_FIXES: Final = {
    "functionalize": "fixed as usual",
    "keep": "kept",
    "message": "given a message",
    "strip": "removed, with `--unsafe-fixes`",
    "refuse": "no fix",
}
_OF: Final = {
    "inputs": "inputs",
    "stored": "parameters, buffers and constants",
    "state": "what the program writes",
    "outputs": "outputs",
}
_FORMS: Final = {
    "indexed-first": "; `--fix` writes with the indexed dimensions first, by permuted views",
    "cast": f"; `--fix` makes it `{op_of('cast').name}`",
    "apart": f"; `--fix` puts `{op_of('greater').name}` in between",
    "copied": f"; `--fix` makes it `{op_of('greater').name}` of the tensor and itself",
    "floating": "; `--fix` gives it floating-point numbers",
    "spelled": "; `--fix` gives it all of its arguments",
    "reshape": f"; `--fix` makes it `{op_of('reshape').name}`",
    "split": f"; `--fix` makes it `{op_of('split').name}`",
}
_INTRODUCTION: Final = """\
# Targets

A target is the consumer that an artifact goes to. It decides which rules are on by default, and which form `--fix`
gives a program: `graphlint --fix --target onnx model.pt2`, or in the configuration

```toml
[tool.graphlint]
target = "inductor"                                # or several: ["inductor", "onnx"]
per-file-target = { "mobile/*.pt2" = ["coreml"] }  # overrides target
```

Of several targets the strictest counts for each rule; where a fix for one makes what another refuses, graphlint says
so and stops. `--select` and `--ignore` go on top. What is said of each consumer was measured with the versions named
there; `tests/consumers/` repeats the measurement.

This file is made by `python -m graphlint.rules.targets.documentation`.
"""


def explain(target: Target) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in target.measured.items())
    lines = [f"# {target.name}: {target.title}", "", target.summary, ""]
    if versions:
        lines += [f"Measured with {versions}.", ""]
    label = "ATEN; a graph that allows it is relabelled" if target.label == "ATEN" else "any"
    lines += [f"Dialect label: {label}.", ""]
    because = f": {target.because}" if target.because else ""
    if target.dtypes:
        lines += [f"Dtypes: {', '.join(target.dtypes)}; others are refused (GL608){because}.", ""]
    for of, row in target.dtypes_of.items():
        lines += [f"Dtypes of {_OF[of]}: {', '.join(row.dtypes)}; others are refused (GL608): {row.because}.", ""]
    if target.max_nodes is not None:
        lines += [f"Nodes: {target.max_nodes:,} at most (GL609){because}.", ""]
    if target.max_dimensions is not None:
        lines += [f"Dimensions of a tensor: {target.max_dimensions} at most (GL611){because}.", ""]
    lines += _rules(target)
    lines += _lost(target)
    lines += _refused("Ops", [(op, row) for op, rows in target.ops.items() for row in rows])
    lines += _refused("Inputs", target.inputs.items()) + _refused("Outputs", target.outputs.items())
    if target.references:
        lines += [f"References: {', '.join(target.references)}", ""]
    return "\n".join(lines)


def _rules(target: Target) -> list[str]:
    own = [rule for rule in RULES if row_of(target, rule).because]
    if not own:
        return ["Every rule is as its documentation says (`graphlint rule`).", ""]
    lines = ["| rule | reported | `--fix` | why |", "|---|---|---|---|"]
    for rule in own:
        row = row_of(target, rule)
        violation = "yes" if row.violation else "no"
        lines.append(f"| {rule.code} {rule.name} | {violation} | {_FIXES[row.fix]} | {row.because} |")
    return [*lines, "", "All other rules are as their documentation says (`graphlint rule`).", ""]


def _lost(target: Target) -> list[str]:
    if not target.losses and not target.values:
        return []
    lines = ["What it takes but loses:", ""]
    for loss, row in target.losses.items():
        only = f", of tensors with {row.elements} element{'s' if row.elements > 1 else ''}" if row.elements else ""
        only += f" that {' and '.join(row.rules)} find" if row.rules else ""
        (rule,) = (one for one in RULES if isinstance(one, LossRule) and one.loss == loss)
        lifting = "" if rule.fix == "none" else ", or use `--fix --lift-state`"
        lines.append(f"- {loss.replace('-', ' ')} ({rule.code}){only}: {row.because}; {row.advice}{lifting}")
    for one in target.values:
        ops = f" by {', '.join(f'`{op}`' for op in one.ops)}" if one.ops else ""
        lines.append(f"- values ({OtherValues.code}) of {', '.join(one.dtypes)}{ops}: {one.because}")
    return [*lines, ""]


def _refused(whats: str, rows: Collection[tuple[str, OpRow]]) -> list[str]:
    refused = [(what, row) for what, row in rows if not row.taken]
    lines = [f"{whats} that are refused (GL601):", ""] if refused else []
    alike: dict[str, list[str]] = {}
    """What is said in the same words, by these."""
    for what, row in refused:
        back = "; `--fix` brings the plain checks back"
        after = back if _is_token(what) else _FORMS[row.form] if row.form else f"; {row.advice}" if row.advice else ""
        alike.setdefault(f"{' or'.join(told(where) for where in row.cases)}: {row.because}{after}", []).append(
            f"`{what}`"
        )
    lines += [f"- {', '.join(several)}{said}" for said, several in alike.items()]
    taken = [f"`{what}`" for what, row in rows if row.taken]
    lines += ["", f"{whats} that are taken all the same: {', '.join(taken)}."] if taken else []
    return [*lines, ""] if lines else []


def described(target: Target) -> dict[str, Any]:
    """One target as JSON, with what it makes of every rule."""
    rows = {rule.code: row_of(target, rule) for rule in RULES}
    return {
        **{key: getattr(target, key) for key in _KEYS},
        "rules": {
            code: {"violation": row.violation, "fix": row.fix, "because": row.because} for code, row in rows.items()
        },
        "losses": {loss: msgspec.structs.asdict(row) for loss, row in target.losses.items()},
        "values": [msgspec.structs.asdict(row) for row in target.values],
        "ops": {op: [_row(op, row) for row in rows] for op, rows in target.ops.items()},
        "inputs": {kind: _row(kind, row) for kind, row in target.inputs.items()},
        "outputs": {kind: _row(kind, row) for kind, row in target.outputs.items()},
        "dtypes": list(target.dtypes) or None,
        "dtypes_of": {of: msgspec.structs.asdict(row) for of, row in target.dtypes_of.items()},
        "max_nodes": target.max_nodes,
        "max_dimensions": target.max_dimensions,
        "extends": target.extends or None,
    }


def _row(what: str, row: OpRow) -> dict[str, Any]:
    about = {
        "because": row.because,
        "advice": row.advice or None,
        "restore": _is_token(what),
        "where": row.where or None,
        "form": row.form or None,
    }
    return {**about, "refused": not row.taken}


def _is_token(what: str) -> bool:
    """Whether it is what dependency tokens begin with, and no wider pattern."""
    return "*" not in what and covers(what, op_of("make-token").name)


def reference() -> str:
    """``lint/TARGETS.md``."""
    sections = (explain(target).replace("# ", "## ", 1) for target in all_targets())
    return "\n".join([_INTRODUCTION, *sections]).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())

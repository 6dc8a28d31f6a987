"""Targets as Markdown, for ``graphlint target NAME`` and for ``lint/TARGETS.md``.

python -m graphlint.rules.targets.documentation > lint/TARGETS.md
"""

import sys
from collections.abc import Collection
from typing import Any, Final

import msgspec

from graphlint.ops.table import op_of
from graphlint.rules.losses import LossRule, OtherValues
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
_WHERE: Final = {
    "": "",
    "gaps": " where a list of tensors leaves some out",
    "masks": " where it is indexed by a mask",
    "integers": " where it makes integers",
    "whole": " where it is given no dimensions",
    "numbers": " where it is given a number that depends on data",
    "clipped": " where the size of its result depends on data, and is clipped",
    "added": " where it adds to what stands at the index",
    "masked": " where it is given a mask",
    "of-integers": " where it is given integers",
    "returned": " where the integers come to be among the outputs, or are joined with others",
    "padded": " where it pads",
    "transposed": " where it is a transposed convolution",
    "scaled": " where `alpha` is not 1",
    "mixed": " where it computes with several dtypes",
    "scalars": " where it is given a tensor of no dimensions",
    "of-masks": " where it is given booleans",
    "negative": " where the index is negative",
    "zeroth": " where it is of order 0",
    "divided": " where it is given a divisor",
    "unweighted": " where it is given no weight",
    "widened": " where its result has another dtype than its operand",
    "binned": " where it makes more than one element of each plane",
    "unbatched": " where it is given no batch",
    "averaged": " where it is told to compute means",
    "short": " where it leaves out arguments",
    "by-vector": " where its second tensor has one dimension",
    "single": " where it is given one tensor",
    "computed": " where its weight or bias is not stored in the artifact",
    "computed-dilated": " where its weight is not stored in the artifact, and it is dilated",
    "channels-last": " where it is told to lay out its result with the channels innermost",
    "narrow": " where it is given indices of fewer bits than int64 has",
    "state": " where its result becomes the state of a buffer",
    "state-by-constant": " where its result becomes the state of a buffer, and its second operand is constant",
    "state-again": " where its result becomes the state of a buffer, and its operand is made by a view",
    "state-fused": " where its result becomes the state of a buffer, and an operand is made by a matrix product",
    "state-after": " where its result becomes the state of a buffer, and its operand is made by an op",
    "state-twice": " where its result becomes the state of a buffer, and one operand is made of another",
    "state-chained": " where its result becomes the state of a buffer, behind an op and a constant, or behind two ops",
    "state-repeated": " where its result becomes the state of a buffer, and its operand is made by the same op",
    "cropped": " where the padding is negative",
    "constant-cropped": " where the padding is negative, and otherwise a number",
    "circular": " where it pads circularly",
    "unstrided": " where it is given no stride",
    "dilated": " where it is dilated",
    "overlapping": " where its windows overlap",
    "output-padded": " where it pads its result",
    "only-output-padded": " where it pads its result, and not its operand",
    "grouped": " where several queries share a key",
    "flat": " where it is given fewer than three dimensions",
    "ceiled": " where it pads, counts the padding, and rounds the size up",
    "corrected": " where the correction is neither 0 nor 1",
    "repeated": " where its operand is made by the same op",
    "kept": " where a dimension is of another size than 1, and stays",
    "stepped": " where the step is no integer, and no dtype is given",
    "summed-up": " where it sums products up to one number",
    "diagonals": " where a dimension of a tensor is named twice",
    "unshared": " where it sums up to one number what shares no dimension, or is given a number",
    "elliptic": " where its equation leaves out dimensions or the result",
    "ranks": " where its first two tensors have different numbers of dimensions",
    "bounded": " where its bounds are stored in the artifact, and of several elements",
    "half-open": " where it is given integers and one bound",
    "typed": " where it is told a dtype",
    "smoothed": " where it smooths labels",
    "soft": " where its labels are the chance of each class",
    "from-the-end": " where it counts the dimension from the end",
    "uneven": " where its result is no whole multiple of its operand",
    "reflected": " where it reflects at the borders",
    "approximated": " where it is told to approximate",
    "lopsided": " where it reflects planes, and not equally on all sides",
    "channelled": " where it has a weight for each channel, and is given more than rows",
    "vector-by-batch": " where one tensor has one dimension, and the other more than two",
    "small-product": " where the product or quotient that it adds is smaller than its result",
    "one-window": " where a single window stands along a dimension, and leaves elements out or rounds sizes up",
    "depthwise": " where each channel has a filter of its own",
    "weighted": " where it is given weights",
    "volumes": " where it pads along three dimensions",
    "lower-mask": " where its mask has fewer dimensions than its operands",
    "whole-numbers": " where it is given integers beside a floating-point tensor",
    "enlarged": " where its result is larger than its first operand",
    "planeless": " where its operand has other than four dimensions",
    "everything": " where it drops everything",
    "of-output": " where its operand is an output or becomes state, too",
    "stored-affine": " where it multiplies by what is stored, and scales, or adds more than a row",
    "same-even": " where it pads to the same size, with a window of an even size",
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
        alike.setdefault(f"{' or'.join(_WHERE[where] for where in row.cases)}: {row.because}{after}", []).append(
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

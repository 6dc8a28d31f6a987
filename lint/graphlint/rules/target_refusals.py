"""GL601: ops, inputs and outputs that a target refuses."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from graphlint.ir.model import Argument, Graph, Program, TensorMeta
from graphlint.ir.strides import channels_last, contiguous_strides
from graphlint.ops.info import Role
from graphlint.ops.table import op_of
from graphlint.rules.base import Finding, Rule, no_fix, safe_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import REFORM
from graphlint.rules.mutation import InPlaceOp
from graphlint.rules.settings import Refused, Where
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site
from graphlint.semantics.sizes import Sizes


class RefusedByTarget(Rule):
    """An op, an input or an output that a target of the artifact refuses.

    ## What it does
    Flags functional ops that the consumer named by `--target` was seen to refuse: dependency tokens, for most of
    them; and kinds of inputs and outputs, such as numbers. Finds nothing where the target is `functional`.
    `graphlint target NAME` lists what is refused.

    ## Why is this bad?
    The artifact passes every other check, and the consumer fails on it all the same.

    ## Example
    With `--target onnx`:
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.masked_select(x, x > 0).sum()
    ```
    ```graph target=onnx
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %ok: b8[]):
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "must hold", dep_token=%dep_token0)
      return buffer "dep_token" <- %dep_token1, %ok
    ```

    ## Use instead
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.where(x > 0, x, 0).sum()
    ```
    ```graph target=onnx
    graph(%ok: b8[]):
      aten._assert_async.msg(%ok, "must hold")
      return %ok
    ```

    ## Fix safety
    Safe: dependency tokens become the plain checks that they were made from, as `graphlint restore` does it. What
    writes to an index behind other dimensions does so by permuted views, a conversion becomes one that always copies,
    `flatten` becomes `reshape` and `chunk` becomes `split`, an op is given the arguments that it leaves out, a value
    that is called as a buffer gets another name, and what becomes state does so by an op more, for targets that take
    those. Nothing else has a fix.
    """

    code = "GL601"
    follows_fixes = True
    fix = "safe"
    fixer = REFORM
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each node of such an op, then one for each such input and output."""
        for site in view.sites:
            refused = refused_at(view, site)
            if refused is not None:
                message = f"{site.name} is refused by {', '.join(refused.targets)}: {refused.because}"
                fix = _fix_for(view, site, refused)
                otherwise = "use another op in the model" if fix.message == _NO_FORM else ""
                yield Finding(message, fix, site, advice=refused.advice or otherwise)
        yield from _namesakes(view)
        for site in view.sites if view.made_last is not None else ():
            if site.node is view.made_last:
                refused = view.profile.refused_outputs["state_made_last"]
                message = f"{site.name} makes state last of all: {', '.join(refused.targets)} refuses that"
                fix = Fix("safe", "is followed by an op that makes the first state")
                yield Finding(f"{message}: {refused.because}", fix, site, advice=refused.advice)
        profile, inputs = view.profile, _input_kinds(view.program)
        outputs = ((kind, f"an output of kind {kind}") for kind in _output_kinds(view.program))
        for rows, kinds in ((profile.refused_inputs, inputs), (profile.refused_outputs, outputs)):
            for kind, what in kinds if rows else ():
                if kind in rows:
                    message = f"{what} is refused by {', '.join(rows[kind].targets)}: {rows[kind].because}"
                    yield Finding(message, no_fix(_NO_FORM), advice=rows[kind].advice or "change the model")


_BECOMES: Final[Mapping[str, str]] = {
    "indexed-first": "is written with the indexed dimensions first",
    "spelled": "is given all of its arguments",
    "floating": "is given floating-point numbers",
    "apart": "is followed by an op that computes the same",
}
_ROLES: Final[Mapping[str, Role]] = {"cast": "cast", "reshape": "reshape", "split": "split", "copied": "greater"}
"""What an op becomes in the form of that name."""
_NO_FORM: Final = "no other form of it is known"


def refused_at(view: ProgramView, site: Site) -> Refused | None:
    """What targets say that refuse a node's op, or what the consumer makes of it where writes are left to it."""

    def holds(where: Where) -> bool:
        from graphlint.rules.refusal_conditions import is_met  # few targets need it, and each start would pay for it

        return not where or is_met(where, view, site)

    said = view.refused(site.name)
    if said is not None:
        return said.at(holds)
    if site.op is None or not site.op.writes or InPlaceOp.code not in view.profile.codes("keep"):
        return None
    twin = view.ops.twin_of(site.op)
    said = view.refused(twin.name) if twin is not None else None
    refused = said.at(holds) if said is not None else None
    return refused and msgspec.structs.replace(refused, form="")


def _namesakes(view: ProgramView) -> Iterator[Finding]:
    """The values that targets take for state, for they are called so."""
    if not view.namesakes:
        return
    refused = view.profile.refused_outputs["namesake"]
    told = f"is called as the buffer that the program writes: {', '.join(refused.targets)} refuses that"
    for site in view.sites:
        for name in sorted(view.namesakes_at(site)):
            fix = Fix("safe", "gets another name")
            yield Finding(f"the value {name!r} {told}: {refused.because}", fix, site, advice=refused.advice)
    inputs = (name for given in view.program.graph.inputs for name in given.names())
    for name in sorted(view.namesakes.intersection(inputs)):
        fix = no_fix("callers know the input by its name")
        yield Finding(f"the input {name!r} {told}: {refused.because}", fix, advice=refused.advice)


def _input_kinds(program: Program) -> Iterator[tuple[str, str]]:
    """The kind of each input, and how messages call it; of one that has symbolic sizes, that too."""
    sizes = Sizes(program)
    for spec, given in zip(program.graph_module.signature.input_specs, program.graph.inputs, strict=True):
        kind = spec.kind if spec.user_input is None or given.tensors() else "number"
        yield kind, f"an input of kind {kind}"
        for name in given.tensors():
            meta = program.graph.meta(name) if name is not None else None
            if meta is None:
                continue
            if not all(isinstance(size, int) for size in meta.shape):
                yield "symbolic", f"a symbolic size, of input {name!r},"
            if 0 in meta.shape:
                yield "empty", f"the size of input {name!r}, which has no elements,"
            if not all(map(sizes.is_bounded, meta.shape)):
                yield "unbounded", f"a size without an upper bound, of input {name!r},"
            held = "" if spec.user_input is not None else f"{spec.kind} {str(spec.target)!r}"
            for layout in _layouts(meta):
                if layout == "channels_last" or not held:
                    yield layout, f"the layout of {held or f'input {name!r}'}"


def _layouts(meta: TensorMeta) -> Iterator[str]:
    """How a tensor is laid out, where that is not contiguous: strides of dimensions of size 1 matter by order only,
    as consumers were seen to look at them.
    """
    shape, strides = meta.shape, meta.stride
    if len(shape) != len(strides) or strides == contiguous_strides(shape):
        return
    numbers = [stride for stride in strides if isinstance(stride, int)]
    in_order = len(numbers) == len(strides) and numbers == sorted(numbers, reverse=True)
    pairs = zip(shape, strides, contiguous_strides(shape), strict=True)
    if not in_order or any(size != 1 and mine != theirs for size, mine, theirs in pairs):
        yield "channels_last" if strides == channels_last(shape) else "strided"
    if not in_order:
        yield "permuted"


def _is_reduced(graph: Graph, value: Argument) -> bool:
    """Whether a value without dimensions comes of no input that has none either."""
    pending, seen = [name for name in value.tensors() if name is not None], set[str]()
    while pending:
        name = pending.pop()
        meta = graph.meta(name)
        if name in seen or meta is None or meta.shape:
            continue
        if name not in graph.makers:
            return False
        seen.add(name)
        operands = graph.nodes[graph.makers[name]].inputs
        pending += [one for operand in operands for one in operand.arg.tensors() if one is not None]
    return bool(seen)


def _output_kinds(program: Program) -> Iterator[str]:
    """The kind of each output."""
    returned: set[str | None] = set()
    for spec, given in zip(program.graph_module.signature.output_specs, program.graph.outputs, strict=True):
        if spec.user_output is None:
            yield spec.kind
            if spec.buffer_mutation is not None and _is_reduced(program.graph, given):
                yield "scalar_mutation"
        elif given.kind == "as_none":
            yield "none"
        elif not given.tensors():
            yield "number"
        else:
            yield spec.kind if returned.isdisjoint(given.tensors()) else "repeated"
            returned.update(given.tensors())


def _fix_for(view: ProgramView, site: Site, refused: Refused) -> Fix:
    if site.op is not None and site.op.role == "make-token":
        obstacle, becomes = view.token_obstacle(site), "becomes plain checks again"
    elif not refused.form:
        obstacle, becomes = _NO_FORM, ""
    else:
        from graphlint.passes.forms import form_obstacle

        form = refused.form
        obstacle = form_obstacle(view, site, form)
        becomes = _BECOMES[form] if form in _BECOMES else f"becomes {op_of(_ROLES[form]).name}"
    return safe_fix(becomes, obstacle)

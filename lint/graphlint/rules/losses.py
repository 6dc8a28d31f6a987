"""GL603 to GL607, GL610: what targets take, and lose."""

from collections.abc import Iterator
from math import prod
from typing import ClassVar, Final

from graphlint.ir.dtypes import DTYPES, item_size
from graphlint.rules.base import LIFTING, LIFTING_SAFETY, Finding, Rule, lifting, no_fix
from graphlint.rules.checks import asserted_text, may_fire, plain_check
from graphlint.rules.diagnostics import Fix
from graphlint.rules.effects import MutableCustomOp
from graphlint.rules.mutation import HiddenUpdate
from graphlint.rules.settings import Loss, Lost, covers
from graphlint.rules.view import ProgramView
from graphlint.semantics.memory import Storage, StorageKind
from graphlint.semantics.sites import Site, walk

_KEPT: Final[tuple[StorageKind, ...]] = ("buffer", "constant")
"""What targets may keep from one call to the next."""


class LossRule(Rule):
    """The part that the rules on losses share: they find nothing where no target is said to lose it."""

    follows_fixes = True
    loss: ClassVar[Loss]

    def lost(
        self,
        view: ProgramView,
        what: str,
        site: Site | None,
        fix: Fix,
        elements: int | None = None,
        rule: str = "",
    ) -> Iterator[Finding]:
        """The finding that ``what`` happens, where a target is said to lose it. ``elements``: of a tensor with so many;
        None where that is not known. ``rule``: the code of the one that finds it.
        """
        losing = view.profile.losses.get(self.loss, ())
        said = [one for one in losing if one.elements in (None, elements) and (not one.rules or rule in one.rules)]
        if said:
            names = ", ".join(one.target for one in said)
            yield Finding(f"{what} ({names}: {said[0].because})", fix, site, advice=said[0].advice)

    def check(self, view: ProgramView) -> Iterator[Finding]:
        if self.loss in view.profile.losses:
            yield from self.found(view)

    def found(self, view: ProgramView) -> Iterator[Finding]:
        """What is lost, where some target loses that kind of thing."""
        yield from ()


class LostWrite(LossRule):
    """The part that the rules share on what the program writes, and would hand out if it were asked to."""

    fix = "safe"
    fix_sometimes = True
    option = LIFTING
    fix_safety = LIFTING_SAFETY

    def fixes(self, view: ProgramView, kinds: tuple[StorageKind, ...]) -> Iterator[tuple[Storage, Site | None, Fix]]:
        """The inputs of these kinds that the program writes, with what becomes of each where state is handed out."""
        refused = _refused(view)
        for storage, site in view.written_inputs.items():
            if storage.kind in kinds:
                obstacle = refused.get(storage) or view.lifting_obstacle(storage)
                becomes = "is returned, too" if storage.kind == "user input" else "becomes an input and an output"
                yield storage, site, lifting(view, becomes, obstacle)


class LostState(LostWrite):
    """A write to a buffer, parameter or constant, at a target that does not keep it for the next call.

    ## What it does
    Flags state that the program writes, once for each tensor, for targets without state.

    ## Why is this bad?
    Every call is the first one: a counter stays where it was, a cache is empty (pytorch/TensorRT#4459).

    ## Example
    With `--target onnx`:
    ```python --target onnx
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)
            return x * self.count
    ```
    ```graph target=onnx
    graph(%b_count: f32[4] = buffer "count", %x: f32[4]):
      %add: f32[4] = aten.add.Tensor(%b_count, %x)
      return buffer "count" <- %add, %add
    ```

    ## Use instead
    An input, and an output that the caller hands in next time:
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x, count):
            count = count + 1
            return x * count, count


    model, inputs = Model(), (torch.randn(3, 4), torch.zeros(1))
    ```
    ```graph target=onnx
    graph(%count: f32[4], %x: f32[4]):
      %add: f32[4] = aten.add.Tensor(%count, %x)
      return %add
    ```
    """

    code = "GL603"
    loss = "state"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such tensor."""
        for storage, site, fix in self.fixes(view, (*_KEPT, "parameter")):
            meta = view.program.graph.meta(storage.value)
            sizes = [size.as_int for size in meta.sizes] if meta is not None else [None]
            known = [size for size in sizes if size is not None]
            elements = prod(known) if len(known) == len(sizes) else None
            what = f"the next call does not see what is written to {_named(storage)}"
            yield from self.lost(view, what, site, fix, elements)


class LostInitialValue(LostWrite):
    """State that begins with other values than zeros, at a target that begins it with zeros.

    ## What it does
    Flags buffers and constants that the program writes and whose stored values are not all zero, for
    targets whose state is not initialized. The stored bytes are looked at, piece by piece; what cannot be read is
    flagged, too.

    ## Why is this bad?
    The first call computes something else, and so may each later one (pytorch/executorch#3788).

    ## Example
    With `--target executorch`, where `state` is stored as ones:
    ```python --target executorch
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("total", torch.ones(3, 4))

        def forward(self, x):
            self.total.add_(x)
            return self.total * 2
    ```
    ```graph target=executorch
    graph(%b_state: f32[2] = buffer "state", %x: f32[2]):
      %add: f32[2] = aten.add.Tensor(%b_state, %x)
      return buffer "state" <- %add, %add
    ```

    ## Use instead
    State that begins with zeros, to which the program adds what it begins with:
    ```python --target executorch
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("total", torch.zeros(3, 4))

        def forward(self, x):
            self.total.add_(x)
            return (self.total + 1) * 2  # the state begins with zeros
    ```
    ```graph target=executorch
    graph(%b_begin: f32[2] = buffer "begin", %b_state: f32[2] = buffer "state", %x: f32[2]):
      %add: f32[2] = aten.add.Tensor(%b_state, %x)
      %sum: f32[2] = aten.add.Tensor(%add, %b_begin)
      return buffer "state" <- %add, %sum
    ```
    """

    code = "GL604"
    loss = "initial-values"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such tensor."""
        for storage, site, fix in self.fixes(view, _KEPT):
            zero = _begins_with_zeros(view, storage)
            if not zero:
                begins = "begins" if zero is False else "may begin"
                what = f"{_named(storage)} {begins} with other values than zeros"
                yield from self.lost(view, what, site, fix)


class LostInputWrite(LostWrite):
    """A write to an input, at a target that does not carry it out.

    ## What it does
    Flags inputs that the program writes, once for each, for targets that leave the caller's tensors alone.

    ## Why is this bad?
    The caller goes on with the old values (pytorch/executorch#11870).

    ## Example
    With `--target onnx`:
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.relu_()
    ```
    ```graph target=onnx
    graph(%x: f32[4]):
      %relu_: f32[4] = aten.relu_.default(%x)
      return %relu_
    ```

    ## Use instead
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.relu()
    ```
    ```graph target=onnx
    graph(%x: f32[4]):
      %relu: f32[4] = aten.relu.default(%x)
      return %relu
    ```
    """

    code = "GL605"
    loss = "inputs"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such input."""
        for storage, site, fix in self.fixes(view, ("user input",)):
            what = f"the caller does not see what is written to {_named(storage)}"
            yield from self.lost(view, what, site, fix)


class LostDraw(LossRule):
    """Dropout in train mode, at a target that does not apply it.

    ## What it does
    Flags each dropout that was exported in train mode, for targets that hand its operand on as it is.

    ## Why is this bad?
    The results have another distribution than in eager torch (pytorch/executorch#1062).

    ## Example
    With `--target onnx`:
    ```python --target onnx
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(x)
    ```
    ```graph target=onnx
    graph(%x: f32[4]):
      %dropout: f32[4] = aten.dropout.default(%x, 0.5, True)
      return %dropout
    ```

    ## Use instead
    ```python --target onnx
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(x)


    model, inputs = Model().eval(), (torch.randn(3, 4),)
    ```
    ```graph target=onnx
    graph(%x: f32[4]):
      %dropout: f32[4] = aten.dropout.default(%x, 0.5, False)
      return %dropout
    ```
    """

    code = "GL606"
    loss = "draws"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.dropout and site.op.draws(site.node):
                fix = no_fix("only as a part of the program, by the fix of GL309 (--unsafe-fixes)")
                yield from self.lost(view, f"{site.name} is not applied", site, fix)


class LostCheck(LossRule):
    """A runtime check, at a target that drops it.

    ## What it does
    Flags the checks that the target takes and does not run. It is a note, which leaves the exit status as it is. Checks
    of metadata that cannot fire are left out, and so are those that the target refuses.

    ## Why is this bad?
    Invalid values pass, and the results are undefined.

    ## Example
    With `--target onnx`:
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._assert_async.msg((x > -100).all(), "x must be above -100")
            return x + 3
    ```
    ```graph target=onnx
    graph(%ok: b8[]):
      aten._assert_async.msg(%ok, "must hold")
      return %ok
    ```

    ## Use instead
    Check what the program is given, or what it returns, where it is called.
    ```python --target onnx
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 3, (x > -100).all()  # the caller looks at it
    ```
    """

    code = "GL607"
    severity = "note"
    loss = "checks"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            rule = plain_check(site)
            action = view.profile.actions.get(rule) if rule is not None else None
            if rule is not None and (action is None or action.fix not in ("strip", "refuse")) and may_fire(view, site):
                what = f"{site.name}: runtime check{asserted_text(site)} is lost, invalid values raise no error"
                yield from self.lost(view, what, site, no_fix("the consumer runs no form of the check"), rule=rule)


class OtherValues(LossRule):
    """A program with ops that a target computes otherwise than torch for some values.

    ## What it does
    Flags programs with ops of which it was measured that the target computes something else where values are unusual:
    NaN, integers beyond 32 bits, what overflows. It is a note, which leaves the exit status as it is, and there is one
    for each target: the artifact does not tell which values there will be. `graphlint target NAME` lists the ops.

    ## Why is this bad?
    Results are the same in every test, and others with other inputs.

    ## Example
    With `--target openvino`:
    ```python --target openvino
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.long() * 1000
    ```
    ```graph target=openvino
    graph(%x: i64[4]):
      %mul: i64[4] = aten.mul.Tensor(%x, 1000)
      return %mul
    ```

    ## Use instead
    Where such values can occur, a dtype that the target computes as torch does.
    ```python --target openvino
    class Model(torch.nn.Module):
        def forward(self, x):
            return x * 1000
    ```
    ```graph target=openvino
    graph(%x: f32[4]):
      %mul: f32[4] = aten.mul.Tensor(%x, 1000)
      return %mul
    ```
    """

    code = "GL610"
    severity = "note"
    loss = "values"

    def found(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each target."""
        differing = view.profile.losses["values"]
        about: dict[str, list[Lost]] = {}
        met: set[Lost] = set()
        for site in walk(view.program, view.ops, lambda op: False):
            if site.name not in about:
                about[site.name] = [
                    one for one in differing if not one.ops or any(covers(pattern, site.name) for pattern in one.ops)
                ]
            if about[site.name]:
                dtypes = _dtypes_at(site)
                met.update(one for one in about[site.name] if not dtypes.isdisjoint(one.dtypes))
        for target in dict.fromkeys(one.target for one in differing if one in met):
            said = ", ".join(one.because for one in differing if one in met and one.target == target)
            advice = f"see `graphlint target {target}` for the ops that this is about"
            fix = no_fix("the artifact does not tell which values there will be")
            yield Finding(f"some values come out otherwise ({target}: {said})", fix, advice=advice)


def _dtypes_at(site: Site) -> set[str]:
    """The names of the dtypes of what a node is given and makes."""
    graph = site.scope.graph
    metas = (graph.meta(name) for name in (*site.node.reads(), *site.node.results()))
    return {DTYPES.get(meta.dtype, "") for meta in metas if meta is not None}


def _refused(view: ProgramView) -> dict[Storage, str]:
    """The storages whose writes a target wants to stay, whatever becomes of state, and why."""
    found: dict[Storage, str] = {}
    for write in view.writes:
        op = write.site.op
        if op is not None and (op.is_custom or write.argument not in op.writes):
            action = view.profile.actions.get((MutableCustomOp if op.is_custom else HiddenUpdate).code)
            if action is not None and action.fix in ("keep", "refuse"):
                found.update((ref.storage, f"{action.target}: {action.because}") for ref in write.refs)
    return found


def _named(storage: Storage) -> str:
    return f"{storage.kind.removeprefix('user ')} '{storage.name or storage.value}'"


def _begins_with_zeros(view: ProgramView, storage: Storage) -> bool | None:
    """Whether what is stored for an input is all zeros; None where that is not known."""
    held = view.document.payloads().get(storage.name or "") if view.document.payloads is not None else None
    meta = view.program.graph.meta(storage.value)
    size = item_size(meta.dtype) if meta is not None else None
    return held.is_zero(size) if held is not None and size else None

"""GL101 to GL107: ops that write their arguments, whether their schema says so or not."""

from collections.abc import Iterator
from typing import Final

from graphlint.artifact.patterns import pattern
from graphlint.ir.source import outer_frame, stack_frames
from graphlint.ops.info import packet_name
from graphlint.ops.table import op_of
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import Fix, WrittenStorage
from graphlint.rules.fixers import FUNCTIONALIZE
from graphlint.rules.view import ProgramView
from graphlint.semantics.analysis import Write
from graphlint.semantics.memory import StorageKind

_AUGMENTED: Final = pattern(r"([\w.]+) (\+|-|\*|/|//|%|@|\*\*|&|\||\^)= ([^#]{1,60})")
"""A line that is an augmented assignment to a name, and nothing else."""
_SIMPLE: Final = pattern(r"[\w.]+(\([^()]*\)|\[[^][]*\])*")
"""A value that needs no parentheses as an operand."""


class MutationRule(Rule):
    """The part that the rules on written storages share."""

    fix = "safe"
    fixer = FUNCTIONALIZE
    fix_sometimes = True
    fix_safety = (
        "Safe: the fixed program computes, writes and draws the same. A write that cannot be followed with certainty\n"
        "stays as it is, and so does everything else on the same memory; the diagnostic says why."
    )
    kinds: tuple[StorageKind, ...] = ()
    out: bool | None = None
    """Whether it is about `out=` overloads only, or about none of them."""
    hidden: bool = False
    """Whether it is about updates that schemas do not declare, too, though GL107 tells of each."""

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each node and storage of the rule's kind that it writes."""
        for write, storages in view.first_writes:
            if write.kind not in self.kinds or not self._concerns(write):
                continue
            verb = "writes" if write.certain else "may write"
            written = WrittenStorage.of(write)
            message = f"{write.site.name} {verb} {written.describe()}"
            if storages > 1:
                message += f" and {storages - 1} more of its kind"
            yield Finding(message, write_fix(view, write), write.site, written, advice=self.advised(write))

    def advised(self, write: Write) -> str:
        """What the author can write in place of this write; empty for the rule's own advice."""
        return ""

    def _concerns(self, write: Write) -> bool:
        """Whether the op's schema declares the write, and no other rule is about the op as such."""
        op = write.site.op
        if op is None or op.is_custom or op.kind in ("collective", "mutation"):
            return False
        return (self.hidden or write.argument in op.writes) and self.out in (None, op.out_variant)


def write_fix(view: ProgramView, write: Write) -> Fix:
    """Whether a write can be functionalized, and if not, why."""
    op, position = write.site.op, write.site.position
    reason = view.write_plan.blocked.get(position)
    if reason is not None:
        return no_fix(reason)
    what = "becomes functional"
    if op is not None and op.is_custom:
        what = f"is called on a copy by {op_of('wrapper').name}"
    elif op is not None and op.functional_twin is not None and op.substitute is None:
        what = f"becomes {op.functional_twin}"
    if write.kind not in ("intermediate", "unknown"):
        what += "; the new value is written back when the call returns"
    exact = position not in view.write_plan.inexact
    return Fix("safe", what if exact else f"{what}; results may differ in the last bits", exact)


class InPlaceOp(MutationRule):
    """A write to a tensor that the program itself made.

    ## What it does
    Flags in-place ops (`add_`, `copy_`, `index_put_`, in-place views such as `t_`) on intermediate tensors,
    directly or through views.

    ## Why is this bad?
    Since torch 2.6 `torch.export.export` keeps in-place ops. Backends refuse such graphs or compile them
    wrongly: dead-code elimination has dropped `mul_` (pytorch/pytorch#68301), and converters that ignore
    effects use the value from before the write.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            y = x * 2
            y += 1
            return y
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %y: f32[3, 4] = aten.mul.Tensor(%x, 2)
      %add_: f32[3, 4] = aten.add_.Tensor(%y, 1)
      return %add_
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            y = x * 2
            y = y + 1
            return y
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %y: f32[3, 4] = aten.mul.Tensor(%x, 2)
      %add: f32[3, 4] = aten.add.Tensor(%y, 1)
      return %add
    ```

    ## References
    pytorch/pytorch#68301, apple/coremltools#2743
    """

    code = "GL101"
    advice = "compute a new tensor instead of writing to this one"
    kinds = ("intermediate", "unknown")
    out = False

    def advised(self, write: Write) -> str:
        """``x = x + 1`` instead of ``x += 1`` where the recorded line is that; else ``relu`` instead of
        ``relu_``, where there is such a function.
        """
        name = packet_name(write.site.name)
        frame = outer_frame(stack_frames(write.site.node))
        augmented = _AUGMENTED.fullmatch(frame.text) if frame is not None else None
        if augmented is not None and f".{name}(" not in augmented[0]:
            target, operator, value = augmented.groups()
            value = value if _SIMPLE.fullmatch(value) else f"({value})"
            return f"use `{target} = {target} {operator} {value}` instead of `{augmented[0]}`"
        op = write.site.op
        plain = op is not None and op.substitute is None and not op.random.draws and not name.startswith("_")
        twin = op.functional_twin if op is not None and plain else None
        method = name.removesuffix("_")
        if twin is None or method == name or packet_name(twin) != method:
            return ""
        return f"use `{method}` instead of `{name}` (or of `inplace=True`)"


class InputMutation(MutationRule):
    """A write to a user input, straight or through a view.

    ## What it does
    Flags ops that change a tensor which the caller passed in.

    ## Why is this bad?
    The caller sees the change only where the backend writes it back. Many do not
    (pytorch/executorch#11870).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.relu_()
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %relu_: f32[3, 4] = aten.relu_.default(%x)
      return %relu_
    ```

    ## Use instead
    A mutation output, which says in the signature what is written:
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.relu()
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %relu: f32[3, 4] = aten.relu.default(%x)
      return input "x" <- %relu, %relu
    ```
    """

    code = "GL102"
    advice = "return the new value instead of writing it to the input"
    kinds = ("user input",)


class BufferMutation(MutationRule):
    """A write to a buffer, straight or through a view.

    ## What it does
    Flags ops that change a buffer: counters, running statistics, key/value caches.

    ## Why is this bad?
    A backend that keeps the buffer as a constant, or forgets to write it back, computes the first step right
    and every later one wrong (pytorch/TensorRT#4459, pytorch/executorch#3788).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.zeros(1, 8, 4))

        def forward(self, x, position):
            self.cache[:, position] = x
            return self.cache.sum(1)


    model, inputs = Model(), (torch.randn(1, 2, 4), torch.tensor([0, 1]))
    ```
    ```graph
    graph(%b_cache: f32[1, 8, 4] = buffer "cache", %x: f32[1, 4]):
      %slot: f32[1, 4]{32, 1} = aten.select.int(%b_cache, 1, 0)
      %copy_: f32[1, 4]{32, 1} = aten.copy_.default(%slot, %x)
      return %copy_
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x, position, cache):
            cache = cache.index_copy(1, position, x)
            return cache.sum(1), cache


    model, inputs = Model(), (torch.randn(1, 2, 4), torch.tensor([0, 1]), torch.zeros(1, 8, 4))
    ```
    ```graph
    graph(%b_cache: f32[1, 8, 4] = buffer "cache", %x: f32[1, 4]):
      %cache: f32[1, 8, 4] = aten.select_scatter.default(%b_cache, %x, 1, 0)
      return buffer "cache" <- %cache, %x
    ```
    """

    code = "GL103"
    advice = "pass the state as an input and return it"
    kinds = ("buffer",)


class ParameterMutation(MutationRule):
    """A write to a parameter, straight or through a view.

    ## What it does
    Flags ops that change a parameter within the forward pass.

    ## Why is this bad?
    Backends fold parameters into constants: the change is lost, or the compiled program keeps computing with
    the weights from before it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(4))

        def forward(self, x):
            with torch.no_grad():
                self.scale.mul_(0.5)
            return x * self.scale
    ```
    ```graph
    graph(%p_scale: f32[4] = parameter "scale", %x: f32[3, 4]):
      %mul_: f32[4] = aten.mul_.Tensor(%p_scale, 0.5)
      %mul: f32[3, 4] = aten.mul.Tensor(%x, %mul_)
      return %mul
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(4))

        def forward(self, x, decay):
            return x * (self.scale * decay)


    model, inputs = Model(), (torch.randn(3, 4), torch.tensor(0.5))
    ```
    ```graph
    graph(%p_scale: f32[4] = parameter "scale", %x: f32[3, 4]):
      %scale: f32[4] = aten.mul.Tensor(%p_scale, 0.5)
      %mul: f32[3, 4] = aten.mul.Tensor(%x, %scale)
      return parameter "scale" <- %scale, %mul
    ```
    """

    code = "GL104"
    advice = "compute a new tensor instead of writing to the parameter"
    kinds = ("parameter",)
    hidden = True


class ConstantMutation(MutationRule):
    """A write to a lifted constant, such as a static key/value cache after export.

    ## What it does
    Flags ops that change a tensor which the module holds as a plain attribute: export lifts it as a constant.

    ## Why is this bad?
    A constant has no place to write back to. AOTInductor, ONNX and ExecuTorch fail on such a graph, and Core ML
    refuses it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = torch.zeros(3, 4)  # no buffer: export lifts it as a constant

        def forward(self, x):
            self.seen.add_(x)
            return self.seen * 2
    ```
    ```graph
    graph(%c_seen: f32[4] = tensor_constant "seen", %x: f32[4]):
      %add_: f32[4] = aten.add_.Tensor(%c_seen, %x)
      return %add_
    ```

    ## Use instead
    Register the tensor as a (non-persistent) buffer:
    ```python
    class Model(torch.nn.Module):
        def forward(self, x, seen):
            seen = seen + x
            return seen * 2, seen


    model, inputs = Model(), (torch.randn(3, 4), torch.zeros(3, 4))
    ```
    ```graph
    graph(%b_seen: f32[4] = buffer "seen" non-persistent, %x: f32[4]):
      %add: f32[4] = aten.add.Tensor(%b_seen, %x)
      return buffer "seen" <- %add, %add
    ```
    """

    code = "GL105"
    advice = "register the tensor as a buffer: `self.register_buffer(name, tensor, persistent=False)`"
    kinds = ("constant",)
    hidden = True


class OutVariant(MutationRule):
    """An `out=` overload.

    ## What it does
    Flags overloads that write their result to tensors that the caller gives.

    ## Why is this bad?
    It is a write like any other, and converters that know the functional overload only refuse it. Where `out=`
    is a buffer, parameter, constant or user input, the rule on that storage reports it too.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            out = torch.empty_like(x)
            torch.add(x, 1, out=out)
            return out
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %out: f32[3, 4] = aten.empty_like.default(%x)
      %add: f32[3, 4] = aten.add.out(%x, 1, out=%out)
      return %add
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.add(x, 1)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %add: f32[3, 4] = aten.add.Tensor(%x, 1)
      return %add
    ```
    """

    code = "GL106"
    advice = "use the tensor that the function returns instead of `out=`"
    kinds = ("intermediate", "unknown", "user input", "buffer", "parameter", "constant")
    out = True


class HiddenUpdate(Rule):
    """A normalization that updates its running statistics without its schema saying so.

    ## What it does
    Flags `batch_norm` in train mode, `instance_norm` with running statistics and the like.

    ## Why is this bad?
    The schema promises a pure function, so every tool that trusts schemas loses the update: the statistics stay
    what they were at export (pytorch/executorch#2389, pytorch/pytorch#151726). Often it is a model that was
    exported without `.eval()`.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(x)
    ```
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, True, 0.1, 1e-05, True)
      return %y
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(x)


    model, inputs = Model().eval(), (torch.randn(3, 4),)
    ```
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, False, 0.1, 1e-05, True)
      return %y
    ```

    ## Fix safety
    Safe: the statistics become results of their own, written back to the buffers at the end.
    """

    code = "GL107"
    advice = "call `model.eval()` before exporting"
    fix = "safe"
    fixer = FUNCTIONALIZE
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such node, whatever number of statistics it writes."""
        groups: dict[int, list[Write]] = {}
        for write in view.writes:
            op = write.site.op
            if op is not None and write.argument not in op.writes and op.kind != "collective":
                groups.setdefault(write.site.position, []).append(write)
        for writes in groups.values():
            first = writes[0]
            written = " and ".join(WrittenStorage.of(write).describe() for write in writes)
            message = f"{first.site.name} writes {written}, which its schema does not say"
            yield Finding(message, write_fix(view, first), first.site, WrittenStorage.of(first))

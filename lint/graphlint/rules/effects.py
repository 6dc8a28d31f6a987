"""GL302 to GL308: draws, custom ops, communication, objects with state, and effect tokens of torch's own."""

from collections.abc import Iterator, Sequence

from graphlint.ops.table import op_name, packet_of
from graphlint.rules.base import Finding, Rule, no_fix, safe_fix
from graphlint.rules.diagnostics import WrittenStorage
from graphlint.rules.fixers import FUNCTIONALIZE, Fixer, Made
from graphlint.rules.mutation import write_fix
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site
from graphlint.semantics.versions import LOADABLE_MAJOR


class RandomOp(Rule):
    """An op that draws from the global random number generator.

    ## What it does
    Flags ops that torch tags as nondeterministic (seeded), where they draw for the arguments given. Training
    dropout has a rule of its own (GL303).

    ## Why is this bad?
    The result depends on hidden state: two runs differ, a backend's generator draws other numbers than torch's
    (pytorch/executorch#4462), and reordering ops changes what each of them draws.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %noise: f32[3, 4] = aten.rand_like.default(%x)
      %add: f32[3, 4] = aten.add.Tensor(%x, %noise)
      return %add
    ```

    ## Use instead
    Pass the noise in:
    ```python
    class Model(torch.nn.Module):
        def forward(self, x, noise):
            return x + noise


    model, inputs = Model(), (torch.randn(3, 4), torch.randn(3, 4))
    ```
    ```graph
    graph(%x: f32[3, 4], %noise: f32[3, 4]):
      %add: f32[3, 4] = aten.add.Tensor(%x, %noise)
      return %add
    ```
    """

    code = "GL302"
    advice = "pass the random values as an input"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.draws(site.node) and not site.op.dropout:
                message = f"{site.name} draws from the global random number generator"
                yield Finding(message, no_fix("random ops cannot be made functional"), site)


class TrainingDropout(Rule):
    """Dropout that was exported in train mode.

    ## What it does
    Flags dropout with `train=True` and a rate that drops something. Off by default: GL309 tells it once for a program.

    ## Why is this bad?
    The artifact drops activations at inference. Usually `.eval()` was forgotten before the export
    (pytorch/executorch#1062); some backends ignore the flag, so results differ from torch's.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(x)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %dropout: f32[3, 4] = aten.dropout.default(%x, 0.5, True)
      return %dropout
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(x)


    model, inputs = Model().eval(), (torch.randn(3, 4),)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %dropout: f32[3, 4] = aten.dropout.default(%x, 0.5, False)
      return %dropout
    ```
    """

    code = "GL303"
    advice = "call `model.eval()` before exporting"
    enabled_by_default = False

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.dropout and site.op.draws(site.node):
                fix = no_fix("only as a part of the program, by the fix of GL309 (--unsafe-fixes)")
                yield Finding(f"{site.name} was exported in train mode", fix, site)


class MutableCustomOp(Rule):
    """A custom op that is known to write its arguments.

    ## What it does
    Flags custom ops that are known to write, by the configuration (`[tool.graphlint.ops]`) or because they come with a
    library that graphlint has a table of, and Triton kernels that write.

    ## Why is this bad?
    Only torch knows what such an op does to its arguments; other backends take it for a pure function
    (pytorch/executorch#4042).

    ## Example
    ```python --config 'ops."mylib.scale_".writes = ["x"]'
    @torch.library.custom_op("mylib::scale_", mutates_args=("x",))
    def scale_(x: torch.Tensor, factor: float) -> None:
        x.mul_(factor)


    class Model(torch.nn.Module):
        def forward(self, x):
            y = x + 1
            torch.ops.mylib.scale_(y, 2.0)
            return y
    ```
    ```graph
    graph(%b_cache: f32[1, 8, 2, 4] = buffer "cache", %value: f32[1, 1, 2, 4]):
      %update_cache: f32[1] = llama.update_cache.default(%value, %b_cache, 3)
      return %value
    ```

    ## Use instead
    A custom op that returns its result.
    ```python --config 'ops."mylib.scale_".writes = ["x"]'
    @torch.library.custom_op("mylib::scale", mutates_args=())
    def scale(x: torch.Tensor, factor: float) -> torch.Tensor:
        return x * factor


    @scale.register_fake
    def _(x, factor):
        return torch.empty_like(x)


    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.ops.mylib.scale(x + 1, 2.0)
    ```

    ## Fix safety
    Safe: `auto_functionalized_v2`, by which torch itself functionalizes such ops, calls the op on a copy of what it
    writes and returns the copy. The fixed program needs the op registered, as the original does. What torch does not
    wrap stays as it is; the diagnostic says why.
    """

    code = "GL304"
    advice = "return the result from the op instead of writing to an argument"
    fix = "safe"
    fixer = FUNCTIONALIZE
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        written = {write.site.position: write for write in reversed(view.writes)}
        for site in view.sites:
            if site.op is None:
                continue
            if site.op.is_custom and site.op.writes:
                write = written.get(site.position)
                storage = WrittenStorage.of(write) if write is not None else None
                what = storage.describe() if storage is not None else "its arguments"
                fix = write_fix(view, write) if write is not None else no_fix("which tensors it writes is not known")
                yield Finding(f"{site.name} writes {what}", fix, site, storage)
            elif site.op.kind == "mutation":
                fix = no_fix("what the kernel computes is not known")
                yield Finding(f"{site.name} writes its arguments", fix, site)


class UnknownOp(Rule):
    """An op that is neither known to graphlint nor declared in the configuration.

    ## What it does
    Flags ops that are in no namespace of torch's, and that the configuration does not declare.

    ## Why is this bad?
    Whether the graph is functional is not known. Declare what the op does:
    ```toml
    [tool.graphlint.ops]
    "mylib.scale_" = { writes = ["x"] }
    "mylib.norm" = {}            # functional
    ```

    ## Example
    ```python
    @torch.library.custom_op("mylib::norm", mutates_args=())
    def norm(x: torch.Tensor) -> torch.Tensor:
        return x / x.norm()


    @norm.register_fake
    def _(x):
        return torch.empty_like(x)


    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.ops.mylib.norm(x)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %y: f32[3, 4] = mylib.norm.default(%x)
      return %y
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x / x.norm()
    ```
    """

    code = "GL305"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None:
                continue
            packet = packet_of(site.name)
            tensors = [operand.name for operand in site.node.inputs if operand.arg.tensors() and operand.name]
            example = tensors[0] if tensors else "x"
            advice = (
                f'declare the op under [tool.graphlint.ops]: "{packet}" = {{}} if it is functional, '
                f'"{packet}" = {{ writes = ["{example}"] }} if it writes'
            )
            yield Finding(f"unknown op {site.name}", no_fix("its effects are not known"), site, advice=advice)


class InPlaceCollective(Rule):
    """A collective that writes the tensors it is given.

    ## What it does
    Flags the `c10d` ops, which receive into their arguments.

    ## Why is this bad?
    Ordering and waiting are implicit, and no value depends on the result. `_c10d_functional` has the same
    collectives as functions. torch itself exports `torch.distributed.all_reduce` and most others so.

    ## Example
    ```python
    import torch.distributed._symmetric_memory


    @torch.library.register_fake("symm_mem::multimem_all_reduce_")
    def _(x, reduce_op, group):
        return x


    class Model(torch.nn.Module):
        def forward(self, x):
            total = x * 2
            torch.ops.symm_mem.multimem_all_reduce_(total, "sum", "0")
            return total
    ```

    ## Use instead
    ```python
    from torch.distributed._functional_collectives import all_reduce


    class Model(torch.nn.Module):
        def forward(self, x):
            return all_reduce(x * 2, "sum", "0")
    ```
    """

    code = "GL306"
    advice = "use `torch.distributed._functional_collectives`"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.kind == "collective" and site.op.effect:
                fix = no_fix("in-place collectives have no functional form in the graph")
                yield Finding(f"{site.name} communicates in place", fix, site)


class ScriptObjectCall(Rule):
    '''A call of a script object's method.

    ## What it does
    Flags `call_torchbind`.

    ## Why is this bad?
    The object may hold state, which the call may change; no schema says so, and few backends know the class.

    ## Example
    ```python
    from torch.utils.cpp_extension import load_inline

    COUNTER = """
    #include <torch/custom_class.h>

    struct Counter : torch::CustomClassHolder {
      int64_t count = 0;
      int64_t next() { return ++count; }
    };

    TORCH_LIBRARY(mylib, library) {
      library.class_<Counter>("Counter")
          .def(torch::init<>())
          .def("next", &Counter::next)
          .def("__obj_flatten__",
               [](const c10::intrusive_ptr<Counter>& self) {
                 return std::make_tuple(std::make_tuple(std::string("count"), self->count));
               })
          .def_pickle([](const c10::intrusive_ptr<Counter>& self) { return self->count; },
                      [](int64_t count) { return c10::make_intrusive<Counter>(); });
    }
    """
    load_inline("counter", COUNTER, is_python_module=False)


    @torch._library.register_fake_class("mylib::Counter")
    class FakeCounter:
        def __init__(self, count):
            self.count = count

        @classmethod
        def __obj_unflatten__(cls, state):
            return cls(dict(state)["count"])

        def next(self):
            self.count += 1
            return self.count


    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = torch.classes.mylib.Counter()

        def forward(self, x):
            return x * self.calls.next()
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.tensor(0))

        def forward(self, x):
            self.calls += 1
            return x * self.calls
    ```
    '''

    code = "GL307"
    advice = "hold the state in buffers instead of a script object"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.kind == "script-object":
                method = next((o.arg.as_string for o in site.node.inputs if o.arg.as_string is not None), None)
                called = f"{method!r} of a script object" if method else "a script object"
                yield Finding(f"{site.name} calls {called}", no_fix("what the object's method does is not known"), site)


def _stand_alone(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.effect_tokens import remove_effect_tokens

    brought = tuple(site.wrapped for site in sites if site.wrapped is not None)
    # Of a program labelled ATEN, torch 2.9 and earlier drop a print that has no token; under the other label, no torch
    # runs the tokens.
    alone = bool(sites) and len(sites) == len(_with_tokens(view))
    document = view.document.relabelled("TRAINING") if alone else view.document
    return Made(remove_effect_tokens(document.program, view.ops, sites), brought=brought)


def _with_tokens(view: ProgramView) -> list[Site]:
    """The nodes that take an effect token and give the next one."""
    return [site for site in view.sites if site.op is not None and site.op.kind == "token" and not site.op.effect]


class EffectToken(Rule):
    """An effect token of torch's own.

    ## What it does
    Flags `with_effects` and token inputs and outputs, which torch 2.4 and 2.5 write for ops with side effects,
    and later versions below the training dialect (`run_decompositions`).

    ## Why is this bad?
    The program has inputs and outputs that its caller knows nothing of: who runs the graph as it is recorded has to
    thread tokens. torch 2.9 and earlier load such a program and cannot run it. torch 2.10 and later take the tokens
    away again when they make a module, where 2.13 fails on what `higher_order.print` is given by position;
    torch.compile and AOTInductor take the others, ONNX and ExecuTorch refuse them.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._print("step")
            return x + 1


    model, inputs = Model(), (torch.randn(3, 4),)
    program = torch.export.export(model, inputs).run_decompositions()
    torch.export.save(program, "model.pt2")
    ```
    ```graph
    graph(%token: f32[0] = token, %x: f32[3, 4]):
      %next: f32[0] = higher_order.with_effects(%token, op(aten._print.default), "step")
      return token <- %next, %x
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 1


    model, inputs = Model(), (torch.randn(3, 4),)
    program = torch.export.export(model, inputs).run_decompositions()
    torch.export.save(program, "model.pt2")
    ```
    ```graph
    graph(%x: f32[3, 4]):
      aten._print.default("step")
      return %x
    ```

    ## Fix safety
    Safe: each op stands for itself, in the order in which the tokens had them, as torch has it when it makes a module.
    Once no token is left, the program is labelled TRAINING, under which every torch from 2.6 on runs the ops.
    What the op does is then told by the rule that is about it: a print is still a print (GL301). An op whose schema is
    not known to graphlint, a custom op above all, keeps its token. So do the programs of torch 2.4 and 2.5: run by
    those, they would lose a print without one.

    ## References
    `torch/export/_remove_effect_tokens_pass.py`
    """

    code = "GL308"
    advice = "save the program before `run_decompositions()`"
    severity = "warning"
    fix = "safe"
    fixer = Fixer(5, _stand_alone)
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each node with a token, or one for the signature where there is none."""
        sites = _with_tokens(view)
        signature = view.program.graph_module.signature
        if not sites and all(spec.kind != "token" for spec in (*signature.input_specs, *signature.output_specs)):
            return
        from graphlint.passes.effect_tokens import effect_obstacle, token_obstacle

        loadable = view.program.schema[0] >= LOADABLE_MAJOR
        common = token_obstacle(view.program, sites) if loadable else _UNLOADABLE
        for site in sites:
            obstacle = common or effect_obstacle(view.ops, site)
            what = f" around {op_name(site.wrapped)}" if site.wrapped is not None else ""
            yield Finding(f"{site.name}{what} takes an effect token", safe_fix("runs without a token", obstacle), site)
        if not sites:
            yield Finding("the signature has effect tokens", safe_fix("are removed: no op takes them", common))


_UNLOADABLE = "torch 2.5 and earlier would drop the op: export the model again with torch 2.6 or later"

"""GL201 to GL205: runtime checks."""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from graphlint.ops.info import Role
from graphlint.ops.table import check_twins, op_name, role_of
from graphlint.rules.base import Finding, Rule, safe_fix
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.fixers import CHAIN, REMOVE
from graphlint.rules.view import ProgramView
from graphlint.semantics.checks import metadata_obstacle, token_obstacle
from graphlint.semantics.sites import Site


def asserted_text(site: Site) -> str:
    """`` ('x must be positive')``: what a check says where it fails; empty where it has no message."""
    asserted = site.node.input("assert_msg")
    text = asserted.as_string if asserted is not None else None
    return f" ({text!r})" if text else ""


class CheckRule(Rule):
    """The part that the rules on checks with a functional twin share."""

    fix = "safe"
    fixer = CHAIN
    fix_sometimes = True
    advice = "check the values outside of the exported model"
    role: ClassVar[Role]
    """That of the checks that it is about."""

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.role == self.role:
                fix = self.fix_for(view, site)
                yield Finding(self.message(site), fix, site, idle=self.idle and fix.applicability != "none")

    def message(self, site: Site) -> str:
        return f"{site.name}: runtime check{asserted_text(site)} may be removed by dead-code elimination"

    def fix_for(self, view: ProgramView, site: Site) -> Fix:
        becomes = f"becomes {op_name(check_twins()[site.node.target])}, chained by a dependency token"
        return safe_fix(becomes, token_obstacle(view.program, site, view.token_sink))


class AsyncAssert(CheckRule):
    """A runtime check on a tensor, `_assert_async.msg`.

    ## What it does
    Flags asserts on tensor values that carry a message.

    ## Why is this bad?
    The op returns nothing, so nothing in the graph depends on it: any pass that removes dead code may remove the
    check, and it has no order with respect to other effects. ONNX and ExecuTorch drop it silently.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._assert_async.msg((x > -100).all(), "x must be above -100")
            return x + 3
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %gt: b8[3, 4] = aten.gt.Scalar(%x, -100)
      %all_1: b8[] = aten.all.default(%gt)
      aten._assert_async.msg(%all_1, "x must be above -100")
      %add: f32[3, 4] = aten.add.Tensor(%x, 3)
      return %add
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 3


    def call(model, x):  # what must hold is checked where the model is called
        if not (x > -100).all():
            raise ValueError("x must be above -100")
        return model(x)
    ```
    ```graph
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %x: f32[3, 4]):
      %gt: b8[3, 4] = aten.gt.Scalar(%x, -100)
      %all_1: b8[] = aten.all.default(%gt)
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_assert_async.msg(%all_1, "x must be above -100", dep_token=%dep_token0)
      %add: f32[3, 4] = aten.add.Tensor(%x, 3)
      return buffer "dep_token" <- %dep_token1, %add
    ```

    ## Fix safety
    Safe: the fixed program raises the same message for the same inputs, computes the same and is called the
    same. Not every backend takes tokens: AOTInductor, ONNX, ExecuTorch and Core ML refuse them.

    ## References
    pytorch/TensorRT#3581
    """

    code = "GL201"
    role = "assert-message"


class BareAsyncAssert(CheckRule):
    """A runtime check without a message, `_assert_async.default`.

    ## What it does
    Flags asserts on tensor values that carry no message.

    ## Why is this bad?
    As for checks with a message (GL201), and worse: torch's own dead-code elimination drops this overload, in
    `run_decompositions()` for one.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._assert_async(x.any())
            return x + 3
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %any_1: b8[] = aten.any.default(%x)
      aten._assert_async.default(%any_1)
      return %x
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._assert_async.msg(x.any(), "x is zero")  # GL201, which --fix keeps alive
            return x + 3
    ```
    ```graph
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %x: f32[3, 4]):
      %any_1: b8[] = aten.any.default(%x)
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_assert_async.msg(%any_1, "the input is zero", dep_token=%dep_token0)
      return buffer "dep_token" <- %dep_token1, %x
    ```

    ## Fix safety
    Safe: the twin is given the message that the bare overload raises.
    """

    code = "GL202"
    role = "assert"


class ScalarAssert(CheckRule):
    """A runtime check on a scalar, `_assert_scalar`.

    ## What it does
    Flags asserts on symbolic scalars: export adds them for data-dependent sizes (`torch._check(n >= 2)`).

    ## Why is this bad?
    As for GL201: nothing depends on the check. Converters trip over it besides (pytorch/TensorRT#3581,
    pytorch/pytorch#112622, pytorch/pytorch#110710).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x, length):
            n = length.item()
            torch._check(n >= 2)
            torch._check(n <= x.shape[0])
            return x[:n].sum()


    model, inputs = Model(), (torch.randn(8, 4), torch.tensor(3))
    ```
    ```graph
    graph(%n: i64[]):
      $item: int[u0] = aten.item.default(%n)
      $ge: bool[u0 >= 2] = _operator.ge($item, 2)
      aten._assert_scalar.default($ge, "n must be at least 2")
      return %n
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):  # the caller cuts: the length is a size of the input
            return x.sum()


    model, inputs = Model(), (torch.randn(3, 4),)
    dynamic_shapes = ({0: torch.export.Dim("length", min=2)},)
    ```
    ```graph
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %n: i64[]):
      $item: int[u0] = aten.item.default(%n)
      $ge: bool[u0 >= 2] = _operator.ge($item, 2)
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_assert_scalar.default($ge, "n must be at least 2", dep_token=%dep_token0)
      return buffer "dep_token" <- %dep_token1, %n
    ```

    ## Fix safety
    Safe: the fixed program raises the same message for the same inputs.
    """

    code = "GL203"
    role = "assert-scalar"


class RangeConstraint(CheckRule):
    """A runtime check on a scalar's range, `sym_constrain_range` or `sym_constrain_range_for_size`.

    ## What it does
    Flags the ops that hold a symbolic scalar within bounds.

    ## Why is this bad?
    As for GL201: the op returns nothing, and nothing depends on it.

    ## Example
    ```python
    # Exported by torch 2.9: later ones write such a check as GL203.
    class Model(torch.nn.Module):
        def forward(self, n):
            size = n.item()
            torch.ops.aten.sym_constrain_range_for_size.default(size, min=2, max=10)
            return torch.ones(size)
    ```
    ```graph
    graph(%n: i64[]):
      $item: int[u0] = aten.item.default(%n)
      aten.sym_constrain_range_for_size.default($item, min=2, max=10)
      return %n
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):  # the caller makes it: the length is a size of the input
            return torch.ones_like(x)


    model, inputs = Model(), (torch.randn(5),)
    dynamic_shapes = ({0: torch.export.Dim("length", min=2, max=10)},)
    ```
    ```graph
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %n: i64[]):
      $item: int[u0] = aten.item.default(%n)
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_sym_constrain_range_for_size.default($item, 2, 10, %dep_token0)
      return buffer "dep_token" <- %dep_token1, %n
    ```

    ## Fix safety
    Safe: the fixed program raises for the same inputs.
    """

    code = "GL204"
    role = "assert-range"


_CODES: Final[dict[Role, str]] = {
    rule.role: rule.code for rule in (AsyncAssert, BareAsyncAssert, ScalarAssert, RangeConstraint)
}
TOKEN_RULES: Final = frozenset(_CODES.values())
"""Codes of the rules whose fix makes dependency tokens."""


def code_of(target: str) -> str:
    """The code of the rule that flags a check with a functional twin."""
    return next(code for role, code in _CODES.items() if role == role_of(target))


class MetadataAssert(CheckRule):
    """A check of a tensor's dtype, device, layout or sizes, `_assert_tensor_metadata`.

    ## What it does
    Flags the checks that export adds, one for each `.to()`.

    ## Why is this bad?
    Converters trip over it (pytorch/executorch#7277, pytorch/pytorch#145028, pytorch/pytorch#151001), for a
    check that mostly cannot fail. Checks that cannot fire are counted in one line, and `--fix` removes them together
    with what else it changes. `--extend-select GL205` lists them as findings; a check that can fire is always one.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.float64) * 2
    ```
    ```graph
    graph(%x: f32[3, 4]):
      aten._assert_tensor_metadata.default(%x, dtype=torch.float32)
      %to: f64[3, 4] = aten.to.dtype(%x, torch.float64)
      return %to
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):  # the caller hands in what is needed
            return x * 2


    model, inputs = Model(), (torch.randn(3, 4, dtype=torch.float64),)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %to: f64[3, 4] = aten.to.dtype(%x, torch.float64)
      return %to
    ```

    ## Fix safety
    Safe: a check is removed only where what it asserts is what the artifact records for that tensor, so that no
    input within the artifact's contract makes it fire. Others are reported and stay; so do checks of dtypes that
    autocast decides, where the artifact (of an export in strict mode) may not record what it decides.
    """

    code = "GL205"
    advice = ""
    fixer = REMOVE
    severity = "warning"
    role = "assert-metadata"
    idle = True

    def message(self, site: Site) -> str:
        operand = site.node.input("a")
        name = next(iter(operand.tensors()), None) if operand is not None else None
        return f"{site.name} checks the metadata of %{name} at run time"

    def fix_for(self, view: ProgramView, site: Site) -> Fix:
        return safe_fix("is removed: it cannot fire", metadata_obstacle(view, site))


PLAIN: Final[dict[Role, str]] = {**_CODES, MetadataAssert.role: MetadataAssert.code}
"""The codes of the rules that flag plain checks, by the role of the check."""


def removed_checks(fixed: Iterable[Diagnostic]) -> int:
    """How many checks that could fire a fix has removed, rather than given another form."""
    return sum(one.code in PLAIN.values() and one.fix.applicability == "unsafe" for one in fixed)


def plain_check(site: Site) -> str | None:
    """The code of the rule that flags a node as a plain check; None for other nodes."""
    role = site.op.role if site.op is not None else None
    return PLAIN.get(role) if role is not None else None


def may_fire(view: ProgramView, site: Site) -> bool:
    """Whether an input within the artifact's contract can make a plain check fire, as far as that is known."""
    return plain_check(site) != MetadataAssert.code or metadata_obstacle(view, site) is not None

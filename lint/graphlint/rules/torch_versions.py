"""GL602 and GL612: ops that the torch which a program is to run in does not have, and calls that no torch loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from graphlint.ops.table import covered
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import SPELL
from graphlint.rules.view import ProgramView
from graphlint.semantics.versions import LOADABLE_MAJOR, readers, spanned

if TYPE_CHECKING:
    from graphlint.artifact.artifact import Layout


class UnavailableOp(Rule):
    """An op that a version of torch lacks in which the program is to run.

    ## What it does
    Flags ops that one of the versions admitted by `requires-torch` (`--requires-torch '>=2.9'`) does not have, be it
    that they are newer or that they are gone since, and calls with arguments that the op does not take there. The
    message names the first such version. Finds nothing where no version is required.

    The setting is a version specifier (PEP 440): `>=2.9`, `==2.9.*`, `>=2.9,<2.13`. What is known are the ops of torch
    2.6 to 2.15. Of other versions nothing is said, nor of custom ops, nor of types of arguments. Where a version does
    not read the file at all, for its schema or the layout of the archive, a note says so; `graphlint show` tells which
    versions load it.

    ## Why is this bad?
    torch refuses a program with an op that it does not have when it loads it. An argument that its overload does not
    have is dropped silently, and another value than the default is then lost.

    ## Example
    With `--requires-torch '>=2.9'`:
    ```python --requires-torch '>=2.9'
    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.cholesky(x)


    model, inputs = Model(), (torch.eye(3),)
    ```
    ```graph requires-torch=>=2.9
    graph(%x: f32[3, 3]):
      %cholesky: f32[3, 3] = aten.cholesky.default(%x)
      return %cholesky
    ```

    ## Use instead
    ```python --requires-torch '>=2.9'
    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.cholesky(x)


    model, inputs = Model(), (torch.eye(3),)
    ```
    ```graph requires-torch=>=2.9
    graph(%x: f32[3, 3]):
      %linalg_cholesky: f32[3, 3] = aten.linalg_cholesky.default(%x)
      return %linalg_cholesky
    ```
    """

    code = "GL602"
    follows_fixes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each node that the first version which lacks it cannot take."""
        if view.requires_torch is None:
            return
        for misfit in view.misfits:
            if misfit.unread:
                continue  # UnloadableCall has it
            version = next((one for one in view.requires_torch.versions if one in misfit.missing), None)
            if version is None:
                continue
            said = misfit.missing[version]
            having = [one for one in misfit.having if said == "" or one not in misfit.missing]
            message = f"{misfit.site.name} {said or 'is not'} in torch {version}{_when(having)}"
            newer = bool(having) and covered().index(version) < covered().index(having[0])
            again = f"export the model again in torch {version}, or " if newer else ""
            fix = no_fix("no other form of it is known")
            yield Finding(message, fix, misfit.site, advice=f"{again}use another op in the model")


class UnloadableCall(Rule):
    """A call that no version of torch loads.

    ## What it does
    Flags calls that leave out an argument whose name is a keyword of Python, although it has a default: the `from` of
    `x.uniform_()`. Export leaves out what is given as the default says, too, as in `x.uniform_(0, 1)`.

    ## Why is this bad?
    Saving succeeds, and `torch.export.load` raises. That holds for torch 2.6 to 2.15, whose reader takes such an
    argument for one that every call has. Of files of older versions nothing is said.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + torch.empty_like(x).uniform_()
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %noise: f32[3, 4] = aten.uniform.default(%x)
      return %noise
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %noise: f32[3, 4] = aten.uniform.default(%x, 0.0, 1.0)
      return %noise
    ```

    ## Fix safety
    Safe: the call is given its defaults.
    """

    code = "GL612"
    advice = "use another op in the model, as `torch.rand_like(x)` for `torch.empty_like(x).uniform_()`"
    fix = "safe"
    fixer = SPELL

    def check(self, view: ProgramView) -> Iterator[Finding]:
        if view.program.schema[0] != LOADABLE_MAJOR:
            return  # the torch that wrote it has another reader
        for misfit in view.misfits:
            if argument := misfit.unread:
                without = f"without which torch {spanned(covered())} do not load it"
                fix = Fix("safe", "is given all of its arguments")
                yield Finding(f"{misfit.site.name} leaves out '{argument}', {without}", fix, misfit.site)


def version_notes(view: ProgramView, layout: Layout) -> list[str]:
    """What there is to say of the required versions that is no matter of ops."""
    required = view.requires_torch
    if required is None:
        return []
    known = f"{covered()[0]} to {covered()[-1]}"
    notes = [f"requires-torch '{required.specifier}' admits other versions than {known}, whose ops are not known"]
    able = readers(view.program, layout)
    unable = [version for version in required.versions if version not in able]
    return [
        *(notes if required.others else ()),
        *([f"torch {', '.join(unable)} cannot read the file, although requires-torch admits it"] if unable else ()),
    ]


def _when(having: Sequence[str]) -> str:
    """In which versions it is otherwise."""
    known = covered()
    if not having:
        return ""
    if having[-1] == known[-1]:
        return f" (only since {having[0]})"
    if having[0] == known[0]:
        return f" (gone since {known[known.index(having[-1]) + 1]})"
    return f" (only in {spanned(having)})"

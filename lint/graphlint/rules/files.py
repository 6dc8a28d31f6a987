"""GL001 to GL006: artifacts that cannot be read, not by everyone, or not without running what is in them; what a fix
leaves stale beside them.
"""

from collections.abc import Iterator
from typing import Final

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.view import ProgramView
from graphlint.semantics.versions import LOADABLE_MAJOR


class UnreadableArtifact(Rule):
    """A file that is no artifact, or a broken one.

    ## What it does
    Flags what cannot be linted: no zip archive, a truncated one, one without a program (which `torch.export.save`
    leaves where it fails half-way), broken JSON, an unknown layout, a graph that names values which nothing defines.
    Also flags archives that lack weights, constants or sample inputs which torch looks for, or hold other sizes of them
    than they say. The message says which member and what is wrong; the help says what to do about that: fetch a
    damaged file again, export a program where the file is of another kind, keep all members of an archive.

    ## Why is this bad?
    The file cannot be loaded, and a linter that skipped it would pass it.

    ## Example
    ```python
    from pathlib import Path


    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sin()


    model, inputs = Model(), (torch.randn(3, 4),)
    torch.export.save(torch.export.export(model, inputs), "model.pt2")
    whole = Path("model.pt2").read_bytes()
    Path("model.pt2").write_bytes(whole[: len(whole) // 2])  # an upload that broke off
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sin()


    model, inputs = Model(), (torch.randn(3, 4),)
    torch.export.save(torch.export.export(model, inputs), "model.pt2")
    ```
    """

    code = "GL001"


class LfsPointer(Rule):
    """A Git LFS pointer where the artifact should be.

    ## What it does
    Flags small text files that stand for an artifact which Git LFS keeps elsewhere.

    ## Why is this bad?
    The artifact was never fetched, so nothing was checked. Run `git lfs pull`; in CI, check out with LFS.

    ## Example
    ```python
    from pathlib import Path

    # What git leaves where Git LFS has not fetched the artifact, with a checksum and a size behind it.
    Path("model.pt2").write_text("version https://git-lfs.github.com/spec/v1")
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sin()


    model, inputs = Model(), (torch.randn(3, 4),)
    torch.export.save(torch.export.export(model, inputs), "model.pt2")  # or: git lfs pull
    ```
    """

    code = "GL002"


UNREADABLE: Final = frozenset({UnreadableArtifact.code, LfsPointer.code})
"""Codes of the rules on artifacts that cannot be read: never left out, whatever else a run does not show."""


class CodeInArtifact(Rule):
    """A member that is more than data: loading it runs code.

    ## What it does
    Flags pickles that look up anything beyond what torch's own data-only loader (`weights_only=True`) admits: in
    sample inputs, weights and constants, script objects (`custom_obj_0`) and opaque objects (`opaque_obj_0`), archives
    inside the artifact included. The message names what is looked up or called. Values are followed, too: keys of dicts
    are texts and numbers, attributes are set of state dicts only, what a persistent id refers to is a storage, and no
    value is a function. Also flags pickles that cannot be followed to their end, and compiled code (AOTInductor) beside
    a program. Pickles are read opcode by opcode; nothing is unpickled.

    A program's JSON is code in part, too: torch evaluates symbolic sizes, executes guards, and prints names into the
    source of `forward`. Flags what is more there than torch writes: sizes that are no arithmetic, names that are no
    names, targets that are no ops. Strings among the inputs, and keys of their dicts, go into guards, too: flags keys
    with quotes in them, and strings with quotes, backslashes or line breaks, for which `.module()` makes a syntax error
    at best.

    ## Why is this bad?
    A pickle is a program. `torch.export.load` unpickles these members, and where its data-only loader refuses, it
    tries again without restraint: whoever made the file decides what then runs on the machine that loads it. So it is
    with expressions, which go through `eval`.

    Sample inputs of classes of your own are found as well, for unpickling them runs the code of those classes. Where
    that does nothing but set attributes, write their names into `allow-globals`; or export with plain tensors and
    containers. The caches of transformers are known.

    ## Example
    ```python
    from dataclasses import dataclass


    @dataclass
    class Batch:
        tokens: torch.Tensor
        mask: torch.Tensor


    torch.export.register_dataclass(Batch, serialized_type_name="mylib.Batch")


    class Model(torch.nn.Module):
        def forward(self, batch):
            return batch.tokens * batch.mask


    model, inputs = Model(), (Batch(torch.randn(3), torch.ones(3)),)
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, batch):
            return batch["tokens"] * batch["mask"]


    model, inputs = Model(), ({"tokens": torch.randn(3), "mask": torch.ones(3)},)
    ```

    ## References
    pytorch/pytorch#153410, pytorch/pytorch#176791
    """

    code = "GL003"


class NoPrograms(Rule):
    """A package of compiled code without an exported program.

    ## What it does
    Flags archives that AOTInductor or ExecuTorch have made, and that hold no program to lint, with the number of shared
    libraries in them.

    ## Why is this bad?
    Nothing was checked. Shared libraries are native code, which runs when torch loads the package, and which no linter
    reads. List the rule in `per-file-ignores` for packages that you made yourself.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x * 2


    program = torch.export.export(Model(), (torch.randn(3, 4),))
    torch._inductor.aoti_compile_and_package(program, package_path="model.pt2")
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x * 2


    program = torch.export.export(Model(), (torch.randn(3, 4),))
    torch.export.save(program, "model.pt2")  # lint this one, and compile what it holds
    ```
    """

    code = "GL005"
    severity = "warning"


class UnloadableSchema(Rule):
    """A schema version that current torch refuses.

    ## What it does
    Flags programs whose schema major differs from that of torch 2.6 and later (8). Off by default.

    ## Why is this bad?
    torch loads only programs of its own schema major: what torch 2.5 and earlier wrote must be exported again
    for a current torch. graphlint reads them all.

    ## Example
    ```python
    # Exported by torch 2.5.
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 4))
            self.norm = torch.nn.LayerNorm(4)

        def forward(self, x):
            return self.norm(self.layers(x))
    ```

    ## Use instead
    ```python
    # Exported by torch 2.6 or later: the model is the same, and so are the weights that a checkpoint holds.
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 4))
            self.norm = torch.nn.LayerNorm(4)

        def forward(self, x):
            return self.norm(self.layers(x))
    ```
    """

    code = "GL004"
    severity = "warning"
    enabled_by_default = False

    def check(self, view: ProgramView) -> Iterator[Finding]:
        major, minor = view.program.schema
        if major != LOADABLE_MAJOR:
            message = (
                f"schema {major}.{minor} is refused by torch 2.6 and later, which load schema {LOADABLE_MAJOR} only"
            )
            yield Finding(message, no_fix("export the model again with a current torch"))


class StaleCompanion(Rule):
    """Signatures, checksums and hard links that no longer match a rewritten artifact.

    ## What it does
    After `--fix` has rewritten an artifact, reports the signatures (`model.pt2.sig`, `model.sig` of OpenSSF model
    signing, `*.sigstore.json`), checksums (`model.pt2.sha256`, `SHA256SUMS`, `model.pt2.dvc`) and other names (hard
    links) beside it. They are found by their names, and lists by what they list; nothing is verified.

    ## Why is this bad?
    Whoever verifies the artifact is told that it was tampered with: sign it again, and make the checksums anew. Other
    names of the file keep the content that it had, for a file is replaced and never written into.

    ## Example
    ```python --fix
    import hashlib
    from pathlib import Path


    class Model(torch.nn.Module):
        def forward(self, x):
            scaled = x * 2
            scaled += 1
            return scaled


    program = torch.export.export(Model(), (torch.randn(3, 4),))
    torch.export.save(program, "model.pt2")
    digest = hashlib.sha256(Path("model.pt2").read_bytes()).hexdigest()
    Path("model.pt2.sha256").write_text(f"{digest}  model.pt2")
    ```

    ## Use instead
    ```python --fix
    import hashlib
    from pathlib import Path

    import graphlint


    class Model(torch.nn.Module):
        def forward(self, x):
            scaled = x * 2
            scaled += 1
            return scaled


    program = torch.export.export(Model(), (torch.randn(3, 4),))
    graphlint.export_clean(program, "model.pt2")  # nothing is left to fix when the digest is made
    digest = hashlib.sha256(Path("model.pt2").read_bytes()).hexdigest()
    Path("model.pt2.sha256").write_text(f"{digest}  model.pt2")
    ```
    """

    code = "GL006"
    severity = "note"

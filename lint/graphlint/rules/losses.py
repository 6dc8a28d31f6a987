"""GL603 and following: what targets take, and lose."""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from graphlint.ir.dtypes import item_size
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.settings import Loss, Lost
from graphlint.rules.view import ProgramView
from graphlint.semantics.memory import Storage, StorageKind
from graphlint.semantics.sites import Site

_STATE: Final[tuple[StorageKind, ...]] = ("buffer", "constant")
"""What targets may keep from one call to the next."""


class LossRule(Rule):
    """The part that the rules on losses share: none finds anything where no target is said to lose it."""

    follows_fixes = True
    loss: ClassVar[Loss]

    def lost(self, view: ProgramView, elements: int | None = None) -> tuple[Lost, ...]:
        """What the targets say of losing something that has so many elements; None where that is not known."""
        return tuple(one for one in view.profile.losses.get(self.loss, ()) if one.elements in (None, elements))


def _finding(what: str, lost: Iterable[Lost], site: Site | None) -> Finding:
    """``lost`` is what is said by those that lose it, at least one."""
    first, *others = lost
    names = ", ".join(one.target for one in (first, *others))
    return Finding(f"{what} ({names}: {first.because})", no_fix(first.advice), site)


class LostInitialValue(LossRule):
    """State that begins with other values than zeros, at a target that begins it with zeros.

    ## What it does
    Flags buffers and constants that the program writes and whose stored values are not all zero, for
    targets whose state is not initialized. The stored bytes are looked at, piece by piece; what cannot be read is
    flagged, too.

    ## Why is this bad?
    The first call computes something else, and so may each later one (pytorch/executorch#3788).

    ## Example
    With `--target executorch`, where `state` is stored as ones:
    ```graph target=executorch
    graph(%b_state: f32[2] = buffer "state", %x: f32[2]):
      %add: f32[2] = aten.add.Tensor(%b_state, %x)
      return buffer "state" <- %add, %add
    ```

    ## Use instead
    State that begins with zeros, to which the program adds what it begins with:
    ```graph target=executorch
    graph(%b_begin: f32[2] = buffer "begin", %b_state: f32[2] = buffer "state", %x: f32[2]):
      %add: f32[2] = aten.add.Tensor(%b_state, %x)
      %sum: f32[2] = aten.add.Tensor(%add, %b_begin)
      return buffer "state" <- %add, %sum
    ```
    """

    code = "GL604"
    loss = "initial-values"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such tensor."""
        lost = self.lost(view)
        for storage, site in _written(view, _STATE) if lost else ():
            zero = _begins_with_zeros(view, storage)
            if not zero:
                begins = "begins" if zero is False else "may begin"
                name = storage.name or storage.value
                yield _finding(f"{storage.kind} '{name}' {begins} with other values than zeros", lost, site)


def _begins_with_zeros(view: ProgramView, storage: Storage) -> bool | None:
    """Whether what is stored for an input is all zeros; None where that is not known."""
    held = view.document.payloads().get(storage.name or "") if view.document.payloads is not None else None
    meta = view.program.graph.meta(storage.value)
    size = item_size(meta.dtype) if meta is not None else None
    return held.is_zero(size) if held is not None and size else None


def _written(view: ProgramView, kinds: tuple[StorageKind, ...]) -> Iterator[tuple[Storage, Site | None]]:
    """The inputs of these kinds that the program writes."""
    return ((storage, site) for storage, site in view.written_inputs.items() if storage.kind in kinds)

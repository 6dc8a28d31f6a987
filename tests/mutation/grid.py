"""Every way to view a tensor, in every kind of region, of every kind of tensor: ``python tests/mutation/grid.py``.

Random programs seldom take the same view in another place. Each program here takes one view of a buffer, an input or
an intermediate tensor, plainly or in a region, and uses it in one way: what it shows is written before it is read, or
it is written itself, or an in-place view changes its shape. Each is exported, fixed and judged by stock torch. Prints
those that differ, what came of all, and why writes stay; exits with 1 where one differs. ``--only REGEX`` takes those
whose name matches (``chunk/cond/buffer/written``).
"""

import argparse
import logging
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.mutation import campaign, trial

View = Callable[[torch.Tensor], torch.Tensor]
SIZES = (3, 4)
VIEWS: dict[str, View] = {
    "alias": torch.ops.aten.alias,
    "adjoint": lambda t: t.adjoint(),
    "alpha_dropout": lambda t: nn.functional.alpha_dropout(t, 0.5, False),
    "as_strided": lambda t: t.as_strided((2, 2), (4, 2), 1),
    "as_strided-whole": lambda t: t.as_strided(SIZES, (4, 1)),
    "atleast_1d": torch.atleast_1d,
    "atleast_3d": lambda t: torch.atleast_3d(t)[..., 0],
    "bits": lambda t: t.view(torch.int32).view(torch.float32),
    "broadcast_tensors": lambda t: torch.broadcast_tensors(t)[0],
    "broadcast_tensors-larger": lambda t: torch.broadcast_tensors(t[0], t)[0],
    "broadcast_tensors-row": lambda t: torch.broadcast_tensors(t[:1], t)[0],
    "broadcast_to": lambda t: torch.broadcast_to(t, SIZES),
    "cartesian_prod": lambda t: torch.cartesian_prod(t[0]),
    "chunk": lambda t: t.chunk(2, 1)[1],
    "chunk-whole": lambda t: t.chunk(1)[0],
    "clone": lambda t: t.clone(),
    "complex": lambda t: torch.view_as_real(torch.view_as_complex(t.view(3, 2, 2))).view(SIZES),
    "conj": lambda t: t.conj(),
    "contiguous": lambda t: t.contiguous(),
    "contiguous-columns": lambda t: t.t().contiguous().t(),
    "data": lambda t: t.data,
    "detach": lambda t: t.detach(),
    "diagonal": lambda t: t.diagonal(1),
    "dropout": lambda t: nn.functional.dropout(t, 0.5, False),
    "einsum": lambda t: torch.einsum("ij->ij", t),
    "ellipsis": lambda t: t[...],
    "expand": lambda t: t.expand(-1, -1),
    "expand-more": lambda t: t[:1].expand(SIZES),
    "expand_as": lambda t: t.expand_as(t * 1),
    "expand_as-row": lambda t: t[0].expand_as(t * 1),
    "flatten": lambda t: t.flatten(),
    "flatten-one": lambda t: t.flatten(1, 1),
    "float": lambda t: t.float(),
    "H": lambda t: t.H,
    "half": lambda t: t.half().float(),
    "hsplit": lambda t: t.hsplit(2)[1],
    "identity": nn.Identity(),
    "mask": lambda t: t[t.new_zeros(3, dtype=torch.bool).logical_not()],
    "meshgrid": lambda t: torch.meshgrid(t[0], t[1], indexing="ij")[0],
    "movedim": lambda t: t.movedim(0, 1),
    "movedim-none": lambda t: t.movedim(0, 0),
    "mT": lambda t: t.mT,
    "narrow": lambda t: t.narrow(1, 1, 2),
    "pad-none": lambda t: nn.functional.pad(t, (0, 0)),
    "permute": lambda t: t.permute(1, 0),
    "positive": lambda t: t.positive(),
    "ravel": lambda t: t.ravel(),
    "real": torch.real,
    "reshape": lambda t: t.reshape(2, 6),
    "reshape_as": lambda t: t.reshape_as(torch.zeros(4, 3)),
    "reshape-copy": lambda t: t.t().reshape(6, 2),
    "reshape-none": lambda t: t.reshape(SIZES),
    "resolve_conj": lambda t: t.resolve_conj(),
    "rot90": lambda t: torch.rot90(t, 4),
    "select": lambda t: t.select(0, 1),
    "slice": lambda t: t[1:, ::2],
    "slice-whole": lambda t: t[:],
    "split": lambda t: t.split(2)[1],
    "squeeze": lambda t: t[:1].squeeze(0),
    "squeeze-none": lambda t: t.squeeze(),
    "sum_to_size": lambda t: t.sum_to_size(SIZES),
    "swapaxes": lambda t: t.swapaxes(0, 0),
    "tensor_split": lambda t: t.tensor_split(2)[0],
    "to": lambda t: t.to(torch.float32),
    "to_dense": lambda t: t.to_dense(),
    "transpose": lambda t: t.transpose(0, 1)[1:].transpose(0, 1),
    "type_as": lambda t: t.type_as(torch.zeros(1)),
    "unbind": lambda t: t.unbind(1)[2],
    "unflatten": lambda t: t.unflatten(1, (2, 2)),
    "unfold": lambda t: t.unfold(1, 2, 2),
    "unsafe_chunk": lambda t: torch.unsafe_chunk(t, 1)[0],
    "unsqueeze": lambda t: t.unsqueeze(1),
    "view": lambda t: t[1:].view(-1)[2:],
    "view_as": lambda t: t.view_as(torch.zeros(4, 3)),
    "vmap": torch.vmap(lambda row: row),
    "vmap-columns": torch.vmap(lambda column: column, in_dims=1, out_dims=1),
    "vmap-elements": torch.vmap(torch.vmap(lambda element: element)),
    "vmap-views": torch.vmap(lambda row: row[1:]),
}


def _without_gradients(view: View, given: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return view(given)


def _autocast(view: View, given: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return view(given)


def _with_a_write(view: View, given: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        shown = view(given)
        shown.add_(1)
    return shown


def _checkpoint_with_a_write(view: View, given: torch.Tensor) -> torch.Tensor:
    def inner(given: torch.Tensor) -> torch.Tensor:
        shown = view(given)
        shown.mul_(2)
        return shown

    return checkpoint(inner, given, use_reentrant=False)


def _cond(view: View, given: torch.Tensor) -> torch.Tensor:
    return torch.cond(given.sum() > 0, lambda one: view(one).clone(), lambda one: view(one) + 1, (given,))


def _cond_with_a_write(view: View, given: torch.Tensor) -> torch.Tensor:
    def inner(given: torch.Tensor) -> torch.Tensor:
        shown = view(given)
        shown.mul_(2)
        return shown.sum()

    return torch.cond(given.sum() > 0, inner, lambda one: view(one).sum(), (given,))


REGIONS: dict[str, Callable[[View, torch.Tensor], torch.Tensor]] = {
    "plain": lambda view, given: view(given),
    "no_grad": _without_gradients,
    "no_grad-writes": _with_a_write,
    "autocast": _autocast,
    "checkpoint": lambda view, given: checkpoint(view, given, use_reentrant=False),
    "checkpoint-writes": _checkpoint_with_a_write,
    "cond": _cond,
    "cond-writes": _cond_with_a_write,
}
KINDS = ("buffer", "input", "intermediate")
USES = ("shows", "written", "unsqueezed", "transposed")


class Name(NamedTuple):
    """One program."""

    view: str
    region: str
    kind: str
    use: str

    def __str__(self) -> str:
        return "/".join(self)


NAMES = [Name(*one) for one in [(v, r, k, u) for v in VIEWS for r in REGIONS for k in KINDS for u in USES]]


class Module(nn.Module):
    """Takes the view, and uses it."""

    def __init__(self, name: Name) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("state", torch.randn(SIZES, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        view, region, kind, use = self.name
        whole = {"buffer": lambda: self.state, "input": lambda: x, "intermediate": lambda: x * 1}[kind]()
        columns = whole.t()
        shown = REGIONS[region](VIEWS[view], whole)
        if use == "shows":
            columns.add_(1)
        elif use == "written":
            shown.add_(1)
            columns[0].mul_(3)
        elif use == "transposed" and shown.dim() == 2:
            shown.t_()
        else:
            shown.unsqueeze_(0)
        return shown * 2, whole * 1


def try_program(name: Name, folder: Path) -> campaign.Report:
    """Export, fix and judge one program."""
    args = (torch.randn(SIZES, generator=torch.Generator().manual_seed(2)),)
    try:
        data = trial.export(trial.Case(Module(name), args, None))
    except Exception as error:  # noqa: BLE001 - whatever torch cannot export is not our business
        return campaign.Report(0, "not exported", f"{type(error).__name__}: {error}"[:200])
    try:
        fixed = trial.fix(data, folder, args, campaign.SETTINGS)
        campaign.check(fixed, folder, thorough=False)
    except Exception as error:  # noqa: BLE001 - each is a finding
        return campaign.Report(0, "different", f"{type(error).__name__}: {error}"[:400])
    left = tuple(one.fix.message for one in fixed.result.diagnostics if one.code.startswith("GL1"))
    writes = [one for one in fixed.result.fixed if one.code.startswith("GL1")]
    outcome = ("partly fixed" if writes else "refused") if left else "fixed" if writes else "nothing to fix"
    return campaign.Report(0, outcome, "", left, len(writes))


def main() -> int:
    """Run the grid, or a part of it; 1 where a program differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of that choice")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    chosen = [name for name in NAMES if re.search(options.only, str(name))]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    outcomes: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            report = try_program(name, Path(folder))
            outcomes[report.outcome] += 1
            for reason in set(report.reasons):
                reasons.setdefault(reason, []).append(str(name))
            if report.outcome == "different":
                print(f"{name}: {report.detail}", flush=True)
    print(f"{len(chosen)} programs")
    for outcome, count in outcomes.most_common():
        print(f"{count:6} {outcome}")
    print("writes stay, by reason:")
    for reason, names in sorted(reasons.items(), key=lambda one: -len(one[1])):
        print(f"{len(names):6} {reason} ({names[0]})")
    return 1 if outcomes["different"] else 0


if __name__ == "__main__":
    sys.exit(main())

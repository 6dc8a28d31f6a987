"""Which ops a consumer refuses or computes otherwise than torch, though graphlint calls them clean.

    python tests/consumers/ops.py CONSUMER [--unusual] [--arguments] [--op NAME]... [--dtype NAME]... [--part N/M]

takes the ops of torch's OpInfo database, each as a program of its own, and runs what graphlint calls clean for the
consumer's target in the consumer and in eager torch. With ``--unusual``, the ops that models are made of are given NaN,
infinities, the largest and smallest numbers of a dtype, and integers beyond 32 bits. With ``--arguments``, each op is
taken with all the arguments beside tensors that the database has for it, and with tensors of each number of dimensions.
``--part 1/4`` takes a quarter of the ops. Prints a line for each program that differs or is refused, then the ops by
dtype: what the file of the target is to refuse, and what its ``[[values]]`` are to say.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from tests.consumers.cases import Case
from tests.consumers.consumers import CONSUMERS
from tests.consumers.measuring import measuring
from tests.consumers.outcomes import DIFFERENT, TAKEN
from tests.facts.samples import databases
from torch.utils import _pytree as pytree

OPS = """
abs acos add addcdiv addcmul all amax amin any argmax argmin argsort asin atan atan2 bitwise_and bitwise_left_shift
bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm cat ceil clamp clamp_max clamp_min clone cos cosh cummax
cummin cumprod cumsum div eq erf exp expm1 fill flip floor floor_divide fmax fmin fmod gather ge gt hypot index_add
index_select isfinite isinf isnan le log log1p log2 log_softmax logaddexp logical_and logical_not logical_or logsumexp
lt masked_fill matmul max maximum mean median min minimum mul nan_to_num ne neg nn.functional.adaptive_avg_pool2d
nn.functional.adaptive_max_pool2d nn.functional.avg_pool2d nn.functional.elu nn.functional.gelu
nn.functional.hardsigmoid nn.functional.hardswish nn.functional.hardtanh nn.functional.layer_norm
nn.functional.leaky_relu nn.functional.max_pool2d nn.functional.mish nn.functional.relu nn.functional.relu6
nn.functional.silu nn.functional.softplus nn.functional.softsign nn.functional.threshold pow prod reciprocal remainder
roll round rsqrt rsub scatter scatter_add scatter_reduce select_scatter sgn sigmoid sign sin sinh softmax sort sqrt
square std std_mean sub sum tan tanh to topk tril triu true_divide trunc unique var var_mean where zeros_like
""".split()  # noqa: SIM905 - a list of a name a line is no easier to read
"""What models are made of, by their names in the database: they are given unusual values."""
PLAIN = (torch.float32, torch.int64, torch.bool)
VALUES: dict[torch.dtype, list[float]] = {
    torch.float32: [float("nan"), float("inf"), float("-inf"), 1.5, -0.0, -2.5, 0.0, 3e38, -1e-40, 7.0],
    torch.int64: [2**31 + 5, -(2**33) - 7, 3, 2**40 + 1, -1, 2**62, 5, -(2**31)],
    torch.int32: [2**31 - 1, -(2**31), 3, -1, 2**30, 7, 0],
    torch.uint8: [0, 255, 200, 1, 128, 3],
    torch.int8: [127, -128, 3, -1, 100],
}


class OneOp(torch.nn.Module):
    """An op that is given some of its tensors; the rest of its arguments is fixed."""

    def __init__(self, op: Any, leaves: list[Any], spec: Any, places: list[int]) -> None:
        super().__init__()
        self._op, self._leaves, self._spec, self._places = op, leaves, spec, places

    def forward(self, *tensors: torch.Tensor) -> Any:
        leaves = list(self._leaves)
        for place, tensor in zip(self._places, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        result = self._op(*args, **kwargs)
        return tuple(result) if isinstance(result, tuple) else result  # not a tuple with names


MOST = 16
"""Samples of an op and dtype that differ in their arguments, which are taken at most."""


def programs(
    names: list[str], dtypes: list[torch.dtype], *, odd: bool, most: int = 1, part: tuple[int, int] = (1, 1)
) -> Iterator[tuple[str, Any]]:
    """Name (``add-int64``, ``add-int64-2``) and exported program of each op and dtype: the first samples that eager
    torch and export take, at most so many that differ in more than the sizes and values of tensors; with unusual values
    if they are to be ``odd``. Of the ops, the n-th of m parts.
    """
    for place, info in enumerate(one for one in next(databases()) if not names or one.name in names):
        if place % part[1] != part[0] - 1:
            continue
        full = f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name
        for dtype in (one for one in dtypes if info.supports_dtype(one, "cpu")):
            taken: set[str] = set()
            for sample in info.sample_inputs("cpu", dtype, requires_grad=False):
                leaves, spec = pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
                places = [at for at, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.dim()]
                kind = _kind(leaves, spec)
                if not places or places[0] or leaves[0].numel() < 2 or kind in taken:
                    continue
                given = [unusual(leaves[at], dtype, turn) if odd else leaves[at] for turn, at in enumerate(places)]
                model = OneOp(info.op, leaves, spec, places)
                try:
                    model(*(one.clone() for one in given))
                    program = torch.export.export(model, tuple(given))
                except Exception:  # noqa: BLE001 - whatever it is, another sample may do
                    continue
                yield f"{full}-{str(dtype).removeprefix('torch.')}" + (f"-{len(taken)}" if taken else ""), program
                taken.add(kind)
                if len(taken) == most:
                    break


def _kind(leaves: list[Any], spec: Any) -> str:
    """What tells one sample of an op from another but for the sizes and values of tensors."""
    return repr(([one.dim() if isinstance(one, torch.Tensor) else one for one in leaves], spec))


def unusual(tensor: torch.Tensor, dtype: torch.dtype, turn: int) -> torch.Tensor:
    """A tensor of the same sizes with the unusual values of its dtype; indices and masks stay."""
    is_index = dtype == torch.int64 and turn and tensor.numel() and 0 <= int(tensor.min()) <= int(tensor.max()) < 32
    if tensor.dtype != dtype or is_index:
        return tensor.clone()
    values = torch.tensor(VALUES[dtype], dtype=dtype).roll(3 * turn)
    return values.repeat(tensor.numel() // len(values) + 1)[: tensor.numel()].reshape(tensor.shape).clone()


def main() -> int:
    """Export, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("consumer", choices=list(CONSUMERS))
    parser.add_argument("--unusual", action="store_true", help="with unusual values")
    parser.add_argument("--arguments", action="store_true", help="with all arguments that the database has")
    parser.add_argument("--part", default="1/1", help="of the ops")
    parser.add_argument("--op", action="append", default=[], help="by its name in the database (default: all of them)")
    parser.add_argument("--dtype", action="append", default=[], help="float32 and the like")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = options.op or (OPS if options.unusual else [])
    given = VALUES if options.unusual else PLAIN
    dtypes = [one for one in given if not options.dtype or str(one).removeprefix("torch.") in options.dtype]
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    clean = 0
    part, _, parts = options.part.partition("/")
    chosen = programs(
        names, dtypes, odd=options.unusual, most=MOST if options.arguments else 1, part=(int(part), int(parts))
    )
    with tempfile.TemporaryDirectory() as name, measuring(options.consumer, Path(name)) as running:
        for title, program in chosen:
            path = Path(name) / f"{re.sub(r'[^-a-z0-9]', '_', title)}.pt2"
            try:
                torch.export.save(program, path)
            except Exception as error:  # noqa: BLE001 - no artifact, so nothing that graphlint could call clean
                print(f"{title}: torch does not save it: {error}", flush=True)
                continue
            _, judgement = running.clean(Case(title, path, "model"))
            clean += judgement is not None
            if judgement is not None and judgement.outcome != TAKEN:
                op, dtype, *number = title.split("-")
                found[judgement.outcome, dtype].append("-".join([op, *number]))
                print(f"{title}: {judgement.describe()}; {judgement.detail}", flush=True)
    print(f"{clean} programs are clean for {CONSUMERS[options.consumer].target}")
    for (outcome, dtype), ops in sorted(found.items()):
        print(f"{dtype} {'computed otherwise' if outcome == DIFFERENT else outcome}: {', '.join(ops)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The artifacts that consumers are given: the corpus of torch 2.13, and models of what it lacks.

    python -m tests.consumers.cases FOLDER

exports the models into a folder, as ``<case>.pt2``, with the installed torch.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
CORPUS = PROJECT / "tests" / "artifacts" / "2.13.0"
PROGRAMS = {"two_programs": ("encoder", "decoder")}
"""Names of the programs, where they are not one called ``model``."""
OWN = (
    "static_cache_index_copy",
    "static_cache_index_put",
    "step_counter",
    "aliased_outputs",
    "returned_buffer",
    "random_ops",
    "while_loop",
    "batch_norm_eval",
    "initial_state",
    "initial_constant",
    "overlapping_buffers",
    "tied_weights",
    "written_parameter",
    "hidden_update_of_constants",
    "returned_input",
    "masked_select",
    "boolean_index",
    "nonzero",
    "half_state",
    "shared_buffer",
    "size_from_data",
    "position_from_data",
    "slice_from_data",
    "narrow_from_data",
    "narrow_inputs",
    "returned_number",
    "unbounded_size",
    "flattened",
    "sorted",
    "several_dtypes",
    "running_count",
    "namesake_of_state",
    "rolling_buffer",
    "arguments_left_out",
    "narrow_index",
    "turned_input",
    "channels_last_input",
    "pooled_and_scaled",
)
"""The models below, by the names of their functions."""
FIXED = {"dependency_tokens": "two_async_asserts", "mutation_outputs": "key_value_cache"}
"""What graphlint's fix for the target ``functional`` makes of artifacts of the corpus."""


class Case(NamedTuple):
    """A program in an artifact."""

    name: str
    path: Path
    program: str = "model"


def all_cases(folder: Path) -> list[Case]:
    """Every case; those that are not in the corpus are made in ``folder``."""
    cases = []
    for path in sorted(CORPUS.glob("*.pt2")):
        for program in PROGRAMS.get(path.stem, ("model",)):
            name = path.stem if program == "model" else f"{path.stem}/{program}"
            cases.append(Case(name, path, program))
    subprocess.run([sys.executable, "-m", "tests.consumers.cases", str(folder)], cwd=PROJECT, check=True)
    for name, original in FIXED.items():
        made = folder / f"{name}.pt2"
        made.write_bytes((CORPUS / f"{original}.pt2").read_bytes())
        words = [sys.executable, "-m", "graphlint", "check", "--fix-only", "--isolated", "--quiet", str(made)]
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
        if made.read_bytes() == (CORPUS / f"{original}.pt2").read_bytes():
            raise RuntimeError(f"{name}: graphlint --fix changed nothing in {original}.pt2")
    return cases + [Case(name, folder / f"{name}.pt2") for name in (*OWN, *FIXED)]


def export(folder: Path) -> None:
    """Write the models' artifacts."""
    import torch
    from torch import nn

    class StaticCacheIndexCopy(nn.Module):
        """A key/value cache that nobody registered as a buffer, as models with a static cache have it."""

        def __init__(self):
            super().__init__()
            self.keys = torch.zeros(8, 4)
            self.values = torch.zeros(8, 4)
            self.key = nn.Linear(4, 4)
            self.value = nn.Linear(4, 4)

        def forward(self, x, position):
            self.keys.index_copy_(0, position, self.key(x).detach())
            self.values.index_copy_(0, position, self.value(x).detach())
            return (x @ self.keys.t()).softmax(-1) @ self.values

    class StaticCacheIndexPut(StaticCacheIndexCopy):
        def forward(self, x, position):
            self.keys[position] = self.key(x).detach()
            self.values[position] = self.value(x).detach()
            return (x @ self.keys.t()).softmax(-1) @ self.values

    class StepCounter(nn.Module):
        """State of two elements; in the corpus, ``buffer_counter`` has one."""

        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(2))

        def forward(self, x):
            self.steps.add_(1)
            return x * self.steps

    class AliasedOutputs(nn.Module):
        def forward(self, x):
            y = x + 1
            y.mul_(2)
            return x, y, y, y.t()

    class ReturnedBuffer(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x):
            self.seen.add_(x.sum(0))
            return self.seen, self.seen * 2

    class RandomOps(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x) + torch.randn(3, 4)

    class WhileLoop(nn.Module):
        def forward(self, x):
            def unfinished(step, y):
                return step < 3

            def once(step, y):
                return step + 1, y.sin() + 1

            return torch._higher_order_ops.while_loop(unfinished, once, (torch.tensor(0), x))[1]

    class BatchNormEval(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            return nn.functional.relu(self.norm(self.conv(x)), inplace=True)

    class InitialState(nn.Module):
        """State that begins with other values than zeros."""

        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.full((4,), 3.0))

        def forward(self, x):
            self.state.mul_(2).add_(x.sum(0))
            return self.state * 2

    class InitialConstant(nn.Module):
        def __init__(self):
            super().__init__()
            self.state = torch.arange(4.0)

        def forward(self, x):
            self.state.add_(x.sum(0))
            return self.state * 2

    class Part(nn.Module):
        def __init__(self, state):
            super().__init__()
            self.register_buffer("state", state)

        def forward(self, x):
            self.state.add_(x.sum())
            return self.state.sum() * 2

    class TwoParts(nn.Module):
        """Two modules that write to the same memory."""

        def __init__(self, one, two):
            super().__init__()
            self.one, self.two = Part(one), Part(two)

        def forward(self, x):
            return x * self.one(x) + self.two(x + 1)

    class TiedWeights(nn.Module):
        """One weight of two names, beside state."""

        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Linear(4, 4), nn.Linear(4, 4)
            self.out.weight = self.into.weight
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x):
            self.seen.add_(x.sum(0))
            return self.out(self.into(x).relu()) + self.seen

    class WrittenParameter(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4), requires_grad=False)

        def forward(self, x):
            self.scale.div_(2)
            return x + self.scale

    class HiddenUpdateOfConstants(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.var = torch.zeros(3), torch.ones(3)

        def forward(self, x):
            return nn.functional.instance_norm(x, self.mean, self.var, use_input_stats=True)

    class ReturnedInput(nn.Module):
        """What it writes to its input is an output, too."""

        def forward(self, x):
            x.add_(1)
            return x, x * 2

    class MaskedSelect(nn.Module):
        def forward(self, x):
            return x.masked_select(x > 0)

    class BooleanIndex(nn.Module):
        def forward(self, x):
            return x[x > 0] * 2

    class Nonzero(nn.Module):
        def forward(self, x):
            return x.relu().nonzero() + 1

    class HalfState(nn.Module):
        """State in half precision, of which every step is exact."""

        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.zeros(4, dtype=torch.float16))

        def forward(self, x):
            self.state.add_(1)
            return x.half() * self.state

    class Keys(nn.Module):
        def __init__(self, keys):
            super().__init__()
            self.register_buffer("keys", keys)

        def forward(self, x, position):
            self.keys.index_copy_(0, position, x)
            return self.keys.sum()

    class SharedBuffer(nn.Module):
        """One buffer of two names."""

        def __init__(self):
            super().__init__()
            keys = torch.zeros(4)
            self.one, self.two = Keys(keys), Keys(keys)

        def forward(self, x, position):
            return self.one(x, position) + self.two(x, position + 1)

    class SizeFromData(nn.Module):
        def forward(self, x, n):
            size = n.item()
            torch._check(size >= 0)
            torch._check(size <= 8)
            return torch.ones(size) * 2, x + 1

    class PositionFromData(nn.Module):
        """A cache that is written at a number."""

        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.zeros(8, 4))

        def forward(self, x, n):
            position = n.item()
            torch._check(position >= 0)
            torch._check(position < 8)
            self.cache[position] = x
            return self.cache.sum(0)

    class SliceFromData(nn.Module):
        """A slice that may end with the tensor."""

        def forward(self, x, n):
            end = n.item()
            torch._check(end >= 0)
            return x[:end].sum(0)

    class NarrowFromData(nn.Module):
        def forward(self, x, n):
            start = n.item()
            torch._check(start >= 0)
            torch._check(start + 2 <= 8)
            return x.narrow(0, start, 2) * 2

    class NarrowInputs(nn.Module):
        """Inputs of few bits."""

        def forward(self, x, y):
            return x.float() + y.float()

    class ReturnedNumber(nn.Module):
        def forward(self, x):
            return x * 2, 5

    class UnboundedSize(nn.Module):
        def forward(self, x):
            return x * 2 + 1

    class Flattened(nn.Module):
        """What classifiers end with."""

        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 2, 3)
            self.linear = nn.Linear(72, 5)

        def forward(self, x):
            return self.linear(torch.flatten(self.convolution(x).relu(), 1))

    class Sorted(nn.Module):
        def forward(self, x):
            return torch.sort(x)[0]

    class SeveralDtypes(nn.Module):
        """Operands of several dtypes, by the other names that ops have."""

        def forward(self, x, positions):
            return torch.divide(positions, 2.5), torch.subtract(x, positions)

    class RunningCount(nn.Module):
        """How many elements of a mask there are up to each."""

        def forward(self, x):
            return (x > 0).cumsum(0)

    class NamesakeOfState(nn.Module):
        """A value that is called as the buffer that it updates."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x):
            self.mean.mul_(0.5).add_(x.mean(0) * 0.5)
            return x - self.mean

    class RollingBuffer(nn.Module):
        """The last rows, of which the latest comes first; and state that becomes a quotient."""

        def __init__(self):
            super().__init__()
            self.register_buffer("rows", torch.zeros(3, 4))
            self.register_buffer("quotient", torch.zeros(3, 4))

        def forward(self, x):
            self.rows.copy_(torch.roll(self.rows + x, 1, 0))
            self.quotient.copy_((self.quotient + x) / 2)
            return self.rows + self.quotient

    class ArgumentsLeftOut(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.RMSNorm(8)

        def forward(self, x):
            return nn.functional.max_pool2d(x, 2), self.norm(x), nn.functional.cosine_similarity(x, x + 1)

    class NarrowIndex(nn.Module):
        def forward(self, x, at):
            return x[at]

    class TurnedInput(nn.Module):
        """An input whose strides are in another order than its dimensions."""

        def forward(self, x):
            return x * 2, torch.cat([x, x], 1)

    class PooledAndScaled(nn.Module):
        """Ops with other arguments than usual."""

        def __init__(self):
            super().__init__()
            self.bias, self.weight = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(4, 3))

        def forward(self, x, y):
            pooled = nn.functional.max_pool2d(x, 3, 3)
            return pooled, torch.addmm(self.bias, y, self.weight, alpha=2), nn.functional.gelu(y, approximate="tanh")

    number = torch.tensor(3)
    cached = (torch.randn(2, 4), torch.tensor([0, 1]))
    shared = torch.zeros(6)
    row = (torch.randn(3, 4),)
    models = {
        "static_cache_index_copy": (StaticCacheIndexCopy(), cached),
        "static_cache_index_put": (StaticCacheIndexPut(), cached),
        "step_counter": (StepCounter(), (torch.ones(3, 2),)),
        "aliased_outputs": (AliasedOutputs(), row),
        "returned_buffer": (ReturnedBuffer(), row),
        "random_ops": (RandomOps(), row),
        "while_loop": (WhileLoop(), row),
        "batch_norm_eval": (BatchNormEval().eval(), (torch.randn(2, 3, 8, 8),)),
        "initial_state": (InitialState(), row),
        "initial_constant": (InitialConstant(), row),
        "overlapping_buffers": (TwoParts(shared[:4], shared[2:]), row),
        "tied_weights": (TiedWeights(), row),
        "written_parameter": (WrittenParameter(), row),
        "hidden_update_of_constants": (HiddenUpdateOfConstants(), (torch.randn(2, 3, 4),)),
        "returned_input": (ReturnedInput(), row),
        "masked_select": (MaskedSelect(), row),
        "boolean_index": (BooleanIndex(), row),
        "nonzero": (Nonzero(), row),
        "half_state": (HalfState(), row),
        "shared_buffer": (SharedBuffer(), (torch.randn(2), torch.tensor([0, 1]))),
        "size_from_data": (SizeFromData(), (torch.randn(4), number)),
        "position_from_data": (PositionFromData(), (torch.randn(4), number)),
        "slice_from_data": (SliceFromData(), (torch.randn(8, 4), number)),
        "narrow_from_data": (NarrowFromData(), (torch.randn(8, 4), number)),
        "narrow_inputs": (NarrowInputs(), (torch.ones(4, dtype=torch.int8), torch.ones(4, dtype=torch.uint8))),
        "returned_number": (ReturnedNumber(), row),
        "unbounded_size": (UnboundedSize(), (torch.randn(4, 3),)),
        "flattened": (Flattened().eval(), (torch.randn(2, 3, 8, 8),)),
        "sorted": (Sorted(), row),
        "several_dtypes": (SeveralDtypes(), (torch.randn(4), torch.arange(4))),
        "running_count": (RunningCount(), row),
        "namesake_of_state": (NamesakeOfState(), row),
        "rolling_buffer": (RollingBuffer(), row),
        "arguments_left_out": (ArgumentsLeftOut(), (torch.randn(2, 3, 8, 8),)),
        "narrow_index": (NarrowIndex(), (torch.randn(4, 3), torch.tensor([1, 3], dtype=torch.int32))),
        "turned_input": (TurnedInput(), (torch.randn(4, 3).t(),)),
        "channels_last_input": (
            Flattened().eval(),
            (torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last),),
        ),
        "pooled_and_scaled": (PooledAndScaled(), (torch.randn(1, 2, 5, 5), torch.randn(2, 4))),
    }
    sizes = {"unbounded_size": ({0: torch.export.Dim.DYNAMIC},)}
    assert tuple(models) == OWN
    for name, (model, args) in models.items():
        exported = torch.export.export(model, args, dynamic_shapes=sizes.get(name))
        torch.export.save(exported, folder / f"{name}.pt2")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import torch

    torch.manual_seed(0)
    export(Path(sys.argv[1]))

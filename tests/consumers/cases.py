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

    cached = (torch.randn(2, 4), torch.tensor([0, 1]))
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
    }
    assert tuple(models) == OWN
    for name, (model, args) in models.items():
        torch.export.save(torch.export.export(model, args), folder / f"{name}.pt2")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import torch

    torch.manual_seed(0)
    export(Path(sys.argv[1]))

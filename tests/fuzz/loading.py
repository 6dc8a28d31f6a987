"""Loads artifacts with stock torch as somebody would who trusts them, and says what that left behind.

A child for each file, which begins where a process begins that has torch: whatever a file does to torch ends with it.
It works in a folder of its own, and everything that stands there afterwards is a *marker*: code of the file has run, or
has written a file. Payloads make a folder, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

PAYLOAD = "graphlint_payload"
"""A module that can be imported, and leaves a marker when it is."""
SOURCE = """
import enum, os
os.makedirs("ran", exist_ok=True)
Colour = enum.Enum("Colour", ["RED"])
def call(*arguments, **keywords):
    os.makedirs("called", exist_ok=True)
"""
SECONDS = 60
"""Of one file. What takes longer is ended, and has left what it has left."""


SEPARATOR = "\t"


class Loaded(NamedTuple):
    """What came of loading a file."""

    markers: list[str]
    loads: bool
    """Whether ``torch.export.load`` gave a program."""


class Loader(AbstractContextManager["Loader"]):
    """A process with torch, and children of it."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.loading"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def load(self, path: Path, *, run: bool = True) -> Loaded:
        """Loads a file, and runs what it is."""
        self._process.stdin.write(f"{'run' if run else ''}{SEPARATOR}{path.resolve()}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError("the process that loads has died")
        return Loaded(**json.loads(line))


def _use(path: str, *, run: bool) -> None:
    """What somebody does with an artifact."""
    import torch

    with contextlib.suppress(BaseException):
        program = torch.export.load(path)
        os.write(3, b"loads")
        if not run:
            return
        for made in (program.module, lambda: torch.export.unflatten(program)):
            with contextlib.suppress(BaseException):
                module = made()
                for inputs in (lambda: _described(program), lambda: program.example_inputs):
                    with contextlib.suppress(BaseException):
                        arguments, keywords = inputs()
                        module(*arguments, **keywords)
                        break


def _described(program: Any) -> Any:
    """Inputs as the program describes them."""
    import torch

    leaves = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is torch.export.graph_signature.InputKind.USER_INPUT:
            [node] = [one for one in program.graph.nodes if one.name == spec.arg.name or one.target == spec.arg.name]
            value = node.meta["val"]
            leaves.append(torch.zeros([*map(int, value.shape)]) if isinstance(value, torch.Tensor) else value)
    return torch.utils._pytree.tree_unflatten(leaves, program.call_spec.in_spec)


def _child(path: str, folder: str, told: int, *, run: bool) -> None:
    os.setpgid(0, 0)
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.dup2(told, 3)
    _use(path, run=run)


def _loaded(path: str, *, run: bool) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        told, tells = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _child(path, folder, tells, run=run)
            finally:
                os._exit(0)
        os.close(tells)
        watched = os.pidfd_open(child)
        ended, _, _ = select.select([watched], [], [], SECONDS)
        os.close(watched)
        if not ended:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(told, "rb") as pipe:
            os.set_blocking(told, False)
            loads = pipe.read()
        return Loaded(sorted(one.name for one in Path(folder).iterdir()), bool(loads))


def _serve() -> None:
    import logging
    import warnings

    import torch

    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    warm = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "clean.pt2"
    torch.export.load(warm).module()  # what is imported late
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{PAYLOAD}.py").write_text(SOURCE)
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        for line in sys.stdin:
            to_run, _, path = line.rstrip("\n").rpartition(SEPARATOR)
            print(json.dumps(_loaded(path, run=bool(to_run))._asdict()), flush=True)


if __name__ == "__main__":
    _serve()

"""A process that judges programs, each in a child of its own: what crashes or hangs there is an outcome, not an end.

    python -m tests.consumers.worker CONSUMER

reads jobs from stdin and writes an outcome for each to stdout, one JSON object per line. The consumer is imported once
and every job forked off, which saves the seconds that importing takes.
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import msgspec
import torch

from .cases import CORPUS, PROJECT
from .outcomes import CRASHED, NOT_LOADED, TIMED_OUT, Judgement

MISTAKE = 70
"""Exit status where the harness itself fails, which is nothing to blame on a consumer."""


class Job(msgspec.Struct, frozen=True):
    """A program to be judged."""

    original: str
    """Path of the artifact as it was exported."""
    candidate: str
    """Path of the one that the consumer gets; may be the same."""
    program: str
    """Name of the program in both."""
    seconds: float
    """How long it may take."""


class Worker:
    """A process for one consumer, seen from the outside. To be closed."""

    def __init__(self, consumer: str, folder: Path) -> None:
        """``folder`` is for what the consumer leaves behind, such as compiled code."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pools of processes that a killed child would leave behind
            "TMPDIR": str(folder),
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.consumers.worker", consumer],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def judge(self, job: Job) -> Judgement:
        """The judgement of one job."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with exit status {self._process.wait()}; its errors are above")
        return msgspec.json.decode(line, type=Judgement)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main(name: str) -> None:
    """Answer jobs until there are no more."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a consumer prints as it is imported is no answer
    from .consumers import CONSUMERS
    from .judging import judge  # noqa: F401 - before the children need it

    for module in CONSUMERS[name].modules:
        importlib.import_module(module)
    warm_up()
    for line in sys.stdin.buffer:
        answers.write(msgspec.json.encode(_in_child(name, msgspec.json.decode(line, type=Job))) + b"\n")
        answers.flush()


def warm_up() -> None:
    """Load and lower a program, so that the children find imported what torch imports for that: seconds for each."""
    program = _load(str(CORPUS / "clean.pt2"), "model")
    program.module()
    program.run_decompositions({})


def _in_child(name: str, job: Job) -> Judgement:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(name, job, writing)
    os.close(writing)
    phase, answer, end = "loading", b"", time.monotonic() + job.seconds
    late = False
    with os.fdopen(reading, "rb") as pipe:
        received = b""
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                late = True
                break
            block = os.read(reading, 65536)
            if not block:
                break
            received += block
            *lines, received = received.split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    answer = line
                else:
                    phase = line.decode()
    # A compiler that it started belongs to its group and goes with it.
    if late:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if answer:
        return msgspec.json.decode(answer, type=Judgement)
    if late:
        return Judgement(TIMED_OUT, f"not done after {job.seconds:.0f} s, when {phase}")
    code = os.waitstatus_to_exitcode(status)
    if code == MISTAKE:
        raise SystemExit(MISTAKE)
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return Judgement(CRASHED, f"{how} when {phase}")


def _work(name: str, job: Job, pipe: int) -> None:
    """In the child: judge, answer through the pipe, end."""
    status = MISTAKE
    try:
        os.setsid()
        faulthandler.disable()  # where pytest has enabled it; a crash is an outcome
        warnings.simplefilter("ignore")  # also where pytest has made errors of them
        with tempfile.TemporaryFile() as noise:
            os.dup2(noise.fileno(), 1)
            errors = os.dup(2)
            os.dup2(noise.fileno(), 2)
            try:
                judgement = _judged(name, job, pipe)
            except BaseException:
                os.dup2(errors, 2)  # a mistake of the harness is to be seen
                raise
        os.write(pipe, msgspec.json.encode(judgement) + b"\n")
        status = 0
    except BaseException:  # noqa: BLE001 - the child must not go on as if it were the parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _judged(name: str, job: Job, pipe: int) -> Judgement:
    from .consumers import CONSUMERS
    from .judging import judge, reason

    torch.set_num_threads(1)
    torch.library.custom_op("sample::scale_", _scale, mutates_args={"x"})
    try:
        original = _load(job.original, job.program)
    except Exception as error:  # noqa: BLE001 - whatever keeps it from loading
        return Judgement(NOT_LOADED, reason(error))
    return judge(
        CONSUMERS[name],
        original,
        lambda: _load(job.candidate, job.program),
        lambda phase: os.write(pipe, f"{phase}\n".encode()) and None,
    )


def _scale(x: torch.Tensor, factor: float) -> None:
    """The op of ``mutable_custom_op``, as tests/artifacts/models.py has it: torch loads only what is registered."""
    x.mul_(factor)


def _load(path: str, program: str):
    from torch.export.pt2_archive._package import load_pt2

    return load_pt2(path).exported_programs[program]


if __name__ == "__main__":
    main(sys.argv[1])

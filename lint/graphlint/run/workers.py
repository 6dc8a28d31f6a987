"""Worker processes of graphlint's own: an executor that knows which call a process died of.

A :class:`concurrent.futures.ProcessPoolExecutor` fails all calls under way when one of its processes is killed,
and cannot tell which of them it was; doing them again is no way out where artifacts are rewritten. Here a thread for
each process hands it one call at a time. The processes are started afresh (no fork of a process with threads, the same
on every system), import graphlint once, and end when their standard input does, so none outlives this process.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from graphlint.run.worker import receive, send

Result = TypeVar("Result")

GRACE = 10.0
"""Seconds that a worker gets to remove its temporary file when it is told to stop."""


class WorkerDiedError(Exception):
    """A worker process ended in the middle of a call."""


class WorkerPool(Executor):
    """Calls functions in worker processes. Functions, arguments and results go there and back by pickle."""

    def __init__(self, workers: int) -> None:
        """Processes are started when there is something to do for them, at most ``workers``."""
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="graphlint-worker")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._stopped = False

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Call ``fn`` in a worker. The future raises WorkerDiedError when the worker dies of it."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end after what was submitted."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for worker in self._running():
                worker.finish()

    def stop(self) -> None:
        """End the workers now: they drop what they are doing, and remove their temporary files."""
        with self._lock:
            self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        workers = self._running()
        for worker in workers:
            worker.interrupt()
        for worker in workers:
            worker.finish()
        self._threads.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the workers; stop them when there was an exception, or nobody wants the rest of the results."""
        if kind is None:
            self.shutdown()
        else:
            self.stop()

    def _running(self) -> list[_Worker]:
        with self._lock:
            return list(self._workers)

    def _call(self, fn: Callable[..., Result], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result:
        if not hasattr(self._local, "worker"):
            try:
                self._local.worker = self._start()
            except OSError:
                # No more processes for this user, or no Python to start: it takes longer, but it can be done here.
                return fn(*args, **kwargs)
        worker: _Worker = self._local.worker
        try:
            result: Result = worker.call((fn, args, kwargs))
        except WorkerDiedError:
            del self._local.worker
            with self._lock:
                self._workers.discard(worker)
            raise
        return result

    def _start(self) -> _Worker:
        with self._lock:
            if self._stopped:
                raise WorkerDiedError("the run was interrupted")
            worker = _Worker()
            self._workers.add(worker)
            return worker


class _Worker:
    """One worker process, as seen from this side."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from graphlint.run.worker import serve; serve()"
        # In a group of its own: Ctrl-C on a terminal goes to this process only, which then ends its workers.
        new_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._process = subprocess.Popen(  # noqa: S603 - Python itself
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            creationflags=new_group,
        )
        self._calls: Any = self._process.stdin
        self._answers: Any = self._process.stdout

    def call(self, what: tuple[Any, ...]) -> Any:
        """The result of a call, or its exception."""
        try:
            send(self._calls, what)
            succeeded, value = receive(self._answers)
        except (OSError, EOFError, ValueError) as error:  # ValueError: closed meanwhile, by stop
            raise WorkerDiedError(self._obituary()) from error
        if succeeded:
            return value
        raise value

    def interrupt(self) -> None:
        """Make the process drop what it is doing; Windows has no way to tell it, and it ends after its call."""
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                self._process.terminate()

    def finish(self) -> None:
        """Wait for the process to end by itself, but not for ever."""
        with contextlib.suppress(OSError):
            self._calls.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _obituary(self) -> str:
        self.finish()
        status = self._process.returncode
        how = f"ended with exit status {status}"
        if status < 0:
            try:
                how = f"was killed by {signal.Signals(-status).name}"
            except ValueError:
                how = f"was killed by signal {-status}"
        advice = ", perhaps for lack of memory: lint it with --jobs 1" if how.endswith("SIGKILL") else ""
        return f"the worker process that linted it {how}{advice}"

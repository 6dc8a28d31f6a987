"""Linting many artifacts: each on its own, here, by worker processes or by an executor, with the results in order.

What is wrong with one artifact is its own outcome and never stops the others, be it a bug, too little memory, or a
worker that was killed. A :class:`concurrent.futures.ProcessPoolExecutor` fails all calls under way when one of its
processes is killed, and cannot tell which of them it was; doing them again is no way out where artifacts are rewritten.
So there is a pool of graphlint's own, in which a thread for each process hands it one call at a time. The processes are
started afresh and import graphlint once; the command line forks where it has no other thread, on Linux, so that they
begin at once. They end when their standard input does, so none outlives this process.
"""

# What starts processes and threads is imported where that is done.

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from graphlint.artifact.errors import GraphlintError
from graphlint.artifact.source import is_url, reason_of
from graphlint.report.results import Action, FileResult
from graphlint.rules.settings import Settings
from graphlint.run.discovery import discover

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from graphlint.run.cache import Cache, Stamp
    from graphlint.run.resolution import Resolver
    from graphlint.run.review import Reviewer

Process = Callable[..., FileResult]
"""What takes path, settings and action of a task, as the engine's ``process`` does."""

WORTH_KEEPING = 1 << 17
"""So many bytes of artifacts (:data:`EACH` of them for each) take longer to lint, 15 ms, than the cache to load."""
AHEAD = 1024
"""How many artifacts, or groups of them, are handed out at most beyond those whose results are due."""
AT_ONCE = 8
"""How many small artifacts go to a worker at once: that takes as long as one of them to lint."""
WORTH_A_WORKER = 1 << 21
"""So many bytes of a program's JSON take about 0.15 s to lint: three times what it takes to start a worker."""
LOOKED_INTO = 1 << 20
"""Files of this size and more are opened to see how much of them is program."""
SMALL = 1 << 18
"""Artifacts of fewer bytes never take so much memory that the system ends the process that lints them."""
EACH = 1 << 13
"""What an artifact costs that has next to nothing in it, in bytes of a program's JSON."""
FIXING = 4
"""A fix takes about so many times as long as a check."""
GRACE = 10.0
"""Seconds that a worker gets to remove its temporary file when it is told to stop."""


class Task(msgspec.Struct, frozen=True):
    """An artifact to lint. Goes to workers, on other machines too."""

    path: str
    settings: Settings
    action: Action = "check"
    error: str = ""
    """Why it cannot be linted."""
    reviewing: bool = False
    """Whether the engine needs to know what is accepted: that is not fixed, and not drawn. Otherwise the review comes
    after it, so that results can be kept, and workers need no source files."""
    cache: str = ""
    """The folder to keep the result in; empty for not at all."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a task."""

    result: FileResult
    done: bool = True
    """Whether the artifact was linted at all; otherwise ``result.error`` says why not."""
    bug: str = ""
    """The exception that a bug of graphlint raised."""
    trace: str = ""
    """Where it did."""
    stamp: Stamp | None = None
    """The stamp that the artifact had all the time, where the result is one to keep."""


class WorkerDiedError(Exception):
    """A worker process ended in the middle of a call."""


def tasks_for(paths: Iterable[str], resolver: Resolver, action: Action) -> list[Task]:
    """A task for each artifact that ``paths`` stand for. Raises ConfigError for a configuration that is wrong."""
    found, reviewing = discover(paths, resolver), action != "check"
    return [Task(one.path, resolver.settings_for(one.path), action, one.error, reviewing) for one in found]


def attempt(task: Task, process: Process | None = None, reviewer: Reviewer | None = None) -> Outcome:
    """Process an artifact (by the engine, unless ``process`` is given). Raises no Exception."""
    try:
        return _processed(task, process, reviewer)
    except OSError as error:
        return _failure(task, reason_of(error))
    except GraphlintError as error:
        return _failure(task, str(error))
    except MemoryError:
        return _failure(task, "there is not enough memory to lint it")
    except Exception as error:  # noqa: BLE001 - a bug met in one artifact must not hide what the others have
        import traceback

        said = f"internal error: {type(error).__name__}: {error}"
        return _failure(task, said, _described(error), "".join(traceback.format_exception(error)))


def attempt_each(tasks: Sequence[Task]) -> list[Outcome]:
    """The same of several, in a worker."""
    return [attempt(task) for task in tasks]


def _failure(task: Task, error: str, bug: str = "", trace: str = "") -> Outcome:
    return Outcome(FileResult(path=task.path, error=error), False, bug, trace)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _processed(task: Task, process: Process | None, reviewer: Reviewer | None) -> Outcome:
    from graphlint.run.engine import process as engine

    work = process or engine
    if task.reviewing:
        accept = (reviewer or _own_reviewer()).accept
        work = partial(work, review=partial(accept, task.path, task.settings.acceptance))
    if not task.cache:
        return Outcome(work(task.path, task.settings, task.action))
    from graphlint.run.cache import stamp_of

    stamp = stamp_of(task.path)
    result = work(task.path, task.settings, task.action)
    # What could not be read may be readable next time, for reasons that are not in the file.
    keeps = not result.unreadable and (task.action == "check" or is_clean(result))
    return Outcome(result, stamp=stamp if keeps and stamp_of(task.path) == stamp else None)


@functools.cache
def _own_reviewer() -> Reviewer:
    """Of a worker process, which does not outlive the run."""
    from graphlint.run.review import Reviewer

    return Reviewer()


def is_clean(result: FileResult) -> bool:
    """Whether there is nothing to report or to fix: a check, a fix and a diff then have the same result."""
    found = result.diagnostics or result.suppressed or result.fixed
    return not (found or result.changed or result.diff or result.error)


def known_outcome(task: Task, cache: Cache | None) -> Outcome | None:
    """What is known of a task: that it cannot be done, or its result of an earlier run."""
    if task.error:
        return _failure(task, task.error)
    result = None if cache is None else cache.lookup(task.path, task.settings)
    return Outcome(result) if result is not None and (task.action == "check" or is_clean(result)) else None


def with_caches(tasks: Sequence[Task], folder_of: Callable[[str], str]) -> list[Task]:
    """The tasks, with the folders that keep their results where that is worth it."""
    # Looking at the sizes first keeps a run over a few small artifacts from importing the cache. Pictures are not kept,
    # being large.
    sizes = {task.path: _size(task.path) for task in tasks if not task.settings.illustrate}
    kept = {path: size for path, size in sizes.items() if size >= 0}
    if sum(kept.values()) + len(kept) * EACH < WORTH_KEEPING:
        return list(tasks)
    return [msgspec.structs.replace(task, cache=folder_of(task.path)) if task.path in kept else task for task in tasks]


def _size(path: str) -> int:
    """In bytes; -1 for what is no file, or none of this machine."""
    with contextlib.suppress(OSError, ValueError):
        return os.stat(path).st_size
    return -1


def run(
    tasks: Sequence[Task],
    jobs: int,
    reviewer: Reviewer | None = None,
    *,
    process: Process | None = None,
    executor: Executor | None = None,
    forks: bool = False,
) -> Generator[Outcome, None, None]:
    """The outcomes in the order of the tasks, after the ``reviewer`` has seen them.

    They are worked on by the ``executor``; without one by at most ``jobs`` worker processes, if there is enough for
    them to do, and else here, by ``process``. Remote artifacts are waited for in threads of this process. ``forks``
    says that workers may be forked, where nothing else runs in this process.
    """
    caches = {folder: _cache(folder) for folder in {task.cache for task in tasks} - {""}}
    known = [known_outcome(task, caches.get(task.cache)) for task in tasks]
    own = [task for task, outcome in zip(tasks, known, strict=True) if outcome is None and executor is None]
    remote = [task for task in own if is_url(task.path)]
    local = [task for task in own if not is_url(task.path)]
    workers = min(jobs, worth(local, jobs))
    # This process is one of those that work, but for artifacts that a process may die of.
    helps = workers > 1 and process is None and all(_size(task.path) < SMALL for task in local)
    with contextlib.ExitStack() as pools:
        for cache in caches.values():
            pools.callback(cache.save)
        processes: Any = pools.enter_context(WorkerPool(workers - helps, forks=forks)) if workers > 1 else executor
        threads: Executor | None = executor
        if jobs > 1 and len(remote) > 1:
            from graphlint.artifact.remote import Fetching

            threads = pools.enter_context(Fetching(min(jobs, len(remote))))

        def here(tasks: Sequence[Task]) -> list[Outcome]:
            return [attempt(task, process, reviewer) for task in tasks]

        # Who fixes the artifacts of a worker that was killed again would say that there was nothing to fix.
        at_once = AT_ONCE if helps and all(task.action == "check" for task in local) else 1
        groups = _grouped(tasks, known, at_once)
        outcomes = _in_order(groups, lambda task: threads if is_url(task.path) else processes, here, helps=helps)
        pools.enter_context(contextlib.closing(outcomes))
        for task, outcome in zip(tasks, outcomes, strict=True):
            if outcome.stamp is not None:
                caches[task.cache].store(task.path, task.settings, outcome.stamp, outcome.result)
            if reviewer is not None and outcome.done:
                result = outcome.result if task.reviewing else reviewer.review(outcome.result, task.settings)
                noted = reviewer.note(result, task.settings).without_fixes_except(task.settings.fixable)
                outcome = msgspec.structs.replace(outcome, result=noted)  # noqa: PLW2901
            yield outcome


def _cache(folder: str) -> Cache:
    from graphlint.run.cache import Cache

    return Cache(folder)


def cores() -> int:
    """How many processes can run at once: what is taken when nobody says how many workers there are to be."""
    if getattr(sys, "frozen", False):  # there is no Python to start
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worth(tasks: Sequence[Task], most: int) -> int:
    """How many workers there is enough to do for, from the sizes of the programs; ``most`` is as good as more."""
    if most < 2 or len(tasks) < 2:
        return 1
    total = 0
    for task in tasks:
        total += (EACH + _program_size(task.path)) * (1 if task.action == "check" else FIXING)
        if total >= most * WORTH_A_WORKER:
            break
    return min(total // WORTH_A_WORKER, len(tasks))


def _program_size(path: str) -> int:
    """How many bytes of JSON there are in an artifact, roughly; 0 for what is none."""
    from graphlint.artifact.artifact import open_artifact

    size = _size(path)
    if size < LOOKED_INTO:
        return max(size, 0)
    try:
        with open_artifact(path) as artifact:
            return sum(artifact.container.members[entry.member].size for entry in artifact.programs)
    except (OSError, ValueError, GraphlintError):
        return 0


def _grouped(
    tasks: Sequence[Task], known: Sequence[Outcome | None], at_once: int
) -> Iterator[tuple[list[Task], list[Outcome] | None]]:
    """The tasks in their order: each whose outcome is known, and the others, at most so many local ones ``at_once``."""
    group: list[Task] = []
    for task, outcome in zip(tasks, known, strict=True):
        if group and (outcome is not None or is_url(task.path) or len(group) == at_once):
            yield group, None
            group = []
        if outcome is not None:
            yield [task], [outcome]
        elif is_url(task.path):
            yield [task], None
        else:
            group.append(task)
    if group:
        yield group, None


def _in_order(
    groups: Iterable[tuple[list[Task], list[Outcome] | None]],
    executor_for: Callable[[Task], Executor | None],
    here: Callable[[Sequence[Task]], list[Outcome]],
    *,
    helps: bool,
) -> Generator[Outcome, None, None]:
    """The outcomes in the order of the tasks; where there is no executor, ``here``, when its turn comes, and where it
    ``helps``, what else is waited for. What nobody waits for any more, since the iterator was closed, is cancelled.
    """
    ahead: deque[tuple[list[Task], Any]] = deque()

    def first() -> list[Outcome]:
        tasks, pending = ahead.popleft()
        place = len(ahead)
        while helps and pending is not None and not isinstance(pending, list) and not pending.done() and place:
            place -= 1  # from the end: from the front, the executor takes them
            others, later = ahead[place]
            if later is not None and not isinstance(later, list) and later.cancel():
                ahead[place] = others, here(others)
        return here(tasks) if pending is None else _awaited(tasks, pending, executor_for)

    try:
        for tasks, outcomes in groups:
            executor = executor_for(tasks[0]) if outcomes is None else None
            ahead.append((tasks, outcomes if executor is None else _submitted(tasks, executor)))
            if len(ahead) > AHEAD:
                yield from first()
        while ahead:
            yield from first()
    finally:
        for _, pending in ahead:
            if pending is not None and not isinstance(pending, list):
                pending.cancel()


def _submitted(tasks: list[Task], executor: Executor) -> list[Outcome] | Future[list[Outcome]]:
    from concurrent.futures import BrokenExecutor

    try:
        return executor.submit(attempt_each, tasks)
    except BrokenExecutor as error:
        return _lost(tasks, error)


def _awaited(
    tasks: list[Task],
    pending: list[Outcome] | Future[list[Outcome]],
    executor_for: Callable[[Task], Executor | None],
) -> list[Outcome]:
    if isinstance(pending, list):
        return pending
    try:
        if sys.platform == "win32":
            from concurrent.futures import wait

            # There, Ctrl-C does not get through to a thread that waits without end.
            while not wait([pending], timeout=0.5).done:
                pass
        return pending.result()
    except WorkerDiedError as error:
        executor = executor_for(tasks[0])
        if len(tasks) == 1 or executor is None:
            return _lost(tasks, error)
        again = [([task], _submitted([task], executor)) for task in tasks]  # which of them it was
        return [outcome for one, later in again for outcome in _awaited(one, later, executor_for)]
    except Exception as error:  # noqa: BLE001 - whatever an executor has to say of its workers
        return _lost(tasks, error)


def _lost(tasks: Sequence[Task], error: BaseException) -> list[Outcome]:
    """The outcomes of tasks whose worker, or whole executor, is gone."""
    known = isinstance(error, WorkerDiedError)
    said = str(error) if known else f"the executor did not deliver a result: {_described(error)}"
    return [_failure(task, said) for task in tasks]


class WorkerPool(contextlib.AbstractContextManager["WorkerPool"]):
    """Calls functions in worker processes. Functions, arguments and results go there and back by pickle."""

    def __init__(self, workers: int, *, forks: bool = False) -> None:
        """Processes are started when there is something to do for them, at most ``workers``; or forked at once."""
        forked = _forked(workers) if forks and _has_one_thread() else []
        import threading
        from concurrent.futures import ThreadPoolExecutor

        self._idle: list[Any] = forked
        """Processes that no thread has taken yet."""
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="graphlint-worker")
        self._local = threading.local()
        """Holds the process of each thread."""
        self._lock = threading.Lock()
        self._processes: set[Any] = set(forked)
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Call ``function`` in a worker. The future raises WorkerDiedError when the worker dies of it."""
        return self._threads.submit(self._call, function, arguments)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the workers. When there was an exception, or nobody wants the rest of the results, end them now:
        they drop what they are doing, and remove their temporary files.
        """
        if kind is not None:
            with self._lock:
                self._stopped = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            if sys.platform != "win32":  # which has no way to tell a process to end before its call does
                for process in list(self._processes):
                    process.terminate()
        else:
            self._threads.shutdown()
        for process in list(self._processes):
            _finish(process)
        self._threads.shutdown()

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            process: Any = getattr(self._local, "process", None) or self._start()
        except OSError:
            # No more processes for this user, or no Python to start: it takes longer, but it can be done here.
            return function(*arguments)
        self._local.process = process
        try:
            _send(process.stdin, (function, arguments))
            succeeded, value = _receive(process.stdout)
        except (OSError, EOFError, ValueError) as error:  # ValueError: closed meanwhile
            self._local.process = None
            self._processes.discard(process)
            raise WorkerDiedError(_obituary(process)) from error
        if succeeded:
            return value
        raise value

    def _start(self) -> Any:
        """A process that waits for calls: a started one as :class:`subprocess.Popen`. Raises OSError."""
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        from subprocess import PIPE, Popen

        code = f"import sys; sys.path[:] = {sys.path!r}; from graphlint.run.pool import serve; serve()"
        with self._lock:
            if self._stopped:
                raise WorkerDiedError("the run was interrupted")
            # In a group of its own: Ctrl-C on a terminal goes to this process only, which then ends its workers.
            process = Popen(  # noqa: S603 - Python itself
                [sys.executable, "-c", code],
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,
                creationflags=0x200 if sys.platform == "win32" else 0,  # CREATE_NEW_PROCESS_GROUP
            )
            self._processes.add(process)
        return process


class _Forked:
    """A process that goes on from where this one is, with all that is imported; as :class:`subprocess.Popen`, as far as
    a pool makes use of that.
    """

    def __init__(self, others: Iterable[_Forked]) -> None:
        """``others`` were forked before: their pipes are none of this one's. Raises OSError."""
        (calls, ours), (theirs, answers) = os.pipe(), os.pipe()
        self.stdin: BinaryIO
        self.stdout: BinaryIO
        self.returncode: int | None = None
        self._lock = allocate_lock()
        """Two threads may ask whether it has ended; the kernel tells one."""
        try:
            self.pid = os.fork()
        except OSError:
            for descriptor in (calls, ours, theirs, answers):
                os.close(descriptor)
            raise
        if not self.pid:
            try:
                for stream in (one for other in others for one in (other.stdin, other.stdout)):
                    os.close(stream.fileno())
                os.close(ours)
                os.close(theirs)
                os.setsid()
                os.dup2(calls, 0)
                os.dup2(answers, 1)
                serve()
            finally:  # it must not go on as this one does
                os._exit(1)
        os.close(calls)
        os.close(answers)
        self.stdin, self.stdout = os.fdopen(ours, "wb"), os.fdopen(theirs, "rb")

    def poll(self, options: int = os.WNOHANG if sys.platform != "win32" else 0) -> int | None:
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, options)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def wait(self) -> None:
        self.poll(0)

    def terminate(self) -> None:
        import signal

        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        import signal

        os.kill(self.pid, signal.SIGKILL)


def _has_one_thread() -> bool:
    """Whether nothing else runs in this process that a fork would leave behind half done, as the kernel of Linux counts
    it: threads of libraries too, of which Python knows nothing. False where nobody tells.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _forked(workers: int) -> list[_Forked]:
    """As many processes as there can be."""
    import graphlint.run.engine  # noqa: F401  # so that each need not

    found: list[_Forked] = []
    with contextlib.suppress(OSError):
        while len(found) < workers:
            found.append(_Forked(found))
    return found


def _finish(process: Any) -> None:
    """Wait for a worker to end by itself, since its input ends, but not for ever."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    deadline = time.monotonic() + GRACE
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    if process.poll() is None:
        process.kill()
        process.wait()
    process.stdout.close()


def _obituary(process: Any) -> str:
    _finish(process)
    how = f"ended with exit status {process.returncode}"
    if process.returncode < 0:
        import signal

        how = f"was killed by signal {-process.returncode}"
        with contextlib.suppress(ValueError):
            how = f"was killed by {signal.Signals(-process.returncode).name}"
    advice = ", perhaps for lack of memory: lint it with --jobs 1" if how.endswith("SIGKILL") else ""
    return f"the worker process that linted it {how}{advice}"


class _Interrupted(BaseException):
    """The worker is told to stop."""


def serve() -> None:
    """The worker's side: do the calls that come in on standard input, one after the other, until it ends."""
    import gc
    import signal

    gc.set_threshold(2_000_000, 20, 20)  # as the command line has it
    # What anybody prints goes to stderr, so that the answers stay legible.
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with contextlib.suppress(OSError):  # there is no stderr: then it goes nowhere
        os.dup2(2, 1)
    with contextlib.suppress(_Interrupted, BrokenPipeError, EOFError):
        if sys.platform != "win32":
            signal.signal(signal.SIGTERM, _interrupt)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            function, arguments = _receive(calls)
            try:
                answer = (True, function(*arguments))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                answer = (False, error)
            _send(answers, answer)
    # Nothing is left to be written, and taking down the interpreter would only take time.
    os._exit(0)


def _interrupt(number: int, frame: object) -> None:
    import signal

    signal.signal(number, signal.SIG_IGN)  # once is enough: what it sets off is to be left in peace
    raise _Interrupted


def _send(stream: BinaryIO, what: Any) -> None:
    import pickle

    stream.write(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))
    stream.flush()


def _receive(stream: BinaryIO) -> Any:
    """Read a message. Raises EOFError when the other side is gone."""
    import pickle

    try:
        return pickle.load(stream)  # noqa: S301 - from a process of our own
    except pickle.UnpicklingError as error:
        raise EOFError from error

"""Linting many artifacts: each on its own, here or by an executor, with the results in order.

What is wrong with one artifact is its own outcome and never stops the others, be it a bug, too little memory, or a
worker that was killed.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from graphlint.artifact.errors import GraphlintError
from graphlint.artifact.urls import is_url
from graphlint.report.results import UNUSED_IGNORE, Action, FileResult
from graphlint.rules.settings import Settings
from graphlint.run.discovery import reason
from graphlint.run.resolution import Resolved

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from graphlint.artifact.recording import RecordedFile
    from graphlint.run.cache import ResultCache
    from graphlint.run.review import Notes, Reviewer

Process = Callable[[str, Settings, Action], FileResult]

SMALLEST_KEPT = 1 << 15
"""Artifacts of fewer bytes are linted about as fast as a result is looked up: in a millisecond."""
WORTH_KEEPING = 1 << 18
"""So many bytes of artifacts take longer to lint (10 ms) than loading the cache takes."""
AHEAD = 1024
"""How many artifacts are handed out at most beyond the one whose result is due."""
WORTH_A_WORKER = 1 << 21
"""So many bytes of a program's JSON take about 0.15 s to lint: three times what it takes to start a worker."""
LOOKED_INTO = 1 << 20
"""Files of this size and more are opened to see how much of them is program."""
EACH = 1 << 13
"""What an artifact costs that has next to nothing in it, in bytes of a program's JSON."""
FIXING = 4
"""A fix takes about so many times as long as a check."""


class Task(msgspec.Struct, frozen=True):
    """An artifact to lint. Goes to workers, on other machines too."""

    path: str
    settings: Settings
    """Without review."""
    action: Action = "check"
    resolved: Resolved | None = None
    """What a review goes by, where the action needs one."""
    cache: str = ""
    """The folder to keep the result in."""
    key: bytes = b""
    """What to keep it under; empty for not at all."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a task."""

    result: FileResult
    done: bool = True
    """Whether the artifact was linted at all; otherwise ``result.error`` says why not."""
    raw: bool = False
    """Whether a review is still to come."""
    notes: Notes | None = None
    """What the review of it has to tell the run's reviewer."""
    bug: str = ""
    """The exception that a bug of graphlint raised."""
    trace: str = ""
    """Where it did."""


def attempt(task: Task, process: Process | None = None, reviewer: Reviewer | None = None) -> Outcome:
    """Process an artifact (by the engine, unless ``process`` is given). Raises no Exception.

    ``reviewer`` is the one of the run; without it, there are notes for that.
    """
    try:
        if process is None:
            return _processed(task, reviewer)
        return Outcome(process(task.path, task.settings, task.action))
    except OSError as error:
        return failure(task, reason(error))
    except GraphlintError as error:
        return failure(task, str(error))
    except MemoryError:
        return failure(task, "there is not enough memory to lint it")
    except Exception as error:  # noqa: BLE001 - a bug met in one artifact must not hide what the others have
        import traceback

        bug = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        result = FileResult(path=task.path, error=f"internal error: {type(error).__name__}: {error}")
        return Outcome(result, done=False, bug=bug, trace="".join(traceback.format_exception(error)))


def failure(task: Task, error: str) -> Outcome:
    """The outcome of a task that could not be done."""
    return Outcome(FileResult(path=task.path, error=error), done=False)


def _processed(task: Task, reviewer: Reviewer | None) -> Outcome:
    if task.resolved is None:
        return Outcome(_kept(task, task.settings), raw=True)
    # What is accepted is not fixed, so a fix needs the review before the end.
    own = reviewer or _own_reviewer()
    result = _kept(task, own.settings_for(task.path, task.resolved, task.settings))
    return Outcome(result, notes=own.take_notes() if reviewer is None else None)


def _kept(task: Task, settings: Settings) -> FileResult:
    """The engine's result, kept if it is that of a check."""
    from graphlint.run.engine import process

    if not task.key:
        return process(task.path, settings, task.action)
    from graphlint.artifact.errors import ArtifactError
    from graphlint.artifact.recording import RecordedFile

    try:
        source: RecordedFile = RecordedFile(task.path)
    except ArtifactError:
        return process(task.path, settings, task.action)  # which says it
    result = process(task.path, settings, task.action, source=source)
    # A review has noted for itself what a check tells of the lines that the programs come from.
    if task.action == "check" or (is_clean(result) and UNUSED_IGNORE not in settings.enabled):
        _cache_in(task.cache).store(task.path, task.key, source, result)
    return result


@functools.cache
def _own_reviewer() -> Reviewer:
    """Of a worker process, which does not outlive the run."""
    from graphlint.rules.registry import RULES
    from graphlint.run.review import Reviewer

    return Reviewer(RULES)


def reviewed(outcome: Outcome, resolved: Resolved, settings: Settings, reviewer: Reviewer) -> Outcome:
    """The outcome, after the run's own ``reviewer`` has seen it or what was noted of it."""
    if outcome.notes is not None:
        reviewer.add_notes(outcome.notes, resolved)
    if not outcome.raw:
        return outcome
    return msgspec.structs.replace(outcome, result=reviewer.review(outcome.result, resolved, settings), raw=False)


_CACHES: dict[str, ResultCache] = {}


def _cache_in(folder: str) -> ResultCache:
    from graphlint.run.cache import ResultCache

    if folder not in _CACHES:
        _CACHES[folder] = ResultCache(folder)
    return _CACHES[folder]


def is_clean(result: FileResult) -> bool:
    """Whether there is nothing to report or to fix: a check, a fix and a diff then have the same result."""
    found = result.diagnostics or result.suppressed or result.fixed
    return not (found or result.changed or result.diff or result.error)


def known_outcome(task: Task) -> Outcome | None:
    """What is known of a task from an earlier run."""
    if not task.key:
        return None
    result = _cache_in(task.cache).lookup(task.path, task.key)
    return Outcome(result, raw=True) if result is not None and (task.action == "check" or is_clean(result)) else None


def keyed(tasks: Sequence[Task], folders: Sequence[str]) -> list[Task]:
    """The tasks, with the folders that keep their results where that is worth it."""
    # Looking at the sizes first keeps a run over a few small artifacts from importing the cache.
    sizes = [_size(task.path) for task in tasks]
    if sum(size for size in sizes if size >= SMALLEST_KEPT) < WORTH_KEEPING:
        return list(tasks)
    return [
        task if size < SMALLEST_KEPT else _keyed(task, folder)
        for task, size, folder in zip(tasks, sizes, folders, strict=True)
    ]


def _keyed(task: Task, folder: str) -> Task:
    return msgspec.structs.replace(task, cache=folder, key=_cache_in(folder).key(task.path, task.settings))


def _size(path: str) -> int:
    """In bytes; -1 for what is no file, or none of this machine."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1


def run(
    tasks: Sequence[Task],
    known: Sequence[Outcome | None],
    jobs: int,
    here: Callable[[Task], Outcome] = attempt,
) -> Generator[Outcome, None, None]:
    """The outcomes in the order of the tasks, by at most ``jobs`` worker processes if there is enough for them to do.

    ``known`` are the outcomes that are known already. Remote artifacts are waited for in threads of this process.
    """
    from contextlib import ExitStack

    unknown = [task for task, outcome in zip(tasks, known, strict=True) if outcome is None]
    remote = [task for task in unknown if is_url(task.path)]
    local = [task for task in unknown if not is_url(task.path)]
    with ExitStack() as pools:
        processes: Executor | None = None
        threads: Executor | None = None
        workers = min(jobs, worth(local, jobs))
        if workers > 1:
            from graphlint.run.workers import WorkerPool

            processes = pools.enter_context(WorkerPool(workers))
        if jobs > 1 and len(remote) > 1:
            from graphlint.artifact.remote import Fetching

            threads = pools.enter_context(Fetching(min(jobs, len(remote))))
        yield from in_order(tasks, known, lambda task: threads if is_url(task.path) else processes, here)


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


def in_order(
    tasks: Iterable[Task],
    known: Iterable[Outcome | None],
    executor_for: Callable[[Task], Executor | None],
    here: Callable[[Task], Outcome] = attempt,
) -> Generator[Outcome, None, None]:
    """The outcomes in the order of the tasks.

    ``executor_for`` says who does a task: None for this process, when its turn comes. What nobody waits for any more,
    since the iterator was closed, is cancelled.
    """
    ahead: deque[tuple[Task, Outcome | Future[Outcome] | None]] = deque()
    try:
        for task, outcome in zip(tasks, known, strict=True):
            ahead.append((task, _handed_out(task, executor_for(task)) if outcome is None else outcome))
            if len(ahead) > AHEAD:
                yield _awaited(*ahead.popleft(), here)
        while ahead:
            yield _awaited(*ahead.popleft(), here)
    finally:
        for _, pending in ahead:
            if pending is not None and not isinstance(pending, Outcome):
                pending.cancel()


def _handed_out(task: Task, executor: Executor | None) -> Outcome | Future[Outcome] | None:
    if executor is None:
        return None
    from concurrent.futures import BrokenExecutor

    try:
        return executor.submit(attempt, task)
    except BrokenExecutor as error:
        return _lost(task, error)


def _awaited(task: Task, pending: Outcome | Future[Outcome] | None, here: Callable[[Task], Outcome]) -> Outcome:
    if isinstance(pending, Outcome):
        return pending
    if pending is None:
        return here(task)
    try:
        return _result_of(pending)
    except Exception as error:  # noqa: BLE001 - whatever an executor has to say of its workers
        return _lost(task, error)


def _result_of(future: Future[Outcome]) -> Outcome:
    if sys.platform == "win32":
        from concurrent.futures import wait

        # There, Ctrl-C does not get through to a thread that waits without end.
        while not wait([future], timeout=0.5).done:
            pass
    return future.result()


def _lost(task: Task, error: BaseException) -> Outcome:
    """The outcome of a task whose worker, or whole executor, is gone."""
    from graphlint.run.workers import WorkerDiedError

    if isinstance(error, WorkerDiedError):
        return failure(task, str(error))
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return failure(task, f"the executor did not deliver a result: {what}")

"""Worker processes: what they answer, what becomes of one that dies, and that none outlives its pool."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from graphlint.run.pool import Task, WorkerDiedError, WorkerPool, attempt

ARTIFACTS = Path(__file__).parent / "artifacts" / "2.13.0"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_calls_and_exceptions():
    with WorkerPool(2) as pool:
        futures = [pool.submit(math.sqrt, number) for number in range(20)]
        broken = pool.submit(math.sqrt, -1)
        assert [future.result() for future in futures] == [math.sqrt(number) for number in range(20)]
        assert isinstance(broken.exception(), ValueError)


def test_calls_are_spread_over_processes_that_stay():
    with WorkerPool(2) as pool:
        pool.submit(time.sleep, 0.3)
        processes = {pool.submit(os.getpid).result() for _ in range(10)}
    assert os.getpid() not in processes
    assert len(processes) <= 2


def test_what_is_printed_does_not_disturb_the_answers(capfd):
    with WorkerPool(1) as pool:
        pool.submit(print, "from a worker").result()
        pool.submit(os.write, 1, b"from below\n").result()
        assert pool.submit(abs, -1).result() == 1
    assert capfd.readouterr().out == ""


@POSIX
def test_only_the_call_that_a_worker_dies_of_fails():
    with WorkerPool(2) as pool:
        futures = [pool.submit(abs, -1), pool.submit(signal.raise_signal, signal.SIGKILL)]
        futures += [pool.submit(abs, -number) for number in range(10)]
        futures.append(pool.submit(os._exit, 3))
        futures += [pool.submit(abs, -number) for number in range(10)]
        failures = [future.exception() for future in futures]
        results = [future.result() for future in futures if future.exception() is None]
    assert [index for index, failure in enumerate(failures) if failure is not None] == [1, 12]
    assert results == [1, *range(10), *range(10)]
    assert str(failures[1]) == (
        "the worker process that linted it was killed by SIGKILL, perhaps for lack of memory: lint it with --jobs 1"
    )
    assert str(failures[12]) == "the worker process that linted it ended with exit status 3"
    assert isinstance(failures[1], WorkerDiedError)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@POSIX
def test_a_pool_that_is_left_by_an_exception_stops_at_once(monkeypatch):
    monkeypatch.setattr("graphlint.run.pool.GRACE", 600.0)  # they end since they are told to
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), WorkerPool(2) as pool:  # noqa: PT012
        process = pool.submit(os.getpid).result()
        futures = [pool.submit(time.sleep, 600) for _ in range(4)]
        while not futures[1].running():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 300
    assert not alive(process)
    assert all(future.done() for future in futures)
    assert isinstance(futures[0].exception(), WorkerDiedError)
    with pytest.raises(CancelledError):
        futures[-1].result()


@POSIX
def test_workers_end_with_the_process_that_started_them(tmp_path):
    code = (
        "import os, sys\n"
        "from graphlint.run.pool import WorkerPool\n"
        "pool = WorkerPool(1)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while alive(worker) and not is_zombie(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_zombie(process: int) -> bool:
    """Whether nobody has asked for the exit status yet: in a container, there may be nobody to."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def test_a_worker_imports_what_a_check_does(default_rules):
    task = Task(str(ARTIFACTS / "key_value_cache.pt2"), default_rules)
    with WorkerPool(1) as pool:
        assert [one.code for one in pool.submit(attempt, task).result().result.diagnostics] == ["GL103"]
        loaded = pool.submit(eval, "set(__import__('sys').modules)").result()
    assert "graphlint.run.engine" in loaded
    assert not {"torch", "click", "fsspec", "json", "logging", "multiprocessing"} & loaded


def test_without_processes_it_is_done_here(monkeypatch):
    monkeypatch.setattr(sys, "executable", str(Path("no", "python")))
    with WorkerPool(2) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()
        assert isinstance(pool.submit(math.sqrt, -1).exception(), ValueError)


def test_arguments_that_do_not_pickle_leave_the_worker_alive():
    with WorkerPool(1) as pool:
        process = pool.submit(os.getpid).result()
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            pool.submit(lambda: 1).result()
        assert pool.submit(os.getpid).result() == process


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
@pytest.mark.parametrize("threaded", [False, True])
def test_only_a_process_without_other_threads_is_forked(threaded):
    """A forked worker has what the process had imported; one that is started afresh has not."""
    code = (
        "import sys, threading\n"
        "from graphlint.run.pool import WorkerPool\n"
        "sys.modules['a_mark'] = sys\n"
        f"if {threaded}: threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "with WorkerPool(1, forks=True) as pool:\n"
        "    print(pool.submit(eval, \"'a_mark' in __import__('sys').modules\").result())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == (f"{not threaded}\n", "")

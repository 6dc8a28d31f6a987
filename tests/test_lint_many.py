"""``graphlint.lint_many``: results in order, by any executor."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest

import graphlint
import graphlint.run.pool
from graphlint.artifact.errors import ConfigError
from graphlint.run.pool import Task

ARTIFACTS = Path(__file__).parent / "artifacts"
FOLDERS = [ARTIFACTS / version for version in ("2.13.0", "2.6.0")]


@pytest.fixture(scope="module")
def expected():
    """One after the other, in this process."""
    return [graphlint.lint(path, isolated=True) for folder in FOLDERS for path in sorted(folder.glob("*.pt2"))]


def test_without_an_executor(expected):
    results = graphlint.lint_many(FOLDERS, isolated=True)
    assert next(results) == expected[0]
    assert list(results) == expected[1:]
    assert list(graphlint.lint_many(FOLDERS, isolated=True, jobs=1)) == expected


def test_with_threads(expected):
    with ThreadPoolExecutor(4) as executor:
        assert list(graphlint.lint_many(FOLDERS, executor=executor, isolated=True)) == expected
        assert executor.submit(abs, -1).result() == 1  # it is left running


def test_with_processes(expected):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert list(graphlint.lint_many(FOLDERS, executor=executor, isolated=True)) == expected


@pytest.mark.filterwarnings("ignore")  # whatever that library and those below it warn of
def test_with_a_dask_cluster(expected, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        results = graphlint.lint_many(FOLDERS, executor=client.get_executor(), isolated=True)
        assert list(results) == expected


def test_enough_work_is_done_by_processes_of_its_own(tmp_path):
    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    try:
        from programs import write_artifact
    finally:
        sys.path.pop(0)
    first = write_artifact(tmp_path / "0.pt2", 2000, 100)
    for number in range(1, 6):
        shutil.copy(first, tmp_path / f"{number}.pt2")
    # No `if __name__ == "__main__"`: a script need not be importable.
    code = (
        "import graphlint, sys\n"
        "results = list(graphlint.lint_many('.', jobs=2, isolated=True))\n"
        "print([(result.path, len(result.diagnostics), result.error) for result in results])\n"
        "print('subprocess' in sys.modules, 'graphlint.run.engine' in sys.modules)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    found = len(graphlint.lint(first, isolated=True).diagnostics)
    assert found > 90
    shown = [(f"{number}.pt2", found, None) for number in range(6)]
    assert result.stdout.splitlines() == [str(shown), "True False"]
    assert result.stderr == ""


def test_paths_are_those_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graphlint.toml").write_text('ignore = ["GL103"]\nexclude = ["left-out"]\n')
    for name in ("b/x.pt2", "a/y.pt2", "left-out/z.pt2", "named.bin"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ARTIFACTS / "2.13.0" / "key_value_cache.pt2", name)
    results = list(graphlint.lint_many(["nowhere.pt2", Path("named.bin"), ".", "a/y.pt2"]))
    below = [os.path.normpath(path) for path in ("a/y.pt2", "b/x.pt2", "left-out/z.pt2")]
    assert [result.path for result in results] == ["nowhere.pt2", "named.bin", *below[:2]]
    assert [result.error for result in results] == ["No such file or directory", None, None, None]
    assert [result.diagnostics for result in results] == [()] * 4
    assert [result.path for result in graphlint.lint_many("**/*.pt2")] == below
    assert [result.error for result in graphlint.lint_many("*.pt3")] == ["nothing matches this pattern"]
    assert list(graphlint.lint_many([])) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"select": "GL999"}, "GL999"), ({"jobs": 0}, "jobs: expected a number of at least 1, found 0")],
)
def test_wrong_options_are_told_at_once(options, message):
    with pytest.raises(ConfigError, match=message):
        graphlint.lint_many(FOLDERS, **options)


def test_a_broken_executor_is_an_error_of_each_artifact():
    paths = [ARTIFACTS / "2.13.0" / f"{name}.pt2" for name in ("clean", "async_assert")]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(os._exit, 1).result()
        results = list(graphlint.lint_many(paths, executor=executor, isolated=True))
    assert [result.path for result in results] == [str(path) for path in paths]
    for result in results:
        assert result.error.startswith("the executor did not deliver a result: BrokenProcessPool: ")


def test_what_nobody_waits_for_is_cancelled(monkeypatch):
    begun, closed = [], threading.Event()

    def attempt(task):
        begun.append(task.path)
        if len(begun) > 1:
            assert closed.wait(60)
        return graphlint.run.pool.Outcome(graphlint.FileResult(task.path))

    monkeypatch.setattr("graphlint.run.pool.attempt", attempt)
    with ThreadPoolExecutor(1) as executor:
        results = graphlint.lint_many(FOLDERS, executor=executor, isolated=True)
        next(results)
        results.close()
        closed.set()
        # Nothing of it stands in the way any more.
        assert executor.submit(abs, -1).result(timeout=60) == 1
    assert len(begun) <= 2


def test_an_executor_that_was_shut_down_is_the_callers_mistake():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(graphlint.lint_many(FOLDERS, executor=executor, isolated=True))


def test_what_goes_to_workers_and_back_is_small(expected):
    settings = graphlint.run.api.program_settings(target="onnx,coreml")
    assert (
        len(pickle.dumps(Task("s3://bucket/model.pt2", settings))) < 50_000
    )  # the names of the ops that targets refuse
    for result in expected:
        assert len(pickle.dumps(result)) < 600 + 1200 * len(result.diagnostics)

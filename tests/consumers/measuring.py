"""Runs consumers over cases: before and after ``graphlint check --fix --target T``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from .cases import Case
from .consumers import CONSUMERS
from .outcomes import Judgement
from .preparing import Prepared, prepare, prepare_here
from .verdict import Cell
from .worker import Job, Worker

SECONDS = 300.0
"""How long a consumer may take for one program."""


class Measuring:
    """One consumer, ready for cases."""

    def __init__(self, consumer: str, folder: Path, worker: Worker) -> None:
        self._target = CONSUMERS[consumer].target
        self._folder = folder
        self._worker = worker

    def after(self, case: Case) -> tuple[Prepared, Judgement]:
        """What comes of the fixed program."""
        fixed, fix = self._prepared(case)
        return fix, self._judge(case, fixed)

    def clean(self, case: Case) -> tuple[Prepared, Judgement | None]:
        """What comes of the fixed program where graphlint calls it clean; it is not run otherwise."""
        fixed, fix = self._prepared(case, prepare_here)
        return fix, self._judge(case, fixed) if fix.clean else None

    def both(self, case: Case) -> Cell:
        """What comes of it before and after the fix; what the fix did not change is not run twice."""
        fixed, fix = self._prepared(case)
        before = self._judge(case, case.path)
        return Cell(fix, self._judge(case, fixed) if fix.changed else before, before)

    def _prepared(self, case: Case, prepared: Callable[[Path, str, str], Prepared] = prepare) -> tuple[Path, Prepared]:
        fixed = self._folder / f"{case.path.stem}.{case.program}.pt2"
        shutil.copyfile(case.path, fixed)
        return fixed, prepared(fixed, case.program, self._target)

    def _judge(self, case: Case, candidate: Path) -> Judgement:
        return self._worker.judge(Job(str(case.path), str(candidate), case.program, SECONDS))


@contextmanager
def measuring(consumer: str, folder: Path) -> Iterator[Measuring]:
    """A consumer in a process of its own. ``folder`` takes the fixed artifacts and what the consumer leaves behind."""
    own = folder / consumer
    own.mkdir(parents=True)
    with closing(Worker(consumer, own)) as worker:
        yield Measuring(consumer, own, worker)


def measure(consumer: str, cases: Sequence[Case], folder: Path, report: Callable[[str], None]) -> dict[str, Cell]:
    """All cases with one consumer; ``report`` is told each result in a line."""
    cells = {}
    with measuring(consumer, folder) as running:
        for case in cases:
            cell = cells[case.name] = running.both(case)
            assert cell.before is not None
            said = "clean" if cell.fix.clean else f"reports {', '.join(cell.fix.left)}"
            line = (
                f"{consumer:10} {case.name:26} {cell.before.describe()} -> {cell.after.describe()}; graphlint: {said}"
            )
            report(f"{line}; {cell.after.detail}" if cell.after.detail else line)
    return cells

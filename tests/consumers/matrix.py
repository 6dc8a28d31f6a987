"""What real consumers take, before and after ``graphlint check --fix --target``: runs them all.

    python tests/consumers/matrix.py [--consumer NAME]... [--case NAME]... [--jobs N] [--write]

prints a line for each program and consumer, then the table. ``--write`` keeps what was measured in results.json and
puts the table into docs/site/guide/targets.md; with ``--consumer`` or ``--case``, the rest stays as it was measured
before. There is a table once every consumer was measured on every case. Exits 1 where graphlint calls a program clean
that its consumer refuses or runs differently, unless exceptions.toml says so, and where an exception does not occur any
more. README.md beside this file says what has to be installed; a missing consumer is an error.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.consumers import results, table
from tests.consumers.cases import all_cases
from tests.consumers.consumers import CONSUMERS
from tests.consumers.measuring import measure
from tests.consumers.results import COMMAND, Measured, Results
from tests.consumers.verdict import load_exceptions, problems


def machine() -> str:
    """What it was measured on, in words."""
    compiler = subprocess.run(
        [os.environ.get("CXX", "g++"), "--version"], capture_output=True, text=True, check=False
    ).stdout.partition("\n")[0]
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {compiler or 'no compiler'}"


def versions(chosen: list[str]) -> dict[str, Measured]:
    """The consumers with their versions. SystemExit where one is not installed."""
    found, missing = {}, []
    for name in chosen:
        consumer = CONSUMERS[name]
        try:
            found[name] = Measured(consumer.title, consumer.target, consumer.versions())
        except importlib.metadata.PackageNotFoundError as error:
            missing.append(f"{name}: package {error.name} is not installed")
    if missing:
        raise SystemExit("\n".join([*missing, "pip install -e . --group consumers installs all of them"]))
    return found


def main() -> int:
    """Measure, print, judge, and write if told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consumer", action="append", choices=list(CONSUMERS), help="one of them (default: all)")
    parser.add_argument("--case", action="append", help="one of them (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="how many consumers run at a time")
    parser.add_argument(
        "--write", action="store_true", help="write results.json and the table in docs/site/guide/targets.md"
    )
    options = parser.parse_args()
    chosen = options.consumer or list(CONSUMERS)
    partly = bool(options.consumer or options.case)
    measured = versions(chosen)
    before = results.read() if options.write and partly else None
    if before is not None and options.case:
        other = [name for name in chosen if measured[name] != before.consumers.get(name)]
        if other:
            parser.error(f"results.json has other versions of {', '.join(other)}: measure all cases")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = all_cases(folder)
        unknown = set(options.case or ()) - {case.name for case in cases}
        if unknown:
            parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in cases)}")
        cases = [case for case in cases if not options.case or case.name in options.case]
        with ThreadPoolExecutor(options.jobs) as pool:
            columns = dict(
                zip(
                    chosen,
                    pool.map(lambda one: measure(one, cases, folder, lambda line: print(line, flush=True)), chosen),
                    strict=True,
                )
            )
    found = Results(
        f"{COMMAND} (see tests/consumers/README.md)",
        machine(),
        measured,
        {case.name: {consumer: columns[consumer][case.name] for consumer in chosen} for case in cases},
    )
    if before is not None:
        found = results.merged(before, found)
        partly = False
    exceptions = load_exceptions()
    if options.write:
        results.write(found)
    lacking = {name: sorted(found.consumers.keys() - row.keys()) for name, row in found.cases.items()}
    if any(lacking.values()):  # of a new case, measured where some consumers are installed only
        left = "; ".join(f"{name}: {', '.join(missing)}" for name, missing in lacking.items() if missing)
        print(f"no table yet, these are not measured: {left}")
    else:
        text = table.matrix(found, exceptions)
        print(f"\n{text}\n")
        if options.write:
            table.replace(text)
    wrong = problems(found.cells(), exceptions, partly=partly)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())

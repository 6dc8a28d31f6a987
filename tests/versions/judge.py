"""graphlint's fixes in other versions of torch, beside ``run_decompositions({})`` there.

::

    python -m tests.versions.judge 2.6=/path/to/python 2.9.1        # a Python with torch, or a version to install
    python -m tests.versions.judge --programs 100 --families named 2.15=/path/to/python

In each version the artifacts of the tests that it loads, the named modules and random modules are fixed, loaded, and
called several times beside the original: results, state, errors and random numbers, to the bit. What that torch exports
and loads itself is judged only. A version that is to be installed gets an environment of its own, which is deleted
afterwards; pip's own settings (PIP_CONSTRAINT, say) hold. Results go to ``results.json``, and from there into the table
of CONTRIBUTING.md. Exit status 1 where something of graphlint's is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import venv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.versions import table

PROJECT = Path(__file__).parents[2]
SECONDS = 180
"""How long one program may take."""
NEEDS = ("numpy", "expecttest", "msgspec", "packaging", "click")
Line = dict[str, Any]


def judged(python: str, family: str, arguments: list[str]) -> Iterator[Line]:
    """The outcomes of a family's programs. One that takes torch's process with it, or too long, is told, too."""
    after, paths = "", os.pathsep.join([str(PROJECT / "lint"), str(PROJECT)])
    while True:
        call = [python, "-m", "tests.versions.worker", family, *arguments, "--after", after]
        environment = {**os.environ, "PYTHONPATH": paths}
        with subprocess.Popen(
            call, env=environment, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            errors: list[str] = []
            threading.Thread(target=errors.extend, args=(process.stderr or (),), daemon=True).start()
            begun = ""
            for line in _lines(process):
                if "begins" in line:
                    begun = line["begins"]
                else:
                    begun, after = "", line["name"]
                    yield line
        if process.returncode == 0:
            return
        if not begun:
            raise RuntimeError(f"{' '.join(call)} failed: {''.join(errors)[-2000:]}")
        yield {"name": begun, "unjudged": f"torch ended with {process.returncode}"}
        after = begun


def _lines(process: subprocess.Popen[str]) -> Iterator[Line]:
    """Lines of the process, which is killed where none comes for too long."""
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SECONDS)
        except queue.Empty:
            process.kill()
            return
        if not line:
            return
        yield json.loads(line)


def summary(lines: list[Line]) -> dict[str, int]:
    """The numbers of the table."""
    tried = [line for line in lines if "unjudged" not in line]
    ours, theirs = (Counter(line[tool] for line in tried) for tool in ("graphlint", "stock"))
    behind = sum(line["stock"] == "equal" != line["graphlint"] for line in tried)
    return {
        "programs": len(tried),
        **{f"graphlint {name}": ours[name] for name in table.OUTCOMES},
        **{f"stock {name}": theirs[name] for name in table.OUTCOMES},
        "stock only": behind,
    }


def measure(python: str, family: str, options: argparse.Namespace) -> dict[str, int]:
    """A family's numbers in one version. Prints what is wrong, and what stock torch does and graphlint does not."""
    lines = []
    for line in judged(python, family, ["--seed", str(options.seed), "--programs", str(options.programs)]):
        lines.append(line)
        if options.verbose and "unjudged" in line:
            print(f"{family} {line['name']}: not judged: {line['unjudged']}", flush=True)
        elif line.get("graphlint") == "wrong" or line.get("stock") == "equal" != line.get("graphlint"):
            print(f"{family} {line['name']}: {line['graphlint']}: {line['why']} (stock: {line['stock']})", flush=True)
    return summary(lines)


def install(version: str, folder: Path) -> str:
    """An environment with that torch; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", f"torch=={version}", *NEEDS]
    subprocess.run(command, check=True)
    return str(python)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog=table.COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION[=PYTHON]", help="default: only the table is written")
    parser.add_argument("--families", nargs="*", default=table.FAMILIES, choices=table.FAMILIES)
    parser.add_argument("--programs", type=int, default=300, help="how many random ones")
    parser.add_argument("--seed", type=int, default=1, help="number of the first random one")
    parser.add_argument("--verbose", action="store_true", help="say, too, what torch neither exports nor loads")
    options = parser.parse_args(arguments)
    wrong = 0
    for given in options.versions:
        version, _, python = given.partition("=")
        name = ".".join(version.split(".")[:2])
        print(f"torch {version}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            python = python or install(version, Path(folder))
            for family in options.families:
                found = measure(python, family, options)
                wrong += found["graphlint wrong"]
                results = table.read()
                results.setdefault(name, {})[family] = found
                table.write(results)
    table.into_contributing(table.render(table.read()))
    print(table.render(table.read()))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""graphlint and ``run_decompositions({})`` side by side on models of libraries.

::

    python -m tests.models.libraries [--json FILE] [--seed N] [WORD...]   # those whose names have all the words

It needs ``pip install -e . --group libraries``, in an environment of its own. Prints a table: model, variant, what
either makes of it. Exit status 1 where graphlint is wrong, or falls short of what stock torch makes functional.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.models.compare import METADATA_CHECKS, compare
from tests.models.libraries import CASES
from tests.models.libraries.build import exported
from tests.models.zoo import build

COMMAND = "python -m tests.models.libraries"


def rows(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """What came of each."""
    for name in names:
        try:
            made = exported(CASES[name])
            yield compare(name, lambda made=made: made, folder)
        except Exception as error:  # noqa: BLE001 - what torch or a library cannot do
            yield {"model": name, "unexported": f"{type(error).__name__}: {error}".splitlines()[0][:160]}


def line(row: dict[str, Any]) -> str:
    """A line of the table."""
    model, _, variant = row["model"].partition(": ")
    if "unexported" in row:
        return f"| {model} | {variant} | not exported: {row['unexported']} | |"
    cells = [outcome(row[tool]) for tool in ("graphlint", "run_decompositions")]
    return f"| {model} | {variant} | {' | '.join(cells)} |"


def outcome(found: dict[str, Any]) -> str:
    """In words, what a tool made of a program."""
    if found["functional"] == "fails":
        return f"fails: {found['equal']}"
    if found["equal"] != "yes":
        return f"differs: {found['equal']}"
    return "functional, equal" if found["functional"] == "yes" else f"equal, left: {found['functional']}"


def falls_short(row: dict[str, Any]) -> bool:
    """Whether graphlint is wrong, or leaves what stock torch makes functional but for checks of metadata."""
    if "unexported" in row:
        return False
    ours, theirs = row["graphlint"], row["run_decompositions"]
    if ours["equal"] != "yes":
        return True
    pure = theirs["equal"] == "yes" and all(
        found.endswith((METADATA_CHECKS, "yes")) for found in theirs["functional"].split(", ")
    )
    return ours["functional"] != "yes" and pure


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only models with these words in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came of each there too")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs")
    options = parser.parse_args(arguments)
    build.SEED = options.seed
    logging.disable(logging.CRITICAL)
    names = [name for name in CASES if all(word in name for word in options.words)]
    found = []
    print("| model | variant | graphlint | run_decompositions({}) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(names, Path(folder)):
            found.append(row)
            print(line(row), flush=True)
    judged = [row for row in found if "unexported" not in row]
    for tool in ("graphlint", "run_decompositions"):
        counted = Counter(outcome(row[tool]).partition(":")[0] for row in judged)
        print(f"{tool}: " + ", ".join(f"{count} {what}" for what, count in counted.most_common()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(map(falls_short, found)))


if __name__ == "__main__":
    sys.exit(main())

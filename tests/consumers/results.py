"""What was measured, as ``results.json`` keeps it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .verdict import Cell

PATH = Path(__file__).parent / "results.json"
COMMAND = "python tests/consumers/matrix.py --write"


class Measured(msgspec.Struct, frozen=True):
    """A consumer as it was measured."""

    title: str
    target: str
    versions: dict[str, str]


class Results(msgspec.Struct, frozen=True):
    """All that was measured. No times and no dates: measuring the same again gives the same file."""

    made_by: str
    machine: str
    """Processor, operating system, Python, C++ compiler."""
    consumers: dict[str, Measured]
    cases: dict[str, dict[str, Cell]]
    """By case and consumer."""

    def cells(self) -> dict[tuple[str, str], Cell]:
        """By case and consumer together."""
        return {(case, consumer): cell for case, row in self.cases.items() for consumer, cell in row.items()}


def read(path: Path = PATH) -> Results:
    """What was measured last."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def merged(before: Results, found: Results) -> Results:
    """What was measured now, and for the rest what was measured before; in the order of before."""
    cases = {case: dict(row) for case, row in before.cases.items()}
    for case, row in found.cases.items():
        cases.setdefault(case, {}).update(row)
    consumers = {**before.consumers, **found.consumers}
    ordered = {case: {name: row[name] for name in consumers if name in row} for case, row in cases.items()}
    return Results(before.made_by, found.machine, consumers, ordered)


def write(results: Results, path: Path = PATH) -> None:
    """Keep it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")

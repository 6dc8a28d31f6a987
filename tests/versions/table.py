"""What judge.py measured, and the table that CONTRIBUTING.md shows of it."""

from __future__ import annotations

import json
from pathlib import Path

COMMAND = "python -m tests.versions.judge"
FAMILIES = ("artifacts", "named", "random")
OUTCOMES = ("equal", "refused", "wrong")
RESULTS = Path(__file__).with_name("results.json")
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
BEGIN, END = f"<!-- versions: {COMMAND} -->\n", "<!-- end of versions -->\n"

Results = dict[str, dict[str, dict[str, int]]]
"""Version, family, number."""


def read() -> Results:
    """What was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write(results: Results) -> None:
    """Keep it, by version."""
    ordered = sorted(results.items(), key=lambda one: tuple(map(int, one[0].split("."))))
    RESULTS.write_text(json.dumps(dict(ordered), indent=1) + "\n")


def render(results: Results) -> str:
    """A Markdown table, a line for each version and family."""
    lines = [
        "| torch | | programs | functional, equal | refused | wrong | stock: the same | refused | wrong | behind |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for version, families in results.items():
        for family in FAMILIES:
            if family in families:
                row = families[family]
                numbers = [row[f"{tool} {name}"] for tool in ("graphlint", "stock") for name in OUTCOMES]
                cells = [version, family, row["programs"], *numbers, row["stock only"]]
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def into_contributing(text: str) -> None:
    """Put the table between its marks in CONTRIBUTING.md."""
    content = CONTRIBUTING.read_text()
    before, _, rest = content.partition(BEGIN)
    _, _, after = rest.partition(END)
    CONTRIBUTING.write_text(before + BEGIN + text + END + after)


def in_contributing() -> str:
    """The table that CONTRIBUTING.md shows."""
    return CONTRIBUTING.read_text().partition(BEGIN)[2].partition(END)[0]

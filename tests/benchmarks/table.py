"""The figures of run.py as a table, which the documentation shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "site" / "speed.md"
BEGIN = "<!-- benchmarks: python tests/benchmarks/run.py --docs -->\n"
END = "<!-- end of benchmarks -->\n"

TOOLS = {
    "load": "`torch.export.load`",
    "decompose": "load, `run_decompositions({})`, save",
    "cp": "`cp` and `sync`",
}


def render(results: dict[str, Any]) -> str:
    """A Markdown table, a line for each artifact and action."""
    lines = [
        "| | ops | nodes | weights | graphlint: time, CPU time, memory | to the floor | to Python | beside it | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        ours = row["graphlint"]
        floor, python = (
            f"{ours['cpu'] / row[tool]['cpu']:.2f}" if tool in row else "-" for tool in ("floor", "python")
        )
        beside, factor = "-", "-"
        tool = next((tool for tool in TOOLS if tool in row), None)
        if tool is not None:
            theirs = row[tool]
            ratio = theirs["wall"] / ours["wall"]
            beside = f"{TOOLS[tool]}: {_seconds(theirs['wall'])}, {theirs['peak']:.0f} MiB"
            factor = f"{ratio:.0f} times faster" if ratio >= 2 else f"{1 / ratio:.2f} times as long"
        cost = f"{_seconds(ours['wall'])}, {_seconds(ours['cpu'])}, {ours['peak']:.0f} MiB"
        cells = (
            f"`{row['action']}`",
            row["form"],
            f"{row['nodes']:,}",
            _size(row["weights"]),
            cost,
            floor,
            python,
            beside,
            factor,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def into_page(text: str, begin: str, end: str) -> None:
    """Put a table between its marks on the page."""
    content = PAGE.read_text()
    before, _, rest = content.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(before + begin + text + end + after)


def in_page(begin: str, end: str) -> str:
    """The table that the page shows between two marks."""
    return PAGE.read_text().partition(begin)[2].partition(end)[0]


def _size(size: int) -> str:
    if not size:
        return "none"
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


def _seconds(value: float) -> str:
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"

"""The pictures of the site: ``python docs/pictures.py`` draws them anew.

Graphs are what ``graphlint show`` draws, terminals what commands print there. The report is a photograph of its page,
which takes the extra ``browser`` and a Chromium.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PROJECT = Path(__file__).parents[1]
PICTURES = PROJECT / "docs" / "site" / "pictures"
ARTIFACTS = PROJECT / "tests" / "artifacts" / "2.13.0"
COLUMNS = 110


def drawn() -> Iterator[tuple[str, str]]:
    """The name and the SVG of each picture that is drawn."""
    yield "cache.svg", _graph("key_value_cache")
    yield "view.svg", _graph("intermediate")
    words = ["tests/artifacts/2.13.0/key_value_cache.pt2", "tests/artifacts/2.13.0/async_assert.pt2"]
    yield "terminal.svg", _terminal("graphlint artifacts/", ["--isolated", *words])


def _graph(artifact: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.svg"
        _graphlint("show", "--isolated", str(ARTIFACTS / f"{artifact}.pt2"), "-o", str(path))
        return path.read_text(encoding="utf-8")


def _terminal(shown: str, arguments: list[str]) -> str:
    """What a command prints on a terminal. ``shown`` is what the picture says was typed."""
    output = _on_terminal(["check", "--output-format", "full", *arguments])
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {shown}\n{output}"))
    return console.export_svg(title="graphlint", unique_id="graphlint")


def _on_terminal(arguments: list[str]) -> str:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "graphlint", *arguments]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=follower, stderr=follower, stdin=follower):
        os.close(follower)
        parts = []
        try:
            while part := os.read(leader, 1 << 16):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n")


def _graphlint(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "graphlint", *arguments], cwd=PROJECT, check=True, capture_output=True)


def photograph(path: Path) -> None:
    """The HTML report of some artifacts, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = Path(folder) / "report.html"
        _graphlint("--isolated", "--exit-zero", "--diff", "--output-format", f"html={report}", "tests/artifacts/2.13.0")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(report.as_uri())
        page.locator("summary", has_text="GL201").first.click()
        page.screenshot(path=str(path))
        browser.close()


def main() -> None:
    """Draw, and photograph where there is a browser."""
    PICTURES.mkdir(exist_ok=True)
    for name, text in drawn():
        (PICTURES / name).write_text(text, encoding="utf-8")
    try:
        photograph(PICTURES / "report.png")
    except ImportError:
        print("report.png stays as it is: playwright is not installed")


if __name__ == "__main__":
    main()

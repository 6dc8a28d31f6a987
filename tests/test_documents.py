"""README and CONTRIBUTING show what really comes out, and what is really there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
BENCHMARKS = PROJECT / "tests" / "benchmarks"
SESSIONS = re.findall(r"```console\n\$ (graphlint [^\n]+)\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_the_readme_shows_what_the_command_prints(command, shown):
    words = [sys.executable, "-m", *shlex.split(command), "--isolated"]
    result = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert result.stdout == shown


def test_the_readme_has_sessions_and_both_commands():
    text = (PROJECT / "README.md").read_text()
    assert len(SESSIONS) == 1
    assert re.findall(r"^<!-- (\w+) -->\n```sh\n.+\n```$", text, re.MULTILINE) == ["install", "test"]


def test_the_rule_in_contributing_is_the_real_one():
    rule = (PROJECT / "lint" / "graphlint" / "rules" / "prints.py").read_text()
    assert f"```python\n{rule}```" in (PROJECT / "CONTRIBUTING.md").read_text()


def test_the_documentation_shows_the_measured_figures(monkeypatch):
    """Those of the last ``run.py --docs``, with the budgets that it missed, word for word."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from run import TABLES
    from table import in_page

    missed = []
    for table in TABLES.values():
        found = json.loads((BENCHMARKS / table.file).read_text())
        machine = f"\n{found['machine']}; medians of up to {found['runs']} runs.\n"
        assert in_page(table.begin, table.end) == table.render(found) + machine
        missed += table.missed(found)
    told = re.findall(r"^Missed: (.+)\.$", (PROJECT / "docs" / "site" / "speed.md").read_text(), re.MULTILINE)
    assert told == missed

"""Many artifacts, kept results, a pre-commit hook, and a remote artifact: a part of what run.py prints.

Whole processes in turn, medians. "Small" artifacts are copies of one of ten nodes, two of which write. The floor
decodes the programs of all artifacts in one process; stock torch loads them all in one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring import ENVIRONMENT, FLOOR, GRAPHLINT, LOAD, Cost, measure, typical

BEGIN, END = "<!-- many: python tests/benchmarks/run.py --docs -->\n", "<!-- end of many -->\n"
FILE = "many.json"

EACH_MS = 0.5
"""What a small artifact may cost beyond the start."""
WARM = 2.5
"""A second run over unchanged artifacts, to a run over one."""
PAYS = 0.9
"""The wall time of two processes to that of one, at most, where two are taken."""
REQUESTS = 3
"""For a remote artifact."""
KEEPING = [*(word for word in GRAPHLINT if word != "--no-cache")]


def results(folder: Path, runs: int, *, small: bool) -> dict[str, Any]:
    """All rows, measured in the folder. ``small`` takes fewer artifacts, and neither pre-commit nor stock torch."""
    with _inside(folder):
        return _results(folder, runs, small=small)


def _results(folder: Path, runs: int, *, small: bool) -> dict[str, Any]:
    few, many = (60, 400) if small else (300, 2_000)
    one, several, kept = (_copies(folder / name, number) for name, number in (("1", 1), ("few", few), ("many", many)))
    python = [sys.executable, "-c", "pass"]
    of_one, of_few = ([sys.executable, "-c", FLOOR, *map(str, sorted(part.rglob("*.pt2")))] for part in (one, several))
    load = [sys.executable, "-c", LOAD, *map(str, sorted(several.rglob("*.pt2")))]
    time.sleep(2.1)  # what was written just now is not kept
    measure([*KEEPING, str(kept)])
    alone = [*GRAPHLINT, str(one)]
    rows = [
        _row("one small artifact", 1, 5 * runs, alone, floor=of_one, python=python),
        _row(
            f"{few} small artifacts, one process",
            few,
            runs,
            [*GRAPHLINT, "--jobs", "1", str(several)],
            alone=alone,
            floor=of_few,
            **({} if small else {"load": load}),
        ),
        _row(
            f"{few} small artifacts, as many processes as cores",
            few,
            runs,
            [*GRAPHLINT, str(several)],
            alone=alone,
            single=[*GRAPHLINT, "--jobs", "1", str(several)],
        ),
        _row(f"{many:,} unchanged small artifacts, second run", many, 2 * runs, [*KEEPING, str(kept)], alone=alone),
    ]
    if not small:
        rows += [*_larger(folder, runs, alone), _hook(folder, few, runs)]
    return {"version": 1, "small": small, "rows": [*rows, _remote(folder, runs)]}


def _copies(folder: Path, number: int) -> Path:
    """So many small artifacts, 50 in each folder."""
    folder.mkdir()
    _made(folder / "first.pt2", nodes=10)
    for index in range(number - 1):
        below = folder / str(index // 50)
        below.mkdir(exist_ok=True)
        shutil.copy(folder / "first.pt2", below / f"{index}.pt2")
    return folder


def _row(name: str, files: int, runs: int, graphlint: Sequence[str], **beside: Sequence[str]) -> dict[str, Any]:
    commands = {"graphlint": graphlint, **beside}
    costs: dict[str, list[Cost]] = {tool: [] for tool in commands}
    for number in range(runs + 1):  # the first round warms the file cache
        for tool, command in commands.items():
            if tool != "load" or number < 2:
                costs[tool].append(measure(command))
    kept = {tool: typical(found[1:])._asdict() for tool, found in costs.items()}
    return {"name": name, "files": files, **{tool: _rounded(cost) for tool, cost in kept.items()}}


def _rounded(cost: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in cost.items()}


def _larger(folder: Path, runs: int, alone: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Artifacts of a thousand nodes: one process, several, and a second run."""
    larger = folder / "larger"
    larger.mkdir()
    _made(larger / "0.pt2")
    for number in range(1, 200):
        shutil.copy(larger / "0.pt2", larger / f"{number}.pt2")
    time.sleep(2.1)
    measure([*KEEPING, str(larger)])
    single = [*GRAPHLINT, "--jobs", "1", str(larger)]
    yield _row("200 artifacts of 1,000 nodes, one process", 200, runs, single, alone=alone)
    yield _row("the same, as many processes as cores", 200, runs, [*GRAPHLINT, str(larger)], alone=alone)
    yield _row("the same, second run", 200, runs, [*KEEPING, str(larger)], alone=alone)


def _hook(folder: Path, files: int, runs: int) -> dict[str, Any]:
    """``pre-commit run --all-files`` over small artifacts, beside a hook that does nothing."""
    hooked = _copies(folder / "hooked", files)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=hooked, check=True)
    commands = {}
    for tool, entry in (("graphlint", " ".join([*GRAPHLINT, "--force-exclude"])), ("hook", "true")):
        config = folder / f"{tool}.yaml"
        config.write_text(
            f"repos: [{{repo: local, hooks: [{{id: one, name: one, entry: '{entry}', language: system, "
            "files: '\\.pt2$', require_serial: true}]}]\n"
        )
        commands[tool] = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--config", str(config)]
    ENVIRONMENT["PRE_COMMIT_HOME"] = str(folder / "pre-commit")
    subprocess.run(["git", "add", "-A"], cwd=hooked, check=True)
    with _inside(hooked):
        return _row(f"pre-commit over {files} small artifacts", files, runs, **commands)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Commands run in the folder."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _remote(folder: Path, runs: int) -> dict[str, Any]:
    """An artifact with 1 GiB of weights on a web server of this machine."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "archive"))
    from web_server import WebServer

    served = folder / "served"
    served.mkdir()
    artifact = served / "model.pt2"
    _made(artifact, weights=1 << 30)
    local = [*GRAPHLINT, str(artifact)]
    with WebServer(served).running() as server:
        url = f"{server.url}/plain/model.pt2"
        row = _row("an artifact with 1 GiB of weights, by HTTP", 1, runs, [*GRAPHLINT, url], local=local)
        runs_made = runs + 1
        row["requests"] = server.asked("model.pt2") / runs_made
        row["kib"] = round(sum(server.sent.values()) / runs_made / 1024)
    return row


def _made(path: Path, nodes: int = 1_000, weights: int = 0) -> None:
    """An artifact, made by a process of its own: what measures stays small."""
    program = (
        "import sys; from pathlib import Path; from programs import write_artifact; "
        "nodes, weights = map(int, sys.argv[2:]); "
        "write_artifact(Path(sys.argv[1]), nodes, max(nodes // 20, 2), weights=weights, dense=False)"
    )
    words = [sys.executable, "-c", program, *map(str, (path, nodes, weights))]
    subprocess.run(words, cwd=Path(__file__).parent, env=ENVIRONMENT, check=True)


def render(found: dict[str, Any]) -> str:
    """A Markdown table, a line for each row."""
    lines = [
        "| | graphlint: time, CPU time, memory | each beyond the start | to the floor | to one alone | beside it |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        ours = row["graphlint"]
        each = f"{_each_ms(row):.2f} ms" if "alone" in row else "-"
        floor = f"{ours['cpu'] / row['floor']['cpu']:.2f}" if "floor" in row else "-"
        to_one = f"{_to_one(row):.2f}" if "alone" in row else "-"
        beside = "-"
        if "python" in row:
            beside = f"Python: {row['python']['cpu'] * 1e3:.0f} ms"
        if "load" in row:
            times = row["load"]["wall"] / ours["wall"]
            beside = f"`torch.export.load` of each: {row['load']['wall']:.1f} s, {times:.0f} times as long"
        if "single" in row:
            beside = f"one process: {row['single']['wall'] * 1e3:.0f} ms"
        if "hook" in row:
            beside = f"a hook that does nothing: {row['hook']['wall'] * 1e3:.0f} ms"
        if "requests" in row:
            beside = (
                f"{row['requests']:.0f} requests, {row['kib']} KiB; a local file: {row['local']['wall'] * 1e3:.0f} ms"
            )
        cost = f"{ours['wall'] * 1e3:,.0f} ms, {ours['cpu'] * 1e3:,.0f} ms, {ours['peak']:.0f} MiB"
        lines.append(f"| {' | '.join([row['name'], cost, each, floor, to_one, beside])} |")
    return "\n".join([*lines, ""])


def _each_ms(row: dict[str, Any]) -> float:
    return float(row["graphlint"]["cpu"] - row["alone"]["cpu"]) / row["files"] * 1e3


def _to_one(row: dict[str, Any]) -> float:
    return float(row["graphlint"]["cpu"] / row["alone"]["cpu"])


def missed(found: dict[str, Any]) -> list[str]:
    """Which budgets were missed, each as a line; of a small run, which other work disturbs more, those of the second
    run, half as much again, and of the remote artifact.
    """
    _, single, together, kept, *_, remote = found["rows"]
    each, warm = _each_ms(single), _to_one(kept)
    pays = together["graphlint"]["wall"] / together["single"]["wall"]
    small = found["small"]
    checks = [
        (small or each <= EACH_MS, f"a small artifact takes {each:.2f} ms beyond the start, not {EACH_MS}"),
        (
            warm <= WARM * (1.5 if small else 1),
            f"a second run over unchanged artifacts takes {warm:.2f} times a run over one, not {WARM}",
        ),
        (
            small or pays <= PAYS,
            f"as many processes as cores take {pays:.2f} times as long as one, not {PAYS}",
        ),
        (remote["requests"] <= REQUESTS, f"a remote artifact takes {remote['requests']:.1f} requests, not {REQUESTS}"),
    ]
    return [what for held, what in checks if not held]

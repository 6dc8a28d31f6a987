"""What the installed command does on a terminal: links and the progress bar. Colours are tested in test_cli.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")

ARTIFACTS = Path(__file__).parent / "artifacts"
AT_ONCE = (
    "from graphlint.cli import progress\n"
    "progress.AFTER = 0\n"  # nobody has to wait for a bar here
    "from graphlint.cli.main import main\n"
    "main()\n"
)
LINK = re.compile(r"\x1b\]8;;([^\x1b]*)\x1b\\(.*?)\x1b\]8;;\x1b\\")
RULES = "https://github.com/graphlint/graphlint/blob/main/lint/RULES.md"


def environment(**changes: str) -> dict[str, str]:
    kept = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"TERM": "xterm"} | changes


class Terminal:
    """What was written to a terminal: stdout and stderr apart, on a terminal each."""

    def __init__(
        self, folder: Path, *arguments: str, stderr_only: bool = False, columns: int = 0, **changes: str
    ) -> None:
        import pty
        import termios

        pairs = [pty.openpty(), pty.openpty()]
        if columns:
            import fcntl
            import struct

            fcntl.ioctl(pairs[1][1], termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, *arguments],
            cwd=folder,
            env=environment(**changes),
            stdout=subprocess.DEVNULL if stderr_only else pairs[0][1],
            stderr=pairs[1][1],
        )
        for _, slave in pairs:
            os.close(slave)
        self.out, self.err = (self._read(master) for master, _ in pairs)
        self.status = process.wait(timeout=60)

    @staticmethod
    def _read(master: int) -> str:
        output = b""
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not chunk:
                break
            output += chunk
        os.close(master)
        return output.decode().replace("\r\n", "\n")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model's source and an artifact of it."""
    shutil.copy(ARTIFACTS / "models.py", tmp_path / "models.py")
    shutil.copy(ARTIFACTS / "2.13.0" / "key_value_cache.pt2", tmp_path / "model.pt2")
    (tmp_path / "graphlint.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize("output_format", ["full", "concise", "grouped"])
def test_links(folder, output_format):
    plain = Terminal(folder, "--output-format", output_format).out
    linked = Terminal(folder, "--output-format", output_format, TERM_PROGRAM="vscode").out
    found = {re.sub(r"\x1b\[[0-9;]*m", "", text): address for address, text in LINK.findall(linked)}
    assert found == {
        "GL103": f"{RULES}#gl103-buffer-mutation",
        "models.py:129:9": f"file://{folder.resolve()}/models.py",
    }
    assert "\x1b]8" not in plain
    assert LINK.sub(r"\2", linked) == plain, "links change nothing but that they are there"


@pytest.mark.parametrize(
    ("changes", "arguments", "linked"),
    [
        ({}, [], False),
        ({"VTE_VERSION": "7600"}, [], True),
        ({"VTE_VERSION": "4205"}, [], False),
        ({"TERM": "xterm-kitty"}, [], True),
        ({"WT_SESSION": "1"}, [], True),
        ({"TERM_PROGRAM": "vscode", "NO_COLOR": "1"}, [], False),
        ({"TERM_PROGRAM": "vscode", "CI": "1"}, [], False),
        ({"TERM_PROGRAM": "vscode", "TERM": "dumb"}, [], False),
        ({"TERM_PROGRAM": "vscode", "FORCE_HYPERLINK": "0"}, [], False),
        ({"FORCE_HYPERLINK": "1"}, [], True),
        ({"FORCE_HYPERLINK": "1", "NO_COLOR": "1"}, [], True),
        ({"FORCE_HYPERLINK": "1"}, ["--color", "never"], False),
        ({"FORCE_HYPERLINK": "1"}, ["--output-format", "json"], False),
        ({"FORCE_HYPERLINK": "1"}, ["--output-format", "junit"], False),
    ],
)
def test_where_there_are_links(folder, changes, arguments, linked):
    assert ("\x1b]8;;" in Terminal(folder, *arguments, **changes).out) is linked


def test_no_links_in_files_and_pipes(folder):
    Terminal(folder, "--output-format", "full=a.txt", "--output-format", "concise", TERM_PROGRAM="vscode")
    assert "\x1b]8" not in (folder / "a.txt").read_text()
    command = [sys.executable, "-m", "graphlint"]
    for forced in ("", "1"):
        changes = environment(TERM_PROGRAM="vscode", FORCE_HYPERLINK=forced)
        result = subprocess.run(command, cwd=folder, env=changes, capture_output=True, timeout=60)
        assert (b"\x1b]8" in result.stdout) is bool(forced)


def test_a_path_in_a_link_is_an_address(folder):
    strange = folder / "a b;\x07%é"
    strange.mkdir()
    shutil.move(folder / "models.py", strange / "models.py")
    output = Terminal(folder, "--output-format", "concise", FORCE_HYPERLINK="1").out
    addresses = [address for address, _ in LINK.findall(output) if address.startswith("file:")]
    assert addresses == [f"file://{folder.resolve()}/a%20b%3B%07%25%C3%A9/models.py"]


@pytest.fixture
def many(folder) -> Path:
    for number in range(20):
        shutil.copy(folder / "model.pt2", folder / f"model{number}.pt2")
    return folder


def last_screen(text: str) -> str:
    """What is left on the last line of the screen."""
    line = text.rpartition("\n")[2]
    return re.sub(r"\x1b\[\?25[hl]", "", line.rpartition("\x1b[K")[2] if "\x1b[K" in line else line).strip("\r ")


def test_a_progress_bar_that_leaves_nothing_behind(many):
    terminal = Terminal(many, "--statistics")
    assert "Linting" in terminal.err
    assert re.search(r"\d+/21", terminal.err)
    assert "model7.pt2" in terminal.err
    assert last_screen(terminal.err) == ""
    assert terminal.err.endswith("\x1b[?25h"), "the cursor is back"
    assert "Linting" not in terminal.out


@pytest.mark.parametrize(("columns", "path"), [(30, False), (40, False), (60, True), (80, True), (200, True)])
def test_a_progress_bar_stays_on_one_line(many, columns, path):
    below = many / ("a folder with a long name " * 4).strip()
    below.mkdir()
    for number in range(20):
        shutil.copy(many / "model7.pt2", below / f"n{number}.pt2")
    terminal = Terminal(many, "--statistics", columns=columns)
    lines = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", terminal.err).split("\r")
    assert sum("Linting" in line for line in lines) > 10
    assert max(map(len, lines)) < columns
    assert any(".pt2" in line for line in lines) == path


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["-q"], {}),
        (["-v"], {}),
        ([], {"CI": "true"}),
        ([], {"TERM": "dumb"}),
        (["model.pt2"], {}),
    ],
    ids=["quiet", "verbose", "ci", "dumb", "one artifact"],
)
def test_no_progress_bar(many, arguments, changes):
    assert "Linting" not in Terminal(many, *arguments, **changes).err


def test_no_progress_bar_in_a_pipe(many):
    command = [sys.executable, "-c", AT_ONCE]
    result = subprocess.run(command, cwd=many, env=environment(), capture_output=True, timeout=60)
    assert result.stderr == b""


def test_no_progress_bar_in_the_first_second(many):
    code = AT_ONCE.replace("progress.AFTER = 0", "assert progress.AFTER == 1.0; progress.AFTER = 100")
    assert code != AT_ONCE
    import pty

    master, slave = pty.openpty()
    subprocess.run([sys.executable, "-c", code], cwd=many, env=environment(), stdout=slave, stderr=slave, timeout=60)
    os.close(slave)
    assert "Linting" not in Terminal._read(master)


def test_messages_do_not_tear_the_bar(many):
    (many / "model5.pt2").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    terminal = Terminal(many, "nope.pt2", "model1.pt2", "model2.pt2", "gone.pt2", "model3.pt2")
    lines = terminal.err.split("\n")
    messages = [re.sub(r"\x1b\[\??[0-9;]*[a-zA-Z]", "", line.rpartition("\x1b[K")[2]) for line in lines[:-1]]
    assert [message.strip("\r") for message in messages] == [
        "error: nope.pt2: No such file or directory",
        "error: gone.pt2: No such file or directory",
    ]


def test_files_are_written_though_the_reader_of_stdout_is_gone(many):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "graphlint", "--output-format", "full", "--output-format", "json=a.json"]
    with os.fdopen(write, "wb") as closed:
        result = subprocess.run(command, cwd=many, env=environment(), stdout=closed, stderr=subprocess.PIPE, timeout=60)
    assert (result.stderr, result.returncode) == (b"", 1)
    assert (many / "a.json").read_text().endswith("}\n")

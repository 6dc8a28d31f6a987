"""The installed command on real artifacts: pipes, terminals, encodings, odd names, what it imports."""

from __future__ import annotations

import html
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphlint import __version__
from graphlint.cli.options import COMMANDS
from graphlint.report.formats.registry import FORMATS

ARTIFACTS = Path(__file__).parent / "artifacts" / "2.13.0"
GRAPHLINT = [sys.executable, "-m", "graphlint"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def environment(**changes: str) -> dict[str, str]:
    dropped = ("NO_COLOR", "FORCE_COLOR", "GRAPHLINT_OUTPUT_FORMAT", "TERM", "PYTHONIOENCODING", "PYTHONUTF8")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"TERM": "xterm"} | changes


def run(*arguments: str | bytes, cwd: Path, **changes: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*GRAPHLINT, *arguments], cwd=cwd, env=environment(**changes), capture_output=True, timeout=60
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with one clean artifact and one with a finding."""
    (tmp_path / "graphlint.toml").write_text("")
    shutil.copy(ARTIFACTS / "clean.pt2", tmp_path / "clean.pt2")
    shutil.copy(ARTIFACTS / "async_assert.pt2", tmp_path / "model.pt2")
    return tmp_path


def test_check(folder):
    result = run(cwd=folder)
    text = result.stdout.decode()
    assert text.startswith("GL201 [*] async-assert: ")
    assert "  ::: model.pt2, node %_assert_async\n" in text
    assert text.endswith(
        "Found 1 error.\n[*] 1 fixable with the --fix option.\n"
        "--fix would turn 1 check into a dependency token, which most consumers refuse. Choose what the artifacts "
        "are for: --target NAME (`graphlint targets`), or --target functional.\n"
    )
    assert b"Choose" not in run("--target", "functional", cwd=folder).stdout
    assert (result.stderr, result.returncode) == (b"", 1)
    assert run("clean.pt2", cwd=folder).returncode == 0


def test_verbose_says_what_was_not_linted(folder):
    (folder / "model.pt2").write_bytes(b"text")
    said = b"clean.pt2: linted 1 program (model): 0 findings left\nmodel.pt2: not linted: it cannot be read\n"
    assert run("-v", cwd=folder).stderr == said


def test_diff_then_fix_then_check(folder):
    before = (folder / "model.pt2").read_bytes()
    diff = run("--diff", cwd=folder)
    assert b"\n-  aten._assert_async.msg(" in diff.stdout
    assert (diff.stderr, diff.returncode) == (b"Would fix 1 finding.\n", 1)
    assert (folder / "model.pt2").read_bytes() == before
    fix = run("--fix", cwd=folder)
    assert fix.stdout.decode().splitlines() == [
        "Fixed 1 finding in model.pt2",
        "Found 1 error (1 fixed, 0 remaining).",
        (
            "Checks became dependency tokens, which AOTInductor, ONNX, ExecuTorch, ExecuTorch with XNNPACK, Core ML, "
            "OpenVINO, IREE, LiteRT and TVM refuse: --target (inductor, onnx, executorch, xnnpack, coreml, openvino, "
            "iree, litert, tvm) keeps plain checks for them, "
            "`graphlint restore` brings them back."
        ),
        "1 artifact was rewritten, hence exit status 1: review it and commit again.",
    ]
    assert fix.returncode == 1
    assert (folder / "model.pt2").read_bytes() != before
    again = run("--fix", cwd=folder)
    assert (again.stdout, again.returncode) == (b"All checks passed!\n", 0)


@pytest.mark.parametrize("output_format", ["full", "concise", "grouped", "json"])
def test_every_artifact_in_every_format(output_format):
    result = run("--output-format", output_format, "artifacts", "--isolated", cwd=ARTIFACTS.parents[1])
    again = run("--output-format", output_format, "artifacts", "--isolated", cwd=ARTIFACTS.parents[1])
    assert b"internal error" not in result.stderr
    assert result.returncode == 1
    assert result.stdout == again.stdout
    if output_format == "json":
        document = json.loads(result.stdout)
        assert document["summary"]["files"] == len(list(ARTIFACTS.parent.rglob("*.pt2")))
        assert str(ARTIFACTS.parent).encode() not in result.stdout
    if output_format == "concise":
        lines = result.stdout.decode().splitlines()
        found = next(number for number, line in enumerate(lines) if line.startswith("Found "))
        assert all("artifacts" + os.sep in line for line in lines[:found])


def test_a_broken_file_is_reported_whatever_is_selected(folder):
    (folder / "clean.pt2").write_bytes(b"no zip")
    result = run("clean.pt2", "--select", "GL103", cwd=folder)
    assert result.stdout.startswith(b"GL001 unreadable-artifact: ")
    assert result.returncode == 1


def test_rule(folder):
    result = run("rule", "buffer-mutation", cwd=folder)
    assert result.stdout.startswith(b"# buffer-mutation (GL103)\n\n")
    assert b"\n## What it does\n" in result.stdout
    assert result.returncode == 0


@POSIX
@pytest.mark.parametrize(
    "arguments",
    [
        *(["--output-format", name] for name in FORMATS),
        ["--diff", "-q"],
        ["--statistics"],
        ["--show-files"],
        ["rule"],
        ["--help"],
    ],
)
def test_a_reader_that_goes_away_is_no_error(folder, arguments):
    for number in range(40):
        shutil.copy(ARTIFACTS / "async_assert.pt2", folder / f"model{number}.pt2")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        result = subprocess.run(
            [*GRAPHLINT, *arguments],
            cwd=folder,
            env=environment(),
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert result.stderr == b""
    assert result.returncode in (0, 1)


@LINUX
@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["--version"], ["show", "--help"], ["git", "--help"], ["rule"], ["completion", "bash"]],
)
def test_a_full_disk_is_an_error(folder, arguments):
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*GRAPHLINT, *arguments], cwd=folder, env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert result.stderr == b"error: cannot write the report: No space left on device\n"
    assert result.returncode == 2


@POSIX
@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["model.pt2"], 1), (["nope.pt2"], 2), (["rule"], 0), (["--help"], 0), (["completion", "zsh"], 0)],
)
@pytest.mark.parametrize(("closed", "heard"), [("<&-", True), (">&-", False), ("2>&-", True), ("<&- >&- 2>&-", False)])
def test_closed_streams(folder, arguments, status, closed, heard):
    command = f"{shlex.join([*GRAPHLINT, *arguments])} {closed}"
    result = subprocess.run(command, shell=True, cwd=folder, env=environment(), capture_output=True, timeout=60)
    assert result.returncode == status
    assert b"internal error" not in result.stderr
    assert bool(result.stdout) == heard


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("output_format", ["full", "concise", "grouped", "json", "github", "junit", "html"])
def test_any_stdout_encoding(folder, encoding, output_format):
    (folder / "model.pt2").rename(folder / "modèle 漢字.pt2")
    result = run("--output-format", output_format, cwd=folder, PYTHONIOENCODING=f"{encoding}:strict")
    assert (result.stderr, result.returncode) == (b"", 1)
    if output_format == "json":
        assert any(entry["path"] == "modèle 漢字.pt2" for entry in json.loads(result.stdout)["files"])
    elif output_format in ("junit", "html"):
        assert "modèle 漢字.pt2" in html.unescape(result.stdout.decode("ascii"))
    else:
        shown = "modèle 漢字.pt2".encode(encoding, "backslashreplace")
        assert shown in result.stdout


@LINUX
@pytest.mark.parametrize("output_format", ["full", "concise", "grouped", "json"])
def test_names_that_are_no_text(folder, output_format):
    (folder / "model.pt2").rename(folder / os.fsdecode(b"a b\ncaf\xe9\x1b.pt2"))
    for arguments in ([], [b"a b\ncaf\xe9\x1b.pt2"]):
        result = run("--output-format", output_format, *arguments, cwd=folder)
        assert (result.stderr, result.returncode) == (b"", 1)
        text = result.stdout.decode()
        if output_format == "json":
            assert json.loads(text)["files"][0]["path"] == "a b\ncaf\\xe9\x1b.pt2"
        else:
            assert "a b\\ncaf\\xe9\\x1b.pt2" in text
    missing = run(b"no\xe9\n.pt2", cwd=folder)
    assert missing.stderr == b"error: no\\xe9\\n.pt2: No such file or directory\n"


def run_on_terminal(folder: Path, *arguments: str, **changes: str) -> str:
    import pty

    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*GRAPHLINT, *arguments], cwd=folder, env=environment(**changes), stdout=slave, stderr=slave
    )
    os.close(slave)
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
    process.wait(timeout=60)
    return output.decode()


@POSIX
@pytest.mark.parametrize(
    ("changes", "arguments", "colored"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"TERM": "dumb"}, [], False),
        ({}, ["--color", "never"], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
    ],
    ids=["plain", "no-color", "dumb", "never", "always"],
)
def test_colors_on_a_terminal(folder, changes, arguments, colored):
    assert ("\x1b[" in run_on_terminal(folder, *arguments, **changes)) is colored


def test_no_colors_through_a_pipe(folder):
    assert b"\x1b[" not in run("nope.pt2", "model.pt2", cwd=folder).stdout
    assert b"\x1b[" in run("model.pt2", cwd=folder, FORCE_COLOR="1").stdout


@POSIX
def test_an_interrupt_shows_no_traceback(folder):
    os.mkfifo(folder / "pipe")
    process = subprocess.Popen(
        [*GRAPHLINT, "-v", "-o", "pipe", "clean.pt2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    # Linting is done, and opening the pipe for the report waits for a reader that never comes.
    assert process.stderr.readline().startswith(b"clean.pt2: ")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (stdout, stderr, process.returncode) == (b"", b"graphlint: interrupted\n", 130)


FORBIDDEN = {
    "_hashlib",
    "ast",
    "asyncio",
    "copy",
    "dataclasses",
    "decimal",
    "difflib",
    "inspect",
    "jinja2",
    "json",
    "logging",
    "multiprocessing",
    "ntpath",
    "pathlib",
    "pickle",
    "subprocess",
    "tempfile",
    "tokenize",
    "tomllib",
    "torch",
    "traceback",
    "typing_extensions",
    "uuid",
    "zipfile",
}


def imported(folder: Path, *arguments: str) -> set[str]:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode in (0, 1)
    return set(result.stderr.split())


def test_the_version_costs_next_to_nothing(folder):
    modules = imported(folder, "--version")
    assert not modules & (FORBIDDEN | {"msgspec", "re", "typing"})
    own = {name for name in modules if name.startswith("graphlint")}
    assert own == {"graphlint", "graphlint.cli", "graphlint.cli.main"}


@pytest.mark.parametrize("path", ["clean.pt2", "model.pt2"])
def test_a_check_imports_only_what_it_needs(folder, path):
    (folder / "graphlint.toml").unlink()
    modules = imported(folder, path)
    assert not modules & FORBIDDEN
    unused = {
        "click",
        "graphlint.report.formats.json_report",
        "graphlint.report.formats.grouped",
        "graphlint.report.formats.markdown",
        "graphlint.cli.rules",
        "graphlint.cli.progress",
        "graphlint.report.graphs.drawing",
        "graphlint.report.graphs.svg",
        "graphlint.rules.documentation",
    }
    assert not modules & unused
    # Source files are looked for where there is a finding to show in them.
    looks_at_sources = {name for name in modules if name.startswith("graphlint.run.sources")}
    assert bool(looks_at_sources) == (path == "model.pt2")
    assert "graphlint.run.baseline" not in modules


@pytest.mark.parametrize(("word", "meant"), [("fix", "--fix"), ("diff2", None), ("chek", "check"), ("verfy", "verify")])
def test_a_first_word_that_is_no_file_may_be_meant_as_a_command_or_an_option(folder, word, meant):
    errors = run(word, "model.pt2", cwd=folder).stderr.decode()
    assert (f"no file, folder or command '{word}'; did you mean '{meant}'?" in errors) == (meant is not None)


SEEN_BY_MSGSPEC = """
import sys
from graphlint.cli import imports

imports._UNUSED.update({changed!r})
imports.import_msgspec()
left = [name for name in (*imports._UNUSED, "typing_extensions") if name in sys.modules]
import decimal, typing, uuid, msgspec, msgspec.inspect, typing_extensions

assert uuid.uuid4() != uuid.UUID(int=0) and decimal.Decimal("1.5") + 1 == decimal.Decimal("2.5")
assert msgspec.inspect.type_info(int) == msgspec.inspect.IntType() and typing_extensions.Self
assert msgspec.json.decode(b"[1]", type=list[int]) == [1]
assert typing.ForwardRef("int").__forward_arg__ == "int"
class Later(msgspec.Struct):
    after: "Later | None" = None
assert msgspec.json.decode(b'{{"after": {{}}}}', type=Later) == Later(Later())
print(*left)
"""


@pytest.mark.parametrize("changed", [{}, {"uuid": ()}, {"decimal": ()}, {"msgspec._json_schema": ()}])
def test_what_msgspec_is_imported_without_is_there_afterwards(changed):
    """Also where msgspec asks for more than the stand-ins have."""
    code = SEEN_BY_MSGSPEC.format(changed=changed)
    result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("\n", "")


def test_annotations_are_read_where_other_threads_may_ask_for_them():
    code = """
import sys, typing
from graphlint.artifact.annotations import without_annotations
for _ in range(2):
    with without_annotations():
        print(typing.ForwardRef("int"))
    import threading
"""
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("None\nForwardRef('int')\n", "")


COMPILED = """
import sys

texts = []

def note(event, given):
    if event == "compile" and given[1] == "<string>" and not given[0].startswith(b"lambda"):  # what makes named tuples
        texts.append(given[0])

sys.addaudithook(note)
sys.argv = ["graphlint", {path!r}]
sys.stdout.flush = lambda: sys.stderr.writelines(map(repr, texts))
from graphlint.cli.main import main

main()
"""


def test_a_check_compiles_no_text(folder):
    """That would load all of Python's syntax trees first: a twentieth of a small check."""
    words = [sys.executable, "-c", COMPILED.format(path="model.pt2")]
    result = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, "")


def test_module_and_script_are_the_same(folder):
    script = Path(sys.executable).parent / "graphlint"
    if script.exists():
        result = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
        assert result.stdout == f"graphlint {__version__}\n"
    assert run("--version", cwd=folder).stdout.decode() == f"graphlint {__version__}{os.linesep}"


def test_the_list_of_commands_is_not_cut_off():
    help_text = run("--help", cwd=Path.cwd()).stdout.decode()
    commands = help_text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert len(commands.splitlines()) == len(COMMANDS)
    assert "..." not in commands

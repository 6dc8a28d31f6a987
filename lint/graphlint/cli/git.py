"""``graphlint git``: let ``git diff``, ``git log -p`` and ``git show`` print graph changes of artifacts.

git is told to compare a text in an artifact's place. The text holds what matters of a program and one thing to a line:
each input of a graph on its own, no line numbers, no versions, no paths. Weights and constants are there by size and
checksum, as the archive's directory has them, so that a change of weights alone shows as one; sample inputs, which are
new with each export, are not. What is no readable artifact becomes one line that says so.

git takes each attribute from the last line of a file of attributes that sets it, so the line goes to the end: after Git
LFS's ``*.pt2 filter=lfs diff=lfs merge=lfs -text`` it changes ``diff`` alone, and git hands over what LFS's filter
makes of the pointer.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import click

from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.errors import ArtifactError, ConfigError, LfsPointerError, WriteError
from graphlint.cli.clicked import CONTEXT, Clicked
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.ir.decode import decode_program
from graphlint.report.formats.escaping import printable
from graphlint.report.graphs.text import program_lines

LINE: Final = "*.pt2 diff=graphlint"
SECTION: Final = "diff.graphlint"
TEXT_VERSION: Final = 1
"""Of the text that artifacts become. git keeps texts with the command that made them: another number, another command,
and what it kept is made anew."""
_CACHE: Final = "refs/notes/textconv/graphlint"
_FUNCTIONS: Final = "^[[:space:]]*(program .*|graph\\(.*|@[^ ]*\\(.*)$"
"""What git prints beside the numbers of a hunk: the graph that it is in."""
_SETTING: Final = re.compile(r"\s*\*\.pt2(?=\s)(.*\s)?([-!]*diff(=\S*)?|binary)(\s|$)")
"""A line that sets ``diff`` for all artifacts: ``diff``, ``-diff``, ``!diff``, ``diff=...``, or the macro that stands
for ``-diff`` and more."""
_VALUES: Final = ("data/weights", "data/constants")
_HANGING: Final = 4


@click.group(
    context_settings=CONTEXT,
    epilog="""\b
Examples:
  graphlint git install              in a repository: its configuration and its .gitattributes
  graphlint git install --global     for all repositories of this user
  git diff model.pt2                 now shows what changed in the graph
  git diff --no-textconv model.pt2   as before""",
)
def git() -> None:
    """Let git show what changed in the graphs of artifacts.

    git then compares artifacts as text: their graphs, and the checksums of their weights.
    """


@command()
def install(console: Console, /, attributes: str | None, everywhere: bool) -> int:
    """Set the driver up. Running it again changes nothing."""
    import shlex
    import shutil

    path = _attributes_file(attributes, everywhere=everywhere)
    program = "graphlint"
    if shutil.which(program) is None:
        program = f"{shlex.quote(sys.executable.replace(os.sep, '/'))} -m graphlint"
    textconv = f"{program} git textconv --text-version {TEXT_VERSION}"
    lfs = not everywhere and (_git("check-attr", "filter", "--", "model.pt2")[0] or "").endswith(": lfs")
    # git keeps texts by the blob, which for LFS is the pointer: a text that was made before the artifact was fetched
    # would stay. Which repositories have LFS a global setting cannot know.
    _configure("textconv", textconv, everywhere=everywhere)
    _configure("xfuncname", _FUNCTIONS, everywhere=everywhere)
    _configure("cachetextconv", None if lfs or everywhere else "true", everywhere=everywhere)
    changed = _edit(path, added)
    console.out(f"git runs `{textconv}` to compare artifacts.\n")
    console.out(f"{path} {'now' if changed else 'already'} names the driver for *.pt2.\n")
    if not everywhere and changed and attributes is None:
        console.out("Commit that file; every clone then needs `graphlint git install` once.\n")
    if lfs:
        fetched = "git hands over what `git lfs pull` has fetched; the others show as pointers."
        console.out(f"Git LFS holds the artifacts: {fetched}\n")
    return 0


@command()
def uninstall(console: Console, /, attributes: str | None, everywhere: bool) -> int:
    """Take away what install set up."""
    path = _attributes_file(attributes, everywhere=everywhere)
    for key in ("textconv", "xfuncname", "cachetextconv"):
        _configure(key, None, everywhere=everywhere)
    if not everywhere:
        _git("update-ref", "-d", _CACHE)
    changed = _edit(path, removed)
    console.out("git compares artifacts as binary files again.\n")
    if changed:
        console.out(f"{path} does not name the driver any more.\n")
    return 0


@command(Argument("file"))
def textconv(console: Console, /, text_version: int | None, file: str) -> int:
    """Print the text of an artifact that git compares.

    Any file has one, so that git can go on: what is no readable artifact becomes a line that says why.
    """
    console.out(artifact_text(file))
    return 0


for _command in (install, uninstall, textconv):
    git.add_command(Clicked(_command))


def added(text: str) -> str:
    """The text of a file of attributes with the line; as it was where it has it and no later line takes it back."""
    setting = [line for line in text.splitlines() if _SETTING.match(line)]
    if setting and setting[-1].strip() == LINE:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        return f"{text}{newline}{LINE}"  # without an end, as the file was
    return f"{text}{LINE}{newline}"


def removed(text: str) -> str:
    """The text without the line: what it was before :func:`added`."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != LINE]
    if kept and kept != lines and not text.endswith("\n"):
        kept[-1] = kept[-1].rstrip("\r\n")
    return "".join(kept)


def _attributes_file(given: str | None, *, everywhere: bool) -> str:
    """The file of attributes: the one given, the repository's ``.gitattributes``, or the user's own."""
    top = "" if everywhere else _git("rev-parse", "--show-toplevel")[0]
    if top is None:
        raise ConfigError(
            "there is no git repository with a work tree here: run this in one, or use --global for all repositories"
        )
    if given is not None:
        return given
    if not everywhere:
        return os.path.join(top, ".gitattributes")
    configured, _ = _git("config", "--global", "--type=path", "core.attributesFile")
    if configured:
        return configured
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "git", "attributes")


def _edit(path: str, change: Callable[[str], str]) -> bool:
    """Change the text of the file of attributes, and say whether that made a difference. Raises WriteError."""
    try:
        text = ""
        with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            text = stream.read()
        changed = change(text)
        if changed == text:
            return False
        if not changed:
            os.unlink(path)  # the line was all that it held
            return True
        os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(changed)
    except OSError as error:
        raise WriteError(f"cannot change the attributes in {path}: {error.strerror}") from error
    return True


def _configure(key: str, value: str | None, *, everywhere: bool) -> None:
    """Set a key of the driver, or take it away. Raises WriteError."""
    scope, name = "global" if everywhere else "local", f"{SECTION}.{key}"
    if value is None and _git("config", f"--{scope}", "--get-all", name)[0] is None:
        return
    # A key that stands there twice is set once.
    change = ("--unset-all", name) if value is None else ("--replace-all", name, value)
    done, reason = _git("config", f"--{scope}", *change)
    if done is None:
        raise WriteError(f"git could not change its {scope} configuration: {reason}")


def _git(*arguments: str) -> tuple[str | None, str]:
    """What git answers, None where it fails, and why it does. Raises ConfigError where there is no git."""
    import subprocess

    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607 - the user's git
    except FileNotFoundError:
        raise ConfigError("git was not found on the PATH") from None
    answer = os.fsdecode(done.stdout).rstrip("\r\n") if done.returncode == 0 else None
    return answer, os.fsdecode(done.stderr).strip() or f"exit status {done.returncode}"


def artifact_text(path: str) -> str:
    """The text of the artifact at ``path``, whatever it is; ends in a newline."""
    try:
        with open_artifact(path) as artifact:
            return "".join(f"{printable(line)}\n" for line in _lines(artifact))
    except LfsPointerError:
        return "(Git LFS pointer; `git lfs pull` fetches the artifact)\n"
    except ArtifactError as error:
        return f"(not a readable artifact: {printable(str(error))})\n"


def _lines(artifact: Artifact) -> Iterator[str]:
    if artifact.note:
        yield f"({artifact.note})"
    for entry in artifact.programs:
        if len(artifact.programs) > 1:
            yield f'program "{entry.name}":'
        yield from _program(artifact, entry)
        yield ""
    values = {name for entry in artifact.programs for name in (entry.weights_pickle, entry.constants_pickle)}
    for member in sorted(artifact.container.members.values(), key=lambda one: one.name):
        # The root folder is named after the file that was written first.
        name = member.name.removeprefix(f"{artifact.root}/") if artifact.root else member.name
        folder, _, last = name.rpartition("/")
        if member.name in values or (folder in _VALUES and not last.endswith(".json")):
            yield f"{name}: {member.size} bytes, crc32 {member.crc:08x}"


def _program(artifact: Artifact, entry: ProgramEntry) -> Iterator[str]:
    """The lines of a program; a graph's inputs, of which there may be hundreds, one to a line."""
    try:
        program = decode_program(artifact.read_program(entry), entry.member)
    except ArtifactError as error:
        yield f"(not a readable program: {error})"
        return
    for line in program_lines(program):
        if line.kind != "inputs" or not line.parts:
            yield line.text
            continue
        yield " " * line.indent + line.head
        for part in line.parts:
            yield f"{' ' * (line.indent + _HANGING)}{part},"
        yield " " * line.indent + line.tail

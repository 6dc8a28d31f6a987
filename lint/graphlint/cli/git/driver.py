"""Setting the diff driver up, and taking it away again, by way of git itself."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import Final, Literal

import msgspec

from graphlint.artifact.errors import ConfigError, WriteError
from graphlint.cli.git.attributes import added, removed

Scope = Literal["local", "global"]

SECTION: Final = "diff.graphlint"
TEXT_VERSION: Final = 1
"""Of the text that artifacts become. git keeps texts with the command that made them: another number, another command,
and what it kept is made anew."""
_CACHE: Final = "refs/notes/textconv/graphlint"
_KEYS: Final = ("textconv", "cachetextconv", "xfuncname")
_FUNCTIONS: Final = "^[[:space:]]*(program .*|graph\\(.*|@[^ ]*\\(.*)$"
"""What git prints beside the numbers of a hunk: the graph that it is in."""


class Outcome(msgspec.Struct, frozen=True):
    """What was done."""

    attributes: str
    """The file of attributes."""
    changed: bool
    """Whether it is another than before."""
    command: str = ""
    """What git runs for each artifact."""
    lfs: bool = False
    """Whether Git LFS holds the artifacts."""


def install(scope: Scope, attributes: str | None = None) -> Outcome:
    """Set the driver up, and name it in a file of attributes. Raises ConfigError and WriteError."""
    path = attributes_file(scope, attributes)
    command = textconv_command()
    _set(scope, "textconv", command)
    _set(scope, "xfuncname", _FUNCTIONS)
    changed = _edit(path, install=True)
    lfs = scope == "local" and _held_by_lfs()
    # git keeps texts by the blob, which for LFS is the pointer: a text that was made before the artifact was fetched
    # would stay. Which repositories have LFS a global setting cannot know.
    if lfs or scope == "global":
        _unset(scope, "cachetextconv")
    else:
        _set(scope, "cachetextconv", "true")
    return Outcome(path, changed, command, lfs)


def uninstall(scope: Scope, attributes: str | None = None) -> Outcome:
    """Take away what :func:`install` set up. Raises ConfigError and WriteError."""
    path = attributes_file(scope, attributes)
    for key in _KEYS:
        _unset(scope, key)
    if scope == "local":
        _git("update-ref", "-d", _CACHE)
    return Outcome(path, _edit(path, install=False))


def textconv_command() -> str:
    """The command as git is to run it, by way of a shell: by its name where that finds graphlint."""
    program = "graphlint"
    if shutil.which(program) is None:
        program = f"{shlex.quote(sys.executable.replace(os.sep, '/'))} -m graphlint"
    return f"{program} git textconv --text-version {TEXT_VERSION}"


def attributes_file(scope: Scope, given: str | None) -> str:
    """The file of attributes: the one given, the repository's ``.gitattributes``, or the user's own."""
    top = _git("rev-parse", "--show-toplevel") if scope == "local" else ""
    if top is None:
        raise ConfigError(
            "there is no git repository with a work tree here: run this in one, or use --global for all repositories"
        )
    if given is not None:
        return given
    if scope == "local":
        return os.path.join(top, ".gitattributes")
    configured = _git("config", "--global", "--type=path", "core.attributesFile")
    if configured:
        return configured
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "git", "attributes")


def _held_by_lfs() -> bool:
    answer = _git("check-attr", "filter", "--", "model.pt2") or ""
    return answer.endswith(": lfs")


def _set(scope: Scope, key: str, value: str) -> None:
    # --replace-all: a key that stands there twice is set once.
    _configure(scope, "--replace-all", f"{SECTION}.{key}", value)


def _unset(scope: Scope, key: str) -> None:
    name = f"{SECTION}.{key}"
    if _git("config", f"--{scope}", "--get-all", name) is not None:
        _configure(scope, "--unset-all", name)


def _configure(scope: Scope, *arguments: str) -> None:
    done = _run("config", f"--{scope}", *arguments)
    if done.returncode:
        reason = os.fsdecode(done.stderr).strip() or f"exit status {done.returncode}"
        raise WriteError(f"git could not change its {scope} configuration: {reason}")


def _edit(path: str, *, install: bool) -> bool:
    """Change the file of attributes, and say whether that made a difference."""
    try:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
                text = stream.read()
        except FileNotFoundError:
            text = ""
        changed = added(text) if install else removed(text)
        if changed == text:
            return False
        if not changed:
            os.unlink(path)  # the line was all that it held
            return True
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(changed)
    except OSError as error:
        raise WriteError(f"cannot change the attributes in {path}: {error.strerror}") from error
    return True


def _git(*arguments: str) -> str | None:
    """What git answers, None where it fails. Raises ConfigError where there is no git."""
    done = _run(*arguments)
    return os.fsdecode(done.stdout).rstrip("\r\n") if done.returncode == 0 else None


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607 - the user's git
    except FileNotFoundError:
        raise ConfigError("git was not found on the PATH") from None

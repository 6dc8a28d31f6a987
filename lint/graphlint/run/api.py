"""The functions that ``import graphlint`` offers: what the command line does, without printing.

Options are named as on the command line and in the configuration, and mean the same. Selectors (``select``, ``ignore``,
…) and targets are one string, comma-separated if there are several, or a sequence of strings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

import msgspec

from graphlint.artifact.errors import ConfigError, MissingFileError
from graphlint.artifact.source import ByteSource, BytesSource, StreamSource, is_url
from graphlint.ops.declared import DeclaredOp
from graphlint.report.results import Action, FileResult
from graphlint.rules.selection import split_selectors
from graphlint.rules.settings import Checks, OwnTarget, Settings, State, TokenSink
from graphlint.run.config import checked, configured
from graphlint.run.pool import Task, cores, run, tasks_for
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from typing_extensions import Unpack

    from graphlint.rules.code import Code
    from graphlint.run.engine import Verifier


Selectors = str | Sequence[str]
Path = str | os.PathLike[str]
Content = bytes | bytearray | memoryview | BinaryIO
"""An artifact that is no file."""


class ProgramOptions(TypedDict, total=False):
    """What can be said of a program, in a file or in memory."""

    select: Selectors | None
    extend_select: Selectors
    ignore: Selectors
    fixable: Selectors | None
    unfixable: Selectors
    unsafe_fixes: bool | None
    exact: bool | None
    """Whether what rounds otherwise once it is functional stays as it is."""
    token_sink: TokenSink | None
    checks: Checks | None
    """What becomes of runtime checks; None where the targets decide."""
    target: Selectors | None
    targets: Mapping[str, OwnTarget | Mapping[str, Any]] | None
    """Targets of one's own, by name, each with the keys of ``[tool.graphlint.targets]``."""
    requires_torch: str | None
    """A version specifier, such as ``">=2.9"``; empty for none, whatever the configuration says."""
    ops: Mapping[str, DeclaredOp | Mapping[str, Any]] | None


class LintOptions(ProgramOptions, total=False):
    """What can be said of an artifact."""

    allow_globals: Selectors | None
    """Names that may be looked up in pickles, for they do nothing but hold data."""
    baseline: str | None
    """A path; empty for none, whatever the configuration says."""
    config: str | None
    """The configuration file, in place of the one that is nearest to the artifact."""
    isolated: bool
    """Whether to ignore all configuration files."""
    state: State | None
    """``"io"`` makes inputs and outputs of what the program keeps between calls."""


class FixOptions(LintOptions, total=False):
    """What can be said of an artifact that is written back."""

    provenance: bool | None
    """Whether to record what was done in the artifact's extra file ``graphlint.json`` (the default)."""


def lint(artifact: Path | Content, **options: Unpack[LintOptions]) -> FileResult:
    """Lint one artifact: a file, a URL, the bytes of one, or a binary file object that can seek.

    What the options leave open comes from the configuration. What comments in the model's source, per-file ignores or
    the baseline accept is in ``FileResult.suppressed``. What is wrong with the artifact is in the result, as a
    diagnostic (GL001, GL002). Raises MissingFileError where there is no such file, ConfigError for what is wrong with
    options or configuration, RemoteError for a URL whose artifact cannot be had.
    """
    return _processed(artifact, "check", _resolver(options, LintOptions))


def scan(artifact: Path | Content, *, allow_globals: Selectors = ()) -> tuple[Code, ...]:
    """What torch would run when it loads an artifact, each with its member; empty where it loads mere data.

    That is what GL003 reports, and what cannot be looked into besides: nothing is unpickled, no configuration is read.
    ``allow_globals`` are names of classes that do nothing but hold data (``transformers.cache_utils.*``). Raises
    GraphlintError where the file is no artifact or cannot be had.
    """
    from graphlint.artifact.artifact import open_artifact
    from graphlint.rules.code import find_code

    name, source = _named(artifact)
    with open_artifact(name, source=source) as opened:
        return tuple(
            find_code(opened, split_selectors([allow_globals] if isinstance(allow_globals, str) else allow_globals))
        )


def lint_many(
    paths: Path | Iterable[Path],
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    **options: Unpack[LintOptions],
) -> Iterator[FileResult]:
    """Lint the artifacts that ``paths`` stand for: files, folders, patterns and URLs, as on the command line.

    The results come in the order of ``paths`` (sorted within a folder), each as soon as it and those before it are
    there. What could not be done, be it that a path does not exist, a bug of graphlint, or a worker that was killed, is
    :attr:`FileResult.error`, and does not stop the others.

    ``executor`` does the work, any :class:`concurrent.futures.Executor`: its workers need graphlint and the artifacts
    under the same paths, but not the configuration, which is read here. It is left running. Without one, at most
    ``jobs`` processes of graphlint's own (default: as many as there are cores) are started if there is enough to do.
    The other options, and what is raised (at once, not with the first result), are as for :func:`lint`.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: expected a number of at least 1, found {jobs}")
    resolver, reviewer = _resolver(options, LintOptions), Reviewer()
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    tasks = tasks_for([os.fspath(path) for path in given], resolver, "check")
    for task in tasks:
        reviewer.baseline(task.settings.acceptance.baseline)
    return _results(tasks, reviewer, executor, jobs)


def _results(
    tasks: Sequence[Task], reviewer: Reviewer, executor: Executor | None, jobs: int | None
) -> Iterator[FileResult]:
    with closing(run(tasks, jobs or cores(), reviewer, executor=executor)) as outcomes:
        for outcome in outcomes:
            yield outcome.result


def fix(
    path: Path, *, diff: bool = False, verify: bool = False, trust: bool = False, **options: Unpack[FixOptions]
) -> FileResult:
    """Fix one artifact and write it back.

    ``diff`` only shows what a fix would change (``FileResult.diff``). ``verify`` (needs torch) runs the artifact before
    and after, and writes it only if both do the same; ``trust`` admits artifacts whose code runs when torch loads them.
    The other options, and what is raised, are as for :func:`lint`. Why an artifact could not be written, or did not
    pass its verification, is ``FileResult.error``; it is untouched then.
    """
    action = _changing(path, diff=diff)
    return _processed(path, action, _resolver(options, FixOptions), _verifier(verify, trust))


def restore(
    path: Path,
    *,
    diff: bool = False,
    verify: bool = False,
    trust: bool = False,
    provenance: bool | None = None,
    ops: Mapping[str, DeclaredOp | Mapping[str, Any]] | None = None,
    config: str | None = None,
    isolated: bool = False,
) -> FileResult:
    """Make the functional checks of one artifact plain ones again, and write it back.

    What was restored is ``FileResult.restored``, what could not be is ``FileResult.kept``. ``diff``, ``verify`` and
    the other options, and what is raised, are as for :func:`fix`.
    """
    from graphlint.run import engine

    action = _changing(path, diff=diff)
    _named(path)
    options = {"provenance": provenance, "ops": ops, "config": config, "isolated": isolated}
    settings = _resolver(options, FixOptions).settings_for(os.fspath(path))
    return engine.restore(os.fspath(path), settings, action, _verifier(verify, trust))


def program_settings(**options: Unpack[ProgramOptions]) -> Settings:
    """The settings for a program that is no file: no configuration file holds for it. Raises ConfigError."""
    return _resolver({**options, "isolated": True}, LintOptions).settings_for(os.curdir)


def _named(artifact: Path | Content) -> tuple[str, ByteSource | None]:
    """The path of an artifact, or what to call its bytes, and where they come from. Raises MissingFileError."""
    if isinstance(artifact, (bytes, bytearray, memoryview)):
        return "<bytes>", BytesSource(bytes(artifact))
    if not isinstance(artifact, (str, os.PathLike)):
        if not hasattr(artifact, "read"):
            raise TypeError(f"expected a path, bytes or a binary file object, found {type(artifact).__name__}")
        return str(getattr(artifact, "name", "<stream>")), StreamSource(artifact)
    name = os.fspath(artifact)
    if not is_url(name) and not os.path.lexists(name):
        raise MissingFileError(f"{name}: there is no such file")
    return name, None


def _processed(
    path: Path | Content, action: Action, resolver: Resolver, verifier: Verifier | None = None
) -> FileResult:
    from graphlint.run.engine import process

    name, source = _named(path)
    settings, reviewer = resolver.settings_for(name), Reviewer()
    reviewer.baseline(settings.acceptance.baseline)
    review = partial(reviewer.accept, name, settings.acceptance)
    result = process(name, settings, action, verifier, review, source)
    return reviewer.note(result, settings).without_fixes_except(settings.fixable)


def _changing(path: Path, *, diff: bool) -> Action:
    if is_url(os.fspath(path)) and not diff:
        raise ConfigError(f"{os.fspath(path)} cannot be written to: copy it first, or ask for the diff")
    return "diff" if diff else "fix"


def _verifier(wanted: bool, trust: bool) -> Verifier | None:
    if not wanted:
        return None
    from graphlint.runtime.verification import verifier

    return verifier(trust=trust)


def _resolver(options: Mapping[str, Any], known: Any) -> Resolver:
    """What finds out settings. Raises TypeError for an option that is none of ``known``."""
    unknown = sorted(options.keys() - known.__optional_keys__)
    if unknown:
        raise TypeError(f"there is no option '{unknown[0]}'")
    for key, kind in (("token_sink", TokenSink), ("checks", Checks), ("state", State), ("requires_torch", str)):
        if options.get(key) is not None:
            checked(options[key], kind, key)
    try:
        declared = msgspec.convert(dict(options.get("ops") or {}), dict[str, DeclaredOp])
    except msgspec.ValidationError as error:
        raise ConfigError(f"ops: {error}") from None
    own = options.get("targets")
    if own is not None:
        plain = {name: msgspec.to_builtins(one) for name, one in own.items()}
        own = msgspec.convert(checked(plain, dict[str, OwnTarget], "targets"), dict[str, OwnTarget])
    given = configured({**options, "ops": declared, "targets": own})
    return Resolver(given, (), options.get("config"), isolated=options.get("isolated", False), origin="")

"""The functions that ``import graphlint`` offers: what the command line does, without printing.

Options are named as on the command line and in the configuration, and mean the same. Selectors (``select``, ``ignore``,
…) and targets are one string, comma-separated if there are several, or a sequence of strings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.urls import is_url
from graphlint.report.results import FileResult
from graphlint.rules.settings import DeclaredOp, Settings, TokenSink
from graphlint.run.config import Configuration, FixTable
from graphlint.run.resolution import Resolver
from graphlint.run.selection import split_selectors

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from graphlint.run.discovery import Candidate
    from graphlint.run.resolution import Resolved
    from graphlint.run.review import Reviewer

ORIGIN = "the call"
"""Where messages say that a wrong option comes from."""

Selectors = str | Sequence[str]
Ops = Mapping[str, DeclaredOp | Mapping[str, Any]]


def lint(
    path: str | os.PathLike[str],
    *,
    select: Selectors | None = None,
    extend_select: Selectors = (),
    ignore: Selectors = (),
    fixable: Selectors | None = None,
    unfixable: Selectors | None = None,
    unsafe_fixes: bool | None = None,
    token_sink: TokenSink | None = None,
    target: Selectors | None = None,
    ops: Ops | None = None,
    baseline: str | None = None,
    config: str | None = None,
    isolated: bool = False,
) -> FileResult:
    """Lint one artifact.

    What the options leave open comes from the configuration file nearest to the artifact, or from the one that
    ``config`` names; ``isolated`` ignores them all. What comments in the model's source, per-file ignores or the
    ``baseline`` (a path; empty for none) accept is in ``FileResult.suppressed``. What is wrong with the artifact is
    in the result, as a diagnostic (GL001, GL002). Raises ConfigError for what is wrong with options or configuration,
    RemoteError for a URL whose artifact cannot be had.
    """
    from graphlint.cli.running import without_excluded_fixes
    from graphlint.run.engine import process

    settings = _reviewed(
        os.fspath(path),
        _configuration(select, extend_select, ignore, fixable, unfixable, unsafe_fixes, token_sink, target, ops),
        config,
        baseline=baseline,
        isolated=isolated,
    )
    return without_excluded_fixes(process(os.fspath(path), settings, "check"), settings)


def lint_many(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    select: Selectors | None = None,
    extend_select: Selectors = (),
    ignore: Selectors = (),
    fixable: Selectors | None = None,
    unfixable: Selectors | None = None,
    unsafe_fixes: bool | None = None,
    token_sink: TokenSink | None = None,
    target: Selectors | None = None,
    ops: Ops | None = None,
    baseline: str | None = None,
    config: str | None = None,
    isolated: bool = False,
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
    from graphlint.rules.registry import RULES
    from graphlint.run.discovery import discover
    from graphlint.run.review import Reviewer

    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: expected a number of at least 1, found {jobs}")
    options = _configuration(select, extend_select, ignore, fixable, unfixable, unsafe_fixes, token_sink, target, ops)
    options = msgspec.structs.replace(options, baseline=baseline)
    resolver = Resolver(RULES, options, (), config, isolated=isolated, origin=ORIGIN)
    reviewer = Reviewer(RULES)
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    candidates = list(discover([os.fspath(path) for path in given], resolver))
    work = [(one, resolver.settings_for(one.path), resolver.for_path(one.path)) for one in candidates]
    for _, _, resolved in work:
        reviewer.prepare(resolved)
    return _results(work, reviewer, executor, jobs)


def _results(
    work: Sequence[tuple[Candidate, Settings, Resolved]],
    reviewer: Reviewer,
    executor: Executor | None,
    jobs: int | None,
) -> Iterator[FileResult]:
    from graphlint.cli.running import without_excluded_fixes
    from graphlint.run.batch import Task, cores, failure, in_order, reviewed, run

    tasks = [Task(candidate.path, settings) for candidate, settings, _ in work]
    known = [
        failure(task, candidate.error) if candidate.error else None
        for (candidate, *_), task in zip(work, tasks, strict=True)
    ]
    outcomes = run(tasks, known, jobs or cores()) if executor is None else in_order(tasks, known, lambda _: executor)
    with closing(outcomes):
        for outcome, (_, settings, resolved) in zip(outcomes, work, strict=True):
            yield without_excluded_fixes(reviewed(outcome, resolved, settings, reviewer).result, settings)


def fix(
    path: str | os.PathLike[str],
    *,
    diff: bool = False,
    verify: bool = False,
    trust: bool = False,
    select: Selectors | None = None,
    extend_select: Selectors = (),
    ignore: Selectors = (),
    fixable: Selectors | None = None,
    unfixable: Selectors | None = None,
    unsafe_fixes: bool | None = None,
    token_sink: TokenSink | None = None,
    provenance: bool | None = None,
    target: Selectors | None = None,
    ops: Ops | None = None,
    baseline: str | None = None,
    config: str | None = None,
    isolated: bool = False,
) -> FileResult:
    """Fix one artifact and write it back.

    ``diff`` only shows what a fix would change (``FileResult.diff``). ``verify`` (needs torch) runs the artifact before
    and after, and writes it only if both do the same; ``trust`` admits artifacts whose code runs when torch loads them.
    ``provenance`` records what was done in the artifact's extra file ``graphlint.json`` (the default).
    The other options, and what is raised, are as for :func:`lint`. Why an artifact could not be written, or did not
    pass its verification, is ``FileResult.error``; it is untouched then.
    """
    from graphlint.cli.running import without_excluded_fixes
    from graphlint.run.engine import process

    _refuse_to_write(path, diff=diff)
    settings = _reviewed(
        os.fspath(path),
        _configuration(
            select, extend_select, ignore, fixable, unfixable, unsafe_fixes, token_sink, target, ops, provenance
        ),
        config,
        baseline=baseline,
        isolated=isolated,
    )
    verifier = None
    if verify:
        from graphlint.runtime.verification import verifier as make_verifier

        verifier = make_verifier(trust=trust)
    result = process(os.fspath(path), settings, "diff" if diff else "fix", verifier)
    return without_excluded_fixes(result, settings)


def restore(
    path: str | os.PathLike[str],
    *,
    diff: bool = False,
    verify: bool = False,
    trust: bool = False,
    provenance: bool | None = None,
    ops: Ops | None = None,
    config: str | None = None,
    isolated: bool = False,
) -> FileResult:
    """Make the functional checks of one artifact plain ones again, and write it back.

    What was restored is ``FileResult.restored``, what could not be is ``FileResult.kept``. ``diff``, ``verify`` and
    the other options, and what is raised, are as for :func:`fix`.
    """
    from graphlint.run.engine import restore as restore_file

    _refuse_to_write(path, diff=diff)
    options = _configuration(None, (), (), None, None, None, None, None, ops, provenance)
    settings = _settings(os.fspath(path), options, config, isolated=isolated)
    verifier = None
    if verify:
        from graphlint.runtime.verification import verifier as make_verifier

        verifier = make_verifier(trust=trust)
    return restore_file(os.fspath(path), settings, "diff" if diff else "fix", verifier)


def _refuse_to_write(path: str | os.PathLike[str], *, diff: bool) -> None:
    if is_url(os.fspath(path)) and not diff:
        raise ConfigError(f"{os.fspath(path)} cannot be written to: take a local copy, or ask for the diff")


def program_settings(
    *,
    select: Selectors | None = None,
    extend_select: Selectors = (),
    ignore: Selectors = (),
    fixable: Selectors | None = None,
    unfixable: Selectors | None = None,
    unsafe_fixes: bool | None = None,
    token_sink: TokenSink | None = None,
    target: Selectors | None = None,
    ops: Ops | None = None,
) -> Settings:
    """The settings for a program that is no file: no configuration file holds for it. Raises ConfigError."""
    options = _configuration(select, extend_select, ignore, fixable, unfixable, unsafe_fixes, token_sink, target, ops)
    return _settings(os.curdir, options, None, isolated=True)


def _settings(path: str, options: Configuration, config: str | None, *, isolated: bool) -> Settings:
    from graphlint.rules.registry import RULES

    return Resolver(RULES, options, (), config, isolated=isolated, origin=ORIGIN).settings_for(path)


def _reviewed(
    path: str, options: Configuration, config: str | None, *, baseline: str | None, isolated: bool
) -> Settings:
    """As :func:`_settings`, for an artifact: with what comments in the source and a baseline accept."""
    from graphlint.rules.registry import RULES
    from graphlint.run.review import Reviewer

    options = msgspec.structs.replace(options, baseline=baseline)
    resolver = Resolver(RULES, options, (), config, isolated=isolated, origin=ORIGIN)
    return Reviewer(RULES).settings_for(path, resolver.for_path(path), resolver.settings_for(path))


def _configuration(
    select: Selectors | None,
    extend_select: Selectors,
    ignore: Selectors,
    fixable: Selectors | None,
    unfixable: Selectors | None,
    unsafe_fixes: bool | None,
    token_sink: TokenSink | None,
    target: Selectors | None,
    ops: Ops | None,
    provenance: bool | None = None,
) -> Configuration:
    if token_sink not in (None, "buffer", "output"):
        raise ConfigError(f"token_sink: unknown value {token_sink!r}, expected one of buffer, output")
    try:
        declared = None if ops is None else msgspec.convert(dict(ops), dict[str, DeclaredOp])
    except msgspec.ValidationError as error:
        raise ConfigError(f"ops: {error}") from None
    return Configuration(
        select=None if select is None else _split(select),
        extend_select=_split(extend_select),
        ignore=_split(ignore),
        fixable=None if fixable is None else _split(fixable),
        unfixable=None if unfixable is None else _split(unfixable),
        unsafe_fixes=unsafe_fixes,
        target=None if target is None else _split(target),
        fix=FixTable(token_sink=token_sink, provenance=provenance),
        ops=declared,
    )


def _split(selectors: Selectors) -> tuple[str, ...]:
    return split_selectors([selectors] if isinstance(selectors, str) else selectors)

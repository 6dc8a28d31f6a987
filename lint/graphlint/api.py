"""The functions that ``import graphlint`` offers: what the command line does, without printing.

Options are named as on the command line and in the configuration, and mean the same. Selectors (``select``, ``ignore``,
…) and targets are one string, comma-separated if there are several, or a sequence of strings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from graphlint.config import Configuration, FixTable
from graphlint.errors import ConfigError
from graphlint.resolution import Resolver
from graphlint.results import FileResult
from graphlint.selection import split_selectors
from graphlint.settings import DeclaredOp, Settings, TokenSink

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
    in the result, as a diagnostic (GL001, GL002). Raises ConfigError for what is wrong with options or configuration.
    """
    from graphlint.commands.running import without_excluded_fixes
    from graphlint.engine import process

    settings = _reviewed(
        os.fspath(path),
        _configuration(select, extend_select, ignore, fixable, unfixable, unsafe_fixes, token_sink, target, ops),
        config,
        baseline=baseline,
        isolated=isolated,
    )
    return without_excluded_fixes(process(os.fspath(path), settings, "check"), settings)


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
    from graphlint.commands.running import without_excluded_fixes
    from graphlint.engine import process

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
    from graphlint.engine import restore as restore_file

    options = _configuration(None, (), (), None, None, None, None, None, ops, provenance)
    settings = _settings(os.fspath(path), options, config, isolated=isolated)
    verifier = None
    if verify:
        from graphlint.runtime.verification import verifier as make_verifier

        verifier = make_verifier(trust=trust)
    return restore_file(os.fspath(path), settings, "diff" if diff else "fix", verifier)


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

    return Resolver(RULES, options, (), config, isolated=isolated).settings_for(path)


def _reviewed(
    path: str, options: Configuration, config: str | None, *, baseline: str | None, isolated: bool
) -> Settings:
    """As :func:`_settings`, for an artifact: with what comments in the source and a baseline accept."""
    from graphlint.review import Reviewer
    from graphlint.rules.registry import RULES

    options = msgspec.structs.replace(options, baseline=baseline)
    resolver = Resolver(RULES, options, (), config, isolated=isolated)
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

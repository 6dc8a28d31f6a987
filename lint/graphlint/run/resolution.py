"""From configuration files and the command line to the settings of one artifact.

Sources, the later ones winning: the defaults, the nearest configuration file upwards from the artifact (or the one
given by ``--config FILE``), each ``--config KEY=VALUE``, the command line's own options.
"""

import os.path
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.artifact.source import is_url
from graphlint.ops.declared import DeclaredOp, RequiredTorch
from graphlint.ops.table import covered, op_of
from graphlint.report.formats.registry import Output, parse
from graphlint.rules.checks import PLAIN, TOKEN_RULES
from graphlint.rules.ignore_comments import UnusedIgnore
from graphlint.rules.interface import MutationOutput
from graphlint.rules.mutation import MutationRule
from graphlint.rules.registry import RULES
from graphlint.rules.selection import (
    Layer,
    chosen_codes,
    enabled_codes,
    fixable_codes,
    losing,
    matching_codes,
    severities,
)
from graphlint.rules.settings import (
    COMMAND_LINE,
    INLINE,
    Acceptance,
    Checks,
    OpRow,
    OwnTarget,
    Pattern,
    Profile,
    Settings,
    TargetAction,
    parse_toml,
    wrong,
)
from graphlint.run import config
from graphlint.run.config import ConfigFile, Configuration
from graphlint.run.globs import matches, matches_any

if TYPE_CHECKING:
    from graphlint.rules.targets.model import Target

CACHE_FOLDER: Final = ".graphlint_cache"
_EXCLUDED: Final = (
    ".bzr .direnv .eggs .git .git-rewrite .graphlint_cache .hg .hypothesis .ipynb_checkpoints .mypy_cache .nox .pyenv "
    ".pytest_cache .ruff_cache .svn .tox .venv .vscode __pycache__ __pypackages__ node_modules site-packages venv"
)
DEFAULT_EXCLUDE: Final = tuple(_EXCLUDED.split())
"""Folders that hold nobody's own artifacts. ``build`` and ``dist`` are not among them: exports are put there."""
DEFAULTS: Final = Configuration(
    exclude=DEFAULT_EXCLUDE,
    force_exclude=False,
    respect_gitignore=True,
    output_format=("full",),
    cache_dir=CACHE_FOLDER,
    token_sink="buffer",
    state="module",
    provenance=True,
    step_summary=True,
    fail_on="warning",
)


class Resolved(msgspec.Struct, frozen=True):
    """All sources put together, for the artifacts that share a configuration file."""

    settings: Settings
    """Before what is said of single files."""
    per_file_targets: tuple[tuple[Pattern, Settings], ...]
    """The settings for what has targets of its own; of several that match, the last holds."""
    exclude: tuple[Pattern, ...]
    root: str
    """The configuration's folder."""
    origin: str
    """The configuration file; empty if there is none."""
    said: Configuration
    """What the last source to say something of a key says, key by key."""
    outputs: tuple[Output, ...]
    """The reports to write, of which files are relative to the current folder or absolute."""
    cache_dir: str
    """The absolute folder that keeps results."""
    targets: "Mapping[str, Target]"
    """Those that the configuration adds."""


class Resolver:
    """Finds out which settings hold for which path; configurations are read once per folder."""

    def __init__(
        self,
        options: Configuration,
        inline: Sequence[str] = (),
        file: str | None = None,
        *,
        isolated: bool = False,
        origin: str = COMMAND_LINE,
    ) -> None:
        """``options`` are the command line's own, ``inline`` and ``file`` what ``--config`` was given; ``origin`` says
        in messages where the options come from.

        Raises ConfigError for what is wrong with them.
        """
        self._folder = os.getcwd()
        self._isolated = isolated
        # As in ruff: patterns in a file that was named explicitly are relative to the current folder.
        self._file = None if file is None else config.load(file, self._folder)
        if file is not None and self._file is None:
            raise ConfigError(f"{file}: there is no [tool.graphlint] in it")
        self._overrides = []
        for text in inline:
            table = parse_toml(text.encode("utf-8", "surrogateescape"), INLINE)
            self._overrides.append(ConfigFile(INLINE, self._folder, config.check(table, INLINE, ""), said=True))
        self._overrides.append(ConfigFile(origin, self._folder, options, said=True))
        self._folders: dict[str, str] = {}
        """Absolute ones, by what they are called."""
        self._files: dict[str, ConfigFile | None] = {}
        self._resolved: dict[str, Resolved] = {}

    @property
    def run(self) -> Resolved:
        """What holds for the run as a whole: the settings of the current folder."""
        return self.for_folder(self._folder)

    @property
    def force_exclude(self) -> bool:
        return self.run.said.force_exclude is True

    def respects_gitignore(self, folder: str) -> bool:
        """Whether a folder is searched without what git ignores."""
        return self.for_folder(os.path.abspath(folder)).said.respect_gitignore is True

    def excludes(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path``, or a URL."""
        resolved = self.run if is_url(path) else self.for_folder(os.path.dirname(path))
        return matches_any(resolved.exclude, path)

    def excludes_with_parents(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path`` or a folder between the configuration's and it."""
        resolved = self.for_folder(os.path.dirname(path))
        while not matches_any(resolved.exclude, path):
            parent = os.path.dirname(path)
            if parent in (path, resolved.root) or not parent.startswith(os.path.join(resolved.root, "")):
                return False
            path = parent
        return True

    def settings_for(self, path: str) -> Settings:
        """Raises ConfigError."""
        resolved = self.for_path(path)
        if not (resolved.per_file_targets or resolved.settings.acceptance.ignores):
            return resolved.settings
        absolute = path if is_url(path) else os.path.abspath(path)
        own = (one for pattern, one in reversed(resolved.per_file_targets) if matches(pattern, absolute))
        settings = next(own, resolved.settings)
        ignored = [codes for pattern, codes in settings.acceptance.ignores if matches(pattern, absolute)]
        return msgspec.structs.replace(settings, enabled=settings.enabled.difference(*ignored)) if ignored else settings

    def for_path(self, path: str) -> Resolved:
        """What holds for the artifact at ``path`` and those beside it; for a URL, what holds in the current folder.

        Raises ConfigError.
        """
        if is_url(path):
            return self.run
        folder = os.path.dirname(path)  # of many artifacts
        if folder not in self._folders:
            self._folders[folder] = os.path.abspath(folder)
        return self.for_folder(self._folders[folder])

    def for_folder(self, folder: str) -> Resolved:
        """What holds in the absolute ``folder``. Raises ConfigError."""
        file = self._file or self._nearest(folder)
        key = "" if file is None else file.path
        if key not in self._resolved:
            self._resolved[key] = self._resolve(file)
        return self._resolved[key]

    def _nearest(self, folder: str) -> ConfigFile | None:
        if folder not in self._files and not self._isolated:
            found, parent = config.find_in(folder), os.path.dirname(folder)
            self._files[folder] = found if found is not None or parent == folder else self._nearest(parent)
        return self._files.get(folder)

    def _resolve(self, file: ConfigFile | None) -> Resolved:
        root = self._folder if file is None else file.root
        given = self._overrides if file is None else [*file.chain(), *self._overrides]
        sources = [ConfigFile("", root, DEFAULTS), *given]
        ops: dict[str, DeclaredOp] = {}
        limits: dict[str, int] = {}
        declared: dict[str, tuple[str, OwnTarget]] = {}
        exclude = _patterns(*_last(sources, "exclude"))
        for source in given:
            ops.update(source.configuration.ops or {})
            limits.update(source.configuration.limits or {})
            for name, one in (source.configuration.targets or {}).items():
                declared[name] = (": ".join(filter(None, (source.path, f"targets.{name}"))), one)
            exclude += _patterns(source, source.configuration.extend_exclude)
        own = _own_targets(declared)
        said = Configuration(**{key: _last(sources, key)[1] for key in Configuration.__struct_fields__})
        outputs, formats = _last(sources, "output_format")
        keeping, folder = _last(sources, "cache_dir")
        targeting, targets = _last(sources, "target")
        # A later target for all artifacts overrides earlier ones for single files.
        single = max((targeting, _last(sources, "per_file_target")[0]), key=sources.index)
        (allowing, fixable), (denying, unfixable) = _last(given, "fixable"), _last(given, "unfixable")
        origin = allowing if fixable is not None else denying
        settings = Settings(
            enabled=frozenset(),
            fixable=fixable_codes(fixable, unfixable or (), origin=origin.path),
            unsafe_fixes=bool(said.unsafe_fixes),
            exact=bool(said.exact),
            token_sink=said.token_sink or "buffer",
            checks=said.checks,
            state=said.state or "module",
            ops=ops,
            requires_torch=_required_torch(*_last(sources, "requires_torch")),
            provenance=bool(said.provenance),
            limits=msgspec.convert(limits, Limits) if limits else Limits(),
            allow_globals=_last(sources, "allow_globals")[1] or (),
            acceptance=self._acceptance(root, sources),
        )

        def for_targets(names: tuple[str, ...], source: ConfigFile, key: str) -> Settings:
            try:
                profile = _profile(names, own, said.checks)
            except ConfigError as error:
                raise wrong(source.path, key, str(error)) from None
            return self._targeted(settings, given, profile)

        return Resolved(
            settings=for_targets(targets or (), targeting, "target"),
            per_file_targets=tuple(
                (Pattern(glob, single.root), for_targets(names, single, f'per-file-target."{glob}"'))
                for glob, names in (single.configuration.per_file_target or {}).items()
            ),
            exclude=exclude,
            root=root,
            origin="" if file is None else file.path,
            said=said,
            outputs=tuple(
                one
                if not one.file or (_written(outputs, one.file, "output-format") and outputs.root == self._folder)
                else Output(one.format, _below(outputs, one.file))
                for one in map(parse, formats)
            ),
            cache_dir=_written(keeping, os.path.expanduser(folder), "cache-dir"),
            targets=own,
        )

    def _targeted(self, settings: Settings, sources: Sequence[ConfigFile], profile: Profile) -> Settings:
        """The settings for artifacts of these targets."""
        if settings.checks is not None:
            profile = _with_checks(profile, settings.checks)
        if settings.state == "io":
            profile = _lifting(profile)
        said = ((one.configuration, one.path) for one in sources)
        layers = [
            Layer(one.select, one.extend_select or (), (*(one.ignore or ()), *losing(one.accept_losses or ())), path)
            for one, path in said
        ]
        enabled = enabled_codes(layers, profile.violations)
        unlisted = frozenset(rule.code for rule in RULES if rule.idle) - chosen_codes(layers)
        if settings.checks == "strip":  # who wants no checks wants none that is idle
            unlisted = frozenset()
        severe = dict(profile.severities)
        for one in sources:
            severe.update(severities(one.configuration.severity or {}, one.path))
        if _last(sources, "warn_unused_ignores")[1]:
            enabled |= {UnusedIgnore.code}
        if settings.state == "io":
            enabled |= {MutationOutput.code}
        return msgspec.structs.replace(
            settings, enabled=enabled, unlisted=unlisted & enabled, severities=severe, profile=profile
        )

    def _acceptance(self, root: str, sources: Sequence[ConfigFile]) -> Acceptance:
        """Raises ConfigError for a source root that is no folder."""
        ignoring, ignores = _last(sources, "per_file_ignores")
        naming, baseline = _last(sources, "baseline")
        rooted, names = _last(sources, "source_roots")
        roots = tuple(_below(rooted, name) for name in names or ())
        for folder in roots:
            if not os.path.isdir(folder):
                raise ConfigError(f"{rooted.path}: source-roots: there is no folder {folder}")
        ignored = []
        for glob, selectors in (ignores or {}).items():
            codes = matching_codes(selectors, f'per-file-ignores."{glob}"', ignoring.path)
            ignored.append((Pattern(glob, ignoring.root), codes))
        return Acceptance(root, roots, _written(naming, baseline, "baseline") if baseline else "", tuple(ignored))


def _own_targets(declared: Mapping[str, tuple[str, OwnTarget]]) -> "dict[str, Target]":
    """The targets that the configuration adds. Raises ConfigError."""
    if not declared:
        return {}
    from graphlint.rules.targets.own import own_targets

    return own_targets(declared)


def _profile(targets: tuple[str, ...], own: "Mapping[str, Target]", checks: Checks | None) -> Profile:
    """What the targets demand together. Raises ConfigError."""
    if targets in ((), Profile().targets):
        return Profile(chosen=bool(targets))
    from graphlint.rules.targets.model import profile_of

    return profile_of(targets, own, checks)


def _with_checks(profile: Profile, checks: Checks) -> Profile:
    """The same with another form of checks than the one that the targets would have them in. Raises ConfigError where a
    target refuses it.
    """
    actions, violations = dict(profile.actions), profile.violations
    if violations is None:
        violations = frozenset(rule.code for rule in RULES if rule.enabled_by_default)
    said = f'checks = "{checks}"'
    if checks == "strip":
        why = f"{said} removes checks on purpose"
        actions.update({code: TargetAction("strip", "", why) for code in PLAIN.values()})
        return _without_tokens(profile, actions, violations | frozenset(PLAIN.values()), said)
    if checks == "plain":
        own = {code for code in TOKEN_RULES if code not in actions}  # what a target wants of plain checks holds
        actions.update({code: TargetAction("keep", "", f"{said} leaves it as it is") for code in own})
        return _without_tokens(profile, actions, violations - own, said)
    kept = {code for code in TOKEN_RULES if code in actions and actions[code].fix == "keep"}
    actions = {code: action for code, action in actions.items() if code not in kept}
    return msgspec.structs.replace(profile, actions=actions, violations=violations | kept)


def _without_tokens(
    profile: Profile, actions: dict[str, TargetAction], violations: frozenset[str], said: str
) -> Profile:
    """The same where dependency tokens become plain checks again."""
    token = op_of("make-token").name
    row = OpRow("no check is to be a functional one")
    ops = profile.ops if profile.refused_op(token) is not None else {**profile.ops, said: {token: (row,)}}
    return msgspec.structs.replace(profile, actions=actions, violations=violations, ops=ops)


def _lifting(profile: Profile) -> Profile:
    """The same where state becomes inputs and outputs, whatever the targets make of state: writes become data flow
    first, and nothing is left to keep or refuse.
    """
    lifted = {rule.code for rule in RULES if isinstance(rule, (MutationRule, MutationOutput))}
    actions = {code: action for code, action in profile.actions.items() if code not in lifted}
    violations = profile.violations if profile.violations is None else profile.violations | lifted
    return msgspec.structs.replace(profile, actions=actions, violations=violations)


def _last(sources: Sequence[ConfigFile], key: str) -> tuple[ConfigFile, Any]:
    """The last source that says something of a key, and what it says; the first and None if none does."""
    for source in reversed(sources):
        value = getattr(source.configuration, key)
        if value is not None and not (value in ("", ()) and key in ("cache_dir", "output_format")):
            return source, value
    return sources[0], None


def _required_torch(source: ConfigFile, specifier: str | None) -> RequiredTorch | None:
    """Raises ConfigError for what is no specifier, or admits no version that is known."""
    if not specifier:
        return None
    from graphlint.ops.declared import required

    try:
        return required(specifier, covered())
    except ConfigError as error:
        raise wrong(source.path, "requires-torch", str(error)) from None


def _patterns(source: ConfigFile, globs: tuple[str, ...] | None) -> tuple[Pattern, ...]:
    return tuple(Pattern(glob, source.root) for glob in globs or ())


def _written(source: ConfigFile, path: str, key: str) -> str:
    """The absolute path of what graphlint writes, or may. Raises ConfigError where a file, or a link in its folder,
    makes it write elsewhere: it may come with a checkout that nobody has looked at.
    """
    whole = _below(source, path)
    folder = os.path.realpath(source.root)
    if not source.said and os.path.commonpath([folder, os.path.realpath(whole)]) != folder:
        raise ConfigError(
            f"{source.path or whole}: {key}: {path} leads out of the folder {source.root}: a configuration may write "
            "below its own folder only, and the command line anywhere"
        )
    return whole


def _below(source: ConfigFile, path: str) -> str:
    return os.path.normpath(os.path.join(source.root, path))

"""From configuration files and the command line to the settings of one artifact.

Sources, the later ones winning: the defaults, the nearest configuration file upwards from the artifact (or the one
given by ``--config FILE``), each ``--config KEY=VALUE``, the command line's own options.
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.artifact.urls import is_url
from graphlint.report.outputs import Output, parse
from graphlint.rules.settings import DeclaredOp, Profile, Settings
from graphlint.run import config, globs
from graphlint.run.config import ConfigFile, Configuration
from graphlint.run.discovery import CACHE_FOLDER, DEFAULT_EXCLUDE
from graphlint.run.selection import Layer, RuleInfo, enabled_codes, fixable_codes, matching_codes

# Importing pathlib costs every run.

Value = TypeVar("Value")
DEFAULT_TARGET = Profile().targets[0]

COMMAND_LINE = "the command line"

UNUSED_IGNORE = frozenset({"GL901"})
"""What ``warn-unused-ignores`` turns on."""


class Pattern(msgspec.Struct, frozen=True):
    """A path pattern and the folder that it is relative to."""

    glob: str
    root: str

    def matches(self, path: str) -> bool:
        """Whether the absolute ``path`` matches; ``!`` in front inverts."""
        if self.glob.startswith("!"):
            return not globs.matches(self.glob[1:], path, self.root)
        return globs.matches(self.glob, path, self.root)


class Resolved(msgspec.Struct, frozen=True):
    """All sources put together, for the artifacts that share a configuration file."""

    settings: Settings
    """Before per-file ignores and targets."""
    per_file_ignores: tuple[tuple[Pattern, frozenset[str]], ...]
    per_file_targets: tuple[tuple[Pattern, Settings], ...]
    """The settings for what has targets of its own; of several that match, the last holds."""
    exclude: tuple[Pattern, ...]
    root: str
    """The configuration's folder."""
    origin: str
    """The configuration file; empty if there is none."""
    force_exclude: bool
    outputs: tuple[Output, ...]
    """The reports to write, of which files are relative to the current folder or absolute."""
    cache_dir: str
    """The absolute folder that keeps results."""
    hint_unsafe: bool
    """Whether reports mention unsafe fixes that are not enabled; no, where they were turned off on purpose."""
    step_summary: bool = True
    """Whether to add to the job summary of GitHub Actions."""
    source_roots: tuple[str, ...] = ()
    """Absolute folders in which to look for the model's source first."""
    baseline: str = ""
    """Absolute path of the baseline; empty if there is none."""


class Resolver:
    """Finds out which settings hold for which path; configurations are read once per folder."""

    def __init__(
        self,
        rules: Sequence[RuleInfo],
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
        self._rules = rules
        self._folder = os.getcwd()
        self._isolated = isolated
        # As in ruff: patterns in a file that was named explicitly are relative to the current folder.
        self._file = None if file is None else config.load(file, self._folder)
        if file is not None and self._file is None:
            raise ConfigError(f"{file}: there is no [tool.graphlint] in it")
        self._overrides = [config.load_inline(text, self._folder) for text in inline]
        self._overrides.append(ConfigFile(path=origin, root=self._folder, configuration=options))
        self._files: dict[str, ConfigFile | None] = {}
        self._resolved: dict[str, Resolved] = {}
        self._profiles: dict[tuple[str, ...], Profile] = {}

    @property
    def run(self) -> Resolved:
        """What holds for the run as a whole: the settings of the current folder."""
        return self.for_folder(self._folder)

    @property
    def force_exclude(self) -> bool:
        """Whether explicitly named paths can be excluded."""
        return self.run.force_exclude

    def excludes(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path``, or a URL."""
        resolved = self.run if is_url(path) else self.for_folder(os.path.dirname(path))
        return any(pattern.matches(path) for pattern in resolved.exclude)

    def excludes_with_parents(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path`` or a folder between the configuration's and it."""
        resolved = self.for_folder(os.path.dirname(path))
        while True:
            if any(pattern.matches(path) for pattern in resolved.exclude):
                return True
            parent = os.path.dirname(path)
            if parent in (path, resolved.root) or not _is_below(parent, resolved.root):
                return False
            path = parent

    def settings_for(self, path: str) -> Settings:
        """The settings for the artifact at ``path``. Raises ConfigError."""
        absolute = path if is_url(path) else os.path.abspath(path)
        resolved = self.for_path(path)
        own = (one for pattern, one in reversed(resolved.per_file_targets) if pattern.matches(absolute))
        settings = next(own, resolved.settings)
        ignored = [codes for pattern, codes in resolved.per_file_ignores if pattern.matches(absolute)]
        return msgspec.structs.replace(settings, enabled=settings.enabled.difference(*ignored)) if ignored else settings

    def for_path(self, path: str) -> Resolved:
        """What holds for the artifact at ``path``, apart from per-file ignores. Raises ConfigError.

        For a URL, it is what holds in the current folder.
        """
        if is_url(path):
            return self.run
        return self.for_folder(os.path.dirname(os.path.abspath(path)))

    def for_folder(self, folder: str) -> Resolved:
        """What holds in the absolute ``folder``. Raises ConfigError."""
        file = self._file if self._file is not None else self._nearest(folder)
        key = "" if file is None else file.path
        if key not in self._resolved:
            self._resolved[key] = self._resolve(file)
        return self._resolved[key]

    def _nearest(self, folder: str) -> ConfigFile | None:
        if self._isolated:
            return None
        visited = []
        while folder not in self._files:
            visited.append(folder)
            found = config.find_in(folder)
            parent = os.path.dirname(folder)
            if found is not None or parent == folder:
                self._files[folder] = found
            else:
                folder = parent
        self._files.update(dict.fromkeys(visited, self._files[folder]))
        return self._files[folder]

    def _resolve(self, file: ConfigFile | None) -> Resolved:
        sources = self._overrides if file is None else [file, *self._overrides]
        layers = [source.configuration for source in sources]
        selectors = [_layer(source) for source in sources]
        unsafe_fixes = _last(None, *(layer.unsafe_fixes for layer in layers))
        sinks = [layer.fix.token_sink for layer in layers if layer.fix is not None]
        provenance = [layer.fix.provenance for layer in layers if layer.fix is not None]
        warn_unused = _last(None, *(layer.warn_unused_ignores for layer in layers))
        ops: dict[str, DeclaredOp] = {}
        limits: dict[str, int] = {}
        for layer in layers:
            ops.update(layer.ops or {})
            limits.update(layer.limits or {})

        def settings_of(targets: tuple[str, ...], origin: str) -> Settings:
            profile = self._profile(targets, origin)
            return Settings(
                enabled=enabled_codes(self._rules, selectors, profile.violations)
                | (UNUSED_IGNORE if warn_unused else frozenset()),
                fixable=self._fixable(sources),
                unsafe_fixes=bool(unsafe_fixes),
                token_sink=_last("buffer", *sinks),
                ops=ops,
                profile=profile,
                provenance=_last(True, *provenance),
                limits=msgspec.convert(limits, Limits) if limits else Limits(),
            )

        return Resolved(
            settings=settings_of(*self._targets(sources)),
            per_file_ignores=self._per_file_ignores(sources),
            per_file_targets=tuple(
                (Pattern(glob, source.root), settings_of(_names(names), _key_of(source, f'per-file-target."{glob}"')))
                for source in self._with_file_targets(sources)
                for glob, names in (source.configuration.per_file_target or {}).items()
            ),
            exclude=_exclude(sources, self._folder),
            root=self._folder if file is None else file.root,
            origin="" if file is None else file.path,
            force_exclude=bool(_last(None, *(layer.force_exclude for layer in layers))),
            outputs=_outputs(sources, self._folder),
            cache_dir=self._cache_dir(file, sources),
            hint_unsafe=unsafe_fixes is None,
            step_summary=_last(True, *(layer.step_summary for layer in layers)),
            source_roots=_source_roots(sources),
            baseline=_baseline(sources),
        )

    def _cache_dir(self, file: ConfigFile | None, sources: Sequence[ConfigFile]) -> str:
        given = [source for source in sources if source.configuration.cache_dir][-1:]
        if given:
            folder = os.path.expanduser(given[0].configuration.cache_dir or "")
            return os.path.normpath(os.path.join(given[0].root, folder))
        return os.path.join(self._folder if file is None else file.root, CACHE_FOLDER)

    def _targets(self, sources: Sequence[ConfigFile]) -> tuple[tuple[str, ...], str]:
        """The targets for all artifacts, and where they were set."""
        for source in reversed(sources):
            if source.configuration.target is not None:
                return _names(source.configuration.target), _key_of(source, "target")
        return (), ""

    def _profile(self, targets: tuple[str, ...], origin: str) -> Profile:
        if not targets:
            return Profile()
        if targets == (DEFAULT_TARGET,):
            return Profile(chosen=True)
        if targets not in self._profiles:
            from graphlint.rules.targets.profiles import profile_of

            try:
                self._profiles[targets] = profile_of(targets, self._rules)
            except ConfigError as error:
                raise ConfigError(f"{origin}: {error}") from None
        return self._profiles[targets]

    def _with_file_targets(self, sources: Sequence[ConfigFile]) -> Sequence[ConfigFile]:
        """The last source with targets for single files, unless a later one sets a target for all."""
        for source in reversed(sources):
            if source.configuration.per_file_target is not None:
                return [source]
            if source.configuration.target is not None:
                return []
        return []

    def _fixable(self, sources: Sequence[ConfigFile]) -> frozenset[str]:
        given = [source for source in sources if source.configuration.fixable is not None][-1:]
        denied = [source for source in sources if source.configuration.unfixable is not None][-1:]
        return fixable_codes(
            self._rules,
            given[0].configuration.fixable if given else None,
            (denied[0].configuration.unfixable or ()) if denied else (),
            origin=(given or denied or sources)[0].path,
        )

    def _per_file_ignores(self, sources: Sequence[ConfigFile]) -> tuple[tuple[Pattern, frozenset[str]], ...]:
        chosen = [source for source in sources if source.configuration.per_file_ignores is not None][-1:]
        return tuple(
            (
                Pattern(glob, source.root),
                matching_codes(self._rules, selectors, f'per-file-ignores."{glob}"', source.path),
            )
            for source in chosen
            for glob, selectors in (source.configuration.per_file_ignores or {}).items()
        )


def _key_of(source: ConfigFile, key: str) -> str:
    """Where ``key`` is set, for messages."""
    return f"{source.path}: {'--' if source.path == COMMAND_LINE else ''}{key}"


def _names(target: tuple[str, ...] | str) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else target


def _layer(source: ConfigFile) -> Layer:
    configuration = source.configuration
    return Layer(
        select=configuration.select,
        extend_select=configuration.extend_select or (),
        ignore=configuration.ignore or (),
        origin=source.path,
    )


def _exclude(sources: Sequence[ConfigFile], folder: str) -> tuple[Pattern, ...]:
    """The last ``exclude`` (or the default one) and every ``extend-exclude``."""
    patterns = [Pattern(glob, folder) for glob in DEFAULT_EXCLUDE]
    for source in sources:
        if source.configuration.exclude is not None:
            patterns = [Pattern(glob, source.root) for glob in source.configuration.exclude]
    for source in sources:
        patterns += [Pattern(glob, source.root) for glob in source.configuration.extend_exclude or ()]
    return tuple(patterns)


def _outputs(sources: Sequence[ConfigFile], folder: str) -> tuple[Output, ...]:
    """Those of the last source that names some; their files are relative to its folder."""
    chosen = [source for source in sources if source.configuration.output_format][-1:]
    return tuple(
        output if source.root == folder or not output.file else Output(output.format, _below(source.root, output.file))
        for source in chosen
        for output in map(parse, _names(source.configuration.output_format or ()))
    ) or (Output("full"),)


def _below(folder: str, file: str) -> str:
    return os.path.normpath(os.path.join(folder, file))


def _source_roots(sources: Sequence[ConfigFile]) -> tuple[str, ...]:
    """Those of the last source that has some. Raises ConfigError for one that is no folder."""
    chosen = [source for source in sources if source.configuration.source_roots is not None][-1:]
    roots = []
    for source in chosen:
        for name in source.configuration.source_roots or ():
            root = os.path.normpath(os.path.join(source.root, name))
            if not os.path.isdir(root):
                raise ConfigError(f"{source.path}: source-roots: there is no folder {root}")
            roots.append(root)
    return tuple(roots)


def _baseline(sources: Sequence[ConfigFile]) -> str:
    """That of the last source that names one; an empty name stands for none."""
    chosen = [source for source in sources if source.configuration.baseline is not None][-1:]
    names = [(source.root, source.configuration.baseline) for source in chosen]
    return "".join(os.path.normpath(os.path.join(root, name)) for root, name in names if name)


def _last(default: Value, *values: Value | None) -> Value:
    """The last of ``values`` that is given."""
    return next((value for value in reversed(values) if value is not None), default)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)

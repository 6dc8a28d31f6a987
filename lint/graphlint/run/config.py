"""Configuration files: finding, reading and checking them.

A configuration is the table ``[tool.graphlint]`` of a ``pyproject.toml``, or a whole ``graphlint.toml`` or
``.graphlint.toml``. How several of them and the command line combine is the business of ``graphlint.run.resolution``.
"""

import os.path
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.artifact.limits import Limits
from graphlint.ops.declared import DeclaredOp
from graphlint.report.formats.registry import check_stdout, parse
from graphlint.rules.diagnostics import Severity
from graphlint.rules.selection import split_selectors
from graphlint.rules.settings import Checks, Loss, OwnTarget, State, TokenSink, parse_toml, wrong

FILE_NAMES: Final = (".graphlint.toml", "graphlint.toml", "pyproject.toml")
"""In the order of preference within one folder."""

FailOn = Literal["error", "warning"]
Several = Annotated[tuple[str, ...], msgspec.Meta(description="a string or several")]


class Fixing(msgspec.Struct, frozen=True, rename="kebab"):
    """The keys of the table ``fix``; None means that a key is not there."""

    token_sink: TokenSink | None = None
    checks: Checks | None = None
    state: State | None = None
    """Where what a program keeps between calls is: in its module, or among its inputs and outputs."""
    provenance: bool | None = None


class Configuration(Fixing, frozen=True):
    """The keys of ``[tool.graphlint]``, and those of ``fix``. What a file may hold is told by the types here."""

    extend: str | None = None
    """Another configuration file, relative to this one's folder, whose keys hold where this one has none."""
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] | None = None
    force_exclude: bool | None = None
    respect_gitignore: bool | None = None
    """Whether folders are searched without what git ignores."""
    per_file_ignores: dict[str, tuple[str, ...]] | None = None
    """Patterns of artifacts and of source files, each with the rules that are off for them."""
    severity: dict[str, Severity] | None = None
    """How much findings matter, by selector."""
    fail_on: FailOn | None = None
    """The least severity that makes a check fail."""
    fixable: tuple[str, ...] | None = None
    """Rules whose findings may be fixed; all by default."""
    unfixable: tuple[str, ...] | None = None
    """Rules whose findings are never fixed."""
    unsafe_fixes: bool | None = None
    exact: bool | None = None
    output_format: Several | None = None
    """The reports, each ``FORMAT`` or ``FORMAT=FILE``."""
    step_summary: bool | None = None
    """Whether to add to the job summary of GitHub Actions."""
    target: Several | None = None
    """The consumers that the artifacts go to; `functional` by default."""
    accept_losses: tuple[Loss, ...] | None = None
    """What a target may lose: the rules that tell of it are off."""
    per_file_target: dict[str, Several] | None = None
    """Patterns of artifacts, each with its targets in place of ``target``."""
    requires_torch: str | None = None
    """A version specifier; empty for none."""
    source_roots: tuple[str, ...] | None = None
    """Folders in which to look for the model's source first."""
    baseline: str | None = None
    warn_unused_ignores: bool | None = None
    cache_dir: str | None = None
    """Relative to the folder of the configuration."""
    ops: dict[str, DeclaredOp] | None = None
    """What custom ops do, by their names."""
    targets: dict[str, OwnTarget] | None = None
    """Targets of one's own, by name."""
    allow_globals: tuple[str, ...] | None = None
    """Names in pickles that do nothing but hold data; ``*`` stands for a part between dots, or for some of it."""
    limits: dict[str, int] | None = None
    """How much of a file is read before it is refused."""


LISTS: Final = (
    "select",
    "ignore",
    "extend_select",
    "exclude",
    "extend_exclude",
    "fixable",
    "unfixable",
    "target",
    "allow_globals",
)
"""What is a comma-separated list where it is one string."""
_STRING: Final = "a string"
_EXPECTED: Final = {tuple: "a list of strings", str: _STRING, bool: "true or false", int: "an integer", dict: "a table"}


def configured(options: Mapping[str, Any]) -> Configuration:
    """Those of the options that are given and stand in a configuration."""
    given = {key: options[key] for key in Configuration.__struct_fields__ if options.get(key) is not None}
    for key in given.keys() & set(LISTS):
        given[key] = split_selectors([given[key]] if isinstance(given[key], str) else given[key])
    return Configuration(**given)


class ConfigFile(msgspec.Struct, frozen=True):
    """A configuration and where it comes from."""

    path: str
    """The file, or ``--config`` for inline TOML; empty for the defaults."""
    root: str
    """The absolute folder that the patterns in it are relative to."""
    configuration: Configuration
    said: bool = False
    """Whether it is no file: somebody has said it for this run."""
    base: "ConfigFile | None" = None
    """The file that it extends."""

    def chain(self) -> "list[ConfigFile]":
        """All files that count, the one that overrides all others last."""
        return [*(self.base.chain() if self.base is not None else []), self]


def load(path: str, root: str | None = None, extending: tuple[str, ...] = ()) -> ConfigFile | None:
    """The configuration in ``path``; None for a ``pyproject.toml`` that has none.

    ``root`` is the folder that patterns are relative to; by default the file's own. ``extending`` are the files that
    lead to this one. Raises ConfigError.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    is_pyproject = os.path.basename(path) == "pyproject.toml"
    # Parsing every pyproject.toml on the way up, most of them not about graphlint, would load a TOML parser.
    if is_pyproject and b"graphlint" not in content:
        return None
    table = parse_toml(content, path)
    if is_pyproject:
        tool = table.get("tool")
        if not isinstance(tool, dict) or "graphlint" not in tool:
            return None
        table = tool["graphlint"]
    folder = os.path.dirname(os.path.abspath(path)) if root is None else root
    configuration = check(table, path, "tool.graphlint" if is_pyproject else "")
    base = None
    if configuration.extend is not None:
        extending = (*extending, os.path.realpath(path))
        other = os.path.normpath(os.path.join(os.path.dirname(path), os.path.expanduser(configuration.extend)))
        if os.path.realpath(other) in extending:
            raise ConfigError(f"{path}: extend: {configuration.extend} leads back to this file")
        base = load(other, None, extending)
        if base is None:
            raise ConfigError(f"{path}: extend: there is no [tool.graphlint] in {other}")
    return ConfigFile(path, folder, configuration, base=base)


def find_in(folder: str) -> ConfigFile | None:
    """The configuration that the folder itself holds, if any. Raises ConfigError."""
    paths = (os.path.join(folder, name) for name in FILE_NAMES)
    return next((found for path in paths if os.path.isfile(path) and (found := load(path)) is not None), None)


def check(table: Any, path: str, prefix: str) -> Configuration:
    """``table`` as a Configuration. ``prefix`` is the table's name in the file, for messages.

    Raises ConfigError for unknown keys and wrong types.
    """
    try:
        values = checked(table, Configuration, prefix)
    except ConfigError as error:
        raise wrong(path, "", str(error)) from None
    try:
        check_stdout([parse(text) for text in values.get("output-format", ())])
    except ConfigError as error:
        raise wrong(path, _dotted(prefix, "output-format"), str(error)) from None
    return msgspec.convert({**values, **values.get("fix", {})}, Configuration)


def checked(value: Any, kind: Any, key: str) -> Any:
    """``value`` if it is of the type ``kind``, that of a field; where that is Several, as a list.

    Raises ConfigError, which names the ``key`` and what was expected.
    """
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    if kind == Several and isinstance(value, str):
        return [value]
    expected = _STRING if kind == Several else None
    kind, about = get_args(kind) if get_origin(kind) is Annotated else (kind, msgspec.Meta())
    if get_origin(kind) is Literal:
        if checked(value, str, key) not in get_args(kind):
            raise ConfigError(f"{key}: unknown value {value!r}, expected one of {', '.join(get_args(kind))}")
        return value
    plain: Any = dict if isinstance(kind, type(msgspec.Struct)) else get_origin(kind) or kind
    held: Any = list if plain is tuple else plain
    if not isinstance(value, held) or (plain is int and isinstance(value, bool)):
        raise ConfigError(f"{key}: expected {expected or _EXPECTED[plain]}, found {_shown(value)}")
    if plain is tuple:
        return [checked(item, get_args(kind)[0], f"{key}[{index}]") for index, item in enumerate(value)]
    if plain is dict:
        return _checked_table(value, kind, key)
    if about.ge is not None and value < about.ge:
        raise ConfigError(f"{key}: expected an integer of at least {about.ge}, found {value}")
    if about.le is not None and value > about.le:
        raise ConfigError(f"{key}: expected an integer of at most {about.le}, found {value}")
    return value


def _checked_table(table: dict[str, Any], kind: Any, key: str) -> dict[str, Any]:
    if get_origin(kind) is dict:
        return {name: checked(value, get_args(kind)[1], f'{key}."{name}"') for name, value in table.items()}
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if kind is Configuration:
        for name in Fixing.__struct_encode_fields__:
            del fields[name]
        fields |= {"fix": Fixing, "limits": Limits}
    missing = [one.encode_name for one in msgspec.structs.fields(kind) if one.required and one.encode_name not in table]
    if missing:
        raise ConfigError(f"{key}: there is no '{missing[0]}' in it")
    for name, value in table.items():
        if name not in fields:
            if kind is DeclaredOp and isinstance(value, dict):
                # [tool.graphlint.ops.mylib.scale_] is TOML for a table in a table.
                raise ConfigError(f'{key}: quote the whole name of the op: [{key[:-1]}.{name}"]')
            raise ConfigError(f"unknown key '{_dotted(key, name)}'{_nearest(name, fields)}")
    values = {name: checked(value, fields[name], _dotted(key, name)) for name, value in table.items()}
    if kind is DeclaredOp:
        try:
            msgspec.convert(values, DeclaredOp)
        except msgspec.ValidationError as error:  # the schema
            raise ConfigError(f"{key}: {error}") from None
    return values


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    names: dict[type, str] = {str: "the string", bool: "the boolean", int: "the number", float: "the number"}
    shown = str(value).lower() if isinstance(value, bool) else f"{value!r}"
    return f"{names.get(type(value), 'the value')} {shown}"


def _nearest(key: str, known: Iterable[str]) -> str:
    normal = key.replace("_", "-")
    if "fix" in known:  # at the top
        if normal in Fixing.__struct_encode_fields__:
            return f"; it belongs into the table 'fix': fix.{normal}"
        if normal == "extend-ignore":
            return "; did you mean 'ignore'?"
        if normal == "tool":
            return "; [tool.graphlint] is for pyproject.toml: elsewhere its keys stand at the top, and [fix] is a table"
    return did_you_mean(normal, known) or "; known are " + ", ".join(known)


def _dotted(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key

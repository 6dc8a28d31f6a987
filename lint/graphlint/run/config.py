"""Configuration files: finding, reading and checking them.

A configuration is the table ``[tool.graphlint]`` of a ``pyproject.toml``, or a whole ``graphlint.toml`` or
``.graphlint.toml``. How several of them and the command line combine is the business of ``graphlint.run.resolution``.
"""

# Importing pathlib would cost every run more than reading the configuration does.

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.ops.declared import DeclaredOp
from graphlint.report.formats.registry import check_stdout, parse
from graphlint.rules.selection import did_you_mean, split_selectors
from graphlint.rules.settings import TokenSink, parse_toml

FILE_NAMES: Final = (".graphlint.toml", "graphlint.toml", "pyproject.toml")
"""In the order of preference within one folder."""

_STRINGS, _STRING, _SWITCH, _TABLE = "a list of strings", "a string", "true or false", "a table"
_EITHER, _INTEGER = "a string or several", "an integer"
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    _STRINGS: list,
    _STRING: str,
    _SWITCH: bool,
    _TABLE: dict,
    _INTEGER: int,
    _EITHER: (str, list),
}
_KEYS: Final = {
    "select": _STRINGS,
    "ignore": _STRINGS,
    "extend-select": _STRINGS,
    "exclude": _STRINGS,
    "extend-exclude": _STRINGS,
    "force-exclude": _SWITCH,
    "per-file-ignores": _TABLE,
    "fixable": _STRINGS,
    "unfixable": _STRINGS,
    "unsafe-fixes": _SWITCH,
    "output-format": _EITHER,
    "step-summary": _SWITCH,
    "target": _EITHER,
    "per-file-target": _TABLE,
    "source-roots": _STRINGS,
    "baseline": _STRING,
    "warn-unused-ignores": _SWITCH,
    "cache-dir": _STRING,
    "fix": _TABLE,
    "ops": _TABLE,
    "limits": _TABLE,
}
_FIX_KEYS: Final = {"token-sink": _STRING, "provenance": _SWITCH}
_OP_KEYS: Final = {"writes": _STRINGS, "aliases": _STRINGS, "random": _SWITCH, "effect": _SWITCH}


class Configuration(msgspec.Struct, frozen=True, rename="kebab"):
    """The keys of ``[tool.graphlint]`` and of its table ``fix``; None means that a key is not there."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] | None = None
    force_exclude: bool | None = None
    per_file_ignores: dict[str, tuple[str, ...]] | None = None
    fixable: tuple[str, ...] | None = None
    unfixable: tuple[str, ...] | None = None
    unsafe_fixes: bool | None = None
    output_format: tuple[str, ...] | None = None
    """The reports, each ``FORMAT`` or ``FORMAT=FILE``."""
    step_summary: bool | None = None
    """Whether to add to the job summary of GitHub Actions."""
    target: tuple[str, ...] | None = None
    per_file_target: dict[str, tuple[str, ...]] | None = None
    source_roots: tuple[str, ...] | None = None
    baseline: str | None = None
    warn_unused_ignores: bool | None = None
    cache_dir: str | None = None
    """Relative to the folder of the configuration."""
    token_sink: TokenSink | None = None
    provenance: bool | None = None
    ops: dict[str, DeclaredOp] | None = None
    limits: dict[str, int] | None = None
    """Those keys of Limits that are set."""


LISTS: Final = ("select", "ignore", "extend_select", "exclude", "extend_exclude", "fixable", "unfixable", "target")
"""What is a comma-separated list where it is one string."""


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


def load(path: str, root: str | None = None) -> ConfigFile | None:
    """The configuration in ``path``; None for a ``pyproject.toml`` that has none.

    ``root`` is the folder that patterns are relative to; by default the file's own. Raises ConfigError.
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
    return ConfigFile(path, folder, check(table, path, "tool.graphlint" if is_pyproject else ""))


def load_inline(text: str, root: str) -> ConfigFile:
    """The configuration in ``text``, one ``key = value`` of ``graphlint.toml``. Raises ConfigError."""
    table = parse_toml(text.encode("utf-8", "surrogateescape"), f"--config '{text}'")
    return ConfigFile("--config", root, check(table, "--config", ""))


def find_in(folder: str) -> ConfigFile | None:
    """The configuration that the folder itself holds, if any. Raises ConfigError."""
    paths = (os.path.join(folder, name) for name in FILE_NAMES)
    return next((found for path in paths if os.path.isfile(path) and (found := load(path)) is not None), None)


def check(table: Any, path: str, prefix: str) -> Configuration:
    """``table`` as a Configuration. ``prefix`` is the table's name in the file, for messages.

    Raises ConfigError for unknown keys and wrong types.
    """
    try:
        return _checked(table, prefix)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _checked(table: Any, prefix: str) -> Configuration:
    _check_table(table, _KEYS, prefix)
    values = {**table, **table.get("fix", {})}
    _check_table(values.pop("fix", {}), _FIX_KEYS, _dotted(prefix, "fix"))
    sink, sinks = values.get("token-sink"), get_args(TokenSink)
    if sink not in (None, *sinks):
        key = _dotted(prefix, "fix.token-sink")
        raise ConfigError(f"{key}: unknown value {sink!r}, expected one of {', '.join(sinks)}")
    for key, kind in (("per-file-ignores", _STRINGS), ("per-file-target", _EITHER)):
        for pattern, value in values.get(key, {}).items():
            _expect(value, kind, f'{_dotted(prefix, key)}."{pattern}"')
    for op, value in values.get("ops", {}).items():
        _check_op(value, op, _dotted(prefix, "ops"))
    _check_limits(values.get("limits", {}), _dotted(prefix, "limits"))
    for key in {"output-format", "target"} & values.keys():
        values[key] = _several(values[key])
    if "per-file-target" in values:
        values["per-file-target"] = {pattern: _several(one) for pattern, one in values["per-file-target"].items()}
    try:
        check_stdout([parse(text) for text in values.get("output-format", ())])
    except ConfigError as error:
        raise ConfigError(f"{_dotted(prefix, 'output-format')}: {error}") from None
    return msgspec.convert(values, Configuration)


def _check_table(table: Any, keys: Mapping[str, str], prefix: str) -> None:
    _expect(table, _TABLE, prefix)
    for key in table:
        if key not in keys:
            raise ConfigError(f"unknown key '{_dotted(prefix, key)}'{_nearest(key, keys)}")
    for key, value in table.items():
        _expect(value, keys[key], _dotted(prefix, key))


def _check_op(value: Any, op: str, prefix: str) -> None:
    if isinstance(value, dict):
        # [tool.graphlint.ops.mylib.scale_] is TOML for a table in a table.
        for name, inner in value.items():
            if isinstance(inner, dict):
                raise ConfigError(f'{prefix}."{op}": quote the whole name of the op: [{prefix}."{op}.{name}"]')
    _check_table(value, _OP_KEYS, f'{prefix}."{op}"')


def _check_limits(table: dict[str, Any], prefix: str) -> None:
    if not table:
        return
    from msgspec.inspect import type_info

    _check_table(table, dict.fromkeys(Limits.__struct_encode_fields__, _INTEGER), prefix)
    for field in type_info(Limits).fields:  # type: ignore[attr-defined]
        least, most, value = field.type.ge, field.type.le, table.get(field.encode_name)
        expected = f"{prefix}.{field.encode_name}: expected an integer of"
        if value is not None and least is not None and value < least:
            raise ConfigError(f"{expected} at least {least}, found {value}")
        if value is not None and most is not None and value > most:
            raise ConfigError(f"{expected} at most {most}, found {value}")


def _expect(value: Any, kind: str, key: str) -> None:
    """Raise ConfigError where the value of ``key`` is of another type."""
    if not isinstance(value, _TYPES[kind]) or (kind == _INTEGER and isinstance(value, bool)):
        raise _wrong(value, _STRING if kind == _EITHER else kind, key)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, str):
            raise _wrong(item, _STRING, f"{key}[{index}]")


def _wrong(value: Any, expected: str, key: str) -> ConfigError:
    names: dict[type, str] = {str: "the string", bool: "the boolean", int: "the number", float: "the number"}
    if isinstance(value, dict):
        found = "a table"
    elif isinstance(value, list):
        found = "a list"
    else:
        shown = str(value).lower() if isinstance(value, bool) else f"{value!r}"
        found = f"{names.get(type(value), 'the value')} {shown}"
    return ConfigError(f"{key}: expected {expected}, found {found}")


def _nearest(key: str, known: Iterable[str]) -> str:
    normal = key.replace("_", "-")
    if known is _KEYS:
        if normal in _FIX_KEYS:
            return f"; it belongs into the table 'fix': fix.{normal}"
        if normal == "extend-ignore":
            return "; did you mean 'ignore'?"
        if normal == "tool":
            return "; [tool.graphlint] is for pyproject.toml: elsewhere its keys stand at the top, and [fix] is a table"
    return did_you_mean(normal, known) or "; known are " + ", ".join(known)


def _several(value: list[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else value


def _dotted(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key

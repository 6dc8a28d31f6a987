"""Configuration files: finding, reading and checking them.

A configuration is the table ``[tool.graphlint]`` of a ``pyproject.toml``, or a whole ``graphlint.toml`` or
``.graphlint.toml``. How several of them and the command line combine is the business of ``graphlint.run.resolution``.
"""

# Importing pathlib would cost every run more than reading the configuration does.

from __future__ import annotations

import os.path
import sys
from typing import Any, TypeVar

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.report import outputs
from graphlint.rules.settings import DeclaredOp, TokenSink

FILE_NAMES = (".graphlint.toml", "graphlint.toml", "pyproject.toml")
"""In the order of preference within one folder."""

Wanted = TypeVar("Wanted")


class FixTable(msgspec.Struct, frozen=True, rename="kebab"):
    """``[tool.graphlint.fix]``."""

    token_sink: TokenSink | None = None
    """Where dependency tokens that nobody consumes go: into a buffer (default) or among the outputs."""
    provenance: bool | None = None
    """Whether to record what was done in the artifact (default)."""


class Configuration(msgspec.Struct, frozen=True, rename="kebab"):
    """The keys of ``[tool.graphlint]``; None means that the key is not there."""

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
    output_format: tuple[str, ...] | str | None = None
    """One report, or several: ``FORMAT`` or ``FORMAT=FILE``."""
    step_summary: bool | None = None
    """Whether to add to the job summary of GitHub Actions."""
    target: tuple[str, ...] | str | None = None
    """One consumer, or several."""
    per_file_target: dict[str, tuple[str, ...] | str] | None = None
    source_roots: tuple[str, ...] | None = None
    baseline: str | None = None
    warn_unused_ignores: bool | None = None
    cache_dir: str | None = None
    """Relative to the folder of the configuration."""
    fix: FixTable | None = None
    ops: dict[str, DeclaredOp] | None = None
    limits: dict[str, Any] | None = None
    """Those keys of Limits that are set."""


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
    prefix = "tool.graphlint" if is_pyproject else ""
    return ConfigFile(path=path, root=folder, configuration=check(table, path, prefix))


def load_inline(text: str, root: str) -> ConfigFile:
    """The configuration in ``text``, one ``key = value`` of ``graphlint.toml``. Raises ConfigError."""
    table = parse_toml(text.encode("utf-8", "surrogateescape"), f"--config '{text}'")
    return ConfigFile(path="--config", root=root, configuration=check(table, "--config", ""))


def find_in(folder: str) -> ConfigFile | None:
    """The configuration that the folder itself holds, if any. Raises ConfigError."""
    for name in FILE_NAMES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            found = load(path)
            if found is not None:
                return found
    return None


def check(table: Any, path: str, prefix: str) -> Configuration:
    """``table`` as a Configuration. ``prefix`` is the table's name in the file, for messages.

    Raises ConfigError for unknown keys and wrong types.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {prefix}: expected a table, found {_found(table)}")
    _reject_unknown(table, Configuration, path, prefix)
    if isinstance(table.get("fix"), dict):
        _reject_unknown(table["fix"], FixTable, path, _dotted(prefix, "fix"))
    if isinstance(table.get("limits"), dict):
        key = _dotted(prefix, "limits")
        _reject_unknown(table["limits"], Limits, path, key)
        _convert(table["limits"], Limits, path, key)
    for key, convert in (("ops", _check_op), ("per-file-ignores", _check_ignores), ("per-file-target", _check_target)):
        entries = table.get(key)
        for name, value in entries.items() if isinstance(entries, dict) else ():
            convert(value, name, path, _dotted(prefix, key))
    configuration = _convert(table, Configuration, path, prefix)
    try:
        outputs.check_stdout([outputs.parse(text) for text in _one_or_more(configuration.output_format)])
    except ConfigError as error:
        raise ConfigError(f"{path}: {_dotted(prefix, 'output-format')}: {error}") from None
    return configuration


def _one_or_more(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def _check_op(value: Any, op: str, path: str, prefix: str) -> None:
    key = _dotted(prefix, f'"{op}"')
    if isinstance(value, dict):
        # [tool.graphlint.ops.mylib.scale_] is TOML for a table in a table.
        nested = next((name for name, inner in value.items() if isinstance(inner, dict)), None)
        if nested is not None:
            table = _dotted(prefix, f'"{op}.{nested}"')
            raise ConfigError(f"{path}: {key}: quote the whole name of the op: [{table}]")
        _reject_unknown(value, DeclaredOp, path, key)
    _convert(value, DeclaredOp, path, key)


def _check_ignores(value: Any, pattern: str, path: str, prefix: str) -> None:
    _convert(value, tuple[str, ...], path, _dotted(prefix, f'"{pattern}"'))


def _check_target(value: Any, pattern: str, path: str, prefix: str) -> None:
    _convert(value, tuple[str, ...] | str, path, _dotted(prefix, f'"{pattern}"'))  # type: ignore[arg-type]


def _convert(value: Any, wanted: type[Wanted], path: str, prefix: str) -> Wanted:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), value, prefix)}") from None


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """``content`` as TOML; ``name`` is for messages. Raises ConfigError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: dict[str, Any] = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    return table


def _keys(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_encode_fields__


def _reject_unknown(table: dict[str, Any], struct: type[msgspec.Struct], path: str, prefix: str) -> None:
    known = _keys(struct)
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown key '{_dotted(prefix, key)}'{_nearest(key, struct)}")


def _nearest(key: str, struct: type[msgspec.Struct]) -> str:
    from graphlint.run.selection import did_you_mean

    normal = key.replace("_", "-")
    if struct is Configuration:
        if normal in _keys(FixTable):
            return f"; it belongs into the table 'fix': fix.{normal}"
        if normal == "extend-ignore":
            return "; did you mean 'ignore'?"
        if normal == "tool":
            return "; [tool.graphlint] is for pyproject.toml: elsewhere its keys stand at the top, and [fix] is a table"
    return did_you_mean(normal, _keys(struct)) or "; known are " + ", ".join(_keys(struct))


EXPECTED = {
    "array": "a list of strings",
    "str": "a string",
    "object": "a table",
    "bool": "true or false",
    "int": "an integer",
}


def _explain(message: str, table: Any, prefix: str) -> str:
    """What msgspec says (``Expected `array | null`, got `str` - at `$.select```) in TOML's words."""
    what, _, where = message.partition(" - at `$")
    keys, value = _locate(where.rstrip("`"), table)
    key = _dotted(prefix, *keys)
    for bound, words in ((" >= ", "of at least"), (" <= ", "of at most")):
        if bound in what:
            return f"{key}: expected an integer {words} {what.rpartition(bound)[2]}, found {value}"
    if what.startswith("Invalid enum value"):
        name = keys[-1]
        choices = _CHOICES.get(name, ())
        hint = f", expected one of {', '.join(choices)}" if choices else ""
        return f"{key}: unknown value {value!r}{hint}"
    expected = what.partition("`")[2].partition("`")[0].partition(" |")[0]
    return f"{key}: expected {EXPECTED.get(expected, expected)}, found {_found(value)}"


_CHOICES = {"token-sink": TokenSink.__args__}  # type: ignore[attr-defined]


def _locate(where: str, value: Any) -> tuple[list[str], Any]:
    """The keys and the value at msgspec's path, ``.fix.token-sink`` or ``.writes[0]``."""
    import re

    keys: list[str] = []
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", where):
        if name:
            keys.append(name)
            value = value[name]
        else:
            keys.append(f"{keys.pop() if keys else ''}[{index}]")
            value = value[int(index)]
    return keys, value


def _dotted(*keys: str) -> str:
    return ".".join(key for key in keys if key).replace(".[", "[")


def _found(value: Any) -> str:
    names: dict[type, str] = {str: "the string", bool: "the boolean", int: "the number", float: "the number"}
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    shown = str(value).lower() if isinstance(value, bool) else f"{value!r}"
    return f"{names.get(type(value), 'the value')} {shown}"

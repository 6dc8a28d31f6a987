"""What sets graphlint up in a project: keys in a configuration, a hook of pre-commit's. Pure: text in, text out.

What stands in a file stays as it is, comments and line ends too. TOML is parsed before and after: nothing but the keys
is another value then. There is no parser of YAML here, so that a file for pre-commit has to be of the usual form: keys
at the margin, and below ``repos:`` a list with an item to a dash. What cannot be merged so is refused, with the reason.
"""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from graphlint import __version__
from graphlint.artifact.errors import ConfigError
from graphlint.rules.settings import parse_toml

HOOKS_FILE: Final = ".pre-commit-config.yaml"
REPOSITORY: Final = "https://github.com/graphlint/graphlint"
HOOKS: Final = ("graphlint", "graphlint-fix", "graphlint-system")
"""Their ids."""
EVERYWHERE: Final = "**/*.pt2"
"""The artifacts that are linted where nobody says which."""
_TABLE: Final = ("tool", "graphlint")
_TOP_KEY: Final = re.compile(r"[A-Za-z_][\w-]*:(\s|$)")
_HOOK: Final = re.compile(r"\bid\s*:\s*[\"']?(graphlint[\w-]*)")


def with_keys(text: str, name: str, table: bool, values: Mapping[str, Any]) -> str:
    """The TOML file with these keys, below ``[tool.graphlint]`` where it is a ``table`` of the file, else at the top.
    ``name`` is for messages. Raises ConfigError for a key that has another value, and for what cannot be merged.
    """
    before = parse_toml(text.encode(), name)
    there = _own(before, name) if table else before
    for key, value in values.items():
        if key in there and _several(there[key]) != _several(value):
            raise ConfigError(
                f"{name}: {key} is {_toml(there[key])} there, and {_toml(value)} is asked for: change it there, or "
                "keep it"
            )
    missing = {key: value for key, value in values.items() if key not in there}
    if not missing:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [f"{key} = {_toml(value)}{end}" for key, value in missing.items()]
    # Outside of a table, the keys come before all others: behind the first table, they would be its.
    made = "".join(_merged(text.splitlines(keepends=True), lines, end) if table else [*lines, text])
    expected = copy.deepcopy(before)
    place = expected
    for part in _TABLE if table else ():
        place = place.setdefault(part, {})
    place.update(missing)
    try:
        same = parse_toml(made.encode(), name) == expected
    except ConfigError:
        same = False
    if not same:
        where = "below [tool.graphlint]" if table else "at the top"
        wanted = " and ".join(line.strip() for line in lines)
        raise ConfigError(f"{name}: cannot add a key to its tables; write {wanted} {where}")
    return made


def _own(tree: dict[str, Any], name: str) -> dict[str, Any]:
    place: Any = tree
    for part in _TABLE:
        place = place.get(part, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{name}: {part} is no table")
    found: dict[str, Any] = place
    return found


def _merged(lines: list[str], keys: list[str], end: str) -> list[str]:
    """The lines with keys behind the header of the table, which may have to be written."""
    header = re.compile(r"\s*\[\s*tool\s*\.\s*graphlint\s*\]\s*(#.*)?$")
    at = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if at is not None:
        return [*lines[:at], _ended(lines[at], end), *keys, *lines[at + 1 :]]
    kept = [*lines[:-1], _ended(lines[-1], end), end] if lines else []
    return [*kept, f"[tool.graphlint]{end}", *keys]


def _ended(line: str, end: str) -> str:
    return line if line.endswith("\n") else f"{line}{end}"


def _toml(value: Any) -> str:
    """A string or a list of strings; those of JSON are TOML's, too."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def present_hook(text: str | None) -> str:
    """The id of graphlint's hook in a file for pre-commit; empty where there is none, or there are several."""
    named = {name for line in (text or "").splitlines() for name in _HOOK.findall(line.partition("#")[0])}
    return named.pop() if len(named) == 1 else ""


def with_hook(text: str | None, hook: str, artifacts: tuple[str, ...]) -> str:
    """The file for pre-commit with graphlint's hook of that id; None stands for no file. ``artifacts`` are patterns of
    those that it is given. Raises ConfigError for what cannot be merged.
    """
    if text is None or not text.strip():
        return "repos:\n" + "".join(f"{line}\n" for line in _item(hook, artifacts, "  "))
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    named = {name for line in lines for name in _HOOK.findall(line.partition("#")[0])}
    if named:
        if hook not in named:
            others = ", ".join(sorted(named))
            raise ConfigError(f"{HOOKS_FILE}: it has the hook {others}, and {hook} is asked for: change the id there")
        files = _files(artifacts)
        if files and not any(re.match(rf"\s*(-\s*)?files:\s*{re.escape(files)}\s*$", line) for line in lines):
            raise ConfigError(
                f"{HOOKS_FILE} already has the hook {hook}, for other artifacts: set its files to {files}"
            )
        return text
    start, stop, margin = _repos(lines, hook, artifacts)
    item = [f"{line}{end}" for line in _item(hook, artifacts, margin)]
    head = lines[:stop]
    if re.match(r"repos:\s*\[\s*\]", head[start]):
        head[start] = re.sub(r"\s*\[\s*\]", "", head[start], count=1)
    head[-1] = _ended(head[-1], end)
    return "".join([*head, *item, *lines[stop:]])


def _item(hook: str, artifacts: tuple[str, ...], margin: str) -> list[str]:
    """The lines of the list's item, without ends."""
    lines = [f"- repo: {REPOSITORY}", f"  rev: v{__version__}", "  hooks:", f"    - id: {hook}"]
    if files := _files(artifacts):
        lines.append(f"      files: {files}")
    return [f"{margin}{line}" for line in lines]


def _files(artifacts: tuple[str, ...]) -> str:
    """The regular expression for the artifacts, quoted; empty for all."""
    if artifacts in ((), (EVERYWHERE,)):
        return ""
    return "'" + "|".join(map(pattern, artifacts)).replace("'", "''") + "'"


def _repos(lines: list[str], hook: str, artifacts: tuple[str, ...]) -> tuple[int, int, str]:
    """Where the list of repositories is: the line of its key, the line behind its last one, the margin of its items.
    Raises ConfigError where the file is not of the usual form.
    """

    def refused(why: str) -> ConfigError:
        more = f", files: {_files(artifacts)}" if _files(artifacts) else ""
        item = f"{{repo: {REPOSITORY}, rev: v{__version__}, hooks: [{{id: {hook}{more}}}]}}"
        return ConfigError(f"{HOOKS_FILE}: {why}, so that nothing was added; add to its repos {item}")

    starts = [number for number, line in enumerate(lines) if line.startswith("repos:")]
    if len(starts) != 1:
        raise refused("there is no 'repos:' at the margin" if not starts else "there are several 'repos:'")
    (start,) = starts
    rest = lines[start].partition(":")[2].partition("#")[0].strip()
    if rest not in ("", "[]", "[ ]"):
        raise refused("'repos:' is written in one line")
    stop, margin, last = len(lines), None, start
    for number, line in enumerate(lines):
        content = line.strip()
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise refused(f"line {number + 1} begins with a tab")
        if not content or content.startswith("#"):
            continue
        inside = start < number < stop
        if inside and margin is None and line.lstrip().startswith("- ") and not rest:
            margin = line[: len(line) - len(line.lstrip())]
        if line[0] in " -" and (inside and margin is not None and (line[0] == " " or margin == "")):
            last = number
        elif line[0] == " " and not inside:
            continue  # a value of another key
        elif _TOP_KEY.match(line) or (content == "---" and number < start):
            stop = number if number > start else stop
        else:
            raise refused(f"line {number + 1} is of no usual form")
    if margin is None and not rest:
        raise refused("'repos:' has no item")
    return start, last + 1, "  " if margin is None else margin


def pattern(glob: str) -> str:
    """The regular expression for paths below the repository's root that a glob matches: ``**/`` stands for any number
    of folders, ``*`` for a part between slashes.
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    meaning = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return f"^{''.join(meaning.get(part) or re.escape(part) for part in parts)}$"

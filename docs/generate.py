"""Pages that are made of the code: the rules, the targets, the configuration. A hook of MkDocs.

``python docs/generate.py`` writes ``docs/site/graphlint.schema.json``, the JSON schema of the configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import griffe
import msgspec
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from graphlint.artifact.limits import Limits
from graphlint.cli.check import check
from graphlint.ops.declared import DeclaredOp
from graphlint.rules import documentation
from graphlint.rules.base import ISSUE
from graphlint.rules.registry import FAMILIES, RULES
from graphlint.rules.settings import OwnRule, OwnTarget
from graphlint.rules.targets import documentation as targets
from graphlint.rules.targets.model import all_targets
from graphlint.run.config import Configuration, Fixing


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let the pages of rules and targets stand in the navigation."""
    rules = [
        {f"{code}xx {title}": [f"rules/{rule.code}.md" for rule in RULES if rule.code.startswith(code)]}
        for code, title in FAMILIES.items()
    ]
    named = [{target.name: f"targets/{target.name}.md"} for target in all_targets()]
    for section in config.nav or ():
        if "Rules" in section:
            section["Rules"] = ["rules/index.md", *rules]
        if "Targets" in section:
            section["Targets"] = ["targets/index.md", *named]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Each page's path and text."""
    yield "rules/index.md", "\n".join(_rules())
    for rule in RULES:
        yield f"rules/{rule.code}.md", _linked(documentation.explain(rule))
    introduction, *_ = targets.reference().partition("This file is made by")
    lines = [f"- [{one.name}]({one.name}.md): {one.title}" for one in all_targets()]
    yield "targets/index.md", "\n".join([introduction, *lines, ""])
    for target in all_targets():
        yield f"targets/{target.name}.md", _linked(targets.explain(target))


def _rules() -> Iterator[str]:
    yield "# Rules\n"
    yield "*Fix*: `--fix` applies what is safe; *unsafe* fixes need `--unsafe-fixes`; *sometimes* means that each"
    yield "finding says whether it has a fix. Which rules are on also depends on the [target](../targets/index.md).\n"
    yield "Each page has Python that the rule flags, and Python that it does not, with the graphs that come of it. The"
    yield "Python is exported by `torch.export.export(Model(), (torch.randn(3, 4),))` where it says nothing else.\n"
    for prefix, title in FAMILIES.items():
        yield f"## {title}\n"
        yield "| code | name | flags | default | severity | fix |"
        yield "|---|---|---|---|---|---|"
        for rule in RULES:
            if rule.code.startswith(prefix):
                fix = "-" if rule.fix == "none" else rule.fix + ", sometimes" * rule.fix_sometimes
                cells = (rule.name, rule.summary, "on" if rule.enabled_by_default else "off", rule.severity, fix)
                yield f"| [{rule.code}]({rule.code}.md) | {' | '.join(cells)} |"
        yield ""


def _linked(text: str) -> str:
    """Issues, and codes of rules in prose, as links."""
    text = ISSUE.sub(r"[\1#\2](https://github.com/\1/issues/\2)", text)
    return re.sub(r"^(```\w+) [^\n]*$", r"\1", text, flags=re.MULTILINE)  # the options of a check of it


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables of keys where a page asks for them: ``<!-- keys: graphlint.run.config.Fixing -->``."""
    return re.sub(r"<!-- keys: ([\w.]+) -->", lambda found: keys(found[1]), markdown)


def keys(path: str) -> str:
    """The keys of a table of the configuration, from the struct that reads it."""
    lines = ["| key | holds | |", "|---|---|---|"]
    lines += (f"| `{one.name}` | {one.holds} | {one.told} |" for one in described_keys(_struct(path)))
    return "\n".join(lines)


class Key(NamedTuple):
    """A key of the configuration."""

    name: str
    schema: dict[str, Any]
    """The JSON schema of what it holds."""
    told: str

    @property
    def holds(self) -> str:
        """What it holds, in words."""
        return _in_words(self.schema)


def described_keys(struct: type[msgspec.Struct]) -> Iterator[Key]:
    """The keys that a struct reads, but for inherited ones.

    What is said of a key stands below it in the struct; where nothing does, the option of its name says it.
    """
    said = {one.names[0].removeprefix("--"): one.help for one in check.options}
    attributes = griffe.load(struct.__module__)[struct.__name__].attributes
    components: dict[str, Any] = msgspec.json.schema(struct)["$defs"]
    (own,) = (one for name, one in components.items() if name == struct.__name__)
    inherited = {name for base in struct.__bases__ for name in getattr(base, "__struct_fields__", ())}
    for field in msgspec.structs.fields(struct):
        if field.name not in inherited:
            told = attributes[field.name].docstring
            text = " ".join(told.value.split()) if told is not None else said.get(field.encode_name, "")
            schema = _resolved(own["properties"][field.encode_name], components)
            yield Key(field.encode_name, schema, text.replace("``", "`"))


def configuration_schema() -> dict[str, Any]:
    """The JSON schema of a ``graphlint.toml``, for editors: ``docs/site/graphlint.schema.json``."""
    tables = {"fix": Fixing, "limits": Limits}
    properties = {one.name: _property(one) for one in described_keys(Configuration)}
    properties |= {name: _table(struct) for name, struct in tables.items()}
    properties["ops"]["additionalProperties"] = _table(DeclaredOp)
    own = properties["targets"]["additionalProperties"] = _table(OwnTarget)
    own["properties"]["rules"]["additionalProperties"] = _table(OwnRule)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "graphlint.toml, or the table tool.graphlint of pyproject.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _table(struct: type[msgspec.Struct]) -> dict[str, Any]:
    properties = {one.name: _property(one) for one in described_keys(struct)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(key: Key) -> dict[str, Any]:
    return {**key.schema, "description": key.told} if key.told else key.schema


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A schema as a configuration has it: a key is there or not, and a list may be one string."""
    if "$ref" in schema:
        return _resolved(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        (schema,) = (one for one in schema["anyOf"] if one != {"type": "null"})
        return _resolved(schema, components)
    if schema.get("description") == "a string or several":
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": schema["items"]}]}
    kept = {name: value for name, value in schema.items() if name not in ("default", "description", "title")}
    for name in ("items", "additionalProperties"):
        if isinstance(kept.get(name), dict):
            kept[name] = _resolved(kept[name], components)
    return kept


def _in_words(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_in_words, schema["anyOf"]))
    if schema.get("type") == "array":
        inner = schema["items"]
        return f"list of {_in_words(inner)}" if "enum" in inner else "list of strings"
    return {"boolean": "true or false", "integer": "number", "object": "table"}.get(schema["type"], schema["type"])


def _struct(path: str) -> type[msgspec.Struct]:
    module, _, name = path.rpartition(".")
    found: type[msgspec.Struct] = getattr(import_module(module), name)
    return found


if __name__ == "__main__":
    schema = Path(__file__).parent / "site" / "graphlint.schema.json"
    schema.write_text(json.dumps(configuration_schema(), indent=2) + "\n", encoding="utf-8")

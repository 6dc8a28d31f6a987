"""Reading and checking configuration files, and resolving them to settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.ops.declared import DeclaredOp
from graphlint.report.formats.registry import Output
from graphlint.rules.settings import parse_toml
from graphlint.run import config
from graphlint.run.config import Configuration
from graphlint.run.resolution import Resolver


class Rule(NamedTuple):
    code: str
    name: str
    enabled_by_default: bool = True


RULES = (
    Rule("GL001", "unreadable-artifact"),
    Rule("GL101", "in-place-op"),
    Rule("GL103", "buffer-mutation"),
    Rule("GL501", "training-dialect", False),
)
READABLE = {"GL001"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graphlint.rules.selection.RULES", RULES)
    return tmp_path


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def resolver(*, inline=(), file=None, isolated=False, **options) -> Resolver:
    return Resolver(Configuration(**options), inline, file, isolated=isolated)


def enabled(path: str, **options) -> set[str]:
    return set(resolver(**options).settings_for(path).enabled)


def test_every_key():
    write(
        "graphlint.toml",
        """
        select = ["GL1"]
        ignore = ["GL101"]
        extend-select = ["GL501"]
        exclude = ["a"]
        extend-exclude = ["b"]
        force-exclude = true
        fixable = ["GL1"]
        unfixable = ["GL103"]
        unsafe-fixes = true
        exact = true
        output-format = "concise"
        [per-file-ignores]
        "legacy/*.pt2" = ["GL103"]
        [fix]
        token-sink = "output"
        [ops]
        "mylib.scale_" = { writes = ["self", "0"], aliases = ["1"], random = true, effect = true }
        "mylib.pure" = {}
        "mylib.told" = { schema = "(Tensor(a!) x) -> ()" }
        """,
    )
    found = config.find_in(str(Path.cwd()))
    assert found is not None
    assert found.root == str(Path.cwd())
    assert found.configuration == Configuration(
        select=("GL1",),
        ignore=("GL101",),
        extend_select=("GL501",),
        exclude=("a",),
        extend_exclude=("b",),
        force_exclude=True,
        per_file_ignores={"legacy/*.pt2": ("GL103",)},
        fixable=("GL1",),
        unfixable=("GL103",),
        unsafe_fixes=True,
        exact=True,
        output_format=("concise",),
        token_sink="output",
        ops={
            "mylib.scale_": DeclaredOp(("self", "0"), ("1",), random=True, effect=True),
            "mylib.pure": DeclaredOp(),
            "mylib.told": DeclaredOp(schema="(Tensor(a!) x) -> ()"),
        },
    )
    resolved = resolver().run
    assert resolved.settings.enabled == {"GL001", "GL103", "GL501"}
    assert resolved.settings.fixable == {"GL101"}
    assert resolved.settings.unsafe_fixes
    assert resolved.settings.exact
    assert resolved.settings.token_sink == "output"
    assert set(resolved.settings.ops) == {"mylib.scale_", "mylib.pure", "mylib.told"}
    assert (resolved.said.force_exclude, resolved.said.unsafe_fixes) == (True, True)
    assert resolved.outputs == (Output("concise"),)


def test_defaults():
    resolved = resolver().run
    assert resolved.settings.enabled == {"GL001", "GL101", "GL103"}
    assert resolved.settings.fixable == {rule.code for rule in RULES}
    assert not resolved.settings.unsafe_fixes
    assert resolved.settings.token_sink == "buffer"
    assert (resolved.said.force_exclude, resolved.said.unsafe_fixes) == (False, None)
    assert resolved.outputs == (Output("full"),)
    assert resolved.origin == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('selct = ["GL1"]', "unknown key 'selct'; did you mean 'select' or 'exact'?"),
        ("unsafe_fixes = true", "unknown key 'unsafe_fixes'; did you mean 'unsafe-fixes'?"),
        ('extend-ignore = ["GL1"]', "unknown key 'extend-ignore'; did you mean 'ignore'?"),
        ('token-sink = "buffer"', "unknown key 'token-sink'; it belongs into the table 'fix': fix.token-sink"),
        ("fix = { tokensink = 1 }", "unknown key 'fix.tokensink'; did you mean 'token-sink'?"),
        ('ops."a.b".write = ["0"]', "unknown key 'ops.\"a.b\".write'; did you mean 'writes'?"),
        ("[ops.mylib.scale_]", 'ops."mylib": quote the whole name of the op: [ops."mylib.scale_"]'),
        ('select = "GL1"', "select: expected a list of strings, found the string 'GL1'"),
        ('select = ["GL1", 3]', "select[1]: expected a string, found the number 3"),
        ("select = { a = 1 }", "select: expected a list of strings, found a table"),
        ('unsafe-fixes = "yes"', "unsafe-fixes: expected true or false, found the string 'yes'"),
        ("fix = true", "fix: expected a table, found the boolean true"),
        (
            'output-format = "ful"',
            (
                "output-format: unknown value 'ful', expected one of full, concise, grouped, json, json-lines, sarif, "
                "github, gitlab, junit, markdown, html; did you mean 'full'?"
            ),
        ),
        (
            'output-format = ["json", "sarif="]',
            "output-format: 'sarif=' names no file; write sarif=FILE, or sarif for stdout",
        ),
        (
            'output-format = ["concise", "json", "sarif=a"]',
            "output-format: concise and json cannot both go to stdout; give all but one a file: json=FILE",
        ),
        ("output-format = [1]", "output-format[0]: expected a string, found the number 1"),
        ("output-format = 1.5", "output-format: expected a string, found the number 1.5"),
        ('fix.token-sink = "x"', "fix.token-sink: unknown value 'x', expected one of buffer, output"),
        ("ops = 3", "ops: expected a table, found the number 3"),
        (
            'ops."a.b".schema = "Tensor x"',
            "ops.\"a.b\": a schema is arguments in parentheses, '->' and what is returned: Tensor x",
        ),
        (
            'ops."a.b".schema = "(Tensor(a!) x"',
            "ops.\"a.b\": a schema is arguments in parentheses, '->' and what is returned: (Tensor(a!) x",
        ),
        ('ops."a.b" = 3', 'ops."a.b": expected a table, found the number 3'),
        ('ops."a.b".writes = [0]', 'ops."a.b".writes[0]: expected a string, found the number 0'),
        (
            'per-file-ignores."x.pt2" = "GL1"',
            "per-file-ignores.\"x.pt2\": expected a list of strings, found the string 'GL1'",
        ),
        ('per-file-ignores."x.pt2" = [1]', 'per-file-ignores."x.pt2"[0]: expected a string, found the number 1'),
    ],
)
def test_mistakes_name_key_and_file(text, message, folder):
    write("graphlint.toml", text)
    with pytest.raises(ConfigError) as caught:
        resolver().settings_for("model.pt2")
    assert str(caught.value) == f"{folder / 'graphlint.toml'}: {message}"
    with pytest.raises(ConfigError) as inline:
        config.check(parse_toml(text.encode(), ""), "pyproject.toml", "tool.graphlint")
    assert str(inline.value).startswith("pyproject.toml: ")
    assert "tool.graphlint." in str(inline.value)


def test_the_table_of_another_file_is_recognized(folder):
    write("graphlint.toml", "[tool.graphlint.fix]\nprovenance = false")
    with pytest.raises(ConfigError) as caught:
        resolver().settings_for("model.pt2")
    assert str(caught.value) == (
        f"{folder / 'graphlint.toml'}: unknown key 'tool'; "
        "[tool.graphlint] is for pyproject.toml: elsewhere its keys stand at the top, and [fix] is a table"
    )


def test_an_unknown_key_like_no_other_lists_them_all():
    write("graphlint.toml", "xyzzy = 1")
    with pytest.raises(ConfigError, match="unknown key 'xyzzy'; known are extend, select, ignore, extend-select, "):
        resolver().settings_for("model.pt2")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("graphlint.toml", b"select = [", "not valid TOML: "),
        ("graphlint.toml", b"# \xe9", "not UTF-8 at byte 2"),
        ("pyproject.toml", b"[tool.graphlint", "not valid TOML: "),
        ("pyproject.toml", b"[tool]\ngraphlint = 3", "tool.graphlint: expected a table, found the number 3"),
    ],
)
def test_broken_files(name, content, message, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolver().settings_for("model.pt2")
    assert str(caught.value).startswith(f"{folder / name}: {message}")


@pytest.mark.parametrize("key", ["select", "ignore", "extend-select", "fixable", "unfixable"])
def test_unknown_selectors_name_key_and_file(key, folder):
    write("graphlint.toml", f'{key} = ["GL130"]')
    with pytest.raises(ConfigError) as caught:
        resolver().settings_for("model.pt2")
    assert str(caught.value).startswith(f"{folder / 'graphlint.toml'}: {key}: no rule is called 'GL130'; did you")


def test_unknown_selectors_in_per_file_ignores():
    write("graphlint.toml", '[per-file-ignores]\n"*.pt2" = ["nope"]')
    with pytest.raises(ConfigError, match=r"graphlint\.toml: per-file-ignores\.\"\*\.pt2\": no rule is called 'nope'"):
        resolver().settings_for("model.pt2")


def test_the_nearest_file_counts_alone():
    write("pyproject.toml", '[tool.graphlint]\nselect = ["GL101"]')
    write("a/graphlint.toml", 'select = ["GL103"]')
    write("a/b/pyproject.toml", '[project]\nname = "graphlint-user"')
    write("a/c/pyproject.toml", "this is [ not TOML, and none of our business")
    assert enabled("x.pt2") == {"GL101"} | READABLE
    assert enabled("a/x.pt2") == {"GL103"} | READABLE
    assert enabled("a/b/x.pt2") == {"GL103"} | READABLE
    assert enabled("a/b/../../x.pt2") == {"GL101"} | READABLE
    assert enabled("a/c/d/x.pt2") == {"GL103"} | READABLE


def test_precedence_within_a_folder():
    write("pyproject.toml", '[tool.graphlint]\nselect = ["GL101"]')
    write("graphlint.toml", 'select = ["GL103"]')
    assert enabled("x.pt2") == {"GL103"} | READABLE
    write(".graphlint.toml", 'select = ["GL501"]')
    assert enabled("x.pt2") == {"GL501"} | READABLE


def test_each_folder_is_read_once(monkeypatch):
    write("graphlint.toml", 'select = ["GL103"]')
    opened = []
    load = config.load
    monkeypatch.setattr(config, "load", lambda path, *rest: opened.append(path) or load(path, *rest))
    shared = resolver()
    for path in ("a/b/x.pt2", "a/b/y.pt2", "a/z.pt2", "x.pt2"):
        shared.settings_for(path)
    assert len(opened) == 1


def test_limits_are_merged_key_by_key():
    write("graphlint.toml", "[limits]\nnodes = 10\nratio = 5\n")
    settings = resolver(inline=("limits.nodes = 20",)).settings_for("a.pt2")
    assert settings.limits == Limits(nodes=20, ratio=5)
    assert resolver(isolated=True).settings_for("a.pt2").limits == Limits()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes = 0", "limits.nodes: expected an integer of at least 1, found 0"),
        ("nesting = 101", "limits.nesting: expected an integer of at most 100, found 101"),
        ('ratio = "x"', "limits.ratio: expected an integer, found the string 'x'"),
        ("node = 3", "unknown key 'limits.node'; did you mean 'nodes'?"),
    ],
)
def test_mistakes_in_limits(text, message):
    write("graphlint.toml", f"[limits]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        resolver().settings_for("a.pt2")
    assert str(caught.value).endswith(f"graphlint.toml: {message}")


def test_isolated_and_explicit():
    write("graphlint.toml", 'select = ["GL103"]')
    write("ci/strict.toml", 'select = ["GL501"]\nper-file-ignores = { "ci/*.pt2" = ["GL501"] }')
    assert enabled("x.pt2", isolated=True) == {"GL001", "GL101", "GL103"}
    assert enabled("x.pt2", file="ci/strict.toml") == {"GL501"} | READABLE
    assert enabled("ci/x.pt2", file="ci/strict.toml") == READABLE, "patterns are relative to the current folder"
    write("ci/pyproject.toml", "[project]")
    with pytest.raises(ConfigError, match=r"ci/pyproject\.toml: there is no \[tool\.graphlint\] in it"):
        resolver(file="ci/pyproject.toml")
    with pytest.raises(ConfigError, match=r"cannot read the configuration nope\.toml: "):
        resolver(file="nope.toml")


def test_inline_settings_override_the_file_and_the_command_line_overrides_them():
    write("graphlint.toml", 'select = ["GL101"]\nops."a.b" = {}\noutput-format = "json"\nunsafe-fixes = true')
    inline = [
        'select = ["GL103"]',
        'ops."c.d" = { writes = ["0"] }',
        'fix.token-sink = "output"',
        "unsafe-fixes = false",
    ]
    settings = resolver(inline=inline).settings_for("x.pt2")
    assert settings.enabled == {"GL103"} | READABLE
    assert set(settings.ops) == {"a.b", "c.d"}
    assert settings.token_sink == "output"
    assert not settings.unsafe_fixes
    given = resolver(inline=inline, select=("GL501",), token_sink="buffer", unsafe_fixes=True, output_format=("full",))
    assert given.settings_for("x.pt2").enabled == {"GL501"} | READABLE
    assert given.settings_for("x.pt2").token_sink == "buffer"
    assert given.settings_for("x.pt2").unsafe_fixes
    assert given.run.outputs == (Output("full"),)
    with pytest.raises(ConfigError, match="'--config': unknown key 'selct'; did you mean 'select' or 'exact'"):
        resolver(inline=["selct = 1"])
    with pytest.raises(ConfigError, match="'--config': not valid TOML"):
        resolver(inline=["a = b"])


def test_per_file_ignores():
    write(
        "graphlint.toml",
        '[per-file-ignores]\n"legacy/*.pt2" = ["GL103"]\n"!new/**" = ["in-place-op"]\n"odd.pt2" = ["ALL"]',
    )
    assert enabled("legacy/x.pt2") == READABLE
    assert enabled("new/x.pt2") == {"GL101", "GL103"} | READABLE
    assert enabled("other/x.pt2") == {"GL103"} | READABLE
    assert enabled("new/odd.pt2") == set()


def test_per_file_ignores_are_relative_to_their_file():
    write("a/graphlint.toml", '[per-file-ignores]\n"legacy/*.pt2" = ["GL103"]')
    assert "GL103" not in enabled("a/legacy/x.pt2")
    assert "GL103" in enabled("legacy/x.pt2")


def test_exclude():
    write("a/graphlint.toml", 'exclude = ["old", "b/*.pt2"]\nextend-exclude = ["new"]')
    cwd = Path.cwd()
    plain = resolver()
    assert plain.excludes(f"{cwd}/venv")
    assert not plain.excludes(f"{cwd}/old")
    assert not plain.excludes(f"{cwd}/dist")
    assert plain.excludes(f"{cwd}/a/old")
    assert plain.excludes(f"{cwd}/a/new")
    assert plain.excludes(f"{cwd}/a/b/x.pt2")
    assert not plain.excludes(f"{cwd}/a/venv"), "exclude replaces the defaults"
    given = resolver(exclude=("c",), extend_exclude=("d/*.pt2",))
    assert [given.excludes(f"{cwd}/{path}") for path in ("a/c", "d/x.pt2", "a/new", "a/old", "venv")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_exclude_with_parents_stops_at_the_configuration():
    write("venv/project/graphlint.toml", "force-exclude = true")
    cwd = Path.cwd()
    plain = resolver()
    assert not plain.excludes_with_parents(f"{cwd}/venv/project/a/x.pt2")
    assert plain.excludes_with_parents(f"{cwd}/venv/project/a/node_modules/b/x.pt2")
    assert plain.excludes_with_parents(f"{cwd}/venv/other/x.pt2")
    os.chdir("venv/project")
    assert resolver().force_exclude

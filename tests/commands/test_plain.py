"""A plain command line is read as click reads it, or left to click."""

import subprocess
import sys

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlint.artifact.errors import ConfigError
from graphlint.cli.check import check
from graphlint.cli.clicked import Clicked
from graphlint.cli.options import UsageError, options_of, read, read_check
from graphlint.report.formats.registry import parse

NAMES = [name for option in check.options for name in option.names]
BUFFER = "expected one of buffer, output; did you mean 'buffer'?"
WORDS = st.sampled_from(
    [
        *NAMES,
        *(f"--no-{name.removeprefix('--')}" for name in NAMES if name.startswith("--")),
        *(f"{name}=x" for name in NAMES),
        *("model.pt2", "folder/", "-", "--", "-qe", "-j2", "--jobs=4", "--jobs=0", "json", "json=report.json", "2", ""),
        *(
            "buffer",
            "--token-sink=output",
            "--token-sink=nothing",
            "GL1,GL2",
            "auto",
            "--output-format=sarif",
            "a b",
            "é",
        ),
    ]
)


def parsed(words: list[str]) -> dict[str, object] | None:
    """The parameters that are read without click; None where click has to look, or something is wrong."""
    try:
        found = read_check(words)
        for value in found[1]["output_format"] if found is not None else ():
            parse(value)
    except (ConfigError, UsageError):
        return None
    return None if found is None else {"paths": tuple(found[0]), **found[1]}


def by_click(words: list[str]) -> dict[str, object] | None:
    try:
        return Clicked(check).make_context("check", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None


@settings(max_examples=1500, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_what_is_read_without_click_is_what_click_reads(words):
    quick = parsed(words)
    if quick is not None:
        assert quick == by_click(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model.pt2"],
        ["--fix", "a.pt2", "b.pt2"],
        ["--diff", "--target", "onnx", "--target=coreml", "--select", "GL1", "models/"],
        ["-q", "-e", "--no-cache", "--isolated", "--no-unsafe-fixes", "--exit-non-zero-on-fix"],
        ["--output-format", "github", "--output-format=json=report.json", "-o", "report.txt"],
        ["--jobs", "3", "--", "-strange-name.pt2"],
        ["-j", "2", "--config", "unsafe-fixes = true", "--color", "never"],
    ],
)
def test_plain_command_lines_need_no_click(words):
    assert parsed(words) == by_click(words) is not None


@settings(max_examples=1500, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_what_is_wrong_for_one_is_wrong_for_both(words):
    try:
        read_check(words)
    except UsageError:
        assert by_click(words) is None


@pytest.mark.parametrize("words", [["--help"], ["check", "-h"], ["rules"], ["git", "--nothing"], ["-qv", "x"], ["-j2"]])
def test_the_rest_is_left_to_click(words):
    assert read(words) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc"], "no file, folder or command 'chekc'; did you mean 'check'? (see `graphlint --help`)"),
        (["fix"], "no file, folder or command 'fix'; did you mean '--fix'? (see `graphlint --help`)"),
        (["--jbos", "3"], "no such option '--jbos'; did you mean '--jobs'? (see `graphlint check --help`)"),
        (["x.pt2", "--xyzzyx"], "no such option '--xyzzyx' (see `graphlint check --help`)"),
        (
            ["show", "--arund"],
            "no such option '--arund'; did you mean '--around' or '--node'? (see `graphlint show --help`)",
        ),
        (["--target"], "option '--target' requires an argument (see `graphlint check --help`)"),
        (["--fix=yes"], "option '--fix' does not take a value (see `graphlint check --help`)"),
        (
            ["-j", "0"],
            "invalid value for '--jobs': expected a number of at least 1, found '0' (see `graphlint check --help`)",
        ),
        (
            ["--token-sink", "bufer"],
            f"invalid value for '--token-sink': unknown value 'bufer', {BUFFER} (see `graphlint check --help`)",
        ),
    ],
)
def test_what_is_wrong_is_told_by_next_to_nothing(words, said):
    """Before anything else is loaded: a mistyped option costs little more than Python does."""
    with pytest.raises(UsageError) as error:
        read(words)
    assert error.value.told == said
    code = (
        "import sys, atexit\n"
        "at_exit = lambda: print(*{'click', 'msgspec', 'typing', 'inspect'} & set(sys.modules))\n"
        "atexit.register(at_exit)\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code, *words], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("\n", f"error: {said}\n", 2)


def test_a_value_of_another_command_is_no_option():
    assert options_of("show")
    assert read(["show", "x.pt2", "--around", "--nothing"]) is None


@pytest.mark.parametrize(("name", "value"), [("NO_CACHE", "1"), ("CACHE_DIR", "elsewhere"), ("CACHE_DIR", "")])
def test_variables_stand_for_options(name, value, monkeypatch):
    monkeypatch.setenv(f"GRAPHLINT_{name}", value)
    for words in (["model.pt2"], ["--cache-dir", "here", "model.pt2"]):
        assert parsed(words) == by_click(words) is not None


@pytest.mark.parametrize(("name", "value"), [("OUTPUT_FORMAT", "json"), ("NO_CACHE", "maybe")])
def test_variables_that_need_more_than_a_look_are_left_to_click(name, value, monkeypatch):
    monkeypatch.setenv(f"GRAPHLINT_{name}", value)
    assert parsed(["model.pt2"]) is None

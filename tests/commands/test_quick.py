"""A plain command line is read as click reads it, or left to click."""

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlint.cli.check import check
from graphlint.cli.clicked import clicked
from graphlint.cli.quick import parsed, status_of

NAMES = [name for option in check.options for name in option.names]
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


def by_click(words: list[str]) -> dict[str, object] | None:
    try:
        return clicked(check).make_context("check", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None


@settings(max_examples=1500, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_what_is_read_without_click_is_what_click_reads(words):
    quick = parsed(check, words)
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
    assert parsed(check, words) == by_click(words) is not None


@pytest.mark.parametrize(
    "words",
    [["--help"], ["check", "-h"], ["rules"], ["chekc"], ["--nothing"], ["--jobs", "none"], ["--target"], ["-qv", "x"]],
)
def test_the_rest_is_left_to_click(words):
    assert status_of(words) is None


@pytest.mark.parametrize(("name", "value"), [("NO_CACHE", "1"), ("CACHE_DIR", "elsewhere"), ("CACHE_DIR", "")])
def test_variables_stand_for_options(name, value, monkeypatch):
    monkeypatch.setenv(f"GRAPHLINT_{name}", value)
    for words in (["model.pt2"], ["--cache-dir", "here", "model.pt2"]):
        assert parsed(check, words) == by_click(words) is not None


@pytest.mark.parametrize(("name", "value"), [("OUTPUT_FORMAT", "json"), ("NO_CACHE", "maybe")])
def test_variables_that_need_more_than_a_look_are_left_to_click(name, value, monkeypatch):
    monkeypatch.setenv(f"GRAPHLINT_{name}", value)
    assert parsed(check, ["model.pt2"]) is None

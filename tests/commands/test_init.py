"""``graphlint init``: what it writes, what it leaves, what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from graphlint import __version__
from graphlint.artifact.errors import ConfigError
from graphlint.rules.settings import parse_toml
from graphlint.run.setup import pattern, with_hook, with_keys

yaml = pytest.importorskip("yaml", reason="pre-commit brings it")

BY_LINE = 'cannot add a key to its tables; write target = "onnx" and source-roots = ["src"]'
VALUES = {"target": "onnx", "source-roots": ["src"]}
ITEM = {
    "repo": "https://github.com/graphlint/graphlint",
    "rev": f"v{__version__}",
    "hooks": [{"id": "graphlint"}],
}


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "graphlint", "init", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


PYPROJECTS = {
    "empty": "",
    "other-tables": '[project]\nname = "x"  # a comment\n\n[tool.ruff]\nline-length = 120\n',
    "no-newline-at-the-end": '[project]\nname = "x"',
    "crlf": '[project]\r\nname = "x"\r\n',
    "table": '[tool.graphlint]  # ours\nselect = ["ALL"]\n\n[tool.graphlint.fix]\ntoken-sink = "output"\n[tool.x]\n',
    "table-at-the-end": "[tool.x]\n[tool.graphlint]",
    "spaces-in-the-header": '[ tool . graphlint ]\nselect = ["ALL"]\n',
    "only-a-table-of-it": '[tool.graphlint.fix]\ntoken-sink = "output"\n',
    "one-is-there": '[tool.graphlint]\ntarget = "onnx"\n',
    "one-is-there-as-a-list": '[tool.graphlint]\ntarget = ["onnx"]\n',
    "in-a-string": 'text = """\n[tool.other]\n"""\n[tool.graphlint]\nexact = true\n',
}


@pytest.mark.parametrize("name", PYPROJECTS)
def test_keys_are_added_and_all_else_stays(name):
    text = PYPROJECTS[name]
    made = with_keys(text, "pyproject.toml", True, VALUES)
    tree, before = parse_toml(made.encode(), ""), parse_toml(text.encode(), "")
    own = tree["tool"]["graphlint"]
    old = before.get("tool", {}).get("graphlint", {})
    assert own == {**VALUES, **old}
    kept = iter(made.splitlines())
    assert all(line in kept for line in text.splitlines())  # in their order
    assert ("\r\n" in made) == ("\r\n" in text)
    assert with_keys(made, "pyproject.toml", True, VALUES) == made


def test_keys_of_a_file_of_its_own_stand_before_its_tables():
    text = '# how we lint\nselect = ["ALL"]\n[fix]\ntoken-sink = "output"\n'
    made = with_keys(text, "graphlint.toml", False, VALUES)
    assert parse_toml(made.encode(), "") == {**VALUES, "select": ["ALL"], "fix": {"token-sink": "output"}}
    assert made.endswith(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.graphlint]\ntarget = "coreml"\n', 'target is "coreml" there, and "onnx" is asked for: change it there'),
        ("tool = { graphlint = { exact = true } }\n", BY_LINE),
        ("[tool]\ngraphlint.exact = true\n", BY_LINE),
        ('text = """\n[tool.graphlint]\n"""\n', BY_LINE),
        ("[tool]\ngraphlint = 3\n", "graphlint is no table"),
        ("[tool\n", "not valid TOML"),
    ],
)
def test_what_cannot_be_merged_is_refused(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_keys(text, "pyproject.toml", True, VALUES)


LOCAL = "repo: local\n  hooks:\n  - id: a\n    name: a\n    entry: a\n    language: system\n"
OTHER = "repos:\n  - repo: https://x/y\n    rev: v1\n    hooks:\n      - id: z"
HOOKS = {
    "no-margin": f"# ours\nrepos:\n- {LOCAL}",
    "margin": "minimum: 1\nrepos:\n    # first\n    - repo: https://x/y\n      rev: v1\n      hooks: [{id: z}]\n",
    "keys-behind": f"{OTHER}\n\n# and more\nci:\n  skip: [z]\n",
    "keys-behind-no-margin": f"---\nrepos:\n- {LOCAL}fail_fast: true\n",
    "values-of-several-lines": "exclude: |\n  (?x)^(\n    a/\n  )$\n"
    f"{OTHER}\n        exclude: |\n          (?x)^(\n             - b\n          )$\n",
    "none-yet": "repos: []  # none\nfail_fast: true\n",
    "no-newline-at-the-end": OTHER,
    "crlf": OTHER.replace("\n", "\r\n") + "\r\n",
}


@pytest.mark.parametrize("name", HOOKS)
def test_the_hook_is_added_and_all_else_stays(name):
    text = HOOKS[name]
    made = with_hook(text, "graphlint", ())
    before, after = yaml.safe_load(text), yaml.safe_load(made)
    assert after == {**before, "repos": [*before["repos"], ITEM]}
    kept = iter(made.splitlines())
    assert all(line.replace(" []", "") in kept for line in text.splitlines())
    assert made.count("\r\n") == (made.count("\n") if "\r\n" in text else 0)
    assert with_hook(made, "graphlint", ()) == made


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_file_is_made_where_there_is_none(text):
    made = with_hook(text, "graphlint-fix", ("a/*.pt2", "b's/**/*.pt2"))
    hook = {"id": "graphlint-fix", "files": r"^a/[^/]*\.pt2$|^b's/(.*/)?[^/]*\.pt2$"}
    assert yaml.safe_load(made) == {"repos": [{**ITEM, "hooks": [hook]}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repos: [{repo: local, hooks: []}]\n", "'repos:' is written in one line"),
        ("fail_fast: true\n", "there is no 'repos:' at the margin"),
        ("repos:\n  - repo: a\nrepos:\n  - repo: b\n", "there are several 'repos:'"),
        ("repos:\nfail_fast: true\n", "'repos:' has no item"),
        ("{repos: [], fail_fast: true}\n", "there is no 'repos:' at the margin"),
        ("repos:\n  - repo: a\n...\n", "line 3 is of no usual form"),
        ("repos:\n  - repo: a\n---\nrepos2: 1\n", "line 3 is of no usual form"),
        ('exclude: "a\nb"\nrepos:\n  - repo: a\n', "line 2 is of no usual form"),
        ("repos:\n\t- repo: a\n", "line 2 begins with a tab"),
        ("repos:\n  - repo: a\n    hooks: [{id: graphlint-fix}]\n", "it has the hook graphlint-fix, and graphlint is"),
    ],
)
def test_a_file_of_another_form_is_refused(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_hook(text, "graphlint", ())


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("**/*.pt2", ["a.pt2", "a/b.pt2", "a/b/c.pt2"], ["a.pt", "a.pt2/b"]),
        ("artifacts/*.pt2", ["artifacts/a.pt2"], ["artifacts/b/a.pt2", "x/artifacts/a.pt2", "artifacts/a.pt2x"]),
        ("./out/model-?.pt2", ["out/model-1.pt2"], ["out/model-10.pt2", "out/model-/.pt2"]),
        ("out/**", ["out/a", "out/a/b"], ["outer"]),
    ],
)
def test_patterns_of_artifacts(glob, matching, other):
    assert all(re.search(pattern(glob), path) for path in matching)
    assert not any(re.search(pattern(glob), path) for path in other)


def test_it_writes_once_and_the_check_obeys(tmp_path, artifacts):
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    made = run(tmp_path, "--target", "onnx", "--source-roots", "src")
    assert made.returncode == 0, made.stderr
    assert "pyproject.toml: written\n.pre-commit-config.yaml: written\n" in made.stdout
    assert set(contents(tmp_path)) == {"pyproject.toml", ".pre-commit-config.yaml"}
    assert parse_toml((tmp_path / "pyproject.toml").read_bytes(), "")["tool"]["graphlint"] == VALUES
    before = contents(tmp_path)
    for again in (("--target", "onnx", "--source-roots", "src"), ()):  # without options: as it is
        assert run(tmp_path, *again).stdout.startswith("pyproject.toml: already up to date\n.pre-commit-config")
        assert contents(tmp_path) == before
    (tmp_path / "model.pt2").write_bytes((artifacts / "2.13.0" / "async_assert.pt2").read_bytes())
    checked = subprocess.run(
        [sys.executable, "-m", "graphlint"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, "GL607" in checked.stdout) == (0, True)


def test_the_hook_that_is_there_stays(tmp_path):
    """What is not asked for is not refused either."""
    assert run(tmp_path, "--target", "onnx", "--hook", "graphlint-fix").returncode == 0
    before = contents(tmp_path)
    again = run(tmp_path, "--target", "onnx")
    assert (again.returncode, again.stderr, contents(tmp_path)) == (0, "", before)
    other = run(tmp_path, "--target", "onnx", "--hook", "graphlint")
    assert (other.returncode, "it has the hook graphlint-fix, and graphlint is asked for" in other.stderr) == (2, True)


def test_nothing_is_written_where_something_is_refused(tmp_path):
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: [{repo: local, hooks: []}]\n")
    before = contents(tmp_path)
    refused = run(tmp_path, "--target", "onnx")
    assert refused.returncode == 2
    assert "'repos:' is written in one line, so that nothing was added; add to its repos {" in refused.stderr
    assert yaml.safe_load(refused.stderr.partition("to its repos ")[2]) == ITEM
    assert contents(tmp_path) == before
    assert run(tmp_path, "--target", "onnx", "--hook", "none").returncode == 0
    assert set(contents(tmp_path)) == {".pre-commit-config.yaml", "graphlint.toml"}


def test_mistakes_are_named(tmp_path):
    for words, message in (
        ((), "not a terminal: pass --target, one of functional, module, inductor, onnx"),
        (("--target", "onx"), "unknown target 'onx'; did you mean 'onnx'?"),
        (("--target", "functional,onnx"), "contradict each other"),
        (("--target", "onnx", "--source-roots", "nowhere"), "source-roots: there is no folder nowhere"),
        (("--target", "onnx", "--hook", "lint"), "unknown value 'lint', expected one of graphlint, graphlint-fix"),
    ):
        result = run(tmp_path, *words)
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert contents(tmp_path) == {}


def test_a_configuration_further_up_is_told_of(tmp_path):
    (tmp_path / "graphlint.toml").write_text("exact = true\n[targets.mine]\n")
    below = tmp_path / "below"
    below.mkdir()
    made = run(below, "--target", "onnx")
    assert (made.returncode, set(contents(below))) == (0, {"graphlint.toml", ".pre-commit-config.yaml"})
    assert f"{tmp_path / 'graphlint.toml'} no longer applies in this folder" in made.stderr
    (below / "graphlint.toml").unlink()
    # Its targets would not be those of the new one.
    made = run(below, "--target", "mine")
    assert (made.returncode, set(contents(below))) == (2, {".pre-commit-config.yaml"})
    assert f"the target mine is one of {tmp_path / 'graphlint.toml'}: run init in that folder" in made.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_it_asks_at_a_terminal(tmp_path):
    import pty

    (tmp_path / "model").mkdir()
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "graphlint", "init"],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(slave)
    os.write(master, b"onx\ninductor, module\nout/*.pt2\nmodel\n\n")
    said = b""
    try:
        while part := os.read(master, 4096):
            said += part
    except OSError:
        pass
    assert process.wait(timeout=60) == 0, said.decode()
    text = said.decode()
    assert "  coreml      Core ML: coremltools.convert to an ML program\r\n" in text
    assert "error: unknown target 'onx'; did you mean 'onnx'?" in text
    assert "Target (comma-separated) [functional]:" in text
    written = parse_toml((tmp_path / "graphlint.toml").read_bytes(), "")
    assert written == {"target": ["inductor", "module"], "source-roots": ["model"]}
    hooks = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())
    assert hooks["repos"][0]["hooks"] == [{"id": "graphlint", "files": r"^out/[^/]*\.pt2$"}]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_who_ends_the_input_gets_nothing(tmp_path):
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "graphlint", "init"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    while b"[functional]:" not in said:
        said += os.read(master, 4096)
    os.write(master, b"\x04")
    assert process.wait(timeout=60) == 130
    assert os.read(master, 4096).strip() == b"graphlint: interrupted"
    os.close(master)
    assert list(tmp_path.iterdir()) == []


def test_a_hook_for_other_artifacts_is_not_passed_over(tmp_path):
    assert run(tmp_path, "--target", "onnx", "--artifacts", "x/*.pt2").returncode == 0
    before = contents(tmp_path)
    assert run(tmp_path, "--target", "onnx", "--artifacts", "x/*.pt2").returncode == 0
    other = run(tmp_path, "--target", "onnx", "--artifacts", "y/*.pt2")
    assert other.returncode == 2
    assert r"already has the hook graphlint, for other artifacts: set its files to '^y/[^/]*\.pt2$'" in other.stderr
    assert contents(tmp_path) == before

"""A model's source in a git repository, and artifacts exported from it by stock torch."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from click.testing import CliRunner, Result

from graphlint.cli.clicked import app

SOURCE = """\
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        self.seen.add_(1)
        return x + self.seen


class Net(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        y = self.layers(x)
        y = y.clamp_(
            min=0,
            max=1,
        )
        return y + torch.rand_like(y)
"""
# Line 11 writes the buffer of each layer, line 22 an intermediate tensor, line 26 draws random numbers.

# The same model after a while: other lines above, a comment behind one, and a layer in front of the others.
SCALE = '''\
class Scale(nn.Module):
    """New."""

    def forward(self, x):
        return x * 2


class Layer(nn.Module):'''
LATER = SOURCE.replace("class Layer(nn.Module):", SCALE).replace("seen.add_(1)", "seen.add_(1)  # counts calls")


class Exported(NamedTuple):
    """What the session exported, once."""

    net: Path
    """Three layers, from SOURCE."""
    later: Path
    """A scale in front of three layers, from LATER."""
    more: Path
    """Four layers, from LATER."""


def load(path: Path, name: str):
    """The module in ``path``, imported as ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    """The artifacts, exported on a machine whose folders are not those of the repository."""
    folder = tmp_path_factory.mktemp("exporting") / "worker"
    made = []
    for name, text in (("first", SOURCE), ("second", LATER)):
        source = folder / name / "models" / "net.py"
        source.parent.mkdir(parents=True)
        source.write_text(text)
        module = load(source, f"exported_{name}")
        three = [module.Layer() for _ in range(3)]
        stacks = {"net": three}
        if name == "second":
            stacks = {"later": [module.Scale(), *three], "more": [module.Layer(), *three]}
        for artifact, layers in stacks.items():
            path = folder / f"{artifact}.pt2"
            torch.export.save(torch.export.export(module.Net(*layers), (torch.zeros(2, 4),)), str(path))
            made.append(path)
    return Exported(*made)


class Repository:
    """A git repository with ``models/net.py`` and ``net.pt2``, in which graphlint runs."""

    def __init__(self, folder: Path, exported: Exported) -> None:
        self.folder = folder
        self.exported = exported
        self.source = folder / "models" / "net.py"
        self.artifact = folder / "net.pt2"
        self.source.parent.mkdir()
        self.source.write_text(SOURCE)
        shutil.copy(exported.net, self.artifact)
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True, timeout=60)

    def run(self, *arguments: str) -> Result:
        """``graphlint`` in the repository."""
        result = CliRunner().invoke(app, arguments, prog_name="graphlint")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def lines(self, *arguments: str) -> list[str]:
        """What ``--output-format concise --quiet`` prints: a line for each group of findings."""
        return self.run(*arguments, "--output-format", "concise", "--quiet").stdout.splitlines()

    def comment(self, line: int, text: str) -> None:
        """Put a comment at the end of a line of the source."""
        lines = self.source.read_text().splitlines(keepends=True)
        lines[line - 1] = f"{lines[line - 1].rstrip()}  # {text}\n"
        self.source.write_text("".join(lines))


@pytest.fixture
def repository(tmp_path, exported, monkeypatch) -> Repository:
    for name in ("NO_COLOR", "FORCE_COLOR", "GRAPHLINT_OUTPUT_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    made = Repository(tmp_path, exported)
    monkeypatch.chdir(tmp_path)
    return made

"""Findings to report, made by hand."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from graphlint.ir.source import SourceFrame
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic, Fix, WrittenStorage

FRAME = SourceFrame("models.py", 84, "forward", "self.count.add_(1)")


@pytest.fixture
def buffer_mutation() -> Diagnostic:
    return Diagnostic(
        code="GL103",
        rule="buffer-mutation",
        severity="error",
        message="aten.add_.Tensor writes buffer 'count'",
        fix=Fix("safe", "becomes aten.add.Tensor"),
        path="model.pt2",
        program="model",
        node="add_",
        op="aten.add_.Tensor",
        position=3,
        storage=WrittenStorage("buffer", "b_count", "count"),
        source=FRAME,
        stack=(FRAME,),
        module_path="layers.0",
        module_type="models.Counter",
    )


@pytest.fixture
def random_op() -> Diagnostic:
    return Diagnostic(
        code="GL302",
        rule="random-op",
        severity="warning",
        message="aten.rand.default draws from the global generator",
        fix=Fix("none", "no op does the same without"),
        path="model.pt2",
        program="decoder",
        subgraph=("cond", "true_graph_0"),
        node="rand",
        op="aten.rand.default",
        position=4,
        module_path="noise",
    )


@pytest.fixture
def print_op() -> Diagnostic:
    return Diagnostic(
        code="GL301",
        rule="print",
        severity="error",
        message="aten._print.default prints",
        fix=Fix("unsafe", "removed"),
        path="model.pt2",
        program="model",
        node="_print",
        op="aten._print.default",
        position=5,
        source=FRAME,
    )


@pytest.fixture
def unreadable() -> Diagnostic:
    return Diagnostic(
        code="GL001",
        rule="unreadable-artifact",
        severity="error",
        message="the JSON ends early",
        fix=Fix("none", "export again"),
        path="broken.pt2",
        member="archive/models/model.json",
    )


@pytest.fixture
def results(
    buffer_mutation: Diagnostic, random_op: Diagnostic, print_op: Diagnostic, unreadable: Diagnostic
) -> list[FileResult]:
    return [
        FileResult("model.pt2", diagnostics=(buffer_mutation, random_op, print_op), programs=("model", "decoder")),
        FileResult("clean.pt2", programs=("model",)),
        FileResult("broken.pt2", diagnostics=(unreadable,)),
    ]


@pytest.fixture
def hostile(tmp_path, artifacts) -> Path:
    """A real artifact whose names of nodes and buffers and paths are markup; those of values cannot be."""
    path = tmp_path / "<img src=x onerror=alert(0)>.pt2"
    source = artifacts / "2.13.0" / "key_value_cache.pt2"
    name = "</script><script>alert(1)</script>"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member.endswith("models/model.json"):
                tree = json.loads(content.replace(b'"cache"', b'"cache%b"' % name.encode()))
                for node in tree["graph_module"]["graph"]["nodes"]:
                    node["name"] += name * (node["name"] == "index_put_")
                content = json.dumps(tree).encode()
                content = content.replace(b"in forward", b"in <b>forward").replace(b"models.py", b"<i>.py")
            new.writestr(member, content)
    return path

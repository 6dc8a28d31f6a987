"""Path patterns."""

from __future__ import annotations

import pytest

from graphlint.rules.settings import Pattern
from graphlint.run.globs import matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("legacy", "/r/legacy", True),
        ("legacy", "/r/a/legacy", True),
        ("legacy", "/r/legacy/x.pt2", False),
        ("legacy", "/r/notlegacy", False),
        ("*.pt2", "/r/a/x.pt2", True),
        ("legacy/*.pt2", "/r/legacy/x.pt2", True),
        ("legacy/*.pt2", "/r/legacy/a/x.pt2", True),
        ("legacy/*.pt2", "/r/a/legacy/x.pt2", False),
        ("legacy/", "/r/legacy", True),
        ("./legacy/x.pt2", "/r/legacy/x.pt2", True),
        ("../other/*.pt2", "/other/x.pt2", True),
        ("**/legacy/*.pt2", "/r/legacy/x.pt2", True),
        ("**/legacy/*.pt2", "/r/a/b/legacy/x.pt2", True),
        ("**/legacy/*.pt2", "/r/notlegacy/x.pt2", False),
        ("a/**/x.pt2", "/r/a/x.pt2", True),
        ("a/**/x.pt2", "/r/a/b/c/x.pt2", True),
        ("a/**", "/r/a/b/x.pt2", True),
        ("a/**", "/r/a", False),
        ("/r/a/*.pt2", "/r/a/x.pt2", True),
        ("/q/a/*.pt2", "/r/a/x.pt2", False),
        ("{a,b}/x.pt2", "/r/b/x.pt2", True),
        ("{a,b}/x.pt2", "/r/c/x.pt2", False),
        ("x?.pt2", "/r/x1.pt2", True),
        ("x?.pt2", "/r/x.pt2", False),
        ("x[0-9].pt2", "/r/x1.pt2", True),
        ("x[0-9].pt2", "/r/xa.pt2", False),
        ("x[!0-9].pt2", "/r/xa.pt2", True),
        ("x[!0-9].pt2", "/r/x1.pt2", False),
        ("x[]].pt2", "/r/x].pt2", True),
        ("x[.pt2", "/r/x[.pt2", True),
        ("x+(1).pt2", "/r/x+(1).pt2", True),
        ("x.pt2", "/r/xpt2", False),
        ("{a,b", "/r/a", False),
        ("*.pt2", "/r/a\nb.pt2", True),
        ("caf\udce9.pt2", "/r/caf\udce9.pt2", True),
    ],
)
def test_matches(pattern, path, expected):
    assert matches(Pattern(pattern, "/r"), path) is expected


def test_the_root_is_taken_literally():
    assert matches(Pattern("a/*.pt2", "/r[1]*"), "/r[1]*/a/x.pt2")
    assert not matches(Pattern("a/*.pt2", "/r[1]*"), "/r1/a/x.pt2")
    assert matches(Pattern("a/*.pt2", "/"), "/a/x.pt2")

"""The pytest plugin: ``--graphlint-target``, and the fixture ``assert_functional``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--graphlint-target NAME``, or ``graphlint_target`` in the configuration of pytest."""
    group = parser.getgroup("graphlint")
    group.addoption(
        "--graphlint-target",
        action="append",
        default=[],
        metavar="NAME",
        help="Consumer of the programs that assert_functional is given (can be given several times).",
    )
    parser.addini("graphlint_target", "Consumers of the programs that assert_functional is given.", "args", default=[])


@pytest.fixture
def assert_functional(request: pytest.FixtureRequest) -> Callable[..., None]:
    """:func:`graphlint.assert_functional`, for the targets that pytest was given."""
    from graphlint.runtime import testing

    config = request.config
    targets: list[Any] = config.getoption("--graphlint-target") or config.getini("graphlint_target")
    return partial(testing.assert_functional, target=targets) if targets else testing.assert_functional

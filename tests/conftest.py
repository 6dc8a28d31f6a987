"""What the tests of several folders need: the artifacts, and linting a graph in text form."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests import today
from tests.text_form import document_of

from graphlint.ir.model import Program
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.linting import lint_view
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView, ops_for

_ALL = frozenset(rule.code for rule in RULES)

# How fast a machine is decides no test, and neither does chance: the examples are the same in every run.
# Others: --hypothesis-profile=default --hypothesis-seed=random
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_report_header() -> str:
    """Which random programs these are."""
    return f"random programs of the day: {today.REPEAT} repeats them"


@pytest.fixture(scope="session", autouse=True)
def _heeding():
    """Runs in the background of a script are born deaf to Ctrl-C, and so would be whatever the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_cache():
    """No test finds results of another, and none leaves any in the source tree; those of the cache ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHLINT_NO_CACHE", "1")
        yield


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder of real artifacts, one folder per torch version."""
    return Path(__file__).parent / "artifacts"


@pytest.fixture(scope="session")
def all_rules() -> Settings:
    """Every rule is on."""
    return Settings(enabled=_ALL, fixable=_ALL)


@pytest.fixture(scope="session")
def default_rules() -> Settings:
    """What is on when nothing is selected."""
    enabled = frozenset(rule.code for rule in RULES if rule.enabled_by_default)
    return Settings(enabled=enabled, fixable=_ALL)


@pytest.fixture(scope="session")
def read_text() -> Callable[[str], Program]:
    """A graph in text form as a program, decoded and checked like one that was read."""
    return lambda text: document_of(text).program


@pytest.fixture(scope="session")
def lint_text() -> Callable[..., list[Diagnostic]]:
    """Lints a graph in text form, by all rules unless told otherwise; keywords are those of ``Settings``."""

    def lint(text: str, **settings: Any) -> list[Diagnostic]:
        chosen = Settings(**{"enabled": _ALL, "fixable": _ALL, **settings})
        document = document_of(text, ops_for(chosen))
        return [found.diagnostic for found in lint_view(ProgramView(document, chosen), "model", "model.pt2", chosen)]

    return lint


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Whoever has nothing left to do takes over tests of others: some take minutes."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)

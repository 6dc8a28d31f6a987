"""What the tests of functionalized writes share."""

import logging

import pytest

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _quiet():
    """torch logs as it exports, and takes its time to, where anybody listens, as pytest does."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)

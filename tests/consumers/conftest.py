"""Nothing is shared but what torch must not do: log as it loads and exports."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet():
    """torch logs as it exports, and takes its time to, where anybody listens, as pytest does."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)

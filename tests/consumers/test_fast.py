"""torch.compile and ONNX take what graphlint calls clean for them. The other consumers: ``matrix.py``."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack

import pytest

pytest.importorskip("torch")
if not hasattr(os, "fork"):
    pytest.skip(f"consumers run in forked processes, which {sys.platform} does not have", allow_module_level=True)

from . import cases, verdict
from .measuring import Measuring, measuring

CHOSEN = {
    "onnx": (
        "async_assert",
        "batch_norm_training",
        "buffer_counter",
        "clean",
        "cond_assert",
        "constant_mutation",
        "dynamic_batch",
        "input_mutation",
        "intermediate",
        "key_value_cache",
        "metadata_assert",
        "nested",
        "no_grad_region",
        "out_variant",
        "print",
        "scalar_assert",
        "static_cache_index_copy",
        "two_programs/encoder",
        "dependency_tokens",
    ),
    "compile": (
        "async_assert",
        "bare_async_assert",
        "batch_norm_training",
        "cond_assert",
        "constant_mutation",
        "dynamic_batch",
        "intermediate",
        "key_value_cache",
        "scalar_assert",
        "dependency_tokens",
    ),
}
"""About a minute's worth: each form of what a fix makes or keeps for them."""


@pytest.fixture(scope="module")
def every_case(tmp_path_factory):
    return {case.name: case for case in cases.all_cases(tmp_path_factory.mktemp("cases"))}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The consumers, each started when it is first asked for."""
    started: dict[str, Measuring] = {}
    with ExitStack() as stack:

        def start(consumer):
            if consumer not in started:
                started[consumer] = stack.enter_context(measuring(consumer, tmp_path_factory.mktemp("consumers")))
            return started[consumer]

        yield start


@pytest.mark.parametrize(("consumer", "case"), [(one, case) for one, names in CHOSEN.items() for case in names])
def test_the_consumer_does_what_graphlint_says(consumer, case, every_case, running):
    if consumer == "compile" and not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("torch.compile needs a C++ compiler")
    fix, after = running(consumer).after(every_case[case])
    cells = {(case, consumer): verdict.Cell(fix, after)}
    assert verdict.problems(cells, verdict.load_exceptions(), partly=True) == []

"""The judge tells apart consumers that are made to misbehave, each in its own way."""

from __future__ import annotations

import copy
import os
import signal
import sys
import warnings

import pytest

pytest.importorskip("torch")
if not hasattr(os, "fork"):
    pytest.skip(f"consumers run in forked processes, which {sys.platform} does not have", allow_module_level=True)

import torch
from torch.utils import _pytree as pytree

from . import cases, worker
from .consumers import CONSUMERS, Consumer, Taken, module
from .outcomes import Judgement


def eager(program):
    """A module without state between calls, whatever it writes."""
    return lambda *args: pytree.tree_leaves(copy.deepcopy(program).module()(*args))


def without_dropout(program):
    weight, bias = program.state_dict["linear.weight"], program.state_dict["linear.bias"]
    return lambda x: [torch.nn.functional.linear(x, weight, bias)]


def kill(program):
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse(program):
    raise ValueError("\n\x1b[96mno\x1b[0m such op in /usr/lib/python3/ops.py\nand more") from KeyError("op")


def fail(*args):
    raise ValueError("no kernel")


BEHAVIOUR = {
    "what eager torch does": (
        "async_assert",
        module,
        Judgement("taken", tripped=3),
    ),
    "no checks": (
        "async_assert",
        lambda program: Taken(lambda x: [x + 3]),
        Judgement("taken", lost=("checks",), tripped=3),
    ),
    "a check less": (
        "two_async_asserts",
        lambda program: Taken(lambda x, y: [(x + y).sin(), (x + y).cos()] if (x > -100).all() else fail()),
        Judgement(
            "taken", "not raised with -1000.0 in input 1, -1000000000.0 in input 1, mixed in input 1", ("checks",), 9
        ),
    ),
    "another number": (
        "async_assert",
        lambda program: Taken(lambda x: [x + 4]),
        Judgement("different", "with the sample inputs: output differs by up to 1"),
    ),
    "another shape": (
        "async_assert",
        lambda program: Taken(lambda x: [x[0] + 3]),
        Judgement("different", "with the sample inputs: output is float32[4] instead of float32[3, 4]"),
    ),
    "another result": (
        "async_assert",
        lambda program: Taken(lambda x: [x + 3, x]),
        Judgement("different", "with the sample inputs: output has 2 tensors instead of 1"),
    ),
    "no state": (
        "buffer_counter",
        lambda program: Taken(eager(program)),
        Judgement("taken", lost=("writes",)),
    ),
    "a cache without state": (
        "key_value_cache",
        lambda program: Taken(eager(program)),
        Judgement("taken", lost=("writes",)),
    ),
    "inputs not written": (
        "input_mutation",
        lambda program: Taken(lambda x: [x.relu() + 1]),
        Judgement("taken", lost=("writes",)),
    ),
    "what is written as an output": (
        "input_mutation",
        lambda program: Taken(lambda x: [x.relu(), x.relu() + 1]),
        Judgement("taken", lost=("writes",)),
    ),
    "no print": (
        "print",
        lambda program: Taken(lambda x: [x + 1]),
        Judgement("taken", lost=("prints",)),
    ),
    "no draws": (
        "dropout_training",
        lambda program: Taken(without_dropout(program)),
        Judgement("taken", lost=("draws",)),
    ),
    "other draws": (
        "dropout_training",
        lambda program: Taken(lambda x: [2 * leaf for leaf in eager(program)(x)]),
        Judgement("different", "over 400 draws, the mean of output 0 is another one"),
    ),
    "refused": (
        "clean",
        refuse,
        Judgement("refused", "KeyError: 'op'"),
    ),
    "refused when run": (
        "clean",
        lambda program: Taken(fail),
        Judgement("refused", "when run: ValueError: no kernel"),
    ),
    "a crash": (
        "clean",
        kill,
        Judgement("crashed", "SIGSEGV when taking"),
    ),
    "not run here, and nothing in it": (
        "constant_mutation",
        lambda program: Taken(None, ops=frozenset({"add"})),
        Judgement("taken", lost=("writes",)),
    ),
    "not run here, with state": (
        "constant_mutation",
        lambda program: Taken(None, ops=frozenset({"add", "coreml_update_state"})),
        Judgement("taken"),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _warm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker.warm_up()


def job(case):
    path = str(cases.CORPUS / f"{case}.pt2")
    return worker.Job(path, path, "model", 300.0)


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_what_a_consumer_does_is_told_apart(name, monkeypatch):
    case, take, expected = BEHAVIOUR[name]
    monkeypatch.setitem(CONSUMERS, name, Consumer(name, "module", take, (), ()))
    assert worker._in_child(name, job(case)) == expected


def test_an_output_that_is_what_was_written_to_an_input_is_compared(tmp_path, monkeypatch):
    class ReturnedInput(torch.nn.Module):
        def forward(self, x):
            x.add_(1)
            return x, x * 2

    path = str(tmp_path / "model.pt2")
    torch.export.save(torch.export.export(ReturnedInput(), (torch.ones(3),)), path)
    for results, expected in (
        (lambda x: [x + 1, (x + 1) * 2], Judgement("taken", lost=("writes",))),
        (lambda x: [x + 1, x + 1, (x + 1) * 2], Judgement("taken", lost=("writes",))),
        (lambda x: [(x + 1) * 2], Judgement("different", "with the sample inputs: output has 1 tensors instead of 2")),
    ):
        consumer = Consumer("some", "module", lambda _, results=results: Taken(results), (), ())
        monkeypatch.setitem(CONSUMERS, "some", consumer)
        assert worker._in_child("some", worker.Job(path, path, "model", 300.0)) == expected


def test_what_takes_too_long_is_ended(monkeypatch):
    """The time is over once the consumer is at it, however long loading takes here."""
    reading, writing = os.pipe()

    def take(program):
        os.write(writing, b"1")
        signal.pause()

    def wait(pipes, _, __, seconds):
        assert 0 < seconds <= 300
        ready, _, _ = select([*pipes, reading], [], [], 120)
        pipes = [one for one in ready if one != reading]
        return (pipes, [], []) if pipes or not ready else select([], [], [], 0.1)

    select = worker.select.select
    monkeypatch.setattr(worker.select, "select", wait)
    monkeypatch.setitem(CONSUMERS, "slow", Consumer("slow", "module", take, (), ()))
    assert worker._in_child("slow", job("clean")) == Judgement("timed out", "not done after 300 s, when taking")
    os.close(reading)
    os.close(writing)


def test_what_torch_does_not_load_nobody_sees():
    assert worker._in_child("module", job("random")) == Judgement("not loaded", "KeyError: 'from'")


def test_a_mistake_of_the_judge_is_no_outcome(capfd):
    with pytest.raises(SystemExit):
        worker._in_child("nobody", job("clean"))
    assert "KeyError: 'nobody'" in capfd.readouterr().err

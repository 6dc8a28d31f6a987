"""Models of libraries, a few of them; the command has them all."""

from __future__ import annotations

import pytest
from tests.models.libraries import __main__ as command

pytest.importorskip("transformers")

FEW = ("transformers gpt_neo: train", "transformers mistral_static: eval", "transformers stablelm: inference")


@pytest.mark.parametrize("name", FEW)
def test_what_stock_torch_makes_functional_is_functional_and_the_same(name, tmp_path):
    (row,) = command.rows([name], tmp_path)
    assert "unexported" not in row
    assert not command.falls_short(row)
    assert command.line(row).count("|") == 5


def judged(functional, equal):
    return {"functional": functional, "equal": equal}


@pytest.mark.parametrize(
    ("ours", "theirs", "short"),
    [
        (("yes", "yes"), ("yes", "yes"), False),
        (("1 GL101", "yes"), ("1 GL101, 1 GL205", "yes"), False),
        (("1 GL101", "yes"), ("1 GL205", "yes"), True),
        (("1 GL101", "yes"), ("yes", "1 of 2 elements differ"), False),
        (("1 GL101", "yes"), ("yes", "yes"), True),
        (("yes", "1 of 2 elements differ"), ("yes", "1 of 2 elements differ"), True),
        (("fails", "no such file"), ("fails", "cannot be decomposed"), True),
    ],
)
def test_falling_short(ours, theirs, short):
    row = {"model": "one: eval", "graphlint": judged(*ours), "run_decompositions": judged(*theirs)}
    assert command.falls_short(row) is short

"""What targets take and lose is found, with a code of its own."""

from __future__ import annotations

import pytest

import graphlint
from graphlint.rules.targets.model import profile_of

BUFFER = """
graph(%b_state: f32[2] = buffer "state", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b_state, %x)
  return buffer "state" <- %add, %add
"""


def saved(folder, model, *args):
    torch = pytest.importorskip("torch")
    path = folder / "model.pt2"
    program = torch.export.export(model, args)
    torch.export.save(program, path)
    return path, program


def stateful(state, *, kind="buffer"):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            if kind == "buffer":
                self.register_buffer("state", state)
            else:
                self.state = state

        def forward(self, x):
            return self.state.add_(x) * 2

    return Model()


def initial(diagnostics):
    return [one for one in diagnostics if one.code == "GL604"]


@pytest.mark.parametrize("target", ["executorch", "coreml"])
@pytest.mark.parametrize("kind", ["buffer", "constant"])
def test_state_has_to_begin_with_zeros(tmp_path, target, kind):
    import torch

    path, program = saved(tmp_path, stateful(torch.tensor([0.0, 3.0]), kind=kind), torch.ones(2))
    (found,) = initial(graphlint.lint(path, target=target, isolated=True).diagnostics)
    assert found.message.startswith(f"{kind} 'state' begins with other values than zeros ({target}: ")
    assert (found.op, found.severity, found.fix.applicability) == ("aten.add_.Tensor", "error", "none")
    assert found.source is not None
    (again,) = initial(graphlint.lint_program(program, target=target))
    assert (again.message, again.node) == (found.message, found.node)
    # Written back by the signature, it is the node that makes the value.
    graphlint.fix(path, isolated=True)
    (fixed,) = initial(graphlint.lint(path, target=target, isolated=True).diagnostics)
    assert (fixed.op, fixed.source) == ("aten.add.Tensor", found.source)
    assert not initial(graphlint.lint(path, target="inductor", select="ALL", isolated=True).diagnostics)


@pytest.mark.filterwarnings("ignore:No complete tensor found")
def test_zeros_lose_nothing_and_neither_does_what_is_only_read(tmp_path):
    import torch

    base = torch.ones(3, 2)
    base[:, 1] = 0
    for state in (torch.zeros(3), base[:, 1]):
        path, program = saved(tmp_path, stateful(state), torch.ones(3))
        assert not initial(graphlint.lint(path, target="executorch", isolated=True).diagnostics)
        assert not initial(graphlint.lint_program(program, target="executorch"))
    path, _ = saved(tmp_path, torch.nn.BatchNorm1d(3).eval(), torch.ones(2, 3))
    assert not initial(graphlint.lint(path, target="executorch", isolated=True).diagnostics)


def test_what_cannot_be_read_is_told(lint_text):
    (found,) = initial(lint_text(BUFFER, profile=profile_of(["executorch", "coreml"])))
    assert found.message.startswith("buffer 'state' may begin with other values than zeros (executorch, coreml: ")
    assert found.node == "add"
    assert not initial(lint_text(BUFFER))

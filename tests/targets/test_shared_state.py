"""GL108: state that is written and has several names."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch
from torch import nn

import graphlint
from graphlint.runtime.verification import verifier


class Layer(nn.Module):
    def __init__(self, keys, *, persistent):
        super().__init__()
        self.register_buffer("keys", keys, persistent=persistent)

    def forward(self, x, at):
        self.keys.index_copy_(0, at, x)
        return self.keys.sum()


class TwoNames(nn.Module):
    def __init__(self, *, persistent=True, other=lambda keys: keys):
        super().__init__()
        keys = torch.zeros(4)
        self.one = Layer(keys, persistent=persistent)
        self.two = Layer(other(keys), persistent=persistent)

    def forward(self, x, at):
        return self.one(x, at) + self.two(x, at + 1)


ARGUMENTS = (torch.ones(1), torch.tensor([0]))


def saved(folder, model):
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(model, ARGUMENTS), path)
    return path


def codes(path, target):
    return [one.code for one in graphlint.lint(path, target=target, isolated=True).diagnostics]


def results(path):
    module = torch.export.load(path).module()
    return [module(*ARGUMENTS).item() for _ in range(2)]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch, as it decomposes
@pytest.mark.parametrize("target", ["inductor", "onnx", "executorch"])
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("first", [None, "functional"])
def test_the_first_name_stands_for_all(tmp_path, target, persistent, first):
    """As it was exported, and as another fix left it."""
    path = saved(tmp_path, TwoNames(persistent=persistent))
    before = results(path)
    if first is not None:
        assert [one.code for one in graphlint.fix(path, target=first, isolated=True).fixed] == ["GL103", "GL103"]
    assert "GL108" in codes(path, target)
    fixed = graphlint.fix(path, target=target, isolated=True)
    assert (fixed.error, [one.code for one in fixed.fixed]) == (None, ["GL108"])
    assert "'one.keys' stands for 'two.keys', which is gone from the state dict" in fixed.fixed[0].fix.message
    assert "GL108" not in codes(path, target)
    assert results(path) == before == [3.0, 4.0]
    program = torch.export.load(path)
    assert [spec.target for spec in program.graph_signature.input_specs if spec.target] == ["one.keys"]
    assert list(program.module().state_dict()) == (["one.keys"] if persistent else [])
    program.run_decompositions({})  # which refuses written inputs that others alias


def test_where_nobody_refuses_it_all_names_stay(tmp_path):
    path = saved(tmp_path, TwoNames())
    assert codes(path, "module") == []
    graphlint.fix(path, isolated=True)
    assert codes(path, "functional") == []
    assert list(torch.export.load(path).module().state_dict()) == ["one.keys", "two.keys"]


def test_verifying_takes_it_for_the_same(tmp_path):
    path = saved(tmp_path, TwoNames())
    original = path.with_name("original.pt2")
    original.write_bytes(path.read_bytes())
    graphlint.fix(path, target="inductor", isolated=True)
    verifier(trust=False, report=print)(str(original), str(path), True, False)


@pytest.mark.filterwarnings("ignore:No complete tensor found")
def test_another_view_of_the_memory_is_no_other_name(tmp_path):
    path = saved(tmp_path, TwoNames(other=lambda keys: keys[1:]))
    (found,) = graphlint.lint(path, target="inductor", isolated=True).diagnostics
    assert (found.code, found.fix.applicability) == ("GL108", "none")
    assert found.fix.message == "%b_two_keys shows its memory in another shape"
    assert not graphlint.fix(path, target="inductor", isolated=True).changed


def test_what_is_only_read_may_have_any_number_of_names(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(1, 1), nn.Linear(1, 1)
            self.two.weight = self.one.weight
            self.register_buffer("count", torch.zeros(2))

        def forward(self, x, at):
            self.count.add_(1)
            return self.two(self.one(x)) + self.count

    assert "GL108" not in codes(saved(tmp_path, Tied()), "inductor")

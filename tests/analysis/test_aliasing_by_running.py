"""Alias analysis by meaning: random programs run in torch, and the storages that change are those it reports."""

from __future__ import annotations

import random
import warnings

import pytest
import torch

from graphlint.ops.table import op_table
from graphlint.semantics.analysis import Analysis

PROGRAMS = 150
STEPS = 22


def dim(draw, tensor):
    return draw.randrange(tensor.dim())


def shape_of(draw, tensor):
    """Another shape with as many elements."""
    sizes, rest = [], tensor.numel()
    while rest > 1:
        size = draw.choice([d for d in range(2, rest + 1) if rest % d == 0])
        sizes.append(size)
        rest //= size
    return sizes or [1]


# Each takes the source of randomness and an operand, and answers an op and what follows the operand.
VIEWS = [
    lambda draw, t: ("aten.select.int", d := dim(draw, t), draw.randrange(t.shape[d])),
    lambda draw, t: ("aten.slice.Tensor", dim(draw, t), draw.randrange(2), 9, draw.choice([1, 2])),
    lambda draw, t: ("aten.narrow.default", d := dim(draw, t), 0, draw.randint(1, t.shape[d])),
    lambda draw, t: ("aten.transpose.int", dim(draw, t), dim(draw, t)),
    lambda draw, t: ("aten.permute.default", draw.sample(range(t.dim()), t.dim())),
    lambda draw, t: ("aten.t.default",),
    lambda draw, t: ("aten.unsqueeze.default", dim(draw, t)),
    lambda draw, t: ("aten.squeeze.default",),
    lambda draw, t: ("aten.squeeze.dim", dim(draw, t)),
    lambda draw, t: ("aten.diagonal.default",),
    lambda draw, t: ("aten.view.default", shape_of(draw, t)),
    lambda draw, t: ("aten._unsafe_view.default", shape_of(draw, t)),
    lambda draw, t: ("aten.as_strided.default", [2, 2], [1, 2]),
    lambda draw, t: ("aten.unfold.default", dim(draw, t), 2, 1),
    lambda draw, t: ("aten.expand.default", [2, *t.shape]),
    lambda draw, t: ("aten.detach.default",),
    lambda draw, t: ("aten.alias.default",),
    lambda draw, t: ("aten.view_as.default", "self"),
    lambda draw, t: ("aten.split.Tensor", 2, dim(draw, t)),
    lambda draw, t: ("aten.chunk.default", 2, dim(draw, t)),
    lambda draw, t: ("aten.unbind.int", dim(draw, t)),
    lambda draw, t: ("aten.split_with_sizes.default", [1, t.shape[0] - 1]),
    lambda draw, t: ("aten.movedim.int", dim(draw, t), dim(draw, t)),
]
CONDITIONAL = [
    lambda draw, t: ("aten.reshape.default", shape_of(draw, t)),
    lambda draw, t: ("aten.flatten.using_ints",),
    lambda draw, t: ("aten.ravel.default",),
    lambda draw, t: ("aten.contiguous.default",),
    lambda draw, t: ("aten.to.dtype", draw.choice([torch.float32, torch.float64])),
    lambda draw, t: ("aten.to.dtype", t.dtype, False, draw.random() < 0.5),
    lambda draw, t: ("aten.type_as.default", "other"),
    lambda draw, t: ("aten.dropout.default", draw.choice([0.0, 0.5]), draw.random() < 0.5),
    lambda draw, t: ("aten.resolve_conj.default",),
    lambda draw, t: ("aten.atleast_2d.default",),
]
FRESH = [
    lambda draw, t: ("aten.clone.default",),
    lambda draw, t: ("aten.mul.Tensor", 2),
    lambda draw, t: ("aten.sin.default",),
    lambda draw, t: ("aten.zeros_like.default",),
    lambda draw, t: ("aten.add.Tensor", "other"),
]
# What they write differs from whatever was there before: each number is used once.
WRITES = [
    lambda draw, t: ("aten.fill_.Scalar", "number"),
    lambda draw, t: ("aten.add_.Tensor", "number"),
    lambda draw, t: ("aten.masked_fill_.Scalar", "mask", "number"),
    lambda draw, t: ("aten.index_fill_.int_Scalar", 0, "index", "number"),
    lambda draw, t: ("aten.sub_.Tensor", "number"),
]
IN_PLACE_VIEWS = [
    lambda draw, t: ("aten.t_.default",),
    lambda draw, t: ("aten.transpose_.default", dim(draw, t), dim(draw, t)),
    lambda draw, t: ("aten.unsqueeze_.default", dim(draw, t)),
    lambda draw, t: ("aten.squeeze_.default",),
]
KINDS = [(VIEWS, 8), (CONDITIONAL, 4), (FRESH, 2), (WRITES, 6), (IN_PLACE_VIEWS, 1)]


class Run:
    """One random program: what it did, step by step."""

    def __init__(self, seed, recorder):
        self.draw = random.Random(seed)
        self.recorder = recorder
        self.number = 1000.0
        self.changes = {}  # index of the node → names of the storages' first values
        for shape in ((4, 6), (3, 4), (2, 3, 2)):
            dtype = self.draw.choice([torch.float32, torch.float64])
            recorder.input(torch.rand(shape, dtype=dtype))
        self.usable = list(recorder.values.values())
        for _ in range(STEPS):
            self.step()

    def argument(self, written, operand):
        match written:
            case "self":
                return operand
            case "other":
                return self.draw.choice(self.usable)
            case "number":
                self.number += 1
                return self.number
            case "mask":
                return self.recorder.input(torch.ones(operand.tensor.shape, dtype=torch.bool))
            case "index":
                return self.recorder.input(torch.zeros(1, dtype=torch.int64))
        return written

    def step(self):
        (family,) = self.draw.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])
        operand = self.draw.choice(self.usable)
        if not operand.tensor.dim():
            return
        before = self.bases()
        shape = (operand.tensor.shape, operand.tensor.stride())
        try:
            op, *rest = self.draw.choice(family)(self.draw, operand.tensor)
            results = self.recorder.call(op, operand, *(self.argument(one, operand) for one in rest))
        except (RuntimeError, IndexError, ValueError, StopIteration):
            return  # no such view, or nothing to choose from
        if family is IN_PLACE_VIEWS and shape != (operand.tensor.shape, operand.tensor.stride()):
            # The operand is another tensor from now on, and so is everything that is the same object.
            self.usable = [one for one in self.usable if one.tensor is not operand.tensor]
        after = self.bases()
        changed = {key for key, data in before.items() if not torch.equal(data, after[key])}
        self.changes[len(self.recorder.lines) - 1] = (family, changed)
        self.usable += [result for result in results if 0 < result.tensor.numel() < 200]

    def bases(self):
        """The content of every storage, as bytes."""
        found = {}
        for value in self.recorder.values.values():
            storage = value.tensor.untyped_storage()
            if value.storage not in found:
                found[value.storage] = torch.empty(0, dtype=torch.uint8).set_(storage).clone()
        return found


@pytest.mark.parametrize("part", range(5))
def test_the_storages_that_change_are_those_that_are_reported(part, new_recorder, read_text):
    writes = views = fresh = 0
    for seed in range(part * PROGRAMS // 5, (part + 1) * PROGRAMS // 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as_strided and the like
            recorder = new_recorder()
            run = Run(seed, recorder)
        program = read_text(recorder.text)
        view = Analysis(program, op_table())
        found = {write.site.index: write for write in view.writes}
        assert len(found) == len(view.writes)
        storages = {value.name: value.storage for value in recorder.values.values()}
        for index, (family, changed) in run.changes.items():
            assert (family is WRITES or family is IN_PLACE_VIEWS) == (index in found), (seed, index)
            if index not in found:
                assert not changed
                continue
            write = found[index]
            reported = {storages[ref.storage.value] for ref in write.refs}
            where = f"seed {seed}, node {index}: {recorder.lines[index]}"
            assert changed <= reported, where
            # Sizes, dtypes and strides are all known here, so every reference is decided.
            assert write.certain, where
            if family is WRITES:
                assert changed == reported, where
                writes += 1
                views += bool(write.target.views)
                fresh += write.target.storage.kind == "intermediate"
            else:
                assert changed == set(), where
    assert writes > 50
    assert views > 20
    assert fresh > 5

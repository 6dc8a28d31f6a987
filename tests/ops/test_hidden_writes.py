"""Writes that schemas keep quiet about, against torch on a CPU: do the arguments change?"""

from __future__ import annotations

import pytest
import torch

from graphlint.ops.table import op_table

NOT_ON_CPU = {
    "aten.batch_norm_gather_stats",
    "aten.batch_norm_gather_stats_with_counts",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
}


def running():
    return torch.zeros(3), torch.ones(3)


def cases():
    data = torch.arange(24.0).reshape(2, 3, 4)
    for training in (True, False):
        yield "aten.batch_norm.default", (data, None, None, *running(), training, 0.1, 1e-5, False), training
        yield (
            "aten._batch_norm_impl_index.default",
            (data, None, None, *running(), training, 0.1, 1e-5, False),
            training,
        )
        yield "aten.native_batch_norm.default", (data, None, None, *running(), training, 0.1, 1e-5), training
        yield "aten.instance_norm.default", (data, None, None, *running(), training, 0.1, 1e-5, False), training
        yield "aten._native_batch_norm_legit.default", (data, None, None, *running(), training, 0.1, 1e-5), None
    yield "aten.batch_norm_update_stats.default", (data, *running(), 0.1), True
    yield "aten._native_batch_norm_legit_functional.default", (data, None, None, *running(), True, 0.1, 1e-5), False
    yield "aten._native_batch_norm_legit_no_training.default", (data, None, None, *running(), 0.1, 1e-5), False


CASES = list(cases())


@pytest.mark.parametrize(("name", "args", "writes"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_running_statistics_are_written_where_the_condition_says_so(call, name, args, writes):
    one = call(name, *args)
    tensors = {key: value for key, value in one.bound().items() if isinstance(value, torch.Tensor)}
    before = {key: value.clone() for key, value in tensors.items()}
    one.run()
    changed = {key for key, value in tensors.items() if not torch.equal(value, before[key])}
    if writes is None:
        # The schema itself says that it writes, training or not.
        assert set(one.info.written(one.node())) == {"running_mean", "running_var"}
        return
    assert set(one.info.written(one.node())) == changed
    assert bool(changed) is writes


def test_absent_statistics_are_not_written(call):
    one = call("aten.batch_norm.default", torch.ones(2, 3), None, None, None, None, True, 0.1, 1e-5, False)
    assert tuple(one.info.written(one.node())) == ()


def test_saturated_weight(call):
    weight = torch.tensor([[1e9, 1.0]])
    one = call("aten._saturate_weight_to_fp16.default", weight)
    one.run()
    assert weight[0, 0] == 65504
    assert tuple(one.info.written(one.node())) == ("weight",)


def test_every_op_that_runs_on_a_cpu_is_tried():
    tried = {name.rpartition(".")[0] for name, _, _ in CASES} | {"aten._saturate_weight_to_fp16"}
    infos = [op_table().lookup(name) for name in op_table().names() if not name.startswith("c10d.")]
    writing = {i.name.rpartition(".")[0] for i in infos if i.hidden_writes is not None and not i.out_variant}
    untried = writing - tried
    assert untried == NOT_ON_CPU


def test_collectives_in_place_write():
    silent = {
        name
        for name in op_table().names()
        if name.startswith("c10d.") and name.endswith("_.default") and op_table().lookup(name).hidden_writes is None
    }
    assert silent == {"c10d.monitored_barrier_.default"}

"""The command that gives small programs to consumers, with the consumer that is always there: eager torch."""

from __future__ import annotations

import shutil
import sys

import pytest

torch = pytest.importorskip("torch")

from tests.consumers import idioms  # noqa: E402
from tests.consumers.preparing import prepare, prepare_here  # noqa: E402


def test_a_consumer_that_takes_all_has_nothing_to_tell(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["idioms.py", "module", "--only", "layer_norm", "--only", "state_cache"])
    assert idioms.main() == 0
    assert capsys.readouterr().out == "2 programs are clean for module, 0 of them wrongly\n"


def test_the_first_result_becomes_state_where_that_is_asked_for():
    module = idioms.exported("topk", state=True).module()
    values, given = torch.topk(torch.arange(5.0).repeat(2, 1), 2, 1).values, torch.arange(5.0).repeat(2, 1)
    assert not module(given).any()
    assert torch.equal(module(given), values)


def test_dtypes_and_symbolic_sizes():
    program = idioms.exported("gelu", torch.float16, symbolic=True)
    (value,) = (node.meta["val"] for node in program.graph.nodes if node.op == "placeholder")
    assert value.dtype == torch.float16
    assert isinstance(value.shape[0], torch.SymInt)


@pytest.mark.parametrize(("name", "target"), [("chunks_uneven", "coreml"), ("cummax", "onnx"), ("state_sum", "tvm")])
def test_what_is_prepared_in_this_process_is_what_the_command_prepares(tmp_path, name, target):
    paths = [tmp_path / one for one in ("here.pt2", "there.pt2")]
    torch.export.save(idioms.exported(name), paths[0])
    shutil.copyfile(*paths)
    assert prepare_here(paths[0], "model", target) == prepare(paths[1], "model", target)
    assert paths[0].read_bytes() == paths[1].read_bytes()

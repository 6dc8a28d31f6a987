"""transformers rewrites in-place ops by hand as it exports to ONNX, one node at a time: what is written through a view
gets lost. Given a program without in-place ops it is right.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
exporters = pytest.importorskip("transformers.exporters.exporter_onnx", reason="it has no exporter to ONNX of its own")

from tests import judge  # noqa: E402
from transformers import PreTrainedConfig, PreTrainedModel  # noqa: E402
from transformers.exporters.exporter_dynamo import DynamoExporter  # noqa: E402

from graphlint.runtime import functionalize  # noqa: E402


class Fixed(DynamoExporter):
    """Between transformers' own export and what the exporter to ONNX makes of it."""

    def export_program(self, model, sample_inputs, config):
        program, metadata = super().export_program(model, sample_inputs, config)
        fixed, changed = functionalize(program, select="GL1")
        assert changed
        return fixed, metadata


class FixedOnnxExporter(exporters.OnnxExporter, Fixed):
    """The exporter to ONNX, which gets a program that graphlint has fixed."""


class Model(PreTrainedModel):
    """Writes rows of a transposed view, and returns the base."""

    config_class = PreTrainedConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.full((4,), 2.0))

    def forward(self, x, row):
        y = x * self.scale
        view = y.transpose(0, 1)
        view[row] = 0
        return y


@pytest.mark.parametrize(("exporter", "right"), [(exporters.OnnxExporter, False), (FixedOnnxExporter, True)])
def test_a_write_through_a_view(exporter, right):
    model, inputs = Model(PreTrainedConfig()).eval(), {"x": torch.ones(3, 4), "row": torch.tensor([1])}
    config = exporters.OnnxConfig()
    made = judge.quiet(exporter().export, model, dict(inputs), config=config)
    found = made(**inputs)
    assert torch.equal(found, model(**inputs)) is right

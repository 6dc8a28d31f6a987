"""What several test files need of torch; it is imported only by the tests that ask for it."""

import io
import warnings

import pytest


@pytest.fixture(scope="session")
def torch_programs():
    """Loads an artifact's bytes with stock torch: the exported programs by name."""
    torch = pytest.importorskip("torch")
    from torch.export.pt2_archive._package import load_pt2

    if not hasattr(torch.ops.sample, "scale_"):  # the custom op of tests/artifacts/models.py

        @torch.library.custom_op("sample::scale_", mutates_args={"x"})
        def scale_(x: torch.Tensor, factor: float) -> None:
            x.mul_(factor)

    def load(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data.startswith(b"PK\x03\x04") and b"serialized_exported_program.json" in data[:100]:
                return {"model": torch.export.load(io.BytesIO(data))}
            return load_pt2(io.BytesIO(data)).exported_programs

    return load


@pytest.fixture(scope="session")
def torch_graphs(torch_programs):
    """The same, as the text of each program."""
    return lambda data: {name: str(program) for name, program in torch_programs(data).items()}

"""Fixes of checks: settings, copies that are fixed, programs in text form as artifacts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.text_form import encoded, parse_program, print_program, tree_of

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.ir.document import Document
from graphlint.rules.settings import Settings
from graphlint.run.engine import process

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
CHECKS = frozenset({"GL201", "GL202", "GL203", "GL204", "GL205"})
CONTAINERS = {1: ARTIFACTS / "2.13.0" / "async_assert.pt2", 2: ARTIFACTS / "2.13.0" / "two_async_asserts.pt2"}
"""By the number of inputs, as stock torch binds the recorded ones: artifacts without weights and constants that lend
their archive to programs in text form.
"""


@pytest.fixture(scope="session")
def judge():
    """The module that has stock torch run an artifact before and after."""
    pytest.importorskip("torch")
    from tests import judge

    return judge


@pytest.fixture(scope="session")
def settings_for():
    """Settings in which exactly the rules on checks are on, unless told otherwise."""

    def make(sink="buffer", enabled=CHECKS, fixable=None, **others) -> Settings:
        return Settings(
            enabled=frozenset(enabled),
            fixable=frozenset(enabled if fixable is None else fixable),
            token_sink=sink,
            **others,
        )

    return make


@pytest.fixture
def fix_copy(tmp_path, settings_for):
    """Fixes a copy of an artifact, asserts that a second fix leaves it alone; its path and the result."""

    def fix(original, sink="buffer", settings=None, name=None):
        folder = tmp_path / f"{sink}{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        path = folder / (name or Path(original).name)
        shutil.copy(original, path)
        settings = settings or settings_for(sink)
        result = process(str(path), settings, "fix")
        once = path.read_bytes()
        again = process(str(path), settings, "fix")
        assert (again.changed, again.fixed, again.error) == (False, (), result.error)
        assert again.diagnostics == result.diagnostics
        assert path.read_bytes() == once
        assert [one.name for one in folder.iterdir()] == [path.name]
        return path, result

    return fix


@pytest.fixture
def write_pt2(tmp_path):
    """Writes a program, in text form or as JSON, to an artifact that stock torch loads; its path.

    ``weights`` are persistent buffers and ``constants`` non-persistent ones and constants: name to tensor; those in
    ``shared`` are in the memory of the others that they are mapped to.
    """

    def write(program, name="program.pt2", weights=(), constants=(), shared=()) -> Path:
        tree = parse_program(program) if isinstance(program, str) else program
        changes = {}
        inputs = [spec for spec in tree["graph_module"]["signature"]["input_specs"] if "user_input" in spec]
        with open_artifact(CONTAINERS[len(inputs)]) as artifact:
            (entry,) = artifact.programs
            changes[entry.member] = encoded(tree)
            for config, stem, tensors in (
                (entry.weights_config, "weight", dict(weights)),
                (entry.constants_config, "tensor", dict(constants)),
            ):
                listed = {}
                for number, (qualified, tensor) in enumerate(tensors.items()):
                    changes[f"{config.rpartition('/')[0]}/{stem}_{number}"] = bytes(tensor.contiguous().numpy().data)
                    listed[qualified] = {
                        "path_name": f"{stem}_{number}",
                        "is_param": False,
                        "use_pickle": False,
                        "tensor_meta": _tensor_meta(tensor),
                    }
                for one, other in dict(shared).items():
                    if one in listed:
                        listed[one]["path_name"] = listed[other]["path_name"]
                changes[config] = json.dumps({"config": listed}).encode()
            path = tmp_path / name
            with path.open("wb") as file:
                write_archive(artifact.container, changes, file)
        return path

    return write


def _tensor_meta(tensor) -> dict[str, Any]:
    return {
        "dtype": {"torch.float32": 7, "torch.int64": 5}[str(tensor.dtype)],
        "sizes": [{"as_int": size} for size in tensor.shape],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": step} for step in tensor.contiguous().stride()],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }


@pytest.fixture(scope="session")
def read_text():
    """The text form of a program in an artifact."""

    def read(path, name="model") -> str:
        return print_program(read_document(path, name).program)

    return read


@pytest.fixture(scope="session")
def read_tree():
    """The JSON of a program in an artifact."""
    return lambda path, name="model": tree_of(read_document(path, name))


def read_document(path, name: str) -> Document:
    with open_artifact(str(path)) as artifact:
        (entry,) = (one for one in artifact.programs if one.name == name)
        return Document.from_bytes(artifact.read_program(entry))

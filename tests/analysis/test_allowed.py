"""No false alarms: classes that do nothing but hold data can be allowed by name, and some are without being told."""

from __future__ import annotations

import collections
import dataclasses
import enum
import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest

import graphlint
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickles import HARMLESS_CLASSES, allowing
from graphlint.artifact.rewrite import write_archive
from graphlint.run.api import lint

from .attacks import MKDIR, made, name, saved, text

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")
ARTIFACT = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "async_assert.pt2"
OWN = f"{__name__}.*"


@dataclasses.dataclass
class Batch:
    x: torch.Tensor
    kind: type = torch.Tensor


class Point(NamedTuple):
    x: torch.Tensor
    y: int


class Colour(enum.Enum):
    RED = 1

    def __reduce_ex__(self, protocol):
        """As most versions of Python do it; 3.11.0 to 3.11.3 call ``getattr``, which is no data."""
        return type(self), (self.value,)


class Wrapped(torch.Tensor):
    pass


def with_inputs(path, value):
    out = io.BytesIO()
    if isinstance(value, bytes):
        out.write(value)
    else:
        torch.save(((value,), {}), out)
    with open_artifact(ARTIFACT) as artifact, path.open("wb") as file:
        write_archive(artifact.container, {artifact.programs[0].sample_inputs: out.getvalue()}, file)
    return path


def code(path, **options):
    return [one.message for one in lint(path, **options).diagnostics if one.code == "GL003"]


VALUES = {
    "a dataclass": (lambda: Batch(torch.ones(2), kind=Point), ["Batch", "Point"]),
    "a named tuple": (lambda: Point(torch.ones(2), 2), ["Point"]),
    "a class of tensors": (lambda: torch.ones(2).as_subclass(Wrapped), ["Wrapped"]),
    "a member of an enumeration": (lambda: {"x": Colour.RED}, ["Colour"]),
    "an object in objects": (lambda: [{"x": (Batch(torch.ones(2), int),)}], ["Batch"]),
}


@pytest.mark.parametrize(("make", "names"), VALUES.values(), ids=VALUES)
def test_classes_of_ones_own(tmp_path, monkeypatch, make, names):
    monkeypatch.chdir(tmp_path)
    path = with_inputs(tmp_path / "model.pt2", make())
    found = [one for one in lint(path).diagnostics if one.code == "GL003"]
    assert {one.message.rpartition(" ")[2] for one in found} == {f"{__name__}.{one}" for one in names}
    written = [one.fix.message.rpartition("write ")[2] for one in found]
    assert written == [f'allow-globals = ["{one.message.rpartition(" ")[2]}"]' for one in found]
    assert code(path, allow_globals=OWN) == []
    Path("graphlint.toml").write_text(f'allow-globals = ["{OWN}"]\n')
    assert code(path) == []
    Path("graphlint.toml").write_text("allow-globals = ['another.*']\n")
    assert len(code(path)) == len(found)


@pytest.mark.parametrize(
    "value",
    [b"", frozenset({1}), range(3), slice(1, 2), collections.deque([1]), {b"a": 1}, torch.strided, torch.device("cpu")],
)
def test_plain_python_values(tmp_path, value):
    assert code(with_inputs(tmp_path / "model.pt2", [value])) == []


def test_what_torch_itself_saves(tmp_path):
    values = [
        torch.nn.Linear(2, 2).state_dict(),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        torch.eye(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.nn.Parameter(torch.ones(2)),
        torch.Size([1, 2]),
        {"dtype": torch.float16, "scale": 1.5, "none": None, (1, "x"): 2},
    ]
    for value in values:
        assert code(with_inputs(tmp_path / "model.pt2", value)) == []


STATE = b"}" + text("layers") + b"]" + text("dtype") + name("torch", "float32") + b"u"
CACHE = name("transformers.cache_utils", "StaticCache") + b")\x81}(" + text("layers") + b"](" + (
    name("transformers.cache_utils", "StaticLayer") + b")\x81}" + text("max_cache_len") + b"K\x10sb"
) + b"e" + text("layer_class_to_replicate") + name("transformers.cache_utils", "StaticLayer") + b"ub"  # fmt: skip


def test_caches_of_transformers(tmp_path):
    """As its own exporter leaves them in the sample inputs."""
    path = with_inputs(tmp_path / "model.pt2", saved({"data.pkl": b"\x80\x02" + CACHE + b"\x85}\x86."}))
    assert code(path) == []
    assert all(HARMLESS_CLASSES.values())


def test_what_is_allowed_may_hold_no_function(tmp_path):
    """What an object calls of what it holds is not known."""
    cache = (
        name("transformers.cache_utils", "StaticCache") + b")\x81}" + text("f") + name("torch.storage", "TypedStorage")
    )
    path = with_inputs(tmp_path / "model.pt2", saved({"data.pkl": b"\x80\x02" + cache + b"sb\x85}\x86."}))
    assert code(path) == ["keeps a class or function as a value"]


def test_an_object_is_no_key(tmp_path):
    """It could say of itself what it likes."""
    cache = name("transformers.cache_utils", "StaticCache") + b")\x81}b"
    path = with_inputs(tmp_path / "model.pt2", saved({"data.pkl": b"\x80\x02}" + cache + b"Ns\x85}\x86."}))
    assert code(path) == ["has a key that is neither a text nor a number"]


def test_patterns():
    allows = allowing("a.b.*", "c.D", "e.*Output")
    for one in ("a.b.C", "c.D", "e.ModelOutput", "builtins.bytes"):
        assert allows(one), one
    for one in ("a.b.os.system", "a.b", "xa.b.C", "c.DE", "e.f.Output", "aXb.C", "os.system"):
        assert not allows(one), one


def test_a_member_of_an_enumeration_in_the_structure(tmp_path):
    def change(tree):
        leaf = {"type": None, "context": None, "children_spec": []}
        keys = json.dumps([{"__enum__": True, "fqn": f"{__name__}:Colour", "name": "RED"}])
        spec = {"type": "builtins.dict", "context": keys, "children_spec": [leaf]}
        tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])

    path = tmp_path / "model.pt2"
    with open_artifact(ARTIFACT) as artifact, path.open("wb") as file:
        tree = json.loads(artifact.read_program(artifact.programs[0]))
        change(tree)
        write_archive(artifact.container, {artifact.programs[0].member: json.dumps(tree).encode()}, file)
    assert code(path) == [f'imports "{__name__}:Colour"']
    assert code(path, allow_globals=OWN) == []
    assert [one.what for one in graphlint.scan(path)] == [f'imports "{__name__}:Colour"']
    assert graphlint.scan(path, allow_globals=OWN) == ()


def test_the_scanner_is_a_function(tmp_path):
    assert graphlint.scan(ARTIFACT) == ()
    path = with_inputs(tmp_path / "model.pt2", saved({"data.pkl": b"\x80\x02" + made("x") + b"."}))
    (found,) = graphlint.scan(str(path))
    assert (found.member, found.what) == ("async_assert/data/sample_inputs/model.pt", f"calls {MKDIR}")
    assert isinstance(found, graphlint.Code)
    (tmp_path / "no.pt2").write_text("no")
    with pytest.raises(ArtifactError):
        graphlint.scan(tmp_path / "no.pt2")

"""The judge of fixes: stock torch runs an artifact before and after, and both must behave alike."""

import copy
import json
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.ir.document import Document, encode
from graphlint.ir.text import parse_program, print_program
from graphlint.rules.settings import Settings
from graphlint.run.engine import process

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
CHECKS = frozenset({"GL201", "GL202", "GL203", "GL204", "GL205"})
CONTAINERS = {1: ARTIFACTS / "2.13.0" / "async_assert.pt2", 2: ARTIFACTS / "2.13.0" / "two_async_asserts.pt2"}
"""By the number of inputs, as stock torch binds the recorded ones: artifacts without weights and constants that lend
their archive to programs in text form.
"""


class Outcome(NamedTuple):
    """All that one call of a program brings about."""

    raised: str | None
    result: Any
    inputs: Any
    """The arguments after the call."""
    state: dict[str, Any]
    """Parameters, buffers and constants after the call, the token's buffer aside."""
    random_state: Any
    gradients: Any
    gradients_enabled: bool
    """Afterwards: a check that fails in a no_grad region leaves the mode as it is there."""


class Judge:
    """Loads and runs exported programs with stock torch."""

    def __init__(self) -> None:
        import torch
        from torch.utils import _pytree

        self.torch = torch
        self.pytree = _pytree

    def load(self, path, name: str = "model"):
        """The exported program of that name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name == "model":
                return self.torch.export.load(str(path))
            from torch.export.pt2_archive._package import load_pt2

            return load_pt2(str(path)).exported_programs[name]

    def module(self, program):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return program.module()

    def unflatten(self, program):
        """The program's modules, as stock torch sorts its nodes into them again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.torch.export.unflatten(program)

    def run(self, module, args=(), kwargs=None, *, differentiate: bool = False) -> Outcome:
        """Call a module on copies of the arguments, from a fixed state of the random number generator."""
        torch = self.torch
        args, kwargs = copy.deepcopy((args, kwargs or {}))
        module.zero_grad()
        torch.manual_seed(0)
        raised = result = gradients = None
        with torch.enable_grad():
            try:
                result = module(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, both programs must raise it
                raised = f"{type(error).__name__}: {error}"
            enabled = torch.is_grad_enabled()
        if differentiate and raised is None:
            gradients = self._gradients(module, args, result)
        state = {name: value.detach().clone() for name, value in self._state(module)}
        result = self.pytree.tree_map_only(torch.Tensor, lambda value: value.detach().clone(), result)
        return Outcome(raised, result, (args, kwargs), state, torch.get_rng_state(), gradients, enabled)

    def _gradients(self, module, args, result):
        """Gradients of all outputs' sum by the arguments and parameters that require them."""
        torch = self.torch
        # A token is no result of the model; it requires no gradient.
        outputs = [
            one for one in self.pytree.tree_leaves(result) if isinstance(one, torch.Tensor) and one.requires_grad
        ]
        leaves = [one for one in self.pytree.tree_leaves(args) if isinstance(one, torch.Tensor) and one.requires_grad]
        leaves += list(module.parameters())
        if not outputs or not leaves:
            return (len(outputs), [])
        total = sum(one.double().sum() for one in outputs)
        return (len(outputs), list(torch.autograd.grad(total, leaves, allow_unused=True)))

    def _state(self, module):
        named = [*module.named_parameters(), *module.named_buffers()]
        return [(name, value) for name, value in named if not name.startswith("dep_token")]

    def same(self, left: Any, right: Any) -> bool:
        """Whether two nested values have the same structure, types and elements, NaN equal to itself."""
        left_leaves, left_spec = self.pytree.tree_flatten(left)
        right_leaves, right_spec = self.pytree.tree_flatten(right)
        return left_spec == right_spec and all(map(self._same_leaf, left_leaves, right_leaves))

    def _same_leaf(self, left: Any, right: Any) -> bool:
        if not isinstance(left, self.torch.Tensor):
            return type(left) is type(right) and left == right
        return (
            isinstance(right, self.torch.Tensor)
            and (left.dtype, left.device, left.shape) == (right.dtype, right.device, right.shape)
            and self.torch.equal(self.torch.nan_to_num(left), self.torch.nan_to_num(right))
            and self.torch.equal(left.isnan(), right.isnan())
        )

    def assert_alike(
        self, original, fixed, calls, *, with_token: bool = False, differentiate: bool = False
    ) -> list[str | None]:
        """Both programs do the same on every call, made twice in a row; what each call raised.

        ``with_token`` says that the fixed one returns ``(result, token)``.
        """
        assert set(fixed.state_dict) == set(original.state_dict)
        before, after = self.module(original), self.module(fixed)
        assert set(after.state_dict()) == set(before.state_dict())
        raised = []
        for args, kwargs in calls:
            for _ in range(2):
                expected = self.run(before, args, kwargs, differentiate=differentiate)
                actual = self.run(after, args, kwargs, differentiate=differentiate)
                if with_token and actual.raised is None:
                    assert isinstance(actual.result, tuple)
                    result, token = actual.result
                    assert (token.shape, token.dtype, token.device.type) == ((), self.torch.float32, "cpu")
                    actual = actual._replace(result=result)
                for what in Outcome._fields:
                    left, right = getattr(expected, what), getattr(actual, what)
                    assert self.same(left, right), f"{what}: {left} before, {right} after"
            raised.append(expected.raised)
        return raised

    def checks(self, module) -> list[str]:
        """The checks in a module's graphs, plain or functional, by name, sorted."""
        names = []
        for graph in self._graphs(module):
            for node in graph.graph.nodes:
                name = str(node.target)
                if node.op == "call_function" and ("_assert" in name or "constrain_range" in name):
                    names.append(name)
        return sorted(names)

    def _graphs(self, module):
        return [one for one in module.modules() if isinstance(one, self.torch.fx.GraphModule)]

    def without_dead_code(self, program):
        """The program's module after dead-code elimination in all its graphs."""
        module = self.module(program)
        for graph in self._graphs(module):
            graph.graph.eliminate_dead_code()
            graph.recompile()
        return module

    def decomposed(self, program):
        """What ``run_decompositions({})`` makes of the program."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return program.run_decompositions({})

    def assert_survives_dead_code_elimination(self, fixed, calls, raised) -> None:
        """Dead-code elimination leaves every check in place, and each still raises what it did."""
        pruned = self.without_dead_code(fixed)
        assert self.checks(pruned) == self.checks(self.module(fixed))
        for (args, kwargs), expected in zip(calls, raised, strict=True):
            assert self.run(pruned, args, kwargs).raised == expected


@pytest.fixture(scope="session")
def judge():
    pytest.importorskip("torch")
    return Judge()


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

    ``weights`` are persistent buffers and ``constants`` non-persistent ones and constants: name to tensor.
    """

    def write(program, name="program.pt2", weights=(), constants=()) -> Path:
        tree = parse_program(program) if isinstance(program, str) else program
        changes = {}
        inputs = [spec for spec in tree["graph_module"]["signature"]["input_specs"] if "user_input" in spec]
        with open_artifact(CONTAINERS[len(inputs)]) as artifact:
            (entry,) = artifact.programs
            changes[entry.member] = encode(tree)
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
    return lambda path, name="model": read_document(path, name).tree


def read_document(path, name: str) -> Document:
    with open_artifact(str(path)) as artifact:
        (entry,) = (one for one in artifact.programs if one.name == name)
        return Document.from_bytes(artifact.read_program(entry))

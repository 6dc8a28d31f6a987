"""What honest models leave in their artifacts: GL003 finds nothing but classes of one's own that torch really makes,
and then says what to write.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import logging
from typing import Any, NamedTuple

import pytest

from graphlint.run.api import lint

torch = pytest.importorskip("torch")
pytree = torch.utils._pytree
pytestmark = pytest.mark.filterwarnings("ignore")
OWN = __name__
ONE = torch.ones(3, 4)


@dataclasses.dataclass
class Batch:
    x: Any
    scale: Any = 2.0


class Pair(NamedTuple):
    x: Any
    y: Any


class Cache:
    """Registered as people register the caches of their models."""

    def __init__(self, keys: Any, layers: int = 1) -> None:
        self.keys = keys
        self.layers = layers


class Mode(enum.Enum):
    FAST = "fast"


class Scaled(torch.Tensor):
    """A weight of a class of its own, which torch pickles whole."""

    @staticmethod
    def __new__(cls, inner: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, strides=inner.stride())

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __tensor_flatten__(self) -> Any:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, *_: Any) -> Any:
        return Scaled(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def plain(value: Any) -> Any:
            return value.inner if isinstance(value, Scaled) else value

        out = func(*pytree.tree_map(plain, args), **pytree.tree_map(plain, kwargs or {}))
        detached = func in (torch.ops.aten.detach.default, torch.ops.aten.clone.default)
        return Scaled(out) if detached else out


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The classes as pytrees, with names under which torch serializes them."""
    torch.export.register_dataclass(Batch, serialized_type_name=f"{OWN}.Batch")
    pytree._register_namedtuple(Pair, serialized_type_name=f"{OWN}.Pair")
    pytree.register_pytree_node(
        Cache,
        lambda one: ([one.keys], one.layers),
        lambda children, layers: Cache(*children, layers),
        serialized_type_name=f"{OWN}.Cache",
        flatten_with_keys_fn=lambda one: ([(pytree.GetAttrKey("keys"), one.keys)], one.layers),
        to_dumpable_context=lambda layers: layers,
        from_dumpable_context=lambda layers: layers,
    )
    yield
    for one in (Batch, Pair, Cache):
        pytree._deregister_pytree_node(one)
        pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.pop(f"{OWN}.{one.__name__}", None)


class Total(torch.nn.Module):
    """The sum of all tensors that it is given, however they come."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        return sum(one.sum() for one in found)


class Named(torch.nn.Module):
    def forward(self, x: Any, options: Any = None, *, key: Any = None) -> Any:
        return {"x": x + 1, "key": (x if key is None else key, [x * 2])}


class ByMode(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return {Mode.FAST: x + 1}


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("scratch", torch.ones(4), persistent=False)
        self.constant = torch.arange(4.0)

    def forward(self, x: Any) -> Any:
        self.count.add_(1)
        return torch.nn.functional.gelu(self.norm(self.linear(x)) * self.scratch + self.constant, approximate="tanh")


class Branches(torch.nn.Module):
    def forward(self, x: Any, n: Any) -> Any:
        x = torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))
        return torch.ops.higher_order.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2), (n, x), ())


class Sizes(torch.nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        n = y.max().item()
        torch._check(n > 0)
        torch._check(n < 9)
        return x.view(-1, x.shape[1] // 2).flip(0)[: x.shape[0] - 1], torch.ones(n)


class OfClass(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(Scaled(torch.ones(4)), requires_grad=False)

    def forward(self, x: Any) -> Any:
        return x * self.weight


class Quantized(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("packed", torch.ones(4, 4, dtype=torch.int8))
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x: Any) -> Any:
        return x @ (self.packed.to(x.dtype) * self.scale)


SIZES = {"x": {0: torch.export.Dim("rows", min=3, max=64), 1: 2 * torch.export.Dim("half", min=2, max=8)}, "y": None}
DYNAMIC = {"dynamic_shapes": SIZES}
EXPORTS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    "tensors": (Total(), (ONE, ONE), {}, {}),
    "no tensors": (Named(), (ONE, None), {}, {}),
    "lists and tuples": (Total(), ([ONE, (ONE, [ONE])], ()), {}, {}),
    "dictionaries": (Total(), ({"a": ONE, "b c": {"d": ONE}, 3: ONE},), {}, {}),
    "an ordered dictionary": (Total(), (collections.OrderedDict(a=ONE, b=ONE),), {}, {}),
    "a dictionary with a default": (Total(), (collections.defaultdict(list, a=[ONE]),), {}, {}),
    "a deque": (Total(), (collections.deque([ONE, ONE]),), {}, {}),
    "keywords": (Named(), (ONE,), {"key": ONE}, {}),
    "numbers and words": (Named(), (ONE, {"mode": "fast path", "eps": 1e-5, "n": 3, "on": True, "off": None}), {}, {}),
    "words of other languages": (Named(), (ONE, {"größe": "naïve ✓ 日本語"}), {}, {}),
    "half precision": (Total(), (ONE.bfloat16(), ONE.half(), ONE.to(torch.float8_e4m3fn).float()), {}, {}),
    "complex numbers": (Total(), (ONE.to(torch.complex64),), {}, {}),
    "state": (Layers(), (ONE,), {}, {}),
    "state in strict mode": (Layers().eval(), (ONE,), {}, {"strict": True}),
    "a submodule's call": (torch.nn.Sequential(Layers()), (ONE,), {}, {"preserve_module_call_signature": ("0",)}),
    "branches and loops": (Branches(), (ONE, torch.tensor(0)), {}, {}),
    "symbolic sizes": (Sizes(), (ONE, torch.tensor([2, 3])), {}, DYNAMIC),
    "quantized weights": (Quantized(), (ONE,), {}, {}),
    "a dataclass": (Total(), (Batch(ONE, ONE),), {}, {}),
    "a named tuple": (Total(), (Pair(ONE, ONE),), {}, {}),
    "a cache": (Total(), (Cache(ONE),), {}, {}),
    "a member of an enumeration": (ByMode(), (ONE,), {}, {}),
    "weights of a class": (OfClass(), (ONE,), {}, {}),
}
FOREIGN = {
    "a dataclass": ["Batch"],
    "a named tuple": ["Pair"],
    "a cache": ["Cache"],
    "a member of an enumeration": ["Mode"],
    "weights of a class": ["Scaled"],
}
"""Where torch makes objects of one's own classes: it runs their code."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The artifact of an export, and that torch loads it again."""
    folder = tmp_path_factory.mktemp("exports")

    def make(name):
        model, args, kwargs, options = EXPORTS[name]
        path = folder / f"{name}.pt2"
        torch.export.save(torch.export.export(model, args, kwargs, **options), path)
        logging.disable()  # torch says that it unpickles without restraint, and cannot say it
        torch.export.load(path)
        logging.disable(logging.NOTSET)
        return path

    return make


def code(path, **options):
    return [one for one in lint(path, **options).diagnostics if one.code in ("GL001", "GL003")]


@pytest.mark.parametrize("name", EXPORTS)
def test_no_false_alarm(exported, name):
    path = exported(name)
    found = code(path)
    own = {f"{OWN}.{one}" for one in FOREIGN.get(name, ())}
    assert {one.message.rpartition(" ")[2].strip('"').replace(":", ".") for one in found} == own
    advice = {one.fix.message.rpartition("write ")[2] for one in found}
    assert advice == {f'allow-globals = ["{one}"]' for one in own}
    assert code(path, allow_globals=sorted(own)) == []


def test_there_are_twenty():
    assert len(EXPORTS) - len(FOREIGN) >= 17
    assert len(EXPORTS) >= 20

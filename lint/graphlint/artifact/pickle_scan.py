"""What a pickled member would run if torch loaded it, found out without loading it.

torch unpickles sample inputs and old weights as mere data (``weights_only=True``) and, where that fails, without any
restraint; what its data-only unpickler (``torch/_weights_only_unpickler.py``) admits is no code, all else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from graphlint.artifact.container import Container, folded
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.pickle_machine import LEAST_BYTES, Dict, Followed, follow
from graphlint.artifact.source import ByteSource

_ALLOWED: Final = {
    "_codecs": "encode",  # bytes, in protocol 2
    "builtins": "bytearray complex set",
    "__builtin__": "bytearray complex set",  # their names in protocol 2
    "collections": "Counter OrderedDict",
    "torch": """
        BFloat16Storage BFloat16Tensor BoolStorage BoolTensor ByteStorage ByteTensor CharStorage CharTensor
        ComplexDoubleStorage ComplexFloatStorage DoubleStorage DoubleTensor FloatStorage FloatTensor HalfStorage
        HalfTensor IntStorage IntTensor LongStorage LongTensor QInt32Storage QInt8Storage QUInt2x4Storage
        QUInt4x2Storage QUInt8Storage ShortStorage ShortTensor Size Tensor bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8
        bool complex128 complex32 complex64 device float16 float32 float4_e2m1fn_x2 float64 float8_e4m3fn
        float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 int32 int4 int5 int6 int64 int7
        int8 per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine
        per_tensor_symmetric qint32 qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6
        uint64 uint7 uint8""",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch._utils": """
        _rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage
        _rebuild_nested_tensor _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor
        _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_wrapper_subclass""",
    "torch.cuda": """
        BFloat16Storage BFloat16Tensor BoolStorage BoolTensor ByteStorage ByteTensor CharStorage CharTensor
        ComplexDoubleStorage ComplexFloatStorage DoubleStorage DoubleTensor FloatStorage FloatTensor HalfStorage
        HalfTensor IntStorage IntTensor LongStorage LongTensor ShortStorage ShortTensor""",
    "torch.cuda.sparse": """
        BFloat16Tensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor""",
    "torch.nn.parameter": "Parameter",
    "torch.serialization": "_get_layout",
    "torch.sparse": """
        BFloat16Tensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor""",
    "torch.storage": "TypedStorage UntypedStorage",
}
ALLOWED: Final = frozenset(f"{module}.{name}" for module, names in _ALLOWED.items() for name in names.split())
"""The names that torch 2.13's data-only unpickler admits (``_get_allowed_globals``); a test compares the two."""

_CONTAINERS: Final = frozenset({"collections.defaultdict", "collections.deque"})
"""What torch unpickles without restraint only, but is no code either."""
_FACTORIES: Final = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("bool", "dict", "float", "frozenset", "int", "list", "set", "tuple")
)
"""What a ``defaultdict`` may call; here they may be looked up, no more."""

_MAGIC: Final = (0x1950A86A20F9469CFC6C, 1001)
"""What the first two pickles of torch.save's old format hold: a magic number and a version."""
_OLD_FORMAT: Final = 5
"""Pickles in that format: these two, the system's properties, the object, and the keys of its storages."""

_MOST_NAMES: Final = 20
"""How many names are told of one pickle."""
_LONGEST_NAME: Final = 200
"""How much of a name is told."""


class Budget:
    """How much is left of what is followed of an artifact's pickles, all of them together."""

    FACTOR: Final = 4
    """How many times the limit of one pickle they may have."""
    EACH: Final = 512
    """Bytes that each member counts for besides what is read of it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._left = self.FACTOR * limits.pickle_bytes

    def spend(self, size: int) -> None:
        """Raises ArtifactError where nothing is left; what is the last to fit in part is followed whole."""
        if self._left < 0:
            raise ArtifactError(
                f"the pickles are larger than {self.FACTOR} times {self.limits.pickle_bytes} bytes together: "
                + raise_it("pickle-bytes")
            )
        self._left -= size

    def follow(self, pickle: bytes, start: int = 0) -> Followed:
        """Follows a pickle (of torch.save's old format, the one at ``start``), and counts it."""
        self.spend(0)
        followed = follow(pickle, start)
        # Opcodes take the time. Those that are shorter than what torch writes count as if they were not.
        self.spend(max(followed.end - start, LEAST_BYTES * followed.opcodes))
        return followed


def pickle_code(pickle: bytes, budget: Budget) -> list[str]:
    """What loading a pickle runs beyond making tensors and containers, as phrases (``calls os.system``).

    Raises ArtifactError where nothing is left of the budget, as do the others.
    """
    return _code(budget.follow(pickle))


def saved_code(saved: ByteSource, budget: Budget) -> list[str]:
    """The same of what ``torch.load`` takes; of a zip archive only the directory and ``data.pkl`` are read."""
    return _saved_code(saved, budget, _code)


def inputs_code(saved: ByteSource, budget: Budget) -> list[str]:
    """The same of sample inputs. torch makes guards of the keys of their dicts (``torch/export/_unlift.py``): those may
    have no quotes in them.
    """
    return _saved_code(saved, budget, _code_of_inputs)


_Told = Callable[[Followed], list[str]]


def _saved_code(saved: ByteSource, budget: Budget, told: _Told) -> list[str]:
    if not saved.size:
        return []  # torch takes this for no sample inputs
    if saved.read_at(0, 4) == b"PK\3\4":
        return list(_archive_code(saved, budget, told))
    return list(_old_format_code(saved.read_at(0, budget.limits.pickle_bytes), saved.size, budget, told))


def archive_code(saved: ByteSource, budget: Budget) -> list[str]:
    """The same of what torch takes for an archive however it begins: of a script object."""
    return list(_archive_code(saved, budget, _code))


def _archive_code(saved: ByteSource, budget: Budget, told: _Told) -> Iterator[str]:
    limits = budget.limits
    try:
        with Container(saved, limits) as container:
            budget.spend(container.end.directory_size)
            root = folded(next(iter(container.members), "").partition("/")[0])
            by_name: dict[bytes, list[str]] = {}
            for name in container.members:
                by_name.setdefault(folded(name), []).append(name)
            if root + b"/constants.pkl" in by_name:
                yield "is a TorchScript archive, whose code torch loads"
            found = dict.fromkeys(
                phrase
                for name in by_name.get(root + b"/data.pkl", ())
                for phrase in told(budget.follow(container.read(name, limits.pickle_bytes, "pickle-bytes")))
            )
            yield from found
    except ArtifactError as error:
        yield f"cannot be looked into, so that what it runs is not known: {error}"


def _old_format_code(saved: bytes, size: int, budget: Budget, told: _Told) -> Iterator[str]:
    """Of one pickle after the other, as far as torch reads them; ``saved`` is the start of so many bytes."""
    found: dict[str, None] = {}
    position = 0
    for number in range(_OLD_FORMAT):
        if number and position == size:
            break
        followed = budget.follow(saved, position)
        found.update(dict.fromkeys(told(followed)))
        position = followed.end
        if followed.defect is not None or (number < len(_MAGIC) and _differs(followed.value, _MAGIC[number])):
            break
    yield from found


def _differs(value: object, expected: int) -> bool:
    """Whether what a pickle gives is certainly not this number. Much is equal to a number without being one (floats,
    tensors), and numbers have spellings that are not followed.
    """
    return isinstance(value, (int, str, tuple, Dict)) and value != expected


def _code(followed: Followed) -> list[str]:
    names = [name for name, called in followed.names.items() if not _is_harmless(name, called=called)]
    found = [f"{'calls' if followed.names[name] else 'looks up'} {_shown(name)}" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        found.append(f"looks up {len(names) - _MOST_NAMES} more names")
    # What is done with things that have no name needs no line of its own where those come from such names, and leads to
    # no end of others.
    found = found or list(followed.acts[:1])
    if followed.defect is not None:
        found.append(f"cannot be followed to its end, so that what it runs is not known: {followed.defect}")
    return found


def _code_of_inputs(followed: Followed) -> list[str]:
    found = _code(followed)
    if not found and followed.quoted is not None:
        import json

        found.append(f"has an input named {json.dumps(_shown(followed.quoted))}")
    return found


def _is_harmless(name: str, *, called: bool) -> bool:
    return name in ALLOWED or name in _CONTAINERS or (name in _FACTORIES and not called)


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}… ({len(name)} characters)"

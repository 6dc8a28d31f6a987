"""What a pickled member would run if torch loaded it, found out without loading it.

torch unpickles sample inputs and old weights as mere data (``weights_only=True``) and, where that fails, without any
restraint; what its data-only unpickler (``torch/_weights_only_unpickler.py``) admits is no code, all else is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from graphlint.archive.container import Container, folded
from graphlint.archive.pickle_machine import Dict, Followed, follow
from graphlint.archive.source import ByteSource
from graphlint.errors import ArtifactError
from graphlint.limits import Limits

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

_MAGIC: Final = (0x1950A86A20F9469CFC6C, 1001)
"""What the first two pickles of torch.save's old format hold: a magic number and a version."""
_OLD_FORMAT: Final = 5
"""Pickles in that format: these two, the system's properties, the object, and the keys of its storages."""


def pickle_code(pickle: bytes) -> list[str]:
    """What loading a pickle runs beyond making tensors and containers, as phrases (``calls os.system``)."""
    return _code(follow(pickle))


def saved_code(saved: ByteSource, limits: Limits) -> list[str]:
    """The same of what ``torch.load`` takes; of a zip archive only the directory and ``data.pkl`` are read."""
    if not saved.size:
        return []  # torch takes this for no sample inputs
    if saved.read_at(0, 4) == b"PK\3\4":
        return archive_code(saved, limits)
    return list(_old_format_code(saved.read_at(0, limits.pickle_bytes), saved.size))


def archive_code(saved: ByteSource, limits: Limits) -> list[str]:
    """The same of what torch takes for an archive however it begins: of a script object."""
    return list(_archive_code(saved, limits))


def _archive_code(saved: ByteSource, limits: Limits) -> Iterator[str]:
    try:
        with Container(saved, limits) as container:
            root = folded(next(iter(container.members), "").partition("/")[0])
            by_name: dict[bytes, list[str]] = {}
            for name in container.members:
                by_name.setdefault(folded(name), []).append(name)
            if root + b"/constants.pkl" in by_name:
                yield "is a TorchScript archive, whose code torch loads"
            found = dict.fromkeys(
                phrase
                for name in by_name.get(root + b"/data.pkl", ())
                for phrase in pickle_code(container.read(name, limits.pickle_bytes, "pickle-bytes"))
            )
            yield from found
    except ArtifactError as error:
        yield f"cannot be looked into, so that what it runs is not known: {error}"


def _old_format_code(saved: bytes, size: int) -> Iterator[str]:
    """Of one pickle after the other, as far as torch reads them; ``saved`` is the start of so many bytes."""
    found: dict[str, None] = {}
    position = 0
    for number in range(_OLD_FORMAT):
        if number and position == size:
            break
        followed = follow(saved, position)
        found.update(dict.fromkeys(_code(followed)))
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
    found = [
        f"{'calls' if called else 'looks up'} {name}" for name, called in followed.names.items() if name not in ALLOWED
    ]
    # What is done with things that have no name needs no line of its own where those come from such names, and leads to
    # no end of others.
    found = found or list(followed.acts[:1])
    if followed.defect is not None:
        found.append(f"cannot be followed to its end, so that what it runs is not known: {followed.defect}")
    return found

"""What a pickle would run if it were loaded, found out without loading it.

A pickle is a program for a stack machine that may import any name and call it. It is *followed* here, opcode by
opcode: it may name what is in :data:`VALUES` and :data:`CALLABLE`, call the latter, and nothing else. That is a part
of what torch's own ``weights_only`` loader admits (``torch/_weights_only_unpickler.py``) and all that
``torch.export.save`` writes of plain tensors and containers, in the artifacts of torch 2.1 to 2.15.
"""

from __future__ import annotations

import pickletools
from typing import Final

from graphlint.archive.container import Container
from graphlint.archive.source import BytesSource
from graphlint.errors import ArtifactError

_DTYPES: Final = (
    "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex32 complex64 "
    "complex128 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu"
)
_STORAGES: Final = "Byte Char Short Int Long Half BFloat16 Float Double ComplexFloat ComplexDouble Bool"

VALUES: Final = frozenset(
    {f"torch {dtype}" for dtype in _DTYPES.split()}
    | {f"torch {storage}Storage" for storage in _STORAGES.split()}
    | {"torch.storage UntypedStorage", "torch.storage TypedStorage"}
)
"""Names that stand for a value: which dtype, which kind of storage."""

CALLABLE: Final = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_meta_tensor_no_storage",
        "_codecs encode",  # bytes, in protocol 2
        "builtins bytearray",
        "builtins complex",
        "builtins set",
        "__builtin__ bytearray",
        "__builtin__ complex",
        "__builtin__ set",
    }
)
"""Names that may be called: each makes a value of its arguments and does nothing else."""

_OPCODES: Final = {opcode.name: opcode for opcode in pickletools.opcodes}
_STRINGS: Final = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_CONSTRUCTORS: Final = frozenset({"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
_TORCHSCRIPT: Final = ("constants.pkl", "/code/")


class _Global(str):
    """A name that was looked up, ``module name``."""

    __slots__ = ()


class _RefusedError(Exception):
    """Loading the pickle would run something."""


_MARK: Final = object()
_DICT: Final = object()
_ORDERED_DICT: Final = object()


def saved_code(saved: bytes) -> str | None:
    """What loading a ``torch.save`` file runs beyond making tensors and containers, as a phrase; None if nothing.

    What cannot be followed counts as code: an old format, a damaged archive, a TorchScript archive (which
    ``torch.load`` takes, too).
    """
    if not saved:
        return None  # torch takes this for no sample inputs
    if not saved.startswith(b"PK"):
        return "is not in the format of torch.save"
    try:
        with Container(BytesSource(saved)) as container:
            names = [name.lower() for name in container.members]
            if len(set(names)) != len(names):
                return "holds members whose names differ in case only"
            if any(name.endswith(_TORCHSCRIPT[0]) or _TORCHSCRIPT[1] in name for name in names):
                return "is a TorchScript archive, whose code would run"
            pickles = [name for name in container.members if name.lower().endswith(".pkl")]
            if not pickles:
                return "is not in the format of torch.save"
            return next(filter(None, (pickle_code(container.read(name)) for name in pickles)), None)
    except ArtifactError as error:
        return f"cannot be looked into: {error}"


def pickle_code(pickle: bytes) -> str | None:
    """What loading a pickle runs beyond making tensors and containers, as a phrase; None if nothing."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            _follow(opcode.name, argument, stack, memo)
    except _RefusedError as refused:
        return str(refused)
    except (ValueError, IndexError, KeyError, UnicodeError) as error:
        return f"cannot be followed: {error}"
    return None


def _follow(name: str, argument: object, stack: list[object], memo: dict[int, object]) -> None:
    """Do to the stack what an opcode does, as far as names, strings and dicts go (None: anything else)."""
    if name == "GLOBAL":
        stack.append(_named(str(argument)))
    elif name == "STACK_GLOBAL":
        qualified, module = stack.pop(), stack.pop()
        if type(qualified) is not str or type(module) is not str:
            raise _RefusedError("names something that is worked out while it is loaded")
        stack.append(_named(f"{module} {qualified}"))
    elif name in _CONSTRUCTORS:
        raise _RefusedError(f"makes objects by {name}")
    elif name == "REDUCE":
        del stack[-1]
        stack.append(_called(stack.pop()))
    elif name == "BUILD":
        state = stack.pop()
        if stack[-1] is not _ORDERED_DICT or state is not _DICT:
            raise _RefusedError("sets the state of an object")
    elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
        memo[int(str(argument))] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in {"GET", "BINGET", "LONG_BINGET"}:
        stack.append(memo[int(str(argument))])
    elif name in _STRINGS:
        stack.append(str(argument))
    elif name == "EMPTY_DICT":
        stack.append(_DICT)
    elif name == "MARK":
        stack.append(_MARK)
    elif name in {"SETITEM", "APPEND"}:
        del stack[-2 if name == "SETITEM" else -1 :]
    elif name in {"SETITEMS", "APPENDS", "ADDITEMS"}:
        del stack[_last_mark(stack) :]
    else:
        _follow_any(name, stack)


def _follow_any(name: str, stack: list[object]) -> None:
    """Pop and push what Python's description of the opcode says."""
    opcode = _OPCODES[name]
    if pickletools.markobject in opcode.stack_before:
        del stack[_last_mark(stack) :]
    else:
        for _ in opcode.stack_before:
            stack.pop()
    stack.extend(None for _ in opcode.stack_after)


def _named(name: str) -> _Global:
    if name not in VALUES and name not in CALLABLE:
        raise _RefusedError(f"names {name.replace(' ', '.')}")
    return _Global(name)


def _called(function: object) -> object:
    if not isinstance(function, _Global):
        raise _RefusedError("calls something that is worked out while it is loaded")
    if function not in CALLABLE:
        raise _RefusedError(f"calls {function.replace(' ', '.')}")
    return _ORDERED_DICT if function == "collections OrderedDict" else None


def _last_mark(stack: list[object]) -> int:
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] is _MARK:
            return index
    raise ValueError("a group has no beginning")

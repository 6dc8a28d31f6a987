"""Pickles that run something when they are loaded: each makes the folder that it is told to."""

from __future__ import annotations

import importlib
import io
import operator
import os
import pickle
import struct
import zipfile
from collections.abc import Callable

OS = os.mkdir.__module__
MKDIR = f"{OS}.mkdir"


class Runs:
    """What is pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


def text(value: str) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def short(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes((len(value),)) + value.encode()


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def made(folder: str) -> bytes:
    """The call itself, as opcodes."""
    return name(OS, "mkdir") + text(folder) + b"\x85R"


CALL = "__import__(str().join([chr(111),chr(115)])).mkdir(str().join([chr(114),chr(97),chr(110)]))"
"""The same as source, without quotes and without letters between them: makes the folder ``ran``."""
MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
"""What torch.save's old format begins with: two pickles."""


def small(*numbers: int) -> bytes:
    """BININT1, each."""
    return b"".join(b"K" + bytes((number,)) for number in numbers)


def global_storage(key: str, size: int) -> bytes:
    """A storage of floats."""
    identity = text("storage") + name("torch", "FloatStorage") + text(key) + text("cpu") + small(size)
    return b"(" + identity + b"tQ"


def tensor(key: str = "0") -> bytes:
    """A tensor of 3x4 floats."""
    shape = b"(" + small(3, 4) + b"t(" + small(4, 1) + b"t\x89" + name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + global_storage(key, 12) + small(0) + shape + b"tR"


def in_module(kind: bytes, source: str | None) -> bytes:
    """What the old format has of a module: the class itself, the file of its source and the source."""
    told = b"NN" if source is None else text("module.py") + text(source)
    return b"(" + text("module") + kind + told + b"tQ"


def sample(value: bytes) -> bytes:
    """Sample inputs with one positional input, as torch.save saves them."""
    return saved({"data.pkl": b"\x80\x02" + value + b"\x85}\x86.", "data/0": bytes(48), "data/1": bytes(4)})


# What to call the attack: the pickle for a folder, and what is to be found.
ATTACKS: dict[str, tuple[Callable[[str], bytes], list[str]]] = {
    **{
        f"reduce, protocol {protocol}": (
            lambda folder, protocol=protocol: pickle.dumps({"x": (1, [Runs(os.mkdir, folder)])}, protocol),
            [f"calls {MKDIR}"],
        )
        for protocol in range(6)
    },
    "INST": (lambda folder: f"(S'{folder}'\ni{OS}\nmkdir\n.".encode(), [f"calls {MKDIR}"]),
    "OBJ": (lambda folder: b"(" + name(OS, "mkdir") + text(folder) + b"o.", [f"calls {MKDIR}"]),
    "thrown away": (lambda folder: b"\x80\x02" + made(folder) + b"0}.", [f"calls {MKDIR}"]),
    "in front of a defect": (
        lambda folder: b"\x80\x02" + made(folder) + b"\xff",
        [f"calls {MKDIR}", "has no opcode 0xff"],
    ),
    "in front of the end": (lambda folder: b"\x80\x02" + made(folder), [f"calls {MKDIR}", "ends in the middle"]),
    "a bytearray of false length follows": (
        lambda folder: b"\x80\x05" + made(folder) + b"\x96" + b"\xff" * 7 + b"\x7f.",
        [f"calls {MKDIR}", "ends in the middle"],
    ),
    "a frame of false length follows": (
        lambda folder: b"\x80\x04" + made(folder) + b"\x95" + b"\xff" * 7 + b"\x7fN.",
        [f"calls {MKDIR}", "ends in the middle"],
    ),
    "behind a short frame": (
        lambda folder: b"\x80\x04\x95" + struct.pack("<Q", 2) + b"N0" + made(folder) + b".",
        [f"calls {MKDIR}"],
    ),
    "across a frame": (
        # Python's C unpickler drops the first half of the line; read as it stands, it is a harmless name.
        lambda folder: (
            b"\x80\x04\x95"
            + struct.pack("<Q", 13)
            + b"c_codecs.xxxx"
            + f"{OS}\nmkdir\n".encode()
            + text(folder)
            + b"\x85R."
        ),
        ["across the end of a frame"],
    ),
    "names from the memo": (
        lambda folder: (
            b"\x80\x04"
            + short("collections")
            + b"q\0"
            + short(OS)
            + b"q\0"
            + short("mkdir")
            + b"\x94000h\0h\1\x93"
            + text(folder)
            + b"\x85R."
        ),
        [f"calls {MKDIR}"],
    ),
    "names that are strings of Python 2": (
        lambda folder: f"S'{OS}'\nS'mkdir'\n\x93S'{folder}'\n\x85R.".encode("latin-1"),
        [f"calls {MKDIR}"],
    ),
    "a name with escapes": (
        lambda folder: f"S'{OS}'\nS'mk\\x64ir'\n\x93S'{folder}'\n\x85R.".encode("latin-1"),
        ["looks up a name that it has worked out"],
    ),
    "a computed name": (
        # Nothing but what torch admits is named: rot13 makes "posix" and "mkdir" of these.
        lambda folder: (
            b"\x80\x04"
            + b"".join(
                name("_codecs", "encode") + text(word.translate(ROT13)) + text("rot13") + b"\x86R"
                for word in (OS, "mkdir")
            )
            + b"\x93"
            + text(folder)
            + b"\x85R."
        ),
        ["calls _codecs.encode in another way than to write bytes"],
    ),
    "a name with dots": (
        lambda folder: b"\x80\x04" + name("torch", "serialization.os.mkdir") + text(folder) + b"\x85R.",
        ["calls torch.serialization.os.mkdir"],
    ),
    "getattr": (
        lambda folder: (
            b"\x80\x02"
            + name("builtins", "getattr")
            + name("importlib", "import_module")
            + text(OS)
            + b"\x85R"
            + text("mkdir")
            + b"\x86R"
            + text(folder)
            + b"\x85R."
        ),
        ["calls builtins.getattr", "calls importlib.import_module"],
    ),
    "operator": (
        lambda folder: pickle.dumps(Runs(operator.methodcaller("mkdir", folder), Runs(importlib.import_module, OS)), 2),
        ["calls operator.methodcaller", "calls importlib.import_module"],
    ),
    "by a function that is admitted": (
        lambda folder: (
            b"\x80\x02"
            + name("torch._tensor", "_rebuild_from_type_v2")
            + b"("
            + name(OS, "mkdir")
            + name("torch", "Tensor")
            + text(folder)
            + b"\x85NtR."
        ),
        [f"looks up {MKDIR}"],
    ),
    "BUILD": (
        # functools.partial takes over the function that it is to call from its state.
        lambda folder: (
            b"\x80\x02"
            + name("functools", "partial")
            + name("builtins", "print")
            + b"\x85\x81("
            + name(OS, "mkdir")
            + text(folder)
            + b"\x85}Ntb)R."
        ),
        ["calls functools.partial", "looks up builtins.print", f"looks up {MKDIR}"],
    ),
    "an archive in a string": (
        lambda folder: (
            b"\x80\x02"
            + name("torch.storage", "_load_from_bytes")
            + in_bytes(saved({"data.pkl": b"\x80\x02" + made(folder) + b"."}))
            + b"\x85R."
        ),
        ["calls torch.storage._load_from_bytes"],
    ),
}

ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm"
)  # what is encoded twice is what it was


def in_bytes(content: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(content)) + content


def saved(members: dict[str, bytes], root: str = "archive") -> bytes:
    """A torch.save archive with these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in {**members, "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"{root}/{member}", content)
    return out.getvalue()

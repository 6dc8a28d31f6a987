"""Following a pickle shows what Python's own unpickler would look up, call and build, whatever the pickle does."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import random
import re
import struct
import time

import pytest

from graphlint.artifact.pickles import Dict, Followed, Storage, follow


def test_every_opcode_is_known():
    assert {ord(opcode.code) for opcode in pickletools.opcodes} == set(Followed.ACTIONS)


class Stub:
    """What names stand for while pickles are really loaded: it can be called, built and filled, and does nothing."""

    def __new__(cls, *_, **__):
        return object.__new__(cls)

    def __init__(self, *arguments, **keywords):
        pass

    def __call__(self, *arguments, **keywords):
        return Stub()

    def __setstate__(self, state):
        pass

    def append(self, item):
        pass

    def extend(self, items):
        pass

    def __setitem__(self, key, value):
        pass

    def add(self, item):
        pass


class Recording(pickle.Unpickler):
    def __init__(self, data):
        super().__init__(io.BytesIO(data), fix_imports=False, encoding="utf-8")
        self.names = []

    def find_class(self, module, name):
        self.names.append(f"{module}.{name}")
        return Stub

    def persistent_load(self, identity):
        return Stub()


def looked_up(data):
    """The names that the C unpickler looks up, and whether it reaches the end."""
    unpickler = Recording(data)
    try:
        unpickler.load()
    except Exception:  # noqa: BLE001 - hooks of stubs, and whatever a broken pickle gives
        return unpickler.names, False
    return unpickler.names, True


class Kind:
    def __init__(self):
        self.state = {"a": 1}


class Arguments:
    def __getnewargs_ex__(self):
        return (1,), {"b": 2}


VALUES = [
    {"a": [1, (2, 3.5), {"b": None}], "c": {4, 5}, 6: b"x" * 300, "long": 1 << 200, "huge": -(1 << 3000)},
    collections.OrderedDict(a=Kind(), b=[Arguments(), Arguments()]),
    [len, print, pickle.Unpickler, (Kind, Arguments)],
    [complex(1, 2), bytearray(b"abc"), frozenset({1}), collections.Counter("aab"), range(3), slice(1)],
    "text" * 100,
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_follows_what_python_writes(value, protocol):
    data = pickle.dumps(value, protocol)
    followed = follow(data)
    assert (followed.defect, followed.end, followed.stack, followed.outer) == (None, len(data), [], [])
    assert list(followed.names) == list(dict.fromkeys(looked_up(data)[0]))
    assert pickletools.optimize(data) == data or follow(pickletools.optimize(data)).names == followed.names


def mutated(rng, data):
    """A pickle with some bytes changed, put in, taken out, or of another pickle."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(result) + 1)
        choice = rng.randrange(5)
        if choice == 0 and at < len(result):
            result[at] = rng.randrange(256)
        elif choice == 1:
            result[at:at] = rng.choice(FRAGMENTS)
        elif choice == 2:
            del result[at : at + rng.choice([1, 1, 3, 20])]
        elif choice == 3:
            other = rng.choice(SEEDS)
            start = rng.randrange(len(other))
            result[at:at] = other[start : start + rng.randrange(1, 30)]
        else:
            end = min(len(result), at + rng.randrange(1, 20))
            result[at:at] = result[at:end]
    return bytes(result)


FRAGMENTS = [
    *(bytes((number,)) for number in sorted(Followed.ACTIONS) if number != ord("r")),
    b"cos\nsystem\n",
    b"\x8c\x02os\x8c\x06system\x93",
    b"S'os'\nS'system'\n\x93",
    b"Vos\nVsystem\n\x93",
    b"U\x02osU\x02qt\x93",
    b"(ios\nsystem\n",
    b"(cos\nsystem\nNo",
    b"cos\nsystem\n)R",
    b"cos\nsystem\n)\x81",
    b"cos\nsystem\n)}\x92",
    b"}b",
    b"0",
    b"1",
    b"\x94",
    b"q\x07",
    b"h\x07",
    b"p7\n",
    b"g7\n",
    b"2",
    b"\x95\xff\0\0\0\0\0\0\0",
    b"\x95\x01\0\0\0\0\0\0\0",
    b"\x80\x04",
    b"\x80\x02",
    b"(((",
    b"t",
    b"\x85\x86\x87",
    b"\x96\x04\0\0\0\0\0\0\0os\n.",
    b"L12L\n",
    b"I01\n",
    b"F1.5\n",
    b"N.",
    b"P1\n",
    b"K\x01Q",
]
PLAIN = [{"a": [1, 2, (3, "os")]}, ["os", "system", {"k": ("os", "system")}], [len, ("system",)], {"os": {"x": abs}}]
# No byte "r" (LONG_BINPUT) anywhere: the C unpickler would make room for two thousand million memos, if told to.
SEEDS = [data for value in PLAIN for protocol in range(6) if b"r" not in (data := pickle.dumps(value, protocol))]


def test_no_name_is_missed_in_mutated_pickles():
    """What the C unpickler looks up before it stops or fails, is always found, however broken the pickle is."""
    rng = random.Random(7)
    reached = across = 0
    for _ in range(20_000):
        data = mutated(rng, rng.choice(SEEDS))
        if b"r" in data or re.search(rb"p\d{6}", data):
            continue
        names, ended = looked_up(data)
        followed = follow(data)
        if followed.defect is not None and "which unpicklers do differently" in followed.defect:
            across += 1
            continue
        assert set(names) <= set(followed.names), data
        if ended:
            reached += 1
            assert followed.defect is None, data
    assert reached > 2000
    assert 0 < across < 1500


def test_what_is_built():
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x0050X\x03\0\0\0cpuK\x02tQ".replace(
        b"\x0050", b"\x005"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0))\x89NtR"
    followed = follow(b"\x80\x02}(X\x01\0\0\0a" + tensor + b"X\x01\0\0\0bK\x07u.")
    assert followed.names == {"torch.FloatStorage": False, "torch._utils._rebuild_tensor_v2": True}
    assert isinstance(followed.value, Dict)
    assert isinstance(followed.value.items["a"], Storage)
    assert (followed.value.items["a"].key, followed.value.items["b"]) == ("5", 7)


ACROSS = "it reads across the end of a frame, which unpicklers do differently"


@pytest.mark.parametrize(
    ("data", "defect"),
    [
        (b"", "it ends in the middle (byte 0)"),
        (b"\x80", "it ends in the middle (byte 1)"),
        (b"\x80\x02X\xff\xff\xff\xffab", "it ends in the middle (byte 7)"),
        (b"\x8d" + b"\xff" * 8, "it ends in the middle (byte 9)"),
        (b"\x96" + struct.pack("<Q", 1 << 62) + b"N.", "it ends in the middle (byte 9)"),
        (b"T\xff\xff\xff\xffab.", "it has a negative length (byte 5)"),
        (b"\xff", "it has no opcode 0xff (byte 1)"),
        (b"h\x05.", "it refers to something that is not there (byte 1)"),
        (b"g99999999999999999999999999999999999999999999\n.", "it refers to something that is not there (byte 46)"),
        (b"s.", "it takes something that is not there (byte 1)"),
        (b"(NR.", "it takes something that is not there (byte 3)"),
        (b"gx\n.", "it has a malformed number or string (byte 3)"),
        (b"cos\nsystem", "it ends in the middle (byte 4)"),
        (b"\x95\x09" + bytes(7) + b"N.", "it ends in the middle (byte 9)"),
        (b"\x97.", "it refers to a buffer outside (byte 1)"),
    ],
)  # fmt: skip
def test_broken_pickles(data, defect):
    assert looked_up(data)[1] is False
    assert follow(data).defect == defect


@pytest.mark.parametrize(
    ("length", "framed", "in_c", "position"),
    [
        (2, b"cos\nsystem\n.", ["s.system"], 10),
        (5, b"cos\nsystem\n.", ["os.ystem"], 13),
        (3, b"\x8c\x02os\x8c\x02osN.", [], 11),
        (2, b"J\1\0\0\0N.", [], 10),
        (10, b"\x95\x02" + bytes(7) + b"N.", [], 18),
    ],
    ids=["module", "name", "string", "number", "frame"],
)
def test_what_unpicklers_read_differently_is_followed_no_further(length, framed, in_c, position):
    """At the end of a frame, the C unpickler forgets what it has read of a line, and goes on behind the frame."""
    data = b"\x95" + struct.pack("<Q", length) + framed
    assert looked_up(data)[0] == in_c
    assert (follow(data).defect, follow(data).names) == (f"{ACROSS} (byte {position})", {})


def test_frames_in_frames():
    data = b"\x95\x0b" + bytes(7) + b"\x95\x02" + bytes(7) + b"N."
    assert looked_up(data) == ([], True)
    assert follow(data).defect is None


def test_too_many_opcodes():
    start = time.process_time()
    followed = follow(b"N0" * 3_000_000 + b"N.")
    assert followed.defect == "it has more than 2000000 opcodes (byte 2000000)"
    assert time.process_time() - start < 20


BOMBS = {
    "a million tuples in each other": b"N" + b"\x85" * 1_000_000 + b".",
    "a million marks": b"(" * 1_000_000 + b"N.",
    "doubled forty times": b"]" + b"2\x86" * 40 + b".",
    "doubled forty times by the memo": b"]q\0" + b"h\0h\0\x86q\0" * 40 + b".",
    "a million memos": b"N" + b"\x94" * 1_000_000 + b".",
    "a memo of great number": b"Nr\xff\xff\xff\xff.",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a long number of a million bytes": b"\x8b" + struct.pack("<i", 1_000_000) + b"\xff" * 1_000_000 + b".",
    "marks and dicts in turn": b"(d" * 400_000 + b".",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_go_off_nowhere(bomb):
    start = time.process_time()
    assert follow(bomb).defect is None
    assert time.process_time() - start < 20

"""What a pickle builds, and what loading it would run: found out by following its opcodes, never by loading it.

A pickle is a program for a stack machine that may import any name and call it. Here each opcode does to a stack of
stand-ins what Python's C unpickler (``Modules/_pickle.c``, which torch uses) does to a stack of objects. Where that one
is lenient, so is this one: protocols don't matter, and what stands in front of a defect counts, since it would have run
by then. Where unpicklers differ, the pickle can't be followed: what reaches over the end of a frame is read in part by
Python's C unpickler, and not at all by its other one.

torch unpickles sample inputs and old weights as mere data (``weights_only=True``) and, where that fails, without any
restraint; what its data-only unpickler (``torch/_weights_only_unpickler.py``) admits is no code, all else is.
"""

# pickletools is not used: loading it takes longer than following the pickles of a common artifact, and where it is
# stricter than the C unpickler (spellings of numbers, encodings, escapes) it would lose sight of what runs behind.

import os
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeGuard

from graphlint.artifact.container import Container, folded
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.source import ByteSource

ORDERED_DICT: Final = "collections.OrderedDict"
ENCODE: Final = "_codecs.encode"
REBUILD: Final = "torch._utils._rebuild_"
LONGEST_NUMBER: Final = 40
"""Digits, or bytes, of a number whose value is kept: far more than a magic number has, far less than takes time."""
MOST_OPCODES: Final = 2_000_000
LEAST_BYTES: Final = 4
"""How many opcodes are followed at least, and bytes to each on average in larger pickles. torch writes 6 to 8."""


class Name(str):
    """A global that was looked up: ``module.name``."""

    __slots__ = ()


class Dict:
    """A dict or OrderedDict: its items that have a string as their key."""

    __slots__ = ("items", "ordered")

    def __init__(self, items: Sequence[object] = (), *, ordered: bool = False) -> None:
        self.items: dict[str, object] = {}
        self.ordered = ordered
        self.add(items)

    def add(self, items: Sequence[object]) -> None:
        """Keys and values in turn."""
        for key, value in zip(items[::2], items[1::2], strict=False):
            if type(key) is str:
                self.items[key] = value


class Storage:
    """A storage of tensor data (``data/<key>``), or a tensor or parameter that shows it."""

    __slots__ = ("key", "part")

    def __init__(self, key: str, part: "tuple[int, tuple[int, ...], tuple[int, ...]] | None" = None) -> None:
        self.key = key
        self.part = part
        """What a tensor shows of it: offset, sizes and strides in elements; None for the storage itself, and where that
        is not known."""

    def shown(self, arguments: Sequence[object]) -> "Storage":
        """What rebuilding a tensor of this storage gives, or a parameter of this tensor."""
        if self.part is None and len(arguments) > 2:
            offset, sizes, strides = arguments[:3]
            if isinstance(offset, int) and _are_numbers(sizes) and _are_numbers(strides) and len(sizes) == len(strides):
                return Storage(self.key, (offset, sizes, strides))
        return self


def _are_numbers(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and all(type(one) is int for one in value)


MADE: Final = object()
"""What calling a name has given."""


class DefectError(Exception):
    """The pickle can't be followed any further."""


def _nothing(_: object) -> None:
    """What lists, sets, truth values and None are followed as; they do not matter."""


def _long(content: bytes) -> int | None:
    return int.from_bytes(content, "little", signed=True) if len(content) <= LONGEST_NUMBER else None


class Followed:
    """A pickle, from ``start`` up to where it was followed. What follows a mark is a stack of its own, as in C."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self.data = data
        self.end = start
        """The offset behind the last opcode that was read."""
        self.stack: list[object] = []
        self.outer: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.names: dict[str, bool] = {}
        """Every global that loading looks up, in order, and whether it is called."""
        self.acts: dict[str, None] = {}
        """What loading does to or with things that have no name, as phrases (``calls what it has worked out``)."""
        self.storages: set[str] = set()
        """The keys of the storages that it refers to."""
        self.quoted: str | None = None
        """The first of the pickle's strings (and of its bytes) that has, or may have, a quote in it."""
        self.frame: int | None = None
        """Where the length of the last frame stands (protocol 4 and up)."""
        self.frame_end = 0
        self.stopped = False
        self.value: object = None
        """What loading gives: a Dict, Storage, MADE or Name; a string, a number of common size, a tuple; None for
        anything else, and where the end was not reached."""
        self.defect: str | None = None
        """Why the pickle could not be followed to its end."""
        self.opcodes = 0
        """How many were followed."""
        self.most = max(MOST_OPCODES, len(data) // LEAST_BYTES)

    @property
    def alone(self) -> bool:
        """Whether nothing else was left on the stack."""
        return not self.stack and not self.outer

    def step(self) -> None:
        """Follows one opcode. Raises DefectError, IndexError, KeyError or ValueError where that cannot be done."""
        if self.opcodes == self.most:
            raise DefectError(f"it has more than {self.most} opcodes")
        opcode = self.data[self.end]
        self.end += 1
        self.opcodes += 1
        action = self.ACTIONS.get(opcode)
        if action is None:
            raise DefectError(f"it has no opcode {opcode:#04x}")
        value = action(self)  # which may put another stack in place
        if opcode not in self.SILENT:
            self.stack.append(value)

    def take(self, length: int) -> bytes:
        """The next bytes, all of them."""
        start = self.end
        if length < 0:
            raise DefectError("it has a negative length")
        self.end = self.reach(start + length)
        return self.data[start : self.end]

    def line(self) -> bytes:
        """The next bytes up to a line feed."""
        start = self.end
        self.end = self.reach(self.data.find(b"\n", start) + 1 or len(self.data) + 1)
        return self.data[start : self.end - 1]

    def counted(self, size: int, *, signed: bool = False) -> bytes:
        """The next bytes, as many as a number in front of them says."""
        return self.take(self.number(size, signed=signed))

    def number(self, size: int, *, signed: bool = False) -> int:
        """The next bytes as an integer."""
        start, self.end = self.end, self.reach(self.end + size)
        return int.from_bytes(self.data[start : self.end], "little", signed=signed)

    def reach(self, end: int) -> int:
        """``end``, if what begins here may reach there."""
        if end > len(self.data):
            raise DefectError("it ends in the middle")
        if self.end < self.frame_end < end:
            raise DefectError("it reads across the end of a frame, which unpicklers do differently")
        return end

    def marked(self) -> list[object]:
        """What follows the last mark, which is taken away with it."""
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def text(self, content: bytes, errors: str = "surrogatepass", encoding: str = "utf-8") -> str:
        """A string in the pickle."""
        text = content.decode(encoding, errors)
        if self.quoted is None and ('"' in text or "'" in text):
            self.quoted = text
        return text

    def look_up(self, name: str) -> Name:
        self.names.setdefault(name, False)
        return Name(name)

    def call(self, function: object, arguments: object) -> object:
        """The result of a call."""
        if not isinstance(function, Name):
            self.acts["calls what it has worked out while it is loaded"] = None
            return None
        self.names[function] = True
        if function == ENCODE and not (isinstance(arguments, tuple) and arguments[1:] == ("latin1",)):
            self.quoted = self.quoted or str(arguments)  # what another encoding gives is not worked out
        if function == ORDERED_DICT:
            return Dict(ordered=True)
        # Tensors and parameters are rebuilt from their storage, which comes first among the arguments.
        first = arguments[0] if isinstance(arguments, tuple) and arguments else None
        if isinstance(first, Storage) and isinstance(arguments, tuple) and function.startswith(REBUILD):
            return first.shown(arguments[1:])
        return MADE

    def _decimal(self) -> int | None:
        """A number as a line of text. What C takes for more than plain digits (signs, underscores, a prefix for the
        base, of which a zero in front is one) is a number that is not known.
        """
        text = self.line().rstrip(b"L")
        plain = len(text) <= LONGEST_NUMBER and text.isdigit() and not text.startswith(b"0")
        return int(text) if plain else None

    def _quoted(self) -> str | None:
        text = self.line().strip()
        if len(text) >= 2 and text[:1] == text[-1:] and text[:1] in b"\"'" and b"\\" not in text:
            return self.text(text[1:-1], "surrogateescape")
        self.text(text, encoding="latin1")
        return None  # what it says is not worked out

    def _index(self) -> int:
        text = self.line().partition(b"\0")[0]  # as in C, where a string ends there
        if len(text) > LONGEST_NUMBER:
            raise KeyError
        return int(text)

    def _short_get(self) -> object:
        value = self.memo[self.data[self.end]]
        self.end += 1
        return value

    def _put(self, value: object, index: int) -> None:
        self.memo[index] = value

    def _global(self) -> Name:
        module, name = (self.line().decode("utf-8", "surrogateescape") for _ in range(2))
        return self.look_up(f"{module}.{name}")

    def _stack_global(self) -> Name | None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is str and type(module) is str:
            return self.look_up(f"{module}.{name}")
        self.acts["looks up a name that it has worked out while it is loaded"] = None
        return None

    def _short_tuple(self, length: int) -> tuple[object, ...]:
        items = tuple(self.stack[-length:])
        if len(items) < length:
            raise IndexError
        del self.stack[-length:]
        return items

    def _mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _add(self, items: Sequence[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, Dict):
            target.add(items)

    def _reduce(self) -> object:
        arguments, function = self.stack.pop(), self.stack.pop()
        return self.call(function, arguments)

    def _object(self) -> object:
        items = self.marked()
        return self.call(items[0], tuple(items[1:]))

    def _instance(self) -> object:
        items = self.marked()
        return self.call(self._global(), tuple(items))

    def _build(self) -> None:
        self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Name):
            self.acts[f"sets attributes of {target}"] = None
        elif not (target is MADE or isinstance(target, Storage) or (isinstance(target, Dict) and target.ordered)):
            self.acts["sets the state of what is neither a tensor nor an OrderedDict"] = None

    def _persistent(self) -> object:
        """``("storage", class, key, device, size)``: how torch.save refers to a storage."""
        identity = self.stack.pop()
        key = identity[2] if isinstance(identity, tuple) and len(identity) > 2 and identity[0] == "storage" else None
        if type(key) is not str:
            return MADE
        self.storages.add(key)
        return Storage(key)

    def _stop(self) -> None:
        if self.end < self.frame_end:
            # torch reads one pickle after the other: the next one in the frame, or behind it?
            raise DefectError("it ends before its frame does, which unpicklers do differently")
        self.value = self.stack.pop()
        self.stopped = True

    def _frame(self) -> None:
        self.frame = self.end
        length = self.number(8)
        self.frame_end = max(self.frame_end, self.reach(self.end + length))

    def _next_buffer(self) -> None:
        raise DefectError("it refers to a buffer outside")

    _BY_OPCODES: ClassVar[dict[bytes, Callable[["Followed"], object]]] = {
        b"N]\x88\x89\x8f\x98": _nothing,
        b"FP": lambda self: _nothing(self.line()),
        b"G": lambda self: _nothing(self.take(8)),
        b"l\x91": lambda self: _nothing(self.marked()),
        b"K": lambda self: self.number(1),
        b"M": lambda self: self.number(2),
        b"J": lambda self: self.number(4, signed=True),
        b"IL": _decimal,
        b"\x8a": lambda self: _long(self.counted(1)),
        b"\x8b": lambda self: _long(self.counted(4, signed=True)),
        b"B": lambda self: _nothing(self.text(self.counted(4), encoding="latin1")),
        b"C": lambda self: _nothing(self.text(self.counted(1), encoding="latin1")),
        b"\x8e\x96": lambda self: _nothing(self.text(self.counted(8), encoding="latin1")),
        b"\x8c": lambda self: self.text(self.counted(1)),
        b"X": lambda self: self.text(self.counted(4)),
        b"\x8d": lambda self: self.text(self.counted(8)),
        # Strings of Python 2, which torch has decoded as UTF-8.
        b"U": lambda self: self.text(self.counted(1), "surrogateescape"),
        b"T": lambda self: self.text(self.counted(4, signed=True), "surrogateescape"),
        b"V": lambda self: self.text(self.line(), "strict", "raw-unicode-escape"),
        b"S": _quoted,
        b")": lambda self: (),
        b"\x85": lambda self: (self.stack.pop(),),
        b"\x86": lambda self: self._short_tuple(2),
        b"\x87": lambda self: self._short_tuple(3),
        b"t": lambda self: tuple(self.marked()),
        b"}": lambda self: Dict(),
        b"d": lambda self: Dict(self.marked()),
        b"2": lambda self: self.stack[-1],
        b"h": _short_get,
        b"j": lambda self: self.memo[self.number(4)],
        b"g": lambda self: self.memo[self._index()],
        b"c": _global,
        b"\x93": _stack_global,
        # A number by which the loading process has registered a name (``copyreg.add_extension``).
        b"\x82": lambda self: self.look_up(f"copyreg extension {self.number(1)}"),
        b"\x83": lambda self: self.look_up(f"copyreg extension {self.number(2)}"),
        b"\x84": lambda self: self.look_up(f"copyreg extension {self.number(4, signed=True)}"),
        b"R\x81": _reduce,  # of a function, and NEWOBJ of a class
        b"\x92": lambda self: (self.stack.pop(), self._reduce())[1],  # with keywords
        b"o": _object,
        b"i": _instance,
        b"Q": _persistent,
        b"(": _mark,
        b"0": lambda self: self.stack.pop() if self.stack else self.marked(),
        b"1": marked,
        b"a": lambda self: (self.stack.pop(), self.stack[-1]),
        b"e\x90": lambda self: (self.marked(), self.stack[-1]),
        b"s": lambda self: self._add(self._short_tuple(2)),
        b"u": lambda self: self._add(self.marked()),
        b"q": lambda self: self._put(self.stack[-1], self.number(1)),
        b"r": lambda self: self._put(self.stack[-1], self.number(4)),
        b"p": lambda self: self._put(self.stack[-1], self._index()),
        b"\x94": lambda self: self._put(self.stack[-1], len(self.memo)),
        b"b": _build,
        b"\x80": lambda self: self.take(1),
        b"\x95": _frame,
        b"\x97": _next_buffer,
        b".": _stop,
    }
    """What opcodes do; ``pickletools`` has their names. The result goes on the stack, but for the silent ones."""
    ACTIONS: ClassVar = {opcode: action for opcodes, action in _BY_OPCODES.items() for opcode in opcodes}
    SILENT: ClassVar = frozenset(b"(01aesuqrp\x94b\x80\x90\x95\x97\x98.")


def follow(pickle: bytes, start: int = 0) -> Followed:
    """Follows the pickle that begins at ``start``, up to its STOP."""
    followed = Followed(pickle, start)
    try:
        while not followed.stopped:
            followed.step()
    except (DefectError, LookupError, ValueError) as error:
        defect = str(error)
        if isinstance(error, IndexError):
            defect = "it ends in the middle" if followed.end >= len(pickle) else "it takes something that is not there"
        elif isinstance(error, KeyError):
            defect = "it refers to something that is not there"
        elif isinstance(error, ValueError):
            defect = "it has a malformed number or string"
        followed.defect = f"{defect} (byte {followed.end})"
    return followed


def follow_dict(pickle: bytes, *, inputs: bool = False) -> tuple[Followed, Dict]:
    """The same of a pickle that builds one dict (or OrderedDict), of sample ``inputs`` a pair, the second of which is
    one. Raises ArtifactError when it is anything else.
    """
    followed = follow(pickle)
    if followed.defect is not None:
        raise ArtifactError(f"its pickle is damaged: {followed.defect}")
    if followed.end != len(pickle):
        raise ArtifactError("its pickle is followed by something else")
    value = followed.value
    if inputs and isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    if not followed.alone or not isinstance(value, Dict):
        raise ArtifactError("its pickle does not hold a dict")
    return followed, value


with open(os.path.join(os.path.dirname(__file__), "data_only.txt"), encoding="utf-8") as _names:
    ALLOWED: Final = frozenset(_names.read().split())
"""The names that torch 2.13's data-only unpickler admits (``_get_allowed_globals``), some of which have others in
protocol 2; a test compares the two."""

_CONTAINERS: Final = frozenset({"collections.defaultdict", "collections.deque"})
"""What torch unpickles without restraint only, but is no code either."""
_FACTORIES: Final = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("bool", "dict", "float", "frozenset", "int", "list", "set", "tuple")
)
"""What a ``defaultdict`` may call; here they may be looked up, no more."""

_OLD_FORMAT: Final = (0x1950A86A20F9469CFC6C, 1001, None, None, None)
"""What the pickles of torch.save's old format hold: a magic number, a version, and anything in the system's properties,
the object, and the keys of its storages."""

_MOST_NAMES: Final = 20
"""How many names are told of one pickle."""
_LONGEST_NAME: Final = 200
"""How much of a name is told."""


class Scan:
    """What loading an artifact's pickles runs beyond making tensors and containers, as phrases (``calls os.system``).

    All of them together may take so much work. Each method raises ArtifactError where nothing is left of that.
    """

    FACTOR: Final = 4
    """How many times the limit of one pickle they may have."""
    EACH: Final = 512
    """Bytes that each member counts for besides what is read of it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._left = self.FACTOR * limits.pickle_bytes

    def spend(self, size: int) -> None:
        """Counts some bytes of work; what is the last to fit in part is done whole."""
        if self._left < 0:
            raise ArtifactError(
                f"the pickles are larger than {self.FACTOR} times {self.limits.pickle_bytes} bytes together: "
                + raise_it("pickle-bytes")
            )
        self._left -= size

    def bare(self, pickle: ByteSource) -> list[str]:
        """Of a pickle as such, which torch unpickles without any restraint."""
        return _told(self._follow(pickle.read_at(0, self.limits.pickle_bytes)))

    def saved(self, saved: ByteSource, *, inputs: bool = False) -> list[str]:
        """Of what ``torch.load`` takes; of a zip archive only the directory and ``data.pkl`` are read.

        Of sample ``inputs``, torch makes guards of the keys of dicts (``torch/export/_unlift.py``): those may have no
        quotes in them.
        """
        if not saved.size:
            return []  # torch takes this for no sample inputs
        if saved.read_at(0, 4) == b"PK\3\4":
            return self.archive(saved, inputs=inputs)
        # One pickle after the other, as far as torch reads them.
        start = saved.read_at(0, self.limits.pickle_bytes)
        found: list[str] = []
        position = 0
        for expected in _OLD_FORMAT:
            if position == saved.size:
                break
            followed = self._follow(start, position)
            found += _told(followed, inputs=inputs)
            position = followed.end
            # Much is equal to a number without being one (floats, tensors), and numbers have spellings that are not
            # followed: these values certainly differ.
            told = expected is not None and isinstance(followed.value, (int, str, tuple, Dict))
            if followed.defect is not None or (told and followed.value != expected):
                break
        return list(dict.fromkeys(found))

    def archive(self, saved: ByteSource, *, inputs: bool = False) -> list[str]:
        """Of what torch takes for an archive however it begins: of a script object."""
        limit = self.limits.pickle_bytes
        found: list[str] = []
        try:
            with Container(saved, self.limits) as container:
                self.spend(container.end.directory_size)
                root = folded(next(iter(container.members), "").partition("/")[0])
                if any(folded(name) == root + b"/constants.pkl" for name in container.members):
                    found.append("is a TorchScript archive, whose code torch loads")
                for name in container.members:
                    if folded(name) == root + b"/data.pkl":
                        found += _told(self._follow(container.read(name, limit, "pickle-bytes")), inputs=inputs)
        except ArtifactError as error:
            found.append(f"cannot be looked into, so that what it runs is not known: {error}")
        return list(dict.fromkeys(found))

    def _follow(self, pickle: bytes, start: int = 0) -> Followed:
        """Follows a pickle (of torch.save's old format, the one at ``start``), and counts it."""
        self.spend(0)
        followed = follow(pickle, start)
        # Opcodes take the time. Those that are shorter than what torch writes count as if they were not.
        self.spend(max(followed.end - start, LEAST_BYTES * followed.opcodes))
        return followed


def _told(followed: Followed, *, inputs: bool = False) -> list[str]:
    odd = {name: called for name, called in followed.names.items() if name not in ALLOWED and name not in _CONTAINERS}
    names = [name for name, called in odd.items() if called or name not in _FACTORIES]
    found = [f"{'calls' if followed.names[name] else 'looks up'} {_shown(name)}" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        found.append(f"looks up {len(names) - _MOST_NAMES} more names")
    # What is done with things that have no name needs no line of its own where those come from such names, and leads to
    # no end of others.
    found = found or list(followed.acts)[:1]
    if followed.defect is not None:
        found.append(f"cannot be followed to its end, so that what it runs is not known: {followed.defect}")
    if inputs and not found and followed.quoted is not None:
        import json

        found.append(f"has an input named {json.dumps(_shown(followed.quoted))}")
    return found


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}… ({len(name)} characters)"

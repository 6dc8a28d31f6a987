"""What a pickle builds, and what loading it would run: found out by following its opcodes, never by loading it.

A pickle is a program for a stack machine that may import any name and call it. Here each opcode does to a stack of
stand-ins what Python's C unpickler (``Modules/_pickle.c``, which torch uses) does to a stack of objects. Where that one
is lenient, so is this one: protocols don't matter, and what stands in front of a defect counts, since it would have run
by then. Where unpicklers differ, the pickle can't be followed: what reaches over the end of a frame is read in part by
Python's C unpickler, and not at all by its other one.

torch unpickles sample inputs and old weights as mere data (``weights_only=True``) and, where that fails, without any
restraint. The names that its data-only unpickler (``torch/_weights_only_unpickler.py``) admits are harmless as
``torch.save`` uses them, and in no other way: a class or function is called or handed to what rebuilds a tensor, and is
no value; attributes are set of nothing but what has them in a state dict; keys are texts and numbers; what a persistent
id refers to is a storage. So nothing that is built has a part that could be called, or says of itself what it likes.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import ClassVar, Final, TypeGuard

from graphlint.artifact.container import Container, folded
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.source import ByteSource

ENCODE: Final = "_codecs.encode"
DEFAULTDICT: Final = "collections.defaultdict"
DEQUE: Final = "collections.deque"
REBUILD: Final = "torch._utils._rebuild_"
FROM_TYPE: Final = "torch._tensor._rebuild_from_type_v2"
LONGEST_NUMBER: Final = 40
"""Digits, or bytes, of a number whose value is kept: far more than a magic number has, far less than takes time."""
MOST_OPCODES: Final = 2_000_000
LEAST_BYTES: Final = 4
"""How many opcodes are followed at least, and bytes to each on average in larger pickles. torch writes 6 to 8."""


Allows = Callable[[str], bool]
"""Whether somebody has said of a name that it is harmless."""


class Name(str):
    """A global that was looked up: ``module.name``."""

    __slots__ = ()


class Holding(tuple[object, ...]):
    """A tuple that holds a class or a function: the arguments of a call, which are no value."""

    __slots__ = ()


class Dict:
    """A dict or OrderedDict: its items that have a string as their key."""

    __slots__ = ("items", "odd", "ordered")

    def __init__(self, *, ordered: bool = False) -> None:
        self.items: dict[str, object] = {}
        self.odd = False
        """Whether it has other keys."""
        self.ordered = ordered

    def add(self, items: Sequence[object]) -> None:
        """Keys and values in turn."""
        for key, value in zip(items[::2], items[1::2], strict=False):
            if type(key) is str:
                self.items[key] = value
            else:
                self.odd = True


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


def is_place(text: str) -> bool:
    """Whether it may be where a storage was: ``cuda:0``."""
    kind, colon, index = text.partition(":")
    return kind.isidentifier() and kind[0].islower() and index.isdecimal() == bool(colon) and text.isascii()


def _are_numbers(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and all(type(one) is int for one in value)


MADE: Final = object()
"""What calling a harmless name has given, and what else is neither a key nor has attributes or items to set."""
FOREIGN: Final = object()
"""What calling any other name has given. That name is told, or is allowed: what its class does is up to it."""
PLAIN: Final = object()
"""A number, truth value or None, or bytes: what may be a key, and is not kept."""
SET: Final = object()


class DefectError(Exception):
    """The pickle can't be followed any further."""


def _plain(_: object) -> object:
    return PLAIN


def _made(_: object) -> object:
    return MADE


def _long(content: bytes) -> object:
    return int.from_bytes(content, "little", signed=True) if len(content) <= LONGEST_NUMBER else PLAIN


def _none(_: str) -> bool:
    return False


with open(os.path.join(os.path.dirname(__file__), "data_only.txt"), encoding="utf-8") as _names:
    ALLOWED: Final = frozenset(_names.read().split())
"""The names that torch 2.13's data-only unpickler admits (``_get_allowed_globals``), some of which have others in
protocol 2; a test compares the two."""
CONSTANTS: Final = frozenset(
    name
    for name in ALLOWED - {"torch.device"}
    if name.startswith("torch.") and name[6].islower() and name.count(".") == 1
)
"""Those that are values: dtypes, and schemes of quantization."""
SCALARS: Final = frozenset(name for name in ALLOWED if name.endswith(".complex"))
STORAGES: Final = frozenset(name for name in ALLOWED if name.endswith("Storage"))
HARMLESS: Final = ALLOWED | {DEFAULTDICT, DEQUE}  # which torch unpickles without restraint only, but are no code either
FACTORIES: Final = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("bool", "dict", "float", "frozenset", "int", "list", "long", "set", "tuple")
)
"""What a ``defaultdict`` may call, whoever calls them; here they may be looked up, no more."""


class Followed:
    """A pickle, from ``start`` up to where it was followed. What follows a mark is a stack of its own, as in C.

    ``allows`` tells which names besides torch's may be looked up, and be values.
    """

    def __init__(self, data: bytes, start: int = 0, allows: Allows = _none) -> None:
        self.data = data
        self.allows = allows
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
        """What loading gives: a Dict, Storage or Name; a string, a number of common size, a tuple or a list; one of the
        constants above for anything else, and None where the end was not reached."""
        self.defect: str | None = None
        """Why the pickle could not be followed to its end."""
        self.opcodes = 0
        """How many were followed."""
        self.most = max(MOST_OPCODES, len(data) // LEAST_BYTES)

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

    def act(self, phrase: str) -> None:
        self.acts[phrase] = None

    def is_value(self, value: object) -> bool:
        """Whether it is data through and through."""
        if type(value) is Name:
            return value in CONSTANTS or value in FACTORIES or self.allows(value)
        return type(value) is not Holding

    def keep(self, items: Iterable[object]) -> None:
        """Notes what becomes a part of a value, and is none itself."""
        if not all(map(self.is_value, items)):
            self.act("keeps a class or function as a value")

    def tuple_of(self, items: Sequence[object]) -> tuple[object, ...]:
        return tuple(items) if all(map(self.is_value, items)) else Holding(items)

    def call(self, function: object, arguments: object) -> object:
        """The result of a call."""
        if not isinstance(function, Name):
            self.act("calls a function that is computed at load time")
            return FOREIGN
        self.names[function] = True
        if function not in HARMLESS or self.allows(function):
            return FOREIGN
        if not isinstance(arguments, tuple):
            self.act(f"calls {function} with arguments that are computed at load time")
            return MADE
        special = self.SPECIAL.get(function)
        if special is not None:
            least, most, action = special
            if least <= len(arguments) <= most:
                return action(self, *arguments)
            self.act(f"calls {function} with {len(arguments)} arguments")
            return MADE
        self.keep(arguments)
        if function in SCALARS:
            return PLAIN
        # Tensors and parameters are rebuilt from their storage, which comes first among the arguments.
        first = arguments[0] if arguments else None
        return first.shown(arguments[1:]) if isinstance(first, Storage) and function.startswith(REBUILD) else MADE

    def _encoded(self, text: object, encoding: object) -> object:
        """How bytes are written in old protocols; other encodings make other texts of texts."""
        if type(text) is not str or encoding != "latin1":
            self.act(f"calls {ENCODE} in another way than to write bytes")
        return PLAIN

    def _dictionary(self, items: object = (), *, ordered: bool = True) -> Dict:
        made = Dict(ordered=ordered)
        if isinstance(items, Dict):
            made.items.update(items.items)
        elif isinstance(items, (list, tuple)) and all(
            isinstance(one, (list, tuple)) and len(one) == 2 for one in items
        ):
            self._set(made, [part for pair in items for part in pair])
        else:
            self.act("builds a dictionary from values that are computed at load time")
        return made

    def _defaultdict(self, factory: object = PLAIN) -> Dict:
        if not (factory is PLAIN or (type(factory) is Name and (factory in FACTORIES or factory in HARMLESS))):
            self.keep([factory, factory])
        return Dict()

    def _deque(self, items: object = (), longest: object = PLAIN) -> object:
        self.keep([items, longest])
        return list(items) if isinstance(items, (list, tuple)) else MADE

    def _from_type(self, function: object, kind: object, arguments: object, state: object) -> object:
        """A tensor of a class of its own, or with attributes."""
        if type(function) is Name and function.startswith(REBUILD) and type(kind) is Name:
            self.call(function, arguments)
        else:
            self.act(f"calls {FROM_TYPE} in another way than to rebuild a tensor")
        self._attributes(state)
        return MADE

    def _parameter_with_state(self, data: object, requires_grad: object, hooks: object, state: object) -> object:
        self.keep([data, requires_grad, hooks])
        self._attributes(state)
        return data if isinstance(data, Storage) else MADE

    def _wrapper(self, kind: object, *rest: object) -> object:
        self.keep(rest if type(kind) is Name else [kind, *rest])
        return MADE

    def _attributes(self, state: object) -> None:
        """What becomes attributes of a tensor, or of an OrderedDict: values by plain names."""
        self.keep([state])
        for one in state if type(state) is tuple and len(state) == 2 else (state,):
            if isinstance(one, Dict):
                if one.odd or any(name.startswith("__") and name.endswith("__") for name in one.items):
                    self.act("sets attributes of other names than objects have")
            elif one is not PLAIN:
                self.act("sets attributes that it has worked out while it is loaded")

    def _decimal(self) -> object:
        """A number as a line of text. What C takes for more than plain digits (signs, underscores, a prefix for the
        base, of which a zero in front is one) is a number that is not known.
        """
        text = self.line().rstrip(b"L")
        plain = len(text) <= LONGEST_NUMBER and text.isdigit() and not text.startswith(b"0")
        return int(text) if plain else PLAIN

    def _quoted(self) -> object:
        text = self.line().strip()
        if len(text) >= 2 and text[:1] == text[-1:] and text[:1] in b"\"'" and b"\\" not in text:
            return self.text(text[1:-1], "surrogateescape")
        self.text(text, encoding="latin1")
        return MADE  # what it says is not worked out

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
        self.act("looks up a name that it has worked out while it is loaded")
        return None

    def _last(self, length: int) -> list[object]:
        items = self.stack[-length:]
        if len(items) < length:
            raise IndexError
        del self.stack[-length:]
        return items

    def _mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _set_top(self, items: Sequence[object]) -> None:
        self._set(self.stack[-1], items)

    def _set(self, target: object, items: Sequence[object]) -> None:
        """Sets items: keys and values in turn."""
        self.keep(items)
        if target is FOREIGN:
            return
        if not isinstance(target, Dict):
            self.act("sets items of what is no dictionary")
            return
        target.add(items)
        if not all(type(key) is str or self._is_key(key) for key in items[::2]):
            self.act("has a key that is neither a text nor a number")

    def _is_key(self, key: object) -> bool:
        if type(key) is tuple:
            return all(type(one) in (str, int) or one is PLAIN for one in key)
        return type(key) in (str, int) or key is PLAIN or (type(key) is Name and key in CONSTANTS)

    def _append(self, items: Sequence[object]) -> None:
        target = self.stack[-1]
        self.keep(items)
        if type(target) is list:
            target += items
        elif target is not FOREIGN:
            self.act("appends to what is no list")

    def _add(self, items: Sequence[object]) -> None:
        self.keep(items)
        if self.stack[-1] not in (SET, FOREIGN):
            self.act("adds to what is no set")

    def _list(self, items: list[object]) -> list[object]:
        self.keep(items)
        return items

    def _dict(self, items: Sequence[object]) -> Dict:
        made = Dict()
        self._set(made, items)
        return made

    def _reduce(self) -> object:
        arguments, function = self.stack.pop(), self.stack.pop()
        return self.call(function, arguments)

    def _object(self) -> object:
        items = self.marked()
        return self.call(items[0], self.tuple_of(items[1:]))

    def _instance(self) -> object:
        items = self.marked()
        return self.call(self._global(), self.tuple_of(items))

    def _with_keywords(self) -> object:
        keywords = self.stack.pop()
        arguments, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Name) and not (isinstance(keywords, Dict) and not keywords.items and not keywords.odd):
            self.act(f"calls {function} with keywords")
        return self.call(function, arguments)

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Name):
            self.act(f"sets attributes of {target}")
        elif isinstance(target, Dict) and target.ordered:
            self._attributes(state)
        elif target is FOREIGN:
            self.keep([state])
        else:
            self.act("sets the state of what is no OrderedDict")

    def _persistent(self) -> object:
        """``("storage", class, key, device, size)``: how torch.save refers to a storage. Its old format has one more
        item: None, or what part of another storage it is.
        """
        identity = self.stack.pop()
        if isinstance(identity, tuple) and len(identity) in (5, 6):
            what, kind, key, place, size, *part = identity
            well = what == "storage" and type(kind) is Name and kind in STORAGES and type(size) is int
            well = well and type(place) is str and is_place(place)
            if well and type(key) is str and all(one is PLAIN or type(one) is tuple for one in part):
                self.storages.add(key)
                return Storage(key)
        self.act("refers to something outside that is no storage")
        return FOREIGN

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

    SPECIAL: ClassVar[dict[str, tuple[int, int, Callable[..., object]]]] = {
        ENCODE: (2, 2, _encoded),
        "collections.OrderedDict": (0, 1, _dictionary),
        "collections.Counter": (0, 1, lambda self, *items: self._dictionary(*items, ordered=False)),
        DEFAULTDICT: (0, 1, _defaultdict),
        DEQUE: (0, 2, _deque),
        FROM_TYPE: (4, 4, _from_type),
        f"{REBUILD}parameter_with_state": (4, 4, _parameter_with_state),
        f"{REBUILD}wrapper_subclass": (1, 9, _wrapper),
    }
    """Calls that are more than making something of data: how many arguments they take, at least and at most, and what
    they do."""
    _BY_OPCODES: ClassVar[dict[bytes, Callable[["Followed"], object]]] = {
        b"N\x88\x89\x98": _plain,
        b"]": lambda self: [],
        b"\x8f": lambda self: SET,
        b"F": lambda self: _plain(self.line()),
        b"P": lambda self: _made(self.line()),  # torch refuses these
        b"G": lambda self: _plain(self.take(8)),
        b"l": lambda self: self._list(self.marked()),
        b"\x91": lambda self: _made(self._list(self.marked())),  # a frozenset
        b"K": lambda self: self.number(1),
        b"M": lambda self: self.number(2),
        b"J": lambda self: self.number(4, signed=True),
        b"IL": _decimal,
        b"\x8a": lambda self: _long(self.counted(1)),
        b"\x8b": lambda self: _long(self.counted(4, signed=True)),
        b"B": lambda self: _plain(self.text(self.counted(4), encoding="latin1")),
        b"C": lambda self: _plain(self.text(self.counted(1), encoding="latin1")),
        b"\x8e": lambda self: _plain(self.text(self.counted(8), encoding="latin1")),
        b"\x96": lambda self: _made(self.text(self.counted(8), encoding="latin1")),
        b"\x8c": lambda self: self.text(self.counted(1)),
        b"X": lambda self: self.text(self.counted(4)),
        b"\x8d": lambda self: self.text(self.counted(8)),
        # Strings of Python 2, which torch has decoded as UTF-8.
        b"U": lambda self: self.text(self.counted(1), "surrogateescape"),
        b"T": lambda self: self.text(self.counted(4, signed=True), "surrogateescape"),
        b"V": lambda self: self.text(self.line(), "strict", "raw-unicode-escape"),
        b"S": _quoted,
        b")": lambda self: (),
        b"\x85": lambda self: self.tuple_of(self._last(1)),
        b"\x86": lambda self: self.tuple_of(self._last(2)),
        b"\x87": lambda self: self.tuple_of(self._last(3)),
        b"t": lambda self: self.tuple_of(self.marked()),
        b"}": lambda self: Dict(),
        b"d": lambda self: self._dict(self.marked()),
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
        b"\x92": _with_keywords,
        b"o": _object,
        b"i": _instance,
        b"Q": _persistent,
        b"(": _mark,
        b"0": lambda self: self.stack.pop() if self.stack else self.marked(),
        b"1": marked,
        b"a": lambda self: self._append(self._last(1)),
        b"e": lambda self: self._append(self.marked()),
        b"\x90": lambda self: self._add(self.marked()),
        b"s": lambda self: self._set_top(self._last(2)),
        b"u": lambda self: self._set_top(self.marked()),
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


def follow(pickle: bytes, start: int = 0, allows: Allows = _none) -> Followed:
    """Follows the pickle that begins at ``start``, up to its STOP. What is found of a short one is kept: the sample
    inputs of many artifacts are alike.
    """
    return (_known if len(pickle) <= _SHORT else _follow)(pickle, start, allows)


def _follow(pickle: bytes, start: int, allows: Allows) -> Followed:
    followed = Followed(pickle, start, allows)
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


_known: Final = lru_cache(_follow)


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
    if followed.stack or followed.outer or not isinstance(value, Dict):  # it has to be all that was left on the stack
        raise ArtifactError("its pickle does not hold a dict")
    return followed, value


_OLD_FORMAT: Final = (0x1950A86A20F9469CFC6C, 1001, None, None, None)
"""What the pickles of torch.save's old format hold: a magic number, a version, and anything in the system's properties,
the object, and the keys of its storages."""

_SHORT: Final = 1 << 12
"""Bytes of a pickle that is kept."""
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

    def __init__(self, limits: Limits, allows: Allows = _none) -> None:
        self.limits = limits
        self._allows = allows
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
            told = expected is not None and isinstance(followed.value, (int, str, tuple, list, Dict))
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
            found.append(f"cannot be inspected, so what it runs is unknown: {error}")
        return list(dict.fromkeys(found))

    def _follow(self, pickle: bytes, start: int = 0) -> Followed:
        """Follows a pickle (of torch.save's old format, the one at ``start``), and counts it."""
        self.spend(0)
        followed = follow(pickle, start, self._allows)
        # Opcodes take the time. Those that are shorter than what torch writes count as if they were not.
        self.spend(max(followed.end - start, LEAST_BYTES * followed.opcodes))
        return followed


def _told(followed: Followed, *, inputs: bool = False) -> list[str]:
    odd = {name: called for name, called in followed.names.items() if name not in HARMLESS}
    names = [name for name, called in odd.items() if (called or name not in FACTORIES) and not followed.allows(name)]
    found = [f"{'calls' if followed.names[name] else 'looks up'} {_shown(name)}" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        found.append(f"looks up {len(names) - _MOST_NAMES} more names")
    # What is done with things that have no name needs no line of its own where those come from such names, and leads to
    # no end of others.
    found = found or list(followed.acts)[:1]
    if followed.defect is not None:
        found.append(f"cannot be followed to its end, so what it runs is unknown: {followed.defect}")
    if inputs and not found and followed.quoted is not None:
        import json

        found.append(f"has an input named {json.dumps(_shown(followed.quoted))}")
    return found


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}… ({len(name)} characters)"


HARMLESS_CLASSES: Final = {
    **{
        f"{module}.{name}": "a builtin that holds what it is given, and calls nothing"
        for module in ("builtins", "__builtin__")
        for name in ("bytes", "frozenset", "range", "slice", "xrange")
    },
    **{
        f"transformers.cache_utils.{name}": (
            "holds tensors, sizes and flags; neither it nor a base has __setstate__, __reduce__, __new__, __getattr__, "
            "__setattr__ or __del__ (transformers 5.23)"
        )
        for name in (
            "DynamicCache",
            "DynamicLayer",
            "DynamicSlidingWindowLayer",
            "EncoderDecoderCache",
            "StaticCache",
            "StaticLayer",
            "StaticSlidingWindowLayer",
        )
    },
}
"""Each with the reason that was checked."""


@cache
def allowing(*patterns: str) -> Allows:
    """Whether a name is one of these, or fits a pattern, in which ``*`` stands for what is between two dots."""
    if not patterns:
        return HARMLESS_CLASSES.__contains__
    wanted = re.compile("|".join("[^.]*".join(map(re.escape, pattern.split("*"))) for pattern in patterns))
    return lambda name: name in HARMLESS_CLASSES or wanted.fullmatch(name) is not None

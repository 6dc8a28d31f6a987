"""Follows a pickle without running it: what it builds, and which names loading it would look up and call.

A pickle is a program for a stack machine that may import any name and call it. Here each opcode does to a stack of
stand-ins what Python's C unpickler (``Modules/_pickle.c``, which torch uses) does to a stack of objects. Where that one
is lenient, so is this one: protocols don't matter, and what stands in front of a defect counts, since it would have run
by then. Where unpicklers differ, the pickle can't be followed: what reaches over the end of a frame is read in part by
Python's C unpickler, and not at all by its other one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import length_hint
from typing import Final

import msgspec

# pickletools and pickle are not used: loading them takes longer than following the pickles of a common artifact.

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

    def __init__(self, *, ordered: bool = False) -> None:
        self.items: dict[str, object] = {}
        self.ordered = ordered


class Storage:
    """A storage of tensor data (``data/<key>``), or a tensor or parameter that shows it."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class Made:
    """What calling a name has given."""


class Followed(msgspec.Struct, frozen=True):
    """What following a pickle has shown."""

    value: object
    """What loading gives: a Dict, Storage, Made or Name; a string, a number of common size, a tuple; None for anything
    else, and where the end was not reached."""
    alone: bool
    """Whether nothing else was left on the stack."""
    end: int
    """The offset behind the pickle's last opcode."""
    frame: int | None
    """Where the length of the last frame stands (protocol 4 and up); that frame reaches to the end."""
    names: dict[str, bool]
    """Every global that loading looks up, in order, and whether it is called."""
    acts: tuple[str, ...]
    """What loading does to or with things that have no name, as phrases (``calls what it has worked out``)."""
    defect: str | None
    """Why the pickle could not be followed to its end."""
    quoted: str | None
    """The first of the pickle's strings (and of its bytes) that has, or may have, a quote in it."""
    opcodes: int
    """How many were followed."""


class DefectError(Exception):
    """The pickle can't be followed any further."""


MADE: Final = Made()


def follow(pickle: bytes, start: int = 0) -> Followed:
    """Follows the pickle that begins at ``start``, up to its STOP."""
    machine = Machine(pickle, start)
    defect = None
    most = max(MOST_OPCODES, len(pickle) // LEAST_BYTES)
    steps = iter(range(most))
    try:
        for _ in steps:
            opcode = pickle[machine.position]
            machine.position += 1
            ACTIONS[opcode](machine)
            if not machine.following:
                break
        else:
            defect = f"it has more than {most} opcodes"
    except DefectError as error:
        defect = str(error)
    except IndexError:
        ended = machine.position >= len(pickle)
        defect = "it ends in the middle" if ended else "it takes something that is not there"
    except KeyError:
        defect = "it refers to something that is not there"
    except ValueError:
        defect = "it has a malformed number or string"
    return Followed(
        machine.value,
        not machine.stack and not machine.outer,
        machine.position,
        machine.frame,
        machine.names,
        tuple(machine.acts),
        None if defect is None else f"{defect} (byte {machine.position})",
        machine.quoted,
        most - length_hint(steps),
    )


class Machine:
    """The stack machine. As in the unpickler, what follows a mark is a stack of its own."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.stack: list[object] = []
        self.outer: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.names: dict[str, bool] = {}
        self.acts: dict[str, None] = {}
        self.quoted: str | None = None
        self.frame: int | None = None
        self.frame_end = 0
        self.value: object = None
        self.following = True

    def step(self) -> None:
        """Follows one opcode. Raises DefectError, IndexError, KeyError or ValueError where that cannot be done."""
        opcode = self.data[self.position]
        self.position += 1
        ACTIONS[opcode](self)

    def take(self, length: int) -> bytes:
        """The next bytes, all of them."""
        position = self.position
        end = position + length
        if end > len(self.data) or position < self.frame_end < end:
            raise self.overrun(end)
        self.position = end
        return self.data[position:end]

    def line(self) -> bytes:
        """The next bytes up to a line feed."""
        position = self.position
        end = self.data.find(b"\n", position)
        if end < 0 or position < self.frame_end <= end:
            raise self.overrun(end)
        self.position = end + 1
        return self.data[position:end]

    def push_text(self, text: str) -> None:
        """Pushes a string."""
        self.stack.append(text)
        if self.quoted is None and ('"' in text or "'" in text):
            self.quoted = text

    def number(self, layout: struct.Struct) -> int:
        """The next bytes as an integer."""
        position = self.position
        end = position + layout.size
        if end > len(self.data) or position < self.frame_end < end:
            raise self.overrun(end)
        (value,) = layout.unpack_from(self.data, position)
        self.position = end
        return int(value)

    def overrun(self, end: int) -> DefectError:
        """The defect of what reaches to ``end`` (negative: for ever)."""
        if 0 <= end <= len(self.data):
            return DefectError("it reads across the end of a frame, which unpicklers do differently")
        return DefectError("it ends in the middle")

    def marked(self) -> list[object]:
        """What follows the last mark, which is taken away with it."""
        items = self.stack
        self.stack = self.outer.pop()
        return items

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
        return first if isinstance(first, Storage) and function.startswith(REBUILD) else MADE


U8, U16, U32, U64 = (struct.Struct(layout) for layout in ("<B", "<H", "<I", "<Q"))
I32 = struct.Struct("<i")
Action = Callable[[Machine], None]


def _unknown(machine: Machine) -> None:
    raise DefectError(f"it has no opcode {machine.data[machine.position - 1]:#04x}")


def _push(value: object) -> Action:
    def action(machine: Machine) -> None:
        machine.stack.append(value)

    return action


def _skip(length: int) -> Action:
    """An argument of fixed length, whose value does not matter, is pushed."""

    def action(machine: Machine) -> None:
        machine.take(length)
        machine.stack.append(None)

    return action


def _integer(layout: struct.Struct) -> Action:
    def action(machine: Machine) -> None:
        machine.stack.append(machine.number(layout))

    return action


def _small_integer(machine: Machine) -> None:
    # A number of one byte is the most common argument, and can't reach over the end of a frame.
    machine.stack.append(machine.data[machine.position])
    machine.position += 1


def _text(layout: struct.Struct) -> Action:
    """A string after its length."""

    def action(machine: Machine) -> None:
        machine.push_text(machine.take(_length(machine, layout)).decode("utf-8", "surrogatepass"))

    return action


def _old_text(layout: struct.Struct) -> Action:
    """A string of Python 2, which torch has decoded as UTF-8."""

    def action(machine: Machine) -> None:
        machine.push_text(machine.take(_length(machine, layout)).decode("utf-8", "surrogateescape"))

    return action


def _bytes(layout: struct.Struct) -> Action:
    def action(machine: Machine) -> None:
        content = machine.take(_length(machine, layout))
        if machine.quoted is None and (b'"' in content or b"'" in content):
            machine.quoted = content.decode("latin1")
        machine.stack.append(None)

    return action


def _long(layout: struct.Struct) -> Action:
    def action(machine: Machine) -> None:
        content = machine.take(_length(machine, layout))
        known = len(content) <= LONGEST_NUMBER
        machine.stack.append(int.from_bytes(content, "little", signed=True) if known else None)

    return action


def _length(machine: Machine, layout: struct.Struct) -> int:
    length = machine.number(layout)
    if length < 0:
        raise DefectError("it has a negative length")
    return length


def _decimal(machine: Machine) -> None:
    """INT and LONG: a number as a line of text. What C takes for more than plain digits (signs, underscores, a prefix
    for the base, of which a zero in front is one) is a number that is not known.
    """
    text = machine.line().rstrip(b"L")
    plain = len(text) <= LONGEST_NUMBER and text.isdigit() and not text.startswith(b"0")
    machine.stack.append(int(text) if plain else None)


def _skip_line(machine: Machine) -> None:
    machine.line()
    machine.stack.append(None)


def _quoted(machine: Machine) -> None:
    text = machine.line().strip()
    plain = len(text) >= 2 and text[:1] == text[-1:] and text[:1] in b"\"'" and b"\\" not in text
    if plain:
        machine.push_text(text[1:-1].decode("utf-8", "surrogateescape"))
    else:  # what it says is not worked out
        machine.push_text(text.decode("latin1"))
        machine.stack[-1] = None


def _raw_unicode(machine: Machine) -> None:
    machine.push_text(machine.line().decode("raw-unicode-escape"))


def _proto(machine: Machine) -> None:
    machine.take(1)


def _frame(machine: Machine) -> None:
    machine.frame = machine.position
    length = machine.number(U64)
    end = machine.position + length
    if end > len(machine.data) or machine.position < machine.frame_end < end:
        raise machine.overrun(end)
    machine.frame_end = max(machine.frame_end, end)


def _stop(machine: Machine) -> None:
    if machine.position < machine.frame_end:
        # What stands behind it is read next where torch reads one pickle after the other: in the frame or behind it?
        raise DefectError("it ends before its frame does, which unpicklers do differently")
    machine.value = machine.stack.pop()
    machine.following = False


def _mark(machine: Machine) -> None:
    machine.outer.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        del machine.stack[-1]
    else:
        machine.marked()


def _pop_mark(machine: Machine) -> None:
    machine.marked()


def _dup(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _tuple(machine: Machine) -> None:
    items = machine.marked()
    machine.stack.append(tuple(items))


def _short_tuple(length: int) -> Action:
    def action(machine: Machine) -> None:
        stack = machine.stack
        if len(stack) < length:
            raise IndexError
        stack[-length:] = [tuple(stack[-length:])]

    return action


def _collection(machine: Machine) -> None:
    """LIST and FROZENSET."""
    machine.marked()
    machine.stack.append(None)


def _empty_dict(machine: Machine) -> None:
    machine.stack.append(Dict())


def _dict(machine: Machine) -> None:
    made = Dict()
    _add_items(made, machine.marked())
    machine.stack.append(made)


def _append(machine: Machine) -> None:
    machine.stack.pop()
    machine.stack[-1]


def _extend(machine: Machine) -> None:
    machine.marked()
    machine.stack[-1]


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _add_items(machine.stack[-1], [key, value])


def _set_items(machine: Machine) -> None:
    items = machine.marked()
    _add_items(machine.stack[-1], items)


def _add_items(target: object, items: list[object]) -> None:
    if isinstance(target, Dict):
        for key, value in zip(items[::2], items[1::2], strict=False):
            if type(key) is str:
                target.items[key] = value


def _put(layout: struct.Struct) -> Action:
    def action(machine: Machine) -> None:
        machine.memo[machine.number(layout)] = machine.stack[-1]

    return action


def _get(layout: struct.Struct) -> Action:
    def action(machine: Machine) -> None:
        machine.stack.append(machine.memo[machine.number(layout)])

    return action


def _short_put(machine: Machine) -> None:
    machine.memo[machine.data[machine.position]] = machine.stack[-1]
    machine.position += 1


def _short_get(machine: Machine) -> None:
    machine.stack.append(machine.memo[machine.data[machine.position]])
    machine.position += 1


def _put_line(machine: Machine) -> None:
    machine.memo[_index(machine)] = machine.stack[-1]


def _get_line(machine: Machine) -> None:
    machine.stack.append(machine.memo[_index(machine)])


def _index(machine: Machine) -> int:
    text = machine.line().partition(b"\0")[0]  # as in C, where a string ends there
    if len(text) > LONGEST_NUMBER:
        raise DefectError("it refers to something that is not there")
    return int(text)


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine) -> None:
    machine.stack.append(machine.look_up(_two_lines(machine)))


def _two_lines(machine: Machine) -> str:
    module, name = machine.line(), machine.line()
    return f"{module.decode('utf-8', 'surrogateescape')}.{name.decode('utf-8', 'surrogateescape')}"


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is str and type(module) is str:
        machine.stack.append(machine.look_up(f"{module}.{name}"))
    else:
        machine.acts["looks up a name that it has worked out while it is loaded"] = None
        machine.stack.append(None)


def _extension(layout: struct.Struct) -> Action:
    """EXT1, EXT2, EXT4: a number by which the loading process has registered a name (``copyreg.add_extension``)."""

    def action(machine: Machine) -> None:
        number = machine.number(layout)
        machine.stack.append(machine.look_up(f"copyreg extension {number}"))

    return action


def _reduce(machine: Machine) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(function, arguments))


def _new_with_keywords(machine: Machine) -> None:
    machine.stack.pop()
    _reduce(machine)


def _obj(machine: Machine) -> None:
    items = machine.marked()
    machine.stack.append(machine.call(items[0], tuple(items[1:])))


def _inst(machine: Machine) -> None:
    items = machine.marked()
    machine.stack.append(machine.call(machine.look_up(_two_lines(machine)), tuple(items)))


def _build(machine: Machine) -> None:
    machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Name):
        machine.acts[f"sets attributes of {target}"] = None
    elif not (isinstance(target, (Made, Storage)) or (isinstance(target, Dict) and target.ordered)):
        machine.acts["sets the state of what is neither a tensor nor an OrderedDict"] = None


def _persistent(machine: Machine) -> None:
    """``("storage", class, key, device, size)``: how torch.save refers to a storage."""
    identity = machine.stack.pop()
    key = identity[2] if isinstance(identity, tuple) and len(identity) > 2 and identity[0] == "storage" else None
    machine.stack.append(Storage(key) if type(key) is str else MADE)


def _next_buffer(machine: Machine) -> None:
    raise DefectError("it refers to a buffer outside")


def _nothing(machine: Machine) -> None:
    pass


_BY_OPCODE: Final[dict[bytes, Action]] = {
    b"(": _mark,
    b".": _stop,
    b"0": _pop,
    b"1": _pop_mark,
    b"2": _dup,
    b"B": _bytes(U32),
    b"C": _bytes(U8),
    b"F": _skip_line,
    b"G": _skip(8),
    b"I": _decimal,
    b"J": _integer(I32),
    b"K": _small_integer,
    b"L": _decimal,
    b"M": _integer(U16),
    b"N": _push(None),
    b"P": _skip_line,
    b"Q": _persistent,
    b"R": _reduce,
    b"S": _quoted,
    b"T": _old_text(I32),
    b"U": _old_text(U8),
    b"V": _raw_unicode,
    b"X": _text(U32),
    b"]": _push(None),
    b"a": _append,
    b"b": _build,
    b"c": _global,
    b"d": _dict,
    b"e": _extend,
    b"g": _get_line,
    b"h": _short_get,
    b"i": _inst,
    b"j": _get(U32),
    b"l": _collection,
    b"o": _obj,
    b"p": _put_line,
    b"q": _short_put,
    b"r": _put(U32),
    b"s": _set_item,
    b"t": _tuple,
    b"u": _set_items,
    b")": _push(()),
    b"}": _empty_dict,
    b"\x80": _proto,
    b"\x81": _reduce,  # NEWOBJ: a class and its arguments
    b"\x82": _extension(U8),
    b"\x83": _extension(U16),
    b"\x84": _extension(I32),
    b"\x85": _short_tuple(1),
    b"\x86": _short_tuple(2),
    b"\x87": _short_tuple(3),
    b"\x88": _push(None),  # True
    b"\x89": _push(None),  # False
    b"\x8a": _long(U8),
    b"\x8b": _long(I32),
    b"\x8c": _text(U8),
    b"\x8d": _text(U64),
    b"\x8e": _bytes(U64),
    b"\x8f": _push(None),  # an empty set
    b"\x90": _extend,
    b"\x91": _collection,
    b"\x92": _new_with_keywords,
    b"\x93": _stack_global,
    b"\x94": _memoize,
    b"\x95": _frame,
    b"\x96": _bytes(U64),
    b"\x97": _next_buffer,
    b"\x98": _nothing,  # makes a buffer read-only
}
ACTIONS: Final = tuple(_BY_OPCODE.get(bytes((number,)), _unknown) for number in range(256))
"""What each opcode does. The names of opcodes are those of Python's ``pickletools``."""

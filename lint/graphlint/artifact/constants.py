"""A program's constants (tensors): added where stock torch looks for them, taken away again, and edited in what is said
of them.

Non-persistent buffers live among the constants too. torch 2.9 and later keep each one's bytes in a member of its own,
listed in a JSON file; torch 2.3 to 2.8 keep all of a program's in one torch.save file of a dict. Unpickling that can
run any code, so its pickle is only *followed*, opcode by opcode: what adds an item is put in front of its end, and an
item that goes is cut out. What the pickle holds otherwise does not matter.
"""

import io
import json
import struct
from collections.abc import Collection, Iterator
from itertools import count, pairwise
from typing import Any

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import Container, quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickles import Followed, follow_dict
from graphlint.artifact.rewrite import Changes, write_archive
from graphlint.artifact.source import BytesSource

FLOAT32 = 7
"""``ScalarType.FLOAT`` in ``torch/_export/serde/schema.py``."""
STRIDED = 7
"""``Layout.Strided`` there."""
ZERO = bytes(4)


def changed_constants(
    artifact: Artifact,
    entry: ProgramEntry,
    planned: Changes,
    *,
    detached: Collection[str] = (),
    removed: Collection[str] = (),
    added: Collection[str] = (),
) -> dict[str, bytes | None]:
    """The changes to the archive by which a program's constants are others, named as in the signature (``buffer_name``,
    ``tensor_constant_name``).

    Constants that are ``detached``, and whatever has the same payload, no longer require gradients. Export records that
    they do of constants that the model writes with gradients on. It does no harm as long as they are no buffers, for
    torch detaches other constants; but it cannot write back a buffer that requires gradients.

    What is ``removed`` need not be there. A payload goes with the last constant that shows it.

    What is ``added`` is a 0-dimensional float32 zero on the CPU, each.

    ``planned`` are changes that are already decided on: they count as part of the archive, and the result goes on top
    of them (it does not repeat them). Raises ArtifactError when the layout has no place for constants (torch 2.1, 2.2),
    when what is there is not as torch writes it, when what is to go cannot be told apart from the rest, or when a name
    is taken.
    """
    if not (detached or removed or added):
        return {}
    if entry.constants_pickle is not None:
        return _changed_pickle(artifact, entry.constants_pickle, planned, removed, added)
    if entry.constants_config is None and added:
        raise ArtifactError(
            "constants cannot be added to an artifact of torch 2.1 or 2.2: export the model with a newer torch"
            if entry.weights_pickle is not None
            else f"the archive has no member for the constants of program {quoted(entry.name)}"
        )
    if entry.constants_config is None:
        return {}
    listing = Listing(artifact, entry.constants_config, planned)
    before = listing.encoded()
    payloads, gone = listing.paths(detached), listing.paths(removed)
    for _, path, one in listing.entries():
        meta = one.get("tensor_meta")
        if path in payloads and isinstance(meta, dict) and meta.get("requires_grad"):
            meta["requires_grad"] = False
    for name in removed:
        listing.config.pop(name, None)
    others = {one.constants_config for one in artifact.programs} - {listing.member, None} if gone else ()
    used = listing.paths().union(*(Listing(artifact, str(other), planned).paths() for other in others))
    changes: dict[str, bytes | None] = dict.fromkeys(gone - used & artifact.container.members.keys())
    taken = {member.lower() for member in (*artifact.container.members, *planned)}  # torch's reader ignores case
    free = (number for number in count() if f"{listing.folder}/tensor_{number}".lower() not in taken)
    for name, number in zip(added, free, strict=False):
        if name in listing.config:
            what = f"{quoted(listing.member)} already has a constant {quoted(name)}"
            raise ArtifactError(what, member=listing.member)
        path_name = f"tensor_{number}"
        changes[f"{listing.folder}/{path_name}"] = ZERO
        # As `_package_constants` in `torch/export/pt2_archive/_package.py` says it.
        listing.config[name] = {
            "path_name": path_name,
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": {
                "dtype": FLOAT32,
                "sizes": [],
                "requires_grad": False,
                "device": {"type": "cpu", "index": None},
                "strides": [],
                "storage_offset": {"as_int": 0},
                "layout": STRIDED,
            },
        }
    after = listing.encoded()
    return changes if after == before else {**changes, listing.member: after}


class Listing:
    """The JSON file that lists constants (torch 2.9 and later)."""

    def __init__(self, artifact: Artifact, member: str, planned: Changes) -> None:
        self.member = member
        self.folder = member.rpartition("/")[0]
        try:
            self.document = json.loads(planned_content(artifact, member, planned))
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"member {quoted(member)} is not valid JSON: {error}", member=member) from error
        config = self.document.get("config") if isinstance(self.document, dict) else None
        if not isinstance(config, dict):
            raise ArtifactError(f'member {quoted(member)} has no object "config" at its top level', member=member)
        self.config: dict[str, Any] = config
        """Constants' names to what is said of them."""

    def entries(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Of each constant the name, the member that holds it, and what is said of it, if that is of torch's shape."""
        for name, one in self.config.items():
            if isinstance(one, dict):
                yield name, f"{self.folder}/{one.get('path_name')}", one

    def paths(self, names: Collection[str] | None = None) -> set[str]:
        """The members that hold the constants, or some of them."""
        return {path for name, path, _ in self.entries() if names is None or name in names}

    def encoded(self) -> bytes:
        return json.dumps(self.document).encode()


def planned_content(artifact: Artifact, member: str, planned: Changes) -> bytes:
    content = planned.get(member)
    return artifact.container.read(member) if content is None else content


def _changed_pickle(
    artifact: Artifact, member: str, planned: Changes, removed: Collection[str], added: Collection[str]
) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {}
    for edit, names, what in ((without_items, removed, "removed from"), (extend_saved_dict, added, "added to")):
        try:
            if names:
                changes[member] = edit(planned_content(artifact, member, {**planned, **changes}), names)
        except ArtifactError as error:
            raise ArtifactError(f"constants cannot be {what} {quoted(member)}: {error}", member=member) from error
    return changes


def extend_saved_dict(saved: bytes, names: Collection[str]) -> bytes:
    """A torch.save archive of a dict, with zeros as more items. Every member but ``data.pkl`` stays byte for byte.

    Raises ArtifactError when it is not such an archive or has a key already.
    """
    container, root, pickle = opened(saved)
    if f"{root}/byteorder" in container.members and container.read(f"{root}/byteorder", limit=16) != b"little":
        raise ArtifactError("its tensors are big-endian")
    followed, held = follow_dict(pickle)
    changes: dict[str, bytes] = {}
    items = b""
    free = (number for number in count() if f"{root}/data/{number}" not in container.members)
    for name, number in zip(names, free, strict=False):
        if name in held.items:
            raise ArtifactError(f"it already has a constant {quoted(name)}")
        changes[f"{root}/data/{number}"] = ZERO
        items += _item(name, str(number))
    changes[f"{root}/data.pkl"] = reframed(pickle[:-1] + items + pickle[-1:], followed.frame)  # the last one is STOP
    # torch.save puts the storages one after the other and then `version`; its loader can be told to rely on that.
    return rewritten(container, changes, before=f"{root}/version")


def opened(saved: bytes) -> tuple[Container, str, bytes]:
    """A torch.save archive: its container, root folder and pickle."""
    container = Container(BytesSource(saved))
    root = next(iter(container.members), "").partition("/")[0]
    return container, root, container.read(f"{root}/data.pkl")


def rewritten(container: Container, changes: Changes, before: str | None = None) -> bytes:
    out = io.BytesIO()
    write_archive(container, changes, out, before=before)
    return out.getvalue()


def reframed(pickle: bytes, frame: int | None) -> bytes:
    """A pickle of another length than it had. The last frame, whose length :class:`Followed` has found at ``frame``,
    reaches to its end.
    """
    if frame is None:
        return pickle
    return pickle[:frame] + struct.pack("<Q", len(pickle) - frame - 8) + pickle[frame + 8 :]


def _item(name: str, storage: str) -> bytes:
    """The opcodes that put a zero into the dict on top of the stack: what torch.save writes, but for the memo.

    ``dict[name] = torch._utils._rebuild_tensor_v2(loaded, 0, (), (), False, collections.OrderedDict())`` where
    ``loaded`` is ``persistent_load(("storage", torch.FloatStorage, storage, "cpu", 1))``.
    """
    identity = string("storage") + b"ctorch\nFloatStorage\n" + string(storage) + string("cpu") + b"K\1"
    arguments = (
        (b"(" + identity + b"tQ")  # a tuple, BINPERSID
        + b"K\0))\x89"  # BININT1, EMPTY_TUPLE twice, NEWFALSE
        + b"ccollections\nOrderedDict\n)R"  # EMPTY_TUPLE, REDUCE
    )
    # A tuple, REDUCE, SETITEM.
    return string(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs"


def string(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


_ATOMS = frozenset(b"cVX\x8c\x8d)")
"""Opcodes of what can be put at another place as it is: GLOBAL, strings, EMPTY_TUPLE."""
_PUTS = frozenset(b"pqr")
_GETS = frozenset(b"ghj")
_MEMOIZE, _FRAME, _SET_ITEM, _SET_ITEMS = b"\x94\x95su"


def without_items(saved: bytes, names: Collection[str], *, inputs: bool = False) -> bytes:
    """A torch.save archive of a dict, of sample ``inputs`` one of the pair of arguments and keywords, without these
    items and without the storages that only they show.

    Every other member but ``data.pkl`` stays byte for byte; the same bytes where there is no such item. Raises
    ArtifactError when it is not such an archive, or when other items refer to one that is to go.
    """
    container, root, pickle = opened(saved)
    storages = follow_dict(pickle, inputs=inputs)[0].storages  # it can be followed, and is one dict
    shortened = _cut(pickle, names)
    if shortened == pickle:
        return saved
    gone = storages - follow_dict(shortened, inputs=inputs)[0].storages
    members = {f"{root}/data/{key}" for key in gone} & container.members.keys()
    return rewritten(container, {**dict.fromkeys(members), f"{root}/data.pkl": shortened})


def _cut(pickle: bytes, names: Collection[str]) -> bytes:
    """The pickle without the items.

    What torch.save names once and refers to later, classes and strings, may be named in an item that goes: then it is
    named where it is first referred to.
    """
    starts, items = _items(pickle)
    going = [(start, end) for key, start, end in items if isinstance(key, str) and key in names]
    atoms: dict[int, bytes | None] = {}
    """What items that go have named, by the number under which others refer to it; None for what is no atom."""
    pieces: list[bytes] = []
    frame = None
    before = b""
    for start, end in pairwise([*starts, len(pickle)]):
        piece = pickle[start:end]
        code = piece[0]
        if any(begin <= start < stop for begin, stop in going):
            if code in _PUTS:
                atoms[_index(piece)] = before + piece if before[0] in _ATOMS else None
            elif code == _MEMOIZE:
                raise ArtifactError("its pickle counts its references, so no entry can be removed")
            before = piece
            continue
        before = piece
        if code in _PUTS:
            atoms.pop(_index(piece), None)
        elif code in _GETS and _index(piece) in atoms:
            named = atoms.pop(_index(piece))
            if named is None:
                raise ArtifactError("another item refers to a part of the one that is to go")
            piece = named
        elif code == _FRAME:
            frame = sum(map(len, pieces)) + 1
        pieces.append(piece)
    return reframed(b"".join(pieces), frame)


def _items(pickle: bytes) -> tuple[list[int], list[tuple[object, int, int]]]:
    """Where the opcodes begin; and the keys of the dict, with begin and end of the opcodes of each item."""
    followed = Followed(pickle)
    code: list[int] = []
    begins: dict[tuple[int, int], int] = {}
    """Where the last opcode stands that found so many marks, and so much on the stack behind the last of them: what was
    put there next begins with it."""
    found: list[tuple[object, object, int, int]] = []  # the dict that it belongs to, and an item
    while not followed.stopped:
        start, stack, marks = followed.end, followed.stack, len(followed.outer)
        code.append(start)
        begins[marks, len(stack)] = start
        if pickle[start] == _SET_ITEM:  # which the item includes
            found.append((stack[-3], stack[-2], begins[marks, len(stack) - 2], start + 1))
        elif pickle[start] == _SET_ITEMS:
            # An item reaches to the next one, the last to where they are set.
            for place in range(0, len(stack), 2):
                end = begins[marks, place + 2]
                found.append((followed.outer[-1][-1], stack[place], begins[marks, place], end))
        followed.step()
    # Sample inputs are a pair: arguments, and a dict of keywords.
    held = followed.value[-1] if isinstance(followed.value, tuple) else followed.value
    return code, [(key, start, end) for owner, key, start, end in found if owner is held]


def _index(piece: bytes) -> int:
    """The number under which an opcode puts or gets something."""
    return int(piece[1:].partition(b"\0")[0]) if piece[0] in b"pg" else int.from_bytes(piece[1:], "little")

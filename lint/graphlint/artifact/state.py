"""State that becomes inputs, in the archive: its values leave the lists of weights and constants, and the sample inputs
get keywords. The members that hold the values stay, for whoever begins with them.

Only archives of torch 2.9 and later, which list each value by itself.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.constants import Listing, opened, planned_content, reframed, rewritten, string, without_items
from graphlint.artifact.container import quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickles import Followed, follow_dict, is_place
from graphlint.artifact.rewrite import Changes

_TUPLE2: Final = b"\x86"
_LARGEST: Final = 16
"""Bytes of an element, at most."""


class Value(msgspec.Struct, frozen=True):
    """Where a value lies that is listed no more."""

    list: str
    """The member that listed it."""
    place: int
    """Where in the list it stood."""
    member: str
    entry: dict[str, Any]
    """What was said of it there."""


class Keyword(msgspec.Struct, frozen=True):
    """A tensor that sample inputs get."""

    name: str
    dtype: str
    sizes: Sequence[int]
    device: str = "cpu"


def unlisted(
    artifact: Artifact, entry: ProgramEntry, planned: Changes, names: Collection[str]
) -> tuple[dict[str, bytes | None], dict[str, Value]]:
    """The changes by which the values of ``names`` are weights and constants no more, and where each of them lies.

    ``planned`` are changes that are already decided on. Raises ArtifactError where one of them is not listed.
    """
    changes: dict[str, bytes | None] = {}
    found: dict[str, Value] = {}
    for member in filter(None, (entry.weights_config, entry.constants_config)):
        listing = Listing(artifact, member, planned)
        taken = [(place, *one) for place, one in enumerate(listing.entries()) if one[0] in names]
        for place, name, path, one in taken:
            found[name] = Value(member, place, path, one)
            del listing.config[name]
        if taken:
            changes[member] = listing.encoded()
    for name in names:
        if name not in found:
            raise ArtifactError(f"the archive lists no value of {quoted(name)}, which was to become an input")
    return changes, found


def listed(artifact: Artifact, planned: Changes, values: Mapping[str, Value]) -> dict[str, bytes | None]:
    """The inverse of :func:`unlisted`. Raises ArtifactError where a value is not there, or another one is called so."""
    changes: dict[str, bytes | None] = {}
    for name, value in sorted(values.items(), key=lambda item: item[1].place):
        if value.list not in artifact.container.members or value.member not in artifact.container.members:
            raise ArtifactError(f"the value of {quoted(name)} is gone from the archive", member=value.member)
        listing = Listing(artifact, value.list, {**planned, **changes})
        if name in listing.config:
            raise ArtifactError(f"{quoted(value.list)} already has a value {quoted(name)}", member=value.list)
        before = [*listing.config.items()]
        listing.config.clear()
        listing.config.update([*before[: value.place], (name, value.entry), *before[value.place :]])
        changes[value.list] = listing.encoded()
    return changes


def with_samples(
    artifact: Artifact, entry: ProgramEntry, planned: Changes, keywords: Sequence[Keyword]
) -> dict[str, bytes | None]:
    """The changes by which the sample inputs have more keywords, each zeros of which one element is stored. Nothing
    where there are no sample inputs. Raises ArtifactError where they are not as torch writes them.
    """
    return _resampled(artifact, entry, planned, lambda saved: _with_keywords(saved, keywords) if keywords else saved)


def without_samples(
    artifact: Artifact, entry: ProgramEntry, planned: Changes, names: Collection[str]
) -> dict[str, bytes | None]:
    """The inverse of :func:`with_samples`."""
    return _resampled(artifact, entry, planned, lambda saved: without_items(saved, names, inputs=True))


def _resampled(
    artifact: Artifact, entry: ProgramEntry, planned: Changes, edit: Callable[[bytes], bytes]
) -> dict[str, bytes | None]:
    member = entry.sample_inputs
    saved = planned_content(artifact, member, planned) if member is not None else b""
    if member is None or not saved:
        return {}
    try:
        return {member: edit(saved)}
    except ArtifactError as error:
        raise ArtifactError(
            f"the sample inputs in {quoted(member)} cannot be changed: {error}", member=member
        ) from error


def _with_keywords(saved: bytes, keywords: Sequence[Keyword]) -> bytes:
    container, root, pickle = opened(saved)
    if f"{root}/byteorder" in container.members and container.read(f"{root}/byteorder", limit=16) != b"little":
        raise ArtifactError("their tensors are big-endian")
    followed, held = follow_dict(pickle, inputs=True)
    place = _behind_keywords(pickle)
    changes: dict[str, bytes] = {}
    items = b""
    free = (number for number in count() if f"{root}/data/{number}" not in container.members)
    for keyword, number in zip(keywords, free, strict=False):
        if keyword.name in held.items:
            raise ArtifactError(f"they already have a keyword {quoted(keyword.name)}")
        if not is_place(keyword.device):
            raise ArtifactError(f"there is no device {quoted(keyword.device)}")
        changes[f"{root}/data/{number}"] = bytes(_LARGEST)
        items += _item(keyword, str(number))
    changes[f"{root}/data.pkl"] = reframed(pickle[:place] + items + pickle[place:], followed.frame)
    return rewritten(container, changes, before=f"{root}/version")


def _behind_keywords(pickle: bytes) -> int:
    """Where the dict of keywords is on top of the stack, complete: in front of what makes a pair of it."""
    followed, place, on_top = Followed(pickle), 0, None
    while not followed.stopped:
        if pickle[followed.end : followed.end + 1] == _TUPLE2 and not followed.outer:
            place, on_top = followed.end, followed.stack[-1]
        followed.step()
    if on_top is None or not isinstance(followed.value, tuple) or followed.value[-1] is not on_top:
        raise ArtifactError("they are no pair of arguments and keywords as torch writes it")
    return place


def _item(keyword: Keyword, storage: str) -> bytes:
    """The opcodes that put a tensor into the dict on top of the stack.

    ``dict[name] = torch._utils._rebuild_tensor_v3(loaded, 0, sizes, strides, False, OrderedDict(), dtype)`` where
    ``loaded`` is ``persistent_load(("storage", torch.UntypedStorage, storage, device, 16))``: of all dtypes.
    """
    identity = string("storage") + b"ctorch.storage\nUntypedStorage\n" + string(storage) + string(keyword.device)
    loaded = b"(" + identity + _integer(_LARGEST) + b"tQ"
    sizes = b"(" + b"".join(map(_integer, keyword.sizes)) + b"t"
    strides = b"(" + _integer(0) * len(keyword.sizes) + b"t"
    hooks, dtype = b"ccollections\nOrderedDict\n)R", f"ctorch\n{keyword.dtype}\n".encode()
    arguments = loaded + _integer(0) + sizes + strides + b"\x89" + hooks + dtype
    return string(keyword.name) + b"ctorch._utils\n_rebuild_tensor_v3\n(" + arguments + b"tRs"


def _integer(value: int) -> bytes:
    """LONG1: of any size."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content

"""Adds constants (tensors) to a program's payload, where stock torch looks for them, takes them away again, and edits
what is said of them.

Non-persistent buffers live among the constants too. torch 2.9 and later keep each one's bytes in a member of its own,
listed in a JSON file; torch 2.3 to 2.8 keep all of a program's in one torch.save file, which
:mod:`graphlint.artifact.pickled` extends without unpickling it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.writer import Changes

ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 10: 8, 11: 16, 12: 1, 13: 2}
"""Bytes per element of the dtypes that constants can have (``ScalarType`` in ``torch/_export/serde/schema.py``)."""

STRIDED = 7
"""``Layout.Strided`` there."""


class NewConstant(msgspec.Struct, frozen=True):
    """A contiguous CPU tensor to be added to a program."""

    name: str
    """The name by which the program's signature refers to it (``buffer_name``, ``tensor_constant_name``)."""
    dtype: int
    """torch's serialized ``ScalarType`` (7: float32)."""
    shape: tuple[int, ...]
    data: bytes
    """The elements, little-endian."""

    def __post_init__(self) -> None:
        """Raises ValueError when the data is not what dtype and shape call for."""
        if self.dtype not in ITEM_SIZES or len(self.data) != math.prod(self.shape) * ITEM_SIZES[self.dtype]:
            raise ValueError(f"{len(self.data)} bytes are no tensor of dtype {self.dtype} and shape {self.shape}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours in each dimension; 1 stands for sizes of 0, as in torch."""
        sizes = [max(size, 1) for size in self.shape]
        return tuple(math.prod(sizes[dimension + 1 :]) for dimension in range(len(sizes)))


def add_constants(
    artifact: Artifact,
    entry: ProgramEntry,
    constants: Sequence[NewConstant],
    planned: Changes | None = None,
) -> dict[str, bytes]:
    """The changes to the archive (member name → new content) by which the program has the constants too.

    ``planned`` are changes that are already decided on: they count as part of the archive, and the result goes on top
    of them (it does not repeat them). Raises ArtifactError when the layout has no place for constants (torch 2.1, 2.2),
    when what is there is not as torch writes it, or when a name is taken.
    """
    planned = planned or {}
    if not constants:
        return {}
    if entry.constants_pickle is not None:
        from graphlint.artifact.pickled import extend_saved_dict

        member = entry.constants_pickle
        try:
            return {member: extend_saved_dict(_content(artifact, member, planned), constants)}
        except ArtifactError as error:
            raise ArtifactError(f"constants cannot be added to {quoted(member)}: {error}", member=member) from error
    if entry.constants_config is not None:
        return _add_raw(artifact, entry.constants_config, constants, planned)
    if entry.layout == "legacy":
        raise ArtifactError(
            "constants cannot be added to an artifact of torch 2.1 or 2.2: export the model with a newer torch"
        )
    raise ArtifactError(f"the archive has no member for the constants of program {quoted(entry.name)}")


def remove_constants(
    artifact: Artifact, entry: ProgramEntry, names: Collection[str], planned: Changes | None = None
) -> dict[str, bytes | None]:
    """The changes to the archive by which the program lacks the constants of these names: the inverse of
    :func:`add_constants`. What is not there need not be removed.

    A payload goes with the last constant that shows it. Raises ArtifactError when it cannot be told apart from the
    rest.
    """
    planned = planned or {}
    if not names:
        return {}
    if entry.constants_pickle is not None:
        from graphlint.artifact.pickled_removal import without_items

        member = entry.constants_pickle
        try:
            return {member: without_items(_content(artifact, member, planned), names)}
        except ArtifactError as error:
            raise ArtifactError(f"constants cannot be removed from {quoted(member)}: {error}", member=member) from error
    if entry.constants_config is None:
        return {}
    member = entry.constants_config
    document, config = _parse_config(_content(artifact, member, planned), member)
    gone = [config.pop(name) for name in names if name in config]
    if not gone:
        return {}
    left = {member: document}
    for other in {one.constants_config for one in artifact.programs if one.constants_config is not None} - {member}:
        left[other] = _parse_config(_content(artifact, other, planned), other)[0]
    used = {
        f"{other.rpartition('/')[0]}/{one.get('path_name')}"
        for other, its in left.items()
        for one in its["config"].values()
        if isinstance(one, dict)
    }
    paths = {f"{member.rpartition('/')[0]}/{one.get('path_name')}" for one in gone if isinstance(one, dict)}
    changes: dict[str, bytes | None] = {path: None for path in paths - used if path in artifact.container.members}
    changes[member] = json.dumps(document).encode()
    return changes


def without_gradients(
    artifact: Artifact, entry: ProgramEntry, names: Collection[str], planned: Changes | None = None
) -> dict[str, bytes]:
    """The changes by which constants of these names, and whatever has the same payload, no longer require gradients.

    Export records that they do of constants that the model writes with gradients on. It does no harm as long as they
    are no buffers, for torch detaches other constants; but it cannot write back a buffer that requires gradients.
    """
    if entry.constants_config is None or not names:
        return {}
    member = entry.constants_config
    document, config = _parse_config(_content(artifact, member, planned or {}), member)
    entries = [one for one in config.values() if isinstance(one, dict)]
    payloads = {one.get("path_name") for name, one in config.items() if name in names and isinstance(one, dict)}
    metas = [one.get("tensor_meta") for one in entries if one.get("path_name") in payloads]
    demanding = [meta for meta in metas if isinstance(meta, dict) and meta.get("requires_grad")]
    for meta in demanding:
        meta["requires_grad"] = False
    return {member: json.dumps(document).encode()} if demanding else {}


def _add_raw(artifact: Artifact, member: str, constants: Sequence[NewConstant], planned: Changes) -> dict[str, bytes]:
    """Layout of torch 2.9 and later (``_package_constants`` in ``torch/export/pt2_archive/_package.py``)."""
    document, config = _parse_config(_content(artifact, member, planned), member)
    folder = member.rpartition("/")[0]
    taken = {name.lower() for name in (*artifact.container.members, *planned)}  # torch's reader ignores case
    changes: dict[str, bytes] = {}
    number = 0
    for constant in constants:
        if constant.name in config:
            raise ArtifactError(f"{quoted(member)} already has a constant {quoted(constant.name)}", member=member)
        while f"{folder}/tensor_{number}".lower() in taken:
            number += 1
        path_name = f"tensor_{number}"
        taken.add(f"{folder}/{path_name}".lower())
        changes[f"{folder}/{path_name}"] = constant.data
        config[constant.name] = {
            "path_name": path_name,
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": {
                "dtype": constant.dtype,
                "sizes": [{"as_int": size} for size in constant.shape],
                "requires_grad": False,
                "device": {"type": "cpu", "index": None},
                "strides": [{"as_int": stride} for stride in constant.strides],
                "storage_offset": {"as_int": 0},
                "layout": STRIDED,
            },
        }
    changes[member] = json.dumps(document).encode()
    return changes


def _content(artifact: Artifact, member: str, planned: Changes) -> bytes:
    content = planned.get(member)
    return artifact.container.read(member) if content is None else content


def _parse_config(content: bytes, member: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and the mapping in it from constants' names to what is said of them."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"member {quoted(member)} is not valid JSON: {error}", member=member) from error
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ArtifactError(f'member {quoted(member)} has no object "config" at its top level', member=member)
    return document, config

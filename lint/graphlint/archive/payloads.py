"""Which parameters, buffers and constants lie in the same memory once an artifact is loaded.

torch saves a storage once, however many tensors show it: PT2 archives of torch 2.9 and later name the same member for
all of them, pickled dicts the same storage. The pickles are followed opcode by opcode, never unpickled, and of what
holds them only the directory and ``data.pkl`` are read, never a weight.
"""

from __future__ import annotations

import msgspec

from graphlint.archive.artifact import Artifact, ProgramEntry
from graphlint.archive.container import Container
from graphlint.archive.source import ByteSource, BytesSource
from graphlint.archive.zipformat import STORED
from graphlint.errors import ArtifactError


class _Payload(msgspec.Struct):
    path_name: str = ""


class _Config(msgspec.Struct):
    config: dict[str, _Payload] = {}


class _Section:
    """A stored member of an archive as a source of its own."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        self.size = size
        self._source = source
        self._offset = offset

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes of the member."""
        return self._source.read_at(self._offset + offset, max(min(length, self.size - offset), 0))

    def close(self) -> None:
        """The archive's source stays open."""


def payloads(artifact: Artifact, entry: ProgramEntry) -> dict[str, str]:
    """Qualified name to an identity of the storage that holds its value; equal identities are the same memory.

    Names whose payload is not understood (custom objects) are left out. Raises ArtifactError where a member that
    says which payload is whose is damaged.
    """
    found: dict[str, str] = {}
    for kind, config, pickle in (
        ("weights", entry.weights_config, entry.weights_pickle),
        ("constants", entry.constants_config, entry.constants_pickle),
    ):
        if config is not None:
            found.update((name, f"{kind}/{path}") for name, path in _configured(artifact, config).items())
        elif pickle is not None:
            found.update((name, f"{kind}/{key}") for name, key in _pickled(artifact, pickle).items())
    return found


def _configured(artifact: Artifact, member: str) -> dict[str, str]:
    try:
        config = msgspec.json.decode(artifact.container.read(member), type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not a list of payloads: {error}", member=member) from None
    return {name: payload.path_name for name, payload in config.config.items()}


def _pickled(artifact: Artifact, member: str) -> dict[str, str]:
    from graphlint.archive.pickled import trace_storages

    container = artifact.container
    saved = container.members.get(member)
    if saved is None or saved.size == 0:
        return {}
    source: ByteSource
    if saved.method == STORED:
        source = _Section(container.source, container.data_offset(saved), saved.size)
    else:
        source = BytesSource(container.read(member))
    try:
        inner = Container(source)
        pickle = next((name for name in inner.members if name.endswith("/data.pkl")), None)
        return trace_storages(inner.read(pickle)) if pickle is not None else {}
    except ArtifactError as error:
        raise ArtifactError(f"its contents cannot be listed: {error}", member=member) from None

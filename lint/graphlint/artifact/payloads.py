"""Which parameters, buffers and constants lie in the same memory once an artifact is loaded.

torch saves a storage once, however many tensors show it: PT2 archives of torch 2.9 and later name the same member for
all of them, pickled dicts the same storage. The pickles are followed opcode by opcode, never unpickled, and of what
holds them only the directory and ``data.pkl`` are read, never a weight.
"""

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError


class Payload(msgspec.Struct):
    """What a list of weights or constants says of one of them."""

    path_name: str = ""
    """The member that holds it, in the folder of the list."""
    use_pickle: bool = False


class _Config(msgspec.Struct):
    config: dict[str, Payload] = {}


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
        held = {} if pickle is None else _pickled(artifact, pickle)
        if config is not None:
            held = {name: one.path_name for name, one in read_config(artifact, config).items()}
        found.update((name, f"{kind}/{key}") for name, key in held.items())
    return found


def read_config(artifact: Artifact, member: str) -> dict[str, Payload]:
    """A list of weights or constants, by qualified name. Raises ArtifactError when it is none."""
    content = artifact.container.read(member, artifact.limits.config_bytes, "config-bytes")
    try:
        return msgspec.json.decode(content, type=_Config).config
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not a list of payloads: {error}", member=member) from None
    except RecursionError:
        raise ArtifactError("not a list of payloads: nested too deeply", member=member) from None


def _pickled(artifact: Artifact, member: str) -> dict[str, str]:
    from graphlint.artifact.pickles import Storage, follow_dict

    container = artifact.container
    if member not in container.members or container.members[member].size == 0:
        return {}
    try:
        inner = Container(container.source_of(member, artifact.limits.pickle_bytes), artifact.limits)
        pickle = next((name for name in inner.members if name.endswith("/data.pkl")), None)
        if pickle is None:
            return {}
        _, held = follow_dict(inner.read(pickle, artifact.limits.pickle_bytes, "pickle-bytes"))
        return {name: value.key for name, value in held.items.items() if isinstance(value, Storage)}
    except ArtifactError as error:
        raise ArtifactError(f"its contents cannot be listed: {error}", member=member) from None

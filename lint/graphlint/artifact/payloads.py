"""What an artifact holds of parameters, buffers and constants: which of them lie in the same memory once it is loaded,
and whether they are zeros.

torch saves a storage once, however many tensors show it: PT2 archives of torch 2.9 and later name the same member for
all of them, pickled dicts the same storage. The pickles are followed opcode by opcode, never unpickled. Of what holds
them only the directory and ``data.pkl`` are read; weights are looked at where somebody asks whether they are zeros.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import Container, folded, quoted
from graphlint.artifact.errors import ArtifactError

if TYPE_CHECKING:
    from graphlint.artifact.pickles import Storage


class _Told(msgspec.Struct):
    as_int: int | None = None


class Layout(msgspec.Struct):
    """What a list says of a tensor."""

    dtype: int = 0
    sizes: list[_Told] = []
    strides: list[_Told] = []
    storage_offset: _Told | None = None

    @property
    def last(self) -> int | None:
        """How many elements of its storage it reaches over; None where that is not told in numbers."""
        sizes, strides = ([one.as_int for one in numbers] for numbers in (self.sizes, self.strides))
        offset = 0 if self.storage_offset is None else self.storage_offset.as_int
        if offset is None or len(sizes) != len(strides):
            return None
        reach = offset
        for size, stride in zip(sizes, strides, strict=True):
            if size is None or stride is None:
                return None
            if size == 0:
                return 0
            reach += (size - 1) * stride
        return reach + 1


class Payload(msgspec.Struct):
    """What a list of weights or constants says of one of them."""

    path_name: str = ""
    """The member that holds it, in the folder of the list."""
    use_pickle: bool = False
    tensor_meta: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def layout(self) -> Layout | None:
        """What is said of the tensor. Raises ArtifactError where that is of another shape than torch's."""
        try:
            return msgspec.json.decode(self.tensor_meta, type=Layout | None)
        except msgspec.DecodeError as error:
            raise ArtifactError(f"what a list says of {quoted(self.path_name)} is not understood: {error}") from None


class Stored(msgspec.Struct, frozen=True):
    """What holds the value of a parameter, buffer or constant."""

    memory: str
    """The same for those that lie in the same memory once the artifact is loaded."""
    is_zero: Callable[[int], bool | None]
    """Given how many bytes an element takes, whether all of them are zero; None where that cannot be told. It reads
    them. Raises ArtifactError where they cannot be read."""


class _Config(msgspec.Struct):
    config: dict[str, Payload] = {}


class _Number(msgspec.Struct):
    as_int: int


class _Shown(msgspec.Struct):
    """The part of a storage that a tensor shows, in elements."""

    sizes: tuple[_Number, ...]
    strides: tuple[_Number, ...]
    storage_offset: _Number


def payloads(artifact: Artifact, entry: ProgramEntry) -> dict[str, Stored]:
    """What holds the values, by qualified name.

    Names whose payload is not understood (custom objects) are left out. Raises ArtifactError where a member that
    says which payload is whose is damaged.
    """
    found: dict[str, Stored] = {}
    for kind, config, pickle in (
        ("weights", entry.weights_config, entry.weights_pickle),
        ("constants", entry.constants_config, entry.constants_pickle),
    ):
        if pickle is not None:
            found.update(_pickled(artifact, pickle, kind))
        if config is not None:
            folder = config.rpartition("/")[0]
            for name, one in read_config(artifact, config).items():
                found[name] = Stored(f"{kind}/{one.path_name}", _listed(artifact.container, folder, one))
    return found


def read_config(artifact: Artifact, member: str) -> dict[str, Payload]:
    """A list of weights or constants, by qualified name, read once. Raises ArtifactError when it is none."""
    known = artifact.configs.get(member)
    if known is not None:
        return known
    content = artifact.container.read(member, artifact.limits.config_bytes, "config-bytes")
    try:
        found = msgspec.json.decode(content, type=_Config).config
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not a list of payloads: {error}", member=member) from None
    except RecursionError:
        raise ArtifactError("not a list of payloads: nested too deeply", member=member) from None
    artifact.configs[member] = found
    return found


def _listed(container: Container, folder: str, payload: Payload) -> Callable[[int], bool | None]:
    def is_zero(item_size: int) -> bool | None:
        from graphlint.artifact import zeros

        try:
            shown = msgspec.json.decode(payload.tensor_meta, type=_Shown)
        except msgspec.DecodeError:
            return None
        if payload.use_pickle or len(shown.sizes) != len(shown.strides):
            return None
        sizes, strides = ([one.as_int for one in numbers] for numbers in (shown.sizes, shown.strides))
        source = container.source_of(f"{folder}/{payload.path_name}")
        return zeros.is_zero(source, item_size, shown.storage_offset.as_int, sizes, strides)

    return is_zero


def _pickled(artifact: Artifact, member: str, kind: str) -> dict[str, Stored]:
    from graphlint.artifact.pickles import Storage

    opened = _opened(artifact, member)
    if opened is None:
        return {}
    inner, root, items = opened
    return {
        name: Stored(f"{kind}/{value.key}", _saved(inner, root, value))
        for name, value in items.items()
        if isinstance(value, Storage)
    }


def pickled(artifact: Artifact, member: str) -> tuple[set[str], list[str]] | None:
    """The names in a pickled dict of weights or constants, and those of them whose tensors have no member; None where
    there is no such dict. Raises ArtifactError where it cannot be followed.
    """
    from graphlint.artifact.pickles import Storage

    opened = _opened(artifact, member)
    if opened is None:
        return None
    inner, root, items = opened
    tensors = ((name, value.key) for name, value in items.items() if isinstance(value, Storage))
    gone = [name for name, key in tensors if folded(f"{root}/data/{key}") not in inner.by_folded_name]
    return {name for name in items if isinstance(name, str)}, gone


def _opened(artifact: Artifact, member: str) -> tuple[Container, str, dict[Any, Any]] | None:
    """The archive that a pickled dict is saved in, its folder, and the dict."""
    from graphlint.artifact.pickles import follow_dict

    container = artifact.container
    if member not in container.members or container.members[member].size == 0:
        return None
    try:
        inner = Container(container.source_of(member, artifact.limits.pickle_bytes), artifact.limits)
        pickle = next((name for name in inner.members if name.endswith("/data.pkl")), None)
        if pickle is None:
            return None
        _, held = follow_dict(inner.read(pickle, artifact.limits.pickle_bytes, "pickle-bytes"))
        return inner, pickle.rpartition("/")[0], held.items
    except ArtifactError as error:
        raise ArtifactError(f"its contents cannot be listed: {error}", member=member) from None


def _saved(container: Container, root: str, shown: "Storage") -> Callable[[int], bool | None]:
    def is_zero(item_size: int) -> bool | None:
        from graphlint.artifact import zeros

        if shown.part is None:
            return None
        return zeros.is_zero(container.source_of(f"{root}/data/{shown.key}"), item_size, *shown.part)

    return is_zero

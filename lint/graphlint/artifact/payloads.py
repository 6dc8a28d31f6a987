"""What an artifact holds of parameters, buffers and constants: which of them lie in the same memory once it is loaded,
and whether they are zeros.

torch saves a storage once, however many tensors show it: PT2 archives of torch 2.9 and later name the same member for
all of them, pickled dicts the same storage. The pickles are followed opcode by opcode, never unpickled. Of what holds
them only the directory and ``data.pkl`` are read; weights are looked at where somebody asks whether they are zeros.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

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
    def part(self) -> tuple[int, list[int], list[int]] | None:
        """What it shows of its storage: offset, sizes and strides in elements; None where no numbers tell that."""
        sizes, strides = ([one.as_int for one in told if one.as_int is not None] for told in (self.sizes, self.strides))
        offset = 0 if self.storage_offset is None else self.storage_offset.as_int
        if offset is None or not len(self.sizes) == len(sizes) == len(strides) == len(self.strides):
            return None
        return offset, sizes, strides

    @property
    def last(self) -> int | None:
        """How many elements of its storage it reaches over; None where that is not told in numbers."""
        part = self.part
        if part is None:
            return None
        offset, sizes, strides = part
        if 0 in sizes:
            return 0
        return offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) + 1


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

    @property
    def part(self) -> tuple[int, list[int], list[int]] | None:
        """As that of the layout; None of what is pickled, too, and where the list is not understood."""
        try:
            layout = None if self.use_pickle else self.layout
        except ArtifactError:
            return None
        return layout.part if layout is not None else None


class Stored(msgspec.Struct, frozen=True):
    """What holds the value of a parameter, buffer or constant."""

    memory: str
    """The same for those that lie in the same memory once the artifact is loaded."""
    is_zero: Callable[[int], bool | None]
    """Given how many bytes an element takes, whether all of them are zero; None where that cannot be told. It reads
    them. Raises ArtifactError where they cannot be read."""


class _Config(msgspec.Struct):
    config: dict[str, Payload] = {}


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
            inner, folder, _, tensors = _opened(artifact, pickle)
            for name, tensor in tensors.items():
                found[name] = Stored(f"{kind}/{tensor.key}", partial(_is_zero, inner, folder, tensor.key, tensor))
        if config is not None:
            folder = config.rpartition("/")[0]
            for name, one in read_config(artifact, config).items():
                is_zero = partial(_is_zero, artifact.container, folder, one.path_name, one)
                found[name] = Stored(f"{kind}/{one.path_name}", is_zero)
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


def pickled(artifact: Artifact, member: str) -> tuple[Iterable[str], list[str]]:
    """The names in a pickled dict of weights or constants, and those of them whose tensors have no member; none where
    there is no such dict. Raises ArtifactError where it cannot be followed.
    """
    inner, folder, names, tensors = _opened(artifact, member)
    return names, [name for name, one in tensors.items() if folded(f"{folder}/{one.key}") not in inner.by_folded_name]


def _opened(artifact: Artifact, member: str) -> tuple[Container, str, Iterable[str], dict[str, "Storage"]]:
    """The archive that a pickled dict is saved in, the folder of its storages, the dict's names, and its tensors. There
    are none where it is empty, or no such archive.
    """
    from graphlint.artifact.pickles import Storage, follow_dict

    container = artifact.container
    if member not in container.members or container.members[member].size == 0:
        return container, "", (), {}
    try:
        inner = Container(container.source_of(member, artifact.limits.pickle_bytes), artifact.limits)
        pickle = next((name for name in inner.members if name.endswith("/data.pkl")), None)
        if pickle is None:
            return inner, "", (), {}
        _, held = follow_dict(inner.read(pickle, artifact.limits.pickle_bytes, "pickle-bytes"))
    except ArtifactError as error:
        raise ArtifactError(f"its contents cannot be listed: {error}", member=member) from None
    tensors = {name: value for name, value in held.items.items() if isinstance(value, Storage)}
    return inner, f"{pickle.rpartition('/')[0]}/data", held.items.keys(), tensors


def _is_zero(container: Container, folder: str, name: str, shown: "Payload | Storage", item_size: int) -> bool | None:
    """Whether what a tensor shows of a member is all zeros."""
    from graphlint.artifact import zeros

    part = shown.part
    return None if part is None else zeros.is_zero(container.source_of(f"{folder}/{name}"), item_size, *part)

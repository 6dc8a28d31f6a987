"""What is in the container: which programs, and which members belong to them, in each of torch's layouts.

How torch tells the layouts apart: ``torch.export.load`` (``torch/export/pt2_archive/_package.py``) tries the PT2
archive first, whose reader takes the first member's first folder as the root and wants ``<root>/archive_format`` to be
``pt2`` and ``<root>/archive_version`` to be ``0``; only then the flat layout of torch 2.7 and before.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from graphlint.artifact.container import DEFAULT, Container, Member, quoted
from graphlint.artifact.errors import (
    DAMAGED,
    FOREIGN,
    INCOMPLETE,
    NEWER,
    REPACKED,
    ArtifactError,
    LfsPointerError,
    MergeConflictError,
)
from graphlint.artifact.limits import Limits
from graphlint.artifact.patterns import pattern
from graphlint.artifact.source import AnyPath, ByteSource, FileSource, is_url

if TYPE_CHECKING:
    from graphlint.artifact.payloads import Payload

LFS_PREFIX = b"version https://git-lfs.github.com/spec/"
_CONFLICT = pattern(rb"^<{7} ", re.MULTILINE)
"""How git begins what two sides of a merge do not agree on."""
FLAT_PROGRAM = "serialized_exported_program.json"
AOTINDUCTOR = "data/aotinductor/"
EXECUTORCH = "data/executorch/"
HALF = (
    "a PT2 archive without a program: torch.export.save leaves such a file where it fails half-way, as it does at an "
    "op that cannot be serialized"
)

Layout = Literal["flat", "pt2-pickled", "pt2"]
"""``flat``: torch 2.7 and before; ``pt2-pickled``: 2.8; ``pt2``: 2.9 and later."""


class ProgramEntry(msgspec.Struct, frozen=True):
    """A program in an artifact, and the archive members that belong to it (None where there is no such member)."""

    name: str
    """As torch calls it: ``model`` unless the artifact was packaged with other names."""
    member: str
    """The program's JSON."""
    weights_pickle: str | None = None
    """A torch.save archive of a dict (torch 2.8 and before)."""
    weights_config: str | None = None
    """JSON that maps names to members (2.9 and later)."""
    constants_pickle: str | None = None
    """As for the weights (2.3 to 2.8), for constants and non-persistent buffers."""
    constants_config: str | None = None
    sample_inputs: str | None = None

    @property
    def layout(self) -> Layout:
        """The layout of torch's that the archive has."""
        if self.member == FLAT_PROGRAM:
            return "flat"
        return "pt2-pickled" if self.weights_pickle or self.constants_pickle else "pt2"


class Artifact(AbstractContextManager["Artifact"]):
    """An exported-program archive, open for reading."""

    def __init__(self, path: str, container: Container) -> None:
        """Takes over the container: raises ArtifactError when it is not an artifact (the caller then closes it)."""
        self.path = path
        self.container = container
        self.limits = container.limits
        self.configs: dict[str, dict[str, Payload]] = {}
        """The lists of weights and constants that were read."""
        self.root, self.programs, self.note = _recognize(container)
        """The note says what an archive without programs is."""
        self.compiled = () if self.programs else _compiled(container, self.root)
        """The members of a package of compiled code."""

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def extra_member(self, name: str) -> str:
        """Where the archive has the extra file of that name (``extra_files`` of ``torch.export.save``), if it has."""
        return f"{self.root}/extra/{name}" if self.root else f"extra_files/{name}"

    def read_program(self, entry: ProgramEntry, *, as_torch: bool = False) -> bytes:
        """The program's JSON, checked against its size and checksum but not parsed; or what torch reads of it."""
        return self.container.read(entry.member, self.limits.program_bytes, "program-bytes", as_torch=as_torch)


def open_artifact(path: AnyPath, limits: Limits = DEFAULT, source: ByteSource | None = None) -> Artifact:
    """Opens an artifact and lists its programs; reads the archive's directory and nothing of the programs yet. With a
    ``source``, the path is a name only.

    Raises LfsPointerError for a Git LFS pointer, ArtifactError for whatever else is no readable artifact, and
    RemoteError for a remote one that cannot be had.
    """
    name = os.fsdecode(path)
    if source is None and is_url(name):
        from graphlint.artifact.remote import RemoteSource

        source = RemoteSource(name)
    elif source is None:
        source = FileSource(path)
    try:
        return Artifact(name, _container(source, limits))
    except BaseException:
        source.close()
        raise


@contextmanager
def opened(path: str, limits: Limits = DEFAULT) -> Iterator[Artifact]:
    """The artifact at ``path``, closed in the end. Raises ArtifactError with the path in its message."""
    try:
        artifact = open_artifact(path, limits)
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}", member=error.member, advice=error.advice) from None
    with artifact:
        yield artifact


def _container(source: ByteSource, limits: Limits) -> Container:
    """The archive, or what a file is that is none. The end is read first: who reads it needs no beginning."""
    try:
        container = Container(source, limits)
    except ArtifactError:
        _refuse_other_files(source)
        raise
    if all(member.header_offset for member in container.members.values()):
        _refuse_other_files(source)
    return container


def _refuse_other_files(source: ByteSource) -> None:
    """Says what a file is that can't be a zip archive, as far as its first bytes tell."""
    start = source.read_at(0, 512)
    if start.startswith(b"PK"):
        return
    if not start:
        raise ArtifactError("the file is empty", advice=DAMAGED)
    if _CONFLICT.search(start):
        what = "Git LFS pointer" if LFS_PREFIX in start else "file"
        raise MergeConflictError(f"the {what} has an unresolved merge conflict")
    if start.startswith(LFS_PREFIX):
        raise LfsPointerError("the file is a Git LFS pointer: run `git lfs pull` to fetch the artifact")
    if start.startswith(b"\x80") and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        raise ArtifactError("not an exported program but a pickle (torch.save in its old format?)", advice=FOREIGN)
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ArtifactError("not a zip archive but an HTML page (a failed download?)", advice=DAMAGED)
    if not start.strip(b"\0"):
        raise ArtifactError(
            "not a zip archive: the file starts with zero bytes (an interrupted download or copy?)", advice=DAMAGED
        )
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        # The last character may be merely cut off.
        text = start[: error.start].decode() if error.start >= len(start) - 3 else "\0"
    if all(c.isprintable() or c.isspace() for c in text):
        raise ArtifactError("not a zip archive but a text file", advice=FOREIGN)
    # Anything else may still be a zip archive with something before it: the container tells.


def _recognize(container: Container) -> tuple[str, tuple[ProgramEntry, ...], str]:
    """The root folder, the programs, and the note."""
    members = container.members
    root = next(iter(members), "").partition("/")[0]
    format_member = f"{root}/archive_format"
    if format_member not in members:
        if FLAT_PROGRAM in members:
            return "", (_flat_program(members),), ""
        if any(name.startswith(AOTINDUCTOR) for name in members):  # torch 2.7 and before: without a root folder
            return "", (), "a package of compiled code (AOTInductor) without exported programs"
        raise _foreign(container, root)
    _refuse_strays(container, root)
    kind = container.read(format_member, limit=1 << 10)
    if kind != b"pt2":
        raise ArtifactError(
            f'member {quoted(format_member)} says {_shown(kind)} instead of "pt2"', member=format_member
        )
    version_member = f"{root}/archive_version"
    if version_member in members:
        version = container.read(version_member, limit=1 << 10)
        if version != b"0":
            raise ArtifactError(
                f"the archive is of version {_shown(version)}, and only version 0 is known",
                member=version_member,
                advice=NEWER,
            )
    programs = tuple(
        _pt2_program(members, root, name)
        for name in members
        if name.startswith(f"{root}/models/") and name.endswith(".json")
    )
    _refuse_twins(container, programs)
    if programs:
        return root, programs, ""
    for folder, what in (
        (AOTINDUCTOR, "a package of compiled code (AOTInductor)"),
        (EXECUTORCH, "a package of ExecuTorch programs"),
    ):
        if any(name.startswith(f"{root}/{folder}") for name in members):
            return root, (), f"{what} without exported programs"
    return root, (), HALF


def _compiled(container: Container, root: str) -> tuple[str, ...]:
    folders = tuple(f"{root}/{folder}".removeprefix("/") for folder in (AOTINDUCTOR, EXECUTORCH))
    return tuple(name for name in container.members if name.startswith(folders))


def _refuse_strays(container: Container, root: str) -> None:
    """Refuses members outside the root folder: torch's reader then gives up, and torch reads the file as one of the
    flat layout, if it has the members of that, too.
    """
    if not root:
        raise ArtifactError("the archive's root folder has no name, and no torch writes such a file", advice=REPACKED)
    stray = next((name for name in container.members if not name.startswith(f"{root}/")), None)
    if stray is not None:
        raise ArtifactError(
            f"member {quoted(stray)} lies outside the folder {quoted(root)}, so torch can't read the file as what it "
            "seems to be (was it packed again by another tool?)",
            member=stray,
            advice=REPACKED,
        )


def _refuse_twins(container: Container, programs: tuple[ProgramEntry, ...]) -> None:
    """Refuses names that differ in case only: torch's reader ignores (ASCII) case and takes one member for both."""
    own = {member for entry in programs for member in msgspec.structs.astuple(entry)[1:]}
    for name, twin in container.twins():
        if not own.isdisjoint((twin, name)):
            raise ArtifactError(
                f"member {quoted(name)} differs from {quoted(twin)} in case only, and torch takes one for the other",
                member=name,
            )


def _shown(content: bytes) -> str:
    return quoted(content[:40].decode(errors="replace"))


def _flat_program(members: Mapping[str, Member]) -> ProgramEntry:
    # In spite of their names these hold torch.save archives, and in 2.1 the constants stand among the weights.
    if "serialized_state_dict.json" in members and "serialized_state_dict.pt" not in members:
        return ProgramEntry("model", FLAT_PROGRAM, weights_pickle="serialized_state_dict.json")
    weights, constants, inputs = (
        member if (member := f"serialized_{name}.pt") in members else None
        for name in ("state_dict", "constants", "example_inputs")
    )
    if weights is None:
        raise ArtifactError(
            f"the archive holds {quoted(FLAT_PROGRAM)} but no serialized_state_dict.pt: no torch writes such a file",
            advice=INCOMPLETE,
        )
    return ProgramEntry("model", FLAT_PROGRAM, weights, constants_pickle=constants, sample_inputs=inputs)


def _pt2_program(members: Mapping[str, Member], root: str, member: str) -> ProgramEntry:
    name = member[len(f"{root}/models/") : -len(".json")]
    found: dict[str, str | None] = {}
    for kind in ("weights", "constants"):
        pickle, config = f"{root}/data/{kind}/{name}.pt", f"{root}/data/{kind}/{name}_{kind}_config.json"
        # Where both are there, torch reads the pickle.
        found[f"{kind}_pickle"] = pickle if pickle in members else None
        found[f"{kind}_config"] = config if config in members and pickle not in members else None
    inputs = f"{root}/data/sample_inputs/{name}.pt"
    found["sample_inputs"] = inputs if inputs in members else None
    return ProgramEntry(name, member, **found)


def _foreign(container: Container, root: str) -> ArtifactError:
    """What a zip archive is that is no artifact."""
    members = container.members
    if not members:
        return ArtifactError("an empty zip archive, not an exported program", advice=FOREIGN)
    if f"{root}/data.pkl" in members:
        if f"{root}/constants.pkl" in members or any(name.startswith(f"{root}/code/") for name in members):
            return ArtifactError("a TorchScript archive, not an exported program", advice=FOREIGN)
        return ArtifactError("a torch.save file, not an exported program", advice=FOREIGN)
    if f"{root}/.data/extern_modules" in members:
        return ArtifactError("a torch.package archive, not an exported program", advice=FOREIGN)
    stray = next((name for name in members if name == "archive_format" or name.endswith("/archive_format")), None)
    if stray is not None:
        return ArtifactError(
            f"a PT2 archive, but its first member {quoted(next(iter(members)))} lies outside the folder "
            f"of {quoted(stray)}, so torch can't read it either (was it packed again by another tool?)",
            advice=REPACKED,
        )
    return ArtifactError(
        f"a zip archive, but not an exported program (its first member is {quoted(next(iter(members)))})",
        advice=FOREIGN,
    )

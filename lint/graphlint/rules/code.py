"""What in an artifact torch would run as code when it loads it: found out without torch, and without loading it.

``torch.export.load`` unpickles sample inputs, pickled weights and constants, script objects and opaque objects, loads
compiled code, and puts parts of the program's JSON through ``eval`` and ``exec``. What is plain data is told apart from
the rest by :mod:`graphlint.artifact.pickle_scan` and :mod:`graphlint.ir.executable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import folded, quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.payloads import read_config
from graphlint.artifact.pickle_scan import Budget, archive_code, inputs_code, pickle_code, saved_code
from graphlint.artifact.source import ByteSource
from graphlint.ir.document import Document

_UNKNOWN = "cannot be looked into, so that what it runs is not known"
_MOST = 1000
"""How many findings are told of one artifact."""


class Code(msgspec.Struct, frozen=True):
    """A member that is more than data."""

    member: str
    what: str
    """A phrase whose subject is the member: ``calls os.system``."""

    def describe(self) -> str:
        """One line for messages."""
        return f"member {quoted(self.member)} {self.what}"


def find_code(artifact: Artifact) -> Iterator[Code]:
    """Everything that torch would not load as mere data; nothing for what ``torch.export.save`` makes of plain tensors.

    What cannot be looked into counts as code. Reads all programs, and what :func:`find_member_code` reads.
    """
    yield from _confusions(artifact)
    for entry in artifact.programs:
        yield from _program(artifact, entry)
    yield from find_member_code(artifact)


def find_program_code(document: Document) -> str | None:
    """What of a program's JSON torch runs as code when it loads it, as a phrase; None if nothing.

    Raises :class:`~graphlint.artifact.errors.ProgramError` where Python cannot read the JSON, and so neither can torch.
    """
    from graphlint.ir.executable import may_run, program_code

    try:
        if not may_run(document.program):
            return None
    except (RecursionError, AttributeError, TypeError):
        pass
    tree = document.tree
    try:
        return program_code(tree)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        return f"{_UNKNOWN}: {error}"


def find_member_code(artifact: Artifact) -> Iterator[Code]:
    """The code among the members beside the programs (rule GL003): in what torch unpickles, and compiled code.

    Whatever stands where torch would look for it is looked at, even if no program of that name is there: what torch
    takes for a program depends on less than graphlint asks for. Of members with tensors in them, only the pickle is
    read. After a thousand findings the rest goes untold.
    """
    for number, code in enumerate(_member_code(artifact)):
        if number == _MOST:
            yield Code(code.member, f"runs something, too: more than the {_MOST} findings that are told of one file")
            break
        yield code


def _member_code(artifact: Artifact) -> Iterator[Code]:
    scan = _Scan(artifact)
    if not artifact.root:
        # torch 2.2 also pickles `serialized_constants.json`, which no other version reads.
        programs = {entry.member for entry in artifact.programs}
        for name in artifact.container.members:
            if name.startswith("serialized_") and name not in programs:
                yield from scan.inputs(name) if name.startswith("serialized_example") else scan.saved(name)
        return
    # torch's reader ignores case, and which of two names that differ in nothing else it takes depends on their order.
    by_name: dict[bytes, list[str]] = {}
    for name in artifact.container.members:
        by_name.setdefault(folded(name), []).append(name)
    data = folded(f"{artifact.root}/data/")
    models = folded(f"{artifact.root}/models/")
    has_programs = any(name.startswith(models) for name in by_name)
    compiled: dict[bytes, str] = {}
    for lower, names in by_name.items():
        if not lower.startswith(data):
            continue
        folder, _, rest = lower[len(data) :].partition(b"/")
        if folder == b"sample_inputs" or (folder in (b"weights", b"constants") and rest.endswith(b".pt")):
            for name in names:
                yield from scan.inputs(name) if folder == b"sample_inputs" else scan.saved(name)
        elif folder in (b"weights", b"constants") and rest.endswith(b"_%b_config.json" % folder):
            for name in names:
                yield from _payload(scan, name, by_name, is_weight=folder == b"weights")
        elif folder == b"aotinductor" and has_programs:  # without programs it is a package of nothing else
            compiled.setdefault(rest.partition(b"/")[0], names[0])
    for name in compiled.values():
        yield Code(name, "belongs to compiled code (AOTInductor), which torch loads with the program")


def _confusions(artifact: Artifact) -> Iterator[Code]:
    """Members that torch could take for others."""
    spellings: dict[bytes, str] = {}
    models = folded(f"{artifact.root}/models/")
    for member in artifact.container.members:
        twin = spellings.setdefault(folded(member), member)
        if twin != member:
            yield Code(member, f"differs from {quoted(twin)} in case only")
        elif folded(member).startswith(models) and all(member != entry.member for entry in artifact.programs):
            yield Code(member, "is none of the programs, but torch takes it for one")


def _program(artifact: Artifact, entry: ProgramEntry) -> Iterator[Code]:
    import json

    from graphlint.ir.executable import program_code

    what: str | None
    try:
        tree = json.loads(artifact.read_program(entry))
        what = program_code(tree) if isinstance(tree, dict) else "is no program"
    except (ArtifactError, ValueError, RecursionError, AttributeError, TypeError) as error:
        what = f"{_UNKNOWN}: {error}"
    if what:
        yield Code(entry.member, what)


class _Scan:
    """Looks into the members of an artifact, each in the way that torch reads it."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._budget = Budget(artifact.limits)

    def saved(self, member: str) -> Iterator[Code]:
        """Of what torch.save has written."""
        return self._look(member, saved_code)

    def inputs(self, member: str) -> Iterator[Code]:
        """Of sample inputs, which torch.save has written, too."""
        return self._look(member, inputs_code)

    def script_object(self, member: str) -> Iterator[Code]:
        """Of what torch's own unpickler reads, which knows classes of TorchScript only, and archives only."""
        return self._look(member, archive_code)

    def pickled(self, member: str) -> Iterator[Code]:
        """Of a bare pickle, which torch unpickles without any restraint."""
        return self._look(member, _bare_code)

    def _look(self, member: str, find: Callable[[ByteSource, Budget], list[str]]) -> Iterator[Code]:
        try:
            self._budget.spend(self._budget.EACH)
            source = self.artifact.container.source_of(member, self.artifact.limits.pickle_bytes, "pickle-bytes")
            yield from (Code(member, what) for what in find(source, self._budget))
        except ArtifactError as error:
            yield Code(member, f"{_UNKNOWN}: {error}")


def _bare_code(source: ByteSource, budget: Budget) -> list[str]:
    return pickle_code(source.read_at(0, budget.limits.pickle_bytes), budget)


def _payload(scan: _Scan, config: str, by_name: dict[bytes, list[str]], *, is_weight: bool) -> Iterator[Code]:
    """Of what a list of weights or constants names that is not raw bytes."""
    artifact = scan.artifact
    try:
        listed = dict.fromkeys((one.path_name, one.use_pickle) for one in read_config(artifact, config).values())
    except ArtifactError as error:
        yield Code(config, f"{_UNKNOWN}: {error}")
        return
    for path, pickled in listed:
        if is_weight or not path.startswith(("opaque_obj_", "custom_obj_")):  # of weights, the name does not matter
            if not pickled:
                continue
            look = scan.saved
        else:
            look = scan.pickled if path.startswith("opaque_obj_") else scan.script_object
        # torch joins the names as paths, so that one with a slash in front is not below the folder.
        folder = artifact.root if path.startswith("/") else config.rpartition("/")[0]
        members = by_name.get(folded(f"{folder}/{path}"), ())
        if not members:
            yield Code(f"{folder}/{path}", "is missing, but would be unpickled")
        for member in members:
            yield from look(member)

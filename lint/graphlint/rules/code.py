"""What in an artifact torch would run as code when it loads it: found out without torch, and without loading it.

``torch.export.load`` unpickles sample inputs, pickled weights and constants, script objects and opaque objects, loads
compiled code, and puts parts of the program's JSON through ``eval`` and ``exec``. What is plain data is told apart from
the rest by :mod:`graphlint.artifact.pickles` and :mod:`graphlint.ir.executable`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import folded, quoted
from graphlint.artifact.errors import ArtifactError, ProgramError
from graphlint.artifact.limits import UNLIMITED
from graphlint.artifact.payloads import read_config
from graphlint.artifact.pickles import Scan, allowing
from graphlint.artifact.source import ByteSource
from graphlint.ir.document import Document
from graphlint.ir.executable import program_code, unread_code

_UNKNOWN = "cannot be inspected, so what it runs is unknown"
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


def find_code(artifact: Artifact, allow_globals: Sequence[str] = ()) -> Iterator[Code]:
    """Everything that torch would not load as mere data; nothing for what ``torch.export.save`` makes of plain tensors.

    What cannot be looked into counts as code. Reads all programs, and what :func:`find_member_code` reads.
    """
    for member, twin in artifact.container.twins():
        yield Code(member, f"differs from {quoted(twin)} in case only")
    for entry in artifact.programs:
        try:
            document = Document.from_bytes(artifact.read_program(entry), entry.member, limits=UNLIMITED)
            what = find_program_code(document, allow_globals, strict=True)
        except ArtifactError as error:
            what = find_unread_code(artifact, entry) or f"{_UNKNOWN}: {error}"
        if what:
            yield Code(entry.member, what)
    yield from find_member_code(artifact, allow_globals)


def find_unread_code(artifact: Artifact, entry: ProgramEntry) -> str | None:
    """What of a program torch runs that is damaged or contradicts itself, for torch reads and evaluates much of such
    programs before it gives up, or all; None if nothing.
    """
    import json

    try:
        data = artifact.read_program(entry, as_torch=True)
        try:
            tree = msgspec.json.decode(data)
        except msgspec.DecodeError:  # Python takes words for numbers
            tree = json.loads(data)
        return unread_code(tree)
    except (ArtifactError, ValueError, RecursionError):
        return None  # so torch, too, gets to see nothing


def find_program_code(document: Document, allow_globals: Sequence[str] = (), *, strict: bool = False) -> str | None:
    """What of a program torch runs as code when it loads it, as a phrase; None if nothing.

    Where it is ``strict``, what is not known counts. Raises :class:`~graphlint.artifact.errors.ProgramError` where
    there is something, but Python cannot read the JSON, and so neither can torch.
    """
    try:
        what = program_code(document.program, strict=strict, allows=allowing(*allow_globals))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        what = f"{_UNKNOWN}: {error}"
    if what is not None:
        import json

        try:
            json.loads(document.to_bytes())
        except (ValueError, RecursionError) as error:
            message = f"Python cannot read the JSON, and neither can torch: {error}"
            raise ProgramError(message, member=document.member) from None
    return what


def find_member_code(artifact: Artifact, allow_globals: Sequence[str] = ()) -> Iterator[Code]:
    """The code among the members beside the programs (rule GL003): in what torch unpickles, and compiled code.

    Whatever stands where torch would look for it is looked at, even if no program of that name is there: what torch
    takes for a program depends on less than graphlint asks for. Of members with tensors in them, only the pickle is
    read. After a thousand findings the rest goes untold.
    """
    for number, code in enumerate(_member_code(artifact, allow_globals)):
        if number == _MOST:
            yield Code(code.member, f"runs more: {_MOST} findings are reported for one file at most")
            break
        yield code


def _member_code(artifact: Artifact, allow_globals: Sequence[str]) -> Iterator[Code]:
    yield from _hidden(artifact)
    scan = Scan(artifact.limits, allowing(*allow_globals))
    for one in _unpickled(artifact, scan):
        if isinstance(one, Code):
            yield one
            continue
        member, find = one
        try:
            scan.spend(Scan.EACH)
            source = artifact.container.source_of(member, artifact.limits.pickle_bytes, "pickle-bytes")
            yield from (Code(member, what) for what in find(source))
        except ArtifactError as error:
            yield Code(member, f"{_UNKNOWN}: {error}")


_Find = Callable[[ByteSource], list[str]]
"""What looks into a member in the way that torch reads it."""


def _unpickled(artifact: Artifact, scan: Scan) -> Iterator[tuple[str, _Find] | Code]:
    """What torch unpickles, and what is code as it stands."""
    if not artifact.root:
        # torch 2.2 also pickles `serialized_constants.json`, which no other version reads.
        programs = {entry.member for entry in artifact.programs}
        for name in artifact.container.members:
            if name.startswith("serialized_") and name not in programs:
                yield name, partial(scan.saved, inputs=name.startswith("serialized_example"))
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
        holds = folder in (b"weights", b"constants")
        if folder == b"sample_inputs":
            yield from ((name, partial(scan.saved, inputs=True)) for name in names)
        elif holds and rest.endswith(b".pt"):
            yield from ((name, scan.saved) for name in names)
        elif holds and rest.endswith(b"_%b_config.json" % folder):
            for name in names:
                yield from _listed(artifact, scan, name, by_name, is_weight=folder == b"weights")
        elif folder == b"aotinductor" and has_programs:  # without programs it is a package of nothing else
            compiled.setdefault(rest.partition(b"/")[0], names[0])
    for name in compiled.values():
        yield Code(name, "belongs to compiled code (AOTInductor), which torch loads with the program")


def _listed(
    artifact: Artifact, scan: Scan, config: str, by_name: dict[bytes, list[str]], *, is_weight: bool
) -> Iterator[tuple[str, _Find] | Code]:
    """What a list of weights or constants names that is not raw bytes."""
    try:
        listed = dict.fromkeys((one.path_name, one.use_pickle) for one in read_config(artifact, config).values())
    except ArtifactError as error:
        yield Code(config, f"{_UNKNOWN}: {error}")
        return
    find: _Find
    for path, pickled in listed:
        if not is_weight and path.startswith("opaque_obj_"):  # of weights, the name does not matter
            find = scan.bare
        elif not is_weight and path.startswith("custom_obj_"):
            # torch's own unpickler reads these, which knows classes of TorchScript only, and archives only.
            find = scan.archive
        elif pickled:
            find = scan.saved
        else:
            continue
        # torch joins the names as paths, so that one with a slash in front is not below the folder.
        folder = artifact.root if path.startswith("/") else config.rpartition("/")[0]
        members = by_name.get(folded(f"{folder}/{path}"), ())
        if not members:
            yield Code(f"{folder}/{path}", "is missing, but would be unpickled")
        yield from ((member, find) for member in members)


def _hidden(artifact: Artifact) -> Iterator[Code]:
    """Programs that are not called so: torch 2.8 and later take everything in the folder for one, cut the last five
    characters off its name, and evaluate what is in it.
    """
    models, programs = folded(f"{artifact.root}/models/"), {entry.member for entry in artifact.programs}
    for member in artifact.container.members if artifact.root else ():
        if member not in programs and folded(member).startswith(models) and not member.endswith("/"):
            yield Code(member, "is not one of the programs, but torch loads it as one")

"""What in an artifact torch would run as code when it loads it: found out without torch, and without loading it.

``torch.export.load`` unpickles sample inputs, pickled weights and constants, script objects and opaque objects, and
puts parts of the program's JSON through ``eval`` and ``exec``. What is plain data is told apart from the rest by
:mod:`graphlint.archive.pickle_scan` and :mod:`graphlint.program.executable`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from graphlint.archive.artifact import Artifact, ProgramEntry
from graphlint.archive.pickle_scan import saved_code
from graphlint.errors import ArtifactError
from graphlint.program.executable import program_code


class Code(msgspec.Struct, frozen=True):
    """A member that is more than data."""

    member: str
    what: str
    """A phrase whose subject is the member: ``names os.system``."""

    def describe(self) -> str:
        """One line for messages."""
        return f"member {json.dumps(self.member)} {self.what}"


def find_code(artifact: Artifact) -> Iterator[Code]:
    """Every member that torch would not load as mere data; none for what ``torch.export.save`` makes of plain tensors.

    What cannot be looked into counts as code. Reads the members that torch would unpickle, raw weights aside.
    """
    yield from _layout(artifact)
    if not artifact.root:
        # torch 2.2 also pickles `serialized_constants.json`, which no other version reads.
        known = {name for entry in artifact.programs for name in msgspec.structs.astuple(entry)}
        for name in artifact.container.members:
            if name.startswith("serialized_") and name not in known:
                yield from _saved(artifact, name)
    for entry in artifact.programs:
        yield from _program(artifact, entry)
        for member in (entry.sample_inputs, entry.weights_pickle, entry.constants_pickle):
            if member is not None:
                yield from _saved(artifact, member)
        for config in (entry.weights_config, entry.constants_config):
            if config is not None:
                yield from _payload(artifact, config)


def _layout(artifact: Artifact) -> Iterator[Code]:
    """Members that torch loads although no program says so, or that it could take for others."""
    spellings: dict[str, str] = {}
    for member in artifact.container.members:
        twin = spellings.setdefault(member.lower(), member)
        if twin != member:  # torch's reader ignores case
            yield Code(member, f"differs from {json.dumps(twin)} in case only")
        elif member.lower().startswith(f"{artifact.root}/data/aotinductor/".lower()):
            yield Code(member, "belongs to compiled code (AOTInductor)")
        elif member.lower().startswith(f"{artifact.root}/models/".lower()) and all(
            member != entry.member for entry in artifact.programs
        ):
            yield Code(member, "is none of the programs, but torch takes it for one")


def _program(artifact: Artifact, entry: ProgramEntry) -> Iterator[Code]:
    what: str | None
    try:
        tree = json.loads(artifact.read_program(entry))
        what = program_code(tree) if isinstance(tree, dict) else "is no program"
    except (ArtifactError, ValueError, RecursionError, AttributeError, TypeError) as error:
        what = f"cannot be looked into: {error}"
    if what:
        yield Code(entry.member, what)


def _saved(artifact: Artifact, member: str) -> Iterator[Code]:
    try:
        what = saved_code(artifact.container.read(member))
    except ArtifactError as error:
        what = f"cannot be looked into: {error}"
    if what:
        yield Code(member, what)


def _payload(artifact: Artifact, config: str) -> Iterator[Code]:
    """What a list of weights or constants names that is not raw bytes."""
    folder = config.rpartition("/")[0]
    try:
        listed: dict[str, dict[str, Any]] = json.loads(artifact.container.read(config))["config"]
        paths = {(str(one["path_name"]), bool(one["use_pickle"])) for one in listed.values()}
    except (ArtifactError, ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        yield Code(config, f"cannot be looked into: {error}")
        return
    for path, pickled in sorted(paths):
        member = f"{folder}/{path}"
        if path.startswith("custom_obj_"):
            yield Code(member, "is a script object, whose class would restore it")
        elif path.startswith("opaque_obj_"):
            yield Code(member, "is a pickled object")
        elif pickled and member in artifact.container.members:
            yield from _saved(artifact, member)
        elif pickled:
            yield Code(member, "is missing, but would be unpickled")

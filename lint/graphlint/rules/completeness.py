"""What torch would miss of an artifact: the values of a program, and what else it looks for beside it."""

from collections.abc import Iterable, Iterator
from typing import Final

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import folded, quoted
from graphlint.artifact.errors import INCOMPLETE, ArtifactError
from graphlint.artifact.payloads import Payload, pickled, read_config
from graphlint.ir.dtypes import item_size
from graphlint.ir.model import Program

_MOST: Final = 3
"""How many names are told of what is missing."""


def faults(artifact: Artifact, entry: ProgramEntry, program: Program) -> Iterator[ArtifactError]:
    """What torch 2.8 and later (``torch/export/pt2_archive/_package.py``) do not find where they look for it, and what
    does not fit into what holds it, and of pickled weights, which torch 2.8 and before write, those that are not there.
    Raises ArtifactError where a list is damaged.
    """
    yield from _unpickled(artifact, entry, program)
    if entry.layout == "flat":
        return
    folder = f"{artifact.root}/data"
    if entry.sample_inputs is None:
        yield _missing(f"{folder}/sample_inputs/{entry.name}.pt", "torch does not load the program without")
    for kind, pickle, config in (
        ("weights", entry.weights_pickle, entry.weights_config),
        ("constants", entry.constants_pickle, entry.constants_config),
    ):
        if pickle is not None:
            continue
        if config is None:
            yield _missing(f"{folder}/{kind}/{entry.name}_{kind}_config.json", f"it lists the program's {kind}")
            continue
        held = read_config(artifact, config)
        lacking = [name for name in _named(program, kind) if name not in held]
        if lacking:
            yield ArtifactError(
                f"{quoted(config)} lists no value of {_told(lacking)}, which the program has",
                member=config,
                advice=INCOMPLETE,
            )
        yield from _misfits(artifact, config, held)


def _unpickled(artifact: Artifact, entry: ProgramEntry, program: Program) -> Iterator[ArtifactError]:
    """What is not among the pickled values: which of the dicts has which depends on the version."""
    members = [member for member in (entry.weights_pickle, entry.constants_pickle) if member is not None]
    # torch 2.1 and 2.2 have no place of their own for constants.
    kinds = ["weights"] if entry.constants_pickle is None else ["weights", "constants"]
    needed = [name for kind in kinds for name in _named(program, kind)] if members else ()
    if not needed or entry.weights_config or entry.constants_config:
        return
    held: set[str] = set()
    for member in members:
        try:
            names, gone = pickled(artifact, member)
        except ArtifactError:  # what it does instead is told by other rules
            return
        held.update(names)
        if gone:
            yield ArtifactError(f"it lacks the members for {_told(gone)}", member=member, advice=INCOMPLETE)
    lacking = [name for name in needed if name not in held]
    if lacking:
        yield ArtifactError(
            f"it has no value of {_told(lacking)}, which the program has", member=members[0], advice=INCOMPLETE
        )


def _missing(member: str, why: str) -> ArtifactError:
    return ArtifactError(f"member {quoted(member)} is missing: {why}", member=member, advice=INCOMPLETE)


def _named(program: Program, kind: str) -> Iterator[str]:
    """What a program takes from its weights, or from its constants, by name."""
    for spec in program.graph_module.signature.input_specs:
        name, given = spec.target, spec.spec
        if name is None or given is None:
            continue
        is_constant = spec.kind in ("tensor_constant", "custom_obj") or given.persistent is False
        if spec.kind in ("parameter", "buffer", "tensor_constant", "custom_obj") and is_constant == (
            kind == "constants"
        ):
            yield name


def _told(names: Iterable[str]) -> str:
    names = [*dict.fromkeys(names)]
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(map(quoted, names[:_MOST])) + more


def _misfits(artifact: Artifact, config: str, held: dict[str, Payload]) -> Iterator[ArtifactError]:
    folder = config.rpartition("/")[0]
    members = artifact.container.by_folded_name
    gone: list[str] = []
    small: list[str] = []
    for name, one in held.items():
        member = members.get(folded(one.path_name if one.path_name.startswith("/") else f"{folder}/{one.path_name}"))
        if member is None:
            gone.append(name)
        elif not one.use_pickle and member.size and (layout := one.layout) is not None:
            size, needed = item_size(layout.dtype), layout.last
            if size is not None and needed is not None and (member.size % size or needed * size > member.size):
                small.append(name)
    if gone:
        yield ArtifactError(
            f"the archive lacks the members for {_told(gone)}, which {quoted(config)} lists",
            member=config,
            advice=INCOMPLETE,
        )
    if small:
        yield ArtifactError(
            f"the members for {_told(small)} have another size than {quoted(config)} says",
            member=config,
            advice=INCOMPLETE,
        )

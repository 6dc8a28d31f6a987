"""From changed programs to the file: written beside the old one, read and linted again, then put in its place."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

import msgspec

from graphlint import __version__
from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.companions import companions
from graphlint.artifact.constants import changed_constants
from graphlint.artifact.errors import ArtifactError, FixValidationError
from graphlint.artifact.limits import UNLIMITED
from graphlint.artifact.rewrite import Changes, PendingReplacement
from graphlint.ir.document import Document
from graphlint.passes.state import Piece
from graphlint.report.formats.phrasing import enumerated
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.fixing import ChangedProgram
from graphlint.rules.linting import Review, lint_view
from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView
from graphlint.run import provenance
from graphlint.run.engine import read_document


class Change(msgspec.Struct, frozen=True, eq=False):
    """A program that is another one now: what is to be written, and what there is to be known of it. The program itself
    is not kept: a large one takes room that the check of the written file needs.
    """

    entry: ProgramEntry
    data: bytes
    """The JSON."""
    record: provenance.ProgramRecord
    constants: dict[str, Collection[str]]
    """Qualified names of the buffers that are written back now and were not before, that are gone, and that are new, by
    the keywords of :func:`changed_constants`."""
    remaining: list[Diagnostic]
    """What linting the changed program finds."""
    state: tuple[Piece, ...]
    """What changed places, as :attr:`ChangedProgram.state` says it."""
    overgrown: set[str]
    """What was found to make the program too large."""

    @classmethod
    def of(
        cls, entry: ProgramEntry, before: Document, made: ChangedProgram, remaining: Sequence[Diagnostic]
    ) -> "Change":
        data = made.document.to_bytes()
        digests = provenance.digest(before.to_bytes()), provenance.digest(data)
        record = provenance.ProgramRecord(dict(sorted(made.rules.items())), *digests, made.removed_checks)
        written = written_buffers(made.document) - written_buffers(before)
        constants = {"detached": written, "removed": made.old_buffers, "added": made.new_buffers}
        return cls(entry, data, record, constants, list(remaining), made.state, made.document.overgrown)


def write_back(
    artifact: Artifact,
    path: str,
    settings: Settings,
    action: Literal["fix", "restore"],
    changes: list[Change],
    review: Review | None,
    verify: Callable[[str], None] | None,
) -> list[tuple[str, str]]:
    """Put the changed programs in the place of the old ones. Returns what beside the file holds for what it was before,
    each with what to do about it.

    ``verify`` is given the path of the new file and raises VerificationError if it must not be. Raises WriteError,
    ArtifactError and FixValidationError, too; the old file is untouched then.
    """
    members: dict[str, bytes | None] = {}
    for change in changes:
        members[change.entry.member] = change.data
        members.update(changed_constants(artifact, change.entry, members, **change.constants))
    members.update(_moved_state(artifact, action, changes, members))
    if settings.provenance:
        members.update(_recorded(artifact, settings, action, changes))
    with PendingReplacement(path, artifact.container, members) as pending:
        try:
            with open_artifact(pending.path, UNLIMITED) as written:
                # It holds the same programs, and those that were changed lint as expected.
                if [entry.name for entry in written.programs] != [entry.name for entry in artifact.programs]:
                    raise FixValidationError("the written artifact holds other programs than the original")
                changed = {change.entry.name: change for change in changes}
                for entry in written.programs:
                    if entry.name in changed:
                        document = read_document(written, entry)
                        document.overgrown = changed[entry.name].overgrown
                        found = lint_view(ProgramView(document, settings), entry.name, path, settings, review)
                        if [one.diagnostic for one in found] != changed[entry.name].remaining:
                            raise FixValidationError(f"program {entry.name!r} lints otherwise after it was written")
        except ArtifactError as error:
            raise FixValidationError(f"the written artifact cannot be read: {error}") from error
        if verify is not None:
            verify(pending.path)
        pending.commit()
    return list(_stale(path, pending.other_names))


def _stale(path: str, other_names: int) -> Iterator[tuple[str, str]]:
    beside = companions(path)
    if beside:
        names = enumerated([repr(name) for name in beside])
        verb = "was" if len(beside) == 1 else "were"
        yield f"{names} beside it {verb} made for the old file", "sign the new file, and make checksums anew"
    if other_names:
        links = "another name (hard link)" if other_names == 1 else f"{other_names} other names (hard links)"
        keeps = "has" if other_names == 1 else "have"
        yield f"{links} of the file still {keeps} the old content", "link them to the new file, or fix them, too"


def _moved_state(
    artifact: Artifact, action: Literal["fix", "restore"], changes: list[Change], planned: Changes
) -> dict[str, bytes | None]:
    """The changes to the archive by which state is among the inputs and outputs, or is state again."""
    if not any(change.state for change in changes):
        return {}
    from graphlint.artifact.state import Keyword, listed, unlisted, with_samples, without_samples
    from graphlint.run import state

    member = artifact.extra_member(state.NAME)
    described = state.described(artifact)
    if described is None:
        raise ArtifactError(f"the extra file {state.NAME} is no description that is understood", member=member)
    moved: dict[str, bytes | None] = {}
    lifted, returned = ([one for one in changes if one.state and action == kind] for kind in ("fix", "restore"))
    for change in lifted:
        name = provenance.key(change.entry.name)
        if name != change.entry.name:
            raise ArtifactError(f"the name of program '{name}' is no text, and what became of its state is told by it")
        if described.of(change.entry.name):
            raise ArtifactError(f"state of program {change.entry.name!r} is among its inputs already: restore it first")
        held = [one for one in change.state if one.kind != "user_input"]
        made, values = unlisted(artifact, change.entry, {**planned, **moved}, {one.target for one in held})
        keywords = [Keyword(one.name, one.dtype, [*map(int, one.sizes)], one.device) for one in held]
        moved |= {**made, **with_samples(artifact, change.entry, planned, keywords)}
        kept = ((one, values.get(one.target) if one in held else None) for one in change.state)
        pairs = tuple(state.Pair(**msgspec.structs.asdict(one), value=value) for one, value in kept)
        described = described.changed(change.entry.name, pairs)
    for change in returned:
        values = {one.target: one.value for one in described.of(change.entry.name) if one.value is not None}
        moved |= listed(artifact, {**planned, **moved}, values)
        names = {one.name for one in change.state if one.kind != "user_input"}
        moved |= without_samples(artifact, change.entry, planned, names)
        described = described.changed(change.entry.name, ())
    return {**moved, member: described.to_bytes()}


def _recorded(
    artifact: Artifact, settings: Settings, action: Literal["fix", "restore"], changes: list[Change]
) -> dict[str, bytes]:
    """The extra file with what was done; nothing where what stands in its place is not understood, as the notes say."""
    member = artifact.extra_member(provenance.NAME)
    programs = {provenance.key(change.entry.name): change.record for change in changes}
    try:
        old = artifact.container.read(member) if member in artifact.container.members else None
    except ArtifactError:
        return {}
    new = provenance.appended(old, provenance.Entry(__version__, action, settings.profile.targets, programs))
    return {} if new is None else {member: new}


def written_buffers(document: Document) -> set[str]:
    """Qualified names of the buffers that the program writes back."""
    specs = document.program.graph_module.signature.output_specs
    return {str(spec.buffer_mutation.buffer_name) for spec in specs if spec.buffer_mutation is not None}

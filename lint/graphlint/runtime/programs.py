"""Exported programs in memory: the same rules and passes, through torch's own serializer."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch._export.serde import schema
from torch._export.serde import serialize as serde
from torch.export import ExportedProgram

from graphlint.artifact.errors import ProgramError
from graphlint.artifact.payloads import Stored
from graphlint.ir.document import Document
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.fixing import fix_program
from graphlint.rules.linting import lint_view
from graphlint.rules.view import ProgramView
from graphlint.run.api import ProgramOptions, program_settings
from graphlint.run.writeback import written_buffers
from graphlint.runtime.loading import first_line, quiet

if TYPE_CHECKING:
    from typing_extensions import Unpack

NAME = "model"
"""What diagnostics call the program; ``torch.export.save`` gives it the same name."""


class Functionalized(NamedTuple):
    """What :func:`functionalize` returns."""

    program: ExportedProgram
    """The fixed program, or the given one where there was nothing to fix."""
    changed: bool


def functionalize(program: ExportedProgram, **options: "Unpack[ProgramOptions]") -> Functionalized:
    """Fix an exported program in memory, as ``graphlint --fix`` fixes an artifact.

    The program is never changed. The result is a new one whose parameters, buffers and constants are the same
    tensors, not copies (a buffer that comes to be written, and of which export recorded that it requires gradients, is
    detached but shares its storage), with the same sample inputs. A program without anything to fix is returned
    itself. What is left to report, :func:`lint_program` tells.

    The options (:class:`~graphlint.run.api.ProgramOptions`) are those of the command line; configuration files are not
    looked at. Raises ConfigError for options that are not understood, ProgramError for a program that torch cannot
    serialize, and FixValidationError where a fix fails its own checks.
    """
    settings = program_settings(**options)
    fixed = fix_program(_document(program), NAME, "", settings)
    if not fixed.fixed:
        return Functionalized(program, changed=False)
    return Functionalized(_deserialized(program, fixed.document, fixed.new_buffers), changed=True)


def lint_program(program: ExportedProgram, **options: "Unpack[ProgramOptions]") -> list[Diagnostic]:
    """The findings in an exported program in memory, as ``graphlint`` reports them of an artifact.

    Options and errors are those of :func:`functionalize`.
    """
    settings = program_settings(**options)
    view = ProgramView(_document(program), settings)
    return [found.diagnostic for found in lint_view(view, NAME, "", settings)]


def _document(program: ExportedProgram) -> Document:
    """The program's JSON; its weights are not looked at (torch 2.7 and before serializes them, too), unless a rule asks
    whether they are zeros.
    """
    known = inspect.signature(serde.serialize).parameters
    left_out = ("serialize_state_dict", "serialize_constants", "serialize_example_inputs")
    options = {name: False for name in left_out if name in known}
    try:
        with quiet():
            serialized = serde.serialize(program, **options)
    except Exception as error:
        raise ProgramError(
            f"torch cannot serialize the program: {type(error).__name__}: {first_line(error)}"
        ) from error
    tensors = {
        name: one for name, one in {**program.state_dict, **program.constants}.items() if isinstance(one, torch.Tensor)
    }
    return Document.from_bytes(
        serialized.exported_program, payloads=lambda: {name: _stored(one) for name, one in tensors.items()}
    )


def _stored(tensor: torch.Tensor) -> Stored:
    def is_zero(_: int) -> bool | None:
        try:
            return not tensor.any().item()
        except Exception:  # noqa: BLE001 - fake tensors hold nothing, others know no such op
            return None

    return Stored(str(tensor.untyped_storage()._cdata), is_zero)


def _deserialized(program: ExportedProgram, document: Document, new_buffers: Sequence[str]) -> ExportedProgram:
    """A program of the fixed JSON and the original's own tensors and objects."""
    state, constants = dict(program.state_dict), dict(program.constants)
    for name in new_buffers:
        constants[name] = torch.zeros((), dtype=torch.float32)
    # Torch writes buffers back in place, which it refuses for leaves that require gradients.
    for name in written_buffers(document):
        for holder in (state, constants):
            tensor = holder.get(name)
            if isinstance(tensor, torch.Tensor) and tensor.requires_grad:
                holder[name] = tensor.detach()
    serialized = serde._bytes_to_dataclass(schema.ExportedProgram, document.to_bytes())
    with quiet():
        fixed: ExportedProgram = serde.ExportedProgramDeserializer().deserialize(
            serialized, state, constants, program.example_inputs
        )
    return fixed

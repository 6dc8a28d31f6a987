"""Fixing and saving an exported program, in one line of an export script."""

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec
import torch
from torch.export import ExportedProgram

from graphlint.artifact.errors import WriteError
from graphlint.report.results import FileResult
from graphlint.run.api import FixOptions, Path, fix

if TYPE_CHECKING:
    from typing_extensions import Unpack


def export_clean(program: ExportedProgram, path: Path, **options: "Unpack[FixOptions]") -> FileResult:
    """Save an exported program at ``path``, fixed, with a record of what was fixed (``graphlint.json``).

    ``graphlint.export_clean(torch.export.export(model, args), "model.pt2", target="onnx")`` takes the place of
    ``torch.export.save``. What could not be fixed is in :attr:`Result.findings`, and :attr:`Result.ok` says whether
    anything is left. The program itself is not changed. The options are those of :func:`graphlint.fix`; the
    configuration is the one that holds for ``path``. Raises WriteError where the file cannot be written, ConfigError
    for what is wrong with the options.
    """
    target = os.fspath(path)
    # Beside the target, so that the same configuration holds, and the file takes its place in one step.
    draft = os.path.join(os.path.dirname(target), f".{os.getpid()}.{os.path.basename(target)}")
    if not os.path.isdir(os.path.dirname(target) or os.curdir):
        raise WriteError(f"cannot write {target}: there is no such folder")
    try:
        torch.export.save(program, draft)
        result = fix(draft, **options)
        if result.error:
            raise WriteError(f"{target}: {result.error}")
        os.replace(draft, target)
    except OSError as error:
        raise WriteError(f"cannot write {target}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)
    named = {
        field: tuple(msgspec.structs.replace(one, path=target) for one in getattr(result, field))
        for field in ("diagnostics", "suppressed", "fixed")
    }
    return msgspec.structs.replace(result, path=target, changed=False, **named)

"""Assertions for the tests of models. The plugin beside them is loaded by pytest itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from typing_extensions import Unpack

    from graphlint.run.api import ProgramOptions

__all__ = ["assert_functional"]


def assert_functional(
    program: ExportedProgram | str | os.PathLike[str] | bytes | BinaryIO,
    *,
    accept: str | Sequence[str] = (),
    **options: Unpack[ProgramOptions],
) -> None:
    """Fail unless a check passes: of an ``ExportedProgram`` (needs torch), or of a path, bytes or a binary file object.

    ``accept`` are selectors of rules (``"GL302"``, ``"GL1"``, ``"random-op"``) whose findings may stay; ``target`` is
    whom the artifact is for. The other options are those of :func:`graphlint.lint`; for a file, its configuration holds
    as well. Raises AssertionError with the report.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    from graphlint.report.results import FileResult

    ignore = [accept] if isinstance(accept, str) else list(accept)
    more = options.pop("ignore", ())
    ignore += [more] if isinstance(more, str) else more
    if ignore:
        options["ignore"] = ignore
    given: Any = program
    if isinstance(program, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(program, "read"):
        from graphlint.run.api import lint

        result = lint(given, **options)
    else:
        from graphlint.runtime.programs import lint_program

        result = FileResult("<program>", tuple(lint_program(given, **options)))
    if not result.ok:
        raise AssertionError(f"the program is not functional:\n\n{result}")

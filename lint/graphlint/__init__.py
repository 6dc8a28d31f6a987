"""graphlint: a linter and fixer for exported PyTorch programs.

- :func:`lint`, :func:`fix` and :func:`restore`: lint, fix or restore one artifact, as the command line does; each
  gives a :class:`Result`, which has :attr:`Result.ok` and :attr:`Result.findings`, and prints as a terminal shows it
- :func:`lint_many`: lint many, by any executor
- :func:`scan`: what torch would run when it loads an artifact
- :func:`lint_program`: lint a ``torch.export.ExportedProgram`` (needs torch)
- :func:`export_clean`: fix a ``torch.export.ExportedProgram`` and save it (needs torch)
- :func:`assert_functional`: for the tests of models; pytest has it as a fixture, too
- :mod:`graphlint.runtime`: fix programs and graph modules in memory, verify artifacts by running them (needs torch)

All exceptions that are raised on purpose are a :class:`GraphlintError`.
"""

TYPE_CHECKING = False  # type checkers know better; typing takes longer to load than what --version needs

if TYPE_CHECKING:
    from graphlint import runtime
    from graphlint.artifact.errors import (
        ArtifactError,
        ConfigError,
        DifferenceError,
        FixValidationError,
        GraphlintError,
        LfsPointerError,
        MergeConflictError,
        MissingFileError,
        ProgramError,
        RemoteError,
        UnavailableError,
        VerificationError,
        WriteError,
    )
    from graphlint.report.results import FileResult, Result
    from graphlint.rules.code import Code
    from graphlint.rules.diagnostics import Diagnostic
    from graphlint.run.api import fix, lint, lint_many, restore, scan
    from graphlint.runtime.exporting import export_clean
    from graphlint.runtime.programs import lint_program
    from graphlint.runtime.testing import assert_functional

__all__ = [
    "ArtifactError",
    "Code",
    "ConfigError",
    "Diagnostic",
    "DifferenceError",
    "FileResult",
    "FixValidationError",
    "GraphlintError",
    "LfsPointerError",
    "MergeConflictError",
    "MissingFileError",
    "ProgramError",
    "RemoteError",
    "Result",
    "UnavailableError",
    "VerificationError",
    "WriteError",
    "__version__",
    "assert_functional",
    "export_clean",
    "fix",
    "lint",
    "lint_many",
    "lint_program",
    "restore",
    "runtime",
    "scan",
]

__version__ = "0.1.0"

_HOMES = {
    "Code": "graphlint.rules.code",
    "Diagnostic": "graphlint.rules.diagnostics",
    "FileResult": "graphlint.report.results",
    "Result": "graphlint.report.results",
    "assert_functional": "graphlint.runtime.testing",
    "export_clean": "graphlint.runtime",
    "fix": "graphlint.run.api",
    "lint": "graphlint.run.api",
    "lint_many": "graphlint.run.api",
    "lint_program": "graphlint.runtime",
    "restore": "graphlint.run.api",
    "scan": "graphlint.run.api",
}


def __getattr__(name: str) -> object:
    """Load what is asked for: ``graphlint --version`` and a check need next to nothing of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    if name == "runtime":
        return importlib.import_module("graphlint.runtime")
    return getattr(importlib.import_module(_HOMES.get(name, "graphlint.artifact.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

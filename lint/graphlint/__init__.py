"""graphlint: a linter and fixer for exported PyTorch programs.

- :func:`lint`, :func:`fix` and :func:`restore`: lint, fix or restore one artifact, as the command line does
- :func:`lint_many`: lint many, by any executor
- :func:`scan`: what torch would run when it loads an artifact
- :func:`lint_program`: lint a ``torch.export.ExportedProgram`` (needs torch)
- :mod:`graphlint.runtime`: fix programs and graph modules in memory, verify artifacts by running them (needs torch)
"""

TYPE_CHECKING = False  # type checkers know better; typing takes longer to load than what --version needs

if TYPE_CHECKING:
    from graphlint.artifact.errors import GraphlintError
    from graphlint.report.results import FileResult
    from graphlint.rules.code import Code
    from graphlint.rules.diagnostics import Diagnostic
    from graphlint.run.api import fix, lint, lint_many, restore, scan
    from graphlint.runtime.programs import lint_program

__all__ = [
    "Code",
    "Diagnostic",
    "FileResult",
    "GraphlintError",
    "__version__",
    "fix",
    "lint",
    "lint_many",
    "lint_program",
    "restore",
    "scan",
]

__version__ = "0.1.0"

_HOMES = {
    "Code": "graphlint.rules.code",
    "Diagnostic": "graphlint.rules.diagnostics",
    "FileResult": "graphlint.report.results",
    "GraphlintError": "graphlint.artifact.errors",
    "fix": "graphlint.run.api",
    "lint": "graphlint.run.api",
    "lint_many": "graphlint.run.api",
    "lint_program": "graphlint.runtime",
    "restore": "graphlint.run.api",
    "scan": "graphlint.run.api",
}


def __getattr__(name: str) -> object:
    """Load what is asked for: ``graphlint --version`` and a check need next to nothing of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)

"""What needs torch: verifying artifacts by running them, and fixing programs in memory.

The only subpackage that imports torch, which the extra ``torch`` installs: ``pip install 'torch-graphlint[torch]'``.

- :func:`verify`: run two artifacts and compare them
- :func:`functionalize`: fix a ``torch.export.ExportedProgram``
- :func:`export_clean`: fix a ``torch.export.ExportedProgram`` and save it
- :func:`functionalize_graph_module`: make the runtime checks of a ``torch.fx.GraphModule`` functional
- :func:`initial_state`: what the state of a program begins with that is handed it
- :func:`lint_program`: the findings in a ``torch.export.ExportedProgram``
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphlint.runtime.exporting import export_clean
    from graphlint.runtime.graph_modules import functionalize_graph_module
    from graphlint.runtime.programs import Functionalized, functionalize, lint_program
    from graphlint.runtime.state import initial_state
    from graphlint.runtime.verification import verify

__all__ = [
    "Functionalized",
    "export_clean",
    "functionalize",
    "functionalize_graph_module",
    "initial_state",
    "lint_program",
    "verify",
]

_HOMES = {
    "Functionalized": "programs",
    "export_clean": "exporting",
    "functionalize": "programs",
    "functionalize_graph_module": "graph_modules",
    "initial_state": "state",
    "lint_program": "programs",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    """Load what is asked for: the command line looks here before it knows whether torch is installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{__name__}.{name} needs torch: pip install 'torch-graphlint[torch]'", name="torch"
        ) from error
    return getattr(home, name)

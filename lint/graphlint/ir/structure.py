"""The recorded structure of a program's result: torch's serialized ``TreeSpec``, ``[version, spec]``.

Source: ``treespec_dumps`` in ``torch/utils/_pytree.py``.
"""

import json
from typing import Any

from graphlint.artifact.errors import ProgramError

Json = dict[str, Any]


def read_structure(text: str) -> tuple[Any, Json]:
    """The version and the structure. Raises ProgramError where it is of another shape than torch's."""
    try:
        version, spec = json.loads(text)
        leaves(spec)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ProgramError("the structure of the program's result is not understood") from None
    return version, spec


def leaves(spec: Json) -> int:
    """The number of leaves."""
    if spec["type"] is None:
        return 1
    return sum(leaves(child) for child in spec["children_spec"])

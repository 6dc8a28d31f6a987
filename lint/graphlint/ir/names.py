"""Names of values that torch keeps when it copies a graph.

``torch.fx`` gives another name to a value that is called like something in Python or in the code that it generates
(``_Namespace.create_name`` in ``torch/fx/graph.py``). Export names inputs after the arguments of the model, whatever
they are called, and finds a written input by its name.
"""

import builtins
import keyword
import re
from typing import Final

from graphlint.artifact.patterns import pattern

RESERVED: Final = frozenset(
    {*vars(builtins), *keyword.kwlist, "inf", "nan", "NoneType", "torch", "device", "fx_pytree", "pytree"}
)
"""What no value can be called."""
_KEPT: Final = pattern(r"(?!.*_0\d+$)[A-Za-z_]\w*", re.ASCII)


def is_kept(name: str) -> bool:
    """Whether a value of that name is called so in a copy of its graph."""
    return name not in RESERVED and _KEPT.fullmatch(name) is not None


def kept_stem(name: str) -> str:
    """A name like it that torch keeps, if no other value has it."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    return re.sub(r"_0+(?=\d+$)", "_", stem if stem[:1].isalpha() or stem[:1] == "_" else f"_{stem}")


def is_given(name: str) -> bool:
    """Whether torch may give that name to a list among the results of an op, when it loads a program: it takes the
    first that is free so far (``generate_getitems`` in ``torch/_export/serde/serialize.py``), and what is called so
    further down then keeps the program from loading.
    """
    return re.fullmatch(r"getitem(_\d+)?", name) is not None

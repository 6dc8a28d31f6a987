"""Classes that do nothing but hold data, and yet are none of those that torch's data-only unpickler admits.

Unpickling makes an instance without calling its ``__init__`` and sets its attributes, unless the class says otherwise:
of each that is listed here, somebody has read that it does not.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

HARMLESS_CLASSES: Final = {
    **{
        f"{module}.{name}": "a builtin that holds what it is given, and calls nothing"
        for module in ("builtins", "__builtin__")
        for name in ("bytes", "frozenset", "range", "slice", "xrange")
    },
    **{
        f"transformers.cache_utils.{name}": (
            "holds tensors, sizes and flags; neither it nor a base has __setstate__, __reduce__, __new__, __getattr__, "
            "__setattr__ or __del__ (transformers 5.23)"
        )
        for name in (
            "DynamicCache",
            "DynamicLayer",
            "DynamicSlidingWindowLayer",
            "EncoderDecoderCache",
            "StaticCache",
            "StaticLayer",
            "StaticSlidingWindowLayer",
        )
    },
}
"""Each with the reason that was checked."""


def allowing(patterns: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether a name is one of these, or fits a pattern, in which ``*`` stands for what is between two dots."""
    return _allowing(tuple(patterns))


@cache
def _allowing(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return HARMLESS_CLASSES.__contains__
    wanted = re.compile("|".join("[^.]*".join(map(re.escape, pattern.split("*"))) for pattern in patterns))
    return lambda name: name in HARMLESS_CLASSES or wanted.fullmatch(name) is not None

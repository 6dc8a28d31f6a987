"""Regular expressions that are compiled when they are first used.

Those of all modules that a small check loads take some 4 of its 56 ms to compile; it uses few of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes longer to load than what is here
if TYPE_CHECKING:
    from re import compile as pattern
    from typing import Any
else:

    def pattern(text: str | bytes, flags: int = 0) -> _Pattern:
        """What ``re.compile`` makes, made at its first use."""
        return _Pattern(text, flags)


__all__ = ["pattern"]


class _Pattern:
    def __init__(self, text: Any, flags: int) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> Any:
        """A method, which stands in the way of this one from then on."""
        import re

        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found

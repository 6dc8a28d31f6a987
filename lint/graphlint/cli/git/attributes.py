"""The line in a file of git attributes that sends artifacts through graphlint. Pure.

git takes each attribute from the last line that sets it, so the line goes to the end: after Git LFS's ``*.pt2
filter=lfs diff=lfs merge=lfs -text`` it changes ``diff`` alone, and git hands the driver what LFS's filter makes of the
pointer.
"""

from __future__ import annotations

from typing import Final

LINE: Final = "*.pt2 diff=graphlint"


def added(text: str) -> str:
    """The file's text with the line; as it was where it has it and no later line takes it back."""
    if _holds(text):
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        return f"{text}{newline}{LINE}"  # without an end, as the file was
    return f"{text}{LINE}{newline}"


def removed(text: str) -> str:
    """The file's text without the line: what it was before :func:`added`."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != LINE]
    if kept and kept != lines and not text.endswith("\n"):
        kept[-1] = kept[-1].rstrip("\r\n")
    return "".join(kept)


def _holds(text: str) -> bool:
    """Whether the last line that sets ``diff`` for all artifacts is this one."""
    last = ""
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "*.pt2" and any(_sets_diff(word) for word in words[1:]):
            last = line.strip()
    return last == LINE


def _sets_diff(word: str) -> bool:
    """``diff``, ``-diff``, ``!diff``, ``diff=…``, or the macro that stands for ``-diff`` and more."""
    return word == "binary" or word.lstrip("-!").partition("=")[0] == "diff"

"""Where reports for other systems say that a finding is, and how they tell it from others.

Such systems show files of the repository and nothing else: the line of the model's source where its file is at hand,
the artifact otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import DEFAULT_PROGRAM
from graphlint.rules.diagnostics import Diagnostic

FINGERPRINT_LENGTH = 32


class Spot(msgspec.Struct, frozen=True):
    """A line of a file."""

    path: str
    """Relative to the root of the repository, with forward slashes; absolute where it is not below it."""
    line: int = 1
    column: int = 0
    """From 1; 0 where it is not known, as ``end_column``, which is the one after the last character."""
    end_column: int = 0
    is_source: bool = False
    """Whether it is a source file, in which the line means something."""


def spot_of(diagnostic: Diagnostic, options: ReportOptions) -> Spot:
    """The line of the model's source if its file is at hand, the artifact otherwise."""
    place = diagnostic.location
    if place is None or not place.file:
        return Spot(path_of(diagnostic.path, options))
    path = path_of(place.file, options)
    if is_absolute(path):
        path = place.path
    return Spot(path, place.line, place.column, place.end_column, is_source=True)


def path_of(path: str, options: ReportOptions) -> str:
    """An absolute path, or one relative to the current folder, as it is told in reports for other systems."""
    absolute = os.path.normpath(os.path.join(options.folder, path))
    root = options.root.rstrip(os.sep) + os.sep
    if options.root and absolute.startswith(root):
        absolute = absolute[len(root) :]
    return absolute.replace(os.sep, "/")


def is_absolute(path: str) -> bool:
    """Whether a path that :func:`path_of` has made leads out of the repository."""
    return path.startswith(("/", "../")) or path[1:3] == ":/"


def fingerprints(diagnostics: Iterable[Diagnostic], options: ReportOptions) -> list[str]:
    """A fingerprint for each, all different: its own where it has one, what it says and where otherwise."""
    seen: dict[str, int] = {}
    prints = []
    for diagnostic in diagnostics:
        own = diagnostic.fingerprint or _digest(
            diagnostic.code, path_of(diagnostic.path, options), diagnostic.member or "", diagnostic.message
        )
        number = seen.get(own, 0)
        seen[own] = number + 1
        prints.append(_digest(own, str(number)) if number else own)
    return prints


def node_of(diagnostic: Diagnostic) -> str:
    """``decoder: cond > true_graph_0 > %add_``; empty where it is about no node."""
    node = " > ".join((*diagnostic.subgraph, f"%{diagnostic.node}")) if diagnostic.node is not None else ""
    program = diagnostic.program if diagnostic.program not in (None, DEFAULT_PROGRAM) else ""
    return f"{program}: {node}" if program and node else program or node


def _digest(*parts: str) -> str:
    import hashlib

    content = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_LENGTH]

"""Findings of one rule on one line of the model's source, told as one: a layer's line is a finding in each layer."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import DEFAULT_PROGRAM, module, place_in_artifact
from graphlint.rules.diagnostics import Diagnostic

_COUNTED = re.compile(r"_\d+\b|(?<=[.'])\d+(?=[.'])")
"""What tells ``%mul_3`` from ``%mul`` and ``'layers.3.cache'`` from ``'layers.0.cache'`` in messages."""
LISTED = 3
"""So many places are all named; of more, the first and the last."""


class Group(msgspec.Struct, frozen=True):
    """Findings that differ in nothing but their place in the graph; at least one."""

    diagnostics: tuple[Diagnostic, ...]

    @property
    def first(self) -> Diagnostic:
        """The one that speaks for all."""
        return self.diagnostics[0]

    def places(self) -> str:
        """Where in the artifact: ``node %add_, module layers.0 (Layer)``, or for several ``in 24 places: layers.0 …
        layers.23``.
        """
        if len(self.diagnostics) == 1:
            place = place_in_artifact(self.first)
            return place + module(self.first) if place else ""
        return self.several()

    def several(self) -> str:
        """``in 24 places: layers.0 … layers.23``; empty for a single finding."""
        number = len(self.diagnostics)
        if number == 1:
            return ""
        program = self.first.program
        prefix = f"program {program}, " if program not in (None, DEFAULT_PROGRAM) else ""
        names = self._names()
        shown = ", ".join(names) if number <= LISTED else f"{names[0]} … {names[-1]}"
        return printable(f"{prefix}in {number} places: {shown}")

    def _names(self) -> list[str]:
        """Their modules where that tells them apart, their nodes otherwise."""
        modules = [one.module_path or "" for one in self.diagnostics]
        if all(modules) and len(set(modules)) == len(modules):
            return modules
        return [" > ".join((*one.subgraph, f"%{one.node}")) for one in self.diagnostics]


def grouped(diagnostics: Iterable[Diagnostic]) -> list[Group]:
    """The findings of one artifact in groups, in the order of the first of each. Findings are told apart by op, fix,
    program and message, but for the numbers in names; those without a line of source stand alone.
    """
    groups: dict[object, list[Diagnostic]] = {}
    for index, one in enumerate(diagnostics):
        place = one.place
        alike = _COUNTED.sub("", one.message)
        key = (
            index
            if place is None or one.node is None
            else (one.path, one.program, one.code, one.op, one.fix, alike, place.path, place.line)
        )
        groups.setdefault(key, []).append(one)
    return [Group(tuple(members)) for members in groups.values()]

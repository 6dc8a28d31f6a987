"""Comparing programs by structure: what their interface is, and which ops lead from it to the results. Pure.

Names of values say nothing: nodes are matched by what they compute from what, and only what is told of them besides
(ops, constants, sizes, order) is compared.
"""

from __future__ import annotations

from graphlint.report.comparison.changes import ArtifactDiff, Change, Detail, InterfaceChange, NodeFacts, ProgramDiff
from graphlint.report.comparison.programs import compare_programs

__all__ = ["ArtifactDiff", "Change", "Detail", "InterfaceChange", "NodeFacts", "ProgramDiff", "compare_programs"]

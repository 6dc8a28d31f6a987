"""What rules see: a program with what it does, and what the passes would make of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from graphlint.ir.document import Document
from graphlint.ir.model import Node
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable, op_table, version_of
from graphlint.rules.settings import RefusedOp, Settings
from graphlint.semantics.analysis import Analysis, Write, has_effect
from graphlint.semantics.sites import Site
from graphlint.semantics.versions import Misfit, misfits

if TYPE_CHECKING:
    from graphlint.passes.functionalize.program import Plan
    from graphlint.passes.restoring import Restoration
    from graphlint.semantics.autocast import AutocastRegions
    from graphlint.semantics.memory import Storage
    from graphlint.semantics.state import Target


_DRAWS_STAY = (8, 14)
"""The schema from which on torch takes no draw for dead code (torch 2.9)."""


class ProgramView(Analysis):
    """A program as rules see it. What it comes to is worked out when a rule first asks for it."""

    def __init__(self, document: Document, settings: Settings) -> None:
        ops = ops_for(settings, version_of(document.program.torch_version))
        super().__init__(document.program, ops, document.payloads)
        self._refused: dict[str, RefusedOp | None] = {}
        self.leading_out: dict[int, set[str | None]] = {}
        """The values that come to be among the outputs of a graph, or are joined with others; by its identity."""
        self.document = document
        self.token_sink = settings.token_sink
        self.state = settings.state
        self.exact = settings.exact
        self.profile = settings.profile
        self.requires_torch = settings.requires_torch

    @cached_property
    def write_plan(self) -> Plan:
        """What of the writes can be functionalized, and the program after that."""
        return self.plan_of(None)

    def plan_of(self, selected: frozenset[int] | None) -> Plan:
        """As :attr:`write_plan`, for the writes of the nodes at these positions only."""
        from graphlint.passes.functionalize.program import plan

        return plan(self.document, self, selected, exact=self.exact)

    @cached_property
    def misfits(self) -> list[Misfit]:
        """The nodes that a version of torch cannot take."""
        return list(misfits(self.program, self.ops))

    @cached_property
    def state_obstacles(self) -> dict[Target, str | None]:
        """What the program writes back, each with the reason why it cannot become an input and an output, or None."""
        from graphlint.semantics.state import state_obstacles

        return state_obstacles(self, self.restoration.buffers)

    @cached_property
    def stays(self) -> dict[Storage, str]:
        """The storages whose writes cannot become functional, and why."""
        blocked = self.write_plan.blocked if self.has_writes else {}
        writes = [one for one in reversed(self.writes) if one.site.position in blocked]
        return {ref.storage: blocked[one.site.position] for one in writes for ref in one.refs}

    def lifting_obstacle(self, storage: Storage) -> str | None:
        """Why an input that the program writes cannot become an input and an output, or None."""
        whole, sharing = self._lifting_obstacles
        return self.stays.get(storage) or whole or sharing.get(storage.value)

    @cached_property
    def _lifting_obstacles(self) -> tuple[str | None, dict[str, str]]:
        """Those of the whole program, and of each input."""
        from graphlint.semantics.state import input_obstacles, interface_obstacle

        return interface_obstacle(self.program), input_obstacles(self)

    @cached_property
    def autocast(self) -> AutocastRegions:
        """What autocast regions cast."""
        from graphlint.semantics.autocast import AutocastRegions

        return AutocastRegions(self)

    @cached_property
    def restoration(self) -> Restoration:
        """Which functional checks can become plain ones again."""
        from graphlint.passes.restoring import restore_checks

        return restore_checks(self.document)

    def token_obstacle(self, site: Site) -> str | None:
        """Why the tokens that a node makes cannot be taken away, or None."""
        kept = next(iter(self.restoration.kept), None)
        if kept is not None:
            return kept.reason
        made = site.defines
        return None if made and made <= self.restoration.gone else "no functional check takes its token"

    @cached_property
    def labelled_wrongly(self) -> bool:
        """Whether the program bears the label of the training dialect without need. torch admits checks in graphs that
        are labelled ATEN, and some targets insist on that label.
        """
        if "TRAINING" not in self.program.dialects or self._loses_by_label:
            return False
        if not self.profile.aten_label:
            return self.functional
        effects = (site for site in self.sites if has_effect(site))
        return not self.has_writes and all(site.op is not None and site.op.kind == "check" for site in effects)

    def relabelled(self, dialect: str) -> ProgramView:
        """The view of the same program under another label; what is known of the program stays."""
        view = ProgramView.__new__(ProgramView)
        vars(view).update(vars(self))
        view.document = self.document.relabelled(dialect)
        view.program = view.document.program
        for name in ("labelled_wrongly", "write_plan", "restoration"):
            vars(view).pop(name, None)
        return view

    @cached_property
    def writes_within(self) -> dict[int, list[Write]]:
        """The writes in the graphs that a node calls, by the node's position."""
        found: dict[int, list[Write]] = {}
        for write in self.writes:
            for caller in write.site.scope.callers():
                found.setdefault(caller.position, []).append(write)
        return found

    @cached_property
    def _loses_by_label(self) -> bool:
        """Whether torch would drop an effect from the program if it were labelled ATEN. Of such programs, loading
        eliminates dead code, to which it counts asserts without a message, and calls of subgraphs with unused results,
        whatever is drawn or checked inside; before torch 2.9 also draws whose results nobody uses.
        """
        for site in self.sites:
            if site.op is not None and site.op.role == "assert":
                return True
            draws = site.op is not None and site.op.draws(site.node)
            if draws and self.program.schema < _DRAWS_STAY and not self.is_used(site):
                return True
            effect = has_effect(site) or draws
            if effect and any(not self.is_used(caller) for caller in site.scope.callers()):
                return True
        return False

    @cached_property
    def varying(self) -> set[str]:
        """The values of the root graph that come of what the caller hands in, or of what the program writes."""
        graph, specs = self.program.graph, self.program.graph_module.signature.input_specs
        written = {storage.value for storage in self.written_inputs}
        found = {
            name
            for spec, given in zip(specs, graph.inputs, strict=True)
            for name in given.names()
            if spec.user_input is not None or name in written
        }
        for node in graph.nodes:
            if any(name in found for operand in node.inputs for name in operand.arg.names()):
                found.update(node.results())
        return found

    @cached_property
    def written_back(self) -> dict[str, list[int]]:
        """What becomes the state of buffers, each with its places among the outputs."""
        from graphlint.passes.forms import written_back

        return written_back(self.program)

    @cached_property
    def namesakes(self) -> frozenset[str]:
        """The values that a target takes for state, for they are called so."""
        if "namesake" not in self.profile.refused_outputs:
            return frozenset()
        from graphlint.passes.forms import namesakes

        return namesakes(self.program)

    @cached_property
    def made_last(self) -> Node | None:
        """The last node, where a target fails on what it makes, for that becomes state, and not the first one."""
        if "state_made_last" not in self.profile.refused_outputs:
            return None
        from graphlint.passes.forms import made_last

        return made_last(self.program)

    def namesakes_at(self, site: Site) -> frozenset[str]:
        """Those that a node makes."""
        return self.namesakes.intersection(site.node.results()) if site.scope.caller is None else frozenset()

    def refused(self, op: str) -> RefusedOp | None:
        """What targets say that refuse the op of that name."""
        if op not in self._refused:
            self._refused[op] = self.profile.refused_op(op)
        return self._refused[op]

    def _left_out(self, op: OpInfo) -> bool:
        named = self.namesakes or self.made_last is not None  # whatever their ops
        return not named and super()._left_out(op) and self.refused(op.name) is None


def ops_for(settings: Settings, version: str | None = None) -> OpTable:
    """The table of ops, as of a version of torch if one is given, with what the configuration declares."""
    table = op_table() if version is None else op_table().of_version(version)
    return table.with_declared(settings.ops) if settings.ops else table

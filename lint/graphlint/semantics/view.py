"""A program with all that rules ask about it, worked out once and only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Final, Protocol

import msgspec

from graphlint.ir.model import Program
from graphlint.ops.table import OpInfo, OpTable
from graphlint.rules.diagnostics import StorageKind, WrittenStorage
from graphlint.rules.settings import Profile, TokenSink
from graphlint.semantics.aliasing import Alias, AliasAnalysis, Storage
from graphlint.semantics.precision import Precision
from graphlint.semantics.sites import Site, walk

_PRECEDENCE: tuple[StorageKind, ...] = ("parameter", "buffer", "constant", "user input", "unknown", "intermediate")

TOGETHER: Final = "it is written together with a tensor that cannot be: "
"""What is said of a write that stays because another one does; its reason follows."""


class WritePlan(Protocol):
    """What functionalizing all of a program's writes comes to (``Plan`` of the mutation pass)."""

    @property
    def blocked(self) -> Mapping[int, str]:
        """Writes that stay: the position of the node to the reason."""

    @property
    def fixed(self) -> frozenset[int]:
        """Positions of the nodes whose writes go."""


class KeptCheck(Protocol):
    """A functional check that stays (``Check`` of the pass that restores plain ones)."""

    @property
    def reason(self) -> str:
        """Why."""


class Restorable(Protocol):
    """What bringing plain checks back comes to (``Restoration`` of that pass)."""

    @property
    def kept(self) -> Sequence[KeptCheck]:
        """The checks that stay functional."""

    @property
    def gone(self) -> AbstractSet[tuple[int, str]]:
        """The tokens that go, each by the identity of its graph and its name."""


class Write(msgspec.Struct, frozen=True, eq=False):
    """One tensor that a node writes, and where that ends up."""

    site: Site
    argument: str
    value: str
    aliases: tuple[Alias, ...]

    @property
    def target(self) -> Alias:
        """The storage to report: the only one, or of several possible ones the one that outlives the call."""
        if len(self.aliases) == 1:  # most have one
            return self.aliases[0]
        return min(self.aliases, key=lambda alias: _PRECEDENCE.index(alias.storage.kind))

    @property
    def certain(self) -> bool:
        """Whether the write reaches that storage in every run."""
        return len(self.aliases) == 1 and self.aliases[0].certain

    def storage(self) -> WrittenStorage:
        """The target as diagnostics show it."""
        target = self.target
        return WrittenStorage(target.storage.kind, target.storage.value, target.storage.name, target.views)


class ProgramView:
    """What rules see: the program, its nodes in order, and the analyses over it."""

    def __init__(
        self,
        program: Program,
        ops: OpTable,
        token_sink: TokenSink = "buffer",
        profile: Profile = Profile(),  # noqa: B008 - it is immutable
        planner: Callable[[ProgramView, frozenset[int] | None], WritePlan] | None = None,
        payloads: Callable[[], Mapping[str, str]] | None = None,
        restorer: Callable[[], Restorable] | None = None,
    ) -> None:
        """``profile`` is what the artifact's targets demand; ``planner`` works out what of the writes can be
        functionalized; ``payloads`` tells what holds the values of which parameters, buffers and constants;
        ``restorer`` works out which dependency tokens can be taken away.
        """
        self.program = program
        self.ops = ops
        self.token_sink: TokenSink = token_sink
        self.profile = profile
        self._planner = planner
        self._payloads = payloads
        self._restorer = restorer

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The nodes that could be of interest to any rule: all but those known to be purely functional."""
        refused = self.profile.refused_op
        return tuple(walk(self.program, self.ops, lambda op: _plain(op) and refused(op.name) is None))

    @cached_property
    def write_obstacles(self) -> Mapping[int, str]:
        """Why the writes of a node cannot be functionalized, by its position; those that can are not in it."""
        return self.write_plan.blocked if self.write_plan is not None else {}

    @cached_property
    def write_plan(self) -> WritePlan | None:
        """What of the writes can be functionalized, and the program after that; None without a planner."""
        return self.plan_of(None)

    def plan_of(self, selected: frozenset[int] | None) -> WritePlan | None:
        """As :attr:`write_plan`, for the writes of the nodes at these positions only."""
        return self._planner(self, selected) if self._planner is not None else None

    @cached_property
    def restoration(self) -> Restorable | None:
        """Which functional checks can become plain ones again; None without a restorer."""
        return self._restorer() if self._restorer is not None else None

    def token_obstacle(self, site: Site) -> str | None:
        """Why the tokens that a node makes cannot be taken away, or None."""
        if self.restoration is None:
            return None
        kept = next(iter(self.restoration.kept), None)
        if kept is not None:
            return kept.reason
        made = site.defines
        return None if made and made <= self.restoration.gone else "no functional check takes its token"

    @cached_property
    def functional(self) -> bool:
        """Whether all effects are data flow (random draws aside, which have no other form)."""
        return not self.writes and not any(_has_effect(site) for site in self.sites)

    @cached_property
    def labelled_wrongly(self) -> bool:
        """Whether the program bears the label of the training dialect without need. torch admits checks in graphs that
        are labelled ATEN, and some targets insist on that label.
        """
        if "TRAINING" not in self.program.dialects or self._loses_by_label:
            return False
        if not self.profile.aten_label:
            return self.functional
        effects = (site for site in self.sites if _has_effect(site))
        return not self.writes and all(site.op is not None and site.op.kind == "check" for site in effects)

    @cached_property
    def _loses_by_label(self) -> bool:
        """Whether torch would drop an effect from the program if it were labelled ATEN. Of such programs, loading
        eliminates dead code, to which it counts asserts without a message, and calls of subgraphs with unused results,
        whatever is drawn or checked inside.
        """
        for site in self.sites:
            if site.name == "aten._assert_async.default":
                return True
            effect = _has_effect(site) or (site.op is not None and site.op.draws(site.node))
            if effect and any(not caller.used for caller in site.scope.callers()):
                return True
        return False

    @cached_property
    def aliasing(self) -> AliasAnalysis:
        """Which storage each value shows."""
        payloads = self._payloads() if self._payloads is not None else None
        return AliasAnalysis(self.program, self.ops, self.precision, payloads)

    @cached_property
    def precision(self) -> Precision:
        """Which recorded dtypes are to be doubted."""
        return Precision(self.program, self.ops)

    @cached_property
    def writes(self) -> tuple[Write, ...]:
        """Every write of every node, in program order."""
        unseen = (Alias(Storage("unknown", "?"), certain=False),)
        return tuple(
            Write(site, argument, value, aliases or unseen)
            for site in self.sites
            if site.op is not None and (site.op.writes or site.op.hidden_writes is not None)
            for argument, value, aliases in self.aliasing.written(site)
        )

    @cached_property
    def first_writes(self) -> tuple[tuple[Write, int], ...]:
        """The first write of each node to each kind of storage, and to how many storages of that kind it writes.

        Buffers, parameters, constants and user inputs are each a finding of their own, so they count as one.
        """
        groups: dict[tuple[int, object], list[Write]] = {}
        for write in self.writes:
            storage = write.target.storage
            transient = storage.kind in ("intermediate", "unknown")
            groups.setdefault((write.site.position, "transient" if transient else storage), []).append(write)
        return tuple((group[0], len({id(write.target.storage) for write in group})) for group in groups.values())


def _has_effect(site: Site) -> bool:
    return site.op is None or site.op.effect or site.op.returns_nothing


def _plain(op: OpInfo) -> bool:
    # What the configuration declares may be a higher-order op, with graphs among its operands.
    return op.source == "table" and not (
        op.writes
        or op.hidden_writes is not None
        or op.random.draws != "never"
        or op.returns_nothing
        or op.kind is not None
        or op.effect
        or op.name.startswith("higher_order.")
    )

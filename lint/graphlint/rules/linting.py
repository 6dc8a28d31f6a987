"""Linting one program: rules in, diagnostics out. Pure: no files, no output."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphlint.ir.source import SourceFrame, model_frame, module_of, stack_frames
from graphlint.rules.base import Finding, Rule
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.fixers import REMOVE
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Profile, Settings
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site

_TOGETHER: Final = frozenset(rule.code for rule in RULES if rule.fixer is not None and rule.fixer.together)
"""The rules on writes: a node's writes are fixed together or not at all."""

_PLACES: Final = {rule.code: -1 if rule.leads else 1 << 62 for rule in RULES}
"""Where findings are told that are of a program as a whole: last, but for what the rest goes back to."""

Review = Callable[[Sequence[Diagnostic]], Sequence[Diagnostic]]
"""Given all that was found in a program, the same findings in the same order, each with its place in the repository,
its fingerprint, and whether somebody has accepted it. The same findings always give the same result.
"""


class Found(msgspec.Struct, frozen=True, eq=False):
    """A diagnostic and the node that it is about, for fixing it."""

    diagnostic: Diagnostic
    site: Site | None


def lint_view(view: ProgramView, name: str, path: str, settings: Settings, review: Review | None = None) -> list[Found]:
    """All findings of the enabled rules in one program, in program order, then by code; those that somebody has
    accepted by ``review`` are marked.

    ``name`` is the program's name in the archive, ``path`` the artifact's as it is reported.
    """
    return lint_and_count(view, name, path, settings, review)[0]


def lint_and_count(
    view: ProgramView, name: str, path: str, settings: Settings, review: Review | None = None
) -> tuple[list[Found], int]:
    """The same, and how many idle findings there are of rules that nobody asked for."""
    found: list[Found] = []
    idle = 0
    for rule in RULES:
        if rule.code in settings.enabled:
            for finding in rule.check(view):
                if finding.idle and rule.code in settings.unlisted:
                    idle += 1
                else:
                    found.append(Found(_diagnostic(rule, finding, name, path, settings), finding.site))
    found.sort(
        key=lambda one: (
            _PLACES[one.diagnostic.code] if one.site is None else one.site.position,
            one.diagnostic.code,
        )
    )
    if review is not None:
        reviewed = review([one.diagnostic for one in found])
        found = [Found(diagnostic, one.site) for diagnostic, one in zip(reviewed, found, strict=True)]
    return _without_vain_fixes(found, view, settings), idle


def applies(found: Found, settings: Settings) -> bool:
    """Whether ``--fix`` would apply the finding's fix."""
    diagnostic = found.diagnostic
    if diagnostic.code not in settings.fixable or diagnostic.suppression is not None:
        return False
    return diagnostic.fix.applies(unsafe=settings.unsafe_fixes)


def writes_to_fix(found: list[Found], settings: Settings) -> frozenset[int]:
    """Where writes are to be fixed: a node's are fixed together or not at all, so that one that stays keeps all."""
    writes = [one for one in found if one.diagnostic.code in _TOGETHER]
    left = {one.diagnostic.position for one in writes if not applies(one, settings)}
    return frozenset({one.diagnostic.position for one in writes} - left)


def _without_vain_fixes(found: list[Found], view: ProgramView, settings: Settings) -> list[Found]:
    """No fix is promised for a write that stays because others to the same memory, or of the same node, do."""
    hopeful = [one for one in found if one.diagnostic.code in _TOGETHER and applies(one, settings)]
    selected = writes_to_fix(found, settings)
    everything = {write.site.position for write in view.writes} if hopeful else set()
    if not hopeful or selected == everything - view.write_plan.blocked.keys():
        return found
    from graphlint.passes.functionalize.program import TOGETHER

    made = view.plan_of(selected)
    refusals = {
        one.diagnostic.position: one.diagnostic.fix.message
        for one in found
        if one.diagnostic.code in _TOGETHER and one.diagnostic.fix.applicability == "none"
    }
    vain = {id(one) for one in hopeful if one.diagnostic.position not in made.fixed}

    def kept(one: Found) -> Found:
        position = one.diagnostic.position
        why = TOGETHER + refusals[position] if position in refusals else made.blocked[position]
        return Found(msgspec.structs.replace(one.diagnostic, fix=Fix("none", why)), one.site)

    return [kept(one) if id(one) in vain else one for one in found]


def _fix_for(rule: Rule, finding: Finding, profile: Profile) -> Fix:
    """The rule's own fix, unless the targets have it otherwise."""
    action = profile.actions.get(rule.code)
    if action is None:
        return finding.fix
    if action.fix == "strip" and (finding.site is None or finding.site.node.results()):
        return finding.fix  # what has results cannot simply go
    if action.fix == "strip" and rule.fixer is REMOVE and finding.fix.applicability == "safe":
        return finding.fix  # it goes anyway
    if action.fix == "refuse":
        return Fix("none", f"{action.target}: {action.because}")
    if action.fix == "strip":
        why = f"{action.target} would not run it" if action.target else action.because
        return Fix("unsafe", f"is removed: {why}", asked=not action.target)
    if action.fix == "message":
        return Fix("safe", "is given the message that it raises")
    return Fix("none", f"{action.target} takes it as it is" if action.target else action.because)


def _diagnostic(rule: Rule, finding: Finding, name: str, path: str, settings: Settings) -> Diagnostic:
    site = finding.site
    fix = _fix_for(rule, finding, settings.profile)
    about = Diagnostic(
        rule.code,
        rule.name,
        settings.severities.get(rule.code, rule.severity),
        finding.message,
        fix,
        path=path,
        program=name,
        advice=finding.advice or rule.advice,
        idle=finding.idle,
    )
    if site is None:
        return about
    stack = _stack(site)
    module = next(filter(None, (module_of(one.node) for one in (site, *site.scope.callers()))), (None, None))
    return msgspec.structs.replace(
        about,
        subgraph=site.scope.path,
        node=site.node.label,
        op=site.name,
        position=site.position,
        storage=finding.storage,
        source=model_frame(stack),
        stack=stack,
        module_path=module[0],  # of the nearest caller that has a module, where the node itself has none
        module_type=module[1],
    )


def _stack(site: Site) -> tuple[SourceFrame, ...]:
    """The node's own frames, or the first node's inside (export records none for regions), or the nearest caller's."""
    inner = (node for sub in site.node.subgraphs() for node in sub.graph.nodes)
    for node in (site.node, *inner, *(caller.node for caller in site.scope.callers())):
        frames = stack_frames(node)
        if frames:
            return frames
    return ()

"""What the formats share: findings in groups, how many there are, where they are, and what they say."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from graphlint.artifact.digests import sha256
from graphlint.artifact.patterns import pattern
from graphlint.ir.source import SourceFrame
from graphlint.report.formats.escaping import printable, styled
from graphlint.report.results import FileResult, ReportOptions, RestoredCheck
from graphlint.rules.diagnostics import Diagnostic, Location, Severity, Suppression

DEFAULT_PROGRAM: Final = "model"
"""The name under which ``torch.export.save`` stores its one program: not worth showing."""
_FILE_RULES: Final = ("GL0", "GL9")
"""What is wrong with a file itself is put right elsewhere (``git lfs pull``): what the fix says is advice."""
COLORS: Final[dict[Severity, str]] = {"error": "red", "warning": "yellow", "note": "blue"}
_ACCEPTED_BY: Final = {"comment": "a comment in the source", "baseline": "the baseline"}
_NAMES: Final = pattern(r"%[\w.]+|'[\w.]+'|_\d+\b")
"""Names of values and of state in messages, and numbers of nodes: ``%mul_3``, ``'layers.3.cache'``."""
_DIGITS: Final = dict.fromkeys(map(ord, "0123456789"))
_LISTED: Final = 3
"""So many places are all named; of more, the first and the last."""
_FINGERPRINT_LENGTH: Final = 32


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def enumerated(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def tally(diagnostics: Iterable[Diagnostic], without: Iterable[Diagnostic] = ()) -> str:
    """``2 errors and 1 warning``; ``0 errors`` for nothing. Those ``without`` are among them and do not count."""
    numbers = Counter(one.severity for one in diagnostics)
    numbers.subtract(one.severity for one in without)
    return enumerated([count(numbers[name], name) for name in COLORS if numbers[name]] or [count(0, "error")])


def found_in(results: Sequence[FileResult], field: str = "diagnostics") -> list[Diagnostic]:
    """All findings that are left, or what another field of the results has."""
    return [diagnostic for result in results for diagnostic in getattr(result, field)]


def totals(results: Sequence[FileResult], options: ReportOptions) -> dict[str, int]:
    """Everything that there is to count, by its key in the format ``json``."""
    found = found_in(results)
    severities = Counter(one.severity for one in found)
    accepted = Counter(one.suppression and one.suppression.by for result in results for one in result.suppressed)
    return {
        "files": sum(not result.is_source for result in results),
        "changed": sum(result.changed for result in results),
        "failed": sum(bool(result.error) for result in results),
        "findings": len(found),
        "errors": severities["error"],
        "warnings": severities["warning"],
        "notes": severities["note"],
        "fixable": sum(options.applies(one) for one in found),
        "fixable_unsafe": sum(one.fix.applicability == "unsafe" and not options.applies(one) for one in found),
        "fixed": sum(len(result.fixed) for result in results),
        "suppressed": sum(accepted.values()) - accepted["baseline"],
        "baseline": accepted["baseline"],
    }


def headline(results: Sequence[FileResult]) -> str:
    """``2 errors and 1 warning``, ``all checks passed``; after a fix ``1 warning left, 12 fixed``; after ``--diff``
    ``12 to be fixed, 1 warning to stay``.
    """
    found = found_in(results)
    fixed = sum(len(result.fixed) for result in results)
    failed = sum(bool(result.error) for result in results)
    parts = [tally(found)] if found else []
    if fixed and any(result.changed for result in results):
        parts = [f"{tally(found)} left", f"{fixed} {fixed_word(results)}"]
    elif fixed:
        parts = [f"{fixed} {fixed_word(results)}", *(f"{one} to stay" for one in parts)]
    parts += [f"{count(failed, 'path')} could not be processed"] if failed else []
    return ", ".join(parts) or ("all checks passed" if results else "no artifacts, nothing was checked")


def fixed_word(results: Sequence[FileResult]) -> str:
    """What is to be said of findings that a fix takes away: ``--diff`` writes nothing."""
    return "fixed" if any(result.changed for result in results) else "to be fixed"


def accepted_by(why: Suppression) -> str:
    """``a comment in the source: the cache is ours``."""
    return _ACCEPTED_BY.get(why.by, why.by) + (f": {why.reason}" if why.reason else "")


def paint(text: str, options: ReportOptions, **style: Any) -> str:
    """``text`` in a style of :func:`styled`, if colours are on."""
    return styled(text, **style) if options.color else text


def _linked(text: str, target: str) -> str:
    """``text`` as a link in terminals, by the escape sequence OSC 8."""
    return f"\x1b]8;;{target}\x1b\\{text}\x1b]8;;\x1b\\"


def code(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """``GL103 [*]``: the code, and whether ``--fix`` takes care of it, or does with one more option (``[!]``)."""
    text = paint(diagnostic.code, options, fg=COLORS[diagnostic.severity], bold=True)
    if options.hyperlinks:
        from graphlint.rules.documentation import link

        text = _linked(text, link(diagnostic.rule, diagnostic.code))
    mark = options.mark(diagnostic)
    return f"{text} {paint(mark, options, fg='cyan')}" if mark else text


def severity(diagnostic: Diagnostic) -> str:
    """`` (warning)`` for what is not an error."""
    return "" if diagnostic.severity == "error" else f" ({diagnostic.severity})"


def statement(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """Code, severity and message, on one line."""
    return f"{code(diagnostic, options)}{severity(diagnostic)} {printable(diagnostic.message)}"


def advice(diagnostic: Diagnostic, options: ReportOptions) -> tuple[str, str]:
    """What a fix does or why there is none, and what to call that (``Fix with --unsafe-fixes``); empty where there is
    nothing to say.
    """
    if not diagnostic.fix.message:
        return "", ""
    if diagnostic.code.startswith(_FILE_RULES):
        return "Help", diagnostic.fix.message
    lacks = options.lacks(diagnostic)
    by = f" with {lacks}" if lacks else ""
    return f"Fix{by}" if diagnostic.fixable else "Not fixable", diagnostic.fix.message


def fixed_by(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """``--fix``, ``--fix --unsafe-fixes``: what applies the diagnostic's fix; empty where nothing that is told does."""
    return f"--fix {options.lacks(diagnostic)}".rstrip() if options.mark(diagnostic) else ""


def source_line(place: Location | SourceFrame, options: ReportOptions) -> str:
    """``models.py:84:9``, relative to the current folder if it is below it."""
    path, column = (place.file or place.path, place.column) if isinstance(place, Location) else (place.path, 0)
    return f"{printable(relative(path, options.folder))}:{place.line}{f':{column}' if column else ''}"


def painted_line(place: Location, options: ReportOptions) -> str:
    """The same for terminals: a link to the source file, if links are on and the file is at hand."""
    text = paint(source_line(place, options), options, bold=True)
    if not options.hyperlinks or not place.file:
        return text
    from urllib.parse import quote

    path = quote(place.file.replace(os.sep, "/").encode("utf-8", "surrogateescape"))
    return _linked(text, f"file://{'' if path.startswith('/') else '/'}{path}")


def inner_line(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """``transformers/cache_utils.py:342 in update: keys.index_copy_(…)``: the line of an installed package that the
    model's line leads to; empty where there is none.
    """
    place, origin = diagnostic.place, diagnostic.origin
    if diagnostic.source is None or place is None or origin is None:
        return ""
    if (origin.path, origin.line) == (diagnostic.source.path, diagnostic.source.line):
        return ""
    text = f": {printable(origin.text)}" if origin.text else ""
    return f"{source_line(origin, options)}{in_function(origin)}{text}"


def in_three(place: Location) -> tuple[str, str, str]:
    """The line of the source without its indentation: up to the expression at fault, the expression, and the rest."""
    text = place.text.rstrip()
    begin, end = place.column - 1, (place.end_column or place.column + 1) - 1
    return text[len(text) - len(text.lstrip()) : begin], text[begin:end], text[end:]


def in_function(place: Location) -> str:
    """`` in forward``."""
    return f" in {printable(place.function)}" if place.function else ""


def place_in_artifact(found: Diagnostic | RestoredCheck) -> str:
    """``program decoder, graph cond > true_graph_0, node %add_``; empty for the file as a whole."""
    parts = (
        ("program", found.program if found.program != DEFAULT_PROGRAM else None),
        ("graph", " > ".join(found.subgraph) or None),
        ("node", None if found.node is None else f"%{found.node}"),
        ("member", found.member if isinstance(found, Diagnostic) else None),
    )
    return printable(", ".join(f"{what} {name}" for what, name in parts if name is not None))


def module(diagnostic: Diagnostic) -> str:
    """``, module layers.0 (Linear)``; nothing for the root module."""
    if not diagnostic.module_path:
        return ""
    kind = (diagnostic.module_type or "").rpartition(".")[2]
    return printable(f", module {diagnostic.module_path}" + (f" ({kind})" if kind else ""))


def node_path(diagnostic: Diagnostic) -> str:
    """``cond > true_graph_0 > %add_``."""
    return " > ".join((*diagnostic.subgraph, f"%{diagnostic.node}"))


class Group(msgspec.Struct, frozen=True):
    """Findings that differ in nothing but their place, at least one: a rule, an op, and the line that they come from. A
    layer's line is a finding in each layer.
    """

    diagnostics: tuple[Diagnostic, ...]
    following: tuple[Diagnostic, ...] = ()
    """Other findings that go back to these."""

    @property
    def first(self) -> Diagnostic:
        """The one that speaks for all."""
        return self.diagnostics[0]

    @property
    def artifacts(self) -> list[str]:
        return list(dict.fromkeys(one.path for one in self.diagnostics))

    def places(self) -> str:
        """``node %add_, module layers.0 (Layer)``, or for several ``in 24 places: layers.0 … layers.23``."""
        place = place_in_artifact(self.first)
        return self.several() or (place + module(self.first) if place else "")

    def several(self) -> str:
        """``in 24 places: layers.0 … layers.23``; empty for a single finding."""
        number = len(self.diagnostics)
        paths = self.artifacts
        if len(paths) > 1:
            places = f", {count(number, 'place')}" if number > len(paths) else ""
            return printable(f"in {len(paths)} artifacts{places}: {_listed(paths)}")
        if number == 1:
            return ""
        # Their modules where that tells them apart, their nodes otherwise.
        names = [one.module_path or "" for one in self.diagnostics]
        if not all(names) or len(set(names)) < number:
            names = [node_path(one) for one in self.diagnostics]
        program = self.first.program
        prefix = f"program {program}, " if program not in (None, DEFAULT_PROGRAM) else ""
        return printable(f"{prefix}in {number} places: {_listed(names)}")

    def artifact(self) -> str:
        """``model.pt2, in 24 places: layers.0 … layers.23``, or ``in 300 artifacts: a.pt2 … z.pt2``."""
        own = printable(self.first.path) if len(self.artifacts) == 1 else ""
        return ", ".join(filter(None, (own, self.places())))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _LISTED else f"{names[0]} … {names[-1]}"


def grouped(diagnostics: Iterable[Diagnostic]) -> list[Group]:
    """The findings of one artifact in groups, in the order of the first of each. They are told apart by program, rule,
    op, fix, message and origin, but for the names of values and the numbers in other names; those without a line of
    source stand alone.
    """
    return _in_groups(
        diagnostics, lambda one: _kind(one) if one.place is not None and one.node is not None else id(one)
    )


def _in_groups(
    diagnostics: Iterable[Diagnostic],
    kind: Callable[[Diagnostic], object],
    led: Mapping[int, Sequence[Diagnostic]] = {},
) -> list[Group]:
    """``led`` are the findings that go back to others, by the identity of these."""
    groups: dict[object, list[Diagnostic]] = {}
    for one in diagnostics:
        groups.setdefault(kind(one), []).append(one)
    return [
        Group(tuple(members), tuple(more for one in members for more in led.get(id(one), ())))
        for members in groups.values()
    ]


def by_cause(results: Sequence[FileResult], options: ReportOptions) -> list[Group]:
    """The findings of all results in groups, each cause once; each finding alone where all of them are asked for. In
    the place of a line of source, modules tell apart those that have none.
    """
    if options.everything:
        return [Group((one,)) for result in results for one in result.diagnostics]
    from graphlint.rules.causes import leaders

    led: dict[int, list[Diagnostic]] = {}
    leading: list[Diagnostic] = []
    for result in results:
        for one, leader in zip(result.diagnostics, leaders(result.diagnostics), strict=True):
            if one is leader:
                leading.append(one)
            else:
                led.setdefault(id(leader), []).append(one)
    return _in_groups(leading, lambda one: (options.mark(one), _kind(one)), led)


def _kind(one: Diagnostic) -> object:
    """What findings of one group have in common."""
    place, origin = one.location or one.place, one.origin
    spot: object
    if origin is not None:
        spot = (origin.path, origin.line)
    elif place is not None:  # of the source itself
        spot = (place.path, place.line, place.column)
    else:
        spot = (_alike(one.module_path or ""), one.module_type)
    said = (_NAMES.sub(lambda match: _alike(match[0]), text) for text in (one.message, one.fix.message))
    return one.program, one.code, one.op, one.severity, one.fix.applicability, *said, one.member, spot


def _alike(name: str) -> str:
    """A name without what tells it from those of other layers; nothing of a value's."""
    return "%" if name.startswith("%") else name.translate(_DIGITS)


def following(group: Group) -> str:
    """``40 findings more have this cause: GL103, GL107``; empty where there are none."""
    if not group.following:
        return ""
    codes = ", ".join(sorted({one.code for one in group.following}))
    number = len(group.following)
    return f"{number} more {'finding has' if number == 1 else 'findings have'} the same cause: {codes}"


def spot_of(diagnostic: Diagnostic, options: ReportOptions) -> Location:
    """A line of a file of the repository, as other systems show nothing else: that of the model's source if its file is
    at hand, else the artifact, without a ``file``. The path is as :func:`path_of` has it.
    """
    place = diagnostic.location
    if place is None or not place.file:
        return Location(path_of(diagnostic.path, options), 1)
    path = path_of(place.file, options)
    return place if is_absolute(path) else msgspec.structs.replace(place, path=path)


def address(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """Where the line of the model's source is to be read on the web; empty where it is not."""
    spot = spot_of(diagnostic, options)
    if not options.source_url or not spot.file or is_absolute(spot.path):
        return ""
    from urllib.parse import quote

    return f"{options.source_url}{quote(spot.path.encode('utf-8', 'surrogateescape'))}#L{spot.line}"


def path_of(path: str, options: ReportOptions) -> str:
    """An absolute path, or one relative to the current folder, as it is told in reports for other systems: relative to
    the root of the repository, absolute where it is not below it, with forward slashes.
    """
    return relative(os.path.normpath(os.path.join(options.folder, path)), options.root).replace(os.sep, "/")


def relative(path: str, folder: str) -> str:
    """The absolute ``path`` relative to the ``folder`` that it is below; as it is where it is not, or there is none."""
    return path.removeprefix(folder.rstrip(os.sep) + os.sep) if folder else path


def is_absolute(path: str) -> bool:
    """Whether a path that :func:`path_of` has made leads out of the repository."""
    return path.startswith(("/", "../")) or path[1:3] == ":/"


def fingerprints(diagnostics: Iterable[Diagnostic], options: ReportOptions) -> list[str]:
    """A fingerprint for each, all different: its own where it has one, what it says and where otherwise."""
    seen = Counter[str]()
    prints = []
    for one in diagnostics:
        own = one.fingerprint or _digest(one.code, path_of(one.path, options), one.member or "", one.message)
        prints.append(_digest(own, str(seen[own])) if seen[own] else own)
        seen[own] += 1
    return prints


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_FINGERPRINT_LENGTH]

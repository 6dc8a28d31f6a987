"""What makes a finding the same finding in another export of the model.

A fingerprint is made of the rule, the op, the module that the op belongs to, and the code of the source line: what a
person would go by. It holds no node name and no line number, which change when the model is exported again or
something else is edited. Indices of repeated modules are left out (``layers.3.norm`` is ``layers.*.norm``), since a
layer put in front changes them all; findings that nothing else tells apart are numbered in program order.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from graphlint.artifact.digests import sha256
from graphlint.rules.diagnostics import Diagnostic
from graphlint.run.sources.sourcefile import code_of

LENGTH = 32
"""Of a fingerprint, in hexadecimal digits: 128 bits."""


class Identity(msgspec.Struct, frozen=True, order=True, rename={"code": "rule", "text": "source"}):
    """What findings have in common that nothing tells apart but their order in the program."""

    artifact: str
    """The artifact's name, in the terms of whoever compares: relative to the repository, to a baseline file."""
    program: str
    code: str
    op: str
    module: str
    text: str


def identity(diagnostic: Diagnostic, artifact: str) -> Identity:
    """What the diagnostic is, apart from its ordinal. ``artifact`` is the name to know its artifact by."""
    return Identity(
        artifact,
        (diagnostic.program or "").encode("utf-8", "backslashreplace").decode(),  # a baseline is JSON, which is text
        diagnostic.code,
        _op(diagnostic.op or ""),
        ".".join("*" if part.isdecimal() else part for part in (diagnostic.module_path or "").split(".")),
        code_of(diagnostic.source.text) if diagnostic.source is not None else "",
    )


def fingerprints(diagnostics: Sequence[Diagnostic], artifact: str) -> list[str]:
    """A fingerprint for each of one artifact's diagnostics, in program order: hexadecimal, all different."""
    seen: Counter[Identity] = Counter()
    prints = []
    for diagnostic in diagnostics:
        one = identity(diagnostic, artifact)
        content = "\0".join([*msgspec.structs.astuple(one), str(seen[one])])
        prints.append(sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH])
        seen[one] += 1
    return prints


def _op(name: str) -> str:
    """The op without overload, which differs between versions of torch, and without the underscore of in-place ops,
    which a fix takes away: what else is found about the op is the same as before.
    """
    namespace, _, rest = name.partition(".")
    own = rest.partition(".")[0]
    return f"{namespace}.{own if own.endswith('__') else own.removesuffix('_')}" if own else name

"""Baseline files: findings that were there when graphlint was introduced, and are put up with.

A baseline is JSON with one finding a line, sorted, so that a review shows what was added and removed::

    {
      "version": 1,
      "findings": [
        {"artifact": "models/net.pt2", "program": "model", "rule": "GL103", "op": "aten.add_.Tensor",
         "module": "layers.*", "source": "self.count.add_(1)", "count": 24}
      ]
    }

(each finding on one line). ``artifact`` is relative to the baseline's folder; the other keys are what
``graphlint.run.fingerprints`` goes by; ``count`` is how many such findings are accepted.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.source import is_url
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic, Suppression
from graphlint.run.fingerprints import Identity, identity

VERSION: Final = 1
DEFAULT_NAME: Final = "graphlint-baseline.json"


class _Entry(Identity, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, msgspec.Meta(ge=1)]


class _Version(msgspec.Struct, frozen=True):
    version: int


class _File(_Version, frozen=True, forbid_unknown_fields=True):
    findings: tuple[_Entry, ...]


def load(path: str) -> Counter[Identity]:
    """How many findings of each identity the baseline at ``path`` accepts. Raises ConfigError."""
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise ConfigError(f"there is no baseline {path}; `graphlint baseline` writes one") from None
    except OSError as error:
        raise ConfigError(f"cannot read the baseline {path}: {error.strerror}") from error
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise ConfigError(f"{path}: a baseline of version {version}, this graphlint reads version {VERSION}")
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a baseline that `graphlint baseline` wrote: {error}") from None
    counts: Counter[Identity] = Counter()
    for entry in file.findings:
        *identity, count = msgspec.structs.astuple(entry)
        counts[Identity(*identity)] += count
    return counts


class Baseline:
    """What a baseline accepts, and what of it was met in a run."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError."""
        self._path = path
        self._accepted = load(path)
        self._met: Counter[Identity] = Counter()
        self._linted: dict[str, Collection[str]] = {}
        """The artifacts of the run, and the rules that were on."""

    def suppress(self, artifact: str, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
        """The findings, of which as many of each identity are accepted as the baseline has, the first ones; what is
        accepted for another reason does not count.
        """
        name, left = artifact_name(artifact, self._path), self._accepted.copy()
        reviewed = []
        for diagnostic in diagnostics:
            one = identity(diagnostic, name)
            if diagnostic.suppression is None and left[one] > 0:
                left[one] -= 1
                diagnostic = msgspec.structs.replace(diagnostic, suppression=Suppression("baseline"))  # noqa: PLW2901
            reviewed.append(diagnostic)
        return reviewed

    def meet(self, result: FileResult, enabled: Collection[str]) -> None:
        """Remember what was accepted of an artifact that these rules were ``enabled`` for."""
        name = artifact_name(result.path, self._path)
        self._linted[name] = enabled
        for found in (result.before, result.suppressed):
            accepted = (one for one in found if one.suppression is not None and one.suppression.by == "baseline")
            self._met |= Counter(identity(one, name) for one in accepted)

    def gone(self) -> Counter[Identity]:
        """How many entries no longer occur in what was linted, for rules that were on."""
        own = Counter(self._accepted)
        for one in self._accepted:
            if one.code not in self._linted.get(one.artifact, ()):
                del own[one]
        return own - self._met


def render(counts: Mapping[Identity, int]) -> str:
    """The text of a baseline that accepts ``counts``."""
    entries = [_Entry(*(*msgspec.structs.astuple(one), count)) for one, count in sorted(counts.items()) if count > 0]
    lines = ["    " + msgspec.json.format(msgspec.json.encode(entry), indent=0).decode() for entry in entries]
    findings = "[\n" + ",\n".join(lines) + "\n  ]" if lines else "[]"
    return f'{{\n  "version": {VERSION},\n  "findings": {findings}\n}}\n'


def artifact_name(artifact: str, baseline: str) -> str:
    """What the baseline at the path ``baseline`` calls the artifact: relative to its own folder, forward slashes.

    A URL is called what it is.
    """
    if is_url(artifact):
        return artifact
    path = os.path.abspath(artifact)
    with contextlib.suppress(ValueError):  # on another drive of Windows
        path = os.path.relpath(path, os.path.dirname(os.path.abspath(baseline)))
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()

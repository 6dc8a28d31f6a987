"""Every exception that graphlint raises on purpose, in one tree. What is wrong with one artifact (``ArtifactError``) is
reported as GL001 or GL002, with exit status 1; anything else is an error with exit status 2.

The message says what is wrong and where; where there is something to do about it, it says that too.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes longer to load than what is here
if TYPE_CHECKING:
    from collections.abc import Iterable


DAMAGED = "copy or download the file again; if the original is damaged, too, export and save the model again"
"""What to do about a file that has lost bytes, or has others than were written."""
FOREIGN = (
    "save an exported program there, `torch.export.save(torch.export.export(model, inputs), path)`, or exclude the "
    "file (`extend-exclude`)"
)
"""About a file of another kind."""
HALF_SAVED = "mend what torch.export.save raised, then export and save the model again"
"""About an archive without a program."""
INCOMPLETE = "export and save the model again; what copies or packs the archive has to keep all of its members"
"""About an archive that lacks something that torch looks for."""
REPACKED = "keep the file as torch.export.save writes it: other zip tools put its members elsewhere"
"""About an archive that is laid out otherwise than torch does."""
NEWER = "upgrade graphlint"
"""About an archive of a version that is not known."""


class GraphlintError(Exception):
    """Root of all errors that graphlint raises on purpose."""


class ArtifactError(GraphlintError):
    """An artifact that cannot be read.

    ``member`` is the archive member that is at fault, or None for the file as a whole.
    """

    advice = "export and save the model again"
    """What to do about it, besides what the message says."""

    def __init__(self, message: str, *, member: str | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.member = member
        self.advice = advice or self.advice

    refused = False
    """Whether nothing more of the file is looked at, although it could be."""

    def refusing(self, advice: str) -> ArtifactError:
        """The same, where the file is refused, with what to do."""
        self.advice, self.refused = advice, True
        return self

    def of_limits(self) -> ArtifactError:
        """The same, where it is a limit that is in the way: the message says which."""
        return self.refusing("if you do not trust the file, do not load it in torch either")

    def of_readers(self) -> ArtifactError:
        """The same, where two readers see two files."""
        return self.refusing("do not load it: torch may read, and run, something else than other tools see")


class UnavailableError(ArtifactError):
    """A file that the system does not let anybody read, or that is none."""

    advice = "make the file readable, or exclude it (`extend-exclude`)"
    refused = True


class LfsPointerError(ArtifactError):
    """The file is a Git LFS pointer, not the artifact that it points to."""

    advice = "run `git lfs pull`; in GitHub Actions, check out with `lfs: true`"


class MergeConflictError(ArtifactError):
    """The file, or the Git LFS pointer in its place, has markers of an unresolved merge conflict."""

    advice = "keep one side: `git checkout --ours FILE` or `git checkout --theirs FILE`, then `git add FILE`"


class MissingFileError(GraphlintError, FileNotFoundError):
    """There is no file at the path that was given."""


class ProgramError(ArtifactError):
    """A program's JSON is broken, of the wrong shape, or contradicts itself."""


class RemoteError(GraphlintError):
    """What a URL stands for cannot be had: no connection, no such object, no right to it, a package is missing."""


class ConfigError(GraphlintError):
    """A configuration file, an option or a code that is not understood."""

    of_option = False
    """Whether it is about an option of the command line."""


class WriteError(GraphlintError):
    """The new artifact could not be put in the old one's place, which stays as it was."""


class VerificationError(GraphlintError):
    """Two artifacts do not do the same in stock torch, or cannot be compared there."""


class DifferenceError(VerificationError):
    """Two artifacts do not do the same in stock torch."""


class FixValidationError(GraphlintError):
    """A fixed program failed graphlint's own validation, which is a bug of graphlint: nothing was written."""


SIMILAR = 0.6
"""The similarity, from 0 to 1, from which on a name is worth suggesting."""


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    import difflib

    candidates = {name: name.casefold() for name in sorted(set(known))}
    folded = wanted.casefold()
    near = (
        [name for name, text in candidates.items() if text == folded]
        # Swapped characters: GL130 means GL103.
        or [name for name, text in candidates.items() if sorted(text) == sorted(folded)]
        or [name for name, text in candidates.items() if folded and text.startswith(folded)]
    )
    if not near:
        ratios = {name: difflib.SequenceMatcher(None, folded, text).ratio() for name, text in candidates.items()}
        near = sorted((name for name in candidates if ratios[name] >= SIMILAR), key=lambda name: -ratios[name])
    if not near:
        return ""
    return "; did you mean " + " or ".join(f"'{name}'" for name in near[:2]) + "?"

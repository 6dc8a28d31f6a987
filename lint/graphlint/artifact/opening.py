"""Opening an artifact for a command that cannot go on without it: errors name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphlint.artifact.artifact import Artifact, open_artifact
from graphlint.artifact.container import DEFAULT
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits


@contextmanager
def opened(path: str, limits: Limits = DEFAULT) -> Iterator[Artifact]:
    """The artifact at ``path``, closed in the end. Raises ArtifactError with the path in its message."""
    try:
        artifact = open_artifact(path, limits)
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}", member=error.member) from None
    with artifact:
        yield artifact

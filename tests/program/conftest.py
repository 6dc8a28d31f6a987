from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact

ARTIFACTS = Path(__file__).parent.parent / "artifacts"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``artifact`` runs a test once for every artifact of the corpus, ``version`` once for every torch version."""
    if "artifact" in metafunc.fixturenames:
        paths = sorted(ARTIFACTS.glob("*/*.pt2"))
        metafunc.parametrize("artifact", paths, ids=[f"{path.parent.name}-{path.stem}" for path in paths])
    if "version" in metafunc.fixturenames:
        names = sorted((p.name for p in ARTIFACTS.glob("2.*")), key=lambda name: tuple(map(int, name.split("."))))
        metafunc.parametrize("version", names)


@pytest.fixture(scope="session")
def programs():
    """The JSON of each program in an artifact."""

    def read(path: Path) -> Iterator[bytes]:
        with open_artifact(path) as artifact:
            for entry in artifact.programs:
                yield artifact.read_program(entry)

    return read

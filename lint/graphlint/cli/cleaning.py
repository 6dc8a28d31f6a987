"""Which caches there are in some folders."""

from __future__ import annotations

import os
from collections.abc import Iterable

from graphlint.artifact.errors import ConfigError
from graphlint.run.cache import TAG
from graphlint.run.config import Configuration
from graphlint.run.discovery import CACHE_FOLDER
from graphlint.run.resolution import Resolver


def caches(folders: Iterable[str], cache_dir: str | None) -> list[str]:
    """The folders, as they are shown, that may hold results for artifacts in ``folders``; each once.

    ``cache_dir`` is what the command line says. Raises ConfigError.
    """
    if cache_dir:
        return [cache_dir]
    from graphlint.rules.registry import RULES

    resolver = Resolver(RULES, Configuration())
    found: dict[str, None] = {}
    for start in folders:
        if not os.path.isdir(start):
            raise ConfigError(f"{start}: no such folder")
        if os.path.isfile(os.path.join(start, TAG)):
            found[os.path.abspath(start)] = None  # it is a cache itself
            continue
        found[resolver.for_folder(os.path.abspath(start)).cache_dir] = None
        for folder, below, _ in os.walk(start):
            if CACHE_FOLDER in below:
                found[os.path.abspath(os.path.join(folder, CACHE_FOLDER))] = None
            below[:] = sorted(
                name for name in below if not resolver.excludes(os.path.abspath(os.path.join(folder, name)))
            )
    here = os.getcwd().rstrip(os.sep) + os.sep
    return [folder.removeprefix(here) for folder in found]

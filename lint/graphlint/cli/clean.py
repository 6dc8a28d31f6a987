"""``graphlint clean``: remove what earlier checks left."""

import os
from collections.abc import Iterable

from graphlint.artifact.errors import ConfigError, WriteError
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.cli.session import shown_path
from graphlint.report.formats.phrasing import count
from graphlint.run import cache
from graphlint.run.config import Configuration
from graphlint.run.resolution import CACHE_FOLDER, Resolver


@command(Argument("folders", required=False, several=True))
def clean(console: Console, /, folders: tuple[str, ...], cache_dir: str | None, quiet: bool) -> int:
    """Remove the caches in folders and below them.

    FOLDERS are the current one if there are none.     Only what graphlint has put there is removed.
    """
    found = False
    for folder in [cache_dir] if cache_dir else _caches(folders or (os.curdir,)):
        try:
            removed = cache.clean(folder)
        except OSError as error:
            raise WriteError(f"cannot remove the cache {folder}: {error.strerror}") from error
        if removed is not None and not quiet:
            entries, size = removed
            left = "; other files are left in it" if os.path.isdir(folder) else ""
            console.out(f"Removed {folder} ({count(entries, 'result')}, {size / 1024:.0f} KiB){left}\n")
        found = found or removed is not None
    if not found and not quiet:
        console.out("No cache found\n")
    return 0


def _caches(folders: Iterable[str]) -> list[str]:
    """The folders, as they are shown, that may hold results for artifacts in ``folders``; each once.

    Raises ConfigError.
    """
    resolver = Resolver(Configuration())
    found: dict[str, None] = {}
    for start in folders:
        if not os.path.isdir(start):
            raise ConfigError(f"{start}: no such folder")
        if os.path.isfile(os.path.join(start, cache.TAG)):
            found[os.path.abspath(start)] = None  # it is a cache itself
            continue
        found[resolver.for_folder(os.path.abspath(start)).cache_dir] = None
        for folder, below, _ in os.walk(start):
            if CACHE_FOLDER in below:
                found[os.path.abspath(os.path.join(folder, CACHE_FOLDER))] = None
            below[:] = sorted(
                name for name in below if not resolver.excludes(os.path.abspath(os.path.join(folder, name)))
            )
    return [shown_path(folder) for folder in found]

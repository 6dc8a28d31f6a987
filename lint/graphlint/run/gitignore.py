"""Which files git ignores. git itself is asked: it knows every place where patterns may stand, and what is tracked."""

import os
from collections.abc import Sequence


def ignored_by_git(folder: str, paths: Sequence[str]) -> frozenset[str]:
    """Those of the ``paths`` that git ignores in the repository of ``folder``; none where there is no repository, or
    no git. What is tracked is not ignored, whatever the patterns say.
    """
    if not paths or not _in_repository(os.path.abspath(folder)):
        return frozenset()
    import subprocess

    by_name = {os.fsencode(os.path.abspath(path)): path for path in paths}
    # A hook that the repository configures for its index must not run because files are listed.
    command = ["git", "-c", "core.fsmonitor=false", "-C", folder, "check-ignore", "-z", "--stdin"]
    try:
        made = subprocess.run(command, input=b"\0".join(by_name) + b"\0", capture_output=True, check=False)  # noqa: S603
    except OSError:
        return frozenset()
    return frozenset(by_name[name] for name in made.stdout.split(b"\0") if name in by_name)


def _in_repository(folder: str) -> bool:
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent
    return True

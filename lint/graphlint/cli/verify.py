"""``graphlint verify``: run two artifacts in torch, and compare them."""

from graphlint.artifact.errors import ConfigError, DifferenceError
from graphlint.artifact.source import is_url
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.runtime.loading import require_torch


@command(Argument("before"), Argument("after"))
def verify(
    console: Console, /, before: str, after: str, trust: bool, imports: tuple[str, ...], exact: bool, quiet: bool
) -> int:
    """Run two artifacts in torch, and compare what they do.

    Their programs are called with their sample inputs, with other values and, where sizes are symbolic, with other
    sizes, twice each. Results, state, written inputs, prints, errors and random numbers are compared, bit by bit.
    """
    for path in (before, after):
        if is_url(path):
            raise ConfigError(f"{path}: torch loads files only: download it, and verify the copy")
    require_torch()
    from graphlint.runtime import verification

    try:
        verified = verification.verify(before, after, exact=exact, trust=trust, imports=imports)
    except DifferenceError as error:
        console.error(str(error))
        return 1
    if not quiet:
        console.out(verification.describe(verified) + "\n")
    return 0

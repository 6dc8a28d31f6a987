"""``graphlint completion``: the script that makes a shell complete graphlint's commands, options and arguments."""

from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.cli.options import UsageError


@command(Argument("shell", choices=("bash", "zsh", "fish")))
def completion(console: Console, /, shell: str) -> int:
    """Print the script for a shell."""
    from click.shell_completion import get_completion_class

    from graphlint.cli.clicked import app

    chosen = get_completion_class(shell)
    if chosen is None:
        raise UsageError(f"there is no completion for {shell}")
    console.out(chosen(app, {}, "graphlint", "_GRAPHLINT_COMPLETE").source())
    return 0

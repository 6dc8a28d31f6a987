"""What ``--output-format`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class OutputType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """``FORMAT`` or ``FORMAT=FILE``; the value stays as it is spelled."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the value."""
        from graphlint.artifact.errors import ConfigError
        from graphlint.report.outputs import parse

        try:
            parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The formats that begin so."""
        from click.shell_completion import CompletionItem

        from graphlint.report.outputs import FORMATS

        return [CompletionItem(name) for name in FORMATS if name.startswith(incomplete)]

"""Help texts whose options are grouped under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class SectionOption(click.Option):
    """An option that belongs under a heading."""

    def __init__(self, *args: Any, section: str = "Options", **attributes: Any) -> None:
        """``section`` is the heading; the rest is click's."""
        super().__init__(*args, **attributes)
        self.section = section


class SectionCommand(click.Command):
    """A command whose ``--help`` shows its options by section, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # Arguments are in the usage line already; click's own --help has no section and goes with the last one.
            if record is not None and isinstance(parameter, click.Option):
                section = getattr(parameter, "section", None) or next(reversed(sections), "Options")
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def option(section: str, *declarations: str, **attributes: Any) -> Callable[[Any], Any]:
    """``click.option`` under the heading ``section``."""
    return click.option(*declarations, cls=SectionOption, section=section, **attributes)

"""Templates of reports: markup, in files beside the modules that fill them in. What is put in comes from outside, so it
is escaped, and shown as :func:`graphlint.report.formats.escaping.printable` has it.
"""

from functools import cache
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graphlint.report.formats.escaping import printable


def rendered(folder: str, name: str, **values: Any) -> str:
    """The text of a template in a folder of this package (``formats/html``)."""
    return _environment(folder).get_template(name).render(values)


@cache
def _environment(folder: str) -> Environment:
    return Environment(
        loader=PackageLoader(__package__, folder),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _escaped(value: Any) -> Markup:
    return value if isinstance(value, Markup) else Markup(escape(printable(str(value))))  # noqa: S704 - it is escaped

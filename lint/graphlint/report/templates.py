"""Templates: markup, in files beside the modules that fill them in. What is put in comes from outside, so all of it is
escaped, and shown as :func:`graphlint.report.formats.escaping.printable` has it.
"""

from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any

from markupsafe import Markup

from graphlint.report.formats.escaping import printable


def rendered(folder: str, name: str, escaped: Callable[[str], str] = escape, /, **values: Any) -> str:
    """The text of a template in a folder of graphlint's (``report/graphs``); what is put in is ``escaped`` so."""
    return str(macros(folder, name, escaped, **values))


def macros(folder: str, name: str, escaped: Callable[[str], str] = escape, /, **values: Any) -> Any:
    """What a template defines, as methods of an object whose text is that of the template."""
    return _environment(folder, escaped).get_template(name).make_module(values)


@cache
def _environment(folder: str, escaped: Callable[[str], str]) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # the list of commands does without

    def shown(value: Any) -> Markup:
        return value if isinstance(value, Markup) else Markup(escaped(printable(str(value))))  # noqa: S704

    return Environment(
        loader=PackageLoader("graphlint", folder),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

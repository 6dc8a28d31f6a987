"""A plain ``check`` without click, which takes a tenth of the time of a small one to load."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from graphlint.artifact.errors import ConfigError
from graphlint.cli.check import check
from graphlint.cli.options import DEFAULT, options_of


def status_of(paths: Sequence[str], options: Mapping[str, Any]) -> int | None:
    """The exit status of a ``check``, None where click has to look at what variables say. Raises UsageError."""
    for option in options_of(DEFAULT):
        more = check.more.get(" ".join(option.names))
        if more is not None and more.check is not None:
            try:
                more.check(options[option.parameter])
            except ConfigError as error:
                if os.environ.get(option.kind.get("env", "")):
                    return None
                raise option.wrong(str(error)) from None
    return check.run({check.arguments[0].name: tuple(paths), **options})

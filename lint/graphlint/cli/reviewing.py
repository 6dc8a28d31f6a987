"""What a command tells about comments in the source and about baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from graphlint.cli.console import Console
from graphlint.report.formats.phrasing import count
from graphlint.rules.settings import Settings
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer

if TYPE_CHECKING:
    from collections import Counter

    from graphlint.run.fingerprints import Identity

# Importing pathlib costs every run.


def reviewed_settings(path: str, resolver: Resolver, reviewer: Reviewer) -> Settings:
    """The settings for the artifact at ``path``, with the review of its findings. Raises ConfigError."""
    return reviewer.settings_for(path, resolver.for_path(path), resolver.settings_for(path))


def shown_path(path: str) -> str:
    """The absolute ``path`` as it is shown: relative where it is below the current folder."""
    folder = os.getcwd().rstrip(os.sep) + os.sep
    return path.removeprefix(folder)


def report_stale(stale: Mapping[str, Counter[Identity]], console: Console) -> None:
    """Say which baselines hold what no longer occurs."""
    for baseline, identities in stale.items():
        number = identities.total()
        verb = "occurs" if number == 1 else "occur"
        console.note(
            f"{shown_path(baseline)}: {count(number, 'finding')} in it no longer {verb}; `graphlint baseline --prune` "
            "removes what is gone"
        )
        for one in sorted(identities):
            console.progress(f"  {identities[one]} x {described(one)}")


def described(one: Identity) -> str:
    """A finding of a baseline on one line."""
    module = f" in {one.module}" if one.module else ""
    return f"{one.artifact}: {one.code} {one.op}{module}: {one.text}".rstrip(": ")

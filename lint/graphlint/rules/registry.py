"""All rules, by code. A new rule is one file and its line here; a new family of rules has a line, too."""

from importlib import import_module
from typing import Final

from graphlint.rules.base import Rule

MODULES: Final = (
    "checks",
    "effects",
    "files",
    "ignore_comments",
    "interface",
    "losses",
    "mutation",
    "prints",
    "regions",
    "shared_state",
    "target_limits",
    "target_refusals",
    "torch_versions",
    "train_mode",
)
"""The modules of this package that define rules."""
FAMILIES: Final = {
    "GL0": "Files",
    "GL1": "Writes",
    "GL2": "Runtime checks",
    "GL3": "Other effects",
    "GL4": "Regions and subgraphs",
    "GL5": "Label and signature",
    "GL6": "Targets",
    "GL9": "Suppressions",
}
"""What the rules are about whose codes begin so, in the order of the reference."""


def _rules() -> tuple[Rule, ...]:
    """One instance of each class that such a module defines with a code of its own."""
    found: list[Rule] = []
    for name in MODULES:
        module = import_module(f"graphlint.rules.{name}")
        found += (
            value()
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Rule)
            and value.__module__ == module.__name__
            and "code" in vars(value)
        )
    return tuple(sorted(found, key=lambda rule: rule.code))


RULES: Final = _rules()
"""Every rule, ordered by code."""

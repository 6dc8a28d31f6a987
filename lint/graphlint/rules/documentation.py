"""Rules as Markdown, for ``graphlint rule CODE`` and for ``lint/RULES.md``.

python -m graphlint.rules.documentation > lint/RULES.md
"""

import re
import sys
from typing import Any, Final

from graphlint.rules.base import ISSUE, Rule
from graphlint.rules.registry import FAMILIES, RULES

REPOSITORY: Final = "https://github.com/graphlint/graphlint"

_KEYS: Final = ("code", "name", "severity", "enabled_by_default", "fix", "fix_sometimes", "summary", "documentation")


def link(rule: str, code: str) -> str:
    """The address of a rule's documentation; ``rule`` is its name."""
    return f"{REPOSITORY}/blob/main/lint/RULES.md#{_anchor(rule, code)}"


def explain(rule: Rule) -> str:
    """One rule, heading on level 1."""
    enabled = "Enabled by default" if rule.enabled_by_default else "Off by default: enable it with --extend-select"
    return (
        f"# {rule.name} ({rule.code})\n\n"
        f"{rule.summary}\n\n"
        f"{enabled}. Severity: {rule.severity}. {_availability(rule)}\n\n"
        f"{rule.documentation}\n"
    )


def described(rule: Rule) -> dict[str, Any]:
    found = {key: getattr(rule, key) for key in _KEYS}
    return {**found, "option": rule.option or None, "url": link(rule.name, rule.code)}


def _availability(rule: Rule) -> str:
    if rule.fix == "none":
        return "There is no fix."
    kind = "A fix is" if rule.fix == "safe" else "An unsafe fix is"
    by = f", with {rule.option}" if rule.option else ""
    return f"{kind} {'sometimes' if rule.fix_sometimes else 'always'} available{by}."


def reference() -> str:
    """``lint/RULES.md``."""
    from importlib.resources import files

    from jinja2 import Template

    template = Template(files(__package__).joinpath("reference.md").read_text("utf-8"), trim_blocks=True)
    parts = [template.render(families=FAMILIES, rules=RULES, anchor=_anchor)]
    for rule in RULES:
        # GitHub makes an anchor of the heading: gl103-buffer-mutation.
        body = re.sub(r"^# .*\n", f"## {rule.code} {rule.name}\n", explain(rule))
        head, _, sections = body.partition("\n## What it does")
        parts.append(head + re.sub(r"^## ", "### ", "\n## What it does" + sections, flags=re.MULTILINE))
    return ISSUE.sub(r"[\1#\2](https://github.com/\1/issues/\2)", "\n".join(parts)).rstrip() + "\n"


def _anchor(name: str, code: str) -> str:
    return f"{code.lower()}-{name}"


if __name__ == "__main__":
    sys.stdout.write(reference())

"""``--show-settings``: the resolved settings as text, close to the TOML that would say the same."""

from __future__ import annotations

import msgspec

from graphlint.report.formats.escaping import printable
from graphlint.rules.settings import Settings
from graphlint.run.resolution import Resolved


def render(path: str, resolved: Resolved, settings: Settings) -> str:
    """The settings for the artifact at ``path``, one ``key = value`` a line."""
    lines = [
        f"# Resolved settings for: {printable(path)}",
        f"# Configuration file: {printable(resolved.origin) or 'none'}",
        f"select = {_list(sorted(settings.enabled))}",
        f"fixable = {_list(sorted(settings.fixable))}",
        f"unsafe-fixes = {str(settings.unsafe_fixes).lower()}",
        f"target = {_list(settings.profile.targets)}",
        f"exclude = {_list([pattern.glob for pattern in resolved.exclude])}",
        f"force-exclude = {str(resolved.force_exclude).lower()}",
        f"output-format = {_one_or_list([str(output) for output in resolved.outputs])}",
        f"step-summary = {str(resolved.step_summary).lower()}",
        f"source-roots = {_list(resolved.source_roots)}",
        f"baseline = {_string(resolved.baseline)}",
        f"cache-dir = {_string(resolved.cache_dir)}",
        "",
        "[per-file-ignores]",
        *(f"{_string(pattern.glob)} = {_list(sorted(codes))}" for pattern, codes in resolved.per_file_ignores),
        "",
        "[per-file-target]",
        *(f"{_string(pattern.glob)} = {_list(one.profile.targets)}" for pattern, one in resolved.per_file_targets),
        "",
        "[fix]",
        f"token-sink = {_string(settings.token_sink)}",
        f"provenance = {str(settings.provenance).lower()}",
        "",
        "[limits]",
        *(f"{key} = {value}" for key, value in msgspec.to_builtins(settings.limits).items()),
    ]
    for op, declared in sorted(settings.ops.items()):
        lines += [
            "",
            f"[ops.{_string(op)}]",
            f"writes = {_list(declared.writes)}",
            f"aliases = {_list(declared.aliases)}",
            f"random = {str(declared.random).lower()}",
            f"effect = {str(declared.effect).lower()}",
        ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def _one_or_list(items: list[str]) -> str:
    return _string(items[0]) if len(items) == 1 else _list(items)


def _list(items: list[str] | tuple[str, ...]) -> str:
    return f"[{', '.join(_string(item) for item in items)}]"

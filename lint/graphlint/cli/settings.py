"""``--show-settings``: the resolved settings as text, close to the TOML that would say the same."""

from __future__ import annotations

from typing import Any

import msgspec

from graphlint.report.formats.escaping import printable
from graphlint.rules.settings import Settings
from graphlint.run.resolution import Resolved


def shown_settings(path: str, resolved: Resolved, settings: Settings) -> str:
    """The settings for the artifact at ``path``, one ``key = value`` a line."""
    outputs = [str(output) for output in resolved.outputs]
    lines = [
        f"# Resolved settings for: {printable(path)}",
        f"# Configuration file: {printable(resolved.origin) or 'none'}",
        f"select = {_toml(sorted(settings.enabled))}",
        f"fixable = {_toml(sorted(settings.fixable))}",
        f"unsafe-fixes = {_toml(settings.unsafe_fixes)}",
        f"target = {_toml(settings.profile.targets)}",
        f"exclude = {_toml([pattern.glob for pattern in resolved.exclude])}",
        f"force-exclude = {_toml(resolved.force_exclude)}",
        f"output-format = {_toml(outputs[0] if len(outputs) == 1 else outputs)}",
        f"step-summary = {_toml(resolved.step_summary)}",
        f"source-roots = {_toml(settings.acceptance.source_roots)}",
        f"baseline = {_toml(settings.acceptance.baseline)}",
        f"cache-dir = {_toml(resolved.cache_dir)}",
        "",
        "[per-file-ignores]",
        *(f"{_toml(pattern.glob)} = {_toml(sorted(codes))}" for pattern, codes in settings.acceptance.ignores),
        "",
        "[per-file-target]",
        *(f"{_toml(pattern.glob)} = {_toml(one.profile.targets)}" for pattern, one in resolved.per_file_targets),
        "",
        "[fix]",
        f"token-sink = {_toml(settings.token_sink)}",
        f"provenance = {_toml(settings.provenance)}",
        "",
        "[limits]",
        *(f"{key} = {value}" for key, value in msgspec.to_builtins(settings.limits).items()),
    ]
    for op, declared in sorted(settings.ops.items()):
        lines += [
            "",
            f"[ops.{_toml(op)}]",
            f"writes = {_toml(declared.writes)}",
            f"aliases = {_toml(declared.aliases)}",
            f"random = {_toml(declared.random)}",
            f"effect = {_toml(declared.effect)}",
        ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{printable(escaped)}"'
    return str(value).lower()

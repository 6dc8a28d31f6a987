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
    accepted = settings.acceptance
    sections: dict[str, dict[str, Any]] = {
        "": {
            "select": sorted(settings.enabled),
            "fixable": sorted(settings.fixable),
            "unsafe-fixes": settings.unsafe_fixes,
            "exact": settings.exact,
            "target": settings.profile.targets,
            "exclude": [pattern.glob for pattern in resolved.exclude],
            "force-exclude": resolved.said.force_exclude,
            "output-format": outputs[0] if len(outputs) == 1 else outputs,
            "step-summary": resolved.said.step_summary,
            "source-roots": accepted.source_roots,
            "baseline": accepted.baseline,
            "cache-dir": resolved.cache_dir,
        },
        "per-file-ignores": {_toml(pattern.glob): sorted(codes) for pattern, codes in accepted.ignores},
        "per-file-target": {_toml(pattern.glob): one.profile.targets for pattern, one in resolved.per_file_targets},
        "fix": {"token-sink": settings.token_sink, "provenance": settings.provenance},
        "limits": msgspec.to_builtins(settings.limits),
        **{f"ops.{_toml(op)}": msgspec.structs.asdict(one) for op, one in sorted(settings.ops.items())},
    }
    text = f"# Resolved settings for: {printable(path)}\n# Configuration file: {printable(resolved.origin) or 'none'}\n"
    for section, values in sections.items():
        text += f"\n[{section}]\n" if section else ""
        text += "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
    return text


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{printable(escaped)}"'
    return str(value).lower()

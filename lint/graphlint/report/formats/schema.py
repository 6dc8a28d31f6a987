"""The JSON schema of the formats ``json`` and ``json-lines``, made from the types in ``document.py``.

python -m graphlint.report.formats.schema > lint/graphlint/report/formats/schema.json

A document of ``json`` is valid against the schema itself, a line of ``json-lines`` against ``#/$defs/Line``.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from graphlint.report.formats.document import FileLine, FindingLine, Report, SummaryLine
from graphlint.report.formats.encoding import encode

ADDRESS: Final = "https://github.com/graphlint/graphlint/raw/main/lint/graphlint/reporters/schema.json"
_COMMENT: Final = "Made by python -m graphlint.report.formats.schema. Within one version, keys are only ever added."


def schema() -> dict[str, Any]:
    """The schema."""
    lines = (FileLine, FindingLine, SummaryLine)
    _, components = msgspec.json.schema_components((Report, *lines), ref_template="#/$defs/{name}")
    line = {"description": "A line of the format json-lines.", "oneOf": [_reference(one) for one in lines]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ADDRESS,
        "$comment": _COMMENT,
        "title": "What graphlint reports, version 1",
        **_reference(Report),
        "$defs": {**dict(sorted(components.items())), "Line": line},
    }


def _reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/$defs/{struct.__name__}"}


if __name__ == "__main__":
    sys.stdout.write(encode(schema()))

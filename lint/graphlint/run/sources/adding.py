"""Writing comments into source files that accept findings."""

import ast
import os
import re
import tokenize
from collections.abc import Iterable, Mapping

from graphlint.artifact.errors import WriteError
from graphlint.artifact.source import reason_of
from graphlint.run.sources.sourcefile import SourceFile

_BRACKET = re.compile(r"(#\s*graphlint:\s*ignore\[)([^\]\n]*)(\])", re.IGNORECASE)


def add_ignores(path: str, wanted: Mapping[int, Iterable[str]]) -> int:
    """Accept codes on lines of the source file at ``path``; how many comments were written or extended.

    A comment goes to the end of the statement that the line is part of; codes go into the brackets of one that is
    there. Raises WriteError, also where Python would read another program.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
            stream.seek(0)
            encoding, _ = tokenize.detect_encoding(stream.readline)
        lines = content.decode(encoding).splitlines(keepends=True)
        source = SourceFile(content)
        added: dict[int, set[str]] = {}
        for line, codes in wanted.items():
            added.setdefault(source.statement(line)[1], set()).update(codes)
        for last, codes in added.items():
            lines[last - 1] = _with_codes(lines[last - 1], codes)
        text = "".join(lines)
        if ast.dump(ast.parse(text)) != ast.dump(ast.parse(content)):
            raise WriteError(f"{path}: a comment would change the program")
        _replace(path, text.encode(encoding))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {reason_of(error)}") from error
    except (SyntaxError, UnicodeError, IndexError) as error:
        raise WriteError(f"{path}: Python cannot read the file: {error}") from error
    return len(added)


def _with_codes(line: str, codes: set[str]) -> str:
    found = _BRACKET.search(line)
    if found is not None:
        known = [one for one in re.split(r"[,\s]+", found[2]) if one]
        inside = ", ".join([*known, *sorted(codes - set(known))])
        return f"{line[: found.start()]}{found[1]}{inside}{found[3]}{line[found.end() :]}"
    body = line.rstrip("\r\n")
    return f"{body.rstrip()}  # graphlint: ignore[{', '.join(sorted(codes))}]{line[len(body) :]}"


def _replace(path: str, content: bytes) -> None:
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
        os.chmod(temporary, os.stat(target).st_mode)
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)

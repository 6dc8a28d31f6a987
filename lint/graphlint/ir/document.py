"""A program of an artifact: typed, with the bytes that it was read from and what holds its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from graphlint.artifact.limits import Limits
from graphlint.ir.decode import DEFAULT, check_program, decode_program
from graphlint.ir.model import Program

if TYPE_CHECKING:
    from graphlint.artifact.payloads import Stored

Payloads = Callable[[], Mapping[str, "Stored"]]


class Document:
    """One program. A changed one is another document that was read from the same bytes."""

    def __init__(self, program: Program, payloads: Payloads | None = None, member: str | None = None) -> None:
        self.program = program
        self.payloads = payloads
        """What holds the value of which parameter, buffer and constant, by qualified name; None where the program
        comes without an archive."""
        self.member = member
        """The archive member that it was read from, for messages."""
        self.overgrown: set[str] = set()
        """What was found to make the program too large without its writes, by the value that is its base: not tried
        again after each fix, for it takes as long as all else.
        """
        self._data: bytes | None = None
        self._encoded: bytes | None = None
        self._read = program

    @classmethod
    def from_bytes(
        cls, data: bytes, member: str | None = None, payloads: Payloads | None = None, limits: Limits = DEFAULT
    ) -> Document:
        """Read a program. Raises :class:`~graphlint.artifact.errors.ProgramError`."""
        document = cls(decode_program(data, member, limits), payloads, member)
        document._data = document._encoded = data
        return document

    def to_bytes(self) -> bytes:
        """The JSON: the very bytes that were read, where nothing changed."""
        from graphlint.ir.encode import encode_program

        if self._encoded is None:
            if self._data is None:
                raise AssertionError("a document is read from bytes")
            self._encoded = encode_program(self.program, self._read, self._data)
        return self._encoded

    def changed(self, program: Program) -> Document:
        """The document of a program that this one became.

        Raises :class:`~graphlint.artifact.errors.ProgramError` where the program contradicts itself.
        """
        if program.graph_module is not self.program.graph_module:
            check_program(program)
        document = Document(program, self.payloads, self.member)
        document._data, document._read, document.overgrown = self._data, self._read, self.overgrown
        return document

    def relabelled(self, dialect: str) -> Document:
        """The same program under another label (``ATEN``)."""
        return self.changed(msgspec.structs.replace(self.program, verifiers=[dialect]))

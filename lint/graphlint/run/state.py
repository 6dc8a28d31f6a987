"""What became of a program's state: the extra file ``graphlint_state.json``.

::

    {
      "version": 1,
      "programs": {
        "model": [
          {
            "name": "h", "kind": "buffer", "target": "h", "persistent": true, "dtype": "float32", "sizes": [2],
            "input": "h", "output": "h_out", "input_place": 1, "output_place": 1, "old_input": "b_h", "old_place": 0,
            "value": {"list": "…/model_weights_config.json", "place": 0, "member": "…/weight_0", "entry": {…}}
          }
        ]
      }
    }

The pairs are in the order of the outputs. ``input_place`` and ``output_place`` count all tensors that the program is
handed, and returns; ``value`` says where the value lies that the state begins with, and what the list said of it. An
input that is only handed out, too, because the program writes it, has none.
"""

from typing import Final, Literal

import msgspec

from graphlint.artifact.artifact import Artifact
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.state import Value
from graphlint.passes.state import Piece
from graphlint.run.provenance import key

NAME: Final = "graphlint_state.json"


class Pair(Piece, frozen=True, kw_only=True):
    """An input and an output that were state."""

    value: Value | None


class Description(msgspec.Struct, frozen=True):
    """All of it, by program."""

    version: Literal[1] = 1
    programs: dict[str, tuple[Pair, ...]] = {}

    def of(self, program: str) -> tuple[Pair, ...]:
        """The pairs of the program of that name."""
        return self.programs.get(key(program), ())

    def changed(self, program: str, pairs: tuple[Pair, ...]) -> "Description":
        """The same with other pairs for a program; with none of it where there are none."""
        others = {name: one for name, one in self.programs.items() if name != key(program)}
        return Description(programs={**others, key(program): pairs} if pairs else others)

    def to_bytes(self) -> bytes | None:
        """The file; None where there is nothing to describe."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n" if self.programs else None


def described(artifact: Artifact) -> Description | None:
    """The description in an artifact, an empty one where there is no such file; None for what is none that this version
    understands.
    """
    member = artifact.extra_member(NAME)
    if member not in artifact.container.members:
        return Description()
    try:
        return msgspec.json.decode(artifact.container.read(member), type=Description)
    except (ArtifactError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

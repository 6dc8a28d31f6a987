"""How a program is called: torch's serialized ``TreeSpec``s of what it takes and gives, ``[version, spec]``.

Source: ``treespec_dumps`` in ``torch/utils/_pytree.py``.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.edit import tensor
from graphlint.ir.model import ModuleCallSignature, Program

Json = dict[str, Any]

LEAF: Final[Json] = {"type": None, "context": None, "children_spec": []}
_TUPLE, _DICT = "builtins.tuple", "builtins.dict"


def read_structure(text: str) -> tuple[Any, Json]:
    """The version and the structure. Raises ProgramError where it is of another shape than torch's."""
    try:
        version, spec = json.loads(text)
        leaves(spec)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ProgramError("the structure of the program's result is not understood") from None
    return version, spec


def leaves(spec: Json) -> int:
    """The number of leaves."""
    if spec["type"] is None:
        return 1
    return sum(leaves(child) for child in spec["children_spec"])


def pair(first: Json, second: Json) -> Json:
    """A tuple of two."""
    return {"type": _TUPLE, "context": "null", "children_spec": [first, second]}


class Interface(msgspec.Struct, frozen=True):
    """How a program is called: with positional arguments and keywords, each of which may be nested."""

    called: ModuleCallSignature
    keywords: tuple[str, ...]
    given: Json
    """The structure of (positional arguments, keywords)."""
    result: Json
    versions: tuple[Any, Any]

    @classmethod
    def of(cls, program: Program) -> "Interface | None":
        """None where a program records none, or one of another shape."""
        calls = program.graph_module.module_call_graph
        called = next((one.signature for one in calls if one.fqn == "" and one.signature is not None), None)
        if called is None:
            return None
        try:
            (version, given), (other, result) = read_structure(called.in_spec), read_structure(called.out_spec)
            positional, keywords = given["children_spec"]
            names = _keys(keywords)
        except (ProgramError, ValueError, TypeError, KeyError):
            return None
        if given["type"] != _TUPLE or positional.get("type") != _TUPLE or names is None:
            return None
        return cls(called, tuple(names), given, result, (version, other))

    @property
    def names(self) -> set[str]:
        """What arguments are called, those that are positional as far as it is recorded."""
        named = self.called.forward_arg_names
        return {*self.keywords, *(named if isinstance(named, list) else ())}

    def extended(self, keywords: Sequence[str], results: Sequence[str], made: Iterable[str]) -> ModuleCallSignature:
        """The same with more keywords, and with a pair as its result: what it was, and a dict of the values ``made``,
        whose keys are ``results``.
        """
        before = self.given["children_spec"][1]
        more = _dict([*self.keywords, *keywords], [*before["children_spec"], *[LEAF] * len(keywords)], before)
        return self._changed(
            given={**self.given, "children_spec": [self.given["children_spec"][0], more]},
            result=pair(self.result, _dict(results, [LEAF] * len(results))),
            inputs=[*self.called.inputs, *map(tensor, keywords)] if self.called.inputs else [],
            outputs=[*self.called.outputs, *map(tensor, made)] if self.called.outputs else [],
            names=lambda names: [*names, *keywords],
        )

    def shortened(self, keywords: Sequence[str], results: Sequence[str]) -> ModuleCallSignature | None:
        """The inverse of :meth:`extended`; None where it is not as that left it."""
        count, children = len(self.keywords) - len(keywords), self.result.get("children_spec", ())
        is_pair = self.result["type"] == _TUPLE and len(children) == 2
        if self.keywords[max(count, 0) :] != tuple(keywords) or not is_pair or _keys(children[1]) != [*results]:
            return None
        after = self.given["children_spec"][1]
        less = _dict(self.keywords[:count], after["children_spec"][:count], after)
        return self._changed(
            given={**self.given, "children_spec": [self.given["children_spec"][0], less]},
            result=children[0],
            inputs=self.called.inputs[: len(self.called.inputs) - len(keywords)] if self.called.inputs else [],
            outputs=self.called.outputs[: len(self.called.outputs) - len(results)] if self.called.outputs else [],
            names=lambda names: names[: len(names) - len(keywords)],
        )

    def _changed(self, given: Json, result: Json, inputs: Any, outputs: Any, names: Any) -> ModuleCallSignature:
        named = self.called.forward_arg_names
        return msgspec.structs.replace(
            self.called,
            inputs=inputs,
            outputs=outputs,
            in_spec=json.dumps([self.versions[0], given]),
            out_spec=json.dumps([self.versions[1], result]),
            forward_arg_names=names(named) if isinstance(named, list) else named,
        )


def _dict(keys: Sequence[str], children: list[Json], like: Json | None = None) -> Json:
    return {**(like or {"type": _DICT}), "context": json.dumps(list(keys)), "children_spec": children}


def _keys(spec: Json) -> list[str] | None:
    """The keys of a dict; None where it is none, or has keys that are no text."""
    keys = json.loads(spec["context"]) if spec.get("type") == _DICT else None
    if not isinstance(keys, list) or len(keys) != len(spec.get("children_spec", ())):
        return None
    return keys if all(isinstance(key, str) for key in keys) else None

"""Arguments as JSON: which values they name, and the same arguments with values renamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def tensor(name: str) -> Json:
    """A tensor argument."""
    return {"as_tensor": {"name": name}}


def of_kind(argument: Json, kind: str, value: Any) -> Json:
    """The argument with another value. The kinds that it is not stay spelled out where they are (torch 2.2)."""
    spelled = {key: None if key.startswith("as_") else one for key, one in argument.items()}
    return {**(spelled if len(argument) > 1 else {}), kind: value}


def tensor_names(argument: Json) -> list[str]:
    """Names of all tensors in an argument, in order."""
    kind, value = _set_key(argument)
    if kind == "as_tensor":
        return [value["name"]]
    if kind == "as_tensors":
        return [one["name"] for one in value]
    if kind == "as_nested_tensors":
        return [one["name"] for inner in value for one in inner]
    if kind in ("as_optional_tensor", "as_optional_tensors"):
        found = [one.get("as_tensor") for one in (value if isinstance(value, list) else [value])]
        return [one if isinstance(one, str) else one["name"] for one in found if one]
    if kind == "as_string_to_argument":
        return [name for one in value.values() for name in tensor_names(one)]
    return []


def value_names(argument: Json) -> list[str]:
    """Names of all values in an argument: tensors, and symbolic scalars that are computed."""
    reference = argument.get("as_tensor")
    if reference is not None:  # most are
        return [reference["name"]]
    kind, value = _set_key(argument)
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return [value["as_name"]] if value.get("as_name") else []
    if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
        return [one["as_name"] for one in value if one.get("as_name")]
    if kind == "as_string_to_argument":
        return [name for one in value.values() for name in value_names(one)]
    return tensor_names(argument)


def renamed(argument: Json, mapping: Mapping[str, str]) -> Json:
    """The argument with its values, tensors and symbolic scalars, renamed by ``mapping``."""
    if not mapping:
        return argument

    def reference(value: Any) -> Any:
        if isinstance(value, str):
            return mapping.get(value, value)
        return {**value, "name": mapping.get(value["name"], value["name"])}

    def symbol(value: Json) -> Json:
        name = str(value.get("as_name"))
        return {**value, "as_name": mapping[name]} if name in mapping else value

    def optional(value: Json) -> Json:
        return {**value, "as_tensor": reference(value["as_tensor"])} if value.get("as_tensor") else value

    kind, value = _set_key(argument)
    if kind == "as_tensor":
        return {**argument, kind: reference(value)}
    if kind == "as_tensors":
        return {**argument, kind: [reference(one) for one in value]}
    if kind == "as_nested_tensors":
        return {**argument, kind: [[reference(one) for one in inner] for inner in value]}
    if kind == "as_optional_tensor":
        return {**argument, kind: optional(value)}
    if kind == "as_optional_tensors":
        return {**argument, kind: [optional(one) for one in value]}
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return {**argument, kind: symbol(value)}
    if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
        return {**argument, kind: [symbol(one) for one in value]}
    if kind == "as_string_to_argument":
        return {**argument, kind: {key: renamed(one, mapping) for key, one in value.items()}}
    return argument


def renamed_operands(node: Json, mapping: Mapping[str, str]) -> Json:
    """The node with its operands renamed; the same object where nothing changes."""
    if not mapping:
        return node
    inputs = [{**operand, "arg": renamed(operand["arg"], mapping)} for operand in node["inputs"]]
    return node if inputs == node["inputs"] else {**node, "inputs": inputs}


def renamed_call(entry: Json, mapping: Mapping[str, str]) -> Json:
    """An entry of the module call graph with the values it names renamed."""
    signature = entry.get("signature")
    if not signature or not mapping:
        return entry
    changed = {
        side: [renamed(argument, mapping) for argument in signature.get(side, [])] for side in ("inputs", "outputs")
    }
    return {**entry, "signature": {**signature, **changed}}


def _set_key(argument: Json) -> tuple[str, Any]:
    """The one key that says what the argument is, and its value. Files of torch 2.2 and earlier spell out every
    key, all but one with null.
    """
    for kind, value in argument.items():
        if value is not None:
            return kind, value
    return "as_none", None

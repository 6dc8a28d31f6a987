"""From JSON bytes to a typed program that does not contradict itself."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.artifact.limits import UNLIMITED, Limits, raise_it
from graphlint.ir.dtypes import STRIDED
from graphlint.ir.model import ATEN, NAME_FIELDS, Argument, Graph, InputSpec, OutputSpec, Program

MAX_NESTING = 100
"""Levels of subgraphs that graphlint reads. torch's own reader gives up at about the same depth:
its JSON parser recurses eight levels for each subgraph, against Python's limit of 1,000."""

DEFAULT = Limits()
OLDEST_MAJOR = 1
"""The schema major of torch 2.1, which describes inputs and outputs in another way."""
LEAST_NODE = 40
"""Bytes of JSON that a node takes at least."""
LEAST_OBJECT = 10
"""Bytes of JSON that an object takes at least, on average: the smallest that programs have is ``{"as_int":1}``. An
empty one takes two, and as much memory as any other.
"""
MANY = 20_000
"""Objects that may be as small as they like."""
VALUES_OF_NODE = 64
"""Objects, lists, and items of both that the JSON may have for each of the nodes that are admitted. Without metadata, a
node and the record of its result come to 40 in what recent versions of torch write.
"""

LONGEST_NAME = 2000
"""Characters of a name. Findings are told with the names of what they are about, however many there are: what is
written once could fill the memory.
"""

_decoder = msgspec.json.Decoder(Program)


def decode_program(data: bytes, member: str | None = None, limits: Limits = DEFAULT) -> Program:
    """Decode and check the JSON of one program.

    ``member`` is the archive member it came from, for messages. Raises :class:`ProgramError` where the JSON
    is broken, of another shape than a program's, names values that nothing defines, or is beyond the limits.
    """
    try:
        _check_size(data, limits)
        program = _described(_decode(data))
        check_program(program, limits)
    except RecursionError:
        raise ProgramError(f"subgraphs are nested more than {MAX_NESTING} levels deep", member=member) from None
    except UnicodeDecodeError as error:
        raise ProgramError(
            f"the JSON is not valid UTF-8: {error.reason} at byte {error.start}", member=member
        ) from None
    except msgspec.ValidationError as error:
        raise ProgramError(f"not the JSON of an exported program: {error}", member=member) from None
    except msgspec.DecodeError as error:
        raise ProgramError(_broken(data, error), member=member) from None
    except ProgramError as error:
        error.member = member
        raise
    return program


def _broken(data: bytes, error: msgspec.DecodeError) -> str:
    """What is wrong with JSON; newer versions of msgspec do not say where text is none."""
    try:
        data.decode()
    except UnicodeDecodeError as text:
        return f"the JSON is not valid UTF-8: {text.reason} at byte {text.start}"
    return f"broken JSON: {error}"


def check_program(program: Program, limits: Limits = UNLIMITED) -> None:
    """Raises :class:`ProgramError` where a program contradicts itself or is beyond the limits."""
    _check_count(_check_graph(program.graph, (), limits.nesting), limits)
    _check_signature(program)


def _check_size(data: bytes, limits: Limits) -> None:
    """Refuses too many nodes, and too much of anything else, before it is decoded: that takes some twenty times the
    memory of the JSON.
    """
    objects = data.count(b"{")
    if objects > MANY and objects * LEAST_OBJECT > len(data):
        msgspec.json.decode(data, type=msgspec.Raw)  # broken JSON, or nested too deeply, is told as what it is
        raise ProgramError(f"the JSON has {objects} objects in {len(data)} bytes: those of a program are not so small")
    most = VALUES_OF_NODE * limits.nodes
    if len(data) <= min(LEAST_NODE * limits.nodes, most):
        return
    lists = data.count(b"[")
    if lists >= 2 * limits.nodes and data.count(b'"target"') > limits.nodes:  # a node has two: inputs and outputs
        import re

        _check_count(sum(1 for _ in re.finditer(rb'"target"\s*:', data)), limits)
    # Each list and object that is opened is closed, and commas stand between values: two of three bytes are counted at
    # most. And what is neither a comma nor of a list may be an object's braces.
    if len(data) * 2 // 3 > most and (commas := data.count(b",")) + (len(data) - commas) // 2 > most:
        values = commas + data.count(b"{") + lists
        if values > most:
            raise ProgramError(
                f"the program's JSON has about {values} values, and the limit is {most}, {VALUES_OF_NODE} for each of "
                f"{limits.nodes} nodes: {raise_it('nodes')}"
            ).of_limits()


def _check_count(nodes: int, limits: Limits) -> None:
    if nodes > limits.nodes:
        raise ProgramError(
            f"the program has {nodes} nodes, and the limit is {limits.nodes}: {raise_it('nodes')}"
        ).of_limits()


def _decode(data: bytes) -> Program:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # torch before 2.7 writes infinities and NaN (masks are full of them) as Python's json module does,
        # as bare words that JSON does not have.
        if b"Infinity" not in data and b"NaN" not in data:
            raise
        from graphlint.ir.encode import quoted_words

        return _decoder.decode(quoted_words(data))


def _described(program: Program) -> Program:
    """The program with specs in place of the maps that torch 2.1 writes."""
    module = program.graph_module
    signature = module.signature
    if program.schema[0] > OLDEST_MAJOR or signature.input_specs or signature.output_specs:
        return program
    held = (("parameter", signature.inputs_to_parameters), ("buffer", signature.inputs_to_buffers))
    inputs = [_spec(argument, "user_input", held) for argument in program.graph.inputs]
    written = (("buffer_mutation", signature.buffers_to_mutate),)
    outputs = [_spec(argument, "user_output", written) for argument in program.graph.outputs]
    signature = msgspec.structs.replace(
        signature,
        input_specs=msgspec.convert(inputs, list[InputSpec]),
        output_specs=msgspec.convert(outputs, list[OutputSpec]),
    )
    return msgspec.structs.replace(program, graph_module=msgspec.structs.replace(module, signature=signature))


def _spec(argument: Argument, own: str, stood_for: Sequence[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    """The spec of an input or output: of the kind in whose map its name is, else of its ``own`` kind."""
    name = next(iter(argument.names()), "")
    for kind, names in stood_for:
        if name in names:
            return {kind: {"arg": {"name": name}, NAME_FIELDS[kind]: names[name]}}
    return {own: {"arg": msgspec.to_builtins(argument)}}


def _check_graph(graph: Graph, path: tuple[str, ...], nesting: int) -> int:
    """Each value is defined once, before its first use, and has a name; subgraphs see their own inputs only.

    Returns the number of nodes, those of subgraphs included.
    """
    if len(path) > 2 * nesting:
        error = f"subgraphs are nested more than {nesting} levels deep"
        raise (
            ProgramError(f"{error}: {raise_it('nesting')}").of_limits()
            if nesting < MAX_NESTING
            else ProgramError(error)
        )
    count = len(graph.nodes)
    survey, nodes, defined = graph.survey, graph.nodes, graph.defined
    faults = [one for one in (survey.undefined, survey.twice) if one is not None]
    if faults:
        position, name = min(faults, key=lambda one: one[0])
        what = f"node {position} ({nodes[position].op})" if position >= 0 else f"graph input {-1 - position}"
        does = "defines %{} a second time{}"
        if survey.undefined is not None and position == survey.undefined[0]:
            does = "reads %{}, which nothing before it defines{}"
        raise ProgramError(f"{what} {does.format(name, _within(path))}")
    for position, argument in survey.rare:
        sub, node = argument.as_graph, nodes[position]
        if sub is None:
            continue
        if node.target.startswith(ATEN):
            raise ProgramError(f"node {position} ({node.op}) is given a graph, which this op does not take")
        _check_name(sub.name)
        count += _check_graph(sub.graph, (*path, node.caller_label, sub.name), nesting)
    for name, meta in graph.tensor_values.items():
        own = meta.meta or meta
        if len(own.sizes) != len(own.strides) and own.layout == STRIDED:
            shown = f"{len(own.sizes)} sizes and {len(own.strides)} strides"
            raise ProgramError(f"%{name} is recorded with {shown}{_within(path)}")
    _check_name(max(defined, key=len, default=""))
    for position, argument in enumerate(graph.outputs):
        for name in argument.names():
            if name not in defined:
                raise ProgramError(f"output {position} is %{name}, which nothing defines{_within(path)}")
    if not all(map(str.isidentifier, defined)):
        import json

        odd = next(name for name in defined if not name.isidentifier())
        nameless = ProgramError(f"{json.dumps(odd[:80])} is the name of a value, and is no name{_within(path)}")
        raise nameless.refusing("do not load it: torch puts names of values into the source that it runs")
    return count


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise ProgramError(f"a name has {len(name)} characters, and the most is {LONGEST_NAME}: {name[:40]}…")


def _within(path: tuple[str, ...]) -> str:
    return f" (in {' > '.join(path)})" if path else ""


def _check_signature(program: Program) -> None:
    """The signature describes the graph's inputs and outputs, one by one."""
    signature, graph = program.graph_module.signature, program.graph
    described: tuple[tuple[str, Sequence[InputSpec | OutputSpec], list[Argument]], ...] = (
        ("input", signature.input_specs, graph.inputs),
        ("output", signature.output_specs, graph.outputs),
    )
    for what, specs, values in described:
        if len(specs) != len(values):
            raise ProgramError(f"the signature describes {len(specs)} {what}s, the graph has {len(values)}")
        for position, (spec, value) in enumerate(zip(specs, values, strict=True)):
            name = _described_name(spec)
            held = value.as_custom_obj
            actual = held.name if held is not None else next(iter(value.names()), None)
            if name is not None and name != actual:
                calls = f"calls it %{actual}" if actual is not None else "has no value there"
                raise ProgramError(f"the signature calls {what} {position} %{name}, the graph {calls}")
            _check_spec(spec, f"{what} {position}")


_NAMED: Final = (
    *("parameter", "buffer", "tensor_constant"),
    *("buffer_mutation", "parameter_mutation", "user_input_mutation"),
)
"""Kinds of inputs and outputs that have to name what they stand for."""


def _check_spec(spec: InputSpec | OutputSpec, what: str) -> None:
    """What there is says by which value it is there, and what stands for something has its name."""
    for kind in spec.__struct_fields__:
        given = getattr(spec, kind) if kind not in _NAMED and kind != "constant_input" else None
        if given is not None and not isinstance(given.arg, dict):
            raise ProgramError(f"the signature's {what}, {kind}, is no value of the graph")
    for kind in _NAMED:
        given, key = getattr(spec, kind, None), NAME_FIELDS[kind]
        if given is None:
            continue
        if getattr(given, key) is None:
            raise ProgramError(f"the signature's {what} has no {key}")
        _check_name(getattr(given, key))
        if not isinstance(given.arg, dict) or not isinstance(given.arg.get("name"), str):
            raise ProgramError(f"the signature's {what}, {kind} '{getattr(given, key)}', is no value of the graph")


def _described_name(spec: InputSpec | OutputSpec) -> str | None:
    """The value that a spec is about; None for constants and kinds that are not known here."""
    argument = getattr(spec.spec, "arg", None)
    while isinstance(argument, dict):
        # {"name": …}, or an argument: {"as_tensor": {"name": …}}, {"as_sym_int": {"as_name": …}}
        name = argument.get("name", argument.get("as_name"))
        if isinstance(name, str):
            return name
        argument = next((value for value in argument.values() if value is not None), None)
    return None

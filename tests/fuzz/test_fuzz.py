"""A small run of the fuzzer with a fixed seed, and what its larger runs have found, each as a small case."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from . import consumers, fuzz, judge, looks, mutate, running

pytestmark = pytest.mark.filterwarnings("ignore")
ARTIFACTS = Path(__file__).parents[1] / "artifacts"


def test_a_thousand_mutations():
    outcomes = list(fuzz.run(seed=1, numbers=range(1000), jobs=1, save=None))
    assert [one for one in outcomes if one.result == "failed"] == []
    results = [one.result for one in outcomes]
    # Unless some are still readable, and some fixed, nothing but the refusals was tested.
    assert results.count("fixed") > 100
    assert results.count("unchanged") > 150
    assert results.count("unreadable") > 300


def test_a_case_is_its_number():
    assert mutate.case(3, 14) == mutate.case(3, 14)
    assert mutate.case(3, 14).data != mutate.case(3, 15).data


def test_hangs_and_tracebacks_are_noticed(tmp_path, monkeypatch):
    path = tmp_path / "model.pt2"
    path.write_bytes((ARTIFACTS / "2.13.0" / "clean.pt2").read_bytes())
    assert judge.judge(path, 0) == "unchanged"

    def hang(*_):
        while True:
            pass

    monkeypatch.setattr("graphlint.run.engine.open_artifact", hang)
    with monkeypatch.context() as patch:
        patch.setattr(running, "SECONDS", 0.2)
        with pytest.raises(judge.FailedError, match=r"more than 0\.2 s"):
            judge.judge(path, 0)
    monkeypatch.setattr("graphlint.run.engine.open_artifact", lambda *_: 1 / 0)
    with pytest.raises(judge.FailedError, match="ZeroDivisionError"):
        judge.judge(path, 0)


def edit(path, artifact, change, replaced=()):
    """The artifact with its program's JSON changed: as a tree, then as text."""
    with zipfile.ZipFile(ARTIFACTS / artifact) as old, zipfile.ZipFile(path, "w") as new:
        for one in old.namelist():
            content = old.read(one)
            if one.endswith("models/model.json") or one == "serialized_exported_program.json":
                tree = json.loads(content)
                change(tree["graph_module"])
                content = json.dumps(tree).encode()
                for before, after in replaced:
                    assert before in content
                    content = content.replace(before, after, 1)
            new.writestr(one, content)


def nodes(module):
    return module["graph"]["nodes"]


def _shape(key, index=0):
    def change(module):
        graph = module["graph"]
        graph["tensor_values"][next(iter(graph["tensor_values"]))][key].append({"as_int": 1})

    return change


def _view_of_view(module):
    graph = module["graph"]
    nodes, values = graph["nodes"], graph["tensor_values"]
    meta = values["x"]
    for index in range(1500):
        for op, name in (("view", f"v{index}"), ("add_", f"w{index}")):
            source = f"v{index - 1}" if index else "x"
            of = {"as_tensor": {"name": source if op == "view" else f"v{index}"}}
            other = ("size", {"as_ints": [3, 4]}) if op == "view" else ("other", {"as_int": 1})
            inputs = [{"name": key, "arg": arg, "kind": 1} for key, arg in (("self", of), other)]
            target = "torch.ops.aten.view.default" if op == "view" else "torch.ops.aten.add_.Tensor"
            outputs = [{"as_tensor": {"name": name}}]
            nodes.append({"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}, "name": name})
            values[name] = meta


HUGE = b"9" * 5000
# What the fuzzer has found: the artifact, the change to its graph module, that to its text, and what becomes of it.
FOUND = {
    "a number of 5,000 digits": (
        "2.13.0/async_assert.pt2",
        lambda module: None,
        [(b'"schema_version"', b'"x": ' + HUGE + b', "schema_version"')],
        "fixed",
    ),
    "half of a surrogate pair": (
        "2.13.0/async_assert.pt2",
        lambda module: module.update(x="\ud800"),
        [],
        "unreadable",
    ),
    "a number beyond all floats": (
        "2.13.0/async_assert.pt2",
        lambda module: module.update(x=1),
        [(b'"x": 1', b'"x": 1e400')],
        "fixed",
    ),
    "a check that has a result": (
        "2.13.0/scalar_assert.pt2",
        lambda module: nodes(module)[1].update(target="torch.ops.aten._assert_scalar.default"),
        [],
        "unreadable",
    ),
    "more sizes than strides": ("2.13.0/input_mutation.pt2", _shape("sizes"), [], "unreadable"),
    "a size that is none": (
        "2.13.0/input_mutation.pt2",
        lambda module: None,
        [(b'"sizes": [{"as_int": 3}', b'"sizes": [{}')],
        "unchanged",
    ),
    "an offset that is none": (
        "2.13.0/intermediate.pt2",
        lambda module: module["graph"]["tensor_values"]["slice_1"].update(storage_offset={}),
        [],
        "unchanged",
    ),
    "views of views of views": ("2.13.0/input_mutation.pt2", _view_of_view, [], "unchanged"),
    "no sizes": (
        "2.13.0/input_mutation.pt2",
        lambda module: module["graph"]["tensor_values"]["x"].pop("sizes"),
        [],
        "unreadable",
    ),
    "no metadata of values": (
        "2.13.0/input_mutation.pt2",
        lambda module: module["graph"].pop("tensor_values"),
        [],
        "unreadable",
    ),
    "an input that is no value": (
        "2.13.0/constant_mutation.pt2",
        lambda module: module["signature"]["input_specs"][0]["tensor_constant"].pop("arg"),
        [],
        "unreadable",
    ),
    "no description of inputs": (
        "2.13.0/async_assert.pt2",
        lambda module: module["signature"].pop("input_specs"),
        [],
        "unreadable",
    ),
    "NaN for a name": (
        "2.13.0/input_mutation.pt2",
        lambda module: module["module_call_graph"][0].update(fqn=float("nan")),
        [],
        "fixed",
    ),
    "an argument of no kind": (
        "2.8.0/out_variant.pt2",
        lambda module: nodes(module)[1]["inputs"][1].update(arg={}),
        [],
        "unchanged",
    ),
    "an in-place view without a result": (
        "2.3.1/two_async_asserts.pt2",
        lambda module: nodes(module)[6].update(target="torch.ops.aten.as_strided_.default"),
        [],
        "unreadable",
    ),
    "a range that is a string": (
        "2.13.0/async_assert.pt2",
        lambda module: None,
        [(b'"range_constraints": {', b'"range_constraints": {"s0": "x"')],
        "unreadable",
    ),
    "no dtype": (
        "2.13.0/input_mutation.pt2",
        lambda module: module["graph"]["tensor_values"]["x"].pop("dtype"),
        [],
        "unchanged",
    ),
    "a schema before the first": (
        "2.1.2/nested.pt2",
        lambda module: None,
        [(b'"schema_version": 1', b'"schema_version": 0')],
        "unchanged",
    ),
    "no structure of the result": (
        "2.12.1/constrain_range.pt2",
        lambda module: module["module_call_graph"][0]["signature"].pop("out_spec"),
        [],
        "unreadable",
    ),
    "a branch without operands": (
        "2.4.1/cond_assert.pt2",
        lambda module: nodes(module)[2]["inputs"].pop(),
        [],
        "unchanged",
    ),
    "a region whose result has no strides": (
        "2.8.0/no_grad_region.pt2",
        lambda module: module["graph"]["tensor_values"]["getitem"]["strides"][1].pop("as_int"),
        [],
        "fixed",
    ),
    "an output of no known kind": (
        "2.13.0/input_mutation.pt2",
        lambda module: module["signature"]["output_specs"].__setitem__(0, {"as_none": True}),
        [],
        "unchanged",
    ),
    "an argument that is null": (
        "2.12.1/constant_mutation.pt2",
        lambda module: nodes(module)[1]["inputs"][1].update(arg={"as_tensor": None}),
        [],
        "unchanged",
    ),
    "a word for a number": (
        "2.13.0/async_assert.pt2",
        lambda module: nodes(module)[0]["inputs"][1].update(arg={"as_float": "zeros"}),
        [],
        "unreadable",
    ),
}


@pytest.mark.parametrize(("artifact", "change", "replaced", "expected"), FOUND.values(), ids=FOUND)
def test_what_was_found(tmp_path, artifact, change, replaced, expected):
    path = tmp_path / "model.pt2"
    edit(path, artifact, change, replaced)
    # Eleven reports of 1,500 findings at once take most of the seconds that a run may take.
    every_look = change is not _view_of_view
    assert judge.judge(path, 0, ARTIFACTS / artifact, every_look=every_look) == expected


@pytest.mark.parametrize("name", list(dict.fromkeys(looks.NAMES)))
@pytest.mark.parametrize("artifact", ["two_programs", "cond_assert", "print"])
def test_every_look_at_a_healthy_artifact(tmp_path, monkeypatch, artifact, name):
    monkeypatch.setattr(looks, "NAMES", [name])
    path = tmp_path / "model.pt2"
    path.write_bytes((ARTIFACTS / "2.13.0" / f"{artifact}.pt2").read_bytes())
    assert judge.judge(path, 0, every_look=True) == ("unchanged" if artifact == "print" else "fixed")


FORGERIES = {
    "an escape": (consumers.terminal, "a\x1b[31mb"),
    "a byte": (consumers.terminal, "a\udce9b"),
    "a line": (consumers.terminal, "a\n  forgedline"),
    "a colour": (lambda text: consumers.colored(text, "a", "x"), "\x1b[31ma\x1b[0m\x07"),
    "no JSON": (consumers.report, '{"a": NaN}'),
    "a surrogate": (consumers.strict_json, '"\\ud800"'),
    "a key twice": (consumers.strict_json, '{"a": 1, "a": 2}'),
    "half a line": (consumers.json_lines, '{"type": "summary"}'),
    "no XML": (consumers.junit, "<testsuites>\x01</testsuites>"),
    "a wrong count": (consumers.junit, '<testsuites><testsuite tests="1"/></testsuites>'),
    "a script in a picture": (consumers.svg, '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'),
    "a handler": (consumers.svg, '<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>'),
    "a tag": (consumers.html, "<p id='a'><script></script><forged></forged></p>"),
    "an attribute": (consumers.html, "<p id='a' forged><script></script></p>"),
    "an end": (consumers.html, "<p id='a'><script></script></p></p>"),
    "a link": (consumers.html, "<p id='a'><script></script><a href='javascript:x'></a></p>"),
    "a command": (consumers.github, "::error title=a,file=b::c\nforged\n"),
    "a property": (consumers.github, "::error title=a,file=b,forged=1::c\n"),
    "a cell": (consumers.markdown, "| a | b | c | d | e | f | g |"),
    "markup": (consumers.markdown, "a <img> b"),
    "a quote": (consumers.dot, 'digraph "a"b" {\n}\n'),
}


@pytest.mark.parametrize(("judged", "text"), FORGERIES.values(), ids=FORGERIES)
def test_forgeries_are_noticed(judged, text):
    with pytest.raises(consumers.FailedError):
        judged(text)

"""Mutations of real artifacts: of their bytes, of their members, and of the JSON and the names in them.

A case is its seed; what some of them start from is what graphlint makes of an artifact.
"""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.consumers import FORGED, FORGED_LINE

import graphlint
from graphlint.ops.table import op_table

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
SEEDS = sorted(ARTIFACTS.glob("*/*.pt2"))
FIXED = 0.2
"""So many of the cases start from a fixed artifact, which has tokens to be restored and a record."""


class Case(NamedTuple):
    """A mutated artifact."""

    name: str
    data: bytes
    original: bytes
    """What was mutated."""


def case(seed: int, number: int) -> Case:
    """The mutated artifact of that number; the same wherever and whenever it is made."""
    rng = random.Random(f"{seed}/{number}")
    path = rng.choice(SEEDS)
    kind, mutate = rng.choice(KINDS)
    is_fixed = rng.random() < FIXED
    original = fixed(path) if is_fixed else path.read_bytes()
    name = f"{path.parent.name}/{path.stem}{' (fixed)' if is_fixed else ''}, {kind}"
    return Case(name, mutate(rng, original), original)


@functools.cache
def fixed(path: Path) -> bytes:
    """The artifact after ``--fix``."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        copied.write_bytes(path.read_bytes())
        graphlint.fix(copied, isolated=True)
        return copied.read_bytes()


# --- bytes


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, taken out, put in or doubled: anywhere, or in the zip records."""
    result = bytearray(data)
    records = _records(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(result))
        if records and rng.random() < 0.5:
            at = min(rng.choice(records) + rng.randrange(80), len(result) - 1)
        choice = rng.randrange(7)
        if choice == 0:
            result[at] ^= 1 << rng.randrange(8)
        elif choice == 1:
            result[at : at + rng.choice([1, 4, 8])] = rng.randbytes(rng.choice([1, 4, 8]))
        elif choice == 2:
            del result[at : at + rng.choice([1, 8, 100, 5000])]
        elif choice == 3:
            result[at:at] = rng.randbytes(rng.choice([1, 16, 300]))
        elif choice == 4:
            start = rng.randrange(len(result))
            result[at:at] = result[start : start + rng.choice([4, 64, 3000])]
        elif choice == 5:
            value = rng.choice([0, 1, len(result), 0xFFFF, 0xFFFFFFFF, 1 << 31, rng.randrange(len(result))])
            result[at : at + 4] = struct.pack("<I", value)
        else:
            del result[at:]
        if len(result) < 100:
            break
    return bytes(result)


def _records(data: bytes) -> list[int]:
    found = []
    at = data.find(b"PK")
    while at >= 0:
        if data[at + 2 : at + 3] in (b"\1", b"\3", b"\5", b"\6"):
            found.append(at)
        at = data.find(b"PK", at + 1)
    return found


# --- members


Members = dict[str, bytes]


def read_members(data: bytes) -> Members:
    """What an artifact holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


NOT_UTF8 = b"\xe9\xff\x9b"
PLACEHOLDER = "~~~"
"""In names of members: bytes that are no text, which zipfile does not write."""


def zipped(rng: random.Random, members: Members, renamed: dict[str, str] | None = None) -> bytes:
    """An archive of these members, at times deflated."""
    out = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED])
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name may well be there twice
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo((renamed or {}).get(name, name)), content, method)
    if any(PLACEHOLDER in name for name in (renamed or {}).values()):
        return out.getvalue().replace(PLACEHOLDER.encode(), NOT_UTF8)
    return out.getvalue()


def of_members(rng: random.Random, data: bytes) -> bytes:
    """Members left out, emptied, exchanged, renamed, cut, damaged, made of something else, or in another order."""
    members = read_members(data)
    renamed: dict[str, str] = {}
    for _ in range(rng.choice([1, 1, 2, 3])):
        if len(members) < 2:
            break
        name, other = rng.sample(list(members), 2)
        choice = rng.randrange(9)
        if choice == 0:
            del members[name]
        elif choice == 1:
            members[name] = rng.choice([b"", b"\0", b"{}", b"[]", b"null", b"pt2", b"0", rng.randbytes(50)])
        elif choice == 2:
            members[name], members[other] = members[other], members[name]
        elif choice == 3:
            renamed[name] = rng.choice(
                [
                    name.upper(),
                    name + "x",
                    "/" + name,
                    "../" + name,
                    name.replace("/", "\\"),
                    name[1:] or "x",
                    other + "_",
                ]
            )
        elif choice == 4:
            members[name] = members[name][: rng.randrange(len(members[name]) + 1)]
        elif choice == 5:
            content = bytearray(members[name] or b"x")
            content[rng.randrange(len(content))] = rng.randrange(256)
            members[name] = bytes(content)
        elif choice == 6:
            order = list(members)
            rng.shuffle(order)
            members = {one: members[one] for one in order}
        elif choice == 7:
            members[name] = members[name] * rng.choice([2, 50])
        else:
            members[
                f"{name.rpartition('/')[0]}/{rng.choice(['tensor_0', 'weight_0', 'new.json', 'model.pt', 'x'])}"
            ] = members[other]
    return zipped(rng, members, renamed)


OPCODES = [b"cos\nsystem\n", b"0", b"2", b"(", b"}", b"\x85R", b"\x95" + bytes(8), b"t"]


def of_pickles(rng: random.Random, data: bytes) -> bytes:
    """Bytes of the pickles in torch.save members changed; the archives around them are sound."""
    members = read_members(data)
    saved = [name for name, content in members.items() if content.startswith(b"PK\3\4")]
    for name in saved:
        inner = read_members(members[name])
        for one in inner:
            if one.endswith(".pkl"):
                pickle = bytearray(inner[one])
                for _ in range(rng.choice([1, 2, 5])):
                    at = rng.randrange(len(pickle))
                    if rng.random() < 0.5:
                        pickle[at] = rng.randrange(256)
                    else:
                        pickle[at:at] = rng.choice(
                            [b"cos\nsystem\n", b"0", b"2", b"(", b"}", b"\x85R", b"\x95" + bytes(8), b"t"]
                        )
                inner[one] = bytes(pickle)
        members[name] = zipped(rng, inner)
    return zipped(rng, members)


# --- JSON


HUGE = "a number of 5,000 digits"
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    1 << 31,
    1 << 63,
    -(1 << 63) - 1,
    1 << 200,
    HUGE,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "0",
    "NaN",
    "x" * 3000,
    "a b",
    "é\u2028",
    "\ud800",
    "\0",
    "%",
    "{0}",
    "torch.ops",
    ".",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"as_none": True},
    {"as_tensor": {"name": "x"}},
    {"as_int": 3},
    {"as_tensors": []},
    {"name": "x"},
    {"as_sym_int": {"as_name": "x"}},
    {"as_expr": {"expr_str": "s0 + ("}},
    {"as_graph": {"name": "g", "graph": {}}},
]
_TARGETS = """
torch.ops.aten.add_.Tensor torch.ops.aten.copy_.default torch.ops.aten.index_put_.default torch.ops.aten.view.default
torch.ops.aten.select.int torch.ops.aten.slice.Tensor torch.ops.aten.detach_.default torch.ops.aten.transpose_.default
torch.ops.aten._assert_async.msg torch.ops.aten._assert_scalar.default torch.ops.aten.sym_constrain_range.default
torch.ops.aten._assert_tensor_metadata.default torch.ops.aten.bernoulli_.float torch.ops.aten.dropout_.default
torch.ops.aten.batch_norm.default torch.ops.aten.resize_.default torch.ops.aten.set_.source_Tensor
torch.ops.aten.add.out torch.ops.aten.split.Tensor torch.ops.aten.unbind.int torch.ops.aten.chunk.default
torch.ops.aten.expand.default torch.ops.higher_order.cond torch.ops.higher_order.while_loop
torch.ops.higher_order.wrap_with_set_grad_enabled torch.ops.higher_order.map_impl torch.ops.higher_order.with_effects
torch.ops.higher_order.auto_functionalized torch.ops.aten._print.default torch.ops.aten.relu_.default
torch.ops.aten.zero_.default torch.ops.nowhere.op_.default torch.ops.aten.as_strided_.default
torch.ops.aten.squeeze_.dim torch.ops.aten.clamp_.default _operator.ge math.trunc
"""
TARGETS = _TARGETS.split()


WANTED = ["target", "name", "as_int", "as_ints", "as_tensor", "arg", "nodes", "outputs", "inputs", "sizes"]


class Place(NamedTuple):
    """A value in a tree of JSON."""

    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        return self.holder[self.key]


def _places(tree: Any) -> list[Place]:
    found: list[Place] = []
    pending = [tree]
    while pending:
        holder = pending.pop()
        keys = range(len(holder)) if isinstance(holder, list) else holder
        for key in keys:
            found.append(Place(holder, key))
            if isinstance(holder[key], (list, dict)):
                pending.append(holder[key])
    return found


def of_json(rng: random.Random, data: bytes) -> bytes:
    """Values replaced, removed, doubled, moved or exchanged; operators and names replaced by others."""
    members = read_members(data)
    programs = [name for name in members if "/models/" in name or name == "serialized_exported_program.json"]
    configs = [name for name in members if name.endswith("_config.json")]
    name = rng.choice(programs * 6 + configs)
    tree = json.loads(members[name])
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        _mutate_tree(rng, tree)
    members[name] = json.dumps(tree).replace(json.dumps(HUGE), "9" * 5000).encode()
    if rng.random() < 0.03:
        members[name] = members[name].replace(b"[]", b"[" * 3000 + b"]" * 3000, 1)
    return zipped(rng, members)


def _mutate_tree(rng: random.Random, tree: Any) -> None:
    places = _places(tree)
    if not places:
        return
    chosen = rng.random()
    if chosen < 0.25:  # what the graph says, rather than what it is annotated with
        wanted = rng.choice(
            ["target", "name", "as_int", "as_ints", "as_tensor", "arg", "nodes", "outputs", "inputs", "sizes"]
        )
        places = [place for place in places if place.key == wanted] or places
    place = rng.choice(places)
    value = place.value
    if place.key == "target" and chosen < 0.9:
        place.holder[place.key] = rng.choice(TARGETS)
        return
    if place.key == "name" and chosen < 0.9:
        place.holder[place.key] = rng.choice([other.value for other in _places(tree) if other.key == "name"])
        return
    # Half of them keep the shape of the JSON, to get further than the check of that.
    choice = rng.choice([4, 4, 7, 7, 2, 3]) if rng.random() < 0.5 else rng.randrange(9)
    if choice == 0:
        place.holder[place.key] = copy.deepcopy(rng.choice(ODD))
    elif choice == 1:
        del place.holder[place.key]
    elif choice == 2 and isinstance(place.holder, list):
        place.holder.insert(rng.randrange(len(place.holder) + 1), copy.deepcopy(value))
    elif choice == 3 and isinstance(place.holder, list):
        rng.shuffle(place.holder)
    elif choice == 4:
        like = [other for other in _places(tree) if other.key == place.key and other.value is not value]
        place.holder[place.key] = copy.deepcopy(rng.choice(like or [place]).value)
    elif choice == 5:
        place.holder[place.key] = copy.deepcopy(rng.choice(_places(tree)).value)
    elif choice == 6 and isinstance(place.holder, dict):
        place.holder[rng.choice(["unknown", "as_tensor", "name", "", str(place.key) + "_"])] = place.holder.pop(
            place.key
        )
    elif choice == 7:
        number = rng.choice([place for place in places if type(place.value) is int] or [place])
        value = number.value if type(number.value) is int else 0
        number.holder[number.key] = value + rng.choice([-1, 1, 2, 100])
    elif choice == 8 and isinstance(value, str) and value:
        at = rng.randrange(len(value))
        place.holder[place.key] = value[:at] + rng.choice(["", "_", "(", "\n", "\x1b", "é"]) + value[at + 1 :]
    else:
        place.holder[place.key] = copy.deepcopy(rng.choice(ODD))


# --- meaning


NUMBERS = [-3, -2, -1, 0, 1, 2, 3, 5, 64, 1 << 40]
DIALECTS = ["ATEN", "TRAINING", "EDGE", ""]


@functools.cache
def _targets() -> list[str]:
    """Ops that show or write memory, as a file names them."""
    table = op_table()
    targets = [f"torch.ops.{name}" for name in table.names() if name.startswith("aten.")]
    return [target for target in targets if (op := table.lookup(target)) is not None and (op.view or op.writes)]


def of_meaning(rng: random.Random, data: bytes) -> bytes:
    """A program of the right shape that means something else: other operands, ops, sizes, names, specs or dialects,
    which may contradict each other.
    """
    members = read_members(data)
    [program, *_] = [name for name in members if "/models/" in name] or ["serialized_exported_program.json"]
    tree = json.loads(members[program])
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        _change_meaning(rng, tree)
    members[program] = json.dumps(tree).encode()
    return zipped(rng, members)


def _change_meaning(rng: random.Random, tree: Any) -> None:
    graphs = [
        place.value for place in _places(tree) if isinstance(place.value, dict) and "tensor_values" in place.value
    ]
    graph = rng.choice(graphs)
    nodes = graph["nodes"] or [{"inputs": [], "outputs": [], "target": ""}]
    node = rng.choice(nodes)
    names, choice = list(graph["tensor_values"]), rng.randrange(12)
    if choice < 4 and node["inputs"]:
        operand = rng.choice(node["inputs"])
        operand["arg"] = _argument(rng, names, operand["arg"])
    elif choice == 4 and node["inputs"]:
        del node["inputs"][rng.randrange(len(node["inputs"]))]
    elif choice == 5:
        node["target"] = rng.choice(_targets()) if rng.random() < 0.5 else rng.choice(nodes)["target"]
    elif choice < 8 and names:
        meta = graph["tensor_values"][rng.choice(names)]
        meta = meta.get("meta") or meta
        _change_meta(rng, meta, graph["tensor_values"][rng.choice(names)])
    elif choice == 8 and node["outputs"]:
        node["outputs"][rng.randrange(len(node["outputs"]))] = _argument(rng, names, node["outputs"][0])
    elif choice == 9:
        tree["verifiers" if "verifiers" in tree else "dialect"] = [rng.choice(DIALECTS)]
    elif choice == 10:
        specs = tree["graph_module"]["signature"].get(rng.choice(["input_specs", "output_specs"])) or [{}]
        one, other = rng.choice(specs), rng.choice(specs)
        for kind in [*one][:1]:
            one[rng.choice([*one, *other, "buffer", "parameter", "buffer_mutation", "user_input"])] = one.pop(kind)
    else:
        rng.shuffle(node["inputs"])


def _change_meta(rng: random.Random, meta: Any, other: Any) -> None:
    key = rng.choice(["sizes", "sizes", "strides", "strides", "dtype", "storage_offset", "layout", "requires_grad"])
    value = meta.get(key)
    if isinstance(value, list) and rng.random() < 0.7:
        number = {"as_int": rng.choice(NUMBERS)}
        how = rng.randrange(3)
        if how == 0:
            value.insert(rng.randrange(len(value) + 1), number)
        elif value:
            place = rng.randrange(len(value))
            value[place : place + 1] = [number] if how == 1 else []
    elif type(value) is int:
        meta[key] = rng.choice([1, 2, 5, 7, 10, 12, 13])
    else:
        meta[key] = copy.deepcopy((other.get("meta") or other).get(key, value))


def _argument(rng: random.Random, names: list[str], old: Any) -> Any:
    number = rng.choice(NUMBERS)
    return rng.choice(
        [
            {"as_none": True},
            {"as_int": number},
            {"as_int": number},
            {"as_ints": [rng.choice(NUMBERS) for _ in range(rng.randrange(5))]},
            {"as_float": 1.5},
            {"as_bool": rng.random() < 0.5},
            {"as_string": "sum"},
            {"as_tensor": {"name": rng.choice(names or ["x"])}},
            {"as_tensors": [{"name": rng.choice(names or ["x"])}] * rng.randrange(3)},
            {"as_sym_int": {"as_int": number}},
            {"as_scalar_type": 7},
            old,
        ]
    )


# --- names


HOSTILE = [
    f"\"'><{FORGED} {FORGED}='&<!--",
    f"]]><{FORGED}/>",
    f"--></title></script></style><{FORGED}>",
    f"&lt;{FORGED}&gt;&#0;&{FORGED};",
    f"\n{FORGED_LINE}",
    f"\r\n::error file=x::{FORGED}\n{FORGED_LINE}",
    f"\x85{FORGED_LINE}\u2028{FORGED_LINE}",
    f"%0A::error::{FORGED},file=x:",
    f"\x1b[31m{FORGED}\x1b[0m\x07\x08",
    f"\x1b]8;;http://{FORGED}\x1b\\",
    "\x9b31m",
    "\u202e\u2066\u200b\ufeff",
    "\ufffe\uffff\ufdd0",
    "\0",
    "\ud800",
    f"|{FORGED}|\n|---|",
    f"`{FORGED}` *_[{FORGED}](http://{FORGED})_* ![]({FORGED}) @{FORGED} #1 $x$",
    "\\",
    '\\"',
    "{0}%s%(x)s$(x)`x`",
    "\t",
    " ",
    "",
    "a" * 1500,
    "é\U0001f600\U000e0041",
    "\U0001d4b3",
    "ªº",
    "a, b: c = d -> e",
    "~~~",
]
"""Text that means something to what reports are read by, if it is not escaped."""


def of_names(rng: random.Random, data: bytes) -> bytes:
    """A string of the JSON replaced by hostile text wherever it stands, or a program or the root folder renamed."""
    members = read_members(data)
    trees = {name: json.loads(content) for name, content in members.items() if content.startswith(b"{")}
    renamed: dict[str, str] = {}
    if rng.random() < 0.2:
        renamed = _renamed_members(rng, members)
    else:
        program = rng.choice([name for name in trees if "/models/" in name] or ["serialized_exported_program.json"])
        by_key: dict[Any, list[str]] = {}
        for place in _places(trees[program]):
            if isinstance(place.value, str):
                by_key.setdefault(place.key, []).append(place.value)
        for _ in range(rng.choice([1, 1, 2, 4])):
            old = rng.choice(by_key[rng.choice(list(by_key))])
            new = _hostile(rng, old)
            trees = {name: _replaced(tree, old, new) for name, tree in trees.items()}
    members.update({name: json.dumps(tree).encode() for name, tree in trees.items()})
    return zipped(rng, members, renamed)


def _hostile(rng: random.Random, text: str) -> str:
    put = rng.choice(HOSTILE)
    at = rng.choice([0, len(text), rng.randrange(len(text) + 1)])
    return put if rng.random() < 0.3 else text[:at] + put + text[at:]


def _replaced(tree: Any, old: str, new: str) -> Any:
    if isinstance(tree, dict):
        return {new if key == old else key: _replaced(value, old, new) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_replaced(value, old, new) for value in tree]
    return new if tree == old and isinstance(tree, str) else tree


def _renamed_members(rng: random.Random, members: Members) -> dict[str, str]:
    """The root folder or a program with another name, with all that belongs to it."""
    root = next(iter(members)).partition("/")[0]
    programs = [name.rpartition("/")[2].removesuffix(".json") for name in members if "/models/" in name]
    old = rng.choice([root, *programs * 3])
    new = _hostile(rng, old).encode("utf-8", "replace").decode().replace("\0", "")
    found = {}
    for name in members:
        folder, _, last = name.rpartition("/")
        if old == root:
            found[name] = new + name.removeprefix(root)
        elif last.startswith((f"{old}.", f"{old}_")):
            found[name] = f"{folder}/{new}{last.removeprefix(old)}"
    return found


KINDS = [
    *[("JSON", of_json)] * 6,
    *[("meaning", of_meaning)] * 4,
    *[("names", of_names)] * 3,
    *[("members", of_members)] * 2,
    ("pickles", of_pickles),
    *[("bytes", of_bytes)] * 2,
]

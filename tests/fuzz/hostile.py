"""Artifacts that want to run something: made from a grammar, loaded by stock torch, and looked at by GL003.

::

    python tests/fuzz/hostile.py --samples 20000 --seed 1          # nightly
    python tests/fuzz/hostile.py --seed 1 --only 4711              # one case again, the file kept

A case is an honest artifact with hostile text in some of the places that its JSON has for texts, with hostile objects
in the places of others, or with a pickle put together from opcodes among its members. Each is made by its seed and
number alone. Exit status 1 where one left a marker (:mod:`tests.fuzz.loading`) and nothing was found in it.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import random
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.analysis import attacks
from tests.fuzz.loading import PAYLOAD, Loader

from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.pickles import ALLOWED
from graphlint.artifact.rewrite import write_archive
from graphlint.run.api import lint

CALLS = [attacks.CALL, "__import__('os').mkdir('ran')", '__import__("os").mkdir("ran")', f"__import__('{PAYLOAD}')"]
"""Source that leaves a marker."""
FRAMES = [
    *(
        "{}",
        "x={}",
        "str({})",
        "Integer({} or 1)",
        "{} is None",
        "[{} for _ in '0']",
        "(lambda: {})()",
        "1 if {} else 1",
    ),
    *(
        '"+str({})+"',
        "'+str({})+'",
        "\\x22+str({})+\\x22",
        "\\x27+str({})+\\x27",
        "\\42+str({})+\\42",
        "\\u0022+str({})+\\u0022",
    ),
    *("\\", "\\x22", "'\"", "{}\\", "'", '"', '"""+str({})+"""', '\\"+str({})+\\"', "\\'+str({})+\\'"),
    *("\n{}\n", "a\n    {}\n", "\r{}\r", "#\n{}", "x);{}#", "x: {}", "x={},*", ":={}", "*{}", "x, y={}"),
    *("') or {} or ('", '") or {} or ("', 'x") if {} else ("', "'] + [{}] + ['", "']), {}, str(['", "']:{},'"),
    *("L['x'] == {}", "L['x'].size()[0] == {}", "L['inputs']['x'].size()[{}] == 3", "Symbol('x', {})", "Max({}, 2)"),
    *("Symbol('{}')", 'Symbol("{}")', "f'{{{}}}'", "{{{}}}", "x[{}]", "x.{}", "@{}", "Eq(Symbol('s0'), {})"),
]
"""What is put around it: whatever could end a literal, a line, a parenthesis or a name."""
NAMES = [
    *(PAYLOAD, f"{PAYLOAD}.call", f"{PAYLOAD}:Colour", f"{PAYLOAD}.Colour", "os", "os.mkdir", "posix", "builtins.eval"),
    *("torch.utils._pytree.os.mkdir", "torch.serialization.os.mkdir", "_operator.attrgetter", "_operator.call"),
    *("torch.ops.aten.from_file.default", "torch.ops.aten.save.default", "torch.hub.load", "torch.ops.load_library"),
    *(
        "__class__",
        "__dict__",
        "__init__",
        "forward",
        "_code",
        "../ran",
        "/ran",
        "ran",
        "data/../../ran",
        "print",
        "exec",
    ),
]
"""Texts that are no source: names of what could be imported, called or set, and of files."""


class Case(NamedTuple):
    """A hostile artifact."""

    name: str
    data: bytes


class Finding(NamedTuple):
    """What came of a case."""

    name: str
    markers: list[str]
    loads: bool
    found: bool
    """Whether anything that is an error was found."""


@functools.cache
def bases() -> list[tuple[str, bytes]]:
    """Honest artifacts, with a text in each of the places that torch has for texts."""
    import torch

    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("factor", torch.ones(4))
            self.constant = torch.ones(4)

        def forward(self, x: Any) -> Any:
            return x * self.factor + self.constant

    class Everything(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = Scale()
            self.linear = torch.nn.Linear(4, 4)

        def forward(self, inputs: Any, mode: str, *, key: Any = None) -> Any:
            x = self.linear(self.scale(inputs["x"]))
            x = torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))
            return {"y": torch.nn.functional.gelu(x, approximate="tanh"), "z": (x + key,)}

    class Little(torch.nn.Module):
        def forward(self, inputs: Any, mode: str, *, key: Any = None) -> Any:
            return inputs["x"] + key

    inputs = ({"x": torch.ones(3, 4)}, "plain")
    dynamic = {"inputs": {"x": {0: torch.export.Dim("rows", min=2, max=64)}}, "mode": None, "key": None}
    preserved = {"preserve_module_call_signature": ("scale",)}
    made = []
    for name, model, options in (
        ("little", Little(), {}),
        ("little dynamic", Little(), {"dynamic_shapes": dynamic}),
        ("everything", Everything(), preserved),
        ("everything dynamic", Everything(), {"dynamic_shapes": dynamic, **preserved}),
    ):
        program = torch.export.export(model, inputs, {"key": torch.ones(4)}, **options)
        file = io.BytesIO()
        torch.export.save(program, file)
        made.append((name, file.getvalue()))
    return made


def hostile_text(rng: random.Random, old: str = "") -> str:
    """A text that wants to become source, or a name."""
    choice = rng.random()
    if choice < 0.15:
        return rng.choice(NAMES)
    text = "{}" if choice < 0.4 else rng.choice(FRAMES)
    text = text.replace("{{", "\0").replace("{}", rng.choice(CALLS)).replace("\0", "{")
    return rng.choice([text, text, text, old + text, text + old, old[: len(old) // 2] + text + old[len(old) // 2 :]])


# --- JSON

OBJECTS: list[Callable[[random.Random], Any]] = [
    lambda rng: {"as_string": hostile_text(rng)},
    lambda rng: {"as_operator": rng.choice([*NAMES, hostile_text(rng)])},
    lambda rng: {"as_expr": {"expr_str": hostile_text(rng), "hint": rng.choice([None, {"as_int": 3}])}},
    lambda rng: {"as_sym_int": {"as_expr": {"expr_str": hostile_text(rng), "hint": None}}},
    lambda rng: {"as_custom_obj": {"name": hostile_text(rng), "class_fqn": hostile_text(rng)}},
    lambda rng: {"as_string_to_argument": {hostile_text(rng): {"as_string": hostile_text(rng)}}},
    lambda rng: {"__enum__": True, "fqn": rng.choice(NAMES), "name": "RED"},
    lambda rng: {"as_strings": [hostile_text(rng), hostile_text(rng)]},
    lambda rng: [["", hostile_text(rng)]],
    lambda rng: [hostile_text(rng)],
]
SPECS: list[Callable[[random.Random], Any]] = [
    lambda rng: _spec("collections.defaultdict", _factory(rng)),
    lambda rng: _spec("builtins.dict", json.dumps([rng.choice(OBJECTS)(rng)])),
    lambda rng: _spec("builtins.dict", json.dumps([hostile_text(rng)])),
    lambda rng: _spec("collections.OrderedDict", json.dumps(rng.choice(OBJECTS)(rng))),
    lambda rng: _spec("collections.namedtuple", hostile_text(rng)),
    lambda rng: _spec("collections.deque", json.dumps(rng.choice(OBJECTS)(rng))),
    lambda rng: _spec(rng.choice(NAMES), json.dumps(hostile_text(rng))),
]


def _spec(kind: str, context: Any) -> Any:
    return {"type": kind, "context": context, "children_spec": [{"type": None, "context": None, "children_spec": []}]}


def _factory(rng: random.Random) -> Any:
    module, name = rng.choice([(PAYLOAD, "call"), ("os", "mkdir"), ("builtins", "eval"), ("builtins", "list")])
    return {"default_factory_module": module, "default_factory_name": name, "dict_context": [hostile_text(rng)]}


LIVE = ("expr_str", "as_string", "context", "type", "json")


class _Opened(dict[str, Any]):
    """JSON in a string, opened; it is closed again when the whole is written."""


def _open(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _open(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_open(item) for item in value]
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return _Opened(json=_open(json.loads(value)))
        except ValueError:
            return value
    return value


def _close(value: Any) -> Any:
    if isinstance(value, _Opened):
        return json.dumps(_close(value["json"]))
    if isinstance(value, dict):
        return {key: _close(item) for key, item in value.items()}
    return [_close(item) for item in value] if isinstance(value, list) else value


def _places(value: Any, above: Any = None, key: Any = None) -> list[tuple[Any, Any, Any]]:
    """Every value of a tree with what it stands in, and where."""
    found = [(above, key, value)] if above is not None else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for inner, item in items:
        found += _places(item, value, inner)
    return found


def change_json(rng: random.Random, data: bytes) -> bytes:
    """A program with hostile texts and objects."""
    tree = _open(json.loads(data))
    if rng.random() < 0.15:
        tree["guards_code"].append(hostile_text(rng, "L['inputs']['x'].size()[0] == 3"))
        if rng.random() < 0.7:
            return json.dumps(_close(tree)).encode()
    for _ in range(rng.choice([1, 1, 1, 1, 1, 1, 2, 3])):
        places = _places(tree)
        if rng.random() < 0.8:
            places = [place for place in places if isinstance(place[2], str)]
        if rng.random() < 0.4:  # where something is known to be evaluated or imported, if there is such a place
            places = [place for place in places if place[1] in LIVE] or places
        kinds: dict[str, list[tuple[Any, Any, Any]]] = {}
        for place in places:  # each kind of place is as likely, however often there is one
            kinds.setdefault(f"{type(place[2]).__name__} {place[1] if isinstance(place[1], str) else ''}", []).append(
                place
            )
        above, key, old = rng.choice(kinds[rng.choice(sorted(kinds))])
        choice = rng.random()
        if key == "as_int" and choice < 0.7:  # a size, as likely as not
            above["as_expr"] = {"expr_str": hostile_text(rng), "hint": {"as_int": above.pop("as_int")}}
        elif isinstance(old, str) and (choice < 0.9 or key == "expr_str"):
            _everywhere(tree, old, hostile_text(rng, old), at=None if rng.random() < 0.5 else (above, key))
        elif isinstance(key, str) and isinstance(above, dict) and choice < 0.4 and not isinstance(above, _Opened):
            _everywhere(tree, key, hostile_text(rng, key), at=None)
        elif isinstance(old, dict) and "children_spec" in old:
            above[key] = rng.choice(SPECS)(rng)
        elif isinstance(old, list) and choice < 0.5:
            old.insert(rng.randrange(len(old) + 1), rng.choice([hostile_text(rng), rng.choice(OBJECTS)(rng)]))
        else:
            above[key] = rng.choice(OBJECTS)(rng)
    return json.dumps(_close(tree)).encode()


def _everywhere(tree: Any, old: str, new: str, at: tuple[Any, Any] | None) -> None:
    """Puts a text in the place of another one: at one place, or at all, so that what refers to it finds it."""
    if at is not None:
        at[0][at[1]] = new
        return
    for above, key, value in _places(tree):
        if value == old and isinstance(value, str):
            above[key] = new
        if key == old and isinstance(above, dict) and old in above:
            above[new] = above.pop(old)


# --- pickles

GLOBALS = sorted(ALLOWED)
LIKELY = [
    *("collections OrderedDict", "collections Counter", "collections defaultdict", "collections deque", "torch Tensor"),
    *(
        "torch.storage TypedStorage",
        "torch.storage UntypedStorage",
        "torch FloatStorage",
        "torch.nn.parameter Parameter",
    ),
    *(
        "torch._tensor _rebuild_from_type_v2",
        "torch._utils _rebuild_parameter_with_state",
        "_codecs encode",
        "torch Size",
    ),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_wrapper_subclass", "builtins set", "torch device"),
]
FOREIGN = [
    *(
        f"{PAYLOAD} call",
        f"{PAYLOAD} Colour",
        "posix mkdir",
        "builtins eval",
        "builtins getattr",
        "torch serialization.os.mkdir",
    ),
    *("functools partial", "operator methodcaller", "torch.serialization.os mkdir", "builtins exec", "torch.hub load"),
]
ATTRIBUTES = [
    *("__qualname__", "__module__", "__class__", "__dict__", "dump_patches", "items", "keys", "detach", "as_subclass"),
    *("_metadata", "_backward_hooks", "data", "dtype", "__setstate__", "to", "values", "__name__", "_untyped_storage"),
]


class _Pickle:
    """A random pickle: what it makes of what it has, with a memo of what may come up again."""

    def __init__(self, rng: random.Random, *, wild: bool) -> None:
        self.rng = rng
        self.wild = wild
        self.memos = 0

    def value(self, depth: int) -> bytes:
        rng = self.rng
        if depth <= 0:
            return rng.choice([self.text, self.text, self.atom, self.name, self.got])()
        makers = [self.text, self.atom, self.name, self.got, self.tuple, self.list, self.dict, self.reduced, self.built]
        makers += [self.persistent, self.tensor, self.storage, self.reduced, self.built, self.set_items, self.dict]
        content = rng.choice(makers)(depth - 1) if depth > 0 else b"N"
        if rng.random() < 0.15 and self.memos < 200:
            content += b"q" + bytes((self.memos,))
            self.memos += 1
        return content

    def text(self, _: int = 0) -> bytes:
        choice = self.rng.random()
        words = ["x", "storage", "module", "cpu", "0", "1", "latin1", "rot13", *ATTRIBUTES]
        text = hostile_text(self.rng) if choice < 0.5 else self.rng.choice(words)
        return attacks.text(text.encode("utf-8", "replace").decode())

    def atom(self, _: int = 0) -> bytes:
        return self.rng.choice(
            [b"N", b"\x88", b"\x89", b"K\1", b"K\0", b"K\x0c", b")", b"]", b"}", b"M\xe9\3", b"\x8f", b"C\1'"]
        )

    def name(self, _: int = 0) -> bytes:
        rng = self.rng
        if self.wild and rng.random() < 0.5:
            module, name = rng.choice(FOREIGN).split(" ")
        elif rng.random() < 0.7:
            module, name = rng.choice(LIKELY).split(" ")
        else:
            module, _, name = rng.choice(GLOBALS).rpartition(".")
        return attacks.name(module, name)

    def got(self, _: int = 0) -> bytes:
        return b"h" + bytes((self.rng.randrange(self.memos),)) if self.memos else b"N"

    def tuple(self, depth: int) -> bytes:
        return b"(" + b"".join(self.value(depth) for _ in range(self.rng.randrange(5))) + b"t"

    def list(self, depth: int) -> bytes:
        return b"](" + b"".join(self.value(depth) for _ in range(self.rng.randrange(4))) + b"e"

    def dict(self, depth: int) -> bytes:
        items = (self.key(depth) + self.value(depth) for _ in range(self.rng.randrange(3)))
        return b"}(" + b"".join(items) + b"u"

    def key(self, depth: int) -> bytes:
        return self.value(depth) if self.rng.random() < 0.4 else self.text()

    def state(self, depth: int) -> bytes:
        items = (attacks.text(self.rng.choice(ATTRIBUTES)) + self.value(depth) for _ in range(self.rng.randrange(1, 3)))
        state = b"}(" + b"".join(items) + b"u"
        return self.rng.choice([state, state, b"N" + state + b"\x86", state + b"N\x86", self.value(depth)])

    def reduced(self, depth: int) -> bytes:
        form = self.rng.randrange(4)
        if form == 0:
            return b"(" + self.name() + self.value(depth) + b"o"
        return self.name() + self.tuple(depth) + (b"R" if form < 3 else b"\x81")

    def built(self, depth: int) -> bytes:
        makers = [self.storage, self.tensor, self.name, self.persistent, self.reduced, self.value]
        empty = attacks.name("collections", "OrderedDict") + b")R"
        return self.rng.choice([*(one(depth) for one in makers), empty]) + self.state(depth) + b"b"

    def set_items(self, depth: int) -> bytes:
        act = self.rng.choice([b"(%bu", b"(%be", b"(%b\x90"])
        return self.value(depth) + act % (self.key(depth) + self.value(depth))

    def storage(self, _: int = 0) -> bytes:
        return attacks.global_storage(self.rng.choice("01"), 1)

    def tensor(self, _: int = 0) -> bytes:
        return attacks.tensor("0")

    def persistent(self, depth: int) -> bytes:
        rng = self.rng
        if rng.random() < 0.5:
            kind = self.name()
            return attacks.in_module(kind, None if rng.random() < 0.5 else hostile_text(rng))
        what = rng.choice([attacks.text("storage"), attacks.text("module"), self.value(depth)])
        parts = b"".join(self.value(depth) for _ in range(rng.randrange(2, 6)))
        return b"(" + what + parts + b"tQ"


def shown_storage(rng: random.Random) -> bytes:
    """A thing with attributes of its own choice as a key of the sample inputs."""
    thing = rng.choice(
        [attacks.global_storage("1", 1), attacks.tensor("0"), attacks.name("torch.storage", "TypedStorage")]
    )
    text = hostile_text(rng)
    if rng.random() < 0.5:
        text = f"a(dtype=1)], 'x\"+str({rng.choice(CALLS)})+\"'] #"
    state = b"}" + attacks.text(rng.choice(ATTRIBUTES)) + attacks.text(text) + b"s"
    return b"}" + thing + rng.choice([state, b"N" + state + b"\x86"]) + b"b" + attacks.tensor() + b"s"


def patches(rng: random.Random) -> bytes:
    """A class that a persistent id hands over, with attributes set, and once more."""
    kind = _Pickle(rng, wild=False).name()
    flag = attacks.text(rng.choice(["dump_patches", "dump_patches", *ATTRIBUTES])) + b"\x88"
    state = rng.choice([b"}" + flag + b"s", b"N}" + flag + b"s\x86"])
    return attacks.in_module(kind, None) + state + b"b0" + attacks.in_module(kind, hostile_text(rng)) + b"0}"


def make_pickle(rng: random.Random) -> bytes:
    """A member that torch unpickles: an archive, or the old format."""
    pickle = _Pickle(rng, wild=rng.random() < 0.5)
    content = rng.choice([pickle.value, pickle.value, pickle.dict])(rng.randrange(2, 6))
    choice = rng.random()
    if choice < 0.15:
        content = shown_storage(rng)
    elif choice < 0.3:
        content = patches(rng)
    elif choice < 0.4:
        content = b"}" + attacks.text(hostile_text(rng)) + attacks.tensor() + b"s"
    elif choice < 0.5:
        content = b"}" + attacks.text("x") + attacks.tensor() + b"s0" + content
    before = b"".join(pickle.value(rng.randrange(1, 4)) + b"0" for _ in range(rng.randrange(3)))
    whole = b"\x80\x02" + before + content + b"\x85}\x86."
    if rng.random() < (0.6 if b"module" not in whole else 0.2):
        return attacks.saved({"data.pkl": whole, "data/0": bytes(48), "data/1": bytes(4)})
    return attacks.MAGIC + attacks.VERSION + b"\x80\x02}." + whole + b"\x80\x02]."


def case(seed: int, number: int) -> Case:
    """The case of that number."""
    rng = random.Random(f"{seed} {number}")
    name, data = rng.choice([*bases(), *bases()[:2] * 2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.pt2"
        path.write_bytes(data)
        with open_artifact(path) as artifact:
            (entry,) = artifact.programs
            changes: dict[str, bytes] = {}
            how = rng.choice(["json", "json", "json", "pickle", "pickle", "both"])
            if how != "pickle":
                changes[entry.member] = change_json(rng, artifact.read_program(entry))
            if how != "pickle" and rng.random() < 0.05:
                changes |= _hidden(rng, artifact, entry, changes.pop(entry.member))
            if how != "json":
                place = rng.choice(["sample_inputs", "sample_inputs", "sample_inputs", "weights", "constants"])
                changes[f"{artifact.root}/data/{place}/{entry.name}.pt"] = make_pickle(rng)
            out = io.BytesIO()
            write_archive(artifact.container, changes, out)
            made = bytearray(out.getvalue())
        if rng.random() < 0.05:  # torch goes by the directory alone
            header = made.index(f"{entry.member}".encode()) - 30
            struct.pack_into("<H", made, header + 6, struct.unpack_from("<H", made, header + 6)[0] | 1)
    return Case(f"{number}: {name}, {how}", bytes(made))


def _hidden(rng: random.Random, artifact: Artifact, entry: ProgramEntry, program: bytes) -> dict[str, bytes]:
    """The program beside the honest one, under a name that is none."""
    data, read = f"{artifact.root}/data", artifact.container.read
    return {
        f"{artifact.root}/models/b{rng.choice(['.xson', '.jsoN', '_____', '/json'])}": program,
        f"{data}/sample_inputs/b.pt": read(str(entry.sample_inputs)),
        f"{data}/weights/b_weights_config.json": read(str(entry.weights_config)),
        f"{data}/constants/b_constants_config.json": read(str(entry.constants_config)),
    }


def try_case(loader: Loader, made: Case, save: Path | None = None) -> Finding:
    """Loads a case, and looks whether it is flagged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        path.write_bytes(made.data)
        loaded = loader.load(path)
        found = any(one.severity == "error" for one in lint(path).diagnostics if one.code in ("GL001", "GL003"))
        if save is not None and loaded.markers and not found:
            save.mkdir(parents=True, exist_ok=True)
            (save / f"{made.name.partition(':')[0]}.pt2").write_bytes(made.data)
        return Finding(made.name, loaded.markers, loaded.loads, found)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    numbers = range(options.samples) if options.only is None else [options.only]
    with Loader() as loader:
        tried = [try_case(loader, case(options.seed, number), options.save) for number in numbers]
    missed = [one for one in tried if one.markers and not one.found]
    for one in missed:
        print(f"{one.name} left {one.markers}, and nothing was found (--seed {options.seed})")
    marked, loaded = (
        sum(map(bool, column)) for column in zip(*((one.markers, one.loads) for one in tried), strict=True)
    )
    flagged = sum(one.found for one in tried)
    print(f"{len(tried)} cases: {loaded} load, {marked} left a marker, {flagged} are flagged, {len(missed)} missed")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

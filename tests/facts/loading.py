"""Write which artifacts of the test suite torch loads (``tests/facts/loads.json``).

``python -m tests.facts.loading`` writes what the installed torch refuses, and leaves what other versions do; with
``--check`` it writes nothing, and exits 1 where the file is stale. It needs torch and nothing else. What is refused is
``<version>/<case>``, or ``<version>/*`` for all that a version wrote.
"""

import contextlib
import importlib
import json
import logging
import pkgutil
import sys
from pathlib import Path

import torch

LOADS = Path(__file__).with_name("loads.json")
ARTIFACTS = Path(__file__).parents[1] / "artifacts"


def loads(path: Path) -> bool:
    """Whether torch loads all programs of an artifact."""
    try:
        if path.stem == "two_programs":
            package = importlib.import_module("torch.export.pt2_archive._package")
            return set(package.load_pt2(str(path)).exported_programs) == {"encoder", "decoder"}
        torch.export.load(path)
    except Exception:  # noqa: BLE001  # whatever it says
        return False
    return True


def refused() -> list[str]:
    """What the installed torch does not load."""
    told = []
    for folder in sorted(path for path in ARTIFACTS.iterdir() if path.is_dir()):
        cases = sorted(folder.glob("*.pt2"))
        names = [f"{folder.name}/{path.stem}" for path in cases if not loads(path)]
        told += [f"{folder.name}/*"] if len(names) == len(cases) else names
    return told


def register() -> None:
    """Register what the artifacts call: their custom op, and ops that torch registers late."""
    torch.library.define("sample::scale_", "(Tensor(a!) x, float factor) -> ()")
    ops = importlib.import_module("torch._higher_order_ops")
    for module in pkgutil.iter_modules(ops.__path__, "torch._higher_order_ops."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)


def main(arguments: list[str]) -> int:
    """Write or check the file; the exit code."""
    logging.disable(logging.CRITICAL)
    register()
    known = json.loads(LOADS.read_text()) if LOADS.exists() else {}
    version = ".".join(torch.__version__.split(".")[:2])
    found = refused()
    if arguments == ["--check"]:
        return int(known.get(version) != found)
    ordered = sorted({**known, version: found}.items(), key=lambda one: tuple(map(int, one[0].split("."))))
    LOADS.write_text(json.dumps(dict(ordered), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The package's compiled modules in one file: to find, check and open a file for each is a tenth of a small check.

The file, ``__pycache__/graphlint.cpython-311.bundle`` beside the package, holds what Python keeps in a ``.pyc`` file
for each module, of all modules that runs of the command line have loaded. It is good as those files are: a module whose
source has another size or time of change is read by Python as usual, and nothing is written where Python would not
write (``PYTHONDONTWRITEBYTECODE``, a folder that is read-only). It lies beside the package, for one in it would be left
behind when the package is uninstalled, and Python take the folder for a package.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec  # importlib itself takes longer to load than what is here
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

import graphlint

TYPE_CHECKING = False  # and so do typing and contextlib
if TYPE_CHECKING:
    from types import CodeType, ModuleType

Stamp = tuple[int, int, int, int]
"""Size, both times (ns) and inode of a source: tools that unpack wheels may give all files of all versions one time."""
Module = tuple[str, bool, Stamp, int, int]
"""The source, whether it is a package, and the source's stamp; where the code begins in the file, and its bytes."""
_PACKAGE = "graphlint"
_SERVED = hasattr(os, "pread") and sys.pycache_prefix is None and sys.implementation.cache_tag is not None
"""Whether there is such a file at all: not on Windows, nor where Python keeps code elsewhere, or none."""
_LENGTH = 8
"""Bytes of the number in front, which says how long the list of modules is."""


def _place() -> str:
    """The path of the file."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(graphlint.__file__)))
    optimized = f".opt-{sys.flags.optimize}" if sys.flags.optimize else ""
    return os.path.join(folder, "__pycache__", f"{_PACKAGE}.{sys.implementation.cache_tag}{optimized}.bundle")


def _made_for() -> tuple[bytes, str, str]:
    """What a file has to agree with: code is of one Python, and holds the path of its source."""
    return MAGIC_NUMBER, os.path.abspath(graphlint.__file__), graphlint.__version__


class Bundle:
    """Finds the modules of the package that are in the file, as far as they are current."""

    def __init__(self) -> None:
        """Raises OSError, or ValueError and the like, where there is no such file, or another one."""
        self._file = os.open(_place(), os.O_RDONLY)
        try:
            self._start, self.modules = _listed(self._file)
        except BaseException:
            os.close(self._file)
            raise

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where Python asks for a module."""
        known: Module | None = self.modules.get(name)
        if known is None or not _is_current(known):
            return None
        source, is_package, *_ = known
        spec = ModuleSpec(name, _Loader(self, name, known), origin=source, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def code(self, module: Module) -> bytes:
        """A module's code, marshalled."""
        *_, start, length = module
        return os.pread(self._file, length, self._start + start)


class _Loader(SourceFileLoader):
    """Loads a module as Python does, but for where its code comes from."""

    def __init__(self, bundle: Bundle, name: str, known: Module) -> None:
        super().__init__(name, known[0])
        self._bundle, self._known = bundle, known

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.path
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = marshal.loads(self._bundle.code(self._known))  # noqa: S302
        return code


def _listed(file: int) -> tuple[int, dict[str, Module]]:
    """Where in the open file the code begins, and the modules. Raises as :class:`Bundle` does."""
    whole = os.fstat(file).st_size
    length = int.from_bytes(os.pread(file, _LENGTH, 0), "little")
    if _LENGTH + length > whole:
        raise ValueError("it is no such file, or not whole")
    modules: dict[str, Module]
    made_for, size, modules = marshal.loads(os.pread(file, length, _LENGTH))  # noqa: S302  # as .pyc files are
    if made_for != _made_for() or _LENGTH + length + size != whole:
        raise ValueError("it is of another Python, of another place, or not whole")
    return _LENGTH + length, modules


def _is_current(module: Module) -> bool:
    try:
        return _stamp(module[0]) == module[2]
    except OSError:
        return False


def _stamp(source: str) -> Stamp:
    status = os.stat(source)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def install() -> set[str]:
    """Load what is imported from now on from the file, if there is one. The modules of the package that are loaded
    already.
    """
    loaded = set(_loaded())
    there = any(isinstance(one, Bundle) for one in sys.meta_path)
    if _SERVED and not there:
        try:
            sys.meta_path.insert(0, Bundle())
        except (OSError, ValueError, EOFError, TypeError):
            return loaded  # there is none, or it is none: a new one comes into its place
    return loaded


def keep(before: set[str]) -> None:
    """Write the file anew where modules have been loaded that it lacks, but for those of ``before``."""
    bundle = next((one for one in sys.meta_path if isinstance(one, Bundle)), None)
    missing = {
        name: spec for name, spec in _loaded().items() if name not in before and not isinstance(spec.loader, _Loader)
    }
    if not _SERVED or sys.dont_write_bytecode or not missing:
        return
    place = _place()
    temporary = f"{place}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(temporary, "xb") as file:
            try:
                file.write(_bundled(bundle, missing))
                file.close()
                os.replace(temporary, place)
            except BaseException:
                os.unlink(temporary)
                raise
    except (OSError, KeyboardInterrupt):  # the run is over, and its status told: what ends it now ends this only
        return


def _bundled(bundle: Bundle | None, missing: dict[str, ModuleSpec]) -> bytes:
    """The content of the file: what was in it and is current, and what is missing there."""
    kept = {} if bundle is None else bundle.modules
    found = [(name, one[:3], bundle.code(one)) for name, one in kept.items() if bundle is not None and _is_current(one)]
    for name, spec in missing.items():
        loader = spec.loader
        if isinstance(loader, SourceFileLoader):
            stamp = _stamp(loader.path)  # before the code: what changes in between is noticed
            found.append((name, (loader.path, loader.is_package(name), stamp), _compiled(spec, loader, stamp)))
    modules: dict[str, Module] = {}
    size = 0
    for name, described, data in found:
        modules[name] = (*described, size, len(data))
        size += len(data)
    listed = marshal.dumps((_made_for(), size, modules))
    return b"".join((len(listed).to_bytes(_LENGTH, "little"), listed, *(data for *_, data in found)))


def _compiled(spec: ModuleSpec, loader: SourceFileLoader, stamp: Stamp) -> bytes:
    """A module's code, marshalled: as its ``.pyc`` file has it, where that is current."""
    size, changed_ns, *_ = stamp
    numbers = (0, changed_ns // 10**9, size)  # of a file that is good for a time and a size
    header = MAGIC_NUMBER + b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
    try:
        data = loader.get_data(spec.cached or "")
    except OSError:
        data = b""
    return data[len(header) :] if data.startswith(header) else marshal.dumps(loader.get_code(spec.name))


def _loaded() -> dict[str, ModuleSpec]:
    """The modules of the package that are loaded, by name."""
    own = [(name, module.__spec__) for name, module in list(sys.modules.items()) if name.partition(".")[0] == _PACKAGE]
    return {name: spec for name, spec in own if spec is not None}

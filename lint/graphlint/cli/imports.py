"""msgspec without the modules that graphlint has no use for.

msgspec imports what its schemas are made with, the classes of UUIDs and decimal numbers, and, where it is installed,
typing_extensions, which imports inspect. That is a fifth of a small check. The process of the command line decodes none
of these types: stand-ins take the places of the modules while msgspec is imported, and go before anything else is.
"""

import sys
from types import ModuleType
from typing import Final

from graphlint.artifact.annotations import unread, without_annotations

_UNUSED: Final[dict[str, tuple[str, ...]]] = {
    "decimal": ("Decimal",),
    "msgspec._json_schema": ("schema", "schema_components"),
    "msgspec.inspect": (),
    "msgspec.toml": (),
    "msgspec.yaml": (),
    "uuid": ("SafeUUID", "UUID"),
}
"""The modules, and the classes of each that msgspec asks for as it is imported."""
_OPTIONAL: Final = "typing_extensions"
"""What msgspec does without where it is not installed."""


def import_msgspec() -> None:
    """Import msgspec, with stand-ins. A version of it that asks for more than they have is imported as usual later."""
    if "msgspec" in sys.modules:
        return
    before = set(sys.modules)
    stand_ins = [_stand_in(name, classes) for name, classes in _UNUSED.items() if name not in before]
    sys.modules.update({one.__name__: one for one in stand_ins})
    optional = _OPTIONAL not in before
    if optional:
        sys.modules[_OPTIONAL] = None  # type: ignore[assignment]  # Python takes it for a module that is not there
    try:
        with without_annotations():  # msgspec makes one, to see what typing takes
            import msgspec  # noqa: F401
        is_whole = unread not in vars(sys.modules["msgspec._utils"]).values()
    except (AttributeError, ImportError):
        is_whole = False
    finally:
        for name in [one.__name__ for one in stand_ins] + [_OPTIONAL] * optional:
            sys.modules.pop(name, None)
    if not is_whole:
        for name in [name for name in sys.modules if name.partition(".")[0] == "msgspec"]:
            del sys.modules[name]  # the next import begins anew


def _stand_in(name: str, classes: tuple[str, ...]) -> ModuleType:
    module = ModuleType(name)
    # SafeUUID.unknown is what all UUIDs have that are decoded
    vars(module).update({one: type(one, (), {"unknown": None}) for one in classes})
    return module

"""Loading an artifact with stock torch, after a look at what that would run."""

import contextlib
import importlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ArtifactError, ConfigError, VerificationError
from graphlint.rules.code import find_code

INSTALL = "it needs torch, which the extra 'torch' installs: pip install 'torch-graphlint[torch]'"
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""torch's own switch: nothing is unpickled but tensors and containers (``torch.load``)."""
_CUSTOM_OP: Final = re.compile(r"torch\.ops\.(?!aten\.|higher_order\.|prims\.)\w+\.\w+")
_LONGEST: Final = 300
"""How much of an error of torch is shown."""


def require_torch() -> None:
    """Raise VerificationError where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        reason = INSTALL if missing else f"torch cannot be imported: {first_line(error)}"
        raise VerificationError(f"cannot be verified: {reason}") from error


def import_modules(names: Sequence[str]) -> None:
    """Import what registers the custom ops, classes and pytrees of a model, with the current folder on the path.

    Raises ConfigError where one cannot be imported, for whatever reason.
    """
    if names and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ConfigError(f"--import {name}: {type(error).__name__}: {first_line(error)}") from error


def load_programs(path: str, *, trust: bool = False) -> dict[str, Any]:
    """The exported programs in the artifact at ``path``, by name.

    Unless ``trust`` is given, a file that holds anything but data is refused, and torch is told to unpickle nothing
    else. Raises VerificationError, also for what torch does not load.
    """
    try:
        with open_artifact(path) as artifact:
            if not artifact.programs:
                raise VerificationError(f"cannot be verified: {artifact.note}")
            if not trust:
                found = next(find_code(artifact), None)
                if found is not None:
                    raise VerificationError(
                        f"cannot be verified without --trust: {found.describe()}, and torch would run that when it "
                        "loads the file"
                    )
            flat = not artifact.root
    except ArtifactError as error:
        raise VerificationError(f"cannot be verified: {error}") from error
    import torch

    try:
        # Opened here: the loaders of a path insist on the suffix .pt2.
        with quiet(), contextlib.nullcontext() if trust else _data_only(), open(path, "rb") as file:
            if flat:
                return {"model": torch.export.load(file)}
            from torch.export.pt2_archive._package import load_pt2

            return dict(load_pt2(file).exported_programs)
    except Exception as error:
        if not trust and "Weights only load failed" in str(error):
            raise VerificationError(
                "cannot be verified without --trust: torch refuses some of its pickles as more than data (they may be "
                "of another protocol than the default)"
            ) from error
        raise VerificationError(
            f"cannot be verified: torch {torch.__version__} does not load it: {_reason(error)}"
        ) from error


@contextlib.contextmanager
def _data_only() -> Iterator[None]:
    """A second lock: what the look at the pickles has let through, torch still unpickles as data only."""
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings and log lines, which are not about what graphlint was asked."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _reason(error: BaseException) -> str:
    """What is wrong in the end: torch wraps each error in one that prints the whole node."""
    custom = _CUSTOM_OP.search(str(error))
    advice = f" ({custom[0]} is not part of torch: give the module that registers it with --import)" if custom else ""
    while error.__cause__ is not None:
        error = error.__cause__
    text = f"{type(error).__name__}: {first_line(error)}"
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") + advice


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")

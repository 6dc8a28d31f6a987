"""What autocast makes of the operands of ops, on devices that need not be there: tensors without values are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from tests.facts.samples import Sample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from graphlint.ops.rows import Row

_DEVICES: Final = {"cpu": "AutocastCPU", "cuda": "AutocastCUDA", "xpu": "AutocastXPU", "mps": "AutocastMPS"}
_LOWER: Final = torch.float16
"""What regions cast to here: every device takes it."""


def measure_autocast(rows: dict[str, Row], samples: dict[str, list[Sample]]) -> dict[str, dict[str, str]]:
    """The policy for each overload that autocast knows and that there are samples of, by name."""
    found: dict[str, dict[str, str]] = {}
    for name, known in samples.items():
        tags = rows[name].facts.get("tags", "").split()
        if "autocast" not in tags:
            continue
        composite = "composite" in tags  # where it is made of ops that autocast knows
        policies = {}
        for device, key in _DEVICES.items():
            if composite or torch._C._dispatch_has_kernel_for_dispatch_key(known[0].op.name(), key):
                policies[device] = _policy(known, device)
        told = set(policies.values()) - {None}
        if "lowered" in told:
            everywhere = len(policies) == len(_DEVICES) and told == {"lowered"}
            found[name] = {"autocast": "lowered" if everywhere else "lowered-somewhere"}
        elif told:
            found[name] = {"autocast": "float32" if "float32" in told else "promote"}
    return found


class _Casts(TorchDispatchMode):  # type: ignore[misc]
    """Notes the dtypes that are cast to."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._to_copy.default and (kwargs or {}).get("dtype") is not None:
            self.dtypes.add(kwargs["dtype"])
        return func(*args, **(kwargs or {}))


def _policy(samples: Sequence[Sample], device: str) -> str | None:
    """The policy on a device; None where no sample tells."""
    floating = [sample for sample in samples if any(t.dtype == torch.float32 for t in sample.tensors())]
    told = set()
    for sample in floating[:6]:
        if _LOWER in _casts(sample, device, {torch.float32: torch.float32}):
            return "lowered"
        if torch.float32 in _casts(sample, device, {torch.float32: _LOWER}):
            told.add("float32")
        elif torch.float32 in _casts(sample, device, {torch.float32: _LOWER}, last=torch.float32):
            told.add("promote")
    return "float32" if "float32" in told else "promote" if told else None


def _casts(
    sample: Sample, device: str, dtypes: dict[torch.dtype, torch.dtype], last: torch.dtype | None = None
) -> set[torch.dtype]:
    """What is cast to in a region, where the sample's tensors have other dtypes, and the last one another than they."""
    place = torch.device(device, 0) if device != "cpu" else torch.device("cpu")
    tensors = sample.tensors()

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        dtype = dtypes.get(tensor.dtype, tensor.dtype)
        if last is not None and len(tensors) > 1 and tensor is tensors[-1] and tensor.dtype in dtypes:
            dtype = last
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=place)

    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            given = sample.changed(moved)
            torch.set_autocast_enabled(device, True)
            torch.set_autocast_dtype(device, _LOWER)
            casts = _Casts()
            try:
                with casts:
                    returned = given.run()
                if last is None:  # some are told which dtype to compute in, and cast nothing
                    casts.dtypes.update({t.dtype for t in pytree.tree_leaves(returned) if isinstance(t, torch.Tensor)})
            except Exception:  # noqa: BLE001  # what has been cast before it failed has been cast
                pass
            return casts.dtypes
    except Exception:  # noqa: BLE001  # a device of which no tensor can be made here
        return set()
    finally:
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)
        torch.clear_autocast_cache()

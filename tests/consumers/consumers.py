"""The real consumers of artifacts, one function each: an exported program in, something to be called out.

What a function raises is a refusal. What it returns says how to run the result here, if that is possible.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.export.graph_signature import ConstantArgument
from torch.utils import _pytree as pytree

from graphlint.runtime.behaviour import Runner

Call = Callable[..., list[Any]]


class Taken(NamedTuple):
    """What a consumer made of a program."""

    call: Call | None
    """Runs it on the program's arguments; the leaves of its result. None where it cannot run on this machine."""
    state: Callable[[], dict[str, Any]] | None = None
    """Parameters, buffers and constants as they are now, for consumers that show them."""
    ops: frozenset[str] = frozenset()
    """The ops it consists of, for consumers that cannot run here."""


class Consumer(NamedTuple):
    """Something that takes exported programs."""

    title: str
    target: str
    """The target of ``graphlint check --target`` that prepares programs for it."""
    take: Callable[[Any], Taken]
    packages: tuple[str, ...]
    """Whose versions tell which consumer was measured."""
    modules: tuple[str, ...]
    """What it imports, so that a process can do so ahead."""
    seeded: bool = False
    """Whether it draws the same random numbers as eager torch from the same seed."""

    def versions(self) -> dict[str, str]:
        """The installed packages. Raises PackageNotFoundError where one is missing."""
        return {name: importlib.metadata.version(name) for name in self.packages}


def module(program: Any) -> Taken:
    """``program.module()``, run by eager torch."""
    runner = Runner(program)
    return Taken(_leaves_of(runner.module), runner.tensors)


def compiled(program: Any) -> Taken:
    """``torch.compile(program.module())``."""
    _draw_like_eager()
    runner = Runner(program)
    return Taken(_leaves_of(torch.compile(runner.module)), runner.tensors)


def ahead_of_time(program: Any) -> Taken:
    """AOTInductor: compiled by a C++ compiler, packaged, loaded."""
    _draw_like_eager()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.pt2")
        loaded = torch._inductor.aoti_load_package(torch._inductor.aoti_compile_and_package(program, package_path=path))
    return Taken(_leaves_of(loaded))


def onnx(program: Any) -> Taken:
    """``torch.onnx.export`` of the program, run by ONNX Runtime."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(program, (), dynamo=True, verbose=False).save(path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        values = [torch.as_tensor(value).numpy() for value in _variable(program, args, kwargs)]
        return session.run(None, dict(zip(names, values, strict=True)))

    return Taken(call)


def executorch(program: Any) -> Taken:
    """ExecuTorch: ``to_edge``, ``to_executorch``, run by its runtime with the portable kernels."""
    from executorch.exir import to_edge

    return _run_by_executorch(to_edge(program))


def _run_by_executorch(edge: Any) -> Taken:
    from executorch.runtime import Runtime

    buffer = edge.to_executorch().buffer
    loaded = Runtime.get().load_program(buffer)
    method = loaded.load_method("forward")

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        assert buffer  # the runtime reads from it without holding it
        assert loaded
        return list(method.execute([_detached(leaf) for leaf in pytree.tree_leaves((args, kwargs))]))

    return Taken(call)


def xnnpack(program: Any) -> Taken:
    """ExecuTorch with the partitioner of XNNPACK, run by its runtime."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    return _run_by_executorch(to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]))


def coreml(program: Any) -> Taken:
    """Core ML: ``coremltools.convert`` to a program for iOS 18, the first with state. It runs on macOS only."""
    import coremltools

    model = coremltools.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS18,
        skip_model_load=True,
    )
    operations = model._mil_program.functions["main"].operations
    return Taken(None, ops=frozenset(operation.op_type for operation in operations))


def openvino(program: Any) -> Taken:
    """``openvino.convert_model`` of the program, compiled for the CPU."""
    import openvino

    model = openvino.convert_model(program)
    # With rounding as torch has it: the CPU may choose to compute in bfloat16.
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        # By position: names are lost where an input is a part of an argument.
        request.infer([_to_openvino(leaf) for leaf in pytree.tree_leaves((args, kwargs))], share_inputs=False)
        return [_from_openvino(request.get_tensor(output)) for output in compiled.outputs]

    return Taken(call)


def _to_openvino(value: Any) -> Any:
    """A value, of a dtype that NumPy may not know."""
    import openvino

    tensor = torch.as_tensor(value).detach()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return openvino.Tensor(tensor.contiguous().view(torch.int16).numpy(), tensor.shape, openvino.Type.bf16)


def _from_openvino(made: Any) -> torch.Tensor:
    import openvino

    if made.element_type != openvino.Type.bf16:
        return torch.from_numpy(made.data.copy())
    return torch.from_numpy(made.data.view("int16").copy()).view(torch.bfloat16)


def iree(program: Any) -> Taken:
    """iree-turbine's import of the program, compiled by IREE for the CPU, run by its runtime."""
    from iree import runtime
    from iree.turbine import aot

    binary = aot.export(program).compile(save_to=None, target_backends=("llvm-cpu",))
    config = runtime.Config("local-task")
    made = runtime.VmModule.copy_buffer(config.vm_instance, bytes(binary.map_memory()))
    loaded = runtime.load_vm_module(made, config)

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        # NumPy's arrays are copied; in the memory of device arrays it may write what it computes.
        given = [_to_iree(leaf) for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        results = loaded.main(*given)
        return [_from_iree(one) for one in (results if isinstance(results, tuple) else (results,)) if one is not None]

    return Taken(call)


def _to_iree(tensor: torch.Tensor) -> Any:
    import ml_dtypes

    held = tensor.detach().contiguous()
    if held.dtype != torch.bfloat16:
        return held.numpy()
    return held.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def _from_iree(made: Any) -> torch.Tensor:
    if not hasattr(made, "to_host"):
        return torch.as_tensor(made)
    host = made.to_host()
    if host.dtype.name == "bfloat16":
        return torch.from_numpy(host.view("int16").copy()).view(torch.bfloat16)
    return torch.from_numpy(host.copy())


def litert(program: Any) -> Taken:
    """litert-torch's conversion of ``program.module()``, run by LiteRT's interpreter."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    args, kwargs = program.example_inputs
    held = program.module()
    converted = litert_torch.convert(
        held,
        args,
        kwargs,
        dynamic_shapes=_symbolic_sizes(program).dynamic_shapes(held, args, kwargs),
        enable_x64=True,  # without it, tensors of int64 and float64 become those of half of the bits
    )

    outputs = pytree.tree_unflatten(range(program.call_spec.out_spec.num_leaves), program.call_spec.out_spec)
    made = [_joined(path) for path, _ in pytree.tree_leaves_with_path(outputs)]
    runner = Interpreter(model_content=converted.model_content()).get_signature_runner()

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        leaves = pytree.tree_leaves_with_path((args, kwargs))
        given = {_joined(path[1:], "" if path[0].idx else "args"): leaf for path, leaf in leaves}
        results = runner(**{name: torch.as_tensor(leaf).detach().numpy() for name, leaf in given.items()})
        names = made if made[0] in results else [f"output_{place}" for place in range(len(made))]
        return [torch.as_tensor(results[name]) for name in names]

    return Taken(call)


def _joined(path: tuple[Any, ...], first: str = "") -> str:
    """How LiteRT calls what stands there: ``args_0_key`` among arguments, ``key_0`` among keywords and outputs."""
    parts = [first, *(str(getattr(key, "key", getattr(key, "idx", ""))) for key in path)]
    return "_".join(filter(None, parts))


def _symbolic_sizes(program: Any) -> torch.export.ShapesCollection:
    """The sizes that are symbolic in the program, for torch to export its module once more."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    given = [one.arg.name for one in program.graph_signature.input_specs if one.kind.name == "USER_INPUT"]
    sizes = torch.export.ShapesCollection()
    for name, leaf in zip(given, pytree.tree_leaves(program.example_inputs), strict=True):
        if isinstance(leaf, torch.Tensor):
            symbolic = [dim for dim, size in enumerate(values[name].shape) if isinstance(size, torch.SymInt)]
            sizes[leaf] = dict.fromkeys(symbolic, torch.export.Dim.AUTO)
    return sizes


def tvm(program: Any) -> Taken:
    """TVM: the import of Relax, built for the CPU, run by its virtual machine."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program

    machine = relax.VirtualMachine(relax.build(from_exported_program(program), target="llvm"), tvm.cpu())

    def call(*args: Any, **kwargs: Any) -> list[Any]:
        # Copies, so that neither side can write to the other's memory.
        leaves = [torch.as_tensor(leaf).detach().clone() for leaf in _variable(program, args, kwargs)]
        made = machine["main"](*(tvm.runtime.from_dlpack(leaf.contiguous()) for leaf in leaves))
        results = made if isinstance(made, Sequence) else (made,)
        return [torch.from_dlpack(one).clone() if isinstance(one, tvm.runtime.Tensor) else one for one in results]

    return Taken(call)


def _leaves_of(function: Callable[..., Any]) -> Call:
    return lambda *args, **kwargs: pytree.tree_leaves(function(*args, **kwargs))


def _variable(program: Any, args: Any, kwargs: Any) -> list[Any]:
    """What the program is given and does not hold itself to."""
    given = [one.arg for one in program.graph_signature.input_specs if one.kind.name == "USER_INPUT"]
    leaves = zip(given, pytree.tree_leaves((args, kwargs)), strict=True)
    return [_detached(leaf) for argument, leaf in leaves if not isinstance(argument, ConstantArgument)]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf


def _draw_like_eager() -> None:
    # A random generator of its own is no difference to blame on anybody; with eager torch's, results can be compared.
    torch._inductor.config.fallback_random = True


_INDUCTOR = ("torch._dynamo.convert_frame", "torch._inductor.compile_fx", "torch._inductor.codegen.cpp_wrapper_cpu")
CONSUMERS: dict[str, Consumer] = {
    "module": Consumer("eager `.module()`", "module", module, ("torch",), (), seeded=True),
    "compile": Consumer("`torch.compile`", "inductor", compiled, ("torch",), _INDUCTOR, seeded=True),
    "aoti": Consumer("AOTInductor", "inductor", ahead_of_time, ("torch",), _INDUCTOR, seeded=True),
    "onnx": Consumer(
        "ONNX",
        "onnx",
        onnx,
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        ("onnxruntime", "torch.onnx._internal.exporter._core"),
    ),
    "executorch": Consumer(
        "ExecuTorch", "executorch", executorch, ("executorch",), ("executorch.exir", "executorch.runtime")
    ),
    "coreml": Consumer("Core ML", "coreml", coreml, ("coremltools",), ("coremltools",)),
    "xnnpack": Consumer(
        "ExecuTorch, XNNPACK",
        "xnnpack",
        xnnpack,
        ("executorch",),
        ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch.runtime"),
    ),
    "openvino": Consumer("OpenVINO", "openvino", openvino, ("openvino",), ("openvino",)),
    "iree": Consumer(
        "IREE",
        "iree",
        iree,
        ("iree-turbine", "iree-base-compiler", "iree-base-runtime"),
        ("iree.turbine.aot", "iree.runtime", "iree.compiler"),
    ),
    "litert": Consumer(
        "LiteRT",
        "litert",
        litert,
        ("litert-torch", "litert-converter", "ai-edge-litert"),
        ("litert_torch",),
    ),
    "tvm": Consumer("TVM", "tvm", tvm, ("apache-tvm",), ("tvm.relax.frontend.torch",)),
}

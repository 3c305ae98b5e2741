"""PP-TinyPose (PaddleDetection): Lite-HRNet and a head for 17 keypoints, read from its ONNX file.

The file's convolutions have no useful names; they are known by their order, which is that in which the network's
results are needed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.lite_hrnet import UNITS
from everypose.core.arrays import Float32
from everypose.errors import EveryposeError, MissingDependencyError, first_line

MODULES = (2, 4, 2)
BRANCHES = 4


def read_tinypose(path: Path) -> dict[str, Tensor]:
    """The tensors of PP-TinyPose under the names of a top-down network on :class:`LiteHRNet`.

    Args:
        path: the ONNX file: convolutions without bias, each followed by the addition of one.

    Raises:
        EveryposeError: if the file is not such a network.

    >>> read_tinypose(Path("missing.onnx"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot read missing.onnx as an ONNX file: [Errno 2] No such file ...
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError(f"reading {path}", "export") from error
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise EveryposeError(f"cannot read {path} as an ONNX file: {first_line(error)}") from error
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    biases = {node.input[0]: node.input[1] for node in graph.node if node.op_type == "Add"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    names = [*_published_order(), "head"]
    if len(convolutions) != len(names) or any(
        node.input[1] not in constants or biases.get(node.output[0]) not in constants for node in convolutions
    ):
        raise EveryposeError(
            f"{path} is not PP-TinyPose: it has {len(convolutions)} convolutions instead of {len(names)}, or they lack"
            " constant weights and biases"
        )
    tensors = {}
    for name, node in zip(names, convolutions, strict=True):
        prefix = name if name == "head" else f"backbone.{name}"
        tensors[f"{prefix}.weight"] = _tensor(constants[node.input[1]])
        tensors[f"{prefix}.bias"] = _tensor(constants[biases[node.output[0]]]).flatten()
    return tensors


def _tensor(constant: Float32) -> Tensor:
    return torch.from_numpy(constant.astype(np.float32))


def _published_order() -> Iterator[str]:
    """The backbone's convolutions in the order of the file: each branch comes when a fusion first needs it."""
    yield "stem.conv"
    yield from _separable("stem.short")
    yield "stem.expand"
    yield from _separable("stem.long")
    for stage, count in enumerate(MODULES):
        for module in range(count):
            for branch in range(stage + 2):
                yield from _branch_input(stage, module, branch)
                for unit in range(UNITS):
                    prefix = f"stages.{stage}.{module}.branches.{branch}.{unit}"
                    yield f"{prefix}.conv"
                    yield from _separable(f"{prefix}.separable")
                if branch > 0:
                    yield f"stages.{stage}.{module}.fusion.up.0.{branch - 1}"
    for branch in range(1, BRANCHES):
        yield from _fusion(len(MODULES) - 1, MODULES[-1] - 1, branch)
    for step in range(BRANCHES):
        yield from _separable(f"decoder.steps.{step}")


def _branch_input(stage: int, module: int, branch: int) -> Iterator[str]:
    """What gives a module's branch its input; the finest branch's fusion is part of the module before."""
    if module > 0:
        yield from _fusion(stage, module - 1, branch)
    elif stage == 0:
        yield from _separable(f"transitions.{branch}")
    elif branch <= stage:
        yield from _fusion(stage - 1, MODULES[stage - 1] - 1, branch)
    else:
        yield from _separable(f"transitions.{branch}")


def _fusion(stage: int, module: int, branch: int) -> Iterator[str]:
    """The convolutions of one branch's sum, those from finer branches first; none for the finest branch."""
    if branch == 0:
        return
    prefix = f"stages.{stage}.{module}.fusion"
    for source in range(branch):
        for step in range(branch - source):
            yield from _separable(f"{prefix}.down.{branch}.{source}.{2 * step}")
    for coarser in range(stage + 1 - branch):
        yield f"{prefix}.up.{branch}.{coarser}"


def _separable(prefix: str) -> Iterator[str]:
    yield f"{prefix}.0"
    yield f"{prefix}.1"

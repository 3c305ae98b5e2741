"""Machine-independent counts: FLOPs, synchronizations with the device, memory kept for the gradient."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "bincount", "equal"}
"""Operators whose result, or its size, the host has to learn from the device before it can go on."""
COPYING = {"clone", "copy_", "_to_copy", "cat", "stack", "constant_pad_nd", "repeat", "index", "index_select", "gather"}
"""Operators that move numbers and compute none."""


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of convolutions and matrix products; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops())


class ImageFlops(NamedTuple):
    """What a single-stage network costs on one image.

    ``backbone``; ``centers``, to find the people; ``shared``, the instance head's part that all people have in common;
    ``person``, what each person adds.
    """

    backbone: int
    centers: int
    shared: int
    person: int

    def of(self, people: int) -> int:
        """An image with ``people`` people."""
        return self.backbone + self.centers + self.shared + people * self.person


def flops_on_images(network: nn.Module, height: int, width: int) -> ImageFlops:
    """The cost of a single-stage network, BoIR or CID. Nothing is computed: its tensors have shapes and no values."""
    shapes: Any = copy.deepcopy(network).to("meta").eval()
    with torch.device("meta"):
        images = torch.zeros(1, 3, height, width)
        feature = torch.zeros(1, shapes.backbone.channels, height // 4, width // 4)

        def people(count: int) -> int:
            yx, order = torch.zeros(1, count, 2, dtype=torch.long), torch.zeros(1, 17, dtype=torch.long)
            return flops(lambda: shapes.instance_heatmaps(feature, yx, order))

        person = people(2) - people(1)
        return ImageFlops(
            backbone=flops(lambda: shapes.features(images)),
            centers=flops(lambda: shapes.center_map(feature)),
            shared=people(1) - person,
            person=person,
        )


class Operators(TorchDispatchMode):
    """Counts the operators that run inside its block; a mask as an index counts as ``nonzero``, which it needs.

    Attributes:
        counts: calls by operator.
        copied: bytes that operators of `COPYING` wrote.
        allocations: tensors that operators made, views left out.
        allocated: their bytes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.counts: Counter[str] = Counter()
        self.copied = self.allocations = self.allocated = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count, then run."""
        name = func.overloadpacket.__name__
        self.counts[name] += 1
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self.counts["nonzero"] += sum(index is not None and index.dtype == torch.bool for index in args[1])
        result = func(*args, **(kwargs or {}))
        given = {
            value.untyped_storage().data_ptr() for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)
        }
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.device.type != "meta" and value.nbytes:
                if name in COPYING:
                    self.copied += value.nbytes
                if value.untyped_storage().data_ptr() not in given:
                    self.allocations += 1
                    self.allocated += value.nbytes
        return result

    @property
    def waits(self) -> int:
        """Number of synchronizations with the device."""
        return sum(self.counts[name] for name in WAITING)

    @property
    def launched(self) -> int:
        """Number of operators that ran; a GPU launches at least about as many kernels."""
        return self.counts.total()


def saved_bytes(work: Callable[[], object], given: tuple[Tensor, ...] = ()) -> int:
    """Bytes that ``work`` keeps for its gradient, each storage once, those of ``given`` left out."""
    storages: dict[int, int] = {}
    kept: list[Tensor] = []  # nothing is freed, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = work()
    for tensor in given:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    del result
    return sum(storages.values())


def onnx_nodes(path: Path) -> Counter[str]:
    """How many nodes of each kind a file has, in all of its graphs."""

    def count(graph: onnx.GraphProto) -> Counter[str]:
        counts: Counter[str] = Counter()
        for node in graph.node:
            counts[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    counts += count(attribute.g)
        return counts

    return count(onnx.load(path, load_external_data=False).graph)

"""Nodes around the graph of an ONNX file: images in front of it, decoding behind it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from everypose.errors import EveryposeError

INNER = "network/"
"""Prefix of the names of the inner graph."""
OLDEST_OPSET = 11
"""Operations behave as they are used here from this version of ONNX's operator set on."""


class GraphWriter:
    """Adds nodes before and after the graph of a file.

    Nodes are given in the order in which they run; those added before :meth:`run_inner` come before the inner graph.

    Attributes:
        opset: version of ONNX's operator set.

    Example:
        >>> GraphWriter(Path("end2end.onnx")).opset  # doctest: +SKIP
        11
    """

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            EveryposeError: if its operator set is too old.
        """
        model = onnx.load(path)
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        if self.opset < OLDEST_OPSET:
            raise EveryposeError(f"{path} uses ONNX's operator set {self.opset}: convert it to {OLDEST_OPSET} or later")
        # Shapes that the file states inside may be those of one image.
        del model.graph.value_info[:]
        self._inner = compose.add_prefix(model, INNER)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant; returns its name."""
        name = self._name("constant")
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operation: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        """Add a node with one output; returns the output's name."""
        name = output or self._name(operation)
        self._nodes.append(helper.make_node(operation, list(inputs), [name], f"{name}.node", **attributes))
        return name

    def run_inner(self, inputs: dict[str, str], outputs: Sequence[str]) -> list[str]:
        """Add the inner graph.

        Args:
            inputs: for each of its inputs, the name of the tensor that it gets.
            outputs: names of its outputs that are used.

        Returns:
            Their names around the graph.
        """
        given = {INNER + name: tensor for name, tensor in inputs.items()}
        for number, node in enumerate(self._inner.graph.node):
            # Quantization selects nodes by their names, which a file may lack.
            node.name = f"{INNER}{number}/{node.op_type}"
            for position, name in enumerate(node.input):
                node.input[position] = given.get(name, name)
            self._nodes.append(node)
        return [INNER + name for name in outputs]

    def slice(self, tensor: str, start: str, end: str, axis: int) -> str:
        """Take the entries from ``start`` to ``end``, tensors of shape (1,), along an axis."""
        return self.node("Slice", tensor, start, end, self.constant([axis], np.int64))

    def reversed(self, tensor: str, axis: int) -> str:
        """Reverse an axis."""
        ends = self.constant([np.iinfo(np.int64).min], np.int64)
        minus_one = self.constant([-1], np.int64)
        return self.node("Slice", tensor, minus_one, ends, self.constant([axis], np.int64), minus_one)

    def size_of(self, tensor: str, axis: int) -> str:
        """The size of an axis, (1,) int64."""
        return self.node("Gather", self.node("Shape", tensor), self.constant([axis], np.int64), axis=0)

    def largest(self, tensor: str, axis: int) -> str:
        """The largest value along an axis, which is kept."""
        if self.opset < 18:
            return self.node("ReduceMax", tensor, axes=[axis], keepdims=1)
        return self.node("ReduceMax", tensor, self.constant([axis], np.int64), keepdims=1)

    def finish(
        self,
        inputs: dict[str, tuple[int, list[int | str]]],
        outputs: dict[str, tuple[int, list[int | str]]],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Make the file.

        Args:
            inputs: element type and shape of each input by name.
            outputs: of each output.
            metadata: of the file.
        """
        graph = helper.make_graph(
            self._nodes,
            "everypose",
            [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
            [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
            [*self._constants, *self._inner.graph.initializer],
        )
        model = helper.make_model(graph, opset_imports=list(self._inner.opset_import), functions=self._inner.functions)
        model.ir_version = self._inner.ir_version
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model

    def _name(self, what: str) -> str:
        self._count += 1
        return f"everypose/{what}_{self._count}"


FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8

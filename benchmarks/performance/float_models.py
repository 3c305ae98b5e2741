"""A model in 8 bits with its weights and activations as float32, for comparing precisions of one trained network."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from everypose.export.people_loop import read_names

Constants = Mapping[str, npt.NDArray[np.generic]]


def in_float32(source: Path, out: Path) -> Path:
    """Write a quantized file (QDQ form) without the rounding of its activations, and with its weights as float32.

    Activations are limited to the range of their 8 bits, because the quantizer lets this limit stand for ReLUs. Pixels
    that the file quantizes to themselves are read as before.
    """
    model = onnx.load(source)
    graph = model.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes = without_rounding(graph.node, graph, constants, {})
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in read_names(node)}
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
    onnx.save(model, out)
    return out


def without_rounding(
    nodes: Iterable[onnx.NodeProto], graph: onnx.GraphProto, constants: Constants, limited: dict[str, str]
) -> list[onnx.NodeProto]:
    """Nodes in float32, the bodies of loops included.

    Args:
        nodes: in the order in which they run.
        graph: receives the float32 constants.
        constants: of the graph, by name.
        limited: the float32 activation that stands for each quantized one; those of the nodes are added.
    """
    found: list[onnx.NodeProto] = []
    for node in nodes:
        if node.op_type == "QuantizeLinear":
            limited[node.output[0]] = f"{node.output[0]} as float32"
            found.append(limit(node, limited[node.output[0]], constants, graph))
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            graph.initializer.append(numpy_helper.from_array(dequantized(node, constants), node.output[0]))
        elif node.op_type == "DequantizeLinear" and node.input[0] in limited:
            found.append(helper.make_node("Identity", [limited[node.input[0]]], [node.output[0]]))
        else:
            # Shapes may be asked of a quantized tensor.
            node.input[:] = [limited.get(name, name) for name in node.input]
            for body in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
                inner = without_rounding(list(body.node), graph, constants, limited)
                del body.node[:], body.value_info[:]
                body.node.extend(inner)
            found.append(node)
    return found


def limit(node: onnx.NodeProto, name: str, constants: Constants, graph: onnx.GraphProto) -> onnx.NodeProto:
    """A node ``name`` that limits an activation to the range of the 8 bits that ``node`` gives it."""
    scale, zero = constants[node.input[1]], constants[node.input[2]]
    ends = (0, 255) if zero.dtype == np.uint8 else (-128, 127)
    for suffix, end in zip(("low", "high"), ends, strict=True):
        bound = scale.astype(np.float32) * (end - zero.astype(np.float32))
        graph.initializer.append(numpy_helper.from_array(np.asarray(bound, np.float32), f"{name} {suffix}"))
    return helper.make_node("Clip", [node.input[0], f"{name} low", f"{name} high"], [name])


def dequantized(node: onnx.NodeProto, constants: Constants) -> npt.NDArray[np.float32]:
    """The constant that a node turns back from 8 or 32 bits."""
    values, scale = constants[node.input[0]], constants[node.input[1]]
    zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros(scale.shape)
    if scale.ndim:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        shape = [-1 if dimension == axis else 1 for dimension in range(values.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((values.astype(np.float64) - zero.astype(np.float64)) * scale.astype(np.float64)).astype(np.float32)

"""Cross-layer equalization of an ONNX graph: channels of similar range, so that 256 levels suffice.

One scale serves all channels of an activation in 8 bits. In networks of depthwise convolutions some channels are a
hundred times as large as others, which are then rounded away. But a channel may be multiplied by any positive number if
the next convolution divides by it: the network computes the same, for ReLU(s x) = s ReLU(x) (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1; here with ranges of activations
that were seen, as weights have a scale for each of their output channels).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper

from everypose.core.arrays import Float32
from everypose.export.people_loop import read_names

LEAST_SHARE = 1e-3
"""Channels smaller than this share of the largest count as so large: dead ones must not grow without end."""

Feed = Mapping[str, npt.NDArray[np.generic]]


class Link(NamedTuple):
    """A convolution, the tensor that it gives after its ReLU, and the convolutions that alone read it.

    >>> node = onnx.helper.make_node("Conv", ["images", "weight"], ["map"])
    >>> Link(before=node, tensor="map", after=()).tensor
    'map'
    """

    before: onnx.NodeProto
    tensor: str
    after: tuple[onnx.NodeProto, ...]


def equalize(model: onnx.ModelProto, feeds: Iterable[Feed]) -> int:
    """Equalize the channels between convolutions, in place; the graph computes the same up to rounding.

    Args:
        model: a graph in float32 whose constants are folded and inferred.
        feeds: inputs of some runs, like those that the model will see.

    Returns:
        How many tensors were evened out.

    >>> first, second = np.ones((2, 4, 4, 1, 1), np.float32)
    >>> first[0] = 9.0  # a channel with large values
    >>> inputs, outputs = [onnx.helper.make_tensor_value_info(name, 1, (1, 4, 2, 2)) for name in ("x", "y")]
    >>> graph = onnx.helper.make_graph(
    ...     [
    ...         onnx.helper.make_node("Conv", ["x", "first"], ["map"]),
    ...         onnx.helper.make_node("Conv", ["map", "second"], ["y"]),
    ...     ],
    ...     "two convolutions", [inputs], [outputs],
    ...     [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    ... )
    >>> model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    >>> equalize(model, [{"x": np.ones((1, 4, 2, 2), np.float32)}])  # one tensor between convolutions
    1
    >>> numpy_helper.to_array(model.graph.initializer[0])[:, 0, 0, 0].round().tolist()
    [4.0, 1.0, 1.0, 1.0]
    """
    links = find_links(model.graph)
    if not links:
        return 0
    weights = {one.name: one for one in model.graph.initializer}
    sizes = _largest_of_channels(model, [link.tensor for link in links], feeds)
    for link, size in zip(links, sizes, strict=True):
        _rescale(link, _floored(size), weights)
    return len(links)


def find_links(graph: onnx.GraphProto) -> list[Link]:
    """Where a channel of one convolution goes to other convolutions and nowhere else.

    >>> nodes = [
    ...     onnx.helper.make_node("Conv", ["x", "first"], ["map"]),
    ...     onnx.helper.make_node("Relu", ["map"], ["positive"]),
    ...     onnx.helper.make_node("Conv", ["positive", "second"], ["y"]),
    ... ]
    >>> weights = [numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), name) for name in ("first", "second")]
    >>> [link.tensor for link in find_links(onnx.helper.make_graph(nodes, "three", [], [], weights))]
    ['positive']
    """
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in read_names(node):
            readers[name].append(node)
    ends = {one.name for one in graph.output}
    # A constant that several nodes share, such as a bias of zeros, is scaled for none of them.
    weights = {one.name: one for one in graph.initializer if len(readers[one.name]) == 1}
    links = []
    for node in graph.node:
        if node.op_type != "Conv" or not weights.keys() >= set(node.input[1:]):
            continue
        tensor = node.output[0]
        if [reader.op_type for reader in readers[tensor]] == ["Relu"] and tensor not in ends:
            tensor = readers[tensor][0].output[0]
        after = tuple(readers[tensor])
        only_convolutions = bool(after) and all(one.op_type == "Conv" and one.input[1] in weights for one in after)
        if only_convolutions and tensor not in ends:
            links.append(Link(node, tensor, after))
    return [link for link in links if all(_is_plain(one) or _is_depthwise(one, weights) for one in link.after)]


def _is_plain(convolution: onnx.NodeProto) -> bool:
    """Whether each output channel sees all input channels."""
    return _groups(convolution) == 1


def _is_depthwise(convolution: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether each output channel sees one input channel, that of its own number."""
    outputs, seen = weights[convolution.input[1]].dims[:2]
    return (outputs, seen) == (_groups(convolution), 1)


def _groups(convolution: onnx.NodeProto) -> int:
    return next((one.i for one in convolution.attribute if one.name == "group"), 1)


def _largest_of_channels(model: onnx.ModelProto, tensors: Sequence[str], feeds: Iterable[Feed]) -> list[Float32]:
    """For each tensor (B, C, h, w) the largest absolute value of each channel, as the mean over the runs."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {one.name for one in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    runs = [[np.abs(value).max(axis=(0, 2, 3)) for value in session.run(tensors, dict(feed))] for feed in feeds]
    return [np.mean(values, axis=0) for values in zip(*runs, strict=True)]


def _rescale(link: Link, size: Float32, weights: Mapping[str, onnx.TensorProto]) -> None:
    """Multiply the channels of ``link.before`` and divide the inputs of ``link.after``; their geometric mean stays."""
    after = [numpy_helper.to_array(weights[one.input[1]]) for one in link.after]
    plain = [values for one, values in zip(link.after, after, strict=True) if _is_plain(one)]
    if not plain:
        # A depthwise convolution has a scale for each channel: it takes any factor without loss.
        factor = 1 / size
    else:
        column: Float32 = np.max([np.abs(values).max(axis=(0, 2, 3)) for values in plain], axis=0)
        factor = np.sqrt(_floored(column) / size)
    factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
    for name in link.before.input[1:]:
        values = numpy_helper.to_array(weights[name])
        weights[name].CopyFrom(numpy_helper.from_array(values * factor.reshape(-1, *[1] * (values.ndim - 1)), name))
    for convolution, values in zip(link.after, after, strict=True):
        axis = 1 if _is_plain(convolution) else 0
        shape = [len(factor) if dimension == axis else 1 for dimension in range(4)]
        name = convolution.input[1]
        weights[name].CopyFrom(numpy_helper.from_array(values / factor.reshape(shape), name))


def _floored(size: Float32) -> Float32:
    """At least a thousandth of the largest."""
    least = max(float(size.max()) * LEAST_SHARE, float(np.finfo(np.float32).tiny))
    floored: Float32 = np.maximum(size, np.float32(least))
    return floored

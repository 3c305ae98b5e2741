"""A loop over the people of an exported graph, so that memory does not grow with their number on large images.

Each person has maps of its own in the instance head. The maps of 30 people of a panorama with 13 million pixels take
five gigabytes together, those of some people at a time next to nothing. Images of ordinary size go through the loop
once: one turn takes as many people as have `PIXELS_AT_ONCE` pixels together.
"""

from collections.abc import Iterable, Sequence, Set

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from everypose.methods.single_stage.decoding import STRIDE

PIXELS_AT_ONCE = 2**20
"""Pixels of the maps of all people of one turn: 30 people in an image of 768 x 704 pixels."""
PREFIX = "people_loop/"


def loop_over_people(graph: onnx.GraphProto, candidates: str, found: str, *, keypoints: int) -> None:
    """Move the nodes between two tensors into a loop over their second axis.

    The graph has the inputs ``images`` (B, H, W, 3) and ``mirrored`` (F,), and its output does not change.

    Args:
        graph: changed in place.
        candidates: name of the tensor (B + F B, N, 2), centers of N candidates in each image and mirrored image.
        found: name of the tensor (B, N, K, 3), their keypoints.
        keypoints: K.

    >>> nodes = [
    ...     helper.make_node("Identity", ["centers"], ["candidates"]),
    ...     helper.make_node("Relu", ["candidates"], ["found"]),
    ...     helper.make_node("Identity", ["found"], ["keypoints"]),
    ... ]
    >>> graph = helper.make_graph(nodes, "search", [], [helper.make_tensor_value_info("keypoints", 1, None)])
    >>> loop_over_people(graph, "candidates", "found", keypoints=17)
    >>> "Loop" in [node.op_type for node in graph.node]
    True
    """
    nodes = list(graph.node)
    starts = [candidates, *_read_at_centers(nodes, _between(nodes, [candidates], found))]
    inside = _between(nodes, starts, found)
    inner = [nodes[place] for place in sorted(inside)]
    others = [name for place, node in enumerate(nodes) if place not in inside for name in read_names(node)]
    outside = _needed(nodes, [*others, *(one.name for one in graph.output)], {found})
    kept = [node for place, node in enumerate(nodes) if place in outside or place not in inside]
    loop, constants = _loop(inner, starts, found, keypoints)
    first_reader = next(place for place, node in enumerate(kept) if found in node.input)
    del graph.node[:]
    graph.node.extend([*kept[:first_reader], *loop, *kept[first_reader:]])
    graph.initializer.extend(constants)
    _forget_shapes(graph, inner)


def read_names(node: onnx.NodeProto) -> list[str]:
    """Return the names of the tensors that a node reads, also those that only the graph of a loop's turn reads.

    >>> read_names(helper.make_node("Conv", ["images", "weight", "bias"], ["map"]))
    ['images', 'weight', 'bias']
    """
    inner = [one.g for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]
    captured = [name for graph in inner for own in graph.node for name in read_names(own)]
    return [*node.input, *captured]


def _between(nodes: Sequence[onnx.NodeProto], starts: Sequence[str], end: str) -> set[int]:
    """Return the places of the nodes that depend on ``starts`` and that ``end`` depends on, and of their constants."""
    dependent = set(starts)
    after = set()
    for place, node in enumerate(nodes):
        if dependent & set(read_names(node)):
            dependent.update(node.output)
            after.add(place)
    inside = after & _needed(nodes, [end], set(starts))
    # OpenVINO knows the values of constants, such as shapes, within the graph of a turn only if they are there.
    wanted = [name for place in inside for name in read_names(nodes[place])]
    return inside | (_needed(nodes, wanted, set()) & _constant(nodes))


def _read_at_centers(nodes: Sequence[onnx.NodeProto], inside: Set[int]) -> list[str]:
    """Return the tensors (B + F B, N, D) that are read from the feature at the centers.

    They are small. Read before the loop, they let the memory of the feature, the largest tensor, go.
    """
    made = {name for place in inside for name in nodes[place].output}
    gathered = {
        nodes[place].output[0]
        for place in inside
        if nodes[place].op_type == "GatherElements" and nodes[place].input[0] not in made
    }
    return [
        nodes[place].output[0]
        for place in sorted(inside)
        if nodes[place].op_type == "Transpose" and nodes[place].input[0] in gathered
    ]


def _constant(nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """Return the places of the nodes that compute the same in every run, from no weights."""
    names: set[str] = set()
    places = set()
    for place, node in enumerate(nodes):
        if node.op_type == "Constant" or (node.input and names.issuperset(name for name in node.input if name)):
            names.update(node.output)
            places.add(place)
    return places


def _needed(nodes: Sequence[onnx.NodeProto], ends: Iterable[str], given: Set[str]) -> set[int]:
    """Return the places of the nodes that compute ``ends`` where the tensors ``given`` are known."""
    wanted, found = set(ends) - given, set()
    for place in reversed(range(len(nodes))):
        if wanted & set(nodes[place].output):
            wanted.update(set(read_names(nodes[place])) - given)
            found.add(place)
    return found


def _loop(
    inner: Sequence[onnx.NodeProto], starts: Sequence[str], found: str, keypoints: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes that replace ``inner``, and their constants; the first of ``starts`` are the candidates."""
    names = _Names()
    number = names.node("Gather", names.node("Shape", starts[0]), names.constant(1))
    step = _people_at_once(names)
    last = names.node("Sub", names.node("Add", number, step), names.constant(1))
    turns = names.node("Div", last, step)
    images = names.node("Shape", "images", start=0, end=1)
    empty = names.node("Concat", images, names.constant([0, keypoints, 3]), axis=0)
    nothing = names.node("ConstantOfShape", empty)
    body = _body(inner, starts, found, step)
    names.nodes.append(helper.make_node("Loop", [turns, "", nothing], [found], f"{PREFIX}Loop", body=body))
    return names.nodes, names.constants


def _people_at_once(names: "_Names") -> str:
    """Add the number of people in a turn: `PIXELS_AT_ONCE` over the pixels of the maps of all images, 1 at least."""
    shape = names.node("Shape", "images", start=0, end=3)
    pixels = names.node("ReduceProd", shape, keepdims=0)
    flips = names.node("Gather", names.node("Shape", "mirrored"), names.constant(0))
    views = names.node("Add", flips, names.constant(1))
    most = names.constant(PIXELS_AT_ONCE * STRIDE**2)
    return names.node("Max", names.node("Div", most, names.node("Mul", pixels, views)), names.constant(1))


def _body(inner: Sequence[onnx.NodeProto], starts: Sequence[str], found: str, step: str) -> onnx.GraphProto:
    """Return the graph of one turn, which appends the keypoints of its people to those of the turns before."""
    names = _Names(f"{PREFIX}body/")
    turn, before, condition = names.name("turn"), names.name("before"), names.name("condition")
    axis = names.constant([1])
    start = names.node("Mul", turn, step)
    bounds = [names.node("Unsqueeze", bound, names.constant([0])) for bound in (start, names.node("Add", start, step))]
    renamed = {name: PREFIX + name for node in inner for name in node.output}
    renamed |= {tensor: names.node("Slice", tensor, *bounds, axis) for tensor in starts}
    for node in inner:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [renamed.get(name, name) for name in node.input]
        copy.output[:] = [renamed.get(name, name) for name in node.output]
        names.nodes.append(copy)
    after = names.node("Concat", before, renamed[found], axis=1)
    goes_on = names.node("Identity", condition)
    return helper.make_graph(
        names.nodes,
        "people",
        [
            helper.make_tensor_value_info(turn, TensorProto.INT64, []),
            helper.make_tensor_value_info(condition, TensorProto.BOOL, []),
            helper.make_tensor_value_info(before, TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info(goes_on, TensorProto.BOOL, []),
            helper.make_tensor_value_info(after, TensorProto.FLOAT, None),
        ],
        names.constants,
    )


def _forget_shapes(graph: onnx.GraphProto, inner: Sequence[onnx.NodeProto]) -> None:
    """Remove the stated shapes of tensors that are inside the loop now."""
    moved = {name for node in inner for name in node.output} - {name for node in graph.node for name in node.output}
    kept = [one for one in graph.value_info if one.name not in moved]
    del graph.value_info[:]
    graph.value_info.extend(kept)


class _Names:
    """Nodes and constants with names of their own."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._count = 0

    def name(self, what: str) -> str:
        """Return a name that is not used yet."""
        self._count += 1
        return f"{self._prefix}{what}_{self._count}"

    def constant(self, values: npt.ArrayLike) -> str:
        """Add an int64 constant; returns its name."""
        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def node(self, operation: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output; returns the output's name."""
        name = self.name(operation)
        self.nodes.append(helper.make_node(operation, list(inputs), [name], f"{name}.node", **attributes))
        return name

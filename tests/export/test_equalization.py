"""Evening out channels: the same function, channels of even size, and nothing touched that somebody else reads."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from everypose.export.equalization import Feed, equalize, find_links

CHANNELS = 6
RNG = np.random.default_rng(0)
# As in a trained network of depthwise convolutions: the smallest channel is a five-hundredth of the largest.
UNEVEN = np.geomspace(1, 500, CHANNELS).astype(np.float32)


def convolution(name: str, source: str, target: str, weight: np.ndarray, group: int = 1) -> tuple[list, onnx.NodeProto]:
    bias = RNG.normal(size=len(weight)).astype(np.float32) * np.abs(weight).max(axis=(1, 2, 3))
    constants = [numpy_helper.from_array(weight, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")]
    pad = weight.shape[-1] // 2
    node = helper.make_node(
        "Conv", [source, f"{name}.w", f"{name}.b"], [target], name=name, group=group, pads=[pad] * 4
    )
    return constants, node


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def chain(second_reader: str = "") -> onnx.ModelProto:
    """Pointwise, ReLU, depthwise, ReLU, pointwise; ``second_reader`` of the second ReLU: nothing, "Add" or "Conv"."""
    parts = [
        convolution("first", "x", "a", normal(CHANNELS, 3, 1, 1) * UNEVEN[:, None, None, None]),
        ([], helper.make_node("Relu", ["a"], ["a+"])),
        convolution("depthwise", "a+", "b", normal(CHANNELS, 1, 3, 3), CHANNELS),
        ([], helper.make_node("Relu", ["b"], ["b+"])),
        convolution("last", "b+", "y", normal(CHANNELS, CHANNELS, 1, 1)),
    ]
    outputs = ["y"]
    if second_reader == "Add":
        parts.append(([], helper.make_node("Add", ["b+", "y"], ["z"])))
        outputs = ["z"]
    elif second_reader == "Conv":
        parts.append(convolution("other", "b+", "z", normal(4, CHANNELS, 3, 3)))
        outputs = ["y", "z"]
    elif second_reader == "grouped":
        parts.append(convolution("other", "b+", "z", normal(4, CHANNELS // 2, 3, 3), group=2))
        outputs = ["y", "z"]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node for _, node in parts],
        "chain",
        [value("x", TensorProto.FLOAT, ["B", 3, "h", "w"])],
        [value(name, TensorProto.FLOAT, None) for name in outputs],
        [constant for constants, _ in parts for constant in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feeds() -> Iterator[Feed]:
    for seed in range(3):
        yield {"x": np.random.default_rng(seed).normal(size=(1, 3, 12, 16)).astype(np.float32)}


def run(model: onnx.ModelProto, feed: Feed, *names: str) -> list[np.ndarray]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return onnxruntime.InferenceSession(watched.SerializeToString()).run(list(names) or None, dict(feed))


@pytest.mark.parametrize("second_reader", ["", "Add", "Conv", "grouped"])
def test_the_graph_computes_the_same(second_reader: str) -> None:
    model = chain(second_reader)
    feed = {"x": normal(2, 3, 9, 7)}
    before = run(model, feed)
    equalize(model, feeds())
    for old, new in zip(before, run(model, feed), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5 * np.abs(old).max())


def test_channels_become_even() -> None:
    model = chain()
    feed = next(feeds())

    def spread(name: str) -> float:
        largest = np.abs(run(model, feed, name)[0]).max(axis=(0, 2, 3))
        return float(largest.max() / largest.min())

    before = {name: spread(name) for name in ("a+", "b+")}
    assert equalize(model, feeds()) == 2
    # Before a depthwise convolution all channels get one size; a pointwise one shares the burden with its weights.
    assert spread("a+") < 5 < 50 < before["a+"]
    assert spread("b+") < before["b+"] / 5


@pytest.mark.parametrize(
    ("second_reader", "tensors"),
    [
        ("", ["a+", "b+"]),
        ("Add", ["a+"]),  # a sum would mix channels of other sizes
        ("Conv", ["a+", "b+"]),  # both convolutions can divide
        ("grouped", ["a+"]),  # its input channels are not those of its weight
    ],
)
def test_which_tensors_can_be_evened_out(second_reader: str, tensors: list[str]) -> None:
    assert [link.tensor for link in find_links(chain(second_reader).graph)] == tensors


def test_a_graph_without_such_tensors_stays_as_it_is() -> None:
    model = onnx.shape_inference.infer_shapes(chain())
    del model.graph.node[1:]
    model.graph.output[0].name = "a"
    before = model.SerializeToString()
    assert equalize(model, feeds()) == 0
    assert model.SerializeToString() == before


def test_constants_that_others_share_are_left_alone() -> None:
    model = chain()
    depthwise = next(node for node in model.graph.node if node.name == "depthwise")
    depthwise.input[2] = "first.b"
    assert find_links(model.graph) == []


def test_a_dead_channel_stays_finite() -> None:
    model = chain()
    for constant in model.graph.initializer:
        if constant.name in ("first.w", "first.b"):
            values = numpy_helper.to_array(constant).copy()
            values[2] = 0
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    equalize(model, feeds())
    assert all(np.isfinite(numpy_helper.to_array(constant)).all() for constant in model.graph.initializer)

"""Nodes, copied and allocated bytes and waits for an image, in counts that are the same on every machine."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from benchmarks.performance.counting import Operators, onnx_nodes
from benchmarks.performance.tiny import TINY_BOIR, TINY_MIPNET, TINY_VITPOSE
from benchmarks.performance.ways import config_of, noise, random_network

from everypose.core.arrays import Float32, Image
from everypose.export.onnx import export_onnx
from everypose.inference.boxes import Boxes
from everypose.inference.runtimes.protocols import RawPoses
from everypose.inference.single_stage import SingleStageEstimator
from everypose.inference.top_down import TopDownEstimator
from everypose.models.build import build_graph
from everypose.models.config import ModelConfig
from inference import crop_stand_in, stand_in

IMAGE: Image = np.zeros((480, 640, 3), np.uint8)
CONFIGS = {
    "boir": config_of(TINY_BOIR, 64),
    "mipnet": config_of(TINY_MIPNET, crop_size=(64, 64)),
    "vitpose": config_of(TINY_VITPOSE, crop_size=(64, 64)),
}
SMALL = 16_384
"""Bytes of Python objects, which differ between its versions."""


def seen_of(config: ModelConfig, count: int) -> Operators:
    """The operators of a tiny network's whole graph, from uint8 to keypoints, on some images or crops."""
    graph = build_graph(random_network(config), config)
    inputs = [torch.from_numpy(noise(config, count)), torch.zeros(0)] + [torch.tensor(0.0)] * (not config.is_top_down)
    with torch.no_grad():
        graph(*inputs)  # what is made once is made
        with Operators() as seen:
            graph(*inputs)
    return seen


def test_copies_and_allocations_are_seen() -> None:
    values = torch.zeros(4, 5)
    with Operators() as seen:
        values.T.contiguous()
        values.reshape(5, 4)
        torch.cat([values, values])
        values + 1
    assert (seen.copied, seen.allocations, seen.allocated) == (80 + 160, 3, 80 + 160 + 80)


@pytest.mark.parametrize("name", ["mipnet", "vitpose"])
def test_decoding_of_crops_never_waits_for_the_device(name: str) -> None:
    """Counted: no wait, and more crops are no more operators."""
    few, many = (seen_of(CONFIGS[name], count) for count in (2, 5))
    assert few.waits == many.waits == 0
    assert few.launched == many.launched


@pytest.mark.parametrize(
    ("name", "copied", "allocations", "allocated"),
    [("boir", 270_028, 327, 4_898_012), ("mipnet", 120_760, 239, 2_857_008), ("vitpose", 79_324, 96, 278_264)],
)
def test_bytes_of_one_image(name: str, copied: int, allocations: int, allocated: int) -> None:
    """Counted, with 64 x 64 pixels and ten people in the image."""
    seen = seen_of(CONFIGS[name], 1)
    assert (seen.copied, seen.allocations, seen.allocated) == (copied, allocations, allocated)


@pytest.mark.parametrize(("name", "nodes", "unfolded", "chosen"), [("mipnet", 368, 5, 1), ("vitpose", 212, 2, 0)])
def test_nodes_of_exported_crop_models(name: str, nodes: int, unfolded: int, chosen: int, tmp_path: Path) -> None:
    """Counted. Batch normalization is left behind transposed convolutions and in the selectors only.

    MIPNet picks the crops of which other people are needed; nothing else depends on the data.
    """
    export_onnx(random_network(CONFIGS[name]), CONFIGS[name], tmp_path / "tiny.onnx")
    found = onnx_nodes(tmp_path / "tiny.onnx")
    assert found.total() - found["Constant"] - found["Identity"] == nodes
    assert found["BatchNormalization"] == unfolded
    assert found["NonZero"] == chosen
    assert not found.keys() & {"Loop", "If", "Scan", "Dropout"}


class NoPeople:
    """A runtime that finds no people."""

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:  # noqa: ARG002
        return np.zeros((0, 17, 3), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)


class Zeros:
    """A runtime that finds one person in each crop, at its corner."""

    def run(self, crops: npt.NDArray[np.uint8], _with_others: object = None) -> Float32:
        return np.zeros((len(crops), 1, 17, 3), np.float32)


def peak(work: Callable[[], object]) -> int:
    """The most bytes of Python and NumPy that ``work`` holds at once, above those before."""
    work()  # what is made once is made
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_image_is_copied_once_on_its_way_into_a_single_stage_network() -> None:
    """Its pixels are resized into the canvas, which is the network's input itself."""
    config = ModelConfig.model_validate(stand_in.config(size=320))
    estimator = SingleStageEstimator(NoPeople(), config)
    prepared = estimator.prepare(IMAGE)
    canvas = prepared.canvas.nbytes
    assert canvas == 320 * 448 * 3
    assert canvas <= peak(lambda: estimator.prepare(IMAGE)) < canvas + SMALL
    assert peak(lambda: estimator.predict([prepared])) < SMALL


def test_a_crop_is_held_twice_on_its_way_into_a_top_down_network() -> None:
    """Alone and in its batch; the image is not copied."""
    boxes = Boxes(np.tile([[100.0, 100, 200, 300]], (10, 1)), np.ones(10))
    estimator = TopDownEstimator(Zeros(), crop_stand_in.config(crop_size=(192, 256)), lambda _: boxes)
    prepared = estimator.prepare(IMAGE)
    assert prepared.image is IMAGE
    crops = 10 * 192 * 256 * 3
    assert 2 * crops <= peak(lambda: estimator.predict([prepared])) < 2 * crops + SMALL

"""The loop over people of an exported graph: the same people for any number of iterations."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from everypose.export import onnx as onnx_export
from everypose.export import people_loop
from everypose.export.onnx import CANDIDATES, FOUND, export_onnx
from everypose.export.people_loop import PIXELS_AT_ONCE, loop_over_people, read_names
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.inference.runtimes.protocols import RawPoses
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.config import ModelConfig
from everypose.models.locate import bundled
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, TINY_CID, tiny_boir, tiny_cid

PIXELS_OF_TURN = {"one turn": PIXELS_AT_ONCE, "some people": 5 * 2 * 16 * 32, "one person": 1}


def images(count: int, height: int = 64, width: int = 128) -> np.ndarray:
    coarse = 255 * torch.rand(count, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).byte().numpy()


def without_loop(path: Path, method: str, search: Literal["full", "coarse"], patched: pytest.MonkeyPatch) -> Path:
    """Export a tiny network, and leave the loop out."""
    network, settings = (tiny_boir(), TINY_BOIR) if method == "boir" else (tiny_cid(), TINY_CID)
    config = ModelConfig(
        name="tiny",
        network=settings,
        skeleton=Skeleton.named("coco").to_dict(),
        inference=SingleStageInference(search=search),
    )
    patched.setattr(onnx_export, "loop_over_people", lambda *_, **__: None)
    export_onnx(network.eval(), config, path)
    return path


def with_loop(path: Path, name: str, patched: pytest.MonkeyPatch) -> Path:
    patched.setattr(people_loop, "PIXELS_AT_ONCE", PIXELS_OF_TURN[name])
    model = onnx.load(path)
    loop_over_people(model.graph, CANDIDATES, FOUND, keypoints=17)
    onnx.checker.check_model(model)
    onnx.save(model, path.with_name(f"{name}.onnx"))
    return path.with_name(f"{name}.onnx")


def same(found: RawPoses, expected: RawPoses) -> None:
    # Pixels that are equal up to rounding can be the highest one; rounding then decides between them.
    assert np.isclose(found[0], expected[0], atol=1e-3).mean() > 0.98
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
    np.testing.assert_array_equal(found[2], expected[2])


@pytest.mark.parametrize("search", ["full", "coarse"])
@pytest.mark.parametrize("method", ["boir", "cid"])
def test_any_number_of_turns_finds_the_same_people(
    method: str, search: Literal["full", "coarse"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = without_loop(tmp_path / "together.onnx", method, search, monkeypatch)
    assert "Loop" not in {node.op_type for node in onnx.load(together).graph.node}
    looped = [with_loop(together, name, monkeypatch) for name in PIXELS_OF_TURN]
    for flip in (False, True):
        expected, *found = (OnnxRuntime.open(path, threads=1, flip=flip) for path in (together, *looped))
        for count in (1, 2):
            people = expected.run(images(count))
            assert len(people[0]) > 4
            for runtime in found:
                same(runtime.run(images(count)), people)


def test_openvino_takes_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = without_loop(tmp_path / "together.onnx", "boir", "coarse", monkeypatch)
    turns = with_loop(together, "some people", monkeypatch)
    expected, found = (OnnxRuntime.open(path, threads=1, device="openvino", flip=True) for path in (together, turns))
    same(found.run(images(2)), expected.run(images(2)))


@pytest.mark.parametrize(("size", "people"), [((320, 432), 30), ((1280, 2560), 5), ((1280, 10_240), 1)])
def test_people_of_a_turn(size: tuple[int, int], people: int) -> None:
    """All 30 of an image of ordinary size go through the bundled model at once, one or a few of a panorama."""
    model = onnx.load(bundled("boir-lite.onnx"))
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    turns = loop.input[0]
    needed, wanted = [], {turns}
    for node in reversed(model.graph.node):
        if wanted & set(node.output) and "people_loop/" in node.name:
            needed.insert(0, node)
            wanted.update(node.input)
    (candidates,) = (name for name in needed[0].input)
    graph = helper.make_graph(
        needed,
        "turns",
        [
            helper.make_tensor_value_info(candidates, TensorProto.INT64, None),
            helper.make_tensor_value_info("images", TensorProto.UINT8, None),
            helper.make_tensor_value_info("mirrored", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info(turns, TensorProto.INT64, None)],
        [one for one in model.graph.initializer if one.name.startswith("people_loop/")],
    )
    small = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    feed = {
        candidates: np.zeros((1, 30, 2), np.int64),
        "images": np.zeros((1, *size, 3), np.uint8),
        "mirrored": np.zeros(0, np.float32),
    }
    (counted,) = onnxruntime.InferenceSession(small.SerializeToString()).run(None, feed)
    assert counted == -(-30 // people)


def test_what_a_turn_reads_from_outside_is_read_by_the_loop() -> None:
    graph = onnx.load(bundled("boir-lite.onnx")).graph
    loop = next(node for node in graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    assert body.node
    made = {name for node in body.node for name in node.output} | {one.name for one in (*body.input, *body.initializer)}
    outside = {name for node in graph.node for name in node.output} | {one.name for one in graph.initializer}
    assert {name for name in read_names(loop) if name} - made <= outside
    assert not made & outside
    assert len(loop.input) < len(read_names(loop))

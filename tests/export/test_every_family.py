"""Every family of pose models in the catalog becomes one ONNX file, of three precisions, for both runtimes."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from everypose.backbones.settings import HRNetSettings, ResNetSettings, ViTSettings
from everypose.inference.boxes import Boxes
from everypose.inference.device_check import pictures
from everypose.inference.loading import load
from everypose.inference.refinement import load_refiner
from everypose.methods.method import InferenceSettings, NetworkSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import HRNetPoseSettings, SimpleBaselineSettings, TopDownInference
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import build_network
from everypose.models.catalog import catalog
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, TINY_CID, tiny_boir, tiny_cid
from inference.runtimes.fixed_input_files import write_detrpose, write_rtmo
from inference.runtimes.heatmap_files import write_heatmaps
from inference.runtimes.simcc_files import write_simcc
from inference.tiny_posebh import tiny as tiny_posebh

CROPS = TopDownInference(crop_size=(64, 64), min_score=0)
IMAGES = SingleStageInference(size=64, min_score=0)
NARROW = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
SHALLOW = ResNetSettings(blocks=(1, 1, 1, 1))
VIT = ViTSettings(width=12, depth=2, heads=2, image_size=(48, 64))
UDP = TopDownInference(crop_size=(48, 64), convention="udp", decoder="udp-0.8", min_score=0)

READY = {"boir": (tiny_boir, TINY_BOIR), "cid": (tiny_cid, TINY_CID)}
NETWORKS: dict[str, tuple[NetworkSettings, InferenceSettings]] = {
    "simple-baseline": (SimpleBaselineSettings(backbone=SHALLOW, deconv=8), CROPS),
    "hrnet": (HRNetPoseSettings(backbone=NARROW), CROPS),
    "mipnet": (MIPNetSettings(backbone=NARROW), CROPS),
    "vitpose": (ViTPoseSettings(backbone=VIT, channels=8), UDP),
    "posefix": (PoseFixSettings(backbone=SHALLOW), RefinementInference(crop_size=(48, 64), pose_padding=1.25)),
}


def with_first_layer(path: Path) -> Path:
    """Put a convolution that changes nothing before the only layer of a file: int8 leaves the last layer as it is."""
    model = onnx.load(path)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32)[..., None, None], "identity"))
    model.graph.node.insert(0, helper.make_node("Conv", [first.input[0], "identity"], ["same"], "first layer"))
    first.input[0] = "same"
    onnx.save(model, path)
    return path


FILES = {
    "rtmpose": write_simcc,
    "rtmw": lambda path: write_simcc(path, 133),
    "rtmo": lambda path: with_first_layer(write_rtmo(path)),
    "detrpose": lambda path: with_first_layer(write_detrpose(path)),
    "easy-vitpose": lambda path: write_heatmaps(path, 25),
}
FAMILIES = [*READY, *NETWORKS, "posebh", *FILES]
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8), (96, 128))
BOXES = Boxes(np.array([[10.0, 20, 60, 110], [30, 5, 85, 100]]), np.array([0.9, 0.5]))


def source(family: str, folder: Path) -> Path:
    """A small model of a family, as a folder or as a file of its authors."""
    if family in FILES:
        return FILES[family](folder / "model.onnx")
    coco = Skeleton.named("coco").to_dict()
    if family == "posebh":
        network, config = tiny_posebh()
    elif family in READY:
        make, settings = READY[family]
        network, config = make().eval(), ModelConfig(name=family, network=settings, skeleton=coco, inference=IMAGES)
    else:
        settings, inference = NETWORKS[family]
        torch.manual_seed(0)
        network = build_network(settings, 17, initialization=Initialization.FRAMEWORK).eval()
        config = ModelConfig(name=family, network=settings, skeleton=coco, inference=inference)
    save_model(network, config, folder / "model")
    return folder / "model"


def found(path: Path, family: str, device: str = "cpu") -> np.ndarray:
    """Keypoints (N, K, 3) of the image's people, or a refiner's of two given poses."""
    if family == "posefix":
        refiner = load_refiner(path, device=device)
        poses = np.random.default_rng(1).uniform(20, 80, (2, 17, 3))
        return refiner(People(poses, np.ones(2), Skeleton.named("coco")), IMAGE).keypoints
    pose = load(path, device=device, **boxes_for(family))
    return pose(IMAGE).keypoints


def boxes_for(family: str) -> dict[str, object]:
    """What loading a model of the family needs: top-down models get boxes."""
    finds_people = ("boir", "cid", "rtmo", "detrpose")
    return {"min_score": 0.0} if family in finds_people else {"min_score": 0.0, "detector": lambda _: BOXES}


def test_these_are_the_families_of_the_catalog():
    assert {entry.family for entry in catalog().model if entry.kind != "detector"} == {*FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_one_file_for_both_runtimes(family, tmp_path, everypose):
    model, out, half = source(family, tmp_path), tmp_path / "out.onnx", tmp_path / "half.onnx"
    done = everypose("export", model, "-o", out)
    assert done.code == 0, done.err
    graph = onnx.load(out).graph
    assert {node.name: node.type.tensor_type.elem_type for node in graph.input}["images"] == TensorProto.UINT8
    assert graph.output[0].name == "keypoints"
    expected = found(model, family)
    assert len(expected) > 0
    int8 = tmp_path / "int8.onnx"
    done = everypose("export", out, "--int8", "--calibrate", pictures()[0], "-o", int8)
    assert done.code == 0, done.err
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(int8).graph.node)
    for device in ("cpu", "openvino"):
        if device == "openvino":
            pytest.importorskip("openvino")
        assert found(int8, family, device).shape[1:] == expected.shape[1:]
        people = found(out, family, device)
        assert people.shape == expected.shape
        # Random weights give heatmaps of noise, whose refinement depends on rounding in a few cells.
        assert np.quantile(np.abs(people - expected), 0.9) < 0.05
    done = everypose("export", model, "--half", "-o", half)
    assert done.code == 0, done.err
    assert found(half, family).shape == expected.shape

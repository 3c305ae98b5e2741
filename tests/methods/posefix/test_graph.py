"""PoseFix's graph: the flip test against its definition, and ONNX Runtime against torch."""

import numpy as np
import pytest
import torch

import everypose
from everypose.backbones.settings import LiteHRNetSettings, ResNetSettings
from everypose.errors import UsageError
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import OnnxRefinementRuntime
from everypose.inference.runtimes.torch import TorchRefinementRuntime
from everypose.methods.posefix.graph import RefinementGraph
from everypose.methods.posefix.method import fit_backbone
from everypose.methods.posefix.network import IMAGE_MEAN, LITE_INPUT_SCALE
from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.methods.spec import Initialization
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
SETTINGS = PoseFixSettings(backbone=LiteHRNetSettings(width=4, modules=(1, 1, 1)), sigma=3.0)
CONFIG = ModelConfig(name="tiny", network=SETTINGS, skeleton=COCO, inference=RefinementInference(crop_size=(64, 96)))
RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 255, (3, 96, 64, 3), dtype=np.uint8)
POSES = np.concatenate([RNG.uniform(0, 64, (3, 17, 2)), RNG.integers(0, 2, (3, 17, 1))], axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(SETTINGS, 17, initialization=Initialization.FRAMEWORK).eval()


def refined(network, crops, poses):
    pixels = torch.from_numpy(crops.copy()).permute(0, 3, 1, 2).float() - torch.tensor(IMAGE_MEAN)[:, None, None]
    given = torch.from_numpy(poses)
    with torch.inference_mode():
        return network.refine(pixels, given[..., :2], given[..., 2] > 0).numpy()


def test_without_a_flip_test_the_graph_refines_the_pose(network):
    graph = RefinementGraph(network, torch.from_numpy(COCO.flip_index)).eval()
    with torch.inference_mode():
        found = graph(torch.from_numpy(CROPS), torch.from_numpy(POSES), torch.zeros(0)).numpy()
    np.testing.assert_allclose(found, refined(network, CROPS, POSES), atol=1e-4)


def test_the_flip_test_averages_with_the_mirrored_pose_in_the_mirrored_crop(network):
    mirrored = POSES[:, COCO.flip_index].copy()
    mirrored[..., 0] = 63 - mirrored[..., 0]
    back = refined(network, CROPS[:, :, ::-1], mirrored)
    back[..., 0] = 63 - back[..., 0]
    expected = (refined(network, CROPS, POSES) + back[:, COCO.flip_index]) / 2
    runtime = TorchRefinementRuntime(network, CONFIG, flip=True)
    np.testing.assert_allclose(runtime.run(CROPS, POSES), expected, atol=1e-4)


def test_a_saved_model_loads_and_its_onnx_file_gives_the_same(network, tmp_path):
    save_model(network, CONFIG, tmp_path / "folder")
    loaded, config = load_model(tmp_path / "folder")
    assert config.network == SETTINGS
    export_onnx(loaded, config, tmp_path / "tiny.onnx")
    for flip in (False, True):
        exported = OnnxRefinementRuntime.open(tmp_path / "tiny.onnx", flip=flip)
        expected = TorchRefinementRuntime(network, CONFIG, flip=flip).run(CROPS, POSES)
        np.testing.assert_allclose(exported.run(CROPS, POSES), expected, atol=1e-3)
        np.testing.assert_allclose(exported.run(CROPS[:1], POSES[:1]), expected[:1], atol=1e-3)
    for path in (tmp_path / "folder", tmp_path / "tiny.onnx"):
        assert everypose.load_refiner(path).config.on_poses.crop_size == (64, 96)
        with pytest.raises(UsageError, match="refines poses and finds no people"):
            everypose.load(path)


def test_lite_hrnet_sees_scaled_pixels(network):
    seen = []
    hook = network.backbone.stem.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    refined(network, CROPS, POSES)
    hook.remove()
    expected = (CROPS[0, 5, 7].astype(np.float64) - IMAGE_MEAN) * LITE_INPUT_SCALE
    np.testing.assert_allclose(seen[0][0, :3, 5, 7], expected, atol=1e-5)
    given = POSES[0, :, 2] > 0
    assert seen[0][0, 3:][~torch.from_numpy(given)].abs().max() == 0


def test_a_pretrained_first_layer_keeps_its_weights_for_the_image():
    network = build_network(PoseFixSettings(backbone=ResNetSettings(blocks=(1, 1, 1, 1))), 17)
    own = network.backbone.state_dict()["conv1.weight"].clone()
    fitted = fit_backbone({"conv1.weight": torch.ones(64, 3, 7, 7), "bn1.bias": torch.ones(64)}, network.backbone)
    assert (fitted["conv1.weight"][:, :3] == 1).all()
    assert torch.equal(fitted["conv1.weight"][:, 3:], own[:, 3:])
    assert fitted["bn1.bias"].sum() == 64

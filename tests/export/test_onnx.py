"""Exported graphs against torch, for any batch, size and number of people."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch

from everypose.backbones.settings import HRNetSettings
from everypose.data.images import read_image
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxRuntime
from everypose.inference.runtimes.torch import TorchCropRuntime, TorchRuntime
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.cid.network import CID
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import load_model, save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, TINY_CID, tiny_boir, tiny_cid

ROOT = Path(__file__).parents[2]
BOIR_LITE = ROOT / "weights" / "boir-lite"
PEDESTRIANS = ROOT / "src" / "everypose" / "examples" / "pedestrians.jpg"


def config(network: BoIR | CID, search: Literal["full", "coarse"] = "full") -> ModelConfig:
    settings = TINY_BOIR if isinstance(network, BoIR) else TINY_CID
    inference = SingleStageInference(search=search)
    return ModelConfig(name="tiny", network=settings, skeleton=Skeleton.named("coco").to_dict(), inference=inference)


def smooth_images(batch: int, height: int, width: int) -> np.ndarray:
    coarse = 255 * torch.rand(batch, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return images.permute(0, 2, 3, 1).byte().numpy()


@pytest.fixture(
    scope="module", params=[(make, search) for make in (tiny_boir, tiny_cid) for search in ("full", "coarse")]
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BoIR | CID]:
    make, search = request.param
    network = make().eval()
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_onnx(network, config(network, search), path)
    return path, network


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 128), (2, 192, 64)])
def test_the_graph_equals_torch(
    exported: tuple[Path, BoIR | CID], shape: tuple[int, int, int], flip: bool, device: str
) -> None:
    path, network = exported
    images = smooth_images(*shape)
    ours = OnnxRuntime.open(path, threads=1, device=device, flip=flip).run(images)
    twin = TorchRuntime(network, OnnxRuntime.open(path).config, flip=flip).run(images)
    assert len(ours[0]) == len(twin[0]) > 0
    # Random weights give a few pixels that are equal up to rounding, which then chooses between them; and where pixels
    # are looked at twice, between what lies around them.
    everywhere = OnnxRuntime.open(path).config.on_images.search == "full"
    values = np.abs(ours[0][..., 2] - twin[0][..., 2])
    assert np.quantile(values, 1 if everywhere else 0.98) < 1e-4
    assert np.abs(ours[1] - twin[1]).max() < (1e-4 if everywhere else 1e-3)
    agree = np.abs(ours[0][..., :2] - twin[0][..., :2]).max(axis=-1) < 0.05
    assert agree.mean() > 0.98
    assert (ours[2] == twin[2]).all()


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("flip", [False, True])
def test_boir_lite_serves_sizes_in_steps_of_16(tmp_path: Path, flip: bool, device: str) -> None:
    network, own = load_model(BOIR_LITE)
    export_onnx(network.float().eval(), own, tmp_path / "lite.onnx")
    photo = cv2.resize(read_image(PEDESTRIANS), (432, 240))
    images = np.stack([photo, photo[:, ::-1]])
    runtime = OnnxRuntime.open(tmp_path / "lite.onnx", threads=1, device=device, flip=flip)
    ours, twin = (one.run(images, 0.1) for one in (runtime, TorchRuntime(network, own, flip=flip)))
    assert len(ours[0]) == len(twin[0]) > 4
    assert np.abs(ours[1] - twin[1]).max() < 1e-3
    assert (np.abs(ours[0][..., :2] - twin[0][..., :2]).max(axis=-1) < 0.05).mean() > 0.98
    assert (ours[2] == twin[2]).all()


def test_nobody_is_an_empty_result(tmp_path: Path) -> None:
    network = tiny_boir().eval()
    torch.nn.init.constant_(network.center.output.weight, 0)
    torch.nn.init.constant_(network.center.output.bias, -20)
    export_onnx(network, config(network), tmp_path / "nobody.onnx")
    for flip in (False, True):
        keypoints, scores, index = OnnxRuntime.open(tmp_path / "nobody.onnx", flip=flip).run(smooth_images(2, 64, 64))
        assert keypoints.shape == (0, 17, 3)
        assert len(scores) == len(index) == 0


def test_training_heads_are_left_out(exported: tuple[Path, BoIR | CID], tmp_path: Path) -> None:
    path, network = exported
    save_model(network, config(network), tmp_path)
    settings = OnnxRuntime.open(path).config.network
    if isinstance(settings, BoIRSettings):
        assert not settings.auxiliary
        assert path.stat().st_size < (tmp_path / "model.safetensors").stat().st_size


def test_a_released_file_exported_gives_the_networks_numbers(tmp_path: Path) -> None:
    from everypose.inference.loading import load
    from everypose.models.import_checkpoint import write_released

    network = tiny_boir().eval()
    write_released(network, config(network), tmp_path / "released.pth")
    image = smooth_images(1, 128, 128)[0]
    direct = load(tmp_path / "released.pth", min_score=0)(image)
    export_onnx(network, config(network), tmp_path / "tiny.onnx")
    through_onnx = load(tmp_path / "tiny.onnx", min_score=0)(image)
    assert len(direct) == len(through_onnx) > 0
    assert np.abs(direct.keypoints[..., :2] - through_onnx.keypoints[..., :2]).max() < 0.05


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("flip", [False, True])
def test_all_people_of_a_crop_come_from_one_run(tmp_path: Path, flip: bool, device: str) -> None:
    settings = MIPNetSettings(backbone=HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1), instances=3)
    inference = TopDownInference(crop_size=(64, 96))
    config = ModelConfig(name="tiny", network=settings, skeleton=Skeleton.named("coco").to_dict(), inference=inference)
    torch.manual_seed(0)
    network = build_network(settings, 17, initialization=Initialization.FRAMEWORK).eval()
    export_onnx(network, config, tmp_path / "tiny.onnx")
    crops = smooth_images(5, 96, 64)
    ours = OnnxCropRuntime.open(tmp_path / "tiny.onnx", threads=1, device=device, flip=flip).run(crops)
    twin = TorchCropRuntime(network, config, flip=flip).run(crops)
    assert ours.shape == twin.shape == (5, 3, 17, 3)
    assert np.abs(ours[..., 2] - twin[..., 2]).max() < 1e-4
    assert (np.abs(ours - twin).max(axis=-1) < 0.05).mean() > 0.98
    assert not np.allclose(ours[:, 0], ours[:, 1])
    needed = np.array([True, False, False, True, False])
    some = OnnxCropRuntime.open(tmp_path / "tiny.onnx", threads=1, device=device, flip=flip).run(crops, needed)
    np.testing.assert_array_equal(some[:, 0], ours[:, 0])
    np.testing.assert_array_equal(some[needed], ours[needed])
    # OpenVINO has no optional inputs: all people are found.
    np.testing.assert_array_equal(some[~needed, 1:], 0 if device == "cpu" else ours[~needed, 1:])


def test_half_the_file_finds_the_same(exported: tuple[Path, BoIR | CID], tmp_path: Path) -> None:
    path, network = exported
    export_onnx(network, config(network), tmp_path / "half.onnx", half=True)
    assert (tmp_path / "half.onnx").stat().st_size < 0.75 * path.stat().st_size
    images = smooth_images(1, 128, 64)
    whole, halved = (OnnxRuntime.open(file, threads=1).run(images) for file in (path, tmp_path / "half.onnx"))
    assert len(whole[0]) > 0
    assert abs(float(whole[1].max() - halved[1].max())) < 0.02
    assert len(halved[0]) == pytest.approx(len(whole[0]), rel=0.1)

"""Authors' files of networks on crops become models that run: family, sizes and how the authors run them."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from everypose.backbones.settings import HRNetSettings, ResNetSettings, ViTSettings
from everypose.errors import UsageError
from everypose.inference.box_sources import WholeImage
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.loading import load
from everypose.methods.method import NetworkSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.spec import Initialization
from everypose.methods.top_down.settings import HRNetPoseSettings, SimpleBaselineSettings, TopDownInference
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint, write_released
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton

NARROW = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
SHALLOW = ResNetSettings(blocks=(1, 1, 1, 1))


def write_network(network: nn.Module, settings: NetworkSettings, folder: Path) -> None:
    inference = TopDownInference(crop_size=(64, 64))
    config = ModelConfig(name="x", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    write_released(network, config, folder / "theirs.pth")


@pytest.mark.parametrize(
    ("settings", "keypoints", "bgr", "nms"),
    [
        (HRNetPoseSettings(backbone=NARROW), 17, False, 0.9),
        (MIPNetSettings(backbone=NARROW), 14, False, None),
        (MIPNetSettings(backbone=NARROW, sites=(True, True, True, True), instances=3), 17, False, 0.9),
        (SimpleBaselineSettings(backbone=SHALLOW, deconv=8), 17, True, 0.9),
        (MIPNetSettings(backbone=SHALLOW, deconv=8, sites=(False, False, False, True)), 17, True, 0.9),
    ],
)
def test_a_file_is_imported_and_run(
    tmp_path: Path, settings: NetworkSettings, keypoints: int, bgr: bool, nms: float | None
) -> None:
    write_network(build_network(settings, keypoints, initialization=Initialization.FRAMEWORK), settings, tmp_path)
    network, config = import_checkpoint(tmp_path / "theirs.pth", crop_size=(64, 96))
    assert config.network.model_dump(exclude={"deconv"}) == settings.model_dump(exclude={"deconv"})
    assert (config.on_crops.crop_size, config.on_crops.bgr, config.on_crops.nms) == ((64, 96), bgr, nms)
    save_model(network, config, tmp_path / "ours")

    def two_boxes(_: Photo) -> Boxes:
        return Boxes(np.array([[5.0, 5, 60, 110], [40, 10, 100, 120]]), np.ones(2))

    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    people = load(tmp_path / "ours", detector=two_boxes, min_score=0)(image)
    assert people.skeleton == Skeleton.named("coco" if keypoints == 17 else "crowdpose")
    assert len(people) >= 1


@pytest.mark.parametrize(
    ("name", "decoder", "padding", "nms"),
    [("coco", "udp", 1.25, 0.9), ("ap10k", "quarter", 1.25, 0.9), ("interhand2d", "quarter", 1.5, None)],
)
def test_a_split_file_of_one_data_set_is_run_as_its_authors_do(
    tmp_path: Path, name: str, decoder: str, padding: float, nms: float | None
) -> None:
    skeleton = Skeleton.named(name)
    settings = ViTPoseSettings(backbone=ViTSettings(width=384, depth=1, heads=12, image_size=(48, 64)), channels=8)
    write_network(build_network(settings, len(skeleton)), settings, tmp_path)
    network, config = import_checkpoint(tmp_path / "theirs.pth", skeleton)
    cut = config.on_crops
    assert (cut.crop_size, cut.decoder, cut.padding, cut.nms) == ((48, 64), decoder, padding, nms)
    save_model(network, config, tmp_path / "ours")
    found = load(tmp_path / "ours", detector=WholeImage(), min_score=0)(np.zeros((80, 60, 3), np.uint8))
    assert found.keypoints.shape == (1, len(skeleton), 3)


@pytest.mark.parametrize("crop_size", [(0, 256), (192, 5000), (4128, 32), (100, 128)])
def test_crops_that_a_network_cannot_take(tmp_path: Path, crop_size: tuple[int, int]) -> None:
    settings = HRNetPoseSettings(backbone=NARROW)
    write_network(build_network(settings, 17), settings, tmp_path)
    with pytest.raises(
        UsageError, match=r"crops of \d+ x \d+ pixels are not possible: .* multiples of 32, 4096 at most"
    ):
        import_checkpoint(tmp_path / "theirs.pth", crop_size=crop_size)

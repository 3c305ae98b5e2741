"""The maps of an exported file are those of the network."""

import numpy as np
import pytest
import torch

from evaluation.tiny_crops import tiny, tiny_folder
from everypose.backbones.normalization import normalize
from everypose.errors import UsageError
from everypose.export.onnx import export_onnx
from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from everypose.studies.inner_maps import open_features, open_heatmaps
from everypose.studies.networks import TorchMaps, read_top_down
from inference import stand_in

WIDTHS = dict.fromkeys(("instance", "neck_branch", "neck", "head", "embedding"), 4)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_features_of_folder_and_exported_file_are_the_network_s(tmp_path):
    network, config = tiny("boir", **WIDTHS)
    image = noise(64, 96)
    with torch.inference_mode():
        expected = network.features(normalize(torch.from_numpy(image[None]), network.normalization)).numpy()
    export_onnx(network, config, tmp_path / "tiny.onnx")
    tiny_folder(tmp_path / "tiny", family="boir", **WIDTHS)
    for model in (tmp_path / "tiny.onnx", tmp_path / "tiny"):
        np.testing.assert_allclose(open_features(str(model)).maps(image), expected, atol=1e-4)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("family", "people"), [("mipnet", 2), ("hrnet", 1)])
def test_heatmaps_of_exported_files_are_the_network_s(tmp_path, half, family, people):
    network, config = tiny(family)
    image = noise(96, 64)
    expected = TorchMaps(network, config).maps(image)
    assert expected.shape == (people, 17, 24, 16)
    export_onnx(network, config, tmp_path / "tiny.onnx", half=half)
    np.testing.assert_allclose(
        open_heatmaps(str(tmp_path / "tiny.onnx")).maps(image), expected, atol=1e-2 if half else 1e-4
    )


def test_each_study_needs_its_kind_of_model(tmp_path):
    with pytest.raises(UsageError, match="process whole images"):
        open_features(tiny_folder(tmp_path / "crops"))
    with pytest.raises(UsageError, match="finds people by itself"):
        open_heatmaps(tiny_folder(tmp_path / "whole", family="boir", **WIDTHS))


def test_refinement_models_have_neither(tmp_path):
    settings = PoseFixSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8)
    inference = RefinementInference(crop_size=(64, 64))
    config = ModelConfig(name="x", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    save_model(build_network(settings, 17), config, tmp_path / "posefix")
    with pytest.raises(UsageError, match="this study needs models that process whole images"):
        open_features(str(tmp_path / "posefix"))
    for opens in (open_heatmaps, read_top_down):
        with pytest.raises(UsageError, match="refines poses and finds no people"):
            opens(str(tmp_path / "posefix"))


def test_a_file_without_the_known_layers_is_refused(tmp_path):
    with pytest.raises(UsageError, match="give the model's folder"):
        open_features(str(stand_in.write_model(tmp_path / "other.onnx")))

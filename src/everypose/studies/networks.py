"""Reading networks for the studies that use more than an estimator; these need torch."""

from typing import cast

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.core.arrays import Float32, Image
from everypose.errors import UsageError
from everypose.inference.runtimes.torch import read_network
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.single_stage.graph import SingleStageNetwork
from everypose.methods.top_down.graph import HeatmapNetwork
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile, resolve


def read_top_down(model: str) -> tuple[nn.Module, ModelConfig, ModelFile]:
    """Read a top-down network, its configuration and its file.

    Raises:
        EveryposeError: if it cannot be read.
        UsageError: if it is of another family, or exported.

    >>> read_top_down("mipnet-lite")
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: mipnet-lite.onnx is exported, which fixes selectors and decoder: give ...
    """
    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is exported, which fixes selectors and decoder: give the model's folder")
    network, config = read_network(file)
    config.require_finds_people()
    if not config.is_top_down:
        raise UsageError(f"{config.name} finds people by itself: this study needs a top-down model")
    return network, config, file


def read_mipnet(model: str) -> tuple[MIPNet, ModelConfig]:
    """Read a MIPNet model and its configuration; errors as ``read_top_down``.

    >>> read_mipnet("mipnet-lite")  # exported, without its selectors
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: mipnet-lite.onnx is exported, which fixes selectors and decoder: give ...
    """
    network, config, _ = read_top_down(model)
    if not isinstance(network, MIPNet):
        raise UsageError(f"{config.name} is not a MIPNet model: it has no selector")
    return network, config


class TorchMaps:
    """A network that gives its backbone feature or its heatmaps; see ``everypose.studies.inner_maps.MapModel``.

    Args:
        network: in evaluation mode, single-stage or top-down.
        config: its configuration.

    >>> import numpy as np
    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> TorchMaps(network, config).maps(np.zeros((64, 64, 3), np.uint8)).shape  # heatmaps of two people
    (2, 17, 16, 16)
    """

    def __init__(self, network: nn.Module, config: ModelConfig) -> None:
        self.config = config
        self._network = network

    def maps(self, image: Image) -> Float32:
        """Compute the maps (N, C, h, w) of one network input (H, W, 3), uint8 RGB."""
        pixels = torch.from_numpy(image[None])
        with torch.inference_mode():
            found = self._heatmaps(pixels) if self.config.is_top_down else self._feature(pixels)
        maps: Float32 = found.float().numpy()
        return maps

    def _feature(self, pixels: Tensor) -> Tensor:
        """Compute the backbone feature (1, D, h, w) of an image (1, H, W, 3)."""
        network = cast(SingleStageNetwork, self._network)
        return network.features(normalize(pixels, network.normalization))

    def _heatmaps(self, pixels: Tensor) -> Tensor:
        """Compute the heatmaps (N, K, h, w) of all people in a crop (1, H, W, 3)."""
        network = cast(HeatmapNetwork, self._network)
        return network.heatmaps(normalize(pixels, bgr=self.config.on_crops.bgr))[0]


def open_torch_maps(file: ModelFile) -> TorchMaps:
    """Open a model folder or a released checkpoint; of a model with several skeletons, the first.

    Raises:
        EveryposeError: if it cannot be read.

    >>> from pathlib import Path
    >>> from everypose.models.storage import save_model
    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> saved = save_model(network, config, Path("small"))
    >>> open_torch_maps(ModelFile("folder", Path("small"))).config.name
    'small'
    """
    return TorchMaps(*read_network(file))

"""Features of PP-TinyPose's frozen backbone, computed once for all networks, and the layer with experts on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.normalization import normalize
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.core.arrays import Image
from everypose.core.progress import track
from everypose.training.tasks.mixture_samples import MixedSamples

STRIDE = 32
"""Crop pixels for each cell of a feature; heatmaps have a quarter of it."""
AT_ONCE = 16


class FrozenBackbone(nn.Module):
    """Lite-HRNet up to its fourth stage: the branches at strides 16 and 32 as one map at stride 32.

    The finer branches and the decoder are left out: on their maps, one linear layer is PP-TinyPose itself, so that
    there would be nothing to learn.

    Args:
        weights: the ONNX file of PP-TinyPose.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = LiteHRNet()
        prefix = "backbone."
        tensors = read_tinypose(weights)
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        self.network.load_state_dict(own)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized crops (B, 3, H, W), H and W multiples of 32, to (B, 960, H/32, W/32)."""
        maps = [images]
        for step in self.network.steps()[:-1]:
            maps = step(maps)
        *_, finer, coarser = self.network.stages[-1](maps)
        return torch.cat([F.pixel_unshuffle(finer, 2), coarser], dim=1)

    @torch.inference_mode()
    def of_crops(self, crops: Sequence[Image]) -> Tensor:
        """Compute the features of uint8 RGB crops: (B, 960, H/32, W/32) float16."""
        parts = [
            self(normalize(torch.from_numpy(np.stack(crops[first : first + AT_ONCE])))).half()
            for first in range(0, len(crops), AT_ONCE)
        ]
        return torch.cat(parts)


class ExpertLayer(nn.Module):
    """The trained layer on the frozen features: channels that all data sets share, and some of each set's expert.

    It takes the place of PoseBH's vision transformer, whose experts are part of its channels, too.

    Args:
        inputs: channels of the features.
        experts: number of data sets.
        channels: outputs, those of an expert included.
        part: outputs of an expert.
    """

    def __init__(self, inputs: int, experts: int, channels: int = 96, part: int = 24) -> None:
        super().__init__()
        self.channels, self.experts = channels, experts
        self.shared = nn.Conv2d(inputs, channels - part, 1, bias=False)
        self.parts = nn.ModuleList(nn.Conv2d(inputs, part, 1, bias=False) for _ in range(experts))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor, dataset: Tensor) -> Tensor:
        """Features (B, inputs, h, w) and each sample's data set (B,) to (B, channels, h, w)."""
        every = torch.stack([part(features) for part in self.parts], dim=1)
        own = every[torch.arange(len(features)), dataset]
        return F.relu(self.norm(torch.cat([self.shared(features), own], dim=1)))

    def merged(self, dataset: int) -> nn.Module:
        """The layer with the expert of one data set; it shares the weights."""
        return _WithExpert(self, dataset)


class _WithExpert(nn.Module):
    def __init__(self, layer: ExpertLayer, dataset: int) -> None:
        super().__init__()
        self._layer, self._dataset = layer, dataset

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, channels, h, w)."""
        dataset = torch.full((len(features),), self._dataset)
        found: Tensor = self._layer(features, dataset)
        return found


class StoredBatch(NamedTuple):
    """Features (B, 960, h, w), keypoints (B, K, 3) in crop pixels with weights, and data sets (B,)."""

    features: Tensor
    keypoints: Tensor
    dataset: Tensor


class StoredSamples:
    """Samples of a mixture with their features.

    Args:
        features: (N, 960, h, w) float16.
        keypoints: (N, K, 3) in crop pixels, with weights.
        dataset: (N,).
    """

    def __init__(self, features: Tensor, keypoints: Tensor, dataset: Tensor) -> None:
        self._features, self._keypoints, self.dataset = features, keypoints, dataset

    @classmethod
    def of(cls, samples: MixedSamples, count: int, backbone: FrozenBackbone) -> "StoredSamples":
        """Compute the first ``count`` samples of a stream, whose seed determines the augmentation."""
        features, keypoints, dataset = [], [], []
        for first in track(range(0, count, AT_ONCE), "features", total=-(-count // AT_ONCE)):
            batch = samples.collate([samples[place] for place in range(first, min(first + AT_ONCE, count))])
            features.append(backbone.of_crops(list(batch.crops.images.numpy())))
            keypoints.append(batch.crops.keypoints[:, 0])
            dataset.append(batch.crops.dataset)
        return cls(torch.cat(features), torch.cat(keypoints), torch.cat(dataset))

    def save(self, path: Path) -> None:
        """Write the samples to a safetensors file."""
        save_file({"features": self._features, "keypoints": self._keypoints, "dataset": self.dataset}, path)

    @classmethod
    def load(cls, path: Path) -> "StoredSamples":
        """Read what :meth:`save` wrote."""
        return cls(**load_file(path))

    def batch(self, places: Sequence[int]) -> StoredBatch:
        """Join samples to a batch."""
        chosen = list(places)
        return StoredBatch(self._features[chosen].float(), self._keypoints[chosen], self.dataset[chosen])

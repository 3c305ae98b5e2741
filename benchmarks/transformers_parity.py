"""ViTPose of every size at full depth, in transformers and in everypose: heatmaps and keypoints.

    make transformers-parity
    python -m benchmarks.transformers_parity --float64 --only ViTPose-H ViTPose++-H

Weights are random, except those of the last layer, which are fitted so that heatmaps have peaks of 1, as those of
trained networks. Sizes take turns; ViTPose++-H takes 9 GB, 12 GB in float64. The columns, each the largest difference:

- heatmaps: of equal crops, those of transformers.
- equal heatmaps: keypoints that both decoders find in transformers' heatmaps.
- equal crops: keypoints, each side with its own network and decoder, on transformers' crops.
- inside the image, over its edge: keypoints from the image and boxes on, each side with its own crops; of the boxes
  whose crops lie inside the image, and of those whose crops reach over its edge. At the edge SciPy, by which
  transformers cuts crops, leaves pixels black that OpenCV, by which the authors and everypose cut, interpolates.
- edge interpolated: the same with crops of transformers that SciPy interpolates at the edge, too.
- transformers, one by one: transformers with one crop at a time on one thread, next to itself with all at once.

``--float64`` computes both sides in double precision, with the epsilon of layer normalization that the authors have
(1e-6; transformers has 1e-12): what still differs then is neither rounding nor the epsilon.
"""

import argparse
import gc
import tempfile
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.ndimage
import torch
import transformers
from torch import Tensor
from transformers.models.vitpose.modeling_vitpose import VitPoseEstimatorOutput

from benchmarks.peer_networks import VitSize, write_vitpose
from benchmarks.peers import crowd
from everypose.backbones.normalization import normalize
from everypose.core.arrays import Float64, Image, Mask
from everypose.core.geometry import Size
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.runtimes.protocols import CropRuntime
from everypose.inference.runtimes.torch import TorchCropRuntime
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.crops import CROP_SIZE, CropGeometry
from everypose.methods.top_down.decoding import decode
from everypose.models.config import ModelConfig
from everypose.models.import_checkpoint import import_checkpoint
from everypose.models.locate import resolve

SIZES = {
    "ViTPose-S": VitSize(384, 12, 12),
    "ViTPose-B": VitSize(768, 12, 12),
    "ViTPose-B, simple decoder": VitSize(768, 12, 12, simple=True),
    "ViTPose-L": VitSize(1024, 24, 16),
    "ViTPose-H": VitSize(1280, 32, 16),
    "ViTPose++-S": VitSize(384, 12, 12, experts=6, part=192),
    "ViTPose++-B": VitSize(768, 12, 12, experts=6, part=192),
    "ViTPose++-L": VitSize(1024, 24, 16, experts=6, part=256),
    "ViTPose++-H": VitSize(1280, 32, 16, experts=6, part=320),
}
HEADER = (
    "| network | parameters | largest value | heatmaps | equal heatmaps | equal crops | inside the image "
    "| over its edge | edge interpolated | transformers, one by one |\n" + 10 * "|---" + "|"
)


def main() -> None:
    """Compare all sizes, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--boxes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float64", action="store_true", help="compute both sides in double precision")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    image, boxes = crowd()
    scene = Scene(image, boxes[: given.boxes])
    print(HEADER, flush=True)
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            path = write_vitpose(Path(folder, "model"), image, scene.boxes, SIZES[name])
            gc.collect()
            row = compare(path, SIZES[name], scene, torch.float64 if given.float64 else torch.float32)
        print(f"| {name} | {row} |", flush=True)
        gc.collect()


@dataclass
class Scene:
    """An image (H, W, 3) with boxes (N, 4) x1 y1 x2 y2."""

    image: Image
    boxes: Float64

    @cached_property
    def processor(self) -> transformers.VitPoseImageProcessorPil:
        """The processor of transformers: crops and decoding."""
        return transformers.VitPoseImageProcessorPil()

    @cached_property
    def xywh(self) -> list[list[list[float]]]:
        """The boxes as transformers takes them."""
        return [np.concatenate([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], axis=1).tolist()]

    def crops(self, edge: str = "constant") -> Tensor:
        """The crops that transformers cuts, normalized (N, 3, h, w).

        Args:
            edge: SciPy's ``mode``; "constant", as transformers has it, does not interpolate with the black outside,
                "grid-constant" does.
        """
        cut = partial(scipy.ndimage.affine_transform, mode=edge)
        with mock.patch("transformers.models.vitpose.image_processing_pil_vitpose.affine_transform", cut):
            found = self.processor(self.image, boxes=self.xywh, return_tensors="pt")
        crops: Tensor = found["pixel_values"]
        return crops

    @cached_property
    def over_edge(self) -> Mask:
        """Which crops (N,) reach over the image's edge."""
        centers, sizes = CropGeometry(CROP_SIZE, "udp").regions(self.boxes)
        low, high = centers - sizes / 2, centers + sizes / 2
        over: Mask = np.any((low < 0) | (high > np.subtract(self.image.shape[1::-1], 1)), axis=1)
        return over

    def decoded_by_transformers(self, maps: Tensor) -> Float64:
        """Keypoints (N, K, 2) in image pixels that transformers finds in heatmaps."""
        found = self.processor.post_process_pose_estimation(VitPoseEstimatorOutput(heatmaps=maps), boxes=self.xywh)[0]
        return np.stack([one["keypoints"].double().numpy() for one in found])

    def estimator(self, runtime: CropRuntime, config: ModelConfig) -> TopDownEstimator:
        """An estimator of everypose on these boxes."""
        return TopDownEstimator(runtime, config, lambda _: Boxes(self.boxes, np.ones(len(self.boxes))))

    def found_by(self, runtime: CropRuntime, config: ModelConfig) -> Float64:
        """Keypoints (N, K, 2) in image pixels of everypose."""
        (found,) = self.estimator(runtime, config).poses([Photo(self.image)])
        return found.keypoints[:, 0, :, :2]


def compare(folder: Path, size: VitSize, scene: Scene, dtype: torch.dtype) -> str:
    """The cells of a row: millions of parameters, largest heatmap value, and the largest differences."""
    given = scene.crops().to(dtype)
    network, config = import_checkpoint(resolve(folder).path)
    cut = scene.estimator(KeptMaps(torch.zeros(0)), config).crops(Photo(scene.image))
    own = normalize(torch.from_numpy(np.stack(cut))).to(dtype)
    network.to(dtype)
    with torch.inference_mode():
        of_given, of_own = network(given), network(own)
    # In float32 the pipeline as it is; its graph takes no other precision.
    runtime = TorchCropRuntime(network, config) if dtype == torch.float32 else KeptMaps(of_own)
    whole = scene.found_by(runtime, config)
    del network, runtime
    gc.collect()

    peer = Peer(folder, size, dtype)
    expected_maps = peer.heatmaps(given)
    interpolated = scene.decoded_by_transformers(peer.heatmaps(scene.crops("grid-constant").to(dtype)))
    one_by_one = scene.decoded_by_transformers(peer.one_by_one(given))
    expected, edge = scene.decoded_by_transformers(expected_maps), scene.over_edge
    cells = [
        f"{peer.parameters / 1e6:.0f} M",
        f"{expected_maps.abs().max():.2f}",
        f"{(of_given - expected_maps).abs().max():.1e}",
        difference(scene.found_by(KeptMaps(expected_maps), config), expected),
        difference(scene.found_by(KeptMaps(of_given), config), expected),
        difference(whole[~edge], expected[~edge]),
        difference(whole[edge], expected[edge]),
        difference(whole[edge], interpolated[edge]),
        difference(one_by_one, expected),
    ]
    return " | ".join(cells)


class Peer:
    """A ViTPose in transformers.

    Attributes:
        parameters: how many it has.
    """

    def __init__(self, folder: Path, size: VitSize, dtype: torch.dtype) -> None:
        config = transformers.VitPoseConfig.from_pretrained(folder)
        if dtype == torch.float64:
            config.backbone_config.layer_norm_eps = 1e-6
        self._model = transformers.VitPoseForPoseEstimation.from_pretrained(folder, config=config, dtype=dtype).eval()
        self._size = size
        self.parameters = sum(one.numel() for one in self._model.parameters())

    def heatmaps(self, crops: Tensor) -> Tensor:
        """Heatmaps (N, K, h', w') of normalized crops (N, 3, h, w)."""
        with torch.inference_mode():
            found: Tensor = self._model(crops, **self._size.first_expert(len(crops))).heatmaps
        return found

    def one_by_one(self, crops: Tensor) -> Tensor:
        """The same with one crop at a time, on one thread."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        found = torch.cat([self.heatmaps(crop[None]) for crop in crops])
        torch.set_num_threads(threads)
        return found


def difference(found: Float64, expected: Float64) -> str:
    """The largest difference of keypoints (N, K, 2), in pixels; "-" without any."""
    return f"{np.abs(found - expected).max():.5f} px" if len(expected) else "-"


class KeptMaps:
    """A runtime that decodes given heatmaps (N, K, h, w), whatever the crops."""

    def __init__(self, maps: Tensor) -> None:
        self._maps = maps

    def run(self, crops: np.ndarray, _with_others: np.ndarray | None = None) -> np.ndarray:
        """Keypoints (N, 1, K, 3) of the heatmaps."""
        return decode(self._maps[:, None], "udp-0.8", Size(crops.shape[2], crops.shape[1])).numpy()


if __name__ == "__main__":
    main()

"""ViTPose of every size at full depth, in transformers and in everypose: heatmaps of equal crops, and keypoints.

    make transformers-parity

Weights are random, except the last layer of the classic decoder, which is fitted so that heatmaps have peaks of 1, as
those of trained networks. Heatmaps are compared on transformers' own crops. Keypoints are compared from the image and
boxes on: each side cuts, runs and decodes by itself. Sizes take turns; ViT-H takes 8 GB.
"""

import argparse
import gc
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import Tensor

from benchmarks.peer_networks import VitSize, write_vitpose
from benchmarks.peers import crowd
from everypose.core.arrays import Image
from everypose.core.geometry import Size
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.runtimes.torch import TorchCropRuntime
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.decoding import decode
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


def main() -> None:
    """Compare all sizes, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--boxes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    image, boxes = crowd()
    print("| network | parameters | largest value | heatmaps differ by | keypoints differ by |\n|---|---|---|---|---|")
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            row = compare(Path(folder, "model"), SIZES[name], image, boxes[: given.boxes])
        print(f"| {name} | {row} |", flush=True)
        gc.collect()


def compare(folder: Path, size: VitSize, image: Image, boxes: np.ndarray) -> str:
    """The cells of a row: millions of parameters, largest heatmap value, and the largest differences."""
    write_vitpose(folder, image, boxes, size)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    processor = transformers.VitPoseImageProcessorPil()
    inputs = processor(image, boxes=[xywh], return_tensors="pt")
    model = transformers.VitPoseForPoseEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = model(**inputs, **size.first_expert(len(boxes)))
    found = processor.post_process_pose_estimation(outputs, boxes=[xywh])[0]
    expected = np.stack([one["keypoints"].numpy() for one in found])
    parameters = sum(one.numel() for one in model.parameters()) / 1e6
    del model
    gc.collect()

    network, config = import_checkpoint(resolve(folder).path)
    with torch.no_grad():
        maps = network(inputs["pixel_values"])
    difference = (maps - outputs.heatmaps).abs().max().item()
    runtime = KeptMaps(outputs.heatmaps) if size.simple else TorchCropRuntime(network, config)
    estimator = TopDownEstimator(runtime, config, lambda _: Boxes(boxes, np.ones(len(boxes))))
    (own,) = estimator.poses([Photo(image)])
    pixels = np.abs(own.keypoints[:, 0, :, :2] - expected).max()
    note = " (of equal heatmaps)" if size.simple else ""
    largest = outputs.heatmaps.abs().max().item()
    return f"{parameters:.0f} M | {largest:.2f} | {difference:.1e} | {pixels:.3f} px{note}"


class KeptMaps:
    """A runtime that decodes given heatmaps: those of random weights are noise, which crops that differ change."""

    def __init__(self, maps: Tensor) -> None:
        self._maps = maps

    def run(self, crops: np.ndarray, _with_others: np.ndarray | None = None) -> np.ndarray:
        """Keypoints (B, 1, K, 3) of the heatmaps."""
        return decode(self._maps[:, None], "udp-0.8", Size(crops.shape[2], crops.shape[1])).numpy()


if __name__ == "__main__":
    main()

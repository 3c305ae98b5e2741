"""Pack trained weights as mipnet-lite.onnx: uint8 crops in, both people's keypoints out, calibrated scores.

    python -m research.mipnet_lite.pack TINYPOSE.onnx TRAINED.pt CALIBRATION.json OUT.onnx [--mix 1.0]

``--mix`` interpolates the weights that the published file has between it (0) and the trained ones (1).
"""

import argparse
import json
from pathlib import Path

import torch

from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.backbones.settings import LiteHRNetSettings
from everypose.core.files import sha256
from everypose.export.onnx import export_onnx
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import load_strictly
from everypose.skeleton.skeleton import Skeleton

ORIGIN = (
    "PaddleDetection, PP-TinyPose 256 x 192 (Apache-2.0 repository, no separate license for weights), trained on COCO, "
    "AI Challenger and photos of its authors; further trained by everypose on 532 COCO train2017 photos and crowds "
    "composed of them"
)


def pack(published: Path, trained: Path, calibration: Path, out: Path, mix: float = 1.0) -> None:
    """Write the model's ONNX file with its weights in half precision."""
    state = torch.load(trained, map_location="cpu", weights_only=True)
    for name, value in read_tinypose(published).items():
        state[name] = torch.lerp(value, state[name], mix)
    network_settings = MIPNetSettings(backbone=LiteHRNetSettings(), gain=4.0)
    skeleton = Skeleton.named("coco")
    inference = {"crop_size": (192, 256), "decoder": "dark-3", **json.loads(calibration.read_text())}
    config = ModelConfig(
        name="mipnet-lite",
        network=network_settings,
        skeleton=skeleton.to_dict(),
        inference=TopDownInference.model_validate(inference),
        provenance={"origin": ORIGIN, "published_sha256": sha256(published), "trained_sha256": sha256(trained)},
    )
    network = build_network(network_settings, len(skeleton))
    load_strictly(network, state, trained)
    export_onnx(network.eval(), config, out, half=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("published", "trained", "calibration", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--mix", type=float, default=1.0)
    given = parser.parse_args()
    pack(given.published, given.trained, given.calibration, given.out, given.mix)

"""The one table of names: what commands, recipes and ``everypose.load`` may call a model by.

A name is that of the recipe which trains the model. The weights of most do not come with the package: their authors'
checkpoints are imported, or they are trained. Where the published numbers are from says
``everypose/evaluation/published.toml``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownModel:
    """A name that everypose knows; ``file`` is set where the weights come with the package."""

    name: str
    description: str
    file: str | None = None


DEFAULT_MODEL = "mipnet-lite"
"""The model that is loaded when none is named."""
DEFAULT_DETECTOR = "picodet-s"
"""What gives top-down models their boxes when nothing else is named."""
DETECTORS = {"picodet-s": "picodet-s.onnx"}
"""Person detectors whose weights come with the package, and their files."""

MODELS = (
    KnownModel(
        "mipnet-lite",
        "MIPNet on Lite-HRNet, COCO keypoints: the default; further trained from PaddleDetection's PP-TinyPose "
        "(COCO, AI Challenger and photos of its authors)",
        file="mipnet-lite.onnx",
    ),
    KnownModel("boir-lite", "BoIR on a small trunk, COCO keypoints: one pass for any number", file="boir-lite.onnx"),
    KnownModel("boir-w32-coco", "BoIR, HRNet-W32 at 512, COCO: published AP 70.6 on val2017"),
    KnownModel("boir-w48-coco", "BoIR, HRNet-W48 at 640, COCO: published AP 72.5 on val2017"),
    KnownModel("boir-w32-crowdpose", "BoIR, HRNet-W32 at 512, CrowdPose: published AP 75.8 fine-tuned from COCO"),
    KnownModel("boir-w48-crowdpose", "BoIR, HRNet-W48 at 640, CrowdPose: published AP 77.2 fine-tuned from COCO"),
    KnownModel("cid-w32-coco", "CID, HRNet-W32 at 512, COCO: published AP 69.8 on val2017"),
    KnownModel("cid-w48-coco", "CID, HRNet-W48 at 640, COCO: published AP 70.7 on test-dev"),
    KnownModel(
        "simple-baseline-r50-256-coco", "SimpleBaseline, ResNet-50: published AP 72.4 on val2017 in annotated boxes"
    ),
    KnownModel(
        "simple-baseline-r101-256-coco", "SimpleBaseline, ResNet-101: published AP 73.4 on val2017 in annotated boxes"
    ),
    KnownModel(
        "simple-baseline-r152-256-coco", "SimpleBaseline, ResNet-152: published AP 74.3 on val2017 in annotated boxes"
    ),
    KnownModel(
        "simple-baseline-r50-384-coco", "SimpleBaseline, ResNet-50: published AP 74.1 on val2017 in annotated boxes"
    ),
    KnownModel(
        "simple-baseline-r101-384-coco", "SimpleBaseline, ResNet-101: published AP 75.5 on val2017 in annotated boxes"
    ),
    KnownModel(
        "simple-baseline-r152-384-coco", "SimpleBaseline, ResNet-152: published AP 76.6 on val2017 in annotated boxes"
    ),
    KnownModel("hrnet-w32-256-coco", "HRNet on crops, W32: published AP 76.5 on val2017 in annotated boxes"),
    KnownModel("hrnet-w48-256-coco", "HRNet on crops, W48: published AP 77.1 on val2017 in annotated boxes"),
    KnownModel("hrnet-w32-384-coco", "HRNet on crops, W32: published AP 77.7 on val2017 in annotated boxes"),
    KnownModel("hrnet-w48-384-coco", "HRNet on crops, W48: published AP 78.1 on val2017 in annotated boxes"),
    KnownModel("hrnet-w32-256-crowdpose", "HRNet on crops, W32: published AP 70.0 on val in annotated boxes"),
    KnownModel("hrnet-w48-256-crowdpose", "HRNet on crops, W48: published AP 71.3 on val in annotated boxes"),
    KnownModel("hrnet-w32-384-crowdpose", "HRNet on crops, W32: published AP 71.6 on val in annotated boxes"),
    KnownModel("hrnet-w48-384-crowdpose", "HRNet on crops, W48: published AP 72.8 on val in annotated boxes"),
    KnownModel("mipnet-r50-256-coco", "MIPNet, ResNet-50: published AP 73.3 on val2017 in annotated boxes"),
    KnownModel("mipnet-r101-256-coco", "MIPNet, ResNet-101: published AP 74.1 on val2017 in annotated boxes"),
    KnownModel("mipnet-r152-256-coco", "MIPNet, ResNet-152: published AP 74.8 on val2017 in annotated boxes"),
    KnownModel("mipnet-r50-384-coco", "MIPNet, ResNet-50: published AP 75.3 on val2017 in annotated boxes"),
    KnownModel("mipnet-r101-384-coco", "MIPNet, ResNet-101: published AP 76.0 on val2017 in annotated boxes"),
    KnownModel("mipnet-r152-384-coco", "MIPNet, ResNet-152: published AP 77.0 on val2017 in annotated boxes"),
    KnownModel("mipnet-w32-256-coco", "MIPNet, HRNet-W32: published AP 77.6 on val2017 in annotated boxes"),
    KnownModel("mipnet-w48-256-coco", "MIPNet, HRNet-W48: published AP 77.6 on val2017 in annotated boxes"),
    KnownModel("mipnet-w32-384-coco", "MIPNet, HRNet-W32: published AP 78.5 on val2017 in annotated boxes"),
    KnownModel("mipnet-w48-384-coco", "MIPNet, HRNet-W48: published AP 78.8 on val2017 in annotated boxes"),
    KnownModel("mipnet-w32-256-crowdpose", "MIPNet, HRNet-W32: published AP 71.2 on val in annotated boxes"),
    KnownModel("mipnet-w48-256-crowdpose", "MIPNet, HRNet-W48: published AP 72.8 on val in annotated boxes"),
    KnownModel("mipnet-w32-384-crowdpose", "MIPNet, HRNet-W32: published AP 73.0 on val in annotated boxes"),
    KnownModel("mipnet-w48-384-crowdpose", "MIPNet, HRNet-W48: published AP 73.7 on val in annotated boxes"),
    KnownModel("vitpose-b-coco", "ViTPose, ViT-B, COCO"),
    KnownModel("vitpose-plus-s", "ViTPose++, ViT-S, six data sets"),
    KnownModel(
        "vitpose-plus-b", "ViTPose++, ViT-B, six data sets: published AP 77.0 on COCO val2017 (detector of AP 56)"
    ),
    KnownModel("vitpose-plus-l", "ViTPose++, ViT-L, six data sets"),
    KnownModel(
        "vitpose-plus-h", "ViTPose++, ViT-H, six data sets: published AP 79.4 on COCO val2017 (detector of AP 56)"
    ),
    KnownModel("posebh-b", "PoseBH, ViT-B, six data sets: published AP 77.3 on COCO val2017 (detector of AP 56)"),
    KnownModel("posebh-h", "PoseBH, ViT-H, six data sets: published AP 79.5 on COCO val2017 (detector of AP 56)"),
    KnownModel("posebh-b-3dpw", "PoseBH, ViT-B, transferred to 3DPW: published AP 83.8 in 2D"),
    KnownModel("posebh-b-interhand", "PoseBH, ViT-B, transferred to InterHand2.6M: published PCK 98.7"),
)

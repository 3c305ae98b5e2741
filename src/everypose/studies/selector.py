"""Poses while the selector moves from one person to the other (MIPNet, Fig. 6), as a figure."""

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.normalization import normalize
from everypose.core.arrays import Float64, Image
from everypose.core.geometry import inverse, transform
from everypose.drawing import contact_sheet, draw_people, encode
from everypose.errors import UsageError
from everypose.inference.top_down import cut_crop
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.scoring import person_scores
from everypose.models.config import ModelConfig
from everypose.people import People
from everypose.studies.box_crops import crop_of, require_visible
from everypose.studies.report import Study

PANEL_HEIGHT = 384
COLUMNS = 6


def soft_selectors(steps: int, instances: int) -> Tensor:
    """Selectors (steps, instances), evenly from (1, 0, ...), the primary person, to (0, 1, 0, ...), the second.

    >>> soft_selectors(3, instances=2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    selectors = torch.zeros(steps, instances)
    selectors[:, 1] = torch.linspace(0, 1, steps)
    selectors[:, 0] = 1 - selectors[:, 1]
    return selectors


def poses_between(network: MIPNet, config: ModelConfig, image: Image, *, box: Float64, selectors: Tensor) -> Float64:
    """Predict the pose of each selector in one box.

    Args:
        network: in evaluation mode.
        config: how its crops are cut and decoded.
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2, image pixels.
        selectors: (S, N), N instances.

    Returns:
        (S, K, 3) x, y in image pixels, confidence.

    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> image, box = np.zeros((96, 96, 3), np.uint8), np.array([10.0, 10, 60, 90])
    >>> poses_between(network, config, image, box=box, selectors=soft_selectors(3, instances=2)).shape
    (3, 17, 3)
    """
    settings = config.on_crops
    assert settings.decoder != "simcc"  # networks that run in torch give heatmaps
    geometry, matrix = crop_of(config, box)
    crop = torch.from_numpy(cut_crop(image, matrix, geometry.size)[None])
    with torch.inference_mode():
        heatmaps = network.heatmaps_for(normalize(crop, bgr=settings.bgr), selectors)[0]
        poses: Float64 = decode(heatmaps.float(), settings.decoder, settings.crop_size).numpy().astype(np.float64)
    poses[..., :2] = transform(poses[..., :2], inverse(matrix))
    return poses


def study_selector(
    network: MIPNet, config: ModelConfig, image: Image, *, box: Float64, steps: int = COLUMNS, name: str = "the image"
) -> Study:
    """Run the study in one box of an image.

    Args:
        network: in evaluation mode.
        config: how its crops are cut and decoded.
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2, image pixels.
        steps: how many selectors.
        name: of the image.

    Raises:
        UsageError: if the network predicts one person only, or the box is outside the image.

    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> image, box = np.zeros((96, 96, 3), np.uint8), np.array([10.0, 10, 60, 90])
    >>> study = study_selector(network, config, image, box=box, steps=3)
    >>> len(study.rows)
    3
    """
    instances = len(network.selectors)
    if instances < 2:
        raise UsageError(f"{config.name} predicts one person in a box: it has no second selector to move to")
    require_visible(box, image)
    selectors = soft_selectors(steps, instances)
    poses = poses_between(network, config, image, box=box, selectors=selectors)
    rows = [
        {
            "selector": [round(float(part), 4) for part in selector],
            "confidence": float(confidence),
            "from the primary": _distance(pose, poses[0]),
            "from the second": _distance(pose, poses[-1]),
        }
        for selector, pose, confidence in zip(selectors, poses, person_scores(poses, np.ones(steps)), strict=True)
    ]
    pixels = "{:.1f} px".format
    return Study(
        name="selector",
        title="Poses while the selector moves from the primary to the second person",
        columns={
            "selector": lambda parts: "(" + ", ".join(f"{part:g}" for part in parts) + ")",
            "confidence": "{:.3f}".format,
            "from the primary": pixels,
            "from the second": pixels,
        },
        rows=rows,
        picture=_strip(
            config, image, box, poses=poses, captions=[f"{float(selector[1]):.2f}" for selector in selectors]
        ),
        suffix=".png",
        facts={"model": config.name, "image": name, "box": ", ".join(f"{side:g}" for side in box)},
        notes=[
            "the selector (1, 0) selects the person whose box it is, (0, 1) the second one",
            "distances are means over the keypoints, in image pixels, from the poses of both ends",
        ],
    )


def _distance(first: Float64, second: Float64) -> float:
    return float(np.linalg.norm(first[:, :2] - second[:, :2], axis=1).mean())


def _strip(config: ModelConfig, image: Image, box: Float64, *, poses: Float64, captions: list[str]) -> bytes:
    """The box's region with each pose drawn over it, side by side, as PNG."""
    geometry, matrix = crop_of(config, box, factor=PANEL_HEIGHT / config.on_crops.crop_size[1])
    region, skeleton = cut_crop(image, matrix, geometry.size), config.skeleton
    panels = []
    for pose in poses:
        placed = np.concatenate([transform(pose[:, :2], matrix), pose[:, 2:]], axis=1)
        panels.append(draw_people(region, People(placed[None], np.ones(1), skeleton)))
    return encode(contact_sheet(panels, captions, columns=COLUMNS, cell=geometry.size), ".png")

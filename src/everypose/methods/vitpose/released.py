"""How the authors of ViTPose and PoseBH run their networks, and the skeletons of released files. No torch is needed."""

import re
from pathlib import PurePath

from everypose.core.geometry import Size
from everypose.methods.top_down.settings import Convention, TopDownInference
from everypose.skeleton.skeleton import Skeleton

UDP = ("coco", "mpii")
"""The data sets whose crops ViTPose and PoseBH cut by the UDP convention; those of all others are classic."""
PADDING = {"interhand2d": 1.5}
"""Paddings other than 1.25: boxes of hands are tight around the keypoints."""
SKELETONS = {
    "coco": "coco",
    "coco_25": "coco_25",
    "wholebody": "coco_wholebody",
    "mpii": "mpii",
    "aic": "aic",
    "ap10k": "ap10k",
    "apt36k": "apt36k",
}
"""The skeletons by the names that files of one data set have: ``vitpose-b-NAME`` of easy_ViTPose, or ``NAME`` as the
authors' tool splits ViTPose++."""
_OF_ONE_SET = re.compile(rf"(?:vitpose-[sblh]-)?({'|'.join(SKELETONS)})")


def crop_inference(skeleton: Skeleton, crop_size: Size) -> TopDownInference:
    """Return how a network of one data set is run.

    >>> crop_inference(Skeleton.named("aic"), Size(192, 256)).decoder
    'quarter'

    Args:
        skeleton: of the data set; one that has no rule of its own is run as most are.
        crop_size: (width, height) of the crops, in pixels.
    """
    convention: Convention = "udp" if skeleton.name in UDP else "classic"
    return TopDownInference(
        crop_size=crop_size,
        padding=PADDING.get(skeleton.name, 1.25),
        convention=convention,
        crop="mpii" if skeleton.name == "mpii" else "box",
        decoder="udp" if convention == "udp" else "quarter",
        nms=None if skeleton.sigmas is None else 0.9,
    )


def skeleton_in_name(file: PurePath, keypoints: int) -> str | None:
    """Return the skeleton that the name of a file states; None if it states none with that number of keypoints.

    >>> skeleton_in_name(PurePath("vitpose-b-ap10k.onnx"), 17), skeleton_in_name(PurePath("crowd.pth"), 14)
    ('ap10k', None)
    """
    named = _OF_ONE_SET.fullmatch(file.stem)
    if named is None:
        return None
    skeleton = Skeleton.named(SKELETONS[named[1]])
    return skeleton.name if len(skeleton) == keypoints else None

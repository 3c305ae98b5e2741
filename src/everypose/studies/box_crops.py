"""The box of one person in an image, as the studies take it: given, or detected; and its crop."""

import numpy as np

from everypose.core.arrays import Float64, Image
from everypose.core.geometry import Size
from everypose.errors import EveryposeError, UsageError
from everypose.inference.boxes import Detector, Photo
from everypose.methods.top_down.crops import CropGeometry
from everypose.models.config import ModelConfig


def best_box(detector: Detector, image: Image, name: str) -> Float64:
    """The box (4,), x1 y1 x2 y2 in image pixels, with the detector's best score.

    Raises:
        EveryposeError: if it finds no person; ``name`` is the image.

    >>> from everypose.inference.boxes import Boxes
    >>> boxes = Boxes(np.array([[0.0, 0, 20, 40], [30, 0, 60, 90]]), np.array([0.4, 0.9]))
    >>> best_box(lambda photo: boxes, np.zeros((96, 96, 3), np.uint8), "a.jpg").tolist()
    [30.0, 0.0, 60.0, 90.0]
    """
    found = detector(Photo(image))
    if not len(found):
        raise EveryposeError(f"no person was detected in {name}: give a --box")
    box: Float64 = found.boxes[found.scores.argmax()]
    return box


def parse_box(text: str) -> Float64:
    """Read a box (4,) from ``x1,y1,x2,y2``.

    Raises:
        UsageError: if it is not four numbers.

    >>> parse_box("1,2,30,40").tolist()
    [1.0, 2.0, 30.0, 40.0]
    """
    try:
        box = np.array([float(number) for number in text.split(",")])
    except ValueError:
        box = np.zeros(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise UsageError(f"--box {text!r} must be four numbers: x1,y1,x2,y2 in pixels of the image")
    return box


def best_boxes(detector: Detector, image: Image, *, most: int) -> Float64:
    """The boxes (N, 4), x1 y1 x2 y2 in image pixels, with the detector's best scores, in descending order.

    Args:
        detector: what finds people.
        image: (H, W, 3) uint8 RGB.
        most: N at most.

    >>> from everypose.inference.boxes import Boxes
    >>> boxes = Boxes(np.array([[0.0, 0, 20, 40], [30, 0, 60, 90]]), np.array([0.4, 0.9]))
    >>> best_boxes(lambda photo: boxes, np.zeros((96, 96, 3), np.uint8), most=2)[:, 0].tolist()
    [30.0, 0.0]
    """
    found = detector(Photo(image))
    boxes: Float64 = found.boxes[np.argsort(-found.scores, kind="stable")[:most]]
    return boxes


def require_visible(box: Float64, image: Image) -> None:
    """Check that a box has an area and overlaps the image.

    Raises:
        UsageError: if not.

    >>> require_visible(np.array([200.0, 10, 250, 90]), np.zeros((100, 100, 3), np.uint8))
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: the box 200, 10, 250, 90 is outside the image of 100 x 100 pixels
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2 and x1 < width and y1 < height and x2 > 0 and y2 > 0):
        raise UsageError(
            f"the box {', '.join(f'{side:g}' for side in box)} is outside the image of {width} x {height} pixels"
        )


def crop_of(config: ModelConfig, box: Float64, *, factor: float = 1.0) -> tuple[CropGeometry, Float64]:
    """Geometry of a box's crop, ``factor`` times as large as the model's, and the matrix from image to crop.

    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = TopDownInference(crop_size=(192, 256))
    >>> config = ModelConfig(
    ...     name="m", network=HRNetPoseSettings(), skeleton=Skeleton.named("coco"), inference=inference
    ... )
    >>> geometry, matrix = crop_of(config, np.array([10.0, 10, 50, 90]))
    >>> geometry.size, matrix.shape
    (Size(width=192, height=256), (2, 3))
    """
    settings = config.on_crops
    width, height = (round(factor * side) for side in settings.crop_size)
    geometry = CropGeometry(Size(width, height), settings.convention, settings.padding, settings.crop)
    centers, sizes = geometry.regions(box)
    return geometry, geometry.matrix(centers[0], sizes[0])

"""Plausible places for pasted people: size, ground line and distance to others."""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import box_iou
from everypose.data.crowds.cutouts import CutOut

SCALE = (0.15, 1.6)  # of a cut-out: smaller ones are useless, larger ones blurred
RELATIVE_SIZE = (0.9, 1.15)  # of the pasted person, in front, to the neighbor
IN_FRONT = 0.08  # largest share of its height by which the pasted person's feet are lower than the neighbor's
CLOSE = (0.35, 0.8)  # range of the target IoU of overlapping people
LEAST_CLOSE = 0.31  # smallest accepted IoU
APART = 0.15  # the greatest IoU with any person otherwise
IN_PHOTO = 0.6  # least share of the pasted person's box
NEIGHBOR_HEIGHT = 48  # pixels; cut-outs are not placed next to smaller people


@dataclass(frozen=True)
class People:
    """People in the photo: boxes (N, 4) x1 y1 x2 y2 cut to the photo, and body sizes (N,), in pixels.

    >>> People(boxes=np.array([[0.0, 0, 40, 100]]), sizes=np.array([30.0])).sizes.tolist()
    [30.0]
    """

    boxes: Float64
    sizes: Float64


@dataclass(frozen=True)
class Place:
    """Where a cut-out goes: scaled by ``scale``, its pixel (0, 0) at column ``x`` and row ``y`` of the photo.

    >>> Place(x=10, y=20, scale=0.8).scale
    0.8
    """

    x: int
    y: int
    scale: float


def heaviest_overlap(boxes: Float64) -> Float64:
    """For each of the boxes (N, 4), the greatest IoU with another one: (N,), zeros where there is no other.

    >>> heaviest_overlap(np.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])).tolist()
    [0.5, 0.5, 0.0]
    """
    overlaps = box_iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    heaviest: Float64 = overlaps.max(axis=1, initial=0)
    return heaviest


def find_place(
    rng: np.random.Generator, people: People, cutout: CutOut, close: bool, height: int, width: int
) -> Place | None:
    """Draw a place for a cut-out, next to a neighbor that is drawn too.

    Args:
        rng: draws the neighbor, the size and the place.
        people: the people in the photo. If none is large enough, the cut-out is placed in the lower half.
        cutout: the person to paste, not scaled yet.
        close: over the neighbor (IoU above 0.31) or apart from all people (below 0.15).
        height: of the photo.
        width: of the photo.

    Returns:
        The place; None where what was drawn does not fit, and another draw may.

    >>> pixels, alpha, keypoints = np.zeros((40, 20, 3), np.uint8), np.ones((40, 20), np.float32), np.zeros((17, 3))
    >>> cutout = CutOut(pixels, alpha, keypoints, np.array([0.0, 0, 20, 40]), 800.0, 12.0, "b.jpg", 7, True)
    >>> alone = People(np.zeros((0, 4)), np.zeros(0))
    >>> place = find_place(np.random.default_rng(0), alone, cutout, close=False, height=96, width=128)
    >>> 0.4 * 96 <= 40 * place.scale <= 0.8 * 96
    True
    """
    heights = people.boxes[:, 3] - people.boxes[:, 1]
    candidates = np.flatnonzero(heights >= NEIGHBOR_HEIGHT)
    if not len(candidates):
        scale = height * rng.uniform(0.4, 0.8) / (cutout.box[3] - cutout.box[1])
        bottom = height * rng.uniform(0.8, 1.0) if cutout.reaches_ground else height
        return _apart(rng, people, cutout, scale=scale, bottom=bottom, height=height, width=width)
    if close:
        alone = candidates[heaviest_overlap(people.boxes)[candidates] <= CLOSE[0]]
        candidates = alone if len(alone) else candidates
    neighbor = int(rng.choice(candidates))
    scale = people.sizes[neighbor] / cutout.size * rng.uniform(*RELATIVE_SIZE)
    bottom = _ground(rng, people.boxes[neighbor], cutout, scale, height)
    if close:
        return _over(rng, people.boxes[neighbor], cutout, scale=scale, bottom=bottom, height=height, width=width)
    return _apart(rng, people, cutout, scale=scale, bottom=bottom, height=height, width=width)


def _ground(rng: np.random.Generator, neighbor: Float64, cutout: CutOut, scale: float, height: int) -> float:
    """The row at which the pasted person's box ends."""
    own_height = scale * float(cutout.box[3] - cutout.box[1])
    if not cutout.reaches_ground:
        return height  # legs that the source photo does not show stay below the border
    if neighbor[3] < height - 2:
        return float(neighbor[3]) + rng.uniform(0, IN_FRONT) * own_height
    # The neighbor's feet are outside the photo, so the heads are brought to about one height.
    return max(float(neighbor[1]) + rng.uniform(-0.05, 0.1) * own_height + own_height, height)


def _over(
    rng: np.random.Generator,
    neighbor: Float64,
    cutout: CutOut,
    *,
    scale: float,
    bottom: float,
    height: int,
    width: int,
) -> Place | None:
    """The place to the left or right of the neighbor whose IoU with it is nearest to a drawn one."""
    wanted, side = rng.uniform(*CLOSE), rng.choice([-1.0, 1.0])
    own_width = scale * float(cutout.box[2] - cutout.box[0])
    furthest = (own_width + neighbor[2] - neighbor[0]) / 2
    centers = (neighbor[0] + neighbor[2]) / 2 + side * np.linspace(0.1, 1, 40) * furthest
    boxes = _boxes(cutout, scale, centers, bottom)
    overlaps = box_iou(_cut(boxes, height, width), neighbor[None])[:, 0]
    best = int(np.abs(overlaps - wanted).argmin())
    if overlaps[best] < LEAST_CLOSE:
        return None
    return _checked(cutout, scale, boxes[best], height, width)


def _apart(
    rng: np.random.Generator, people: People, cutout: CutOut, *, scale: float, bottom: float, height: int, width: int
) -> Place | None:
    """A place anywhere on the same ground, away from all people."""
    boxes = _boxes(cutout, scale, rng.uniform(0, width, 10), bottom)
    overlaps = box_iou(_cut(boxes, height, width), people.boxes).max(axis=1, initial=0)
    if overlaps.min() > APART:
        return None
    return _checked(cutout, scale, boxes[int((overlaps <= APART).argmax())], height, width)


def _boxes(cutout: CutOut, scale: float, centers: Float64, bottom: float) -> Float64:
    """Boxes (N, 4) of the scaled cut-out around the N columns ``centers`` that end at the row ``bottom``."""
    own_width, own_height = scale * (cutout.box[2:] - cutout.box[:2])
    rows = np.full_like(centers, bottom)
    return np.stack([centers - own_width / 2, rows - own_height, centers + own_width / 2, rows], axis=1)


def _cut(boxes: Float64, height: int, width: int) -> Float64:
    return boxes.clip(0, [width, height, width, height])


def _checked(cutout: CutOut, scale: float, box: Float64, height: int, width: int) -> Place | None:
    """The place of a box, if the scale is possible and most of the box lies in the photo."""
    if not SCALE[0] <= scale <= SCALE[1]:
        return None
    seen = _cut(box[None], height, width)[0]
    if (seen[2:] - seen[:2]).prod() < IN_PHOTO * (box[2:] - box[:2]).prod():
        return None
    corner = np.rint(box[:2] - scale * cutout.box[:2]).astype(int)
    return Place(int(corner[0]), int(corner[1]), float(scale))

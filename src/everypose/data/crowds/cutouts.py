"""Cut-outs: people segmented from annotated photos, with soft edges and a quality check."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64, Mask
from everypose.data.crowds.grabcut import body_size, grab_person
from everypose.data.masks import segmentation_mask
from everypose.data.scenes import Scene
from everypose.skeleton.skeleton import Skeleton

LABELED = 0.6  # of the skeleton's keypoints must be labeled: 10 of COCO's 17
VISIBLE = 0.8  # of the labeled keypoints must be visible
MINIMUM_HEIGHT = 64  # pixels of the box; smaller people have no outline worth pasting
FILL = (0.2, 0.95)  # how much of the box the mask fills: a standing person about half
BOX_IOU = 0.75  # between the mask's own box and the labeled box
INSIDE = 0.85  # of the visible keypoints must lie in the mask
ONE_PIECE = 0.9  # of the mask must be its largest component
OTHERS_INSIDE = 0.1  # at most, of the visible keypoints of others in the box may lie in the mask
CROWD = 0.3  # at most, of the box may lie in a region of unlabeled people
AT_BORDER = 0.1  # at most, of the box's width or height may be mask cut off by the photo's left, right or upper border
BAND_PIXELS = 1 << 19  # about which arithmetic is done at once
FEATHER = 0.004  # standard deviation of the soft edge, of the box's longer side; at least 0.7 pixel


@dataclass(frozen=True)
class CutOut:
    """A person without background. All coordinates are pixels of the cut-out.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        alpha: (h, w) float32: 1 inside, 0 outside, soft between.
        keypoints: (K, 3) float64 x, y, COCO visibility; unlabeled ones are zeros.
        box: (4,) float64 x1 y1 x2 y2, the labeled box.
        area: the labeled area in square pixels.
        size: body size in pixels, see :func:`everypose.data.crowds.grabcut.body_size`.
        file_name: the photo it comes from.
        annotation_id: the person in that photo.
        reaches_ground: False where the photo ends, or the labels do, above the feet.

    >>> pixels, alpha, keypoints = np.zeros((40, 20, 3), np.uint8), np.ones((40, 20), np.float32), np.zeros((17, 3))
    >>> cutout = CutOut(pixels, alpha, keypoints, np.array([0.0, 0, 20, 40]), 800.0, 12.0, "b.jpg", 7, True)
    >>> half = cutout.resized(0.5)
    >>> half.alpha.shape, half.box.tolist(), half.size
    ((20, 10), [-0.25, -0.25, 9.75, 19.75], 6.0)
    """

    pixels: npt.NDArray[np.uint8]
    alpha: Float32
    keypoints: Float64
    box: Float64
    area: float
    size: float
    file_name: str
    annotation_id: int
    reaches_ground: bool

    def flipped(self, skeleton: Skeleton) -> "CutOut":
        """The mirror image, left and right keypoints exchanged."""
        last = self.pixels.shape[1] - 1
        keypoints = self.keypoints[skeleton.flip_index]
        labeled = keypoints[:, 2] > 0
        keypoints[labeled, 0] = last - keypoints[labeled, 0]
        box = np.array([last - self.box[2], self.box[1], last - self.box[0], self.box[3]])
        pixels, alpha = np.ascontiguousarray(self.pixels[:, ::-1]), np.ascontiguousarray(self.alpha[:, ::-1])
        return replace(self, pixels=pixels, alpha=alpha, keypoints=keypoints, box=box)

    def resized(self, scale: float) -> "CutOut":
        """The cut-out ``scale`` times as large (at least one pixel)."""
        height, width = self.alpha.shape
        new = max(1, round(width * scale)), max(1, round(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        factors = np.array([new[0] / width, new[1] / height])
        keypoints = self.keypoints.copy()
        labeled = keypoints[:, 2] > 0
        # Pixel centers are at integers, so the image begins at -0.5.
        keypoints[labeled, :2] = (keypoints[labeled, :2] + 0.5) * factors - 0.5
        return replace(
            self,
            pixels=np.asarray(cv2.resize(self.pixels, new, interpolation=method), dtype=np.uint8),
            alpha=np.asarray(cv2.resize(self.alpha, new, interpolation=method), dtype=np.float32).clip(0, 1),
            keypoints=keypoints,
            box=(self.box + 0.5) * np.tile(factors, 2) - 0.5,
            area=self.area * float(factors.prod()),
            size=self.size * scale,
        )


def may_be_cut_out(scene: Scene, person: int, skeleton: Skeleton) -> bool:
    """Whether the labels suffice for a cut-out: enough visible keypoints, large enough, outside crowd regions.

    >>> from pathlib import Path
    >>> boxes, keypoints = np.array([[10.0, 10, 50, 110], [60, 10, 70, 40]]), np.full((2, 17, 3), 2.0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 128, 128, np.arange(2), keypoints, boxes, np.ones(2),
    ...     np.zeros(2, bool), [None] * 2,
    ... )
    >>> [may_be_cut_out(scene, person, Skeleton.named("coco")) for person in (0, 1)]  # the second is too small
    [True, False]
    """
    visibility, box = scene.keypoints[person, :, 2], scene.boxes[person]
    labeled = int((visibility > 0).sum())
    if scene.is_crowd[person] or labeled < LABELED * len(skeleton) - 0.5:
        return False
    if (visibility > 1).sum() < VISIBLE * labeled or box[3] - box[1] < MINIMUM_HEIGHT or box[2] - box[0] < 8:
        return False
    crowds = scene.boxes[scene.is_crowd]
    shared = np.minimum(crowds[:, 2:], box[2:]) - np.maximum(crowds[:, :2], box[:2])
    return bool((shared.clip(0).prod(axis=1) <= CROWD * (box[2:] - box[:2]).prod()).all())


def cut_out(image: npt.NDArray[np.uint8], scene: Scene, person: int, skeleton: Skeleton) -> CutOut | None:
    """Cut a person out of a photo by the segmentation label, or where there is none, by GrabCut.

    Args:
        image: (H, W, 3) uint8 RGB.
        scene: its annotations.
        person: index of the annotation.
        skeleton: of the scene.

    Returns:
        The cut-out; None where the labels or the mask are not good enough.

    Raises:
        EveryposeError: if the segmentation label cannot be read.

    >>> from pathlib import Path
    >>> boxes, keypoints = np.array([[10.0, 10, 50, 110]]), np.full((1, 17, 3), (30.0, 60.0, 2.0))
    >>> outline = [[30.0, 10, 50, 60, 30, 110, 10, 60]]
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 128, 128, np.array([7]), keypoints, boxes, np.array([4000.0]), np.array([False]),
    ...     [outline],
    ... )
    >>> cutout = cut_out(np.zeros((128, 128, 3), np.uint8), scene, 0, Skeleton.named("coco"))
    >>> cutout.pixels.shape, cutout.annotation_id
    ((98, 40, 3), 7)
    """
    if not may_be_cut_out(scene, person, skeleton):
        return None
    segmentation = scene.segmentations[person]
    if segmentation is None:
        mask = grab_person(image, scene, person, skeleton)
    else:
        mask = segmentation_mask(segmentation, *image.shape[:2])
    whole = largest_component(mask)
    if whole.sum() < ONE_PIECE * max(1, mask.sum()) or not _is_clean(whole, scene, person):
        return None
    return _lift(image, whole, scene, person, skeleton)


def largest_component(mask: Mask) -> Mask:
    """The largest connected part of a mask (H, W) bool; an empty mask stays empty.

    >>> mask = np.array([[1, 1, 0, 1]], bool)
    >>> largest_component(mask).astype(int).tolist()
    [[1, 1, 0, 0]]
    """
    rows, columns = occupied(mask)
    part = mask[rows, columns]
    if not part.size:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(part.view(np.uint8), connectivity=4)
    largest = np.zeros(mask.shape, np.bool_)
    largest[rows, columns] = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return largest


def occupied(mask: Mask) -> tuple[slice, slice]:
    """The rows and the columns of a mask (H, W) bool from the first to the last that have a pixel.

    >>> mask = np.zeros((4, 6), bool)
    >>> mask[1:3, 2] = True
    >>> occupied(mask)
    (slice(1, 3, None), slice(2, 3, None))
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _is_clean(mask: Mask, scene: Scene, person: int) -> bool:
    """Whether a mask (H, W) bool fits the person, by the thresholds at the top of this module."""
    rows, columns = occupied(mask)
    if rows.stop == 0:
        return False
    height, width = mask.shape
    limits = np.array([width, height, width, height], dtype=np.float64)
    box = scene.boxes[person].clip(0, limits)
    span = (box[2:] - box[:2]).clip(1)
    own = np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=np.float64)
    shared = (np.minimum(own[2:], box[2:]) - np.maximum(own[:2], box[:2])).clip(0).prod()
    if shared < BOX_IOU * (span.prod() + (own[2:] - own[:2]).prod() - shared):
        return False
    if not FILL[0] <= mask.sum() / span.prod() <= FILL[1]:
        return False
    if mask[0].sum() > AT_BORDER * span[0] or max(mask[:, 0].sum(), mask[:, -1].sum()) > AT_BORDER * span[1]:
        return False
    others = np.delete(scene.keypoints, person, axis=0).reshape(-1, 3)
    in_box = ((others[:, :2] >= box[:2]) & (others[:, :2] <= box[2:])).all(axis=1)
    strangers = _covered(mask, others[in_box])
    if strangers.sum() > OTHERS_INSIDE * max(1, len(strangers)):
        return False
    reach = max(1, round(0.02 * float(span.max())))
    own_covered = _covered(mask, scene.keypoints[person], reach)
    return bool(len(own_covered) and own_covered.mean() >= INSIDE)


def _covered(mask: Mask, keypoints: Float64, reach: int = 0) -> Mask:
    """For each visible keypoint in the image, whether the mask has a pixel at most ``reach`` columns and rows away."""
    points = np.rint(keypoints[keypoints[:, 2] > 1, :2]).astype(int)
    points = points[((points >= 0) & (points < mask.shape[::-1])).all(axis=1)]
    first, stop = (points - reach).clip(0), points + reach + 1
    near = (mask[y1:y2, x1:x2] for (x1, y1), (x2, y2) in zip(first.tolist(), stop.tolist(), strict=True))
    return np.array([part.any() for part in near], np.bool_)


def _lift(image: npt.NDArray[np.uint8], mask: Mask, scene: Scene, person: int, skeleton: Skeleton) -> CutOut:
    """Cut out the pixels under the mask, its edge feathered inwards so that no background is included."""
    box = scene.boxes[person]
    deviation = max(0.7, FEATHER * float((box[2:] - box[:2]).max()))
    rows, columns = occupied(mask)
    y1, x1 = rows.start, columns.start
    keypoints = scene.keypoints[person].copy()
    labeled = keypoints[:, 2] > 0
    keypoints[~labeled] = 0
    keypoints[labeled, :2] -= (x1, y1)
    feet = [joint for joint, name in enumerate(skeleton.keypoints) if name in ("left_ankle", "right_ankle")]
    return CutOut(
        pixels=image[rows, columns].copy(),
        alpha=_soft_edged(mask, rows, columns, deviation),
        keypoints=keypoints,
        box=box - np.array([x1, y1, x1, y1]),
        area=float(scene.areas[person]),
        size=body_size(keypoints, box, skeleton),
        file_name=scene.file_name,
        annotation_id=int(scene.annotation_ids[person]),
        reaches_ground=bool(rows.stop < len(mask) and (not feet or labeled[feet].any())),
    )


def _soft_edged(mask: Mask, rows: slice, columns: slice, deviation: float) -> Float32:
    """A part of a mask (H, W) bool as alpha, its edge blurred inwards; in bands, so that little memory is needed."""
    reach = math.ceil(4 * deviation) + 2  # OpenCV's Gaussian kernel ends before this
    alpha = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for band in row_bands(len(alpha), mask.shape[1]):
        top, bottom = rows.start + band.start, rows.start + band.stop
        first = max(0, top - reach)
        # Whole rows: a filter rounds the pixels next to the right border in another way than those before.
        around = mask[first : bottom + reach].view(np.uint8)
        inner = cv2.erode(around, np.ones((3, 3), np.uint8), borderValue=1).astype(np.float32)
        blurred = cv2.GaussianBlur(inner, (0, 0), deviation)[top - first : bottom - first, columns]
        # From the middle of the blurred edge outwards there is nothing, inwards it grows to exactly one.
        (1.6 * blurred - 0.3).clip(0, 1, out=alpha[band])
    return alpha


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image in bands of at most ``BAND_PIXELS``, so that what is computed of them stays small.

    >>> [band.stop for band in row_bands(300, 4096)]
    [128, 256, 300]
    """
    step = max(1, BAND_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))

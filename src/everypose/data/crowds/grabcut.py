"""A person's mask without a segmentation label: GrabCut, seeded from the box and the skeleton.

GrabCut: Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph cuts", 2004. In
place of a user's strokes, the labeled skeleton marks what is surely the person, the surroundings of the box and the
skeletons of other people what surely is not.
"""

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64, Mask
from everypose.data.scenes import Scene
from everypose.skeleton.skeleton import Skeleton

WORKING_SIZE = 160  # pixels of the longer side at which GrabCut works: its time grows with the area
MARGIN = 0.15  # of the box, around it: what is surely background must be seen
ITERATIONS = 4
# Thicknesses as shares of the body size (about the length of the torso).
SURE_LIMB, LIKELY_LIMB, OTHER_LIMB = 0.14, 0.5, 0.12
SURE_HEAD, LIKELY_HEAD = 0.16, 0.36
REACH = 0.4  # farther than this from the likely limbs, nothing belongs to the person
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head", "head_top", "top_head")
TORSO = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")


def body_size(keypoints: Float64, box: Float64, skeleton: Skeleton) -> float:
    """A length in pixels that grows with the person and hardly with the pose: about that of the torso.

    The longest of shoulders-to-hips and 1.3 times the shoulders' width; where the hips are not labeled, of the
    latter and 0.3 times the height of the box; the height alone where the shoulders are not either.

    Args:
        keypoints: (K, 3) x, y, visibility.
        box: (4,) x1 y1 x2 y2.
        skeleton: of K keypoints.

    >>> skeleton = Skeleton.named("coco")
    >>> keypoints = np.zeros((17, 3))
    >>> keypoints[[5, 6, 11, 12]] = [[40, 10, 2], [20, 10, 2], [40, 60, 2], [20, 60, 2]]
    >>> body_size(keypoints, np.array([0.0, 0, 60, 120]), skeleton)  # from the shoulders to the hips
    50.0
    """
    shoulders, hips = (
        keypoints[[joint for joint in _joints(skeleton, pair) if keypoints[joint, 2] > 0], :2]
        for pair in (TORSO[:2], TORSO[2:])
    )
    width = 1.3 * float(np.linalg.norm(shoulders[0] - shoulders[1])) if len(shoulders) == 2 else 0.0
    if len(shoulders) == len(hips) == 2:
        length = float(np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0)))
    else:
        length = 0.3 * float(box[3] - box[1])
    return max(width, length, 1.0)


def grab_person(image: npt.NDArray[np.uint8], scene: Scene, person: int, skeleton: Skeleton) -> Mask:
    """The person's pixels as GrabCut finds them.

    Args:
        image: (H, W, 3) uint8 RGB.
        scene: its annotations.
        person: index of the annotation.
        skeleton: of the scene.

    Returns:
        (H, W) bool; empty where GrabCut finds nothing.

    >>> from pathlib import Path
    >>> rng, skeleton = np.random.default_rng(0), Skeleton.named("coco")
    >>> image = rng.integers(0, 60, (96, 96, 3), np.uint8)
    >>> image[16:80, 36:60] += 150  # a bright person on a dark ground
    >>> keypoints = np.zeros((1, 17, 3))
    >>> keypoints[0, :, :2] = rng.uniform([40, 20], [56, 76], (17, 2))
    >>> keypoints[..., 2] = 2
    >>> scene = Scene(
    ...     1, Path("a.png"), "a.png", 96, 96, np.array([7]), keypoints, np.array([[36.0, 16, 60, 80]]),
    ...     np.array([1536.0]), np.array([False]), [None],
    ... )
    >>> mask = grab_person(image, scene, 0, skeleton)
    >>> mask.shape, mask.dtype
    ((96, 96), dtype('bool'))
    """
    x1, y1, x2, y2 = _crop(scene.boxes[person], image.shape[1], image.shape[0])
    crop = image[y1:y2, x1:x2]
    shrink = min(1.0, WORKING_SIZE / max(crop.shape[:2]))
    size = (max(1, round(crop.shape[1] * shrink)), max(1, round(crop.shape[0] * shrink)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    labels = _seeds(scene, person, skeleton, np.array([x1, y1]), shrink, size)
    sure = np.isin(labels, (cv2.GC_BGD, cv2.GC_FGD))
    mask = np.zeros(image.shape[:2], bool)
    if not (labels == cv2.GC_FGD).any() or not (labels == cv2.GC_BGD).any() or sure.all():
        return mask
    cv2.setRNGSeed(0)  # GrabCut starts from k-means, which draws
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    # The blur makes a smooth outline of the small mask's stairs.
    smooth = cv2.GaussianBlur(found, (0, 0), 0.8)
    mask[y1:y2, x1:x2] = cv2.resize(smooth, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC) > 0.5
    return mask


def _crop(box: Float64, width: int, height: int) -> tuple[int, int, int, int]:
    """The box with its margin, cut to the image, whole pixels; at least one pixel."""
    margin = MARGIN * (box[2:] - box[:2])
    x1, y1 = np.floor(np.clip(box[:2] - margin, 0, [width - 1, height - 1])).astype(int)
    x2, y2 = np.ceil(np.clip(box[2:] + margin, [x1 + 1, y1 + 1], [width, height])).astype(int)
    return int(x1), int(y1), int(x2), int(y2)


def _seeds(
    scene: Scene, person: int, skeleton: Skeleton, origin: Int64, shrink: float, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """GrabCut's starting labels (h, w) uint8 for the crop at ``origin``, reduced by ``shrink`` to ``size`` (w, h)."""
    keypoints = scene.keypoints.copy()
    keypoints[..., :2] = (keypoints[..., :2] - origin) * shrink
    box = (scene.boxes[person].reshape(2, 2) - origin) * shrink
    own = keypoints[person]
    unit = body_size(own, box.reshape(4), skeleton)
    near, surely = np.zeros(size[::-1], np.uint8), np.zeros(size[::-1], np.uint8)
    _draw(near, own, own[:, 2] > 0, skeleton, LIKELY_LIMB * unit, LIKELY_HEAD * unit)
    _draw(surely, own, own[:, 2] > 1, skeleton, SURE_LIMB * unit, SURE_HEAD * unit)
    distance = cv2.distanceTransform(1 - np.maximum(near, surely), cv2.DIST_L2, 3)

    labels = np.full(size[::-1], cv2.GC_PR_BGD, np.uint8)
    labels[near > 0] = cv2.GC_PR_FGD
    labels[distance > REACH * unit] = cv2.GC_BGD
    inside = np.zeros(size[::-1], np.uint8)
    (left, top), (right, bottom) = np.floor(box[0] - 1).astype(int), np.ceil(box[1] + 1).astype(int)
    cv2.rectangle(inside, (int(left), int(top)), (int(right), int(bottom)), 1, cv2.FILLED)
    labels[inside == 0] = cv2.GC_BGD
    others = np.zeros(size[::-1], np.uint8)
    for other in np.flatnonzero((keypoints[..., 2] > 1).any(axis=1) & ~scene.is_crowd):
        if other != person:
            width = OTHER_LIMB * body_size(keypoints[other], scene.boxes[other] * shrink, skeleton)
            _draw(others, keypoints[other], keypoints[other, :, 2] > 1, skeleton, width, width)
    labels[others > 0] = cv2.GC_BGD
    labels[surely > 0] = cv2.GC_FGD
    return labels


def _draw(
    canvas: npt.NDArray[np.uint8],
    keypoints: Float64,
    chosen: Mask,
    skeleton: Skeleton,
    thickness: float,
    head_radius: float,
) -> None:
    """Draw the limbs, the torso and the head between the ``chosen`` keypoints as ones."""
    points = np.clip(np.rint(keypoints[:, :2]), -10_000, 10_000).astype(int)
    width = max(1, round(thickness))
    for point in points[chosen]:
        cv2.circle(canvas, point.tolist(), width // 2, 1, cv2.FILLED)
    for start, end in skeleton.links:
        if chosen[start] and chosen[end]:
            cv2.line(canvas, points[start].tolist(), points[end].tolist(), 1, width)
    torso = _joints(skeleton, TORSO)
    if len(torso) == 4 and chosen[torso].all():
        cv2.fillConvexPoly(canvas, cv2.convexHull(points[torso].astype(np.int32)), 1)
    head = [joint for joint in _joints(skeleton, HEAD) if chosen[joint]]
    if head:
        center = np.rint(points[head].mean(axis=0)).astype(int)
        cv2.circle(canvas, center.tolist(), max(1, round(head_radius)), 1, cv2.FILLED)


def _joints(skeleton: Skeleton, names: tuple[str, ...]) -> list[int]:
    """Indices of those of the names that the skeleton has."""
    return [skeleton.keypoints.index(name) for name in names if name in skeleton.keypoints]

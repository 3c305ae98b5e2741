"""A map of PoseBH's prototypes: every prototype as a point in the embedding space that all skeletons share."""

import colorsys
from collections.abc import Collection, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Image
from everypose.drawing import HUES
from everypose.errors import UsageError
from everypose.skeleton.matching import SYNONYMS, split_side
from everypose.skeleton.skeleton import Skeleton

Color = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

SIDE, MARGIN, LEGEND = 1200, 60, 460
ROW, RADIUS = 34, 9
INK, GRAY, PAPER = (40, 40, 48), (190, 190, 196), (255, 255, 255)
LIGHTNESS = {"left": 0.68, "": 0.5, "right": 0.34}
FONT = cv2.FONT_HERSHEY_SIMPLEX


class Joint(NamedTuple):
    """What a keypoint means in any skeleton.

    Attributes:
        side: "left", "right" or "".
        part: part of the body.

    >>> Joint(side="left", part="wrist").part
    'wrist'
    """

    side: str
    part: str


# Polygons, as (corners, rotation in degrees); the first approximates a circle.
MARKERS = ((24, 0), (4, 45), (3, -90), (4, 0), (3, 90), (5, -90), (6, 0), (3, 0))


def prototype_picture(prototypes: npt.ArrayLike, skeletons: Mapping[str, Skeleton]) -> Image:
    """Draw all prototypes in the plane of their two principal components.

    Hue is the part of the body (the same for all data sets), lightness the side, and the marker's shape the data set.
    The parts that most data sets share have a color, the others are gray.

    Args:
        prototypes: (J, M, D) unit vectors, M for each of the J keypoints of all data sets, concatenated.
        skeletons: data set name to skeleton, in the same order.

    Returns:
        (H, W, 3) uint8 RGB, with a legend.

    Raises:
        UsageError: if prototypes and skeletons have different numbers of keypoints, or there are more data sets than
            markers.

    >>> skeleton = Skeleton.named("coco")
    >>> prototypes = np.random.default_rng(0).normal(size=(17, 3, 8))
    >>> prototype_picture(prototypes / np.linalg.norm(prototypes, axis=2, keepdims=True), {"coco": skeleton}).shape
    (1200, 1660, 3)
    """
    bank = np.asarray(prototypes, dtype=np.float64)
    keypoints = [(number, name) for number, own in enumerate(skeletons.values()) for name in own.keypoints]
    if len(keypoints) != len(bank):
        raise UsageError(f"there are prototypes of {len(bank)} keypoints, but the skeletons have {len(keypoints)}")
    if len(skeletons) > len(MARKERS):
        raise UsageError(f"a map of prototypes shows {len(MARKERS)} data sets at most, not {len(skeletons)}")
    parts = shared_parts(skeletons)
    canvas = np.full((SIDE, SIDE + LEGEND, 3), PAPER, dtype=np.uint8)
    points, shares = plane_of(bank.reshape(-1, bank.shape[2]))
    low, high = points.min(axis=0), points.max(axis=0)
    pixels = MARGIN + (points - low) / max((high - low).max(), 1e-9) * (SIDE - 2 * MARGIN)
    for row, point in enumerate(pixels):
        dataset, name = keypoints[row // bank.shape[1]]
        _draw_marker(canvas, point, dataset, color_of(joint_of(name), parts))
    joints = {joint_of(name) for _, name in keypoints}
    _draw_legend(canvas, list(skeletons), parts, joints, shares)
    return canvas


def plane_of(vectors: Float64) -> tuple[Float64, Float64]:
    """Principal components of unit vectors up to sign.

    The similarity of an embedding with a prototype is the absolute cosine. The components are therefore those of the
    projections p p^T, whose distances depend on the absolute cosine alone.

    Args:
        vectors: (N, D) unit vectors.

    Returns:
        Coordinates (N, 2), and each axis's share of the variance (2,).

    >>> points, shares = plane_of(np.eye(3))
    >>> points.shape, shares.shape
    ((3, 2), (2,))
    """
    # Scalar products of projections are squared cosines, so the D x D matrices are not needed.
    products = (vectors @ vectors.T) ** 2
    centered = products - products.mean(axis=0) - products.mean(axis=1, keepdims=True) + products.mean()
    values, axes = np.linalg.eigh(centered)
    largest = values[[-1, -2]].clip(min=0)
    return axes[:, [-1, -2]] * np.sqrt(largest), largest / max(values.clip(min=0).sum(), 1e-12)


def joint_of(name: str) -> Joint:
    """The joint that a keypoint name means.

    >>> joint_of("left_wrist")
    Joint(side='left', part='wrist')
    """
    side, part = split_side(name)
    return Joint(side, SYNONYMS.get(part, part))


def shared_parts(skeletons: Mapping[str, Skeleton]) -> list[str]:
    """The parts of the body with a distinct color: those in the most data sets, in the order of the skeletons.

    >>> shared_parts({"coco": Skeleton.named("coco"), "mpii": Skeleton.named("mpii")})[:2]
    ['shoulder', 'elbow']
    """
    sets_of: dict[str, set[str]] = {}
    for dataset, skeleton in skeletons.items():
        for name in skeleton.keypoints:
            sets_of.setdefault(joint_of(name).part, set()).add(dataset)
    return sorted(sets_of, key=lambda part: -len(sets_of[part]))[: len(HUES)]


def color_of(joint: Joint, parts: list[str]) -> Color:
    """The color of a joint: a hue for each of ``parts``, gray for others.

    >>> color_of(Joint("left", "wrist"), ["nose"]) == GRAY
    True
    """
    if joint.part not in parts:
        return GRAY
    red, green, blue = colorsys.hls_to_rgb(HUES[parts.index(joint.part)], LIGHTNESS[joint.side], 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_marker(canvas: Image, point: npt.ArrayLike, dataset: int, color: Color) -> None:
    corners, start = MARKERS[dataset]
    angles = np.radians(start + 360 / corners * np.arange(corners))
    shape = np.asarray(point) + RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    fixed = np.rint(shape * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], color, cv2.LINE_AA, shift=4)
    cv2.polylines(canvas, [fixed], True, INK, 1, cv2.LINE_AA, shift=4)


def _draw_legend(
    canvas: Image, datasets: list[str], parts: list[str], joints: Collection[Joint], shares: Float64
) -> None:
    x, y = SIDE + 10, MARGIN

    def write(text: str, offset: int, scale: float = 0.6) -> None:
        cv2.putText(canvas, text, (x + offset, y + 6), FONT, scale, INK, 1, cv2.LINE_AA)

    write("data set", 0)
    for number, name in enumerate(datasets):
        y += ROW
        _draw_marker(canvas, (x + 14, y), number, PAPER)
        write(name, 46)
    y += 2 * ROW
    write("left    right  keypoint", 0)
    for part in parts:
        y += ROW
        for side, offset in (("left", 14), ("", 37), ("right", 60)):
            if Joint(side, part) in joints:
                _draw_marker(canvas, (x + offset, y), 0, color_of(Joint(side, part), parts))
        write(part.replace("_", " "), 100)
    y += ROW
    _draw_marker(canvas, (x + 14, y), 0, GRAY)
    write("others", 100)
    y = SIDE - MARGIN
    write(f"axes: {100 * shares[0]:.0f} % and {100 * shares[1]:.0f} % of the variance", 0, 0.55)

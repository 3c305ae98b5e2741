"""Skeletons on images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from everypose.core.arrays import Float64, Image, Mask
from everypose.drawing.colors import person_color, tint
from everypose.drawing.faces import blur_faces_in_place
from everypose.drawing.labels import draw_labels
from everypose.drawing.style import DrawingStyle
from everypose.drawing.trails import Trails
from everypose.errors import UsageError
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.people import People, Person

OUTLINE = (24, 24, 32)
OPACITY = 0.92
# cv2 takes coordinates as integers with this many bits behind the point.
FRACTION_BITS = 4
# Small pictures are drawn on up to this many pixels, so that thin lines come out smooth.
FINE_SIDE = 2400
# A layer of a larger image has at most this many pixels.
BAND_PIXELS = 1_000_000
USUAL = DrawingStyle()


def draw_people(
    image: Image,
    people: "People",
    style: DrawingStyle = USUAL,
    *,
    trails: Trails | None = None,
    time: float = 0.0,
    in_place: bool = False,
) -> Image:
    """Return a copy of an image with everyone's skeleton on it.

    Each person has a color, in a video by their identity; left limbs are lighter and right limbs darker. Large people
    are drawn first, so that they do not hide small ones, and a dark outline keeps crossing limbs apart.

    >>> from everypose.people import People
    >>> image = np.zeros((64, 48, 3), np.uint8)
    >>> draw_people(image, People.empty(Skeleton.named("coco"))).shape
    (64, 48, 3)

    Args:
        image: (H, W, 3) uint8 RGB.
        people: the people to draw.
        style: how they are drawn.
        trails: the ways of tracked people, which are drawn below them.
        time: of the frame, in seconds, for the trails.
        in_place: draw into ``image`` itself, which saves the memory of a copy.

    Raises:
        UsageError: if ``image`` is not (H, W, 3) uint8, or faces are to be blurred and the skeleton has no head.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UsageError(f"an image to draw on is (height, width, 3) uint8, not {image.shape} {image.dtype}")
    drawn = image if in_place else image.copy()
    if style.blur_faces:
        blur_faces_in_place(drawn, people)
    shown = people[people.scores >= style.min_score] if style.min_score > 0 else people
    if trails is not None:
        trails.draw(drawn, time)
    if style.boxes:
        _draw_boxes(drawn, shown, style)
    if style.skeleton != "none":
        _draw_skeletons(drawn, shown, style)
    if style.labels:
        draw_labels(drawn, shown, style)
    return drawn


def _draw_skeletons(drawn: Image, people: "People", style: DrawingStyle) -> None:
    """Draw the limbs and keypoints of all people into an image."""
    side = max(drawn.shape[:2])
    finer = style.supersampling or min(4, max(1, FINE_SIDE // max(1, side)))
    visible = [_visible(person, style.keypoint_share) for person in people]
    sizes = [finer * _size(person, shown) for person, shown in zip(people, visible, strict=True)]
    widths = [_width(size, finer * side, finer, style) for size in sizes]
    rows, columns = _region(people, visible, max(widths, default=0.0) / finer, drawn.shape)
    order = np.argsort(-np.array(sizes), kind="stable").tolist()
    # A finer layer is drawn at once; a large image in bands, so that the layer and its blend stay small.
    height = rows.stop - rows.start if finer > 1 else max(1, BAND_PIXELS // max(1, columns.stop - columns.start))
    for top in range(rows.start, rows.stop, max(1, height)):
        part = drawn[top : min(top + height, rows.stop), columns]
        if part.size == 0:
            return
        # Whole pixels are repeated, so that averaging them back leaves the photo as it was.
        layer = part.copy()
        if finer > 1:
            layer = np.asarray(cv2.resize(part, None, fx=finer, fy=finer, interpolation=cv2.INTER_NEAREST), np.uint8)
        for index in order:
            from_corner = people.keypoints[index, :, :2].astype(np.float64) - (columns.start, top)
            points = (from_corner + 0.5) * finer - 0.5
            number = index if people.ids is None else int(people.ids[index])
            _draw_person(
                layer,
                points,
                visible[index],
                skeleton=people.skeleton,
                width=widths[index],
                number=number,
                style=style,
            )
        smooth = cv2.resize(layer, part.shape[1::-1], interpolation=cv2.INTER_AREA) if finer > 1 else layer
        cv2.addWeighted(smooth, OPACITY, part, 1 - OPACITY, 0, dst=part)


def _draw_boxes(drawn: Image, people: "People", style: DrawingStyle) -> None:
    """Draw the boxes of all people into an image."""
    width = round(style.line_width) if style.line_width else max(1, round(0.0025 * max(drawn.shape[:2])))
    corners = np.rint(people.boxes * 2**FRACTION_BITS).clip(-(2**28), 2**28).astype(int).tolist()
    for index, (x1, y1, x2, y2) in enumerate(corners):
        color = person_color(index if people.ids is None else int(people.ids[index]), style.palette)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), color, max(1, width), cv2.LINE_AA, FRACTION_BITS)


def _visible(person: "Person", share: float) -> Mask:
    """Return (K,) which keypoints are drawn: scores of models differ too much for one fixed threshold."""
    scores = person.keypoints[:, 2]
    return np.asarray(scores > share * max(float(scores.max(initial=0)), 0.0))


def _size(person: "Person", visible: Mask) -> float:
    """Return the longer side of the box around the visible keypoints."""
    points = person.keypoints[visible, :2]
    return float(np.ptp(points, axis=0).max()) if len(points) else 0.0


def _region(people: "People", visible: Sequence[Mask], width: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of the image that contain all people, drawn with limbs of at most this width."""
    points = people.keypoints[np.array(visible, dtype=np.bool_).reshape(people.keypoints.shape[:2]), :2]
    if not len(points):
        return slice(0, 0), slice(0, 0)
    # A keypoint's disc with its rim reaches as far as the limb is wide; what is smoothed reaches a little further.
    reach = 2 * width + 2
    size = shape[1::-1]
    left, top = np.floor(points.min(axis=0) - reach).clip(0, size).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0) + reach + 1).clip(0, size).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _draw_person(
    layer: Image,
    points: Float64,
    visible: Mask,
    *,
    skeleton: Skeleton,
    width: float,
    number: int,
    style: DrawingStyle,
) -> None:
    """Draw one person's visible limbs and keypoints into ``layer``.

    Args:
        layer: (H, W, 3) uint8 RGB, changed in place.
        points: (K, 2) x, y in pixels of the layer.
        visible: (K,) which keypoints are drawn.
        skeleton: links and sides.
        width: of a limb, in pixels of the layer.
        number: of the person, for the color.
        style: how the skeleton is drawn.
    """
    # The bound only keeps absurd coordinates within the integers that OpenCV takes.
    places = np.rint(points * 2**FRACTION_BITS).clip(-(2**28), 2**28).astype(int).tolist()
    relative = _relative_sizes(skeleton.sigmas, len(skeleton))
    widths = width * relative
    outline = max(1, round(0.3 * width)) if style.skeleton == "limbs" else 0
    sides = skeleton.sides
    shades = {side: person_color(number, style.palette, side) for side in ("", "left", "right")}

    links = () if style.skeleton == "points" else skeleton.links
    limbs = [(start, end) for start, end in links if visible[start] and visible[end]]
    thickness = [max(1, round((widths[start] + widths[end]) / 2)) for start, end in limbs]
    if outline:
        for (start, end), thick in zip(limbs, thickness, strict=True):
            cv2.line(layer, places[start], places[end], OUTLINE, thick + 2 * outline, cv2.LINE_AA, FRACTION_BITS)
    for (start, end), thick in zip(limbs, thickness, strict=True):
        shade = shades[_link_side(sides[start], sides[end])]
        cv2.line(layer, places[start], places[end], shade, thick, cv2.LINE_AA, FRACTION_BITS)
    for index in np.flatnonzero(visible).tolist():
        radius = round(max(1.0, 0.8 * widths[index]) * 2**FRACTION_BITS)
        if outline:
            rim = radius + outline * 2**FRACTION_BITS * 3 // 4
            cv2.circle(layer, places[index], rim, OUTLINE, -1, cv2.LINE_AA, FRACTION_BITS)
        shade = shades[sides[index]]
        inner = tint(shade) if style.skeleton == "limbs" else shade
        cv2.circle(layer, places[index], radius, inner, -1, cv2.LINE_AA, FRACTION_BITS)


def _width(size: float, side: float, finer: int, style: DrawingStyle) -> float:
    """Return a limb's width in pixels: a share of the person's size, within what looks right in the image.

    Args:
        size: of the person, pixels.
        side: the longer side of the image, pixels.
        finer: pixels of the layer for each pixel of the image.
        style: may give the width.
    """
    if style.line_width is not None:
        return style.line_width * finer
    width = float(np.clip(size * 0.026, side * 0.003, side * 0.01))
    return width / 2 if style.skeleton == "lines" else width


def _relative_sizes(sigmas: tuple[float, ...] | None, count: int) -> Float64:
    """Return (K,) how large keypoints are drawn: those that are labeled precisely (eyes, fingers) smaller than hips."""
    if sigmas is None:
        return np.ones(count)
    relative: Float64 = np.sqrt(np.array(sigmas) / max(sigmas)).clip(0.35, 1.0)
    return relative


def _link_side(start: str, end: str) -> str:
    """Return the side of a limb: that of one of its ends if the other is not on the opposite side."""
    sides = {start, end} - {""}
    return sides.pop() if len(sides) == 1 else ""

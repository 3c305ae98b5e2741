"""Pictures of people: skeletons over photos, and sheets of many photos."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.files import write_bytes
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.people import People, Person

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# Hues in an order that keeps neighbours in the list far apart; they stand out from skin, sky, grass and tarmac.
HUES = (0.55, 0.09, 0.88, 0.33, 0.75, 0.15, 0.48, 0.97, 0.63, 0.24, 0.82, 0.04)
GOLDEN_RATIO = 0.618033988749895
OUTLINE = (24, 24, 32)
OPACITY = 0.92
# cv2 takes coordinates as integers with this many bits behind the point.
FRACTION_BITS = 4
NOTEBOOK_SIDE = 1280
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.48
# Small pictures are drawn on up to this many pixels, so that thin lines come out smooth.
FINE_SIDE = 2400


@dataclass(frozen=True)
class Drawing:
    """A finished picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
    """

    image: Image

    def save(self, path: Path | str) -> None:
        """Write the picture, whole or not at all; the suffix says the format (.jpg, .png, .webp ...).

        Raises:
            UsageError: when no picture format has that suffix.
            EveryposeError: when the file cannot be written.
        """
        write_bytes(Path(path), encode(self.image, Path(path).suffix))

    def to_png(self) -> bytes:
        """PNG bytes, no side longer than a notebook shows."""
        height, width = self.image.shape[:2]
        factor = min(1.0, NOTEBOOK_SIDE / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return encode(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA) if factor < 1 else self.image, ".png")

    def _repr_png_(self) -> bytes:
        return self.to_png()


def encode(image: Image, suffix: str) -> bytes:
    """The bytes of a picture file.

    Args:
        image: (H, W, 3) uint8 RGB.
        suffix: ``.jpg``, ``.png`` and what else OpenCV writes.

    Raises:
        UsageError: when no picture format has that suffix.
        EveryposeError: when the picture is too large for the format.
    """
    if not cv2.haveImageWriter(f"picture{suffix}"):
        raise UsageError(f"cannot write a picture as {suffix or 'a file without suffix'!r}; use .jpg or .png")
    try:
        done, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        height, width = image.shape[:2]
        raise EveryposeError(f"cannot write {width} x {height} pixels as {suffix}: too large for the format; use .png")
    return bytes(content)


def draw_people(image: Image, people: "People", weakest: float = 0.3) -> Image:
    """A copy of an image with everybody's skeleton on it.

    Each person has a colour; left limbs are lighter and right limbs darker. Large people are drawn first, so that they
    do not hide small ones, and a dark outline keeps crossing limbs apart.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: who is drawn.
        weakest: keypoints whose score (or visibility) is not above this share of the person's best are left out.

    Raises:
        UsageError: when ``image`` is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UsageError(f"an image to draw on is (height, width, 3) uint8, not {image.shape} {image.dtype}")
    picture, drawn = max(image.shape[:2]), image.copy()
    finer = min(4, max(1, FINE_SIDE // max(1, picture)))
    visible = [_visible(person, weakest) for person in people]
    sizes = [finer * _size(person, shown) for person, shown in zip(people, visible, strict=True)]
    widths = [_width(size, finer * picture) for size in sizes]
    rows, columns = _region(people, visible, max(widths, default=0.0) / finer, image.shape)
    part = image[rows, columns]
    if part.size == 0:
        return drawn
    # Whole pixels are repeated, so that averaging them back leaves the photo as it was.
    layer = np.asarray(cv2.resize(part, None, fx=finer, fy=finer, interpolation=cv2.INTER_NEAREST), np.uint8)
    for index in np.argsort(-np.array(sizes), kind="stable").tolist():
        from_corner = people.keypoints[index, :, :2].astype(np.float64) - (columns.start, rows.start)
        points = (from_corner + 0.5) * finer - 0.5
        _draw_person(layer, points, visible[index], people.skeleton, widths[index], _hue(index))
    smooth = cv2.resize(layer, part.shape[1::-1], interpolation=cv2.INTER_AREA)
    drawn[rows, columns] = cv2.addWeighted(smooth, OPACITY, part, 1 - OPACITY, 0)
    return drawn


def contact_sheet(
    images: Sequence[Image], captions: Sequence[str], columns: int = 4, cell: tuple[int, int] = (400, 300)
) -> Image:
    """Many images as one: in rows, each scaled to fit its cell, its caption below.

    Args:
        images: (H, W, 3) uint8 RGB each.
        captions: one line each; what does not fit is cut, and only ASCII letters can be drawn.
        columns: the most images in a row.
        cell: width and height of an image's place, pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: when there is no image, or not one caption for each.
    """
    if not images or len(images) != len(captions):
        raise UsageError(
            f"a contact sheet needs a caption for each image: {len(images)} and {len(captions)} were given"
        )
    gap, line = 12, 30
    width, height = cell
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((gap + rows * (height + line), gap + columns * (width + gap), 3), 250, dtype=np.uint8)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = gap + index // columns * (height + line), gap + index % columns * (width + gap)
        fitted = _fit(image, width, height)
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        _caption(sheet, caption, (left, top + height + 16), width)
    return sheet


def _visible(person: "Person", weakest: float) -> npt.NDArray[np.bool_]:
    """(K,) which keypoints are drawn: scores of different models differ too much for one fixed threshold."""
    scores = person.keypoints[:, 2]
    return np.asarray(scores > weakest * max(float(scores.max(initial=0)), 0.0))


def _size(person: "Person", visible: npt.NDArray[np.bool_]) -> float:
    """The longer side of the box around the visible keypoints."""
    points = person.keypoints[visible, :2]
    return float(np.ptp(points, axis=0).max()) if len(points) else 0.0


def _region(
    people: "People", visible: Sequence[npt.NDArray[np.bool_]], width: float, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of the picture that hold everybody, drawn with limbs of at most this width; or none of them."""
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
    points: npt.NDArray[np.float64],
    visible: npt.NDArray[np.bool_],
    skeleton: Skeleton,
    width: float,
    hue: float,
) -> None:
    """Draw one person's visible limbs and keypoints into ``layer``; points (K, 2), limb width in its pixels."""
    # The bound only keeps absurd coordinates within the integers that OpenCV takes.
    places = np.rint(points * 2**FRACTION_BITS).clip(-(2**28), 2**28).astype(int).tolist()
    widths = width * _relative_sizes(skeleton.sigmas, len(skeleton))
    outline = max(1, round(0.3 * width))
    sides = skeleton.sides
    shades = {side: _shade(hue, side) for side in ("", "left", "right")}
    tints = {side: _tint(shade) for side, shade in shades.items()}

    limbs = [(start, end) for start, end in skeleton.links if visible[start] and visible[end]]
    thickness = [max(1, round((widths[start] + widths[end]) / 2)) for start, end in limbs]
    for (start, end), thick in zip(limbs, thickness, strict=True):
        cv2.line(layer, places[start], places[end], OUTLINE, thick + 2 * outline, cv2.LINE_AA, FRACTION_BITS)
    for (start, end), thick in zip(limbs, thickness, strict=True):
        shade = shades[_link_side(sides[start], sides[end])]
        cv2.line(layer, places[start], places[end], shade, thick, cv2.LINE_AA, FRACTION_BITS)
    for index in np.flatnonzero(visible).tolist():
        radius = round(max(1.0, 0.8 * widths[index]) * 2**FRACTION_BITS)
        rim = radius + outline * 2**FRACTION_BITS * 3 // 4
        cv2.circle(layer, places[index], rim, OUTLINE, -1, cv2.LINE_AA, FRACTION_BITS)
        cv2.circle(layer, places[index], radius, tints[sides[index]], -1, cv2.LINE_AA, FRACTION_BITS)


def _width(size: float, picture: float) -> float:
    """A limb's width in pixels: a share of the person's size, within what looks right for the picture's longer side."""
    return float(np.clip(size * 0.026, picture * 0.003, picture * 0.01))


def _relative_sizes(sigmas: tuple[float, ...] | None, count: int) -> npt.NDArray[np.float64]:
    """(K,) how large keypoints are drawn: those that are labelled precisely (eyes, fingers) smaller than hips."""
    if sigmas is None:
        return np.ones(count)
    relative: npt.NDArray[np.float64] = np.sqrt(np.array(sigmas) / max(sigmas)).clip(0.35, 1.0)
    return relative


def _link_side(start: str, end: str) -> str:
    """A limb is left or right when one of its ends is and the other is not on the opposite side."""
    sides = {start, end} - {""}
    return sides.pop() if len(sides) == 1 else ""


def _hue(index: int) -> float:
    return HUES[index] if index < len(HUES) else (HUES[0] + index * GOLDEN_RATIO) % 1.0


def _shade(hue: float, side: str) -> Colour:
    lightness = {"left": 0.70, "": 0.58, "right": 0.44}[side]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _tint(colour: Colour) -> Colour:
    """The colour half way to white."""
    red, green, blue = ((value + 255) // 2 for value in colour)
    return red, green, blue


def _fit(image: Image, width: int, height: int) -> Image:
    """The image scaled to fit into width x height."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))


def _caption(sheet: Image, text: str, place: tuple[int, int], width: int) -> None:
    """Write one line in the middle of a strip of this width that begins at (x, y of the base line), cut to fit."""
    shown = text.encode("ascii", "replace").decode()
    kept = len(shown)
    while kept > 0 and _text_width(_cut(shown, kept)) > width:
        kept -= 1
    line = _cut(shown, kept)
    start = (place[0] + max(0, width - _text_width(line)) // 2, place[1])
    cv2.putText(sheet, line, start, FONT, FONT_SCALE, (40, 40, 48), 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])


def _cut(text: str, kept: int) -> str:
    return text if kept >= len(text) else text[:kept] + "..."

"""Contact sheets: many images on one."""

from collections.abc import Sequence

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.errors import UsageError

FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.48
_GAP, _LINE = 12, 30


def contact_sheet(
    images: Sequence[Image], captions: Sequence[str], *, columns: int = 4, cell: tuple[int, int] = (400, 300)
) -> Image:
    """Arrange many images in rows, each scaled to fit its cell, with its caption below.

    >>> contact_sheet([np.zeros((9, 9, 3), np.uint8)] * 5, ["a"] * 5, columns=2).shape
    (1002, 836, 3)

    Args:
        images: (H, W, 3) uint8 RGB each.
        captions: one line each; cut to the width of the cell, and only ASCII letters can be drawn.
        columns: the most images in a row.
        cell: width and height of an image's cell, pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: if there is no image, or not one caption for each.
    """
    if not images or len(images) != len(captions):
        raise UsageError(
            f"a contact sheet needs a caption for each image: {len(images)} and {len(captions)} were given"
        )
    width, height = cell
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((_GAP + rows * (height + _LINE), _GAP + columns * (width + _GAP), 3), 250, dtype=np.uint8)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = _GAP + index // columns * (height + _LINE), _GAP + index % columns * (width + _GAP)
        fitted = _fit(image, width, height)
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        _write_caption(sheet, caption, (left, top + height + 16), width)
    return sheet


def _fit(image: Image, width: int, height: int) -> Image:
    """Return the image scaled to fit into width x height."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))


def _write_caption(sheet: Image, text: str, place: tuple[int, int], width: int) -> None:
    """Write one line, centered in a strip of this width that starts at (x, y of the base line), cut to fit."""
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

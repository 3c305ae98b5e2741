"""Maps drawn over photos in color."""

import cv2
import numpy as np

from everypose.core.arrays import Float32, Float64, Image
from everypose.core.geometry import Size, inverse

SHARE = 0.6
"""Opacity of the colors where the map has its largest value."""
LARGEST_SIDE = 2048
"""Pixels of the longer side of an image that is drawn on; a panel of a study shows fewer."""


def map_to_input(stride: tuple[float, float]) -> Float64:
    """The (2, 3) matrix from cells of a map to pixels of the network's input; centers are at integer coordinates.

    >>> map_to_input((4.0, 4.0)).tolist()
    [[4.0, 0.0, 1.5], [0.0, 4.0, 1.5]]
    """
    scale = np.array(stride, dtype=np.float64)
    return np.column_stack([np.diag(scale), (scale - 1) / 2])


def compose(outer: Float64, inner: Float64) -> Float64:
    """The (2, 3) matrix that applies ``inner``, then ``outer``.

    >>> double, right = np.array([[2.0, 0, 0], [0, 2, 0]]), np.array([[1.0, 0, 5], [0, 1, 0]])
    >>> compose(double, right).tolist()  # first to the right, then doubled
    [[2.0, 0.0, 10.0], [0.0, 2.0, 0.0]]
    """
    joined: Float64 = outer @ np.vstack([inner, [0.0, 0.0, 1.0]])
    return joined


def cells_to_image(shape: tuple[int, int], canvas: tuple[int, int], matrix: Float64) -> Float64:
    """The (2, 3) matrix from cells of a map to image pixels.

    Args:
        shape: height, width of the map.
        canvas: height, width of the network's input.
        matrix: (2, 3), image pixels to pixels of the input.

    >>> cells_to_image((16, 12), (64, 48), np.eye(2, 3)).tolist()
    [[4.0, 0.0, 1.5], [0.0, 4.0, 1.5]]
    """
    return compose(inverse(matrix), map_to_input((canvas[1] / shape[1], canvas[0] / shape[0])))


def for_drawing(image: Image) -> tuple[Image, Float64]:
    """Shrink a large image, so that drawings of it take little memory.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        The image, no longer than ``LARGEST_SIDE``, and the (2, 3) matrix from the given image's pixels to its pixels.

    >>> small, matrix = for_drawing(np.zeros((1024, 8192, 3), np.uint8))
    >>> small.shape, matrix[0].tolist()
    ((256, 2048, 3), [0.25, 0.0, -0.375])
    """
    height, width = image.shape[:2]
    if max(height, width) <= LARGEST_SIDE:
        return image, np.eye(2, 3)
    share = LARGEST_SIDE / max(height, width)
    size = Size(max(1, round(width * share)), max(1, round(height * share)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, inverse(map_to_input((width / size.width, height / size.height)))


def spread(values: Float32, matrix: Float64, size: Size) -> Float32:
    """Resample a map to an image.

    Args:
        values: (h, w) or (h, w, C).
        matrix: (2, 3), cells to image pixels.
        size: of the image.

    Returns:
        (H, W) or (H, W, C), bilinear, the border's values outside the map.

    >>> spread(np.array([[0.0, 1.0]], np.float32), map_to_input((2.0, 2.0)), Size(4, 2)).round(2).tolist()
    [[0.0, 0.25, 0.75, 1.0], [0.0, 0.25, 0.75, 1.0]]
    """
    resampled = cv2.warpAffine(values, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(resampled, np.float32)


def blend(image: Image, values: Float32) -> Image:
    """Lay a map over an image, from blue (0) over green to red (1).

    Args:
        image: (H, W, 3) uint8 RGB.
        values: (H, W), clipped to 0..1.

    Returns:
        (H, W, 3) uint8 RGB; the image in gray below the colors.

    >>> blend(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.float32)).shape
    (2, 2, 3)
    """
    levels = np.clip(values, 0, 1)
    colors = cv2.cvtColor(
        cv2.applyColorMap(np.rint(255 * levels).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB
    )
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(np.rint((1 - SHARE) * gray + SHARE * colors), np.uint8)


def draw_box(image: Image, box: Float64, *, dot: bool = False) -> Image:
    """A copy of an image with a box, and its center if ``dot``.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2, image pixels.
        dot: whether to mark the center.

    >>> drawn = draw_box(np.zeros((40, 40, 3), np.uint8), np.array([10.0, 10, 30, 30]))
    >>> drawn[10, 20].tolist()
    [255, 255, 255]
    """
    drawn = image.copy()
    width = max(2, round(max(image.shape[:2]) / 300))
    x1, y1, x2, y2 = (round(side) for side in box.tolist())
    cv2.rectangle(drawn, (x1, y1), (x2, y2), (255, 255, 255), width, cv2.LINE_AA)
    if dot:
        center = ((x1 + x2) // 2, (y1 + y2) // 2)
        cv2.circle(drawn, center, 3 * width, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(drawn, center, 2 * width, (255, 255, 255), -1, cv2.LINE_AA)
    return drawn

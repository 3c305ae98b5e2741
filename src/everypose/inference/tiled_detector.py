"""A detector run on overlapping tiles of an image, too, for people who are small in the whole image."""

import math

import numpy as np

from everypose.core.arrays import Float64, Image, Mask
from everypose.errors import UsageError
from everypose.inference.box_sources import DetectionsFile
from everypose.inference.boxes import Boxes, Detector, Photo, box_nms

OVERLAP = 0.25
"""Part of a tile's side that it shares with the next tile."""
BORDER = 0.01
"""Boxes nearer than this part of a tile's side to a border inside the image are those of people cut off there."""
MOST_TILES = 8
NMS = 0.6


class TiledDetector:
    """The boxes that a detector finds in the whole image and in each of its tiles, without duplicates.

    Args:
        detector: finds the boxes of one image in its pixels.
        tiles: tiles along the image's longer side, from 2 to 8; along the shorter side as many as fit its length.

    Raises:
        UsageError: if the number of tiles is out of range, or the boxes are those of a file, which has none of tiles.

    >>> from everypose.inference.box_sources import WholeImage
    >>> tiled = TiledDetector(WholeImage(), tiles=2)
    >>> tiled(Photo(np.zeros((100, 200, 3), np.uint8))).boxes.tolist()  # boxes that a tile's border cuts are left out
    [[0.0, 0.0, 199.0, 99.0]]
    """

    def __init__(self, detector: Detector, tiles: int = 2) -> None:
        if not 2 <= tiles <= MOST_TILES:
            raise UsageError(f"tiles must be from 2 to {MOST_TILES}, not {tiles}")
        if isinstance(detector, DetectionsFile):
            raise UsageError(f"tiles are for a detector, not for the boxes of {detector.path}: give one of them")
        self.detector = detector
        self.tiles = tiles

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people, best first."""
        found = [self.detector(photo)]
        for x1, y1, x2, y2 in tile_corners(photo.image.shape[1], photo.image.shape[0], self.tiles):
            tile: Image = np.ascontiguousarray(photo.image[y1:y2, x1:x2])
            boxes = self.detector(Photo(tile))  # without the path, by which boxes of the whole image could be found
            whole = _inside(boxes.boxes, (x1, y1, x2, y2), (photo.image.shape[1], photo.image.shape[0]))
            found.append(Boxes(boxes.boxes[whole] + (x1, y1, x1, y1), boxes.scores[whole]))
        joined = Boxes(np.concatenate([one.boxes for one in found]), np.concatenate([one.scores for one in found]))
        return box_nms(joined, NMS)


def tile_corners(width: int, height: int, tiles: int) -> list[tuple[int, int, int, int]]:
    """The tiles of an image, row by row.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        tiles: along the longer side.

    Returns:
        x1, y1, x2, y2 of each, in pixels, together covering the image.

    Example:
        >>> tile_corners(700, 350, 2)
        [(0, 0, 400, 350), (300, 0, 700, 350)]
    """
    longer = max(width, height)
    columns, rows = (max(1, round(tiles * side / longer)) for side in (width, height))
    return [(x1, y1, x2, y2) for y1, y2 in _intervals(height, rows) for x1, x2 in _intervals(width, columns)]


def _intervals(length: int, count: int) -> list[tuple[int, int]]:
    """``count`` equal intervals that cover ``length``, neighbors sharing a quarter of each."""
    side = min(length, math.ceil(length / (count - (count - 1) * OVERLAP)))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def _inside(boxes: Float64, tile: tuple[int, int, int, int], image_size: tuple[int, int]) -> Mask:
    """Which boxes (N, 4), in tile pixels, touch no border of the tile that lies inside the image."""
    x1, y1, x2, y2 = tile
    sides = np.array([x2 - x1, y2 - y1], np.float64)
    near = BORDER * sides
    cut_low = (boxes[:, :2] < near) & (np.array([x1, y1]) > 0)
    cut_high = (boxes[:, 2:] > sides - near) & (np.array([x2, y2]) < image_size)
    return np.asarray(~(cut_low | cut_high).any(axis=1), np.bool_)

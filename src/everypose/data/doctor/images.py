"""Flaws of the image entries, and of the image files if they were found."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.core.progress import track
from everypose.data.discovery.annotation_files import image_path
from everypose.data.doctor import flaws
from everypose.data.doctor.flaws import Flaw, Kind, flaw
from everypose.data.doctor.table import Table, identity, number
from everypose.data.formats.coco_entries import LARGEST_NUMBER, whole_number
from everypose.data.image_header import ImageHeader
from everypose.data.images import read_header
from everypose.errors import EveryposeError

_THREADS = 8


@dataclass(frozen=True)
class ImageFindings:
    """The result of checking image entries and files.

    Attributes:
        flaws: those of the image entries and files.
        sizes: (I, 2) float64 width and height that the labels refer to; NaN where unknown.
        upright: (I, 2) float64 the corrected size to write; as ``sizes`` except for labels of a stored frame.
        gone: (I,) bool, missing and unreadable files.
        stored: (I,) int64 EXIF orientation of images whose labels are of the stored frame; 1 for all others.

    >>> from everypose.data.doctor.table import build
    >>> image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    >>> found = check([image], None, build({"images": [image], "annotations": [], "categories": []}))
    >>> found.sizes.tolist(), found.gone.tolist()
    ([[64.0, 48.0]], [False])
    """

    flaws: list[Flaw]
    sizes: Float64
    upright: Float64
    gone: Mask
    stored: Int64


def check(images: Sequence[Any], image_root: Path | None, table: Table) -> ImageFindings:
    """Check image entries (JSON as read) and, where ``image_root`` is given, the files.

    >>> from everypose.data.doctor.table import build
    >>> image = {"id": 1, "file_name": "a.jpg"}
    >>> found = check([image], None, build({"images": [image], "annotations": [], "categories": []}))
    >>> [flaw.kind.name for flaw in found.flaws]
    ['image_size_unknown']
    """
    found = _entries(images)
    names = [_file_name(image) for image in images]
    stated = np.array([[_size(image, "width"), _size(image, "height")] for image in images]).reshape(-1, 2)
    places: dict[Kind, list[str]] = {}
    sizes, upright = stated.copy(), stated.copy()
    gone = np.zeros(len(images), bool)
    stored = np.ones(len(images), np.int64)
    headers = _headers(names, image_root) if image_root is not None else [None] * len(images)
    reach = _reach(table, len(images))
    for index, header in enumerate(headers):
        kind: Kind | None = None
        if isinstance(header, ImageHeader):
            if header.orientation != 1:
                places.setdefault(flaws.EXIF_ROTATED, []).append(names[index])
            kind = _compare(stated[index], header, reach[index])
            if kind is flaws.EXIF_STORED:
                stored[index] = header.orientation
            if kind is not flaws.WRONG_SIZE:
                upright[index] = header.upright
                sizes[index] = stated[index] if kind is flaws.EXIF_STORED else header.upright
        elif header is not None:
            gone[index], kind = True, header
        if np.isnan(stated[index]).any() and not isinstance(header, ImageHeader):
            places.setdefault(flaws.NO_SIZE_NO_IMAGE, []).append(names[index] or f"no. {index}")
        if kind is not None:
            places.setdefault(kind, []).append(names[index])
    for kind, where in places.items():
        found += flaw(kind, "images", where)
    return ImageFindings(found, sizes, upright, gone, stored)


def _entries(images: Sequence[Any]) -> list[Flaw]:
    """Flaws that show without the files."""
    seen: dict[Any, str] = {}
    files: dict[str, Any] = {}
    bad: list[str] = []
    clashes: list[Any] = []
    twice: list[Any] = []
    same_file: list[str] = []
    for index, image in enumerate(images):
        key = identity(image.get("id")) if isinstance(image, dict) else None
        name = _file_name(image)
        if not name or not is_whole(key):
            bad.append(name or f"no. {index}")
        elif key in seen:
            (twice if seen[key] == name else clashes).append(key)
        else:
            seen[key] = name
            if files.setdefault(name, key) != key:
                same_file.append(name)
    return [
        *flaw(flaws.IMAGE_ENTRY, "images", bad),
        *flaw(flaws.DUPLICATE_IMAGE_ID, "images", clashes),
        *flaw(flaws.IMAGE_TWICE, "images", twice),
        *flaw(flaws.DUPLICATE_FILE_NAME, "images", same_file),
    ]


def is_whole(key: Any) -> bool:
    """Whether reading can use an id: a whole number, or its digits.

    >>> is_whole(3.0), is_whole("12"), is_whole(3.5), is_whole("a")
    (True, True, False, False)
    """
    try:
        whole_number(key)
    except ValueError:
        return False
    return True


def _compare(stated: Float64, header: ImageHeader, reach: Float64) -> Kind | None:
    """The flaw of a stated size (2,) compared with the image's; ``reach`` (2,) is the labels' largest x and y."""
    as_stated = (stated[0], stated[1])
    as_stored = (header.width, header.height)
    if np.isnan(stated).any():
        return flaws.NO_SIZE
    if as_stated == header.upright:
        return None
    if as_stated == header.upright[::-1]:
        fits_upright = reach[0] <= header.upright[0] and reach[1] <= header.upright[1]
        fits_stored = reach[0] <= as_stored[0] and reach[1] <= as_stored[1]
        turned = as_stated == as_stored and (fits_stored or not fits_upright)
        return flaws.EXIF_STORED if turned else flaws.SWAPPED_SIZE
    return flaws.WRONG_SIZE


def _reach(table: Table, count: int) -> Float64:
    """(count, 2) largest x and y of the labeled keypoints of each image."""
    reach = np.zeros((count, 2))
    points = np.where(table.labeled[..., None], np.nan_to_num(table.keypoints[..., :2]), 0)
    listed = table.image_index >= 0
    if points.shape[1]:
        np.maximum.at(reach, table.image_index[listed], points[listed].max(axis=1))
    return reach


def _headers(names: Sequence[str], root: Path) -> list[ImageHeader | Kind | None]:
    """The header of each named file, or the kind of flaw that kept it from being read; None for nameless entries."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda name: _header(root, name), names)
        return list(track(found, "reading image headers", total=len(names)))


def _header(root: Path, name: str) -> ImageHeader | Kind | None:
    if not name:
        return None
    path = image_path(root, name)
    if path is None:
        return flaws.MISSING_FILE
    try:
        return read_header(path)
    except EveryposeError:
        return flaws.UNREADABLE_FILE


def _file_name(image: Any) -> str:
    name = image.get("file_name") if isinstance(image, dict) else None
    return name if isinstance(name, str) else ""


def _size(image: Any, key: str) -> float:
    value = number(image.get(key)) if isinstance(image, dict) else float("nan")
    return value if 1 <= value < LARGEST_NUMBER else float("nan")

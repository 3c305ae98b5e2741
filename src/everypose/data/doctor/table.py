"""An annotation file's lists as arrays, with masks for entries that cannot be used."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.data.formats.coco_entries import LARGEST_NUMBER, flag, real_number, whole_number


@dataclass(frozen=True)
class Table:
    """The annotations of one file as arrays over N annotations and K keypoints.

    Attributes:
        entries: (N,) the annotations as read, JSON objects only.
        ids: (N,) their ids; None where there is none.
        image_index: (N,) int64 position of the image in the file's list; -1: not listed.
        category_index: (N,) int64 position of the category; -1: not listed.
        keypoints: (N, K, 3) float64; NaN where a value is no number, 0 for absent keypoints.
        keypoint_count_ok: (N,) bool, whether there were as many keypoints as the category has.
        boxes: (N, 4) float64 x, y, width, height; NaN where a value is no number or the box is absent.
        has_box: (N,) bool, there is a list of four.
        box_malformed: (N,) bool, there is something else than a list of four.
        areas: (N,) float64, NaN where absent or no number.
        num_keypoints: (N,) float64, NaN where absent.
        is_crowd: (N,) bool.
        of_keypoints: (N,) bool, whether the category is listed and has keypoints.

    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2]}
    >>> categories = [{"id": 1, "keypoints": ["nose"]}]
    >>> table = build({"images": [{"id": 1}], "annotations": [person], "categories": categories})
    >>> table.labeled.tolist(), table.names(table.labeled[:, 0])
    ([[True]], [7])
    """

    entries: list[dict[str, Any]]
    ids: list[Hashable | None]
    image_index: Int64
    category_index: Int64
    keypoints: Float64
    keypoint_count_ok: Mask
    boxes: Float64
    has_box: Mask
    box_malformed: Mask
    areas: Float64
    num_keypoints: Float64
    is_crowd: Mask
    of_keypoints: Mask

    @property
    def labeled(self) -> Mask:
        """(N, K) keypoints with a visibility above 0."""
        return np.nan_to_num(self.keypoints[..., 2]) > 0

    def names(self, mask: Mask) -> list[Any]:
        """The ids of the annotations in ``mask`` (N,); an annotation without one is named by its position."""
        return [self.ids[i] if self.ids[i] is not None else f"no. {i}" for i in np.flatnonzero(mask)]


def identity(value: Any) -> Hashable | None:
    """An id that can be looked up, or None for what is no id; digits and whole floats become int, as in reading.

    Example:
        >>> identity("12"), identity(3.0), identity(None)
        (12, 3, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | str | float) or value == "" or value != value:
        return None
    try:
        return whole_number(value)
    except ValueError:
        return value


def build(content: dict[str, Any]) -> Table:
    """Arrays of a COCO file's annotations; entries that are no JSON objects are left out.

    >>> person = {"id": 7, "image_id": 2, "category_id": 1, "keypoints": [5, 5, 2]}
    >>> categories = [{"id": 1, "keypoints": ["nose"]}]
    >>> table = build({"images": [{"id": 1}], "annotations": [person], "categories": categories})
    >>> table.keypoints.shape, table.image_index.tolist()  # the file does not list image 2
    ((1, 1, 3), [-1])
    """
    images = positions(content["images"])
    categories = positions(content["categories"])
    entries = [entry for entry in content["annotations"] if isinstance(entry, dict)]
    category_index = np.array([categories.get(identity(e.get("category_id")), -1) for e in entries], np.int64)
    counts = np.array([*(keypoint_names_count(category) for category in content["categories"]), 0], np.int64)
    expected = counts[category_index] if entries else np.zeros(0, np.int64)
    number = len(entries)
    keypoints = np.zeros((number, max(int(counts.max()), 0), 3))
    count_ok = np.ones(number, bool)
    for index, entry in enumerate(entries):
        size = int(expected[index])
        if "keypoints" not in entry or size == 0:
            continue
        values = numbers(entry["keypoints"], 3 * size)
        count_ok[index] = values is not None
        if values is not None:
            keypoints[index, :size] = values.reshape(size, 3)
    boxes = [numbers(entry.get("bbox"), 4) for entry in entries]
    return Table(
        entries=entries,
        ids=[identity(entry.get("id")) for entry in entries],
        image_index=np.array([images.get(identity(e.get("image_id")), -1) for e in entries], np.int64),
        category_index=category_index,
        keypoints=keypoints,
        keypoint_count_ok=count_ok,
        boxes=np.array([np.full(4, np.nan) if box is None else box for box in boxes]).reshape(number, 4),
        has_box=np.array([box is not None for box in boxes], bool),
        box_malformed=np.array([b is None and bool(e.get("bbox")) for b, e in zip(boxes, entries, strict=True)], bool),
        areas=column(entries, "area"),
        num_keypoints=column(entries, "num_keypoints"),
        is_crowd=np.array([crowd_flag(entry.get("iscrowd")) == 1 for entry in entries], bool),
        of_keypoints=expected > 0,
    )


def crowd_flag(value: Any) -> int | None:
    """``iscrowd`` as 0 or 1, as reading takes it; None for what is neither.

    >>> crowd_flag(1), crowd_flag("yes")
    (1, None)
    """
    try:
        return 0 if value is None else flag(value)
    except ValueError:
        return None


def positions(entries: Sequence[Any]) -> dict[Hashable | None, int]:
    """Id to position; the first of several entries with one id counts, entries without an id are left out.

    >>> positions([{"id": 4}, {"id": "5"}, {"id": 4}])
    {4: 0, 5: 1}
    """
    found: dict[Hashable | None, int] = {}
    for index, entry in enumerate(entries):
        key = identity(entry.get("id")) if isinstance(entry, dict) else None
        if key is not None:
            found.setdefault(key, index)
    return found


def keypoint_names_count(category: Any) -> int:
    """How many keypoints a category lists; 0 for none.

    >>> keypoint_names_count({"keypoints": ["nose", "tail"]}), keypoint_names_count({"name": "car"})
    (2, 0)
    """
    names = category.get("keypoints") if isinstance(category, dict) else None
    return len(names) if isinstance(names, list) else 0


def numbers(value: Any, length: int) -> Float64 | None:
    """(length,) float64, NaN for what is no number below 2^53; None when ``value`` is no list of that length.

    >>> numbers([1, "x", 3], 3).tolist(), numbers([1, 2], 3)
    ([1.0, nan, 3.0], None)
    """
    if not isinstance(value, list) or len(value) != length:
        return None
    try:
        plain = np.array(value)
    except ValueError:
        plain = np.array(None)
    if plain.ndim == 1 and plain.dtype.kind in "if":
        return np.where(np.abs(plain) < LARGEST_NUMBER, plain, np.nan)
    return np.array([number(item) for item in value], np.float64)


def number(value: Any) -> float:
    """A JSON number as float; NaN for anything else, infinities and numbers from 2^53 on included.

    >>> number(3), number("x"), number(1e60)
    (3.0, nan, nan)
    """
    try:
        return real_number(value)
    except ValueError:
        return float("nan")


def column(entries: Sequence[dict[str, Any]], key: str) -> Float64:
    """(N,) one number of each entry; NaN where it is absent or no number.

    >>> column([{"area": 4}, {}], "area").tolist()
    [4.0, nan]
    """
    return np.array([number(entry.get(key)) for entry in entries], np.float64)

"""Type checks of a COCO file's entries, done once when a file is read.

JSON allows a text or a list wherever a number is meant. :func:`parse_entries` returns content in which every field that
everypose reads has its type, or raises one line that names the entry and the field.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from everypose.core.arrays import Float64
from everypose.errors import EveryposeError

WHOLE_BODY_PARTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
"""The five lists in which COCO-WholeBody keeps the 133 keypoints of an annotation."""
LARGEST_NUMBER = 2**53
"""Readers that keep JSON numbers as float64 hold whole numbers below this one exactly. No coordinate is as large, and
products of smaller ones are finite in float32."""

ID_TYPES = "ids written as text or with a decimal point were read as whole numbers"
FLAG_TYPES = "iscrowd written as text was read as 0 or 1"
_ID_FIELDS = ("id", "image_id", "category_id")
_PLAIN = frozenset({int, float})

Entry = dict[str, Any]


def parse_entries(
    content: Mapping[str, Any], where: str, *, finite: bool = False, repairs: Counter[str] | None = None
) -> dict[str, Any]:
    """Check and normalize the images, categories and annotations of COCO content.

    Ids become int (from whole numbers and their digits), ``iscrowd`` becomes 0 or 1, sizes and areas that are no
    positive numbers are left out, null fields are left out. Other fields stay as they are.

    Args:
        content: parsed JSON with the lists ``images``, ``annotations`` and ``categories``.
        where: what error messages call the file.
        finite: refuse keypoints and boxes with NaN, infinities or null, instead of passing them on as NaN.
        repairs: receives how many ids and flags had another type than they should.

    Returns:
        A copy with the same keys.

    Raises:
        EveryposeError: if a field has another type; the message names file, entry and field.

    Example:
        >>> person = {"id": "7", "image_id": 1.0, "category_id": 1, "iscrowd": "0", "bbox": [0, 0, 4, 3]}
        >>> content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [], "annotations": [person]}
        >>> parse_entries(content, "train.json")["annotations"]
        [{'id': 7, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'bbox': [0, 0, 4, 3]}]
    """
    annotation = {**_ANNOTATION, "keypoints": _keypoints(finite), "bbox": _box(finite)}
    annotation |= {part: _keypoints(finite) for part in WHOLE_BODY_PARTS}
    if repairs is not None:
        _count_types(content, repairs)
    return {
        **content,
        "images": _parsed(content, "images", "image", _IMAGE, ("id", "file_name"), where),
        "categories": _parsed(content, "categories", "category", _CATEGORY, ("id",), where),
        "annotations": _parsed(content, "annotations", "annotation", annotation, ("image_id",), where),
    }


def _count_types(content: Mapping[str, Any], repairs: Counter[str]) -> None:
    """Count ids that are whole numbers of another type, and ``iscrowd`` of another type."""
    for key in ("images", "categories", "annotations"):
        entries = content.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                repairs[ID_TYPES] += sum(type(entry.get(field, 0)) is not int for field in _ID_FIELDS)
                repairs[FLAG_TYPES] += isinstance(entry.get("iscrowd"), str)


def whole_visibilities(keypoints: Float64) -> int:
    """Set visibilities that are no whole numbers, such as a detector's confidence 0.98, to 2 in place.

    Args:
        keypoints: (..., 3) x, y, visibility.

    Returns:
        How many were set.

    >>> keypoints = np.array([[5.0, 5.0, 0.98], [9.0, 9.0, 1.0]])
    >>> whole_visibilities(keypoints), keypoints[:, 2].tolist()
    (1, [2.0, 1.0])
    """
    visibility = keypoints[..., 2]
    fractional = (visibility > 0) & (visibility != np.floor(visibility))
    visibility[fractional] = 2
    return int(fractional.sum())


def are_shares(boxes: Float64, keypoints: Float64) -> bool:
    """Whether coordinates are shares of the image's size: all between 0 and 1, and not all whole numbers.

    Args:
        boxes: (N, 4) x, y, width, height; NaN where there is none.
        keypoints: (..., 3) x, y, visibility.

    >>> are_shares(np.array([[0.1, 0.2, 0.3, 0.5]]), np.zeros((1, 17, 3)))
    True
    """
    labeled = keypoints[keypoints[..., 2] > 0, :2].reshape(-1)
    values = np.concatenate([boxes[np.isfinite(boxes).all(axis=1)].reshape(-1), labeled])
    values = values[np.isfinite(values)]
    return bool(len(values) and ((values >= 0) & (values <= 1)).all() and (values != np.floor(values)).any())


def require_pixels(boxes: Float64, keypoints: Float64, where: str) -> None:
    """Refuse coordinates that are shares of the image's size, 0 to 1, where pixels are meant.

    Args:
        boxes: (N, 4) x, y, width, height; NaN where there is none.
        keypoints: (N, K, 3) x, y, visibility.
        where: what error messages call the file.

    Raises:
        EveryposeError: if all coordinates are between 0 and 1, and not all are whole numbers.

    >>> require_pixels(np.array([[0.1, 0.2, 0.3, 0.5]]), np.zeros((1, 17, 3)), "train.json")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: train.json: all coordinates are between 0 and 1: they are shares ...
    """
    if are_shares(boxes, keypoints):
        raise EveryposeError(
            f"{where}: all coordinates are between 0 and 1: they are shares of the image's size, and COCO files hold "
            "pixels; multiply them by the image's width and height"
        )


def whole_number(value: Any) -> int:
    """A whole number below 2^53 from an int, a float or digits.

    Raises:
        ValueError: if it is not.

    Example:
        >>> whole_number("12"), whole_number(3.0)
        (12, 3)
    """
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or abs(value) >= LARGEST_NUMBER:
        raise ValueError("must be a whole number")
    return value


def flag(value: Any) -> int:
    """0 or 1 from a number, a truth value or text.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> flag("0"), flag(True)
        (0, 1)
    """
    if isinstance(value, bool) or value in (0, 1):
        return int(value)
    if isinstance(value, str) and value.strip().lower() in _FLAG_WORDS:
        return _FLAG_WORDS[value.strip().lower()]
    raise ValueError("must be 0 or 1")


_FLAG_WORDS = {"0": 0, "1": 1, "false": 0, "true": 1}


def real_number(value: Any) -> float:
    """A JSON number as float: NaN for null, and for what is not below `LARGEST_NUMBER`.

    Raises:
        ValueError: if it is text, a list or a truth value.

    >>> real_number(3), real_number(2.5), real_number(1e60)
    (3.0, 2.5, nan)
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return float(value) if abs(value) < LARGEST_NUMBER else math.nan


Parser = Callable[[Any], Any]


def _parsed(
    content: Mapping[str, Any],
    key: str,
    kind: str,
    parsers: Mapping[str, Parser],
    required: tuple[str, ...],
    where: str,
) -> list[Entry]:
    """One list of the content with every entry parsed."""
    entries = content.get(key)
    if not isinstance(entries, list):
        raise EveryposeError(f"{where} is not a COCO annotation file: it has no list {key!r}")
    return [_entry(entry, f"{where}: {kind}", row, parsers, required) for row, entry in enumerate(entries)]


def _entry(entry: Any, what: str, row: int, parsers: Mapping[str, Parser], required: tuple[str, ...]) -> Entry:
    """One entry with its fields parsed; a field that a parser gives None for is left out."""
    if not isinstance(entry, dict):
        raise EveryposeError(f"{what} no. {row} is malformed: it is {_short(entry)}, not a JSON object")
    name = f"{what} {_short(entry['id'])}" if "id" in entry else f"{what} no. {row}"
    for field in required:
        if entry.get(field) is None:
            raise EveryposeError(f"{name} is malformed: it has no {field!r}; 'everypose data doctor' finds all of them")
    result = dict(entry)
    for field, parse in parsers.items():
        if field not in entry:
            continue
        value = entry[field]
        try:
            parsed = None if value is None else parse(value)
        except ValueError as error:
            raise EveryposeError(
                f"{name} is malformed: {field} {error}, not {_short(value)}; 'everypose data doctor' finds all of them"
            ) from None
        if parsed is None:
            del result[field]
        else:
            result[field] = parsed
    return result


def _short(value: Any) -> str:
    """A value in a message: at most 40 characters."""
    text = str(value)[:200] if isinstance(value, int) and abs(value) > LARGEST_NUMBER else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a text")
    return value


def _size(value: Any) -> int | float | None:
    """A width or height in pixels; None for what is no size, which is then read from the image."""
    try:
        number = real_number(value)
    except ValueError:
        return None
    return value if 1 <= number < LARGEST_NUMBER else None


def _area(value: Any) -> int | float | None:
    """An area in square pixels; None for what is none, which is then computed from the box."""
    try:
        number = real_number(value)
    except ValueError:
        return None
    return value if 0 <= number < math.inf else None


def _count(value: Any) -> int | None:
    """A number of keypoints; None for what is none, because the labels are counted then."""
    try:
        return whole_number(value)
    except ValueError:
        return None


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("must be a list of names")
    return value


def _keypoints(finite: bool) -> Parser:
    """A parser of flat lists of x, y, visibility."""

    def parse(value: Any) -> list[float]:
        if not isinstance(value, list) or len(value) % 3:
            raise ValueError("must be a list of x, y, visibility for each keypoint")
        return _numbers(value, finite)

    return parse


def _box(finite: bool) -> Parser:
    """A parser of boxes x, y, width, height; an empty list is no box."""

    def parse(value: Any) -> list[float] | None:
        if value == []:
            return None
        if not isinstance(value, list) or len(value) != 4:
            raise ValueError("must be x, y, width, height")
        return _numbers(value, finite)

    return parse


def _numbers(values: list[Any], finite: bool) -> list[float]:
    """Numbers as they are; null and what is not below `LARGEST_NUMBER` become NaN."""
    if _PLAIN.issuperset(map(type, values)) and _all_usable(values):  # the usual case, fast
        return values
    numbers: list[float] = []
    for value in values:
        number = real_number(value)
        if finite and not math.isfinite(number):
            raise ValueError("must be finite numbers")
        numbers.append(value if math.isfinite(number) else number)
    return numbers


def _all_usable(values: list[float]) -> bool:
    """Whether all are below `LARGEST_NUMBER`; a NaN, which no comparison finds, makes the sum NaN."""
    if not values:
        return True
    in_range = max(values) < LARGEST_NUMBER and min(values) > -LARGEST_NUMBER
    return in_range and not math.isnan(sum(values))


def _segmentation(value: Any) -> Any:
    """Polygons or a run-length code; their numbers are checked when they are drawn. None for an empty one."""
    if not value:
        return None
    if not isinstance(value, list | dict):
        raise ValueError("must be polygons or a run-length code")
    return value


_IMAGE: dict[str, Parser] = {"id": whole_number, "file_name": _text, "width": _size, "height": _size}
_CATEGORY: dict[str, Parser] = {"id": whole_number, "keypoints": _names}
_ANNOTATION: dict[str, Parser] = {
    "id": whole_number,
    "image_id": whole_number,
    "category_id": whole_number,
    "num_keypoints": _count,
    "area": _area,
    "iscrowd": flag,
    "segmentation": _segmentation,
}

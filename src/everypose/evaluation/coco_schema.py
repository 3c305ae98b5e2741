"""Checks of COCO-format content before a metric uses a value.

JSON says nothing about types: an id may be a list, ``iscrowd`` the text "0", a coordinate NaN. The functions here turn
lists of JSON values into arrays with a known shape and dtype, or raise one error that names the first bad entry. Unlike
``everypose.data.formats.coco_entries``, they repair nothing that changes a score and need no file names or sizes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.data.formats.coco_entries import LARGEST_NUMBER, flag
from everypose.errors import EveryposeError

JsonObject: TypeAlias = Mapping[str, Any]
"""One entry of ``images``, ``annotations``, ``categories`` or of a results list: nothing is known of its values."""
JsonId: TypeAlias = int | str | float
"""What identifies an image, an annotation or a category in a file."""


def require_coco(content: object, where: str = "the annotation file") -> None:
    """Check that images, annotations and categories are lists of objects with usable ids.

    Args:
        content: the parsed JSON.
        where: what to call the file in a message.

    Raises:
        EveryposeError: if something is missing or has a wrong type; the message names the first such entry.

    >>> require_coco({"images": [{"id": 1}], "annotations": []})
    >>> require_coco({"images": [{"id": None}], "annotations": []}, "val.json")
    Traceback (most recent call last):
    ...
    everypose.errors.EveryposeError: entry 0 of images in val.json: id must be a number or a text, not None
    """
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise EveryposeError(f"{where} is not a COCO-format file: it needs the lists 'images' and 'annotations'")
    if not isinstance(content.get("categories", []), list):
        raise EveryposeError(f"{where} is not a COCO-format file: 'categories' must be a list")
    for key in ("images", "annotations", "categories"):
        for row, entry in enumerate(content.get(key, [])):
            if not isinstance(entry, dict):
                raise EveryposeError(f"entry {row} of {key} in {where} is not an object")
    _require_ids(content["images"], "id", f"images in {where}")
    _require_text(content["images"], "file_name", f"images in {where}")
    _require_ids(content.get("categories", []), "id", f"categories in {where}")
    _require_ids(content["annotations"], "image_id", f"annotations in {where}")
    for key in ("id", "category_id"):
        _require_ids(content["annotations"], key, f"annotations in {where}", required=False)
    for category in content.get("categories", []):
        names = category.get("keypoints", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise EveryposeError(f"category {category['id']} in {where}: keypoints must be a list of names")


def require_results(results: object) -> None:
    """Check that COCO results are a list of objects with usable ids and file names.

    Raises:
        EveryposeError: if something is missing or has a wrong type; the message names the first such entry.

    >>> require_results([{"image_id": 1, "keypoints": [], "score": 0.5}])
    """
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        raise EveryposeError("the predictions are not a COCO results file: it must be one list of objects")
    _require_ids(results, "image_id", "the predictions")
    _require_text(results, "file_name", "the predictions")
    for key in ("category_id", "annotation_id"):
        _require_ids(results, key, "the predictions", required=False)


def number_array(values: Sequence[object], names: Sequence[str], what: str, width: int | None = None) -> Float64:
    """Convert JSON values to finite numbers: ``(N,)``, or ``(N, width)`` where each value is a list.

    Args:
        values: N numbers, or N lists of ``width`` numbers.
        names: what to call each entry in a message.
        what: what to call the value in a message.
        width: length of each list; None for plain numbers.

    Raises:
        EveryposeError: if a value is not a finite number below 2^53 (larger ones overflow in float32 products and as
            int64), or a list has another length.

    >>> number_array([[0, 0, 4, 3]], ["annotation 7"], "bbox", 4).shape
    (1, 4)
    >>> number_array([[0, 0, 4]], ["annotation 7"], "bbox", 4)
    Traceback (most recent call last):
    ...
    everypose.errors.EveryposeError: annotation 7: bbox must be 4 finite numbers, not [0, 0, 4]
    """
    shape = () if width is None else (width,)
    try:
        array: Float64 = np.asarray(values, np.float64) if values else np.zeros((0, *shape))
        if array.shape[1:] == shape and (np.abs(array) < LARGEST_NUMBER).all():
            return array
    except (TypeError, ValueError, OverflowError):
        pass
    bad = next(row for row, value in enumerate(values) if not _is_usable(value, shape, LARGEST_NUMBER))
    expected = "a finite number" if width is None else f"{width} finite numbers"
    limit = " below 2^53" if _is_usable(values[bad], shape, math.inf) else ""
    raise EveryposeError(f"{names[bad]}: {what} must be {expected}{limit}, not {str(values[bad])[:60]}")


def whole_number_array(values: Sequence[object], names: Sequence[str], what: str) -> Int64:
    """Convert JSON values to whole numbers ``(N,)``.

    Args:
        values: N numbers.
        names: what to call each entry in a message.
        what: what to call the value in a message.

    Raises:
        EveryposeError: if a value is not a whole number below 2^53.

    >>> whole_number_array([3, 4.0], ["entry 0", "entry 1"], "track_id").tolist()
    [3, 4]
    >>> whole_number_array([2.5], ["entry 0"], "track_id")
    Traceback (most recent call last):
    ...
    everypose.errors.EveryposeError: entry 0: track_id must be a whole number, not 2.5
    """
    numbers = number_array(values, names, what)
    broken = np.flatnonzero(numbers % 1)
    if len(broken):
        raise EveryposeError(f"{names[broken[0]]}: {what} must be a whole number, not {str(values[broken[0]])[:60]}")
    return numbers.astype(np.int64)


def flag_array(values: Sequence[object], names: Sequence[str], what: str) -> Mask:
    """Convert flags such as ``iscrowd`` to bool ``(N,)``: 0 and 1 as numbers, text or booleans; null is 0.

    Args:
        values: N flags.
        names: what to call each entry in a message.
        what: what to call the flag in a message.

    Raises:
        EveryposeError: if a value is neither 0 nor 1.

    >>> flag_array([0, "0", "1", None, True], ["a"] * 5, "iscrowd").tolist()
    [False, False, True, False, True]
    """
    flags = np.zeros(len(values), bool)
    for row, value in enumerate(values):
        try:
            flags[row] = value is not None and flag(value)
        except (TypeError, ValueError) as error:
            raise EveryposeError(f"{names[row]}: {what} must be 0 or 1, not {str(value)[:60]}") from error
    return flags


def _is_usable(value: object, shape: tuple[int, ...], limit: float) -> bool:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return array.shape == shape and bool((np.abs(array) < limit).all())


def _require_ids(entries: Iterable[JsonObject], key: str, where: str, *, required: bool = True) -> None:
    for row, entry in enumerate(entries):
        value = entry.get(key)
        if type(value) is int or type(value) is str or (not required and key not in entry):
            continue
        if not (isinstance(value, float) and math.isfinite(value)):
            raise EveryposeError(f"entry {row} of {where}: {key} must be a number or a text, not {value!r:.40}")


def _require_text(entries: Iterable[JsonObject], key: str, where: str) -> None:
    for row, entry in enumerate(entries):
        if not isinstance(value := entry.get(key), str | None):
            raise EveryposeError(f"entry {row} of {where}: {key} must be a text, not {value!r:.40}")

"""Flaws of the annotations: ids, keypoints, boxes, areas."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.data.doctor import flaws
from everypose.data.doctor.flaws import Flaw, flaw
from everypose.data.doctor.images import is_whole
from everypose.data.doctor.table import Table, crowd_flag, identity
from everypose.data.formats.coco_entries import are_shares

# Tools place pixel centers or corners at integers, and round: outside means outside by every convention.
_KEYPOINT_SLACK = 0.5
_BOX_SLACK = 1.0


def check(content: dict[str, Any], table: Table, sizes: Float64) -> list[Flaw]:
    """Flaws of the annotations; ``sizes`` (I, 2) are the images' widths and heights, NaN where unknown.

    >>> from everypose.data.doctor.table import build
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [99, 5, 2], "bbox": [0, 0, 20, 10], "area": 9}
    >>> content = {"images": [{"id": 1}], "annotations": [person], "categories": [{"id": 1, "keypoints": ["nose"]}]}
    >>> [flaw.kind.name for flaw in check(content, build(content), np.array([[64.0, 48.0]]))]
    ['num_keypoints_missing', 'keypoint_outside']
    """
    found = _identities(content, table)
    found += flaw(flaws.FLAG_VALUE, "annotations", _named(table, lambda e: crowd_flag(e.get("iscrowd")) is None))
    found += flaw(flaws.FLAG_TEXT, "annotations", _named(table, _is_flag_text))
    if are_shares(table.boxes, np.nan_to_num(table.keypoints)):
        found += flaw(flaws.NORMALIZED, "annotations", table.names(np.ones(len(table.entries), bool)))
    for kind, mask in {**_keypoint_flaws(table, sizes), **_box_flaws(table, sizes)}.items():
        found += flaw(kind, "annotations", table.names(mask))
    return found


def labeled(table: Table) -> Mask:
    """(N, K) keypoints that are labeled and have usable coordinates: finite, and not at (0, 0).

    >>> from everypose.data.doctor.table import build
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2, 0, 0, 2, 7, 7, 0]}
    >>> categories = [{"id": 1, "keypoints": ["nose", "left_ear", "right_ear"]}]
    >>> labeled(build({"images": [{"id": 1}], "annotations": [person], "categories": categories})).tolist()
    [[True, False, False]]
    """
    return np.asarray(table.labeled & np.isfinite(table.keypoints).all(axis=2) & ~_at_origin(table))


def _at_origin(table: Table) -> Mask:
    """(N, K) labeled keypoints at exactly (0, 0) or (-1, -1): unlabeled ones whose visibility is wrong."""
    points = table.keypoints[..., :2]
    return np.asarray(table.labeled & ((points == 0).all(axis=2) | (points == -1).all(axis=2)))


def outside(points: Float64, sizes: Float64) -> Mask:
    """Whether points (..., 2) lie outside images of ``sizes`` (..., 2); False where a size is unknown.

    >>> outside(np.array([[5.0, 5.0], [50.0, 5.0]]), np.array([[20.0, 10.0], [20.0, 10.0]])).tolist()
    [False, True]
    """
    return np.asarray(((points < -_KEYPOINT_SLACK) | (points > sizes)).any(axis=-1))


def sizes_of(table: Table, sizes: Float64) -> Float64:
    """(N, 2) the size of each annotation's image; NaN for unknown images.

    >>> from everypose.data.doctor.table import build
    >>> person = {"id": 1, "image_id": 4, "category_id": 1, "keypoints": [5, 5, 2]}
    >>> content = {"images": [{"id": 4}], "annotations": [person], "categories": [{"id": 1, "keypoints": ["nose"]}]}
    >>> sizes_of(build(content), np.array([[64.0, 48.0]])).tolist()
    [[64.0, 48.0]]
    """
    return np.concatenate([sizes, np.full((1, 2), np.nan)])[table.image_index]


def _identities(content: dict[str, Any], table: Table) -> list[Flaw]:
    """Ids of annotations, images and categories."""
    entries = content["annotations"]
    bad: list[Any] = [f"no. {index}" for index, entry in enumerate(entries) if not isinstance(entry, dict)]
    bad += [
        key if key is not None else f"no. {index}"
        for index, (key, entry) in enumerate(zip(table.ids, table.entries, strict=True))
        if not is_whole(key) or identity(entry.get("image_id")) is None
    ]
    repeated = [key for key, count in Counter(table.ids).items() if key is not None and count > 1]
    has_image = np.array([identity(entry.get("image_id")) is not None for entry in table.entries], bool)
    of_other_types = [
        str(entry.get("id", f"no. {index}"))
        for key in ("images", "categories", "annotations")
        for index, entry in enumerate(content[key])
        if isinstance(entry, dict) and _has_id_of_other_type(entry)
    ]
    return [
        *flaw(flaws.ID_TYPE, "entries", of_other_types),
        *flaw(flaws.ANNOTATION_ENTRY, "annotations", bad),
        *flaw(flaws.DUPLICATE_ANNOTATION_ID, "annotations", repeated),
        *flaw(flaws.UNKNOWN_IMAGE, "annotations", table.names((table.image_index < 0) & has_image)),
        *flaw(flaws.UNKNOWN_CATEGORY, "annotations", table.names(table.category_index < 0)),
        *flaw(flaws.CROWD, "annotations", table.names(table.is_crowd)),
    ]


def _has_id_of_other_type(entry: dict[str, Any]) -> bool:
    """Whether an id is a whole number that is written as text or with a decimal point."""
    ids = [entry[field] for field in ("id", "image_id", "category_id") if field in entry]
    return any(type(value) is not int and type(identity(value)) is int for value in ids)


def _named(table: Table, is_wrong: Callable[[dict[str, Any]], bool]) -> list[Any]:
    """The annotations for which ``is_wrong``."""
    return table.names(np.array([is_wrong(entry) for entry in table.entries], bool))


def _is_flag_text(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("iscrowd"), str) and crowd_flag(entry["iscrowd"]) is not None


def _keypoint_flaws(table: Table, sizes: Float64) -> dict[flaws.Kind, Mask]:
    """Kind -> (N,) bool."""
    points, visibility = table.keypoints[..., :2], table.keypoints[..., 2]
    origin = _at_origin(table)
    usable = labeled(table)
    beyond = usable & outside(points, sizes_of(table, sizes)[:, None])
    raw, clean = table.labeled.sum(axis=1), usable.sum(axis=1)
    stated = table.num_keypoints
    countable = table.keypoint_count_ok & table.of_keypoints
    return {
        flaws.KEYPOINT_COUNT: ~table.keypoint_count_ok,
        flaws.VISIBILITY: (np.isfinite(visibility) & ~np.isin(visibility, (0, 1, 2))).any(axis=1),
        flaws.NUM_KEYPOINTS: np.isfinite(stated) & countable & ((stated > raw) | (stated < clean)),
        flaws.NO_NUM_KEYPOINTS: np.isnan(stated) & table.of_keypoints,
        flaws.NO_KEYPOINTS: (raw == 0) & countable & ~table.is_crowd & _has_all_numbers(table),
        flaws.KEYPOINT_AT_ORIGIN: origin.any(axis=1),
        flaws.KEYPOINT_OUTSIDE: beyond.any(axis=1),
    }


def _has_all_numbers(table: Table) -> Mask:
    """(N,) whether every keypoint value is a finite number."""
    return np.asarray(np.isfinite(table.keypoints).all(axis=(1, 2)))


def _box_flaws(table: Table, sizes: Float64) -> dict[flaws.Kind, Mask]:
    """Kind -> (N,) bool; values that are not numbers are reported here for boxes and keypoints together."""
    boxes = table.boxes
    finite = np.isfinite(boxes).all(axis=1)
    corners = boxes[:, :2] + boxes[:, 2:]
    image = sizes_of(table, sizes)
    beyond = np.asarray((boxes[:, :2] < -_BOX_SLACK).any(axis=1) | (corners > image + _BOX_SLACK).any(axis=1))
    strange = np.asarray((~_has_all_numbers(table) & table.keypoint_count_ok) | (table.has_box & ~finite))
    text = np.zeros(len(strange), bool)
    for index in np.flatnonzero(strange):
        text[index] = _holds_text(table.entries[index])
    empty = np.asarray(finite & (boxes[:, 2:] <= 0).any(axis=1))
    return {
        flaws.NOT_A_NUMBER: text | table.box_malformed,
        flaws.NOT_FINITE: strange & ~text,
        flaws.NO_BOX: ~table.has_box & ~table.box_malformed,
        flaws.BOX_SIZE: empty,
        flaws.BOX_OUTSIDE: np.asarray(finite & ~empty & beyond & np.isfinite(image).all(axis=1)),
        flaws.NO_AREA: np.asarray(~(table.areas > 0) | np.isinf(table.areas)),
    }


def _holds_text(entry: dict[str, Any]) -> bool:
    """Whether a keypoint or box value is something else than a number or null."""
    lists = [values for values in (entry.get("keypoints"), entry.get("bbox")) if isinstance(values, list)]
    return any(isinstance(value, bool) or not isinstance(value, int | float | None) for v in lists for value in v)

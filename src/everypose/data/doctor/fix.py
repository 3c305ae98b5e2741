"""A corrected copy of an annotation file."""

import json
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.core.files import without_nan
from everypose.core.geometry import keypoint_boxes, xyxy_to_xywh
from everypose.data.doctor import annotations, categories
from everypose.data.doctor.images import ImageFindings, is_whole
from everypose.data.doctor.table import Table, identity, keypoint_names_count
from everypose.data.formats.coco import AREA_OF_BOX


def corrected(content: dict[str, Any], table: Table, images: ImageFindings) -> dict[str, Any]:
    """The content of an annotation file with everything corrected that can be; the input is not changed.

    Kept: labels outside the image, persons without keypoints, crowd regions, and what only a person can decide. Left
    out: entries that cannot be used, and images whose file is missing or unreadable.

    >>> from everypose.data.doctor.images import check
    >>> from everypose.data.doctor.table import build
    >>> person = {"id": "1", "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 20, 10]}
    >>> image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    >>> content = {"images": [image], "annotations": [person], "categories": [{"id": 1, "keypoints": ["nose"]}]}
    >>> table = build(content)
    >>> fixed = corrected(content, table, check([image], None, table))["annotations"][0]
    >>> fixed["id"], fixed["num_keypoints"], round(fixed["area"])
    (1, 1, 106)
    """
    kept = _kept_images(content["images"], images)
    new_images = []
    for index in kept:
        width, height = images.upright[index]
        size = {} if np.isnan(width) or np.isnan(height) else {"width": int(width), "height": int(height)}
        image = content["images"][index]
        new_images.append({**image, "id": identity(image["id"]), **size})
    fixed = {
        **content,
        "images": new_images,
        "categories": [_category(category) for category in content["categories"]],
        "annotations": _annotations(table, images, set(kept)),
    }
    try:
        json.dumps(fixed, allow_nan=False)
    except ValueError:
        return {key: without_nan(value) for key, value in fixed.items()}
    return fixed


def _kept_images(entries: list[Any], images: ImageFindings) -> list[int]:
    """Positions of the image entries that can be used: id and name, the first of each id, a readable file."""
    seen: set[Any] = set()
    kept = []
    for index, entry in enumerate(entries):
        key = identity(entry.get("id")) if isinstance(entry, dict) else None
        if is_whole(key) and isinstance(entry.get("file_name"), str) and key not in seen and not images.gone[index]:
            seen.add(key)
            kept.append(index)
    return kept


def _category(category: Any) -> Any:
    """The category without links that name no keypoint; links that counted from 0 count from 1."""
    count = keypoint_names_count(category)
    if isinstance(category, dict) and identity(category.get("id")) is not None:
        category = {**category, "id": identity(category["id"])}
    if not count:
        return category
    links = category.get("skeleton") if isinstance(category.get("skeleton"), list) else []
    first = categories.first_number(links)
    usable = [link for link in links if categories.link_is_usable(link, count, first)]
    return {**category, "skeleton": [[end - first + 1 for end in link] for link in usable]}


def _annotations(table: Table, images: ImageFindings, kept_images: set[int]) -> list[dict[str, Any]]:
    """The usable annotations, corrected."""
    keypoints, boxes = _upright(table, images)
    labeled = annotations.labeled(table)
    keypoints[~labeled] = 0
    boxes = _boxes(boxes, keypoints, labeled, annotations.sizes_of(table, images.upright))
    usable = np.isin(table.image_index, sorted(kept_images)) & (table.category_index >= 0) & table.keypoint_count_ok
    usable &= (boxes[:, 2:] > 0).all(axis=1)
    area_ok = (table.areas > 0) & np.isfinite(table.areas)
    areas = np.where(area_ok, table.areas, AREA_OF_BOX * boxes[:, 2] * boxes[:, 3])
    ids = _new_ids(table, usable)
    result = []
    for index in np.flatnonzero(usable):
        entry = dict(table.entries[index])
        entry["id"] = ids[index]
        entry |= {key: identity(entry[key]) for key in ("image_id", "category_id")}
        if table.of_keypoints[index] and isinstance(entry.get("keypoints"), list):
            entry["keypoints"] = _plain(keypoints[index, : len(entry["keypoints"]) // 3].reshape(-1))
        # Keypoints of a category that does not name them stay as they are: their names can be added by hand.
        if table.of_keypoints[index] or not entry.get("keypoints"):
            entry["num_keypoints"] = int(labeled[index].sum())
        entry["bbox"] = _plain(boxes[index])
        entry["area"] = _plain(areas[[index]])[0]
        entry["iscrowd"] = int(table.is_crowd[index])
        result.append(entry)
    return result


def _upright(table: Table, images: ImageFindings) -> tuple[Float64, Float64]:
    """Keypoints (N, K, 3) and boxes (N, 4) with the labels of stored frames turned upright."""
    keypoints, boxes = table.keypoints.copy(), table.boxes.copy()
    orientation = np.append(images.stored, 1)[table.image_index]
    sizes = annotations.sizes_of(table, images.sizes)
    for index in np.flatnonzero(orientation != 1):
        width, height = sizes[index]
        labeled = keypoints[index, :, 2] > 0
        keypoints[index, labeled, :2] = turn(keypoints[index, labeled, :2], width - 1, height - 1, orientation[index])
        x, y, w, h = boxes[index]
        corners = turn(np.array([[x, y], [x + w, y + h]]), width, height, orientation[index])
        boxes[index] = [*corners.min(axis=0), *np.ptp(corners, axis=0)]
    return keypoints, boxes


def turn(points: Float64, right: float, bottom: float, orientation: int) -> Float64:
    """Points (P, 2) of a stored frame in the upright picture.

    ``right`` and ``bottom`` are the stored frame's last coordinates: its size less one for pixel centers, its size
    for edges. EXIF orientations 2 to 4 mirror and turn in place, 5 to 8 swap the axes (Exif 2.32, tag 0x0112).

    >>> turn(np.array([[1.0, 2.0]]), right=10.0, bottom=20.0, orientation=3).tolist()
    [[9.0, 18.0]]
    """
    x, y = points[:, 0], points[:, 1]
    left, up = right - x, bottom - y
    turned = {2: (left, y), 3: (left, up), 4: (x, up), 5: (y, x), 6: (up, x), 7: (up, left), 8: (y, left)}
    return np.stack(turned[int(orientation)], axis=1)


def _boxes(boxes: Float64, keypoints: Float64, labeled: Mask, sizes: Float64) -> Float64:
    """(N, 4) the boxes where they have a size, else the labeled keypoints' extent (zero for none), cut to the image."""
    extent = xyxy_to_xywh(keypoint_boxes(np.concatenate([keypoints[..., :2], labeled[..., None]], axis=2)))
    good = np.asarray(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    whole = np.where(good[:, None], boxes, extent)
    low = whole[:, :2].clip(0)
    high = np.fmin(whole[:, :2] + whole[:, 2:], sizes)  # fmin: an unknown size is NaN and cuts nothing
    return np.concatenate([low, high - low], axis=1)


def _new_ids(table: Table, usable: Mask) -> list[int]:
    """The annotations' ids as whole numbers; annotations without an id or with a repeated one get new ids."""
    numbers = [key if isinstance(key, int) and is_whole(key) else None for key in table.ids]
    following = max((value for value in numbers if value is not None), default=0) + 1
    seen: set[int] = set()
    ids = []
    for value, used in zip(numbers, usable, strict=True):
        if used and (value is None or value in seen):
            value, following = following, following + 1
        ids.append(-1 if value is None else value)
        if used:
            seen.add(ids[-1])
    return ids


def _plain(values: Float64) -> list[float | int]:
    """Numbers for JSON: whole ones without a decimal point."""
    return [int(value) if value.is_integer() else float(value) for value in values.tolist()]

"""COCO exports of annotation tools (CVAT, Label Studio, Roboflow), corrected where they differ from COCO."""

from collections import Counter
from typing import Any

import numpy as np

from everypose.data.formats.coco import AREA_OF_BOX, coco_category_fields
from everypose.data.formats.coco_entries import parse_entries, require_pixels, whole_visibilities
from everypose.errors import EveryposeError
from everypose.skeleton.matching import pairs_note, require_same_indices
from everypose.skeleton.skeleton import Skeleton


def is_label_studio(content: dict[str, Any]) -> bool:
    """Whether Label Studio wrote a COCO file.

    >>> is_label_studio({"images": []})
    False
    """
    info = content.get("info")
    return isinstance(info, dict) and info.get("contributor") == "Label Studio"


def cleaned(
    content: dict[str, Any], where: str = "the annotation file", skeleton: Skeleton | None = None
) -> tuple[dict[str, Any], list[str]]:
    """A COCO export with what everypose and other readers of COCO files need.

    Categories without keypoints are left out with their annotations (in Label Studio's files their boxes go to the
    people first), annotation ids count from 1, image names lose the server's prefix, missing ``num_keypoints``,
    ``area`` and ``iscrowd`` are filled in.

    Args:
        content: parsed JSON.
        where: what error messages call the file.
        skeleton: what the keypoints are, in place of what the categories say.

    Returns:
        The content, and what was changed, one sentence each.

    Raises:
        EveryposeError: if no category has keypoints, an entry lacks what it needs, a value has a wrong type or is not
            finite, or the skeleton has other keypoints.

    >>> person = {"id": 0, "image_id": 1, "category_id": 0, "keypoints": [5, 5, 2, 9, 9, 2], "bbox": [0, 0, 20, 10]}
    >>> content = {
    ...     "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    ...     "annotations": [person], "categories": [{"id": 0, "name": "mouse", "keypoints": ["nose", "tail"]}],
    ... }
    >>> fixed, notes = cleaned(content)
    >>> fixed["annotations"][0]["id"], fixed["annotations"][0]["num_keypoints"]
    (1, 2)
    """
    content = parse_entries(content, where, finite=True)
    categories = [category for category in content["categories"] if category.get("keypoints")]
    if not categories and skeleton is None:
        raise EveryposeError(
            f"{where}: no category lists its keypoints: export skeletons (CVAT) or KeyPointLabels (Label Studio), or "
            "give --skeleton NAME"
        )
    categories = [_with_skeleton(each, skeleton, where) for each in categories or content["categories"]]
    note = None if categories[0].get("flip_idx") else pairs_note(categories[0]["keypoints"])
    notes = [note] if note else []
    wanted = {category["id"]: 3 * len(category["keypoints"]) for category in categories}
    annotations: list[dict[str, Any]] = content["annotations"]
    others = [entry for entry in annotations if entry.get("category_id") not in wanted]
    people = [entry for entry in annotations if entry.get("category_id") in wanted]
    for entry in people:
        _require_count(entry, wanted[entry["category_id"]], where)
    if is_label_studio(content):
        people, others = _with_boxes(people, others, notes)
    if others:
        notes.append(f"{len(others):,} annotations of categories without keypoints were left out")
    _number_ids(people, notes)
    _require_pixel_values(people, where)
    _fill_in(people, notes)
    images = [{**image, "file_name": _plain_name(image["file_name"])} for image in content["images"]]
    return {**content, "images": images, "categories": categories, "annotations": people}, notes


def _with_skeleton(category: dict[str, Any], skeleton: Skeleton | None, where: str) -> dict[str, Any]:
    """The category with the names, pairs and links of the skeleton that was given."""
    if skeleton is None:
        return category
    names = category.get("keypoints") or skeleton.keypoints
    if len(names) != len(skeleton):
        raise EveryposeError(
            f"{where} has {len(names)} keypoints, but the skeleton {skeleton.name!r} has {len(skeleton)}"
        )
    require_same_indices(names, skeleton, where)
    return {**category, **coco_category_fields(skeleton)}


def _require_count(entry: dict[str, Any], length: int, where: str) -> None:
    """Require as many keypoints as the category has; an annotation without any gets zeros."""
    keypoints = entry.get("keypoints", [])
    if len(keypoints) not in (0, length):
        raise EveryposeError(
            f"{where}: annotation {entry.get('id')} has {len(keypoints) / 3:g} keypoints, but its category has "
            f"{length // 3}; 'everypose data doctor' finds all of them"
        )
    if not keypoints:
        entry["keypoints"] = [0] * length


def _number_ids(people: list[dict[str, Any]], notes: list[str]) -> None:
    """Ids from 1, because COCO's evaluators take 0 for none; new ones where an annotation has none."""
    shift = 1 if any(entry.get("id") == 0 for entry in people) else 0
    following = max((entry["id"] for entry in people if "id" in entry), default=0) + shift + 1
    for entry in people:
        if "id" in entry:
            entry["id"] += shift
        else:
            entry["id"], following = following, following + 1
    if shift:
        notes.append("annotation ids count from 1 now: COCO's evaluators take 0 for none")


def _require_pixel_values(people: list[dict[str, Any]], where: str) -> None:
    boxes = np.array([entry.get("bbox", [np.nan] * 4) for entry in people], np.float64).reshape(-1, 4)
    keypoints = [np.array(entry["keypoints"], np.float64).reshape(-1, 3) for entry in people]
    require_pixels(boxes, np.concatenate([np.zeros((0, 3)), *keypoints]), where)


def _fill_in(people: list[dict[str, Any]], notes: list[str]) -> None:
    """Fill in what COCO's annotations have and exports may lack, and count what was changed."""
    changed: Counter[str] = Counter()
    for entry in people:
        keypoints = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        if fractional := whole_visibilities(keypoints):
            changed["visibilities that are no whole numbers were taken as 2 (visible)"] += fractional
            entry["keypoints"] = [
                int(keypoints[index // 3, 2]) if index % 3 == 2 else value
                for index, value in enumerate(entry["keypoints"])
            ]
        labeled = int((keypoints[:, 2] > 0).sum())
        changed["num_keypoints were counted from the labels"] += entry.get("num_keypoints") != labeled
        entry["num_keypoints"] = labeled
        entry.setdefault("iscrowd", 0)
        if entry.get("bbox") and not entry.get("area"):
            entry["area"] = AREA_OF_BOX * entry["bbox"][2] * entry["bbox"][3]
            changed[f"areas are {AREA_OF_BOX} of the box"] += 1
    notes += [f"{number:,} {what}" for what, number in changed.items() if number]


def _with_boxes(
    people: list[dict[str, Any]], others: list[dict[str, Any]], notes: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give Label Studio's keypoints the smallest rectangle drawn around them.

    Its COCO export puts all keypoints of an image into one annotation, with their extent as box, and the rectangles
    into others: of several people in an image only one set of keypoints is left. Rectangles without keypoints become
    persons without labels.
    """
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in others:
        by_image.setdefault(entry["image_id"], []).append(entry)
    rest: list[dict[str, Any]] = []
    crowded = 0
    for person in people:
        boxes = [box for box in by_image.pop(person["image_id"], []) if "bbox" in box]
        crowded += len(boxes) > 1
        around = [box for box in boxes if _holds(box["bbox"], person["keypoints"])]
        chosen = min(around, key=lambda box: box["bbox"][2] * box["bbox"][3], default=None)
        if chosen is not None:
            person["bbox"] = list(chosen["bbox"])
        rest += [_unlabeled(box, person) for box in boxes if box is not chosen]
    if crowded:
        notes.append(
            f"{crowded:,} images have several rectangles but one set of keypoints: Label Studio's COCO export mixes "
            "the people of an image; its YOLO export keeps them apart"
        )
    return people + rest, [entry for entries in by_image.values() for entry in entries]


def _unlabeled(box: dict[str, Any], person: dict[str, Any]) -> dict[str, Any]:
    """A rectangle as a person without labeled keypoints."""
    return {**box, "category_id": person["category_id"], "keypoints": [0] * len(person["keypoints"])}


def _holds(box: list[float], keypoints: list[float]) -> bool:
    """Whether all labeled keypoints lie in a box x, y, width, height, give or take the pixel that export rounds to."""
    x, y, width, height = box
    points = zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)
    return all(x - 1 <= px <= x + width + 1 and y - 1 <= py <= y + height + 1 for px, py, v in points if v > 0)


def _plain_name(name: str) -> str:
    """The image's name without a server's address (Label Studio's local files end in ``?d=folder/name``)."""
    return name.rsplit("?d=", 1)[-1].replace("\\", "/")

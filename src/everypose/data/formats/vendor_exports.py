"""COCO exports of annotation tools (CVAT, Label Studio, Roboflow), set right where they leave COCO's ways."""

from typing import Any

from everypose.data.formats.coco import AREA_OF_BOX
from everypose.errors import EveryposeError


def is_label_studio(content: dict[str, Any]) -> bool:
    """Whether Label Studio wrote a COCO file."""
    info = content.get("info")
    return isinstance(info, dict) and info.get("contributor") == "Label Studio"


def cleaned(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A COCO export with what everypose and other readers of COCO files need.

    Categories without keypoints are left out with their annotations (in Label Studio's files their boxes go to the
    people first), ids count from 1, image names lose the server's prefix, missing ``num_keypoints``, ``area`` and
    ``iscrowd`` are filled in.

    Returns:
        The content, and what was changed, one sentence each.

    Raises:
        EveryposeError: when no category has keypoints, or an entry lacks what it needs.
    """
    try:
        return _cleaned(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise EveryposeError(
            f"an image or annotation is malformed ({what}); 'everypose data doctor' says more"
        ) from error


def _cleaned(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    categories = [category for category in content["categories"] if category.get("keypoints")]
    if not categories:
        raise EveryposeError(
            "no category lists its keypoints: export skeletons (CVAT) or KeyPointLabels (Label Studio)"
        )
    notes: list[str] = []
    annotations = [dict(entry) for entry in content["annotations"]]
    wanted = {category["id"] for category in categories}
    others = [entry for entry in annotations if entry["category_id"] not in wanted]
    people = [entry for entry in annotations if entry["category_id"] in wanted]
    if is_label_studio(content):
        people, others = _with_boxes(people, others, notes)
    if others:
        notes.append(f"{len(others):,} annotations of categories without keypoints were left out")
    shift = 1 if any(entry["id"] == 0 for entry in people) else 0
    if shift:
        notes.append("annotation ids count from 1 now: COCO's evaluators take 0 for none")
    changes = [_complete(entry, shift) for entry in people]
    for index, what in enumerate(("num_keypoints were counted from the labels", f"areas are {AREA_OF_BOX} of the box")):
        if number := sum(change[index] for change in changes):
            notes.append(f"{number:,} {what}")
    images = [{**image, "file_name": _plain_name(str(image["file_name"]))} for image in content["images"]]
    return {**content, "images": images, "categories": categories, "annotations": people}, notes


def _complete(entry: dict[str, Any], shift: int) -> tuple[bool, bool]:
    """Fill in what COCO's annotations have and exports may lack; whether num_keypoints and the area were changed."""
    entry["id"] += shift
    told = entry.get("num_keypoints")
    entry["num_keypoints"] = sum(visibility > 0 for visibility in entry.get("keypoints", [])[2::3])
    entry.setdefault("iscrowd", 0)
    without_area = bool(entry.get("bbox")) and not entry.get("area")
    if without_area:
        entry["area"] = AREA_OF_BOX * entry["bbox"][2] * entry["bbox"][3]
    return told != entry["num_keypoints"], without_area


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
        boxes = by_image.pop(person["image_id"], [])
        crowded += len(boxes) > 1
        around = [box for box in boxes if _holds(box["bbox"], person["keypoints"])]
        chosen = min(around, key=lambda box: box["bbox"][2] * box["bbox"][3], default=None)
        if chosen is not None:
            person["bbox"] = list(chosen["bbox"])
        rest += [_unlabelled(box, person) for box in boxes if box is not chosen]
    if crowded:
        notes.append(
            f"{crowded:,} images have several rectangles but one set of keypoints: Label Studio's COCO export mixes "
            "the people of an image; its YOLO export keeps them apart"
        )
    return people + rest, [entry for entries in by_image.values() for entry in entries]


def _unlabelled(box: dict[str, Any], person: dict[str, Any]) -> dict[str, Any]:
    """A rectangle as a person without labelled keypoints."""
    return {**box, "category_id": person["category_id"], "keypoints": [0] * len(person["keypoints"])}


def _holds(box: list[float], keypoints: list[float]) -> bool:
    """Whether all labelled keypoints lie in a box x, y, width, height, give or take the pixel that export rounds to."""
    x, y, width, height = box
    points = zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)
    return all(x - 1 <= px <= x + width + 1 and y - 1 <= py <= y + height + 1 for px, py, v in points if v > 0)


def _plain_name(name: str) -> str:
    """The image's name without a server's address (Label Studio's local files end in ``?d=folder/name``)."""
    return name.rsplit("?d=", 1)[-1].replace("\\", "/")

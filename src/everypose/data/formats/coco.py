"""COCO-format annotation files as scenes; what cannot be used is an error, what was repaired is reported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.core.geometry import keypoint_boxes, xywh_to_xyxy, xyxy_to_xywh
from everypose.data.discovery.annotation_files import load
from everypose.data.formats.coco_entries import (
    WHOLE_BODY_PARTS,
    parse_entries,
    require_pixels,
    whole_visibilities,
)
from everypose.data.formats.image_places import ImageFolder, ImagePlace, ImagePlaces
from everypose.data.scenes import Scene, SceneSet, Segmentation
from everypose.errors import EveryposeError
from everypose.skeleton.matching import require_same_indices
from everypose.skeleton.skeleton import Skeleton

# The share of its box that a person covers, used if there is no segmentation (CrowdPose's protocol).
AREA_OF_BOX = 0.53
_NOT_EXTRA = frozenset(
    {"id", "file_name", "width", "height", "license", "coco_url", "flickr_url", "date_captured", "not_exhaustive"}
)


def read_coco(annotation_file: Path | str, image_root: Path | str, skeleton: Skeleton | None = None) -> SceneSet:
    """Read a COCO-format keypoint annotation file.

    All categories that share the skeleton are read as one (AP-10K has 54 of them). Repaired, and reported in
    ``SceneSet.repairs``: missing areas (0.53 of the box), empty boxes of labeled people (the keypoints' extent),
    keypoints that are no numbers (unlabeled), a wrong ``num_keypoints`` (the labels count), missing image sizes,
    annotations of no image or with nothing in them (left out). Boxes that pass the border stay as they are.

    Args:
        annotation_file: the JSON file.
        image_root: the folder that the images' ``file_name`` is relative to. Missing images show when they are read.
        skeleton: what the keypoints are; without it, what the file's category says.

    Raises:
        EveryposeError: if the file is not JSON or not COCO, or its keypoints do not match the skeleton; the message
            names the entry.

    >>> import json
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2, 9, 9, 2], "bbox": [0, 0, 20, 10]}
    >>> image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> content = {"images": [image], "annotations": [person], "categories": [category]}
    >>> _ = Path("mice.json").write_text(json.dumps(content))
    >>> mice = read_coco("mice.json", "images")
    >>> mice.skeleton.keypoints, mice.scenes[0].areas.tolist(), mice.repairs
    (('nose', 'tail'), [106.0], ['1 missing areas were taken as 0.53 of the box'])
    """
    annotation_file = Path(annotation_file)
    return parse_coco(load(annotation_file), annotation_file, ImageFolder(Path(image_root)), skeleton)


def parse_coco(
    content: Mapping[str, Any], annotation_file: Path, places: ImagePlaces, skeleton: Skeleton | None = None
) -> SceneSet:
    """Make scenes of the content of a COCO-format annotation file; otherwise as :func:`read_coco`.

    Args:
        content: parsed JSON.
        annotation_file: where it is from.
        places: where the images are.
        skeleton: what the keypoints are; without it, what the category says.

    Raises:
        EveryposeError: as :func:`read_coco`.

    >>> from everypose.data.formats.image_places import ImageFolder
    >>> content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    >>> len(parse_coco(content, Path("gt.json"), ImageFolder(Path("photos")), Skeleton.named("coco")))
    0
    """
    repairs: Counter[str] = Counter()
    content = parse_entries(content, str(annotation_file), repairs=repairs)
    categories = _keypoint_categories(content["categories"], annotation_file, skeleton)
    if skeleton is None:
        skeleton = Skeleton.from_coco_category(categories[0])
    require_same_indices(categories[0].get("keypoints") or (), skeleton, str(annotation_file))
    images = _unique_images(content["images"], annotation_file, repairs)
    names = {category["id"] for category in categories}
    chosen = [entry for entry in content["annotations"] if entry.get("category_id") in names]
    kept = [entry for entry in chosen if entry["image_id"] in images]
    repairs["annotations of images that the file does not list were left out"] += len(chosen) - len(kept)
    found = places.find([entry["file_name"] for entry in images.values()], annotation_file, repairs)
    scenes = _scenes(list(images.values()), kept, skeleton, annotation_file, found, repairs)
    notes = [f"{count} {what}" for what, count in repairs.items() if count]
    return SceneSet(scenes, skeleton, annotation_file.stem, annotation_file, notes)


def _keypoint_categories(categories: list[Any], path: Path, skeleton: Skeleton | None) -> list[dict[str, Any]]:
    """The categories whose keypoints are read: those with keypoints, or any where the skeleton is given."""
    usable = [entry for entry in categories if isinstance(entry, dict) and "id" in entry]
    with_keypoints = [entry for entry in usable if entry.get("keypoints")]
    if with_keypoints:
        first = with_keypoints[0]["keypoints"]
        if any(entry["keypoints"] != first for entry in with_keypoints):
            raise EveryposeError(f"{path} holds categories with different keypoints; split it by category")
        return with_keypoints
    if skeleton is not None and usable:
        people = [entry for entry in usable if str(entry.get("name", "")).lower() == "person"]
        return people or usable
    raise EveryposeError(f"{path} does not say what its keypoints are: no category lists 'keypoints'; give a skeleton")


def _unique_images(images: list[Any], path: Path, repairs: Counter[str]) -> dict[int, dict[str, Any]]:
    """Image entries by id, in the file's order."""
    unique: dict[int, dict[str, Any]] = {}
    for entry in images:
        known = unique.setdefault(entry["id"], entry)
        if known is not entry:
            if known["file_name"] != entry["file_name"]:
                raise EveryposeError(
                    f"{path}: image id {entry['id']} stands for {known['file_name']} and {entry['file_name']}"
                )
            repairs["images listed twice were taken once"] += 1
    return unique


def _scenes(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    skeleton: Skeleton,
    annotation_file: Path,
    places: Sequence[ImagePlace],
    repairs: Counter[str],
) -> list[Scene]:
    """All annotations as arrays at once, sorted by image, then cut into scenes."""
    position = {entry["id"]: index for index, entry in enumerate(images)}
    image_of = np.array([position[entry["image_id"]] for entry in annotations], dtype=np.int64)
    order = np.argsort(image_of, kind="stable")
    annotations, image_of = [annotations[index] for index in order], image_of[order]

    keypoints = _keypoints(annotations, skeleton, annotation_file, repairs)
    boxes, boxless = _boxes(annotations, keypoints, repairs)
    areas = _areas(annotations, boxes, repairs)
    require_pixels(xyxy_to_xywh(boxes[~boxless]), keypoints, str(annotation_file))
    is_crowd = np.array([entry.get("iscrowd", 0) == 1 for entry in annotations], dtype=np.bool_)
    ids = np.array([entry.get("id", index) for index, entry in enumerate(annotations)], dtype=np.int64)
    segmentations: list[Segmentation] = [entry.get("segmentation") for entry in annotations]

    without_segmentation = np.array([segmentation is None for segmentation in segmentations], dtype=np.bool_)
    empty = boxless & without_segmentation
    repairs["annotations without box, keypoints and segmentation were left out"] += int(empty.sum())
    kept = np.flatnonzero(~empty)
    bounds = np.searchsorted(image_of[kept], np.arange(len(images) + 1))

    scenes = []
    for index, (entry, place) in enumerate(zip(images, places, strict=True)):
        rows = kept[bounds[index] : bounds[index + 1]]
        width, height = _size(entry, place, repairs)
        scenes.append(
            Scene(
                image_id=entry["id"],
                path=place.path,
                file_name=entry["file_name"],
                width=width,
                height=height,
                annotation_ids=ids[rows],
                keypoints=keypoints[rows],
                boxes=boxes[rows],
                areas=areas[rows],
                is_crowd=is_crowd[rows],
                segmentations=[segmentations[row] for row in rows],
                extra={key: value for key, value in entry.items() if key not in _NOT_EXTRA},
                member=place.member,
            )
        )
    return scenes


def _keypoints(annotations: list[dict[str, Any]], skeleton: Skeleton, path: Path, repairs: Counter[str]) -> Float64:
    """(N, K, 3); zeros for annotations without keypoints."""
    count = len(skeleton)
    none = [0.0] * (3 * count)
    lists = [_keypoint_list(entry, count) or none for entry in annotations]
    for entry, values in zip(annotations, lists, strict=True):
        if len(values) != 3 * count:
            raise EveryposeError(
                f"{path}: annotation {entry.get('id')} has {len(values) / 3:g} keypoints, but the skeleton "
                f"{skeleton.name!r} has {count}; give the skeleton that the annotations follow"
            )
    keypoints = np.array(lists, dtype=np.float64).reshape(-1, count, 3)
    unusable = ~np.isfinite(keypoints).all(axis=2)
    repairs["keypoints that are no numbers were taken as unlabeled"] += int(unusable.sum())
    keypoints[unusable] = 0
    repairs["visibilities that are no whole numbers were taken as 2 (visible)"] += whole_visibilities(keypoints)
    keypoints[:, :, 2] = keypoints[:, :, 2].clip(0, 2)

    labeled = (keypoints[:, :, 2] > 0).sum(axis=1)
    stated = np.array([entry.get("num_keypoints", -1) for entry in annotations])
    repairs["annotations had a num_keypoints other than their labels; the labels count"] += int(
        ((stated >= 0) & (stated != labeled)).sum()
    )
    return keypoints


def _keypoint_list(annotation: dict[str, Any], count: int) -> Sequence[float]:
    """The annotation's flat x, y, v list; whole-body parts are joined when the skeleton has them."""
    keypoints: Sequence[float] = annotation.get("keypoints") or ()
    if keypoints and len(keypoints) != 3 * count and all(part in annotation for part in WHOLE_BODY_PARTS):
        return [value for part in WHOLE_BODY_PARTS for value in annotation[part]]
    return keypoints


def _boxes(annotations: list[dict[str, Any]], keypoints: Float64, repairs: Counter[str]) -> tuple[Float64, Mask]:
    """(N, 4) x1 y1 x2 y2, and (N,) bool where there is neither a box nor a keypoint to make one from."""
    xywh = np.array([entry.get("bbox") or (0, 0, 0, 0) for entry in annotations], dtype=np.float64).reshape(-1, 4)
    empty = np.asarray(~np.isfinite(xywh).all(axis=1) | (xywh[:, 2:] <= 0).any(axis=1))
    boxes = xywh_to_xyxy(xywh)
    fixable = empty & (keypoints[:, :, 2] > 0).any(axis=1)
    boxes[fixable] = keypoint_boxes(keypoints[fixable])
    repairs["missing or empty boxes were replaced by their keypoints' extent"] += int(fixable.sum())
    boxless = empty & ~fixable
    boxes[boxless] = 0
    return boxes, boxless


def _areas(annotations: list[dict[str, Any]], boxes: Float64, repairs: Counter[str]) -> Float64:
    areas = np.array([entry.get("area", -1.0) for entry in annotations], dtype=np.float64)
    missing = ~(np.isfinite(areas) & (areas > 0))
    areas[missing] = AREA_OF_BOX * np.prod(boxes[missing, 2:] - boxes[missing, :2], axis=1)
    repairs[f"missing areas were taken as {AREA_OF_BOX} of the box"] += int(missing.sum())
    return areas


def _size(entry: dict[str, Any], place: ImagePlace, repairs: Counter[str]) -> tuple[int, int]:
    """Width and height as the file says, else as the image does."""
    if "width" in entry and "height" in entry:
        return int(entry["width"]), int(entry["height"])
    repairs["missing image sizes were read from the images"] += 1
    return place.size()


def coco_category_fields(skeleton: Skeleton) -> dict[str, Any]:
    """Convert a skeleton to the fields of a COCO category.

    Links count from 1; ``flip_idx`` is included if the names do not determine left and right.

    Example:
        >>> coco_category_fields(Skeleton("pair", ("a", "b"), ((0, 1),), ((0, 1),), None))
        {'keypoints': ['a', 'b'], 'skeleton': [[1, 2]], 'flip_idx': [1, 0]}
    """
    links = [[start + 1, end + 1] for start, end in skeleton.links]
    fields = {"keypoints": list(skeleton.keypoints), "skeleton": links}
    try:
        says_pairs = Skeleton.from_coco_category(fields).flip_pairs == skeleton.flip_pairs
    except EveryposeError:
        says_pairs = False
    return fields if says_pairs else {**fields, "flip_idx": skeleton.flip_index.tolist()}


def coco_content(scenes: SceneSet) -> dict[str, Any]:
    """A set of scenes as the content of a COCO annotation file.

    >>> content = coco_content(SceneSet([], Skeleton.named("coco"), "train"))
    >>> content["annotations"], content["categories"][0]["keypoints"][:2]
    ([], ['nose', 'left_eye'])
    """
    category = {"id": 1, "name": "person", **coco_category_fields(scenes.skeleton)}
    images, annotations = [], []
    for scene in scenes:
        size = {"width": scene.width, "height": scene.height}
        images.append({"id": scene.image_id, "file_name": scene.file_name, **size, **scene.extra})
        boxes = xyxy_to_xywh(scene.boxes)
        for index in range(len(scene)):
            entry = {
                "id": int(scene.annotation_ids[index]),
                "image_id": scene.image_id,
                "category_id": 1,
                "keypoints": scene.keypoints[index].reshape(-1).tolist(),
                "num_keypoints": int((scene.keypoints[index, :, 2] > 0).sum()),
                "bbox": boxes[index].tolist(),
                "area": float(scene.areas[index]),
                "iscrowd": int(scene.is_crowd[index]),
            }
            segmentation = scene.segmentations[index]
            annotations.append(entry if segmentation is None else {**entry, "segmentation": segmentation})
    return {"images": images, "annotations": annotations, "categories": [category]}

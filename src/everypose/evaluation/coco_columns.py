"""The columns of COCO-format entries: each function reads one field of all entries into an array and checks it."""

from collections.abc import Mapping, Sequence

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.geometry import keypoint_boxes, xyxy_to_xywh
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.data.formats.coco_entries import WHOLE_BODY_PARTS
from everypose.errors import EveryposeError
from everypose.evaluation.coco_schema import JsonId, JsonObject, number_array


def scored_images(entries: Sequence[JsonObject], notes: list[str]) -> list[JsonObject]:
    """Image entries by ascending id, without those that PoseTrack18 marks with ``is_labeled`` false.

    >>> notes = []
    >>> scored_images([{"id": 2}, {"id": 1, "is_labeled": False}], notes)
    [{'id': 2}]
    >>> notes
    ['1 images are marked as not labeled and are not scored']
    """
    require_unique([entry["id"] for entry in entries], "image id")
    scored = [entry for entry in entries if entry.get("is_labeled", True)]
    if len(scored) < len(entries):
        notes.append(f"{len(entries) - len(scored)} images are marked as not labeled and are not scored")
    try:
        return sorted(scored, key=lambda entry: entry["id"])
    except TypeError as error:
        raise EveryposeError("the annotation file mixes text and numbers as image ids") from error


def require_unique(ids: Sequence[object], what: str) -> None:
    """Check that no id repeats; the message names the first that does.

    >>> require_unique([1, 2, 1], "image id")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: the annotation file has 1 duplicate image ids (first: 1); `everypose data ...
    """
    if len(set(ids)) == len(ids):
        return
    seen: set[object] = set()
    first = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
    raise EveryposeError(
        f"the annotation file has {len(ids) - len(set(ids))} duplicate {what}s (first: {first});"
        " `everypose data doctor` finds them"
    )


def read_categories(
    entries: Sequence[JsonObject] | None, annotations: Sequence[JsonObject]
) -> list[tuple[JsonId, str]]:
    """(id, name) of the listed categories, or of those that the annotations use.

    >>> read_categories([{"id": 2, "name": "rat"}, {"id": 1, "name": "mouse"}], [])
    [(1, 'mouse'), (2, 'rat')]
    """
    if entries:
        require_unique([entry["id"] for entry in entries], "category id")
        pairs = {entry["id"]: str(entry.get("name", entry["id"])) for entry in entries}
    else:
        pairs = {identity: str(identity) for identity in (a.get("category_id", 1) for a in annotations)}
    if not pairs:
        raise EveryposeError("the annotation file has no category and no annotation: nothing to measure")
    try:
        return sorted(pairs.items())
    except TypeError as error:
        raise EveryposeError("the annotation file mixes text and numbers as category ids") from error


def category_index(annotations: Sequence[JsonObject], categories: Sequence[tuple[JsonId, str]]) -> Int64:
    """(N,) index of each annotation's category; the first where an annotation has none.

    >>> category_index([{"category_id": 4}, {}], [(3, "mouse"), (4, "rat")]).tolist()
    [1, 0]
    """
    index: dict[object, int] = {identity: row for row, (identity, _) in enumerate(categories)}
    ids = [a.get("category_id", categories[0][0]) for a in annotations]
    for annotation, identity in zip(annotations, ids, strict=True):
        if identity not in index:
            raise EveryposeError(
                f"annotation {annotation.get('id')} has category {identity}, not listed in the annotation file"
            )
    return np.array([index[identity] for identity in ids], np.int64)


def index_of(what: str, values: Sequence[object], known: Sequence[JsonId], names: Sequence[str]) -> Int64:
    """(M,) index of each value in ``known``.

    >>> index_of("image_id", [9, 9], [7, 9], ["prediction 0", "prediction 1"]).tolist()
    [1, 1]
    """
    index: Mapping[object, int] = {identity: row for row, identity in enumerate(known)}
    unknown = [row for row, value in enumerate(values) if value not in index]
    if unknown:
        raise EveryposeError(
            f"{len(unknown)} predictions whose {what} is not in the annotation file"
            f" (first: {names[unknown[0]]}, {what} {values[unknown[0]]!r:.60});"
            " are these predictions for this annotation file?"
        )
    return np.array([index[value] for value in values], np.int64)


def read_keypoints(entries: Sequence[JsonObject], count: int, names: Sequence[str]) -> Float64:
    """(N, K, 3) of all entries; zeros, which is COCO's "not labeled", for entries without keypoints.

    >>> read_keypoints([{"keypoints": [4, 5, 2]}, {}], 1, ["first", "second"]).tolist()
    [[[4.0, 5.0, 2.0]], [[0.0, 0.0, 0.0]]]
    """
    flat = []
    for entry, name in zip(entries, names, strict=True):
        values = entry.get("keypoints") or [0.0] * (3 * count)
        if not isinstance(values, list):
            raise EveryposeError(f"{name}: keypoints must be a list of {3 * count} numbers")
        if count == 133 and len(values) == 51:
            values = _joined_parts(entry, values)
        if len(values) != 3 * count:
            raise EveryposeError(
                f"{name} (image {entry.get('image_id')}) has {len(values) / 3:g} keypoints, the skeleton has {count}"
            )
        flat.append(values)
    return number_array(flat, names, "keypoints", 3 * count).reshape(len(entries), count, 3)


def _joined_parts(entry: JsonObject, body: list[object]) -> list[object]:
    """The five lists of a COCO-WholeBody annotation as one; ``body`` alone where a list is missing."""
    parts = [entry.get(part) or () for part in WHOLE_BODY_PARTS]
    if not all(isinstance(part, list) for part in parts):
        return body
    return [value for part in parts for value in part]


def read_boxes(annotations: Sequence[JsonObject], keypoints: Float64, names: Sequence[str]) -> Float64:
    """(N, 4) x, y, width, height; the labeled keypoints' extent where ``bbox`` is missing or has no size.

    >>> keypoints = np.array([[[4.0, 5.0, 2.0], [8.0, 9.0, 2.0]]])
    >>> read_boxes([{}], keypoints, ["first"]).tolist()  # no bbox: the keypoints' extent
    [[4.0, 5.0, 4.0, 4.0]]
    """
    boxes = number_array([a.get("bbox") or (0, 0, 0, 0) for a in annotations], names, "bbox", 4)
    empty = (boxes[:, 2:] <= 0).any(axis=1) & (keypoints[:, :, 2] > 0).any(axis=1)
    boxes[empty] = xyxy_to_xywh(keypoint_boxes(keypoints[empty]))
    return boxes


def read_num_keypoints(
    annotations: Sequence[JsonObject], labeled: Int64, names: Sequence[str], notes: list[str]
) -> Int64:
    """(N,) ``num_keypoints`` of the file, as pycocotools takes it; the labeled keypoints where it is missing or null.

    A file with separate whole-body parts counts the body alone there: the labeled keypoints are taken instead.

    >>> notes = []
    >>> read_num_keypoints([{"num_keypoints": 3}, {}], np.array([2, 5]), ["first", "second"], notes).tolist()
    [3, 5]
    >>> notes
    ["num_keypoints of 1 people disagrees with their labels; the file's numbers are used"]
    """
    if any(WHOLE_BODY_PARTS[1] in a for a in annotations):
        return labeled
    given = [
        n if (value := a.get("num_keypoints")) is None else value
        for a, n in zip(annotations, labeled.tolist(), strict=True)
    ]
    counts = number_array(given, names, "num_keypoints").clip(0, 2**31).astype(np.int64)
    if differing := int((counts != labeled).sum()):
        notes.append(f"num_keypoints of {differing} people disagrees with their labels; the file's numbers are used")
    return counts


def read_areas(annotations: Sequence[JsonObject], boxes: Float64, names: Sequence[str]) -> tuple[Float64, str]:
    """(N,) areas and where they come from, in words; an area of 0, as CVAT writes it, is a missing one.

    >>> boxes = np.array([[0.0, 0, 10, 20], [0, 0, 10, 20]])
    >>> areas, source = read_areas([{"area": 90.0}, {}], boxes, ["first", "second"])
    >>> areas.round(1).tolist(), source
    ([90.0, 106.0], 'annotation, 0.53 x box for 1 without')
    """
    given = number_array([a.get("area") or 0.0 for a in annotations], names, "area")
    if (negative := np.flatnonzero(given < 0)).size:
        raise EveryposeError(f"{names[negative[0]]}: area must not be negative, it is {given[negative[0]]:g}")
    missing = given == 0
    if annotations and missing.all():
        return box_areas(boxes), f"{AREA_OF_BOX} x box"
    source = f"annotation, {AREA_OF_BOX} x box for {missing.sum()} without" if missing.any() else "annotation"
    return np.where(missing, box_areas(boxes), given), source


def box_areas(boxes: Float64) -> Float64:
    """(N,) 0.53 x the area of boxes (N, 4); the order of the product is that of CrowdPose's tool.

    >>> box_areas(np.array([[0.0, 0, 10, 20]])).round(1).tolist()  # 0.53 of the box
    [106.0]
    """
    areas: Float64 = AREA_OF_BOX * boxes[:, 3].clip(min=0) * boxes[:, 2].clip(min=0)
    return areas


def read_crowd_index(images: Sequence[JsonObject]) -> Float64:
    """(images,) ``crowdIndex``; NaN where it is missing.

    >>> read_crowd_index([{"id": 1, "crowdIndex": 0.6}, {"id": 2}]).tolist()
    [0.6, nan]
    """
    given = [row for row, image in enumerate(images) if image.get("crowdIndex") is not None]
    index = np.full(len(images), np.nan)
    names = [f"image {images[row]['id']}" for row in given]
    index[given] = number_array([images[row]["crowdIndex"] for row in given], names, "crowdIndex")
    return index


def detection_areas(results: Sequence[JsonObject], keypoints: Float64, names: Sequence[str]) -> tuple[Float64, str]:
    """(M,) areas by pycocotools' rule: the first result decides for all between boxes and keypoint extents.

    >>> keypoints = np.array([[[0.0, 0.0, 0.9], [10.0, 20.0, 0.9]]])
    >>> detection_areas([{"score": 0.9}], keypoints, ["prediction 0"])
    (array([200.]), 'keypoint extent')
    """
    if results and results[0].get("bbox"):
        boxes = number_array([r.get("bbox") for r in results], names, "bbox", 4)
        return boxes[:, 2] * boxes[:, 3], "bbox"
    extent = keypoints[:, :, :2].max(axis=1) - keypoints[:, :, :2].min(axis=1) if results else np.zeros((0, 2))
    return extent[:, 0] * extent[:, 1], "keypoint extent"


def result_notes(corrected: int, image: Int64, scores: Float64, keypoints: Float64) -> list[str]:
    """What a reader of the scores must know about the results.

    >>> result_notes(0, np.array([0]), np.array([0.9]), np.zeros((1, 17, 3)))
    ['1 predictions have all keypoints at (0, 0); they are scored as they are, which tools disagree on']
    """
    notes = []
    if corrected:
        notes.append(
            f"the image_id of {corrected} predictions is another image in the annotation file; they are matched to"
            " images by file_name"
        )
    if zero := int((keypoints[:, :, :2] == 0).all(axis=(1, 2)).sum()):
        notes.append(
            f"{zero} predictions have all keypoints at (0, 0); they are scored as they are, which tools disagree on"
        )
    rows = np.column_stack([image, scores, keypoints.reshape(len(image), -1)]) if len(image) else np.zeros((0, 1))
    if repeated := len(rows) - len({row.tobytes() for row in rows}):
        notes.append(f"{repeated} predictions repeat another one exactly; each repetition counts as a false detection")
    return notes

"""COCO-format truth and results as arrays, checked.

pycocotools keeps each person and each detection in a dictionary; here they are rows of arrays, which is what makes
loading and OKS fast. What pycocotools would get wrong without a word is an error here, or a note in the result.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.core.geometry import keypoint_boxes, xyxy_to_xywh
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.data.formats.coco_entries import WHOLE_BODY_PARTS
from everypose.errors import EveryposeError
from everypose.evaluation.coco_schema import require_coco, require_results

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """The annotated people of a data set, in file order.

    Attributes:
        image_ids: the images that are scored, ascending; ``image`` indexes them.
        categories: (id, name) by ascending id; ``category`` indexes them.
        images: the images' JSON entries, in the order of ``image_ids``.
        image, category: (N,) int64.
        annotation_ids: (N,) the file's ids (the row where the file has none).
        keypoints: (N, K, 3) float64: x, y in image pixels, visibility.
        boxes: (N, 4) float64: x, y, width, height.
        areas: (N,) float64, square pixels.
        crowd: (N,) bool: crowd regions.
        labelled: (N,) int64: the file's ``num_keypoints``, or the count of labels where the file has none.
        area_source: where ``areas`` come from, in words.
        notes: what a reader of the scores must know about this file.
        unscored_ids: images that nobody labelled, by their own word; what is found there is neither right nor wrong.
    """

    image_ids: list[Any]
    images: list[dict[str, Any]]
    categories: list[tuple[int, str]]
    image: Ints
    category: Ints
    annotation_ids: list[Any]
    keypoints: Floats
    boxes: Floats
    areas: Floats
    crowd: Bools
    labelled: Ints
    area_source: str
    notes: list[str] = field(default_factory=list)
    unscored_ids: frozenset[Any] = frozenset()

    @property
    def counted(self) -> Bools:
        """(N,) the people who are right or wrong to find: labelled, and no crowd region."""
        return (self.labelled > 0) & ~self.crowd


@dataclass(frozen=True)
class Results:
    """Detections, in file order.

    Attributes:
        image, category: (M,) int64, indices into the truth's ``image_ids`` and ``categories``.
        keypoints: (M, K, 3) float64: x, y in image pixels, score.
        scores: (M,) float64.
        areas: (M,) float64: of the ``bbox`` where the first result has one, else of the keypoints' extent.
        area_source: which of the two (pycocotools' rule).
        notes: what a reader of the scores must know about this file.
    """

    image: Ints
    category: Ints
    keypoints: Floats
    scores: Floats
    areas: Floats
    area_source: str
    notes: list[str] = field(default_factory=list)


def read_truth(truth: dict[str, Any], keypoint_count: int, box_areas: bool = False) -> Truth:
    """Turn a COCO-format annotation file's content into arrays.

    Args:
        truth: the JSON content; COCO-WholeBody's separate parts are joined when ``keypoint_count`` is 133.
        keypoint_count: K of the skeleton.
        box_areas: use 0.53 x box for every area, as CrowdPose's tool does; else only where ``area`` is missing.

    Raises:
        EveryposeError: when the content is no COCO-format truth, ids repeat, counts differ, or numbers are not finite.
    """
    require_coco(truth)
    notes: list[str] = []
    images = _scored_images(truth["images"], notes)
    image_ids = [image["id"] for image in images]
    rank = {image_id: row for row, image_id in enumerate(image_ids)}
    annotations = truth["annotations"]
    _no_duplicates([a["id"] for a in annotations if "id" in a], "annotation id", "the truth")
    listed = [a for a in annotations if a.get("image_id") in rank]
    if len(listed) < len(annotations):
        notes.append(f"{len(annotations) - len(listed)} annotations belong to no scored image and are left out")
    categories = _categories(truth.get("categories"), listed)
    category_rank = {identity: row for row, (identity, _) in enumerate(categories)}
    if not categories:
        raise EveryposeError("the truth has no category and no annotation: nothing to measure")
    unknown = next((a for a in listed if a.get("category_id", categories[0][0]) not in category_rank), None)
    if unknown is not None:
        raise EveryposeError(
            f"annotation {unknown.get('id')} has category {unknown.get('category_id')}, not listed in the truth"
        )
    names = [f"annotation {a.get('id', row)}" for row, a in enumerate(listed)]
    keypoints = _keypoints(listed, keypoint_count, names)
    boxes = _boxes(listed, keypoints, names)
    count = (keypoints[:, :, 2] > 0).sum(axis=1)
    labelled = _labelled(listed, count, names, notes)
    areas, area_source = _areas(listed, boxes, names, box_areas)
    return Truth(
        image_ids=image_ids,
        images=images,
        categories=categories,
        image=np.array([rank[a["image_id"]] for a in listed], np.int64),
        category=np.array([category_rank[a.get("category_id", categories[0][0])] for a in listed], np.int64),
        annotation_ids=[a.get("id", row) for row, a in enumerate(listed)],
        keypoints=keypoints,
        boxes=boxes,
        areas=areas,
        crowd=np.array([bool(a.get("iscrowd", 0)) for a in listed], bool),
        labelled=labelled,
        area_source=area_source,
        notes=notes,
        unscored_ids=frozenset(entry["id"] for entry in truth["images"]) - rank.keys(),
    )


def only_category(truth: Truth) -> int | None:
    """The id of the category that all labelled people have (or the only listed one); None where there are several."""
    used = np.unique(truth.category[truth.counted]).tolist()
    if len(truth.categories) == 1 or len(used) == 1:
        return truth.categories[used[0] if used else 0][0]
    return None


def category_of_images(truth: Truth) -> dict[Any, int]:
    """The category id that whatever is found in an image counts as, by image id.

    That is the only category there is, or that of the people labelled in the image: AP-10K and APT-36K are scored by
    species, which a model that finds everybody does not name. Images where it cannot be told are left out.

    Raises:
        EveryposeError: when an image has labelled people of several categories.
    """
    only = only_category(truth)
    if only is not None:
        return dict.fromkeys(truth.image_ids, only)
    found: dict[Any, int] = {}
    for image, category in zip(
        truth.image[truth.counted].tolist(), truth.category[truth.counted].tolist(), strict=True
    ):
        identity = truth.categories[category][0]
        if found.setdefault(truth.image_ids[image], identity) != identity:
            raise EveryposeError(
                f"image {truth.image_ids[image]} has labelled people of several categories, and a model that finds"
                " everybody by itself names none; score a results file that does (--predictions)"
            )
    return found


def read_results(results: list[dict[str, Any]], truth: Truth, keypoint_count: int) -> Results:
    """Turn a COCO results list into arrays.

    Raises:
        EveryposeError: for unknown images or categories, wrong keypoint counts, and scores or keypoints not finite.
    """
    require_results(results)
    if truth.unscored_ids:
        results = [r for r in results if r.get("image_id") not in truth.unscored_ids]
    rank = {image_id: row for row, image_id in enumerate(truth.image_ids)}
    category_rank: dict[int | None, int] = {identity: row for row, (identity, _) in enumerate(truth.categories)}
    only = only_category(truth)
    names = [f"prediction {row}" for row in range(len(results))]
    for what, known, default in (("image_id", rank, None), ("category_id", category_rank, only)):
        unknown = [row for row, r in enumerate(results) if r.get(what, default) not in known]
        if unknown:
            raise EveryposeError(
                f"{len(unknown)} predictions whose {what} is not in the truth"
                f" (first: prediction {unknown[0]}, {what} {results[unknown[0]].get(what)!r});"
                " are these predictions for this annotation file?"
            )
    scores = _numbers([r.get("score") for r in results], names, "score")
    keypoints = _keypoints(results, keypoint_count, names)
    areas, area_source = _detection_areas(results, keypoints)
    notes = []
    if nothing := int((keypoints[:, :, :2] == 0).all(axis=(1, 2)).sum()):
        notes.append(
            f"{nothing} predictions have all keypoints at (0, 0); they are scored as they are, which tools disagree on"
        )
    image = np.array([rank[r["image_id"]] for r in results], np.int64)
    rows = np.column_stack([image, scores, keypoints.reshape(len(results), keypoint_count * 3)])
    if repeated := len(results) - len({row.tobytes() for row in rows}):
        notes.append(f"{repeated} predictions repeat another one exactly; each repetition counts as a false detection")
    return Results(
        image=image,
        category=np.array(
            [category_rank[r.get("category_id", only)] for r in results],
            np.int64,
        ),
        keypoints=keypoints,
        scores=scores,
        areas=areas,
        area_source=area_source,
        notes=notes,
    )


def _scored_images(entries: list[dict[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """The images to score by ascending id; PoseTrack18 marks frames that nobody labelled with ``is_labeled`` false."""
    _no_duplicates([entry["id"] for entry in entries], "image id", "the truth")
    scored = [entry for entry in entries if entry.get("is_labeled", True)]
    if len(scored) < len(entries):
        notes.append(f"{len(entries) - len(scored)} images are marked as not labelled and are left out")
    try:
        return sorted(scored, key=lambda entry: entry["id"])
    except TypeError as error:
        raise EveryposeError("the truth mixes text and numbers as image ids") from error


def _no_duplicates(ids: Sequence[Hashable], what: str, where: str) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[Hashable] = set()
    first = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
    raise EveryposeError(
        f"{where} has {len(ids) - len(set(ids))} duplicate {what}s (first: {first}); `everypose data doctor` finds them"
    )


def _categories(entries: list[dict[str, Any]] | None, annotations: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """(id, name) of the file's categories that hold keypoints, or of those that its annotations name."""
    if entries:
        _no_duplicates([entry["id"] for entry in entries], "category id", "the truth")
        return sorted((entry["id"], str(entry.get("name", entry["id"]))) for entry in entries)
    return [(identity, str(identity)) for identity in sorted({a.get("category_id", 1) for a in annotations})]


def _keypoints(entries: list[dict[str, Any]], count: int, names: list[str]) -> Floats:
    """(N, K, 3) of all entries; entries without keypoints are zeros, which is COCO's "not labelled"."""
    if odd := [row for row, entry in enumerate(entries) if not isinstance(entry.get("keypoints") or [], list)]:
        raise EveryposeError(f"{names[odd[0]]}: keypoints must be a list of {3 * count} numbers")
    flat = [_joined(entry, count) for entry in entries]
    wrong = next((row for row, values in enumerate(flat) if len(values) != 3 * count), None)
    if wrong is not None:
        raise EveryposeError(
            f"{names[wrong]} (image {entries[wrong].get('image_id')}) has {len(flat[wrong]) / 3:g} keypoints,"
            f" the skeleton has {count}"
        )
    return _numbers(flat, names, "keypoints", 3 * count).reshape(len(entries), count, 3)


def _joined(entry: dict[str, Any], count: int) -> Sequence[float]:
    values: Sequence[float] = entry.get("keypoints") or [0.0] * (3 * count)
    if count == 133 and len(values) == 51 and all(isinstance(entry.get(part), list) for part in WHOLE_BODY_PARTS):
        return [value for part in WHOLE_BODY_PARTS for value in entry[part]]
    return values


def _numbers(values: list[Any], names: list[str], what: str, width: int | None = None) -> Floats:
    """``values`` as float64: (N,), or (N, width).

    Raises:
        EveryposeError: naming the first entry that is no number, not finite, or of another length.
    """
    shape = () if width is None else (width,)
    try:
        array = np.asarray(values, np.float64) if values else np.zeros((0, *shape))
        if array.shape[1:] == shape and np.isfinite(array).all():
            return array
    except (TypeError, ValueError):
        pass
    bad = next(row for row, value in enumerate(values) if not _is_finite(value, shape))
    many = "a finite number" if width is None else f"{width} finite numbers"
    raise EveryposeError(f"{names[bad]}: {what} must be {many}, not {str(values[bad])[:60]}")


def _is_finite(value: Any, shape: tuple[int, ...]) -> bool:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return False
    return array.shape == shape and bool(np.isfinite(array).all())


def _boxes(annotations: list[dict[str, Any]], keypoints: Floats, names: list[str]) -> Floats:
    """(N, 4) x, y, width, height; the labelled keypoints' extent where ``bbox`` is missing or without a size."""
    boxes = _numbers([a.get("bbox") or (0, 0, 0, 0) for a in annotations], names, "bbox", 4)
    empty = (boxes[:, 2:] <= 0).any(axis=1) & (keypoints[:, :, 2] > 0).any(axis=1)
    boxes[empty] = xyxy_to_xywh(keypoint_boxes(keypoints[empty]))
    return boxes


def _labelled(annotations: list[dict[str, Any]], count: Ints, names: list[str], notes: list[str]) -> Ints:
    """(N,) the files' ``num_keypoints``, as pycocotools; the labels' count where there is none, or parts are joined."""
    if any(WHOLE_BODY_PARTS[1] in a for a in annotations):
        return count  # such a file's num_keypoints counts the body alone
    given = [a.get("num_keypoints", n) for a, n in zip(annotations, count.tolist(), strict=True)]
    labelled = _numbers(given, names, "num_keypoints").clip(0, 2**31).astype(np.int64)
    if differing := int((labelled != count).sum()):
        notes.append(f"num_keypoints of {differing} people disagrees with their labels; the file's numbers are used")
    return labelled


def _areas(annotations: list[dict[str, Any]], boxes: Floats, names: list[str], box_areas: bool) -> tuple[Floats, str]:
    """(N,) areas and where they come from, in words; an area of 0, as CVAT writes it, is a missing one."""
    of_boxes = AREA_OF_BOX * boxes[:, 3].clip(min=0) * boxes[:, 2].clip(min=0)
    given = _numbers([a.get("area") or 0.0 for a in annotations], names, "area")
    if (negative := np.flatnonzero(given < 0)).size:
        raise EveryposeError(f"{names[negative[0]]}: area must not be negative, it is {given[negative[0]]:g}")
    missing = given == 0
    if box_areas or (annotations and missing.all()):
        return of_boxes, f"{AREA_OF_BOX} x box"
    source = f"annotation, {AREA_OF_BOX} x box for {missing.sum()} without" if missing.any() else "annotation"
    return np.where(missing, of_boxes, given), source


def _detection_areas(results: list[dict[str, Any]], keypoints: Floats) -> tuple[Floats, str]:
    """(M,) areas by pycocotools' rule: the first result decides for all whether boxes or keypoints' extents count."""
    if results and results[0].get("bbox"):
        names = [f"prediction {row}" for row in range(len(results))]
        boxes = _numbers([r.get("bbox") for r in results], names, "bbox", 4)
        return boxes[:, 2] * boxes[:, 3], "bbox"
    extent = keypoints[:, :, :2].max(axis=1) - keypoints[:, :, :2].min(axis=1) if results else np.zeros((0, 2))
    return extent[:, 0] * extent[:, 1], "keypoint extent"

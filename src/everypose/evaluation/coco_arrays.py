"""COCO-format ground truth and results as arrays, checked while they are read.

pycocotools keeps each person and each detection in a dictionary. Here they are rows of arrays, which makes loading and
OKS fast, and every metric takes the same arrays. What pycocotools would silently score wrongly is an error here, or a
note that is printed with the scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.errors import EveryposeError
from everypose.evaluation.coco_columns import (
    box_areas,
    category_index,
    detection_areas,
    index_of,
    read_areas,
    read_boxes,
    read_categories,
    read_crowd_index,
    read_keypoints,
    read_num_keypoints,
    require_unique,
    result_notes,
    scored_images,
)
from everypose.evaluation.coco_schema import (
    JsonId,
    JsonObject,
    flag_array,
    number_array,
    require_coco,
    require_results,
)
from everypose.evaluation.head_sizes import read_head_sizes
from everypose.evaluation.image_matching import match_images


@dataclass(frozen=True)
class GroundTruth:
    """The annotated people of a data set, in file order.

    Attributes:
        image_ids: ids of the images that are scored, ascending; ``image`` indexes them.
        file_names: file name of each of these images; None where the file has none.
        crowd_index: (images,) float64, CrowdPose's ``crowdIndex``; NaN where the file has none.
        categories: (id, name) by ascending id; ``category`` indexes them.
        image: (N,) int64, index of each person's image.
        category: (N,) int64, index of each person's category.
        annotation_ids: N ids of the file; the row where the file has none.
        keypoints: (N, K, 3) float64: x, y in image pixels, COCO visibility (0 is unlabeled).
        boxes: (N, 4) float64: x, y, width, height in image pixels.
        areas: (N,) float64, square pixels.
        is_crowd: (N,) bool, crowd regions.
        num_keypoints: (N,) int64, as the file says, or the number of labeled keypoints.
        head_sizes: (N,) float64, head sizes for PCKh in pixels; NaN where the file has none.
        area_source: where ``areas`` come from, in words.
        notes: what a reader of the scores must know about this file.
        unscored_file_names: id to file name of images that are marked as not annotated; results there are not scored.

    >>> person = {"id": 7, "image_id": 1, "keypoints": [4, 5, 2, 0, 0, 0], "bbox": [0, 0, 10, 10]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 2)
    >>> ground_truth.is_labeled.tolist(), ground_truth.is_scored.tolist()
    ([[True, False]], [True])
    """

    image_ids: list[JsonId]
    file_names: list[str | None]
    crowd_index: Float64
    categories: list[tuple[JsonId, str]]
    image: Int64
    category: Int64
    annotation_ids: list[JsonId]
    keypoints: Float64
    boxes: Float64
    areas: Float64
    is_crowd: Mask
    num_keypoints: Int64
    head_sizes: Float64
    area_source: str
    notes: list[str] = field(default_factory=list)
    unscored_file_names: dict[JsonId, str | None] = field(default_factory=dict)

    @property
    def is_scored(self) -> Mask:
        """(N,) bool, people that a detection must find: with labeled keypoints, and not a crowd region."""
        return (self.num_keypoints > 0) & ~self.is_crowd

    @property
    def is_labeled(self) -> Mask:
        """(N, K) bool, keypoints that are annotated."""
        labeled: Mask = self.keypoints[:, :, 2] > 0
        return labeled

    def with_box_areas(self) -> "GroundTruth":
        """The same people with 0.53 x box as area, as CrowdPose's tool takes it."""
        return replace(self, areas=box_areas(self.boxes), area_source=f"{AREA_OF_BOX} x box")

    def select_images(self, image_ids: Sequence[JsonId]) -> "GroundTruth":
        """The ground truth of some of the images.

        Args:
            image_ids: ids in ``image_ids``, in any order.
        """
        chosen = set(image_ids)
        kept = [row for row, image_id in enumerate(self.image_ids) if image_id in chosen]
        new_index = np.full(len(self.image_ids), -1)
        new_index[kept] = np.arange(len(kept))
        people = np.flatnonzero(new_index[self.image] >= 0)
        return replace(
            self,
            image_ids=[self.image_ids[row] for row in kept],
            file_names=[self.file_names[row] for row in kept],
            crowd_index=self.crowd_index[kept],
            image=new_index[self.image[people]],
            category=self.category[people],
            annotation_ids=[self.annotation_ids[row] for row in people.tolist()],
            keypoints=self.keypoints[people],
            boxes=self.boxes[people],
            areas=self.areas[people],
            is_crowd=self.is_crowd[people],
            num_keypoints=self.num_keypoints[people],
            head_sizes=self.head_sizes[people],
        )


@dataclass(frozen=True)
class Results:
    """Scored poses of a COCO results list, in file order.

    Attributes:
        rows: (M,) int64, place of each pose in the list; poses in images that are not scored are left out.
        image: (M,) int64, index into the ground truth's ``image_ids``.
        category: (M,) int64, index into the ground truth's ``categories``.
        keypoints: (M, K, 3) float64: x, y in image pixels, score.
        scores: (M,) float64.
        areas: (M,) float64, square pixels: of ``bbox`` if the first result has one, else of the keypoints' extent.
        area_source: which of the two (pycocotools' rule).
        annotation_ids: M ids of the annotated person that each pose predicts; None where the file names none.
        notes: what a reader of the scores must know about this file.

    >>> person = {"id": 7, "image_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> results = read_results([{"image_id": 1, "keypoints": [4, 6, 0.8], "score": 0.9}], ground_truth)
    >>> results.scores.tolist(), results.area_source
    ([0.9], 'keypoint extent')
    """

    rows: Int64
    image: Int64
    category: Int64
    keypoints: Float64
    scores: Float64
    areas: Float64
    area_source: str
    annotation_ids: list[JsonId | None]
    notes: list[str] = field(default_factory=list)


def read_ground_truth(content: JsonObject, keypoint_count: int) -> GroundTruth:
    """Convert the content of a COCO-format annotation file to arrays.

    Args:
        content: the parsed JSON. COCO-WholeBody's separate parts are joined when ``keypoint_count`` is 133.
        keypoint_count: K of the skeleton.

    Raises:
        EveryposeError: if the content is not COCO-format, ids repeat, or keypoints have a wrong length or
            are not finite.

    >>> person = {"id": 7, "image_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> ground_truth.keypoints.shape, ground_truth.areas.round(6).tolist(), ground_truth.area_source
    ((1, 1, 3), [53.0], '0.53 x box')
    """
    require_coco(content)
    images: list[JsonObject] = content["images"]
    annotations: list[JsonObject] = content["annotations"]
    listed_categories: list[JsonObject] | None = content.get("categories")
    notes: list[str] = []
    scored = scored_images(images, notes)
    index = {image["id"]: row for row, image in enumerate(scored)}
    require_unique([a["id"] for a in annotations if "id" in a], "annotation id")
    listed = [a for a in annotations if a["image_id"] in index]
    if len(listed) < len(annotations):
        notes.append(f"{len(annotations) - len(listed)} annotations belong to no scored image and are not used")
    categories = read_categories(listed_categories, listed)
    names = [f"annotation {a.get('id', row)}" for row, a in enumerate(listed)]
    keypoints = read_keypoints(listed, keypoint_count, names)
    boxes = read_boxes(listed, keypoints, names)
    areas, area_source = read_areas(listed, boxes, names)
    return GroundTruth(
        image_ids=[image["id"] for image in scored],
        file_names=[image.get("file_name") for image in scored],
        crowd_index=read_crowd_index(scored),
        categories=categories,
        image=np.array([index[a["image_id"]] for a in listed], np.int64),
        category=category_index(listed, categories),
        annotation_ids=[a.get("id", row) for row, a in enumerate(listed)],
        keypoints=keypoints,
        boxes=boxes,
        areas=areas,
        is_crowd=flag_array([a.get("iscrowd") for a in listed], names, "iscrowd"),
        num_keypoints=read_num_keypoints(listed, (keypoints[:, :, 2] > 0).sum(axis=1), names, notes),
        head_sizes=read_head_sizes(listed, names),
        area_source=area_source,
        notes=notes,
        unscored_file_names={i["id"]: i.get("file_name") for i in images if i["id"] not in index},
    )


def read_results(results: Sequence[JsonObject], ground_truth: GroundTruth) -> Results:
    """Convert a COCO results list to arrays.

    Args:
        results: ``[{image_id, category_id, keypoints, score}, ...]``. ``file_name`` decides on the image where it is
            given; ``category_id`` may be missing if all annotated people have one category.
        ground_truth: what the results are to be scored against.

    Raises:
        EveryposeError: if an image or category is unknown, an image_id contradicts its file_name, or keypoints or
            scores have a wrong length or are not finite.

    >>> person = {"id": 7, "image_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [person]}, 1)
    >>> pose = {"image_id": 1, "keypoints": [4, 6, 0.8], "score": 0.9, "bbox": [0, 0, 10, 12]}
    >>> results = read_results([pose], ground_truth)
    >>> results.keypoints.tolist(), results.areas.tolist()
    ([[[4.0, 6.0, 0.8]]], [120.0])
    """
    require_results(results)
    file_names = dict(zip(ground_truth.image_ids, ground_truth.file_names, strict=True))
    matched = match_images(results, file_names | ground_truth.unscored_file_names)
    rows = [row for row, image_id in enumerate(matched.image_ids) if image_id not in ground_truth.unscored_file_names]
    chosen = [results[row] for row in rows]
    names = [f"prediction {row}" for row in rows]
    only = only_category(ground_truth)
    image = index_of("image_id", [matched.image_ids[row] for row in rows], ground_truth.image_ids, names)
    category_ids = [identity for identity, _ in ground_truth.categories]
    category = index_of("category_id", [r.get("category_id", only) for r in chosen], category_ids, names)
    scores = number_array([r.get("score") for r in chosen], names, "score")
    keypoints = read_keypoints(chosen, ground_truth.keypoints.shape[1], names)
    areas, area_source = detection_areas(chosen, keypoints, names)
    return Results(
        rows=np.array(rows, np.int64),
        image=image,
        category=category,
        keypoints=keypoints,
        scores=scores,
        areas=areas,
        area_source=area_source,
        annotation_ids=[r.get("annotation_id") for r in chosen],
        notes=result_notes(matched.corrected, image, scores, keypoints),
    )


def only_category(ground_truth: GroundTruth) -> JsonId | None:
    """The id of the category of all people to be found, or the only listed one; None if there are several.

    >>> person = {"id": 7, "image_id": 1, "category_id": 3, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> categories = [{"id": 3, "name": "mouse"}, {"id": 4, "name": "rat"}]
    >>> content = {"images": [{"id": 1}], "annotations": [person], "categories": categories}
    >>> only_category(read_ground_truth(content, 1))  # there are no rats
    3
    """
    used = np.unique(ground_truth.category[ground_truth.is_scored]).tolist()
    if len(ground_truth.categories) == 1 or len(used) == 1:
        return ground_truth.categories[used[0] if used else 0][0]
    return None


def category_of_images(ground_truth: GroundTruth) -> dict[JsonId, JsonId]:
    """The category id that detections in an image get, by image id.

    It is the only category, or that of the people annotated in the image: AP-10K and APT-36K are scored by species,
    which a pose model does not predict. Images without annotated people are missing if there are several categories.

    Raises:
        EveryposeError: if an image has annotated people of several categories.

    >>> categories = [{"id": 3, "name": "mouse"}, {"id": 4, "name": "rat"}]
    >>> animal = {"keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10]}
    >>> animals = [animal | {"id": i, "image_id": i, "category_id": i + 2} for i in (1, 2)]
    >>> content = {"images": [{"id": 1}, {"id": 2}], "annotations": animals, "categories": categories}
    >>> category_of_images(read_ground_truth(content, 1))
    {1: 3, 2: 4}
    """
    only = only_category(ground_truth)
    if only is not None:
        return dict.fromkeys(ground_truth.image_ids, only)
    found: dict[JsonId, JsonId] = {}
    scored = ground_truth.is_scored
    for image, category in zip(
        ground_truth.image[scored].tolist(), ground_truth.category[scored].tolist(), strict=True
    ):
        category_id = ground_truth.categories[category][0]
        image_id = ground_truth.image_ids[image]
        if found.setdefault(image_id, category_id) != category_id:
            raise EveryposeError(
                f"image {image_id} has labeled people of several categories, which a pose model does not predict;"
                " score a results file with category_id (--predictions)"
            )
    return found

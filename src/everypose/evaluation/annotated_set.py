"""A split of a data set, parsed once into the arrays that prediction and every metric use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import xywh_to_xyxy
from everypose.data.discovery.annotation_files import image_path
from everypose.data.discovery.tool_files import read_annotations
from everypose.data.formats.coco import coco_content
from everypose.data.formats.mpii import read_mpii
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.coco_arrays import (
    GroundTruth,
    category_of_images,
    only_category,
    read_ground_truth,
    read_results,
)
from everypose.evaluation.coco_schema import JsonId, JsonObject, require_coco
from everypose.evaluation.metrics.average_precision import OksScores, score_oks
from everypose.evaluation.metrics.by_distance import DISTANCE_METRICS
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.metrics.oks import compute_oks
from everypose.skeleton.matching import require_same_indices
from everypose.skeleton.skeleton import Skeleton, recognize

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout


@dataclass(frozen=True)
class AnnotatedSet:
    """The annotated people of a split and where its images are.

    Attributes:
        layout: where the files are.
        skeleton: of the annotated keypoints.
        metric: what the split is scored by.
        ground_truth: the annotated people, with the areas that the metric uses.

    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("mice.json"),), Path("images"), None, None, "the given annotation file")
    >>> mouse = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2, 9, 9, 2], "bbox": [0, 0, 20, 10]}
    >>> content = {
    ...     "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [mouse],
    ...     "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}],
    ... }
    >>> annotated = AnnotatedSet.from_content(content, layout)
    >>> annotated.metric, annotated.boxes_of(1).tolist(), annotated.paths[1].name
    ('coco', [[0.0, 0.0, 20.0, 10.0]], 'a.jpg')
    """

    layout: "Layout"
    skeleton: Skeleton
    metric: Metric
    ground_truth: GroundTruth

    @classmethod
    def read(
        cls, layout: "Layout", *, metric: Metric | None = None, skeleton: Skeleton | None = None
    ) -> "AnnotatedSet":
        """Read the split's annotation files.

        Args:
            layout: see ``everypose.data.discovery.layouts.find_data``.
            metric: default: the one that the data set is published with.
            skeleton: default: the data set's own, or what the annotation file's category says.

        Raises:
            EveryposeError: if an annotation file cannot be read or used, or has other keypoints than ``skeleton``.
        """
        contents = [_read_content(path, layout.image_root) for path in layout.annotation_files]
        if skeleton is None and layout.skeleton_name:
            skeleton = Skeleton.named(layout.skeleton_name)
        return cls.from_content(_joined(contents), layout, metric=metric, skeleton=skeleton)

    @classmethod
    def from_content(
        cls, content: JsonObject, layout: "Layout", *, metric: Metric | None = None, skeleton: Skeleton | None = None
    ) -> "AnnotatedSet":
        """Convert the content of an annotation file; arguments and errors as ``read``."""
        path = layout.annotation_file
        require_coco(content, str(path))
        if skeleton is None:
            skeleton = _skeleton_of(content, path)
        else:
            for category in content.get("categories", ()):
                require_same_indices(category.get("keypoints", ()), skeleton, str(path))
        ground_truth = read_ground_truth(content, len(skeleton))
        chosen = metric or choose_metric(skeleton, ground_truth)
        if chosen == "crowdpose":
            ground_truth = ground_truth.with_box_areas()
        return cls(layout, skeleton, chosen, ground_truth)

    @property
    def one_prediction_per_person(self) -> bool:
        """Whether the metric takes exactly one prediction for each annotated person."""
        return self.metric in DISTANCE_METRICS

    @cached_property
    def category_of_image(self) -> dict[JsonId, JsonId]:
        """Image id to the category id of detections there; images without one are not predicted.

        Raises:
            EveryposeError: if an image has annotated people of several categories.
        """
        return category_of_images(self.ground_truth)

    @cached_property
    def paths(self) -> dict[JsonId, Path]:
        """Image id to image file, of the images on which a model is run.

        Raises:
            EveryposeError: if an image has no file name.
        """
        root, paths = self.layout.image_root, {}
        for image_id, name in zip(self.ground_truth.image_ids, self.ground_truth.file_names, strict=True):
            if image_id not in self.category_of_image:
                continue
            if name is None:
                raise EveryposeError(f"image {image_id} of {self.layout.annotation_file} has no file_name")
            paths[image_id] = image_path(root, name) or root / name
        return paths

    @cached_property
    def rows_of_image(self) -> dict[JsonId, list[int]]:
        """Image id to the rows in ``ground_truth`` of people with a labeled keypoint, without crowd regions."""
        ground_truth = self.ground_truth
        rows: dict[JsonId, list[int]] = {image_id: [] for image_id in ground_truth.image_ids}
        labeled = ground_truth.is_labeled.any(axis=1) & ~ground_truth.is_crowd
        for row in np.flatnonzero(labeled).tolist():
            rows[ground_truth.image_ids[ground_truth.image[row]]].append(row)
        return rows

    def boxes_of(self, image_id: JsonId) -> Float64:
        """Boxes (P, 4), x1 y1 x2 y2, of an image's people in the order of ``rows_of_image``."""
        return xywh_to_xyxy(self.ground_truth.boxes[self.rows_of_image[image_id]])

    def select_images(self, image_ids: Sequence[JsonId]) -> "AnnotatedSet":
        """The same set with some of its images only."""
        return replace(self, ground_truth=self.ground_truth.select_images(image_ids))

    def for_model(self, model: str, skeleton: Skeleton, *, sigmas: tuple[float, ...] | None = None) -> "AnnotatedSet":
        """The set with the sigmas to score a model with: those given, its own, or those of the model's skeleton.

        Args:
            model: its name, for messages.
            skeleton: the model's.
            sigmas: replace all others.

        Raises:
            UsageError: if the model predicts other keypoints than the set is annotated with.
            EveryposeError: if the metric needs sigmas and there are none.
        """
        own = self.skeleton
        if skeleton.keypoints != own.keypoints:
            raise UsageError(
                f"{model} predicts the keypoints of {skeleton.name}, the data are annotated with those of {own.name}:"
                " a score needs the same keypoints in the same order"
            )
        if own.sigmas is None:
            own = replace(own, sigmas=skeleton.sigmas)
        return replace(self, skeleton=own).with_sigmas(sigmas)

    def with_sigmas(self, sigmas: tuple[float, ...] | None) -> "AnnotatedSet":
        """The set with other sigmas; with its own for None.

        Raises:
            EveryposeError: if the metric is one of OKS and the skeleton has no sigmas.
            UsageError: if there are more or fewer sigmas than keypoints.
        """
        if sigmas is None:
            if not self.one_prediction_per_person:
                self.skeleton.require_sigmas()
            return self
        return replace(self, skeleton=replace_sigmas(self.skeleton, sigmas))

    def score_oks(self, results: Sequence[JsonObject]) -> OksScores:
        """AP and AR of a COCO results list, by CrowdPose's protocol if that is the metric, else by COCO's.

        Raises:
            EveryposeError: if the results cannot be scored.
        """
        pairs = compute_oks(self.ground_truth, read_results(results, self.ground_truth), self.skeleton.require_sigmas())
        return score_oks(pairs, "crowdpose" if self.metric == "crowdpose" else "coco")

    def notes(self) -> list[str]:
        """What a reader of the scores must know about how the data were found and used."""
        notes = [f"data: {self.layout.description}"]
        if only_category(self.ground_truth) is None:
            skipped = len(self.ground_truth.image_ids) - len(self.category_of_image)
            notes.append(
                "the model predicts no category: detections in an image get the category of the people annotated there"
                + (f"; {skipped} images without annotated people are not scored" if skipped else "")
            )
        return notes


def choose_metric(skeleton: Skeleton, ground_truth: GroundTruth) -> Metric:
    """The metric that data sets with this skeleton are published with; COCO's OKS for custom skeletons.

    >>> mouse = {"id": 7, "image_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 20, 10]}
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": [mouse]}, 1)
    >>> choose_metric(Skeleton("point", ("nose",), (), (), None), ground_truth)
    'coco'
    """
    if skeleton.name == "crowdpose" and not np.isnan(ground_truth.crowd_index).any():
        return "crowdpose"
    by_skeleton: Mapping[str, Metric] = {"coco_wholebody": "wholebody", "mpii": "pckh", "interhand2d": "hand"}
    return by_skeleton.get(skeleton.name, "coco")


def replace_sigmas(skeleton: Skeleton, sigmas: tuple[float, ...]) -> Skeleton:
    """Return the skeleton with other sigmas.

    Raises:
        UsageError: if there are more or fewer sigmas than keypoints.

    >>> replace_sigmas(Skeleton.named("coco"), (0.1,) * 17).sigmas[:2]
    (0.1, 0.1)
    """
    if len(sigmas) != len(skeleton):
        raise UsageError(f"{len(sigmas)} sigmas are given, the skeleton {skeleton.name} has {len(skeleton)}")
    return replace(skeleton, sigmas=sigmas)


def _skeleton_of(content: JsonObject, path: Path) -> Skeleton:
    """The skeleton that the annotation file's category describes; a known one where the names are the same.

    Raises:
        EveryposeError: if no category lists its keypoints.
    """
    described = [category for category in content.get("categories", ()) if category.get("keypoints")]
    if not described:
        raise EveryposeError(f"no category of {path} lists its keypoints; name the skeleton with --skeleton")
    names = tuple(described[0]["keypoints"])
    has_parts = any("foot_kpts" in annotation for annotation in content["annotations"])
    if has_parts and len(names) == 17:
        return Skeleton.named("coco_wholebody")
    return recognize(names) or Skeleton.from_coco_category(described[0])


def _read_content(path: Path, image_root: Path) -> dict[str, Any]:
    """The content of a COCO-format annotation file, or of a list in MPII's form as such."""
    content = read_annotations(path)
    if isinstance(content, list):
        if not content or not isinstance(content[0], dict) or "joints" not in content[0]:
            raise EveryposeError(
                f"{path} is a list, not a COCO-format annotation file; a results file is given as --predictions"
            )
        return coco_content(read_mpii(path, image_root))
    unchecked: dict[str, Any] = content
    return unchecked


def _joined(contents: list[dict[str, Any]]) -> dict[str, Any]:
    """Several annotation files of one data set as one; repeated ids are found when the result is read."""
    if len(contents) == 1:
        return contents[0]
    for content in contents:
        require_coco(content)
    joined = dict(contents[0])
    for key in ("images", "annotations"):
        joined[key] = [entry for content in contents for entry in content[key]]
    return joined

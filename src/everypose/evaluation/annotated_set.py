"""A labelled split of a data set, read so that a model can be run on it and scored."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everypose.core.files import read_json
from everypose.core.geometry import xywh_to_xyxy
from everypose.data.discovery.annotation_files import image_path
from everypose.errors import EveryposeError
from everypose.evaluation.coco_arrays import Floats, Truth, category_of_images, read_results, read_truth
from everypose.evaluation.coco_schema import require_coco
from everypose.evaluation.metrics.oks import OksScores, compare, score
from everypose.evaluation.report.record import Metric
from everypose.evaluation.scores import choose_metric
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.data.discovery.layouts import Layout


@dataclass(frozen=True)
class LabelledSet:
    """A split: what its annotation files say, and where its images are.

    Attributes:
        layout: where it was found.
        truth: the content of its annotation files, as one COCO-format file's.
        skeleton: of its keypoints.
        metric: what it is scored by.
        people: the annotated people, with the areas that the metric takes.
        categories: image id to the category id of whatever is found there; other images are not scored.
    """

    layout: "Layout"
    truth: dict[str, Any]
    skeleton: Skeleton
    metric: Metric
    people: Truth
    categories: dict[Any, int]

    @classmethod
    def read(cls, layout: "Layout", metric: Metric | None = None) -> "LabelledSet":
        """Read the split.

        Args:
            layout: see ``everypose.data.discovery.layouts.find_data``.
            metric: default: the one that such a data set is published with.

        Raises:
            EveryposeError: when an annotation file cannot be read or used.
        """
        truth = _joined([read_truth_file(path) for path in layout.annotation_files])
        named = layout.skeleton_name
        skeleton = Skeleton.named(named) if named else skeleton_of(truth, layout.annotation_file)
        chosen = metric or choose_metric(skeleton, truth)
        people = read_truth(truth, len(skeleton), box_areas=chosen == "crowdpose")
        return cls(layout, truth, skeleton, chosen, people, category_of_images(people))

    @property
    def one_for_each(self) -> bool:
        """Whether the metric takes one prediction for each annotated person, and no other."""
        return self.metric in ("pckh", "hand")

    @cached_property
    def images(self) -> list[dict[str, Any]]:
        """The entries of the images to look at."""
        return [image for image in self.truth["images"] if image["id"] in self.categories]

    @cached_property
    def paths(self) -> dict[Any, Path]:
        """Where each of ``images`` is, by id."""
        root = self.layout.image_root
        names = {image["id"]: str(image["file_name"]) for image in self.images}
        return {identity: image_path(root, name) or root / name for identity, name in names.items()}

    @cached_property
    def people_of_images(self) -> dict[Any, list[int]]:
        """The rows in ``people`` of each image's annotated people, crowd regions and those without labels left out."""
        rows: dict[Any, list[int]] = {identity: [] for identity in self.people.image_ids}
        labelled = (self.people.keypoints[:, :, 2] > 0).any(axis=1) & ~self.people.crowd
        for row in np.flatnonzero(labelled).tolist():
            rows[self.people.image_ids[self.people.image[row]]].append(row)
        return rows

    def boxes_of(self, image_id: Any) -> Floats:
        """The boxes (P, 4), x1 y1 x2 y2, of an image's people, in the order of ``people_of_images``."""
        return xywh_to_xyxy(self.people.boxes[self.people_of_images[image_id]])

    def scores(self, results: list[dict[str, Any]]) -> OksScores:
        """AP and AR of a COCO results list, by CrowdPose's protocol where that is the metric, else by COCO's."""
        found = read_results(results, self.people, len(self.skeleton))
        comparison = compare(self.people, found, self.skeleton.require_sigmas())
        return score(comparison, "crowdpose" if self.metric == "crowdpose" else "coco")

    def notes(self) -> list[str]:
        """What a reader of the scores must know of how the data were found and taken."""
        notes = [f"data: {self.layout.description}"]
        if len(set(self.categories.values())) > 1:
            unknown = len(self.people.image_ids) - len(self.categories)
            notes.append(
                "the model names no category: what it finds in an image counts as the category of those labelled there"
                + (f"; {unknown} images without anyone labelled are left out" if unknown else "")
            )
        return notes


def read_truth_file(path: Path) -> dict[str, Any]:
    """The content of a COCO-format annotation file.

    Raises:
        EveryposeError: when it is none.
    """
    truth = read_json(path)
    if isinstance(truth, list):
        raise EveryposeError(f"{path} is a list, not a COCO-format file; 'everypose data convert' makes one of MPII's")
    require_coco(truth, str(path))
    content: dict[str, Any] = truth
    return content


def skeleton_of(truth: dict[str, Any], path: Path) -> Skeleton:
    """The skeleton that the annotation file's category describes; a known one where the names are the same.

    Raises:
        EveryposeError: when no category lists its keypoints.
    """
    from everypose.skeleton.skeleton import recognise

    described = [category for category in truth.get("categories", []) if category.get("keypoints")]
    if not described:
        raise EveryposeError(f"no category of {path} lists its keypoints; name the skeleton with --skeleton")
    names = tuple(described[0]["keypoints"])
    parts = any("foot_kpts" in annotation for annotation in truth["annotations"])
    if parts and len(names) == 17:
        return Skeleton.named("coco_wholebody")
    return recognise(names) or Skeleton.from_coco_category(described[0])


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several annotation files of one data set as one; doubled ids show when they are read."""
    joined = dict(parts[0])
    joined["images"] = [image for part in parts for image in part["images"]]
    joined["annotations"] = [annotation for part in parts for annotation in part["annotations"]]
    return joined

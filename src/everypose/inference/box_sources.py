"""Where a top-down model's boxes come from: a file, annotations, the whole image or another model."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Image, Numbers
from everypose.core.files import read_json
from everypose.core.geometry import keypoint_boxes, xywh_to_xyxy
from everypose.errors import EveryposeError, UsageError, plain_reason
from everypose.inference.boxes import Boxes, Photo
from everypose.people import People

PERSON_CATEGORY = 1
"""COCO's category of people."""
MARGIN = 1 / 8
"""How far a person reaches beyond their keypoints, on each side, as a part of the keypoints' width and height.

Of 1,098 people of COCO with five labeled keypoints or more the medians are 0.14 (left), 0.16 (right), 0.15 (top) and
0.10 (bottom). Around the keypoints that boir-lite finds, four such numbers give no better boxes than one eighth.
"""
LARGEST_NUMBER = 1e9
"""Coordinates from here on are no pixels; sums and areas of smaller ones are finite, also as 32-bit floats."""
CONFIDENT_SHARE = 0.4
"""Keypoints whose score is below this part of their person's best do not count for the box."""


class DetectionsFile:
    """The boxes of a COCO results list: rows of ``image_id``, ``category_id``, ``bbox`` (x y w h) and ``score``.

    Rows of one category count, by default people's. Rows with a ``file_name`` belong to the image of that name, others
    to the one whose number is their ``image_id``. Boxes are used as they are, neither clipped to the image
    nor merged. Boxes of other images are ignored; an image without boxes gives no people.

    Attributes:
        path: the file.
        other_categories: how many rows were left out because they are of another category.

    >>> import json
    >>> row = {"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9}
    >>> _ = Path("boxes.json").write_text(json.dumps([row, row | {"category_id": 3}]))
    >>> detections = DetectionsFile(Path("boxes.json"), {Path("a_07.jpg"): 7})
    >>> detections(Photo(np.zeros((64, 64, 3), np.uint8), Path("a_07.jpg"))).boxes.tolist()
    [[10.0, 20.0, 40.0, 60.0]]
    >>> detections.other_categories
    1
    """

    def __init__(
        self,
        path: Path,
        image_ids: Mapping[Path, int] | None = None,
        threshold: float = 0.0,
        category: int | None = PERSON_CATEGORY,
    ) -> None:
        """Read the file.

        Args:
            path: the JSON file.
            image_ids: the number of each image of the run; by default, that at the end of its file name.
            threshold: boxes that score less are left out.
            category: whose boxes count; None for all, such as the species of animals.

        Raises:
            EveryposeError: if the file cannot be read, or a row lacks something or holds no finite numbers.
        """
        self.path = path
        self.other_categories = 0
        self._image_ids = image_ids
        self._name_counts = Counter(image.name for image in image_ids or ())
        rows = read_json(path)
        if not isinstance(rows, list):
            raise EveryposeError(
                f"{path} is not a COCO results list: a JSON list of objects with image_id, category_id, bbox, score"
            )
        self._of_name: defaultdict[str, list[_Row]] = defaultdict(list)
        self._of_id: defaultdict[int, list[_Row]] = defaultdict(list)
        for position, values in enumerate(rows):
            try:
                row = _Row.read(values)
            except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
                reason = f"it has no {error}" if isinstance(error, KeyError) else plain_reason(error)
                raise EveryposeError(f"{path}: entry {position} is not a detection: {reason}") from error
            if category not in (None, row.category):
                self.other_categories += 1
            elif row.score >= threshold:
                if row.file_name is None:
                    self._of_id[row.image_id].append(row)
                else:
                    self._of_name[row.file_name].append(row)

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image.

        Raises:
            UsageError: if the image comes from no file, so that nothing says which one it is.
        """
        if photo.path is None:
            raise UsageError(f"boxes from {self.path} need images with file names: give paths, not arrays")
        rows = self._rows(photo.path)
        boxes = np.array([row.bbox for row in rows], np.float64).reshape(-1, 4)
        return Boxes(xywh_to_xyxy(boxes), np.array([row.score for row in rows], np.float64))

    def count_images(self) -> int:
        """Number of images of the run that have boxes."""
        return sum(bool(self._rows(image)) for image in self._image_ids or ())

    def _rows(self, image: Path) -> list["_Row"]:
        image_id = _number_of(image) if self._image_ids is None else self._image_ids.get(image)
        named = self._of_name.get(image.name, [])
        if self._name_counts[image.name] > 1:
            named = [row for row in named if row.image_id == image_id]
        return named + ([] if image_id is None else self._of_id.get(image_id, []))


class WholeImage:
    """One box around each whole image: for pictures of one person, animal or hand.

    >>> found = WholeImage()(Photo(np.zeros((48, 64, 3), np.uint8)))
    >>> found.boxes.tolist()
    [[0.0, 0.0, 63.0, 47.0]]
    """

    def __call__(self, photo: Photo) -> Boxes:
        """From the middle of the first pixel to that of the last one, with score 1."""
        height, width = photo.image.shape[:2]
        return Boxes(np.array([[0.0, 0.0, width - 1.0, height - 1.0]]), np.ones(1))


class AnnotatedBoxes:
    """The annotated boxes of images, as a detector: their scores are 1.

    Top-down models clip annotated boxes to the image, unlike detections, as their methods do.

    >>> boxes = AnnotatedBoxes({Path("a.jpg"): np.array([[0.0, 0, 20, 40]])})
    >>> boxes(Photo(np.zeros((64, 64, 3), np.uint8), Path("a.jpg"))).scores.tolist()
    [1.0]
    """

    def __init__(self, boxes: Mapping[Path, Float64]) -> None:
        """Store the boxes (N, 4), x1 y1 x2 y2 in image pixels, of every image."""
        self._boxes = boxes

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people."""
        assert photo.path is not None
        boxes = self._boxes[photo.path]
        return Boxes(boxes, np.ones(len(boxes)))


class PeopleBoxes:
    """Boxes around the people that another model finds, such as a single-stage model.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> pose = np.array([[[10.0, 10.0, 0.9], [50.0, 90.0, 0.9]]])
    >>> people = People(pose, [0.8], Skeleton("pair", ("top", "foot"), (), (), None))
    >>> PeopleBoxes(lambda image: people)(Photo(np.zeros((96, 64, 3), np.uint8))).boxes.tolist()
    [[5.0, 0.0, 55.0, 100.0]]
    """

    def __init__(self, find: Callable[[Image], People]) -> None:
        """Store a model: an estimator, or any function from an image to its people."""
        self._find = find

    def __call__(self, photo: Photo) -> Boxes:
        """Boxes a little larger than the keypoints' (`MARGIN`), with the people's scores."""
        people = self._find(photo.image)
        return Boxes(person_boxes(people.keypoints), people.scores.astype(np.float64))


def person_boxes(keypoints: Numbers) -> Float64:
    """Boxes (N, 4), x1 y1 x2 y2, about as an annotator draws them around people with keypoints (N, K, 3).

    A stray keypoint makes a box far too large, so keypoints with a much lower score than the best do not count
    (`CONFIDENT_SHARE`).

    >>> person = np.array([[[10.0, 10.0, 0.9], [50.0, 90.0, 0.9], [500.0, 0.0, 0.1]]])
    >>> person_boxes(person).tolist()  # without the stray keypoint
    [[5.0, 0.0, 55.0, 100.0]]
    """
    points = np.array(keypoints, dtype=np.float64)
    points[points[..., 2] < CONFIDENT_SHARE * points[..., 2].max(axis=1, keepdims=True, initial=0), 2] = 0
    boxes = keypoint_boxes(points)
    reach = MARGIN * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - reach, boxes[:, 2:] + reach], axis=1)


@dataclass(frozen=True)
class _Row:
    """One entry of a results list."""

    image_id: int
    file_name: str | None
    category: int
    bbox: tuple[float, float, float, float]
    score: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "_Row":
        """Check an entry; raise TypeError, KeyError or ValueError with the reason if it is malformed."""
        x, y, width, height = bbox = [float(number) for number in values["bbox"]]
        score = float(values["score"])
        if not all(abs(number) < LARGEST_NUMBER for number in (*bbox, score)):
            raise ValueError(f"its box or score is not a finite number below {LARGEST_NUMBER:g}")
        file_name = Path(values.get("file_name") or "").name or None
        return cls(int(values["image_id"]), file_name, int(values["category_id"]), (x, y, width, height), score)


def _number_of(image: Path) -> int | None:
    """The number at the end of a file's name, as COCO's."""
    match = re.search(r"[0-9]+$", image.stem)
    return int(match[0]) if match else None

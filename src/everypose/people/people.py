"""People: the poses of one image, as arrays and person by person."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Image, Int64, Mask
from everypose.core.geometry import keypoint_boxes
from everypose.errors import EveryposeError, UsageError, plain_reason
from everypose.people.conversion import (
    ids_of,
    read_coco,
    to_coco,
    to_fiftyone,
    to_json,
    to_supervision,
    to_table,
    whole_ids,
)
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import fiftyone
    import supervision

    from everypose.drawing import Drawing, DrawingStyle


@dataclass(frozen=True, eq=False, repr=False)
class Person:
    """One person of `People`.

    >>> coco = Skeleton.named("coco")
    >>> person = People(np.full((1, 17, 3), 0.5), [0.9], coco)[0]
    >>> person["left_wrist"]
    (0.5, 0.5, 0.5)

    Attributes:
        keypoints: (K, 3) float32: x, y in image pixels, score.
        score: the person's score.
        box: (4,) float32: x1, y1, x2, y2 in image pixels.
        skeleton: names and links of the K keypoints.
        id: the person's identity in a video; None without tracking.
    """

    keypoints: Float32
    score: float
    box: Float32
    skeleton: Skeleton
    id: int | None = None

    def __getitem__(self, name: str) -> tuple[float, float, float]:
        """Return x, y and score of the keypoint called ``name``.

        Raises:
            UsageError: if the skeleton has no such keypoint.
        """
        x, y, score = self.keypoints[self.skeleton.index(name)].tolist()
        return x, y, score

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Person) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.1f}" for value in self.box.tolist())
        identity = "" if self.id is None else f", id={self.id}"
        return f"Person(score={self.score:.3f}, box=({box}), {len(self.skeleton)} keypoints{identity})"

    def _values(self) -> tuple[object, ...]:
        """Everything that makes one person differ from another, hashable."""
        return self.keypoints.tobytes(), self.score, self.box.tobytes(), self.skeleton, self.id


class People:
    """The poses of one image.

    >>> coco = Skeleton.named("coco")
    >>> people = People(np.zeros((2, 17, 3)), [0.9, 0.4], coco)
    >>> len(people), len(people.above(0.5)), people[0].score > people[1].score
    (2, 1, True)

    Attributes:
        keypoints: (N, K, 3) float32: x, y in image pixels (pixel centers at whole numbers), score.
        scores: (N,) float32.
        skeleton: names and links of the K keypoints.
        boxes: (N, 4) float32: x1, y1, x2, y2 in image pixels.
        image: (H, W, 3) uint8 RGB; None if the poses were not found in an image at hand.
        ids: (N,) int64 identities in a video; None without tracking.
    """

    def __init__(
        self,
        keypoints: npt.ArrayLike,
        scores: npt.ArrayLike,
        skeleton: Skeleton,
        *,
        boxes: npt.ArrayLike | None = None,
        image: Image | None = None,
        ids: npt.ArrayLike | None = None,
    ) -> None:
        """Check and store the arrays.

        Args:
            keypoints: (N, K, 3) x, y in image pixels, score.
            scores: (N,)
            skeleton: names and links of the K keypoints.
            boxes: (N, 4) x1, y1, x2, y2; by default those around the keypoints.
            image: (H, W, 3) uint8 RGB, for drawing.
            ids: (N,) identities in a video.

        Raises:
            UsageError: if the shapes do not match.
            EveryposeError: if a keypoint, score or box is not a finite number, or an id not a whole one of 64 bits.
        """
        self.skeleton = skeleton
        self.image = image
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused below
            self.keypoints: Float32 = np.asarray(keypoints, dtype=np.float32)
            self.scores: Float32 = np.asarray(scores, dtype=np.float32)
        count = len(self.scores) if self.scores.ndim == 1 else -1
        if self.keypoints.shape != (count, len(skeleton), 3):
            raise UsageError(
                f"keypoints of shape {self.keypoints.shape} and scores of shape {self.scores.shape} are not "
                f"(people, {len(skeleton)}, 3) and (people,), as the skeleton {skeleton.name!r} needs"
            )
        around = keypoint_boxes(self.keypoints) if boxes is None else boxes
        with np.errstate(over="ignore"):
            self.boxes: Float32 = np.asarray(around, dtype=np.float32)
        if self.boxes.shape != (count, 4):
            raise UsageError(f"boxes of shape {self.boxes.shape} are not ({count}, 4)")
        self.ids: Int64 | None = None if ids is None else whole_ids(ids)
        if self.ids is not None and self.ids.shape != (count,):
            raise UsageError(f"ids of shape {self.ids.shape} are not ({count},)")
        for what, values in (("keypoints", self.keypoints), ("scores", self.scores), ("boxes", self.boxes)):
            if not np.isfinite(values).all():
                raise EveryposeError(f"the people's {what} contain a number that is not finite")

    @classmethod
    def empty(cls, skeleton: Skeleton, image: Image | None = None) -> "People":
        """Return no people, of an image without detections."""
        return cls(np.zeros((0, len(skeleton), 3)), np.zeros(0), skeleton, image=image)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Person]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, which: int) -> Person: ...
    @overload
    def __getitem__(self, which: slice | Sequence[int] | Int64 | Mask) -> "People": ...
    def __getitem__(self, which: int | slice | Sequence[int] | Int64 | Mask) -> "Person | People":
        """Return one person by position, or several by a slice, positions or a boolean mask (N,)."""
        if isinstance(which, int | np.integer):
            identity = None if self.ids is None else int(self.ids[which])
            return Person(self.keypoints[which], float(self.scores[which]), self.boxes[which], self.skeleton, identity)
        chosen = which if isinstance(which, slice) else np.asarray(which)
        if not isinstance(chosen, slice) and chosen.size == 0:
            chosen = chosen.astype(np.int64)
        return People(
            self.keypoints[chosen],
            self.scores[chosen],
            self.skeleton,
            boxes=self.boxes[chosen],
            image=self.image,
            ids=None if self.ids is None else self.ids[chosen],
        )

    def __repr__(self) -> str:
        return f"People({len(self)}, skeleton={self.skeleton.name!r})"

    def above(self, score: float) -> "People":
        """Return the people whose score is greater than ``score``."""
        return self[self.scores > score]

    def to_table(self, *, wide: bool = False) -> dict[str, npt.NDArray[np.generic]]:
        """Return the people as columns of equal length, which pandas and pyarrow take as they are.

        Long tables have a row for each keypoint, wide ones a row for each person. Each row has ``person`` (position,
        from 0), ``track_id`` (only of tracked people), ``person_score``, ``box_x1`` ... ``box_y2`` and ``skeleton``;
        long ones ``keypoint``, ``x``, ``y``, ``score``; wide ones ``nose_x``, ``nose_y``, ``nose_score`` and so on.
        Coordinates are in image pixels.

        >>> people = People(np.zeros((2, 17, 3)), [0.9, 0.4], Skeleton.named("coco"))
        >>> {name: len(column) for name, column in people.to_table().items()}["keypoint"]
        34
        >>> list(people.to_table(wide=True))[-3:]
        ['right_ankle_x', 'right_ankle_y', 'right_ankle_score']

        Args:
            wide: one row for each person.
        """
        return to_table(self, wide=wide)

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Return a COCO results list.

        Each entry has image_id, category_id, keypoints [x, y, score, ...], score and bbox [x, y, width, height]; those
        of tracked people have a ``track_id``, too.
        """
        return to_coco(self, image_id, category_id)

    @classmethod
    def from_coco(
        cls,
        source: Sequence[Mapping[str, Any]] | Path | str,
        skeleton: Skeleton,
        *,
        image_id: int | None = None,
        image: Image | None = None,
    ) -> "People":
        """Return the people of one image in a COCO results list or a COCO annotation file.

        Annotations have no scores: each person gets score 1, and the third column of keypoints is the visibility.

        Args:
            source: the list of results or annotations, or a JSON file that contains it.
            skeleton: names and links of the keypoints.
            image_id: the image; may be left out if the list contains only one.
            image: (H, W, 3) uint8 RGB, for drawing.

        Raises:
            EveryposeError: if the list is not COCO's or its keypoints do not match the skeleton.
            UsageError: if the list contains several images and ``image_id`` is None.
        """
        keypoints, scores, boxes, ids = read_coco(source, skeleton, image_id)
        return cls(keypoints, scores, skeleton, boxes=boxes, image=image, ids=ids)

    def to_json(self) -> str:
        """Return JSON with the skeleton and each person's score, box (x1, y1, x2, y2) and keypoints by name.

        Each keypoint is [x, y, score]. Tracked people have an ``id``, too.
        """
        return to_json(self)

    @classmethod
    def from_json(cls, text: str, image: Image | None = None) -> "People":
        """Return the people that `to_json` wrote, equal to the last bit.

        Raises:
            EveryposeError: if the text is not what `to_json` writes.
        """
        try:
            content = json.loads(text)
            skeleton = Skeleton.from_dict(content["skeleton"])
            people = content["people"]
            keypoints = [[person["keypoints"][name] for name in skeleton.keypoints] for person in people]
            scores = [person["score"] for person in people]
            boxes = np.reshape([person["box"] for person in people], (-1, 4))
            shaped = np.reshape(keypoints, (-1, len(skeleton), 3))
            return cls(shaped, scores, skeleton, boxes=boxes, image=image, ids=ids_of(people, "id"))
        except (LookupError, AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EveryposeError(f"not the JSON of People: {plain_reason(error)}") from error

    def to_supervision(self) -> "supervision.KeyPoints":
        """Return the people as ``supervision.KeyPoints``.

        Raises:
            UsageError: if the package ``supervision`` is not installed.
        """
        return to_supervision(self)

    def to_fiftyone(self, size: tuple[int, int] | None = None) -> "fiftyone.Keypoints":
        """Return the people as ``fiftyone.Keypoints``: points from 0 to 1, NaN for keypoints that were not found.

        ``index`` is the identity of a tracked person, ``person_score`` the person's score.

        Args:
            size: width and height of the image in pixels; of the attached image by default.

        Raises:
            UsageError: if the package ``fiftyone`` is not installed.
            EveryposeError: if the size is neither given nor known.
        """
        return to_fiftyone(self, size)

    def draw(self, image: Image | Path | str | None = None, style: "DrawingStyle | None" = None) -> "Drawing":
        """Draw the people on an image.

        Args:
            image: the image or its path; by default the one in which they were found.
            style: how they are drawn.

        Raises:
            UsageError: if there is no image.
        """
        from everypose.drawing import Drawing, DrawingStyle, draw_people

        if isinstance(image, Path | str):
            from everypose.data.images import read_image

            image = read_image(Path(image))
        picture = self.image if image is None else image
        if picture is None:
            raise UsageError("these people carry no image: give one to draw(image)")
        return Drawing(draw_people(picture, self, style or DrawingStyle()))

    def _repr_png_(self) -> bytes | None:
        """Return the picture that notebooks show; None, and so the text, without an image."""
        return None if self.image is None else self.draw().to_png()

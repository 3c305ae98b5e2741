"""People: everyone found in one image, with their skeleton."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from everypose.core.files import read_json
from everypose.core.geometry import keypoint_boxes
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from everypose.drawing import Drawing

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Person:
    """One person of :class:`People`.

    Attributes:
        keypoints: (K, 3) x, y in image pixels, score.
        score: the person's own score.
        box: (4,) x1 y1 x2 y2.
        skeleton: what the keypoints are called.
        id: the person's identity in a video; None without tracking.
    """

    keypoints: Floats
    score: float
    box: Floats
    skeleton: Skeleton
    id: int | None = None

    def __getitem__(self, name: str) -> tuple[float, float, float]:
        """The keypoint called ``name``: x, y, score.

        Raises:
            UsageError: when the skeleton has no such keypoint.
        """
        x, y, score = self.keypoints[self.skeleton.index(name)].tolist()
        return x, y, score


class People:
    """The people of one image, as arrays and one by one.

    Args:
        keypoints: (N, K, 3) x, y in image pixels (centres at integers), score.
        scores: (N,)
        skeleton: what the K keypoints are.
        boxes: (N, 4) x1 y1 x2 y2; around the keypoints when None.
        image: (H, W, 3) uint8 RGB, for drawing.
        ids: (N,) int64 identities in a video; None without tracking.

    Raises:
        UsageError: when the shapes do not belong together.
        EveryposeError: when a keypoint, score or box is not a finite number.
    """

    def __init__(
        self,
        keypoints: npt.ArrayLike,
        scores: npt.ArrayLike,
        skeleton: Skeleton,
        boxes: npt.ArrayLike | None = None,
        image: Image | None = None,
        ids: npt.ArrayLike | None = None,
    ) -> None:
        self.skeleton = skeleton
        self.image = image
        self.keypoints: Floats = np.asarray(keypoints, dtype=np.float32)
        self.scores: Floats = np.asarray(scores, dtype=np.float32)
        count = len(self.scores) if self.scores.ndim == 1 else -1
        if self.keypoints.shape != (count, len(skeleton), 3):
            raise UsageError(
                f"keypoints of shape {self.keypoints.shape} and scores of shape {self.scores.shape} are not "
                f"(people, {len(skeleton)}, 3) and (people,), as the skeleton {skeleton.name!r} needs"
            )
        around = keypoint_boxes(self.keypoints) if boxes is None else boxes
        self.boxes: Floats = np.asarray(around, dtype=np.float32)
        if self.boxes.shape != (count, 4):
            raise UsageError(f"boxes of shape {self.boxes.shape} are not ({count}, 4)")
        self.ids: Ids | None = None if ids is None else np.asarray(ids, dtype=np.int64)
        if self.ids is not None and self.ids.shape != (count,):
            raise UsageError(f"ids of shape {self.ids.shape} are not ({count},)")
        for what, values in (("keypoints", self.keypoints), ("scores", self.scores), ("boxes", self.boxes)):
            if not np.isfinite(values).all():
                raise EveryposeError(f"the people's {what} hold a number that is not finite")

    @classmethod
    def empty(cls, skeleton: Skeleton, image: Image | None = None) -> "People":
        """Nobody."""
        return cls(np.zeros((0, len(skeleton), 3)), np.zeros(0), skeleton, image=image)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Person]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, which: int) -> Person: ...
    @overload
    def __getitem__(self, which: slice | Sequence[int] | npt.NDArray[Any]) -> "People": ...
    def __getitem__(self, which: int | slice | Sequence[int] | npt.NDArray[Any]) -> "Person | People":
        """One person by position; several by a slice, a list or array of positions, or a mask of N truth values."""
        if isinstance(which, int | np.integer):
            identity = None if self.ids is None else int(self.ids[which])
            return Person(self.keypoints[which], float(self.scores[which]), self.boxes[which], self.skeleton, identity)
        chosen = which if isinstance(which, slice) else np.asarray(which)
        if not isinstance(chosen, slice) and chosen.size == 0:
            chosen = chosen.astype(np.int64)
        ids = None if self.ids is None else self.ids[chosen]
        return People(self.keypoints[chosen], self.scores[chosen], self.skeleton, self.boxes[chosen], self.image, ids)

    def __repr__(self) -> str:
        return f"People({len(self)}, skeleton={self.skeleton.name!r})"

    def above(self, score: float) -> "People":
        """The people whose own score is above ``score``."""
        return self[self.scores > score]

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """COCO results: image_id, category_id, keypoints [x, y, score, ...], score and bbox [x, y, w, h].

        With ids, each entry has a ``track_id``, too.
        """
        sizes = self.boxes[:, 2:] - self.boxes[:, :2]
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": _decimals(keypoints),
                "score": _decimals(score)[0],
                "bbox": _decimals(box[:2]) + _decimals(size),
            }
            | identity
            for keypoints, score, box, size, identity in zip(
                self.keypoints, self.scores, self.boxes, sizes, self._identities("track_id"), strict=True
            )
        ]

    def _identities(self, key: str) -> list[dict[str, int]]:
        """Each person's id as a dictionary with one entry; empty dictionaries without ids."""
        return [{} for _ in self.scores] if self.ids is None else [{key: number} for number in self.ids.tolist()]

    @classmethod
    def from_coco(
        cls,
        source: Sequence[Mapping[str, Any]] | Path | str,
        skeleton: Skeleton,
        image_id: int | None = None,
        image: Image | None = None,
    ) -> "People":
        """The people of one image in a COCO results list or a COCO annotation file.

        Annotations have no score: it is 1 for them, and the keypoints' third column is their visibility.

        Args:
            source: the list of results or annotations, or a JSON file with it.
            skeleton: what their keypoints are.
            image_id: which image; may be left out when the list speaks of one only.
            image: the picture itself, for drawing.

        Raises:
            EveryposeError: when the list is not COCO's or its keypoints do not fit the skeleton.
            UsageError: when the list speaks of several images and ``image_id`` is None.
        """
        where = str(source) if isinstance(source, Path | str) else "the list"
        content = read_json(Path(source)) if isinstance(source, Path | str) else source
        entries = content.get("annotations") if isinstance(content, Mapping) else content
        if not isinstance(entries, Sequence) or not all(isinstance(entry, Mapping) for entry in entries):
            raise EveryposeError(f"{where} is neither a COCO results list nor a COCO annotation file")
        images = {repr(entry.get("image_id")) for entry in entries}
        if image_id is None and len(images) > 1:
            raise UsageError(f"{where} speaks of {len(images)} images: say which with image_id")
        chosen = [entry for entry in entries if image_id is None or entry.get("image_id") == image_id]
        read = []
        for place, entry in enumerate(chosen):
            try:
                read.append(_from_entry(entry, skeleton))
            except (TypeError, ValueError) as error:
                raise EveryposeError(f"{where}: entry {place} is not a pose: {error}") from error
        keypoints, boxes, scores = zip(*read, strict=True) if read else ([], [], [])
        shape = (len(read), len(skeleton), 3)
        try:
            ids = _ids_of(chosen, "track_id")
        except ValueError as error:
            raise EveryposeError(f"{where}: {error}") from error
        return cls(np.reshape(keypoints, shape), scores, skeleton, np.reshape(boxes, (-1, 4)), image, ids)

    def to_json(self) -> str:
        """JSON with the skeleton and each person's score, box (x1 y1 x2 y2) and keypoints (x, y, score) by name.

        With ids, each person has an ``id``, too.
        """
        people = [
            {
                "score": _decimals(score)[0],
                "box": _decimals(box),
                "keypoints": {
                    name: _decimals(point) for name, point in zip(self.skeleton.keypoints, keypoints, strict=True)
                },
            }
            | identity
            for keypoints, score, box, identity in zip(
                self.keypoints, self.scores, self.boxes, self._identities("id"), strict=True
            )
        ]
        return json.dumps({"skeleton": self.skeleton.to_dict(), "people": people}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, image: Image | None = None) -> "People":
        """The inverse of :meth:`to_json`, exact to the last bit.

        Raises:
            EveryposeError: when the text is not what :meth:`to_json` writes.
        """
        try:
            content = json.loads(text)
            skeleton = Skeleton.from_dict(content["skeleton"])
            people = content["people"]
            keypoints = [[person["keypoints"][name] for name in skeleton.keypoints] for person in people]
            scores = [person["score"] for person in people]
            boxes = [person["box"] for person in people]
            shaped = np.reshape(keypoints, (-1, len(skeleton), 3))
            return cls(shaped, scores, skeleton, np.reshape(boxes, (-1, 4)), image, _ids_of(people, "id"))
        except (KeyError, TypeError, ValueError) as error:
            raise EveryposeError(f"not the JSON of People: {error!r}") from error

    def to_supervision(self) -> Any:
        """The same people as ``supervision.KeyPoints``.

        Raises:
            UsageError: when the package ``supervision`` is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UsageError("to_supervision needs the package supervision: pip install supervision") from error
        places, scores = self.keypoints[..., :2], self.keypoints[..., 2]
        try:
            return supervision.KeyPoints(xy=places, keypoint_confidence=scores, detection_confidence=self.scores)
        except TypeError:  # before supervision 0.29
            return supervision.KeyPoints(xy=places, confidence=scores)

    def draw(self, image: Image | Path | str | None = None) -> "Drawing":
        """The people drawn over ``image``, or over the one they were found in.

        Raises:
            UsageError: when there is neither.
        """
        from everypose.drawing import Drawing, draw_people

        if isinstance(image, Path | str):
            from everypose.data.images import read_image

            image = read_image(Path(image))
        picture = self.image if image is None else image
        if picture is None:
            raise UsageError("these people carry no image: give one to draw(image)")
        return Drawing(draw_people(picture, self))

    def _repr_png_(self) -> bytes | None:
        """The picture that notebooks show; None, and so the text, without an image."""
        return None if self.image is None else self.draw().to_png()


def _decimals(values: Any) -> list[float]:
    """The shortest decimal numbers that read back as the same float32."""
    return [float(str(value)) for value in np.ravel(values)]


def _ids_of(entries: Sequence[Mapping[str, Any]], key: str) -> list[int] | None:
    """The identities of all entries; None where not every entry has one, or there are no entries."""
    ids = [number for entry in entries if isinstance(number := entry.get(key), int)]
    if not ids or len(ids) < len(entries):
        return None
    if not all(0 <= number < 1 << 63 for number in ids):
        raise ValueError(f"a {key} is not between 0 and 2^63 - 1")
    return ids


def _from_entry(entry: Mapping[str, Any], skeleton: Skeleton) -> tuple[npt.NDArray[np.float64], list[float], float]:
    """Keypoints (K, 3), box x1 y1 x2 y2 and score of one COCO result or annotation."""
    flat = np.array(entry.get("keypoints", []), dtype=np.float64)
    if flat.shape != (3 * len(skeleton),):
        raise ValueError(
            f"the skeleton {skeleton.name!r} needs {3 * len(skeleton)} keypoint numbers, it has {flat.size}"
        )
    keypoints = flat.reshape(-1, 3)
    if entry.get("bbox") is None:
        box = keypoint_boxes(keypoints[None])[0].tolist()
    else:
        x, y, width, height = map(float, entry["bbox"])
        box = [x, y, x + width, y + height]
    return keypoints, box, float(entry.get("score", 1.0))

"""People as tables, COCO entries, JSON, and objects of other packages. `People` has the documented methods."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64
from everypose.core.files import read_json
from everypose.core.geometry import keypoint_boxes
from everypose.errors import EveryposeError, UsageError, plain_reason
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import fiftyone
    import supervision

    from everypose.people.people import People

LARGEST_ID = 2**63 - 1


def to_table(people: "People", *, wide: bool) -> dict[str, npt.NDArray[np.generic]]:
    """Convert people to columns; see `People.to_table`.

    >>> from everypose.people import People
    >>> people = People(np.zeros((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> len(to_table(people, wide=False)["keypoint"])
    17
    """
    names = people.skeleton.keypoints
    corners = zip(("box_x1", "box_y1", "box_x2", "box_y2"), people.boxes.T, strict=True)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "person": np.arange(len(people)),
        **({} if people.ids is None else {"track_id": people.ids}),
        "person_score": people.scores,
        **dict(corners),
        "skeleton": np.full(len(people), people.skeleton.name),
    }
    if wide:
        values = people.keypoints.reshape(len(people), 3 * len(names)).T
        axes = [f"{name}_{axis}" for name in names for axis in ("x", "y", "score")]
        return columns | dict(zip(axes, values, strict=True))
    repeated = {name: np.repeat(column, len(names)) for name, column in columns.items()}
    x, y, score = people.keypoints.reshape(-1, 3).T
    return repeated | {"keypoint": np.tile(np.array(names), len(people)), "x": x, "y": y, "score": score}


def to_coco(people: "People", image_id: int, category_id: int) -> list[dict[str, Any]]:
    """Convert people to COCO results; see `People.to_coco`.

    >>> from everypose.people import People
    >>> people = People(np.zeros((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> to_coco(people, 7, 1)[0]["bbox"]
    [0.0, 0.0, 0.0, 0.0]
    """
    sizes = people.boxes[:, 2:] - people.boxes[:, :2]
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
            people.keypoints, people.scores, people.boxes, sizes, _identities(people, "track_id"), strict=True
        )
    ]


def read_coco(
    source: Sequence[Mapping[str, Any]] | Path | str, skeleton: Skeleton, image_id: int | None
) -> tuple[Float64, Sequence[float], Float64, list[int] | None]:
    """Read keypoints (N, K, 3), scores (N,), boxes (N, 4) and ids of one image; see `People.from_coco`.

    >>> skeleton = Skeleton("point", ("only",), (), (), None)
    >>> read_coco([{"image_id": 1, "keypoints": [3, 4, 2], "score": 0.5}], skeleton, 1)[0].tolist()
    [[[3.0, 4.0, 2.0]]]
    """
    where = str(source) if isinstance(source, Path | str) else "the list"
    content = read_json(Path(source)) if isinstance(source, Path | str) else source
    entries = content.get("annotations") if isinstance(content, Mapping) else content
    if not isinstance(entries, Sequence) or not all(isinstance(entry, Mapping) for entry in entries):
        raise EveryposeError(f"{where} is neither a COCO results list nor a COCO annotation file")
    images = {repr(entry.get("image_id")) for entry in entries}
    if image_id is None and len(images) > 1:
        raise UsageError(f"{where} contains {len(images)} images: choose one with image_id")
    chosen = [entry for entry in entries if image_id is None or entry.get("image_id") == image_id]
    read = []
    for place, entry in enumerate(chosen):
        try:
            read.append(_from_entry(entry, skeleton))
        except (TypeError, ValueError, OverflowError) as error:
            raise EveryposeError(f"{where}: entry {place} is not a pose: {plain_reason(error)}") from error
    keypoints, boxes, scores = zip(*read, strict=True) if read else ([], [], [])
    try:
        ids = ids_of(chosen, "track_id")
    except ValueError as error:
        raise EveryposeError(f"{where}: {error}") from error
    return np.reshape(keypoints, (len(read), len(skeleton), 3)), scores, np.reshape(boxes, (-1, 4)), ids


def to_json(people: "People") -> str:
    """Convert people to JSON; see `People.to_json`.

    >>> from everypose.people import People
    >>> json.loads(to_json(People.empty(Skeleton.named("coco"))))["people"]
    []
    """
    return json.dumps(to_json_values(people), allow_nan=False)


def to_json_values(people: "People") -> dict[str, Any]:
    """Convert people to what `People.to_json` writes, as JSON types.

    >>> from everypose.people import People
    >>> to_json_values(People.empty(Skeleton.named("coco")))["people"]
    []
    """
    entries = [
        {
            "score": _decimals(score)[0],
            "box": _decimals(box),
            "keypoints": {
                name: _decimals(point) for name, point in zip(people.skeleton.keypoints, keypoints, strict=True)
            },
        }
        | identity
        for keypoints, score, box, identity in zip(
            people.keypoints, people.scores, people.boxes, _identities(people, "id"), strict=True
        )
    ]
    return {"skeleton": people.skeleton.to_dict(), "people": entries}


def to_supervision(people: "People") -> "supervision.KeyPoints":
    """Convert people to supervision's key points; see `People.to_supervision`."""
    try:
        import supervision
    except ImportError as error:
        raise UsageError("to_supervision needs the package supervision: pip install supervision") from error
    places, scores = people.keypoints[..., :2], people.keypoints[..., 2]
    try:
        return supervision.KeyPoints(xy=places, keypoint_confidence=scores, detection_confidence=people.scores)
    except TypeError:  # before supervision 0.29
        return supervision.KeyPoints(xy=places, confidence=scores)


def to_fiftyone(people: "People", size: tuple[int, int] | None) -> "fiftyone.Keypoints":
    """Convert people to FiftyOne's keypoints; see `People.to_fiftyone`."""
    try:
        import fiftyone
    except ImportError as error:
        raise UsageError("to_fiftyone needs the package fiftyone: pip install fiftyone") from error
    if size is None and people.image is None:
        raise EveryposeError("to_fiftyone needs the image's size: these people have no image")
    whole = people.image.shape[1::-1] if size is None and people.image is not None else size
    points = people.keypoints[..., :2].astype(np.float64) / np.asarray(whole, dtype=np.float64)
    points[people.keypoints[..., 2] <= 0] = np.nan
    return fiftyone.Keypoints(
        keypoints=[
            fiftyone.Keypoint(
                label="person",
                points=[(x, y) for x, y in own.tolist()],
                confidence=scores.tolist(),
                index=None if people.ids is None else int(people.ids[position]),
                person_score=float(people.scores[position]),
            )
            for position, (own, scores) in enumerate(zip(points, people.keypoints[..., 2], strict=True))
        ]
    )


def _identities(people: "People", key: str) -> list[dict[str, int]]:
    """Return each person's id as a dictionary with one entry; empty dictionaries without ids."""
    return [{} for _ in people.scores] if people.ids is None else [{key: number} for number in people.ids.tolist()]


def _decimals(values: npt.ArrayLike) -> list[float]:
    """Return the shortest decimal numbers that read back as the same float32."""
    return [float(str(value)) for value in np.ravel(values)]


def ids_of(entries: Sequence[Mapping[str, Any]], key: str) -> list[int] | None:
    """Return the identities of all entries; None if an entry has none, or there are no entries.

    >>> ids_of([{"track_id": 4}, {"track_id": 2}], "track_id")
    [4, 2]

    Raises:
        ValueError: if one is out of range.
    """
    ids = [number for entry in entries if isinstance(number := entry.get(key), int)]
    if not ids or len(ids) < len(entries):
        return None
    if not all(0 <= number <= LARGEST_ID for number in ids):
        raise ValueError(f"a {key} is not between 0 and 2^63 - 1")
    return ids


def distinct_ids(people: "People") -> list[int]:
    """Return the identities of people who each have their own; an empty list without identities.

    >>> from everypose.people import People
    >>> distinct_ids(People(np.zeros((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"), ids=[4, 2]))
    [4, 2]

    Raises:
        UsageError: if two have the same.
    """
    ids: list[int] = [] if people.ids is None else people.ids.tolist()
    if len(set(ids)) < len(ids):
        repeated = next(number for number in ids if ids.count(number) > 1)
        raise UsageError(f"two people of one frame have the id {repeated}: everyone needs an id of their own")
    return ids


def whole_ids(ids: npt.ArrayLike) -> Int64:
    """Return identities as 64-bit integers.

    >>> whole_ids([3.0, 1.0])
    array([3, 1])

    Raises:
        EveryposeError: if one is not a whole number, or has more than 64 bits.
    """
    given = np.asarray(ids)
    with np.errstate(invalid="ignore"):  # what has no integer is refused below
        whole = given.astype(np.int64) if given.dtype.kind in "iuf" else None
    if given.size and (whole is None or (whole != given).any()):
        raise EveryposeError(f"an id is not a whole number of at most 64 bits: {str(given.ravel().tolist())[:60]}")
    return np.zeros(given.shape, np.int64) if whole is None else whole


def _from_entry(entry: Mapping[str, Any], skeleton: Skeleton) -> tuple[Float64, list[float], float]:
    """Return keypoints (K, 3), box x1, y1, x2, y2 and score of one COCO result or annotation.

    Raises:
        ValueError: if it has another number of keypoints than the skeleton.
    """
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

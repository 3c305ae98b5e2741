"""The answer to one image in each format of the service."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from everypose.drawing import encode
from everypose.errors import UsageError
from everypose.inference.results.csv_table import to_csv
from everypose.inference.results.openpose import openpose_json
from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.skeleton.matching import conversion
from everypose.skeleton.skeleton import Skeleton

Format = Literal["json", "coco", "openpose", "csv", "jpeg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
MODEL_HEADER = "X-Everypose-Model"
"""The header of every answer with people: name, revision and SHA-256 of the model's weights as a JSON object.

CSV, COCO results, OpenPose's JSON and pictures have no place for them.
"""


@dataclass(frozen=True)
class Rendered:
    """The body of an answer.

    Attributes:
        content: the bytes.
        media_type: their media type.

    >>> Rendered(b"[]", "application/json").media_type
    'application/json'
    """

    content: bytes
    media_type: str


def render(
    people: People,
    output: Format,
    *,
    model: str,
    weights: Mapping[str, object] | None = None,
    image_id: int = 1,
) -> Rendered:
    """Encode the people of one image in one of the service's formats.

    >>> people = People.empty(Skeleton.named("coco"))
    >>> render(people, "coco", model="boir-lite")
    Rendered(content=b'[]', media_type='application/json')

    Args:
        people: the people, with their image attached.
        output: the format.
        model: name of the model that found them.
        weights: name, revision and SHA-256 of its weights, for JSON.
        image_id: the image's id in COCO results.
    """
    if output == "json":
        return _as_json(to_content(people, model, weights))
    return _RENDERERS[output](people, image_id)


def model_header(weights: Mapping[str, object]) -> dict[str, str]:
    """Return the header that states which weights found the people of an answer.

    >>> model_header({"name": "boir-lite", "revision": None})
    {'X-Everypose-Model': '{"name": "boir-lite", "revision": null}'}
    """
    return {MODEL_HEADER: json.dumps(dict(weights))}


def in_skeleton(people: People, name: str) -> People:
    """Convert people to another known skeleton, matching keypoints by name.

    Keypoints without a counterpart are zero: x, y and score.

    >>> in_skeleton(People.empty(Skeleton.named("coco")), "crowdpose").keypoints.shape
    (0, 14, 3)

    Raises:
        UsageError: if there is no such skeleton, or no keypoint in common.
    """
    target = Skeleton.named(name)
    if target.keypoints == people.skeleton.keypoints:
        return people
    match = conversion(people.skeleton, target)
    if len(match.missing) == len(target):
        raise UsageError(f"the skeleton {name!r} has no keypoint in common with {people.skeleton.name!r}")
    return People(
        match.apply(people.keypoints), people.scores, target, boxes=people.boxes, image=people.image, ids=people.ids
    )


def to_content(people: People, model: str, weights: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the JSON object of one image: model, weights, image size, and the fields of :meth:`People.to_json`.

    >>> sorted(to_content(People.empty(Skeleton.named("coco")), "boir-lite"))
    ['image', 'model', 'people', 'skeleton']
    """
    height, width = (0, 0) if people.image is None else people.image.shape[:2]
    found_by = {"model": model} if weights is None else {"model": model, "weights": dict(weights)}
    return {**found_by, "image": {"width": width, "height": height}, **json.loads(people.to_json())}


def _coco(people: People, image_id: int) -> Rendered:
    return _as_json(people.to_coco(image_id=image_id))


def _openpose(people: People, _image_id: int) -> Rendered:
    return _as_json(openpose_json(people))


def _csv(people: People, image_id: int) -> Rendered:
    return Rendered(to_csv([FrameResult("image", people, image_id=image_id)]), "text/csv; charset=utf-8")


def _as_json(content: object) -> Rendered:
    return Rendered(json.dumps(content, allow_nan=False).encode(), "application/json")


def _picture(suffix: str, media_type: str) -> Callable[[People, int], Rendered]:
    """A renderer of drawn pictures."""

    def draw(people: People, _image_id: int) -> Rendered:
        return Rendered(encode(people.draw().image, suffix), media_type)

    return draw


_RENDERERS: Mapping[Format, Callable[[People, int], Rendered]] = {
    "coco": _coco,
    "openpose": _openpose,
    "csv": _csv,
    "jpeg": _picture(".jpg", "image/jpeg"),
    "png": _picture(".png", "image/png"),
}

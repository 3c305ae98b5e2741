"""Poses as Label Studio predictions: keypoints in percent of the image, each in its person's rectangle.

The labeling configuration has a ``KeyPointLabels`` control, and a ``RectangleLabels`` control for the person, both for
one image. Its keypoint labels are matched with the model's by name, in any spelling.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from everypose.errors import EveryposeError, first_line
from everypose.people import People, Person
from everypose.skeleton.matching import conversion
from everypose.skeleton.skeleton import Skeleton

LONGEST_CONFIG = 1_000_000
MARKER = 0.75
"""Width of a keypoint's marker, in percent of the image."""
WEAKEST = 0.3
"""Keypoints whose score is not above this share of the person's best are left out."""
Region = dict[str, object]


@dataclass(frozen=True)
class Controls:
    """What a labeling configuration says about keypoints.

    Attributes:
        image: name of the image tag.
        image_key: the key of the task's data with the image's address.
        keypoints: name of the keypoint control.
        labels: its labels.
        rectangle: name of the rectangle control; None when there is none.
        person: the rectangle's label for a person; None when there is none.

    Example:
        >>> config = labeling_config(Skeleton.named("coco"))
        >>> read_controls(config).keypoints
        'keypoints'
    """

    image: str
    image_key: str
    keypoints: str
    labels: tuple[str, ...]
    rectangle: str | None
    person: str | None


def read_controls(config: str) -> Controls:
    """The controls of a labeling configuration.

    Args:
        config: Label Studio's XML.

    Raises:
        EveryposeError: if it is not XML, or has no keypoint labels for an image.

    >>> read_controls(labeling_config(Skeleton.named("coco"))).labels[:2]
    ('nose', 'left_eye')
    """
    tree = _parse(config)
    images = {tag.get("name", ""): tag.get("value", "") for tag in tree.iter("Image")}
    points = next((tag for tag in tree.iter("KeyPointLabels") if tag.get("toName") in images), None)
    if points is None or not points.findall("Label"):
        raise EveryposeError("the labeling configuration has no KeyPointLabels for an Image")
    image = points.get("toName", "")
    rectangle = next((tag for tag in tree.iter("RectangleLabels") if tag.get("toName") == image), None)
    people = [] if rectangle is None else [label.get("value", "") for label in rectangle.findall("Label")]
    person = next((label for label in people if label.lower() == "person"), people[0] if people else None)
    return Controls(
        image=image,
        image_key=re.sub(r"^\$", "", images[image]),
        keypoints=points.get("name", ""),
        labels=tuple(label.get("value", "") for label in points.findall("Label")),
        rectangle=None if rectangle is None or person is None else rectangle.get("name"),
        person=person,
    )


def _parse(config: str) -> ElementTree.Element:
    """Parse XML that comes from the network: no entities, no document type."""
    if len(config) > LONGEST_CONFIG or "<!" in re.sub(r"<!--.*?-->", "", config, flags=re.DOTALL):
        raise EveryposeError("the labeling configuration is too long, or declares XML entities")
    try:
        return ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:  # a ValueError: text that is not Unicode
        raise EveryposeError(f"the labeling configuration is not XML: {first_line(error)}") from error


def prediction(people: People, controls: Controls, model: str) -> dict[str, object]:
    """The prediction for one task.

    Args:
        people: the people, with their image attached.
        controls: what the configuration says.
        model: the model's name and version.

    Returns:
        ``model_version``, ``score`` (the mean person score) and ``result`` (the regions).

    Raises:
        EveryposeError: if no label has the name of a keypoint, or the people have no image.

    Example:
        >>> import numpy as np
        >>> skeleton = Skeleton.named("coco")
        >>> image = np.zeros((100, 100, 3), np.uint8)
        >>> people = People(np.full((1, 17, 3), 50.0), [0.9], skeleton, image=image)
        >>> len(prediction(people, read_controls(labeling_config(skeleton)), "boir-lite")["result"]) > 1
        True
    """
    if people.image is None:
        raise EveryposeError("percent of the image's size need the image: these people have none")
    labels = Skeleton("labels", controls.labels, (), (), None)
    index = conversion(people.skeleton, labels).index
    if (index < 0).all():
        raise EveryposeError(
            f"no keypoint label ({', '.join(controls.labels[:5])} ...) has the name of a keypoint of "
            f"{people.skeleton.name}: {', '.join(people.skeleton.keypoints[:5])} ..."
        )
    height, width = people.image.shape[:2]
    names = {int(place): label for place, label in zip(index, controls.labels, strict=True) if place >= 0}
    regions = [
        region
        for number, person in enumerate(people)
        for region in _regions(person, number, controls, names, (width, height))
    ]
    score = float(people.scores.mean()) if len(people) else 0.0
    return {"model_version": model, "score": score, "result": regions}


def _regions(
    person: Person, number: int, controls: Controls, names: Mapping[int, str], size: tuple[int, int]
) -> list[Region]:
    """The rectangle of one person and the keypoints in it."""
    width, height = size
    frame: Region = {"to_name": controls.image, "original_width": width, "original_height": height, "image_rotation": 0}
    x1, y1, x2, y2 = person.box.tolist()
    left, right = _percent(x1, width), _percent(x2, width)
    top, bottom = _percent(y1, height), _percent(y2, height)
    regions: list[Region] = []
    parent: Region = {}
    if controls.rectangle is not None:
        parent = {"parentID": f"person-{number}"}
        value = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
        region = {"id": f"person-{number}", "from_name": controls.rectangle, "type": "rectanglelabels"}
        labeled = value | {"rectanglelabels": [controls.person]}
        regions.append({**frame, **region, "value": labeled, "score": person.score})
    best = float(person.keypoints[:, 2].max())
    for index, name in names.items():
        x, y, score = person.keypoints[index].tolist()
        if score <= WEAKEST * best or not (0 <= x <= width and 0 <= y <= height):
            continue
        point = {"x": _percent(x, width), "y": _percent(y, height), "width": MARKER, "keypointlabels": [name]}
        region = {"id": f"person-{number}-{index}", "from_name": controls.keypoints, "type": "keypointlabels"}
        regions.append({**frame, **region, **parent, "value": point, "score": score})
    return regions


def _percent(value: float, size: int) -> float:
    """A coordinate in percent of the image, within it."""
    return min(max(100 * value / size, 0.0), 100.0)


def labeling_config(skeleton: Skeleton) -> str:
    """A labeling configuration with a label for each keypoint, and the person's rectangle around them.

    Example:
        >>> labeling_config(Skeleton.named("coco")).count("<Label value=")
        18
    """
    labels = "\n".join(
        f'    <Label value={quoteattr(name)} model_index="{index}"/>' for index, name in enumerate(skeleton.keypoints)
    )
    return f"""<View>
  <RectangleLabels name="person" toName="image" model_skip="true">
    <Label value="person"/>
  </RectangleLabels>
  <KeyPointLabels name="keypoints" toName="image">
{labels}
  </KeyPointLabels>
  <Image name="image" value="$image"/>
</View>
"""

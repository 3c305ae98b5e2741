"""Ranked images as task lists with pre-labels for CVAT, Label Studio and FiftyOne."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from everypose.core.files import text_name, write_bytes, write_json, write_text
from everypose.integrations.cvat_labels import label_definition
from everypose.integrations.label_studio import labeling_config, prediction, read_controls
from everypose.integrations.mining import RankedImage
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

COLUMNS = ("file", "value", "uncertainty", "crowding", "inconsistency", "people")
VISIBLE, HIDDEN = 0.3, 0.1
"""Shares of a person's best keypoint score from which a keypoint is pre-labeled as visible (2) and as hidden (1)."""


def write_task_lists(ranked: Sequence[RankedImage], folder: Path, out: Path, url_prefix: str, model: str) -> list[Path]:
    """Write the ranking and a task list for each tool.

    Args:
        ranked: the images, most valuable first; not empty.
        folder: the folder that they are in; names in the lists are relative to it.
        out: the folder to write to.
        url_prefix: what precedes a name in Label Studio's image addresses.
        model: name of the model that gave the pre-labels.

    Returns:
        The files: ``ranking.csv``, ``images.txt`` (for cvat-cli and FiftyOne), ``prelabels.json`` (COCO keypoints, for
        CVAT and FiftyOne), ``cvat_labels.json``, ``label_studio.json`` (tasks with predictions), ``label_studio.xml``.

    Raises:
        EveryposeError: if a file cannot be written.

    >>> import numpy as np
    >>> from everypose.integrations.mining import MinedImage
    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"), image=np.zeros((64, 64, 3), np.uint8))
    >>> image = MinedImage(Path("photos/a.jpg"), people, uncertainty=0.2, crowding=0.0, inconsistency=0.1)
    >>> ranked, out = [RankedImage(image, value=0.5)], Path("lists")
    >>> files = write_task_lists(ranked, Path("photos"), out, url_prefix="/data/", model="boir-lite")
    >>> [file.name for file in files][:3], (out / "images.txt").exists()
    (['ranking.csv', 'images.txt', 'prelabels.json'], True)
    """
    places = [one.image.path.relative_to(folder).as_posix() for one in ranked]
    names = [text_name(place) for place in places]
    addresses = [url_prefix + quote(os.fsencode(place)) for place in places]
    skeleton = ranked[0].image.people.skeleton
    write_text(out / "ranking.csv", _ranking(ranked, names))
    write_bytes(out / "images.txt", b"".join(os.fsencode(one.image.path) + b"\n" for one in ranked))
    write_json(out / "prelabels.json", _coco(ranked, names, skeleton))
    write_json(out / "cvat_labels.json", label_definition(skeleton), indent=2)
    write_text(out / "label_studio.xml", labeling_config(skeleton))
    write_json(out / "label_studio.json", _label_studio(ranked, addresses, model))
    files = ("ranking.csv", "images.txt", "prelabels.json", "cvat_labels.json", "label_studio.json", "label_studio.xml")
    return [out / name for name in files]


def _ranking(ranked: Sequence[RankedImage], names: Sequence[str]) -> str:
    """The ranking as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one, name in zip(ranked, names, strict=True):
        measures = (one.value, one.image.uncertainty, one.image.crowding, one.image.inconsistency)
        writer.writerow([name, *(f"{measure:.4f}" for measure in measures), len(one.image.people)])
    return text.getvalue()


def _coco(ranked: Sequence[RankedImage], names: Sequence[str], skeleton: Skeleton) -> dict[str, object]:
    """A COCO annotation file with the people as pre-labels."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, (one, name) in enumerate(zip(ranked, names, strict=True), 1):
        people = one.image.people
        height, width = (0, 0) if people.image is None else people.image.shape[:2]
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for entry in _entries(people, image_id):
            annotations.append({"id": len(annotations) + 1, **entry})
    links = [[start + 1, end + 1] for start, end in skeleton.links]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": links}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _entries(people: People, image_id: int) -> list[dict[str, object]]:
    """The COCO annotations of one image."""
    entries: list[dict[str, object]] = []
    for result in people.to_coco(image_id=image_id):
        values = result["keypoints"]
        best = max(values[2::3])
        flat: list[float] = []
        for x, y, score in zip(values[::3], values[1::3], values[2::3], strict=True):
            visibility = 2 if score > VISIBLE * best else 1 if score > HIDDEN * best else 0
            flat += [x, y, visibility] if visibility else [0, 0, 0]
        x, y, width, height = result["bbox"]
        entries.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": flat,
                "num_keypoints": sum(value > 0 for value in flat[2::3]),
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    return entries


def _label_studio(ranked: Sequence[RankedImage], addresses: Sequence[str], model: str) -> list[dict[str, object]]:
    """Label Studio's tasks with predictions, to be imported as JSON."""
    controls = read_controls(labeling_config(ranked[0].image.people.skeleton))
    return [
        {
            "data": {"image": address, "value": round(one.value, 4)},
            "predictions": [prediction(one.image.people, controls, model)],
        }
        for one, address in zip(ranked, addresses, strict=True)
    ]

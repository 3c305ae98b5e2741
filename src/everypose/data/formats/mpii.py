"""MPII's single-person annotations (a JSON list, as SimpleBaseline and MMPose use them) to scenes."""

from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.files import read_json
from everypose.data.discovery.annotation_files import expected_path
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.data.images import read_header
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

# MPII gives a person's height in units of 200 pixels, and counts pixels from 1.
_HEIGHT_UNIT = 200.0
_FIRST_PIXEL = 1.0


def read_mpii(annotation_file: Path | str, image_root: Path | str) -> SceneSet:
    """Read ``mpii_<split>.json``: people with ``image``, ``center``, ``scale``, ``joints`` and ``joints_vis``.

    A person's box is the square of its height about its center; its area 0.53 of the box. Image sizes come from the
    images themselves.

    Raises:
        EveryposeError: if the file is not JSON or not of this form, or an image is missing.

    >>> _ = Path("mpii_val.json").write_text("{}")
    >>> read_mpii("mpii_val.json", "images")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: mpii_val.json is not an MPII annotation list
    """
    annotation_file, image_root = Path(annotation_file), Path(image_root)
    people = read_json(annotation_file)
    if not isinstance(people, list):
        raise EveryposeError(f"{annotation_file} is not an MPII annotation list")
    skeleton = Skeleton.named("mpii")
    try:
        keypoints = _keypoints(people, len(skeleton))
        centers = _array([person["center"] for person in people], (2,)) - _FIRST_PIXEL
        with np.errstate(over="ignore"):  # an infinite size is refused below
            half = _array([person["scale"] for person in people], ())[:, None] * _HEIGHT_UNIT / 2
        rows_of: dict[str, list[int]] = {}
        for row, person in enumerate(people):
            rows_of.setdefault(str(person["image"]), []).append(row)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EveryposeError(
            f"{annotation_file} is not an MPII annotation list: each person needs image, center, scale, joints "
            "(16 points) and joints_vis"
        ) from error
    if not (np.isfinite(keypoints).all() and np.isfinite(centers).all() and np.isfinite(half).all()):
        raise EveryposeError(f"{annotation_file} has a joint, center or scale that is not a finite number")
    boxes = np.concatenate([centers - half, centers + half], axis=1)
    scenes = [
        _scene(index, name, np.array(rows), keypoints, boxes, image_root)
        for index, (name, rows) in enumerate(rows_of.items(), start=1)
    ]
    repairs = [f"{len(people)} missing areas were taken as {AREA_OF_BOX} of the box"]
    return SceneSet(scenes, skeleton, annotation_file.stem, annotation_file, repairs)


def _keypoints(people: list[dict[str, Any]], count: int) -> Float64:
    """(N, K, 3); MPII only says whether a joint is labeled, which becomes visibility 2 or 0."""
    points = _array([person["joints"] for person in people], (count, 2)) - _FIRST_PIXEL
    labeled = _array([person["joints_vis"] for person in people], (count,))[:, :, None] > 0
    return np.concatenate([np.where(labeled, points, 0.0), 2.0 * labeled], axis=2)


def _array(values: list[Any], shape: tuple[int, ...]) -> Float64:
    """(N, *shape) of one value for each person; ValueError for another shape."""
    array = np.array(values, dtype=np.float64).reshape(len(values), *shape) if values else np.zeros((0, *shape))
    if any(np.shape(value) != shape for value in values):
        raise ValueError(f"not of shape {shape}")
    return array


def _scene(
    image_id: int,
    name: str,
    rows: Int64,
    keypoints: Float64,
    boxes: Float64,
    image_root: Path,
) -> Scene:
    path = expected_path(image_root, name)
    width, height = read_header(path).upright
    return Scene(
        image_id=image_id,
        path=path,
        file_name=name,
        width=width,
        height=height,
        annotation_ids=rows + 1,
        keypoints=keypoints[rows],
        boxes=boxes[rows],
        areas=AREA_OF_BOX * np.prod(boxes[rows, 2:] - boxes[rows, :2], axis=1),
        is_crowd=np.zeros(len(rows), dtype=np.bool_),
        segmentations=[None] * len(rows),
    )

"""InterHand2.6M: 3D joints projected by the cameras, one annotation for each hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.core.files import read_json
from everypose.core.geometry import keypoint_boxes, xyxy_to_xywh
from everypose.core.progress import track
from everypose.data.preparation.prepared import Entry, Prepared, annotation, category, find_file, require_any
from everypose.errors import as_user_error
from everypose.skeleton.skeleton import Skeleton

JOINTS = 21
"""Of a hand; the last one is the wrist, its root. The right hand comes first."""
MORE_THAN = 11
"""A hand is kept if more joints than this are valid."""
SUBSETS = {"train": "all", "val": "machine_annot", "test": "all"}
"""The annotations that PoseBH uses, where a release has several."""


def project(points: Float64, *, position: Float64, rotation: Float64, focal: Float64, center: Float64) -> Float64:
    """Project world coordinates to pixels: rotate the difference to the camera's position, then divide by depth.

    Args:
        points: (N, 3), millimeters.
        position: (3,) of the camera in the world, millimeters.
        rotation: (3, 3), world to camera.
        focal: (2,) focal lengths, pixels.
        center: (2,) principal point, pixels.

    Returns:
        (N, 3): x, y in pixels, depth in millimeters.

    >>> project(np.array([[0.0, 10, 100]]), position=np.zeros(3), rotation=np.eye(3), focal=np.full(2, 50.0),
    ...         center=np.array([8.0, 6])).tolist()
    [[8.0, 11.0, 100.0]]
    """
    camera = (points - position) @ rotation.T
    depth = camera[:, 2:]
    pixels = camera[:, :2] / np.where(depth == 0, 1.0, depth) * focal + center
    return np.concatenate([pixels, depth], axis=1)


def hands_of(points: Float64, valid: Mask) -> Iterator[tuple[Float64, Float64]]:
    """Separate the hands that have enough valid joints.

    Args:
        points: (42, 2 or more) x, y in pixels.
        valid: (42,) whether the joint is annotated; without a valid root, none of its hand is.

    Yields:
        Keypoints (21, 3) with COCO's visibility, and the tight box (4,), x y width height.

    >>> points, valid = np.ones((42, 2)), np.arange(42) < 21
    >>> [keypoints.shape for keypoints, box in hands_of(points, valid)]  # only the first hand is annotated
    [(21, 3)]
    """
    for start in (0, JOINTS):
        own = valid[start : start + JOINTS] & valid[start + JOINTS - 1]
        if own.sum() > MORE_THAN:
            keypoints = np.zeros((JOINTS, 3))
            keypoints[own, :2] = points[start : start + JOINTS][own, :2]
            keypoints[:, 2] = 2 * own
            yield keypoints, xyxy_to_xywh(keypoint_boxes(keypoints[None]))[0]


def prepare_interhand(folder: Path, *, quiet: bool = False) -> list[Prepared]:
    """Convert ``InterHand2.6M_{train,val,test}_{data,camera,joint_3d}.json``.

    Args:
        folder: of the extracted download, with ``annotations`` and ``images``.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if the annotations are not there or damaged.

    >>> prepare_interhand(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold annotations/*/InterHand2.6M_*_data.json ...
    """
    prepared = []
    for split, subset in SUBSETS.items():
        files = [
            find_file(
                folder,
                [f"annotations/{where}/InterHand2.6M_{split}_{kind}.json" for where in (split, subset)],
            )
            for kind in ("data", "camera", "joint_3d")
        ]
        if all(files):
            data, cameras, joints = (path for path in files if path is not None)
            with as_user_error(f"{data.parent} does not hold annotations of InterHand2.6M"):
                prepared.append(_split(split, read_json(data), read_json(cameras), read_json(joints), quiet=quiet))
    require_any(prepared, folder, "annotations/*/InterHand2.6M_*_data.json with its _camera.json and _joint_3d.json")
    return prepared


def _split(split: str, data: Any, cameras: Any, joints: Any, *, quiet: bool) -> Prepared:
    images = {image["id"]: image for image in data["images"]}
    kept: dict[int, Entry] = {}
    annotations: list[Entry] = []
    left_out = 0
    for entry in track(data["annotations"], f"InterHand2.6M {split}", quiet=quiet):
        image = images[entry["image_id"]]
        capture, camera = str(image["capture"]), str(image["camera"])
        shots = cameras[capture]
        world = np.asarray(joints[capture][str(image["frame_idx"])]["world_coord"], np.float64).reshape(-1, 3)
        points = project(
            world,
            position=np.asarray(shots["campos"][camera], np.float64),
            rotation=np.asarray(shots["camrot"][camera], np.float64).reshape(3, 3),
            focal=np.asarray(shots["focal"][camera], np.float64),
            center=np.asarray(shots["princpt"][camera], np.float64),
        )
        before = len(annotations)
        for keypoints, box in hands_of(points, np.asarray(entry["joint_valid"]).reshape(-1) > 0):
            number = len(annotations) + 1
            annotations.append(annotation(number, image["id"], keypoints.ravel().tolist(), box.tolist()))
        if len(annotations) > before:
            size = {"width": image["width"], "height": image["height"]}
            kept[image["id"]] = {"id": image["id"], "file_name": image["file_name"], **size}
        left_out += len(annotations) == before
    notes = [f"{left_out} images have no hand with a valid wrist and more than {MORE_THAN} valid joints"]
    return Prepared(
        f"interhand2d_{split}.json",
        list(kept.values()),
        annotations,
        category(Skeleton.named("interhand2d"), "hand"),
        notes=notes if left_out else (),
    )

"""3DPW: the 24 joints of SMPL projected to the image."""

from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.files import read_json
from everypose.core.geometry import keypoint_boxes, xyxy_to_xywh
from everypose.core.progress import track
from everypose.data.images import read_header
from everypose.data.preparation.array_pickle import read_array_pickle
from everypose.data.preparation.prepared import (
    Entry,
    Prepared,
    annotation,
    category,
    find_file,
    require_any,
    required_file,
)
from everypose.errors import as_user_error
from everypose.skeleton.skeleton import Skeleton

JOINTS = 24
SPLITS = {"train": "train", "val": "validation", "test": "test"}
NO_BOXES = "boxes are the extents of the visible joints: the original files have none"


def visible_keypoints(points: Float64, width: int, height: int) -> Float64:
    """Keypoints (24, 3) with COCO's visibility: 2 inside the image with a depth of 0 or more, 0 elsewhere.

    Args:
        points: (24, 3) x, y in pixels, depth.
        width: of the image, pixels.
        height: of the image, pixels.

    >>> points = np.array([[5.0, 5, 1], [5, 5, -1], [640, 5, 1], [639.5, 0, 0]])
    >>> visible_keypoints(points, 640, 480)[:, 2].tolist()
    [2.0, 0.0, 0.0, 2.0]
    """
    x, y, depth = points.T
    visible = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (depth >= 0)
    return np.where(visible[:, None], np.column_stack([points[:, :2], np.full(len(points), 2.0)]), 0.0)


def prepare_pw3d(folder: Path, *, quiet: bool = False) -> list[Prepared]:
    """Convert ScoreHypo's ``3DPW_{train,test}.json`` if they are there, else the original ``sequenceFiles``.

    Args:
        folder: with ``imageFiles`` and either of both.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if neither is there, or a file is damaged or a pickle of more than arrays.

    >>> prepare_pw3d(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold ...
    """
    prepared = []
    for split, word in SPLITS.items():
        path = find_file(folder, [f"**/3DPW_{split}.json"])
        sequences = sorted(folder.glob(f"sequenceFiles/{word}/*.pkl"))
        if path is not None:
            with as_user_error(f"{path} is not an annotation file of 3DPW by ScoreHypo"):
                prepared.append(_from_scorehypo(split, read_json(path)))
        elif sequences:
            prepared.append(_from_sequences(folder, split, sequences, quiet=quiet))
    require_any(prepared, folder, "sequenceFiles/{train,validation,test}/*.pkl or ScoreHypo's 3DPW_train.json")
    return prepared


def _from_scorehypo(split: str, content: Any) -> Prepared:
    images = {}
    for image in content["images"]:
        name = f"{image['sequence']}/{image['file_name']}"
        images[image["id"]] = {"id": image["id"], "file_name": name, "width": image["width"], "height": image["height"]}
    annotations = []
    for entry in content["annotations"]:
        image = images[entry["image_id"]]
        points = np.asarray(entry["smpl_joint_img"], np.float64).reshape(JOINTS, 3)
        keypoints = visible_keypoints(points, image["width"], image["height"])
        annotations.append(annotation(entry["id"], image["id"], keypoints.ravel().tolist(), entry["bbox"]))
    return Prepared(f"pw3d_{split}.json", list(images.values()), annotations, category(Skeleton.named("pw3d")))


def _from_sequences(folder: Path, split: str, sequences: list[Path], *, quiet: bool) -> Prepared:
    images: list[Entry] = []
    annotations: list[Entry] = []
    for path in track(sequences, f"3DPW {split}", quiet=quiet):
        with as_user_error(f"{path} is not a sequence of 3DPW"):
            _add_sequence(folder, path, images, annotations)
    return Prepared(f"pw3d_{split}.json", images, annotations, category(Skeleton.named("pw3d")), notes=[NO_BOXES])


def _add_sequence(folder: Path, path: Path, images: list[Entry], annotations: list[Entry]) -> None:
    """Append the frames of one sequence and the people in them."""
    sequence = read_array_pickle(path)
    people = [np.asarray(joints, np.float64).reshape(len(joints), -1, 3) for joints in sequence["jointPositions"]]
    valid = [np.asarray(each).reshape(-1) > 0 for each in sequence["campose_valid"]]
    extrinsics = np.asarray(sequence["cam_poses"], np.float64)
    intrinsics = np.asarray(sequence["cam_intrinsics"], np.float64)
    width, height = _size(folder / "imageFiles" / path.stem)
    for frame in range(len(extrinsics)):
        rows = []
        for joints, usable in zip(people, valid, strict=True):
            if frame < len(joints) and usable[frame]:
                keypoints = visible_keypoints(_project(joints[frame], extrinsics[frame], intrinsics), width, height)
                if keypoints[:, 2].any():
                    rows.append(keypoints)
        if not rows:
            continue
        image_id = len(images) + 1
        name = f"{path.stem}/image_{frame:05d}.jpg"
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for keypoints in rows:
            box = xyxy_to_xywh(keypoint_boxes(keypoints[None]))[0]
            number = len(annotations) + 1
            annotations.append(annotation(number, image_id, keypoints.ravel().tolist(), box.tolist()))


def _project(joints: Float64, extrinsics: Float64, intrinsics: Float64) -> Float64:
    """World joints (24, 3), meters, to x, y in pixels and depth (24, 3).

    Args:
        joints: (24, 3).
        extrinsics: (4, 4), world to camera.
        intrinsics: (3, 3).
    """
    camera = joints[:JOINTS] @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    pixels = camera @ intrinsics.T
    depth = pixels[:, 2:]
    return np.concatenate([pixels[:, :2] / np.where(depth == 0, 1.0, depth), camera[:, 2:]], axis=1)


def _size(folder: Path) -> tuple[int, int]:
    """Width and height of a sequence's first image."""
    return read_header(required_file(folder, "image_*.jpg", "image_*.jpg")).upright

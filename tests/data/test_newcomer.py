"""A newcomer's first hour, the data part: own photos, labelled in CVAT with nine keypoints, looked at and read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from everypose.data.doctor import examine_all
from everypose.data.layouts import find_data
from everypose.errors import EveryposeError

NAMES = ["nose", "left_ear", "right_ear", "left_front", "right_front", "left_back", "right_back", "root", "tip"]
PHOTOS = 6


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """CVAT's COCO keypoints export, unpacked, with the slips of a first try: no areas, an empty box, a wrong count."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(1, PHOTOS + 1):
        path = tmp_path / "images" / "train" / f"photo {number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (120, 160, 3), np.uint8))
        images.append({"id": number, "file_name": path.name, "width": 160, "height": 120, "license": 0})
        keypoints = np.column_stack([rng.uniform(20, 140, 9), rng.uniform(20, 100, 9), np.full(9, 2)]).round(2)
        low, extent = keypoints[:, :2].min(0), np.ptp(keypoints[:, :2], axis=0)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "segmentation": [],
                "area": 0.0,
                "bbox": [*low, *extent],
                "iscrowd": 0,
                "attributes": {"occluded": False},
                "keypoints": keypoints.reshape(-1).tolist(),
                "num_keypoints": 9,
            }
        )
    annotations[1]["bbox"] = [0, 0, 0, 0]
    annotations[2]["num_keypoints"] = 4
    category = {"id": 1, "name": "mouse", "supercategory": "", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3], [8, 9]]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "person_keypoints_train.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    return tmp_path


def test_doctor_sees_what_reading_will_repair(export: Path) -> None:
    (examined,) = examine_all(export)
    found = {flaw.kind.name: (flaw.kind.severity, flaw.count) for flaw in examined.diagnosis.flaws}
    assert found == {"no_area": ("repaired", PHOTOS), "box_size": ("repaired", 1), "num_keypoints": ("repaired", 1)}
    assert examined.diagnosis.readable
    assert examined.diagnosis.image_root == export / "images" / "train"


def test_the_set_is_found_and_read(export: Path) -> None:
    scenes = find_data(export, "train").read()
    assert len(scenes) == PHOTOS
    assert scenes.skeleton.keypoints == tuple(NAMES)
    assert scenes.skeleton.flip_pairs == ((1, 2), (3, 4), (5, 6))
    assert scenes.skeleton.links == ((0, 1), (0, 2), (7, 8))
    assert all((scene.areas > 0).all() and scene.path.exists() for scene in scenes)
    assert len(scenes.repairs) == 3


def test_unknown_sigmas_are_asked_for(export: Path) -> None:
    with pytest.raises(EveryposeError, match="sigmas"):
        find_data(export, "train").read().skeleton.require_sigmas()

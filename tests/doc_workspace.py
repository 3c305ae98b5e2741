"""The folder in which the commands of the pages run: pictures, small data sets in published layouts, tiny models."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

import everypose
from drawn_mice import SCRIPT, draw_data_set
from evaluation.tiny_crops import tiny_folder
from inference.stand_in import SKELETON

EXAMPLES = Path(everypose.__file__).parent / "examples"


def build_workspace(folder: Path) -> None:
    """Fill the folder. The stand-in data sets contain the people that the bundled model finds."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for name in ("group", "pedestrians"):
        shutil.copy(EXAMPLES / f"{name}.jpg", photos)
    shutil.copytree(photos, folder / "more-photos")
    shutil.copy(EXAMPLES / "group.jpg", folder / "crowd.jpg")
    (folder / "holiday").mkdir()
    image = cv2.imread(str(photos / "pedestrians.jpg"))
    assert image is not None
    cv2.imwrite(str(folder / "holiday" / "beach.png"), image[::2, ::2])
    content, results = _found_people(photos)
    (folder / "gt.json").write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "detections.json").write_text(json.dumps(results))
    _published_layouts(folder / "data", photos, content)
    draw_data_set(folder / "mice")
    shutil.copy(SCRIPT, folder)
    tiny_folder(folder / "models" / "mipnet", family="mipnet")
    tiny_folder(folder / "models" / "hrnet", family="hrnet")
    widths = dict.fromkeys(("instance", "neck_branch", "neck", "head", "embedding"), 4)
    tiny_folder(folder / "models" / "boir", family="boir", **widths)


def _found_people(photos: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Annotations and results of the people that the bundled model finds in the photos."""
    pose = everypose.load("boir-lite", min_score=0.05)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for image_id, path in enumerate(sorted(photos.iterdir()), 1):
        people = pose(path)
        image = cv2.imread(str(path))
        assert image is not None
        images.append({"id": image_id, "file_name": path.name, "height": image.shape[0], "width": image.shape[1]})
        found = people.to_coco(image_id)
        results += [{**result, "file_name": path.name} for result in found]
        for result in found:
            keypoints = np.reshape(result["keypoints"], (-1, 3))
            keypoints[:, 2] = 2
            x, y, w, h = result["bbox"]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0,
                    "bbox": [x, y, w, h], "area": w * h * 0.5, "num_keypoints": len(keypoints),
                    "keypoints": keypoints.ravel().tolist(),
                }
            )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(SKELETON.keypoints), "skeleton": [[1, 2]]}
    return {"images": images, "annotations": annotations, "categories": [category]}, results


def _published_layouts(data: Path, photos: Path, content: dict[str, object]) -> None:
    coco, ochuman = data / "coco", data / "ochuman"
    (coco / "annotations").mkdir(parents=True)
    (coco / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    shutil.copytree(photos, coco / "val2017")
    ochuman.mkdir()
    (ochuman / "ochuman_coco_format_val_range_0.00_1.00.json").write_text(json.dumps(content))
    shutil.copytree(photos, ochuman / "images")

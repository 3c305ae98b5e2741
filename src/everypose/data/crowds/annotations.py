"""The annotation file of a composed set, in COCO's format."""

from typing import Any

from everypose.core.files import read_json
from everypose.data.formats.coco import coco_category_fields
from everypose.data.scenes import Scene, SceneSet


class ComposedAnnotations:
    """Collects the COCO entries of composed photos.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> annotations = ComposedAnnotations(SceneSet([], Skeleton.named("coco"), "train"))
    >>> annotations.content({"seed": 0})["categories"][0]["name"]
    'person'
    """

    def __init__(self, source: SceneSet) -> None:
        """Start without photos; ``source`` is the set that the people come from and gives the category."""
        self._category = _category(source)
        self._images: list[dict[str, Any]] = []
        self._people: list[dict[str, Any]] = []

    def add(self, scene: Scene, file_name: str) -> None:
        """Add a composed photo; images and people are numbered from 1."""
        image_id = len(self._images) + 1
        self._images.append(_image_entry(scene, image_id, file_name))
        self._people += _annotation_entries(
            scene, image_id=image_id, first_id=len(self._people) + 1, category_id=self._category["id"]
        )

    def content(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the content of the annotation file."""
        return {
            "info": info,
            "licenses": [],
            "categories": [self._category],
            "images": self._images,
            "annotations": self._people,
        }


def _category(scenes: SceneSet) -> dict[str, Any]:
    """The source file's own category, or one made from the skeleton."""
    content = None if scenes.annotation_file is None else read_json(scenes.annotation_file)
    categories: list[dict[str, Any]] = content["categories"] if isinstance(content, dict) else []  # MPII has a list
    own = next((entry for entry in categories if entry.get("keypoints")), None)
    return own or {"id": 1, "name": "person", **coco_category_fields(scenes.skeleton)}


def _image_entry(scene: Scene, image_id: int, file_name: str) -> dict[str, Any]:
    """The COCO entry of a composed photo; it keeps what the background's entry said."""
    rest = {key: value for key, value in scene.extra.items() if key != "pasted"}
    own = {
        "id": image_id,
        "file_name": file_name,
        "width": scene.width,
        "height": scene.height,
        "background": scene.file_name,
    }
    return rest | own


def _annotation_entries(scene: Scene, *, image_id: int, first_id: int, category_id: int) -> list[dict[str, Any]]:
    """The COCO entries of a composed photo's people and crowd regions, each with its source."""
    pasted = scene.extra["pasted"]
    originals = len(scene) - len(pasted)
    entries = []
    for index in range(len(scene)):
        x1, y1, x2, y2 = scene.boxes[index].tolist()
        keypoints = [[round(x, 2), round(y, 2), int(v)] for x, y, v in scene.keypoints[index].tolist()]
        source = {"file_name": scene.file_name, "annotation_id": int(scene.annotation_ids[index])}
        entry: dict[str, Any] = {
            "id": first_id + index,
            "image_id": image_id,
            "category_id": category_id,
            "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
            "area": round(float(scene.areas[index]), 2),
            "iscrowd": int(scene.is_crowd[index]),
            "keypoints": [value for keypoint in keypoints for value in keypoint],
            "num_keypoints": int((scene.keypoints[index, :, 2] > 0).sum()),
            "pasted": index >= originals,
            "source": source if index < originals else pasted[index - originals],
        }
        if scene.segmentations[index] is not None:
            entry["segmentation"] = scene.segmentations[index]
        entries.append(entry)
    return entries

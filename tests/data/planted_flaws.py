"""A flawless set, and a function for each flaw that plants it and says what must be found."""

import json
import math
from pathlib import Path

import cv2
import numpy as np

from everypose.data.doctor import Diagnosis, examine
from everypose.skeleton.skeleton import Skeleton

NAMES = list(Skeleton.named("coco").keypoints)
WIDTH, HEIGHT = 64, 48


def with_exif(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    """A JPEG's bytes with an EXIF segment that holds nothing but the orientation."""
    little = order == "<"
    pack = lambda value, size: value.to_bytes(size, "little" if little else "big")  # noqa: E731
    entry = pack(0x0112, 2) + pack(3, 2) + pack(1, 4) + pack(orientation, 2) + b"\0\0"
    tiff = (b"II" if little else b"MM") + pack(42, 2) + pack(8, 4) + pack(1, 2) + entry + pack(0, 4)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


def jpeg(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    rng = np.random.default_rng(width * 1000 + height)
    return cv2.imencode(".jpg", rng.integers(0, 255, (height, width, 3), np.uint8))[1].tobytes()


def person(number: int, image: int) -> dict:
    keypoints = [value for k in range(17) for value in (5 + k * 2, 6 + k * 2, 1 + k % 2)]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": 17,
        "bbox": [4, 5, 36, 36],
        "area": 700.0,
        "iscrowd": 0,
    }


class Set:
    """A flawless set of twelve images with one person each, in a folder; tests plant flaws in ``content``."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "images").mkdir(parents=True)
        (folder / "annotations").mkdir()
        self.path = folder / "annotations" / "train.json"
        numbers = range(1, 13)
        for number in numbers:
            self.image(number).write_bytes(jpeg())
        self.content = {
            "images": [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in numbers],
            "annotations": [person(100 + n, n) for n in numbers],
            "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": [[16, 14], [14, 12]]}],
        }

    def image(self, number: int) -> Path:
        return self.folder / "images" / f"{number}.jpg"

    def entry(self, number: int) -> dict:
        return self.content["annotations"][number - 1]

    def write(self) -> Path:
        self.path.write_text(json.dumps(self.content))
        return self.path

    def examine(self) -> Diagnosis:
        return examine(self.write()).diagnosis


def set_keypoint(entry: dict, keypoint: int, *values: object) -> None:
    entry["keypoints"][3 * keypoint : 3 * keypoint + len(values)] = values


# Each plants one flaw in the image or annotation of its number and names what must be found.
def swapped(data: Set) -> dict:
    data.content["images"][0].update(width=HEIGHT, height=WIDTH)
    return {"swapped_size": ["1.jpg"]}


def wrong_size(data: Set) -> dict:
    data.content["images"][1].update(width=2 * WIDTH, height=2 * HEIGHT)
    return {"wrong_size": ["2.jpg"]}


def no_size(data: Set) -> dict:
    del data.content["images"][2]["width"]
    return {"image_size_missing": ["3.jpg"]}


def missing(data: Set) -> dict:
    data.image(4).unlink()
    return {"missing_file": ["4.jpg"]}


def unreadable(data: Set) -> dict:
    data.image(5).write_bytes(jpeg()[:-200])
    data.image(6).write_bytes(b"not an image")
    return {"unreadable_file": ["5.jpg", "6.jpg"]}


def exif_upright(data: Set) -> dict:
    data.image(7).write_bytes(with_exif(jpeg(HEIGHT, WIDTH), 6))
    return {"exif_rotated": ["7.jpg"]}


def exif_stored(data: Set) -> dict:
    data.image(8).write_bytes(with_exif(jpeg(WIDTH, HEIGHT), 8))
    return {"exif_rotated": ["8.jpg"], "exif_labels_not_turned": ["8.jpg"]}


def exif_and_swapped(data: Set) -> dict:
    data.image(8).write_bytes(with_exif(jpeg(HEIGHT, WIDTH), 8))
    data.content["images"][7].update(width=HEIGHT, height=WIDTH)
    set_keypoint(data.entry(8), 3, 60, 10, 2)  # fits the upright image only
    return {"exif_rotated": ["8.jpg"], "swapped_size": ["8.jpg"]}


def duplicate_image(data: Set) -> dict:
    data.content["images"].append({**data.content["images"][0], "file_name": "12.jpg"})
    return {"duplicate_image_id": ["1"]}


def image_twice(data: Set) -> dict:
    data.content["images"].append(dict(data.content["images"][0]))
    return {"image_listed_twice": ["1"]}


def same_file(data: Set) -> dict:
    data.content["images"].append({**data.content["images"][0], "id": 99})
    return {"duplicate_file_name": ["1.jpg"]}


def image_without_name(data: Set) -> dict:
    data.content["images"].append({"id": 98, "width": 5, "height": 5})
    return {"image_entry": ["no. 12"]}


def wrong_count(data: Set) -> dict:
    data.entry(1)["num_keypoints"] = 3
    return {"num_keypoints": ["101"]}


def no_count(data: Set) -> dict:
    del data.entry(1)["num_keypoints"]
    return {"num_keypoints_missing": ["101"]}


def nobody(data: Set) -> dict:
    data.entry(2).update(keypoints=[0] * 51, num_keypoints=0)
    return {"no_keypoints": ["102"]}


def no_area(data: Set) -> dict:
    del data.entry(3)["area"]
    data.entry(4)["area"] = 0
    return {"no_area": ["103", "104"]}


def box_outside(data: Set) -> dict:
    data.entry(4)["bbox"] = [40, 5, 40, 20]
    data.entry(5)["bbox"] = [-9, 5, 40, 20]
    return {"box_outside": ["104", "105"]}


def empty_box(data: Set) -> dict:
    data.entry(5)["bbox"] = [4, 5, 0, 10]
    data.entry(6)["bbox"] = [4, 5, 10, -3]
    return {"box_size": ["105", "106"]}


def no_box(data: Set) -> dict:
    del data.entry(6)["bbox"]
    return {"no_box": ["106"]}


def keypoint_outside(data: Set) -> dict:
    set_keypoint(data.entry(7), 2, WIDTH + 1, 10, 2)
    set_keypoint(data.entry(8), 2, 10, -1, 1)
    return {"keypoint_outside": ["107", "108"]}


def keypoint_at_origin(data: Set) -> dict:
    set_keypoint(data.entry(8), 0, 0, 0, 2)
    return {"keypoint_at_origin": ["108"]}


def not_finite(data: Set) -> dict:
    set_keypoint(data.entry(9), 0, math.nan, 7, 2)
    set_keypoint(data.entry(10), 0, None)
    data.entry(11)["bbox"][0] = math.inf
    return {"not_finite": ["109", "110", "111"]}


def text(data: Set) -> dict:
    set_keypoint(data.entry(9), 0, "left")
    return {"not_a_number": ["109"]}


def visibility(data: Set) -> dict:
    set_keypoint(data.entry(10), 1, 9, 9, 3)
    return {"visibility": ["110"]}


def few_keypoints(data: Set) -> dict:
    data.entry(11)["keypoints"] = data.entry(11)["keypoints"][:-3]
    return {"keypoint_count": ["111"]}


def duplicate_annotation(data: Set) -> dict:
    data.entry(12)["id"] = 101
    return {"duplicate_annotation_id": ["101"]}


def unknown_image(data: Set) -> dict:
    data.entry(12)["image_id"] = 777
    return {"unknown_image": ["112"]}


def unknown_category(data: Set) -> dict:
    data.entry(12)["category_id"] = 9
    return {"unknown_category": ["112"]}


def no_id(data: Set) -> dict:
    del data.entry(12)["id"]
    return {"annotation_entry": ["no. 11"]}


def crowd(data: Set) -> dict:
    data.entry(12).update(iscrowd=1, keypoints=[0] * 51, num_keypoints=0)
    return {"crowd_region": ["112"]}


def category_name(data: Set) -> dict:
    data.content["categories"][0]["name"] = "dog"
    return {"category_name": ["'dog' for 'person'"]}


def misspelt(data: Set) -> dict:
    data.content["categories"][0]["keypoints"][5] = "left_sholder"
    return {"keypoint_names": ["'left_sholder' for 'left_shoulder' of coco"]}


def name_twice(data: Set) -> dict:
    data.content["categories"][0]["keypoints"][5] = "nose"
    return {"keypoint_names": ["'nose' is used twice"]}


def links(data: Set) -> dict:
    data.content["categories"][0]["skeleton"] = [[1, 2], [17, 18]]
    return {"skeleton_links": ["'person': [17, 18]"]}


def malformed_box(data: Set) -> dict:
    data.entry(3)["bbox"] = [1, 2, 3]
    return {"not_a_number": ["103"]}


def category_without_id(data: Set) -> dict:
    data.content["categories"].append({"name": "dog"})
    return {"category_entry": ["'dog'"]}


def no_names(data: Set) -> dict:
    del data.content["categories"][0]["keypoints"]
    return {"no_keypoint_category": ["'person'"]}


def text_ids(data: Set) -> dict:
    for entry in data.content["annotations"][:3]:
        entry["image_id"] = str(entry["image_id"])
    return {"id_type": ["101", "102", "103"]}


def crowd_text(data: Set) -> dict:
    data.entry(3)["iscrowd"] = "0"
    return {"iscrowd_text": ["103"]}


def crowd_value(data: Set) -> dict:
    data.entry(4)["iscrowd"] = "yes"
    return {"iscrowd_value": ["104"]}


def keypoint_at_minus_one(data: Set) -> dict:
    set_keypoint(data.entry(8), 0, -1, -1, 2)
    return {"keypoint_at_origin": ["108"]}


def normalized(data: Set) -> dict:
    for entry in data.content["annotations"]:
        points = entry["keypoints"]
        entry["keypoints"] = [v if i % 3 == 2 else v / (WIDTH, HEIGHT)[i % 3] for i, v in enumerate(points)]
        entry["bbox"] = [v / (WIDTH, HEIGHT)[i % 2] for i, v in enumerate(entry["bbox"])]
    return {"normalized_coordinates": [str(entry["id"]) for entry in data.content["annotations"][:8]]}


PLANTS = [
    swapped, wrong_size, no_size, missing, unreadable, exif_upright, exif_stored, exif_and_swapped, duplicate_image,
    image_twice, same_file, image_without_name, wrong_count, no_count, nobody, no_area, box_outside, empty_box, no_box,
    keypoint_outside, keypoint_at_origin, not_finite, text, visibility, few_keypoints, duplicate_annotation,
    unknown_image, unknown_category, no_id, crowd, category_name, misspelt, name_twice, links, no_names,
    malformed_box, category_without_id, text_ids, crowd_text, crowd_value, keypoint_at_minus_one,
]  # fmt: skip

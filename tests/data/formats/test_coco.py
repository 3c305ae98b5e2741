import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from everypose.data.formats.coco import read_coco
from everypose.data.scenes import joined
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
POSE = [value for index in range(17) for value in (10 + index, 20 + 2 * index, 2)]


def annotation(**changes: Any) -> dict[str, Any]:
    entry = {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "bbox": [10, 20, 16, 32],
        "area": 300.5,
        "iscrowd": 0,
        "keypoints": POSE,
        "num_keypoints": 17,
    } | changes
    return {key: value for key, value in entry.items() if value is not None}


def content(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 80, "license": 1, "crowdIndex": 0.4}],
        "annotations": list(annotations),
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": []}],
    } | changes


def read(folder: Path, values: Any, skeleton: Skeleton | None = COCO):
    path = folder / "annotations.json"
    path.write_text(json.dumps(values))
    return read_coco(path, folder, skeleton)


def test_plain_file(tmp_path: Path) -> None:
    crowd = {"size": [80, 100], "counts": [8000]}
    scenes = read(
        tmp_path,
        content(
            annotation(id=5, segmentation=[[10, 20, 26, 20, 26, 52]]),
            annotation(id=6, iscrowd=1, keypoints=None, num_keypoints=0, segmentation=crowd),
        ),
    )
    assert len(scenes) == 1
    assert scenes.repairs == []
    assert scenes.annotation_file == tmp_path / "annotations.json"
    scene = scenes.scenes[0]
    assert (scene.image_id, scene.file_name, scene.width, scene.height) == (7, "a.jpg", 100, 80)
    assert scene.path == tmp_path / "a.jpg"
    assert scene.extra == {"crowdIndex": 0.4}
    assert scene.annotation_ids.tolist() == [5, 6]
    assert scene.boxes.tolist() == [[10, 20, 26, 52]] * 2
    assert scene.areas.tolist() == [300.5] * 2
    assert scene.is_crowd.tolist() == [False, True]
    assert scene.is_labeled_person.tolist() == [True, False]
    np.testing.assert_array_equal(scene.keypoints[0], np.reshape(POSE, (17, 3)))
    assert not scene.keypoints[1].any()
    assert scene.segmentations == [[[10, 20, 26, 20, 26, 52]], crowd]


def test_skeleton_comes_from_the_category(tmp_path: Path) -> None:
    assert read(tmp_path, content(annotation()), None).skeleton.keypoints == COCO.keypoints


def test_annotations_go_to_their_images_in_order(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in (30, 10, 20)]
    entries = [annotation(id=i, image_id=image) for i, image in enumerate([20, 30, 20, 20, 30])]
    scenes = read(tmp_path, content(*entries, images=images))
    assert [(scene.image_id, scene.annotation_ids.tolist()) for scene in scenes] == [
        (30, [1, 4]),
        (10, []),
        (20, [0, 2, 3]),
    ]
    assert scenes.scenes[1].keypoints.shape == (0, 17, 3)


def test_no_annotations_at_all(tmp_path: Path) -> None:
    scenes = read(tmp_path, content())
    assert len(scenes) == 1
    assert len(scenes.scenes[0]) == 0
    assert len(read(tmp_path, content(images=[]))) == 0


@pytest.mark.parametrize(
    ("entry", "said", "check"),
    [
        (annotation(area=None), "missing areas", lambda s: s.areas[0] == pytest.approx(0.53 * 16 * 32)),
        (annotation(area=-3), "missing areas", lambda s: s.areas[0] == pytest.approx(0.53 * 16 * 32)),
        (annotation(num_keypoints=3), "num_keypoints", lambda s: s.has_keypoints[0]),
        (annotation(bbox=None, area=None), "boxes", lambda s: s.boxes[0].tolist() == [10, 20, 26, 52]),
        (annotation(bbox=[5, 5, 0, -2]), "boxes", lambda s: s.boxes[0].tolist() == [10, 20, 26, 52]),
        (annotation(bbox=[5, 5, float("nan"), 2]), "boxes", lambda s: s.boxes[0].tolist() == [10, 20, 26, 52]),
        (annotation(keypoints=[float("nan"), 1, 2, *POSE[3:]]), "no numbers", lambda s: s.keypoints[0, 0, 2] == 0),
        (annotation(keypoints=None, num_keypoints=0, bbox=[0, 0, 0, 0]), "left out", lambda s: len(s) == 0),
        (annotation(image_id=99), "does not list", lambda s: len(s) == 0),
    ],
)
def test_repairs_are_made_and_said(tmp_path: Path, entry, said: str, check) -> None:
    scenes = read(tmp_path, content(entry))
    assert any(said in repair for repair in scenes.repairs)
    assert check(scenes.scenes[0])


def test_boxes_past_the_border_stay(tmp_path: Path) -> None:
    scenes = read(tmp_path, content(annotation(bbox=[-10, -5, 500, 20])))
    assert scenes.scenes[0].boxes.tolist() == [[-10, -5, 490, 15]]
    assert scenes.repairs == []


def test_missing_sizes_come_from_the_image(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 50, 3), np.uint8))
    scenes = read(tmp_path, content(annotation(), images=[{"id": 7, "file_name": "a.png"}]))
    assert (scenes.scenes[0].width, scenes.scenes[0].height) == (50, 30)
    assert "sizes" in scenes.repairs[0]


@pytest.mark.parametrize("name", ["exported/by/tool/a.jpg", "C:\\pictures\\a.jpg"])
def test_folders_in_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    image = {"id": 7, "file_name": name, "width": 9, "height": 9}
    scenes = read(tmp_path, content(annotation(), images=[image]))
    assert scenes.scenes[0].path == tmp_path / "a.jpg"
    assert "without their folders" in scenes.repairs[0]


def test_image_listed_twice(tmp_path: Path) -> None:
    image = content()["images"][0]
    assert len(read(tmp_path, content(annotation(), images=[image, dict(image)]))) == 1
    with pytest.raises(EveryposeError, match=r"image id 7 stands for a\.jpg and b\.jpg"):
        read(tmp_path, content(annotation(), images=[image, image | {"file_name": "b.jpg"}]))


def test_other_categories_are_not_people(tmp_path: Path) -> None:
    categories = [*content()["categories"], {"id": 2, "name": "dog"}]
    dog = {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 5]}
    assert len(read(tmp_path, content(annotation(), dog, categories=categories)).scenes[0]) == 1


def test_categories_with_the_same_keypoints_are_read_as_one(tmp_path: Path) -> None:
    first = content()["categories"][0]
    both = [first, first | {"id": 2, "name": "other"}]
    assert len(read(tmp_path, content(annotation(), annotation(id=2, category_id=2), categories=both)).scenes[0]) == 2
    different = [first, first | {"id": 2, "keypoints": ["a", "b"]}]
    with pytest.raises(EveryposeError, match="different keypoints"):
        read(tmp_path, content(annotation(), categories=different))


def test_whole_body_lists_are_joined(tmp_path: Path) -> None:
    parts = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    extra = {name: [float(index), 1.0, 2.0] * count for index, (name, count) in enumerate(parts.items())}
    entry = annotation(**extra)
    assert read(tmp_path, content(entry)).scenes[0].keypoints.shape == (1, 17, 3)
    whole = read(tmp_path, content(entry), Skeleton.named("coco_wholebody")).scenes[0].keypoints
    assert whole.shape == (1, 133, 3)
    assert whole[0, [17, 23, 91, 112], 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "not a COCO"),
        ({"images": []}, "not a COCO"),
        (content(annotation(keypoints=POSE[:-3])), "annotation 1 has 16 keypoints, but the skeleton 'coco' has 17"),
        (content(annotation(), images=[{"id": 7}]), "malformed"),
        (content(annotation(), images=[5]), "malformed"),
        (content("text"), "malformed"),
        (content(annotation(keypoints="x" * 51)), "malformed"),
        (content(annotation(bbox=[1, 2, 3])), "malformed"),
        (content(annotation(image_id=[])), "malformed"),
    ],
)
def test_unusable_files_are_one_line(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(EveryposeError, match=message) as error:
        read(tmp_path, values)
    assert "annotations.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_not_json_and_missing(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{ not json")
    with pytest.raises(EveryposeError, match="not valid JSON"):
        read_coco(tmp_path / "x.json", tmp_path)
    with pytest.raises(EveryposeError, match=r"none\.json"):
        read_coco(tmp_path / "none.json", tmp_path)


def test_unknown_keypoints_need_a_skeleton(tmp_path: Path) -> None:
    nameless = content(annotation(), categories=[{"id": 1, "name": "person"}])
    with pytest.raises(EveryposeError, match="give a skeleton"):
        read(tmp_path, nameless, None)
    assert len(read(tmp_path, nameless, COCO).scenes[0]) == 1


def test_joined_sets(tmp_path: Path) -> None:
    first = read(tmp_path, content(annotation(area=None)))
    second = read(tmp_path, content(annotation(), images=[{"id": 8, "file_name": "b.jpg", "width": 9, "height": 9}]))
    both = joined([first, second], "both")
    assert [scene.image_id for scene in both] == [7, 8]
    assert both.repairs[0].startswith("annotations: 1 missing areas")
    with pytest.raises(EveryposeError, match="image id 7"):
        joined([first, first, read(tmp_path, content(annotation()))], "twice")
    other = read(tmp_path, content(categories=[{"id": 1, "name": "person"}]), Skeleton.named("mpii"))
    with pytest.raises(EveryposeError, match="skeletons differ"):
        joined([first, other], "mixed")


def test_keypoints_in_another_order_than_the_skeleton_s_are_an_error(tmp_path: Path) -> None:
    values = content(annotation())
    values["categories"][0]["keypoints"] = [COCO.keypoints[i] for i in COCO.flip_index]
    with pytest.raises(EveryposeError, match=r"annotations\.json has 'right_eye' as keypoint 2"):
        read(tmp_path, values)

"""Preparing data sets, on small generated copies of the original layouts."""

import json
import pickle

import cv2
import numpy as np
import pytest

from everypose.data.discovery.layouts import Layout
from everypose.data.formats.coco import read_coco
from everypose.data.preparation.apt36k import split_videos
from everypose.data.preparation.interhand import hands_of, project
from everypose.data.preparation.prepared import Prepared
from everypose.data.preparation.sets import SETS, prepare_set
from everypose.errors import EveryposeError, UsageError
from everypose.skeleton.skeleton import Skeleton

RNG = np.random.default_rng(0)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_image(path, width=64, height=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 99, np.uint8))


def prepared_files(name, folder):
    """The written files, as scenes, by name."""
    scenes = {}
    for each in prepare_set(name, folder, quiet=True):
        assert isinstance(each, Prepared)
        path = each.write(folder)
        scenes[path.name] = read_coco(path, folder, Skeleton.named(name))
    return scenes


def test_every_set_is_a_known_skeleton():
    for name in SETS:
        assert Skeleton.named(name)


def test_aic(tmp_path):
    points = [[10 * joint, 5 + joint, 1 + joint % 3] for joint in range(14)]
    people = {
        "keypoint_annotations": {"human2": np.ravel(points).tolist(), "human1": [0, 0, 3] * 14},
        "human_annotations": {"human1": [0, 0, 9, 9], "human2": [1, 2, 31, 42]},
    }
    base = tmp_path / "ai_challenger_keypoint_train_20170909"
    write_json(
        base / "keypoint_train_annotations_20170909.json",
        [{"image_id": "abc", "url": "", **people}, {"image_id": "missing", "url": "", **people}],
    )
    write_image(base / "keypoint_train_images_20170902" / "abc.jpg")
    scenes = prepared_files("aic", tmp_path)["aic_train.json"]
    assert len(scenes) == 1
    scene = scenes.scenes[0]
    assert (scene.file_name, scene.width, scene.height) == ("abc.jpg", 64, 48)
    assert (tmp_path / "images" / "train" / "abc.jpg").is_file()
    # 1 is visible, 2 hidden and 3 not labeled.
    assert scene.keypoints[0, :4].tolist() == [[0, 5, 2], [10, 6, 1], [0, 0, 0], [30, 8, 2]]
    assert scene.boxes[0].tolist() == [1, 2, 31, 42]
    assert scene.areas[0] == pytest.approx(0.53 * 30 * 40)
    assert not scene.keypoints[1].any()


def test_halpe_and_wholebody(tmp_path):
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    images = [{"id": 5, "file_name": "5.jpg", "width": 64, "height": 48}]
    wholebody = {"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 0}
    wholebody |= {part: RNG.uniform(1, 2, 3 * count).tolist() for part, count in parts.items()}
    categories = [{"id": 1, "name": "person"}]
    coco = tmp_path / "coco"
    write_json(
        coco / "coco_wholebody_val_v1.0.json",
        {"images": images, "annotations": [wholebody], "categories": categories},
    )
    scene = prepared_files("coco_wholebody", coco)["coco_wholebody_val_v1.0.json"].scenes[0]
    assert scene.keypoints.shape == (1, 133, 3)
    halpe = {**wholebody, "keypoints": RNG.uniform(1, 2, 3 * 136).tolist()}
    for part in parts:
        if part != "keypoints":
            del halpe[part]
    write_json(
        tmp_path / "halpe" / "halpe_train_v1.json",
        {"images": images, "annotations": [halpe], "categories": categories},
    )
    write_image(tmp_path / "halpe" / "hico_20160224_det" / "images" / "train2015" / "5.jpg")
    scene = prepared_files("halpe", tmp_path / "halpe")["halpe_train.json"].scenes[0]
    assert scene.keypoints.shape == (1, 136, 3)
    assert (tmp_path / "halpe" / "images" / "train" / "5.jpg").is_file()
    halpe["keypoints"] = halpe["keypoints"][:9]
    write_json(
        tmp_path / "halpe" / "halpe_train_v1.json",
        {"images": images, "annotations": [halpe], "categories": categories},
    )
    with pytest.raises(EveryposeError, match="has 3 keypoints, not the 136 of halpe"):
        prepare_set("halpe", tmp_path / "halpe")


def literal_split(images):
    """The assignment of the released tool, step by step."""
    videos = {}
    for image in images:
        videos.setdefault(image["file_name"].split("\\")[-3], []).append(image["video_id"])
    train, val = [], []
    for ids in videos.values():
        train += ids[: int((len(ids) + 1) * 0.7)]
        val += ids[int((len(ids) + 1) * 0.7) : int((len(ids) + 1) * 0.8)]
    return {
        image["video_id"]: "train" if image["video_id"] in train else "val" if image["video_id"] in val else "test"
        for image in images
    }


def apt_images():
    return [
        {
            "id": 100 * species + 10 * video + frame,
            "video_id": 20 * species + video,
            "file_name": f"D:\\AP-36k\\animal{species}\\clip{video}{'太多' if video == 3 else ''}\\{frame}.jpg",
            "width": 64,
            "height": 48,
        }
        for species in range(2)
        for video in range(9)
        for frame in range(3 + species)
    ]


def test_apt36k_splits_by_video(tmp_path):
    images = apt_images()
    expected = literal_split(images)
    assert split_videos(images) == expected
    assert set(expected.values()) == {"train", "val", "test"}
    annotations = [
        {"id": each["id"], "image_id": each["id"], "video_id": each["video_id"], "category_id": 1, "is_crowd": 0,
         "bbox": [1, 1, 20, 20], "area": 400, "keypoints": [5, 5, 2] * 17, "num_keypoints": 17}
        for each in images
    ]  # fmt: skip
    write_json(
        tmp_path / "annotations" / "apt36k_annotations.json",
        {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "b"}, {"id": 1, "name": "a"}]},
    )
    # One folder was extracted with another encoding of its name.
    for image in images:
        species, video, name = image["file_name"].split("\\")[-3:]
        write_image(tmp_path / "AP-36k-patr1" / species / video.replace("太多", "╠л╢р") / name)
    for each in prepare_set("apt36k", tmp_path):
        each.write(tmp_path)
        split = each.name.removeprefix("apt36k_").removesuffix(".json")
        ids = [image["id"] for image in images if expected[image["video_id"]] == split]
        assert [image["id"] for image in each.images] == ids
        assert [entry["image_id"] for entry in each.annotations] == ids
        assert all("iscrowd" in entry and "is_crowd" not in entry for entry in each.annotations)
        assert [entry["id"] for entry in each.categories] == [1, 2]
        for image in each.images:
            assert (tmp_path / "data" / image["file_name"]).is_file()


def test_projection_is_that_of_a_pinhole_camera():
    points = RNG.normal(size=(5, 3)) * 100
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    position, focal, center = np.array([1.0, 2, -900]), np.array([1200.0, 1100]), np.array([256.0, 167])
    found = project(points, position=position, rotation=rotation, focal=focal, center=center)
    for point, pixel in zip(points, found, strict=True):
        x, y, z = rotation @ (point - position)
        assert pixel.tolist() == pytest.approx([focal[0] * x / z + center[0], focal[1] * y / z + center[1], z])


def test_a_hand_needs_its_root_and_more_than_eleven_joints():
    points = RNG.uniform(0, 100, (42, 3))
    valid = np.zeros(42, bool)
    valid[[*range(12), 20]] = True  # right: 13 with the root
    valid[21:41] = True  # left: 20, no root
    hands = list(hands_of(points, valid))
    assert len(hands) == 1
    keypoints, box = hands[0]
    assert keypoints[:, 2].tolist() == [2.0 * flag for flag in valid[:21]]
    own = points[:21][valid[:21], :2]
    assert box.tolist() == pytest.approx([*own.min(axis=0), *(own.max(axis=0) - own.min(axis=0))])
    valid[[10, 11]] = False  # 11 with the root: not more than 11
    assert list(hands_of(points, valid)) == []


@pytest.mark.parametrize("place", ["train", "all"])
def test_interhand(tmp_path, place):
    world = RNG.uniform(-50, 50, (42, 3)) + np.array([0, 0, 800])
    camera = {"campos": [0, 0, 0], "camrot": np.eye(3).tolist(), "focal": [500, 500], "princpt": [32, 24]}
    images = [
        {"id": 7, "file_name": "Capture0/a/cam4/image1.jpg", "width": 64, "height": 48, "capture": 0, "camera": "4",
         "seq_name": "a", "frame_idx": 1},
        {"id": 8, "file_name": "Capture0/a/cam4/image2.jpg", "width": 64, "height": 48, "capture": 0, "camera": "4",
         "seq_name": "a", "frame_idx": 2},
    ]  # fmt: skip
    annotations = [
        {"id": 1, "image_id": 7, "bbox": [0, 0, 9, 9], "joint_valid": [1] * 42, "hand_type": "interacting"},
        {"id": 2, "image_id": 8, "bbox": [0, 0, 9, 9], "joint_valid": [0] * 42, "hand_type": "right"},
    ]
    base = tmp_path / "annotations" / place / "InterHand2.6M_train"
    write_json(base.with_name(base.name + "_data.json"), {"images": images, "annotations": annotations})
    cameras = {kind: {"4": value} for kind, value in camera.items()}
    write_json(base.with_name(base.name + "_camera.json"), {"0": cameras})
    write_json(
        base.with_name(base.name + "_joint_3d.json"),
        {"0": {frame: {"world_coord": world.tolist()} for frame in ("1", "2")}},
    )
    scenes = prepared_files("interhand2d", tmp_path)["interhand2d_train.json"]
    assert [scene.image_id for scene in scenes] == [7]
    scene = scenes.scenes[0]
    assert scene.keypoints.shape == (2, 21, 3)
    expected = 500 * world[:, :2] / world[:, 2:] + np.array([32, 24])
    np.testing.assert_allclose(scene.keypoints[:, :, :2].reshape(42, 2), expected)


def test_3dpw_from_its_pickles(tmp_path):
    frames, intrinsics = 3, np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, 3] = [0.1, 0, 4]
    joints = [RNG.uniform(-1, 1, (frames, 72)), RNG.uniform(-1, 1, (frames, 72))]
    joints[0][0, :3] = [0, 0, -9]  # behind the camera
    joints[0][0, 3:6] = [90, 0, 0]  # outside the image
    sequence = {
        "jointPositions": joints,
        "campose_valid": [np.array([1, 0, 1]), np.array([0, 0, 1])],
        "cam_poses": extrinsics,
        "cam_intrinsics": intrinsics,
        "sequence": "walk_00",
    }
    path = tmp_path / "sequenceFiles" / "test" / "walk_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(sequence, 2))
    write_image(tmp_path / "imageFiles" / "walk_00" / "image_00000.jpg")
    scenes = prepared_files("pw3d", tmp_path)["pw3d_test.json"]
    assert [(scene.file_name, len(scene)) for scene in scenes] == [
        ("walk_00/image_00000.jpg", 1),
        ("walk_00/image_00002.jpg", 2),
    ]
    found = scenes.scenes[0].keypoints[0]
    for joint, keypoint in zip(joints[0][0].reshape(24, 3), found, strict=True):
        x, y, z = joint + np.array([0.1, 0, 4])
        u, v = 60 * x / z + 32, 60 * y / z + 24
        visible = z >= 0 and 0 <= u < 64 and 0 <= v < 48
        assert keypoint.tolist() == (pytest.approx([u, v, 2]) if visible else [0, 0, 0])
    assert found[:2].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_3dpw_from_scorehypo(tmp_path):
    points = np.column_stack([RNG.uniform(-20, 90, 24), RNG.uniform(-20, 70, 24), RNG.uniform(-1, 1, 24)])
    images = [{"id": 3, "file_name": "image_00001.jpg", "sequence": "walk_00", "width": 64, "height": 48}]
    annotations = [{"id": 9, "image_id": 3, "smpl_joint_img": points.tolist(), "bbox": [1, 2, 30, 40]}]
    write_json(tmp_path / "3DPW_train.json", {"images": images, "annotations": annotations})
    scene = prepared_files("pw3d", tmp_path)["pw3d_train.json"].scenes[0]
    assert scene.file_name == "walk_00/image_00001.jpg"
    visible = (points >= 0).all(axis=1) & (points[:, 0] < 64) & (points[:, 1] < 48)
    assert (scene.keypoints[0, :, 2] > 0).tolist() == visible.tolist()
    assert scene.boxes[0].tolist() == [1, 2, 31, 42]


@pytest.mark.parametrize("name", list(SETS))
def test_a_folder_without_the_download_and_damaged_files_are_refused(tmp_path, name):
    with pytest.raises(EveryposeError, match="does not hold"):
        prepare_set(name, tmp_path)
    with pytest.raises(EveryposeError, match=r"download .* from https"):
        prepare_set(name, tmp_path / "missing")
    for damaged in (
        "keypoint_train_annotations_1.json", "halpe_val_v1.json", "coco_wholebody_val_v1.0.json",
        "apt36k_annotations.json", "3DPW_test.json",
    ):  # fmt: skip
        write_json(tmp_path / damaged, [{"id": 1}])
    for kind in ("data", "camera", "joint_3d"):
        write_json(tmp_path / "annotations" / "val" / f"InterHand2.6M_val_{kind}.json", [])
    (tmp_path / "keypoint_train_images_1").mkdir()
    with pytest.raises(EveryposeError) as raised:
        prepare_set(name, tmp_path)
    assert "\n" not in str(raised.value)


def test_unknown_sets_are_refused(tmp_path):
    with pytest.raises(UsageError, match="the data sets are aic"):
        prepare_set("imagenet", tmp_path)


def test_the_command_prints_terms_and_counts(everypose, tmp_path):
    test_3dpw_from_scorehypo(tmp_path)
    out = tmp_path / "out"
    done = everypose("data", "prepare", "pw3d", tmp_path, "-o", out)
    assert done.code == 0, done.err
    assert "3DPW: non-commercial scientific research only" in done.out
    assert "1 images, 1 instances" in done.out
    layout = Layout((out / "annotations" / "pw3d_train.json",), tmp_path, None, "pw3d", "")
    assert len(layout.read()) == 1
    assert everypose("data", "prepare", "imagenet", tmp_path).code == 2

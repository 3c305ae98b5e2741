"""``everypose data`` and ``study`` as targets of fuzzing."""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.fuzzing.commands import call, stand_in
from benchmarks.fuzzing.data_readers import CVAT
from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.seeds import (
    ANNOTATIONS,
    LABELS,
    LARGE_SIDE,
    RESULTS,
    SIDE,
    YAML,
    annotations,
    data_folder,
    encoded,
    large_people,
    mpii,
    yolo_folder,
)
from benchmarks.fuzzing.target import Target, as_json, both
from benchmarks.fuzzing.watching import put
from everypose.skeleton.skeleton import Skeleton

BOX = "4,4,44,44"


def aic() -> list[dict[str, object]]:
    """AI Challenger's list of one image."""
    keypoints = [value for point in range(14) for value in (10 + point, 12 + point, 1)]
    people = {"human1": keypoints}
    return [{"image_id": "a", "keypoint_annotations": people, "human_annotations": {"human1": [4, 4, 40, 40]}}]


def apt36k() -> dict[str, object]:
    """APT-36K's annotations of ten images of one species."""
    images = [
        {
            "id": number, "file_name": f"D:\\data\\cat\\clip{number}\\0.jpg", "video_id": number, "width": SIDE,
            "height": SIDE,
        }
        for number in range(10)
    ]  # fmt: skip
    people = [
        {"id": number, "image_id": number, "category_id": 1, "keypoints": [9, 9, 2] * 17, "bbox": [4, 4, 40, 40]}
        for number in range(10)
    ]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "cat"}]}


def halpe() -> dict[str, object]:
    """Halpe's annotations of one person."""
    count = len(Skeleton.named("halpe"))
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2] * count, "bbox": [4, 4, 40, 40]}
    image = {"id": 1, "file_name": "1.jpg", "width": SIDE, "height": SIDE}
    return {"images": [image], "annotations": [person], "categories": [{"id": 1, "name": "person"}]}


def interhand() -> dict[str, object]:
    """InterHand2.6M's camera parameters of one camera."""
    return {
        "0": {
            "campos": {"400": [0.0, 0.0, 0.0]},
            "camrot": {"400": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]},
            "focal": {"400": [50.0, 50.0]},
            "princpt": {"400": [24.0, 24.0]},
        }
    }


def prepare_targets() -> list[Target]:
    """``data prepare`` of each data set."""

    def prepare(name: str, folder: Path) -> None:
        call("data", "prepare", name, folder / "download", "-o", folder / "out", "-q")

    def of_aic(content: bytes, folder: Path) -> None:
        put(folder / "download" / "keypoint_train_images_1" / "a.jpg", encoded(".jpg"))
        put(folder / "download" / "keypoint_train_annotations_1.json", content)
        prepare("aic", folder)

    def of_apt36k(content: bytes, folder: Path) -> None:
        put(folder / "download" / "apt36k_annotations.json", content)
        prepare("apt36k", folder)

    def of_halpe(content: bytes, folder: Path) -> None:
        put(folder / "download" / "halpe_train_v1.json", content)
        prepare("halpe", folder)

    def of_interhand(content: bytes, folder: Path) -> None:
        place = folder / "download" / "annotations" / "train"
        image = {"id": 1, "file_name": "a.jpg", "width": SIDE, "height": SIDE, "capture": 0, "camera": "400"}
        hands = [{"id": 1, "image_id": 1, "joint_valid": [[1]] * 42}]
        world = {"0": {"7": {"world_coord": [[float(joint), 2.0, 100.0] for joint in range(42)]}}}
        data = {"images": [image | {"frame_idx": 7}], "annotations": hands}
        put(place / "InterHand2.6M_train_data.json", json.dumps(data).encode())
        put(place / "InterHand2.6M_train_camera.json", content)
        put(place / "InterHand2.6M_train_joint_3d.json", json.dumps(world).encode())
        prepare("interhand2d", folder)

    return [
        Target("data prepare aic", as_json(aic()), both, of_aic),
        Target("data prepare apt36k", as_json(apt36k()), both, of_apt36k),
        Target("data prepare halpe", as_json(halpe()), both, of_halpe),
        Target("data prepare interhand2d", as_json(interhand()), both, of_interhand),
    ]


def on_data(*arguments: object) -> Callable[[bytes, Path], None]:
    """A command on a data set with damaged annotations; ANN, IMAGES, OUT and FOLDER stand for its paths."""

    def run(content: bytes, folder: Path) -> None:
        path = data_folder(folder, content)
        places = {"ANN": path, "IMAGES": folder / "images", "OUT": folder / "out" / "x", "FOLDER": folder}
        call(*(places.get(argument, argument) if isinstance(argument, str) else argument for argument in arguments))

    return run


def study_targets() -> list[Target]:
    """``study`` and ``data statistics``."""

    def boxes(content: bytes, folder: Path) -> None:
        data = ("--annotations", data_folder(folder), "--images", folder / "images")
        found = ("--boxes", put(folder / "boxes.json", content))
        levels = ("--thresholds", "0,0.5")
        call("study", "boxes", stand_in(folder, "crops.onnx"), *data, *found, *levels, "-o", folder / "out", "-q")

    def occlusion(content: bytes, folder: Path) -> None:
        data = ("--annotations", data_folder(folder, content), "--images", folder / "images", "--boxes", "truth")
        model = stand_in(folder, "crops.onnx")
        call("study", "occlusion", model, "--against", model, *data, "-o", folder / "out", "-q")

    def heatmaps(content: bytes, folder: Path) -> None:
        photo = put(folder / "a.jpg", content)
        call("study", "heatmaps", "mipnet-lite", photo, "--box", BOX, "-o", folder / "out", "-q")

    def similarity(content: bytes, folder: Path) -> None:
        photo = put(folder / "a.jpg", content)
        call("study", "similarity", "boir-lite", photo, "--box", BOX, "-o", folder / "out", "-q")

    return [
        Target("data statistics", (ANNOTATIONS,), both, on_data("data", "statistics", "ANN", "-o", "OUT", "-q")),
        Target("study boxes", (RESULTS,), both, boxes),
        Target("study occlusion", (ANNOTATIONS,), both, occlusion),
        Target("study heatmaps", (encoded(".jpg"),), mutate_bytes, heatmaps),
        Target("study similarity", (encoded(".jpg"),), mutate_bytes, similarity),
    ]


def data_command_targets() -> list[Target]:
    """Every command of ``data`` and ``study`` that reads files of its user."""

    def labels(content: bytes, folder: Path) -> None:
        call("data", "convert", yolo_folder(folder, labels=content), "-o", folder / "out" / "x")

    def yaml(content: bytes, folder: Path) -> None:
        call("data", "convert", yolo_folder(folder, yaml=content), "-o", folder / "out" / "x")

    def of_mpii(content: bytes, folder: Path) -> None:
        data_folder(folder)
        path = put(folder / "mpii_val.json", content)
        call("data", "convert", path, "--images", folder / "images", "-o", folder / "out" / "x")

    def xml(content: bytes, folder: Path) -> None:
        call("data", "convert", put(folder / "annotations.xml", content), "-o", folder / "out" / "x")

    def join(content: bytes, folder: Path) -> None:
        paths = [data_folder(folder, content), put(folder / "b.json", ANNOTATIONS)]
        call("data", "join", *paths, "-o", folder / "out" / "joined.json")

    twice = annotations(24, images=24)
    moved = json.loads(json.dumps(twice))
    for entry in moved["annotations"]:
        entry["keypoints"] = [value + (index % 3 == 0) for index, value in enumerate(entry["keypoints"])]
    second = json.dumps(moved).encode()

    def sigmas(content: bytes, folder: Path) -> None:
        paths = [put(folder / "a.json", content), put(folder / "b.json", second)]
        call("data", "sigmas", *paths, "-o", folder / "out" / "sigmas.toml")

    def mine(content: bytes, folder: Path) -> None:
        put(folder / "photos" / "a.jpg", content)
        put(folder / "photos" / "b.jpg", encoded(".jpg"))
        call("data", "mine", folder / "photos", "-m", stand_in(folder), "-o", folder / "out", "-q")

    doctor = on_data("data", "doctor", "ANN", "--fix", "OUT")
    convert = on_data("data", "convert", "ANN", "--images", "IMAGES", "-o", "OUT")
    to_yolo = on_data("data", "convert", "FOLDER", "--to", "yolo", "-o", "OUT")

    def crowd(content: bytes, folder: Path) -> None:
        for name in ("1.jpg", "2.jpg"):
            put(folder / "images" / name, encoded(".jpg", LARGE_SIDE))
        path = put(folder / "train.json", content)
        call("data", "crowd", path, folder / "images", "-o", folder / "out" / "x", "--count", 1, "-q")

    return [
        Target("data doctor", (ANNOTATIONS,), both, doctor),
        Target("data convert", (ANNOTATIONS,), both, convert),
        Target("data convert --to yolo", (ANNOTATIONS,), both, to_yolo),
        Target("data convert YOLO", (LABELS.encode(),), mutate_text, labels),
        Target("data convert data.yaml", (YAML.encode(),), mutate_text, yaml),
        Target("data convert MPII", as_json(mpii()), both, of_mpii),
        Target("data convert XML", (CVAT,), mutate_text, xml, accepts=False),
        Target("data crowd", as_json(large_people()), both, crowd),
        Target("data join", (ANNOTATIONS,), both, join),
        Target("data sigmas", as_json(twice), both, sigmas),
        Target("data overlap", (ANNOTATIONS,), both, on_data("data", "overlap", "ANN", "IMAGES", "-q")),
        Target("data mine", (encoded(".jpg"),), mutate_bytes, mine),
        *prepare_targets(),
        *study_targets(),
    ]  # fmt: skip

"""Targets of fuzzing: for each reader and command a valid input, its mutations, and the function that reads it."""

import functools
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_json, mutate_text
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")
SIDE = 48


@dataclass(frozen=True)
class Target:
    """One reader or command.

    Attributes:
        name: for messages.
        seeds: whole inputs.
        mutate: makes a damaged input from a whole one.
        run: reads the damaged input, given a folder of its own; may write below ``folder / "out"`` only.
    """

    name: str
    seeds: tuple[bytes, ...]
    mutate: Callable[[bytes, random.Random], bytes]
    run: Callable[[bytes, Path], object]


@functools.cache
def photo() -> np.ndarray:
    """A small photo, BGR."""
    whole = cv2.imread(str(resources.files("everypose") / "examples" / "astronaut.jpg"))
    return np.asarray(cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def encoded(suffix: str, image: np.ndarray | None = None) -> bytes:
    """The photo as an image file."""
    return cv2.imencode(suffix, photo() if image is None else image)[1].tobytes()


def annotations(people: int = 3) -> dict[str, Any]:
    """A COCO file of two images."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(1, people + 1):
        points = np.column_stack([rng.uniform(4, 44, (17, 2)).round(1), np.full(17, 2)])
        entries.append(
            {
                "id": number, "image_id": 1 + number % 2, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
                "bbox": [2.0, 2.0, 44.0, 44.0], "area": 900.0, "keypoints": points.reshape(-1).tolist(),
                "segmentation": [[2, 2, 40, 2, 40, 40]],
            }
        )  # fmt: skip
    images = [{"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE} for n in (1, 2)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2], [2, 3]]}
    return {"images": images, "annotations": entries, "categories": [category], "info": {}}


def results() -> list[dict[str, Any]]:
    """A COCO results list for :func:`annotations`."""
    keys = ("image_id", "category_id", "keypoints", "bbox")
    return [{key: entry[key] for key in keys} | {"score": 0.9} for entry in annotations()["annotations"]]


def mpii() -> list[dict[str, Any]]:
    """An MPII list."""
    joints = [[10.0 + k, 20.0 + k] for k in range(16)]
    return [{"image": "1.jpg", "center": [24, 24], "scale": 0.2, "joints": joints, "joints_vis": [1] * 16}]


YAML = (
    """path: .
train: images/train
val: images/train
kpt_shape: [17, 3]
flip_idx: [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
names:
  0: person
kpt_names:
  0: ["""
    + ", ".join(COCO.keypoints)
    + "]\n"
)
LABELS = " ".join(["0 0.5 0.5 0.6 0.6", *["0.4 0.4 2"] * 17]) + "\n"


def as_json(value: Any) -> tuple[bytes, ...]:
    """The one seed of a JSON target."""
    return (json.dumps(value).encode(),)


def data_folder(folder: Path, content: bytes | None = None) -> Path:
    """A data set with ``train.json`` and the images of :func:`annotations`; returns the annotation file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        (folder / "images" / f"{number}.jpg").write_bytes(encoded(".jpg"))
    path = folder / "train.json"
    path.write_bytes(json.dumps(annotations()).encode() if content is None else content)
    return path


def yolo_folder(folder: Path, yaml: bytes | None = None, labels: bytes | None = None) -> Path:
    """A YOLO-pose data set of one image; returns its YAML file."""
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "images/train/1.jpg").write_bytes(encoded(".jpg"))
    (folder / "labels/train/1.txt").write_bytes(LABELS.encode() if labels is None else labels)
    (folder / "data.yaml").write_bytes(YAML.encode() if yaml is None else yaml)
    return folder / "data.yaml"


def both(content: bytes, rng: random.Random) -> bytes:
    """Mutate mostly JSON values, and sometimes bytes."""
    return mutate_bytes(content, rng) if rng.random() < 0.25 else mutate_json(content, rng)


def image_targets() -> list[Target]:
    """The decoder and the header reader, for every format that OpenCV writes here."""
    from everypose.data.images import read_header, read_image
    from everypose.errors import EveryposeError

    def read(content: bytes, folder: Path) -> None:
        path = folder / "image"
        path.write_bytes(content)
        try:
            image = read_image(path)
        except EveryposeError:
            read_header(path)
            return
        assert read_header(path).upright == image.shape[1::-1], "header and decoder disagree"

    suffixes = [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".gif", ".avif", ".jp2"]
    kinds = [suffix for suffix in suffixes if cv2.haveImageWriter(suffix)]
    return [Target(f"image {suffix}", (encoded(suffix),), mutate_bytes, read) for suffix in kinds]


def data_targets() -> list[Target]:
    """The readers of data sets."""
    from everypose.data.doctor import examine_all
    from everypose.data.formats.coco import read_coco
    from everypose.data.formats.convert import join, read_any, write_coco
    from everypose.data.formats.mpii import read_mpii
    from everypose.data.formats.yolo import read_yolo, write_yolo
    from everypose.data.masks import loss_mask

    def coco(content: bytes, folder: Path) -> None:
        for scene in read_coco(data_folder(folder, content), folder / "images"):
            loss_mask(scene)

    def doctor(content: bytes, folder: Path) -> None:
        for examined in examine_all(data_folder(folder, content), folder / "images"):
            json.dumps(examined.diagnosis.to_dict(), allow_nan=False)
            json.dumps(examined.corrected(), allow_nan=False)

    def convert(content: bytes, folder: Path) -> None:
        splits = read_any(data_folder(folder, content), folder / "images")
        write_yolo(splits, folder / "out" / "yolo", copy=True)
        write_coco(splits, folder / "out" / "coco", copy=True)

    def joined(content: bytes, folder: Path) -> None:
        from everypose.data.discovery.annotation_files import load

        path = data_folder(folder, content)
        join([("a", load(path)), ("b", annotations())])

    def yaml(content: bytes, folder: Path) -> None:
        read_yolo(yolo_folder(folder, yaml=content))

    def labels(content: bytes, folder: Path) -> None:
        read_yolo(yolo_folder(folder, labels=content))

    def lists(content: bytes, folder: Path) -> None:
        data_folder(folder)
        (folder / "mpii_val.json").write_bytes(content)
        read_mpii(folder / "mpii_val.json", folder / "images")

    return [
        Target("read COCO", as_json(annotations()), both, coco),
        Target("doctor", as_json(annotations()), both, doctor),
        Target("convert", as_json(annotations()), both, convert),
        Target("join", as_json(annotations()), both, joined),
        Target("data.yaml", (YAML.encode(),), mutate_text, yaml),
        Target("YOLO labels", (LABELS.encode(),), mutate_text, labels),
        Target("MPII", as_json(mpii()), both, lists),
    ]


def result_targets() -> list[Target]:
    """The readers of results, skeletons, models' configurations and recipes."""
    from everypose.core.files import read_json
    from everypose.evaluation.evaluate import evaluate_predictions
    from everypose.inference.box_sources import DetectionsFile
    from everypose.models.config import ModelConfig, parse_config
    from everypose.people import People
    from everypose.skeleton.toml import to_toml
    from everypose.training.recipe_files import load_recipe

    people = People(np.ones((2, 17, 3)), [0.5, 0.4], COCO)
    recipe = (resources.files("everypose.training") / "recipes" / "boir" / "boir-tiny.toml").read_bytes()
    config = {"name": "x", "network": {"family": "boir", "backbone": {"kind": "lite"}}, "skeleton": COCO.to_dict()}
    inference = {"size": 320, "step": 32, "pool": 3, "nms": 0.8, "min_score": 0.1, "search": "coarse"}

    def evaluate(content: bytes, folder: Path) -> None:
        path = data_folder(folder)
        (folder / "results.json").write_bytes(content)
        evaluate_predictions(folder / "results.json", path)

    def truth(content: bytes, folder: Path) -> None:
        path = data_folder(folder, content)
        (folder / "results.json").write_bytes(json.dumps(results()).encode())
        evaluate_predictions(folder / "results.json", path)

    def detections(content: bytes, folder: Path) -> None:
        (folder / "boxes.json").write_bytes(content)
        DetectionsFile(folder / "boxes.json")

    def coco_people(content: bytes, folder: Path) -> None:
        (folder / "results.json").write_bytes(content)
        People.from_coco(folder / "results.json", COCO, image_id=1)

    def toml(content: bytes, folder: Path) -> None:
        (folder / "skeleton.toml").write_bytes(content)
        Skeleton.read(folder / "skeleton.toml")

    def run_recipe(content: bytes, folder: Path) -> None:
        (folder / "recipe.toml").write_bytes(content)
        load_recipe(folder / "recipe.toml")

    def configuration(content: bytes, folder: Path) -> None:
        (folder / "config.json").write_bytes(content)
        read: ModelConfig = parse_config(read_json(folder / "config.json"), folder / "config.json")
        assert read.name is not None

    return [
        Target("evaluate results", as_json(results()), both, evaluate),
        Target("evaluate truth", as_json(annotations()), both, truth),
        Target("boxes", as_json(results()), both, detections),
        Target("People.from_coco", as_json(results()), both, coco_people),
        Target(
            "People.from_json", (people.to_json().encode(),), both,
            lambda content, _: People.from_json(content.decode(errors="surrogateescape")),
        ),
        Target("skeleton TOML", (to_toml(COCO).encode(),), mutate_text, toml),
        Target("recipe TOML", (recipe,), mutate_text, run_recipe),
        Target("config.json", as_json({**config, "inference": inference}), both, configuration),
    ]  # fmt: skip


def model_targets() -> list[Target]:
    """The readers of checkpoints and models; they need torch."""
    import torch

    from everypose.models.checkpoint_file import read_checkpoint
    from everypose.models.import_checkpoint import import_checkpoint
    from everypose.training.checkpoints import Checkpoint

    state = {f"layer{index}.weight": torch.zeros(3, 4) for index in range(4)}
    plain, wrapped, legacy, training = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    torch.save({"state_dict": state, "epoch": 3}, wrapped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    fields = dict.fromkeys(Checkpoint.__dataclass_fields__, 0) | {"format": 1, "ema": None, "best_ap": None}
    torch.save(fields | {"network": state, "optimizer": {}, "precision": {}}, training)

    def checkpoint(content: bytes, folder: Path) -> None:
        (folder / "x.pth").write_bytes(content)
        read_checkpoint(folder / "x.pth")

    def imported(content: bytes, folder: Path) -> None:
        (folder / "x.pth").write_bytes(content)
        import_checkpoint(folder / "x.pth")

    def resumed(content: bytes, folder: Path) -> None:
        (folder / "last.ckpt").write_bytes(content)
        Checkpoint.load(folder / "last.ckpt")

    seeds = (plain.getvalue(), wrapped.getvalue(), legacy.getvalue())
    return [
        Target("checkpoint", seeds, mutate_bytes, checkpoint),
        Target("import", seeds, mutate_bytes, imported),
        Target("training checkpoint", (training.getvalue(),), mutate_bytes, resumed),
    ]


def onnx_targets() -> list[Target]:
    """The default model's file with damaged bytes, opened and run."""
    from everypose.inference.loading import load
    from everypose.models.locate import bundled

    def model(content: bytes, folder: Path) -> None:
        (folder / "m.onnx").write_bytes(content)
        load(folder / "m.onnx", threads=1)(np.zeros((64, 64, 3), np.uint8))

    return [Target("ONNX model", (bundled("boir-lite.onnx").read_bytes(),), mutate_bytes, model)]

"""The readers of images and data sets."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.seeds import (
    ANNOTATIONS,
    LABELS,
    YAML,
    annotations,
    data_folder,
    encoded,
    mpii,
    yolo_folder,
)
from benchmarks.fuzzing.target import Target, as_json, both
from benchmarks.fuzzing.watching import put

CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><image id="0" name="1.jpg" width="48" height="48">
<skeleton label="person" z_order="0"><points label="1" outside="0" points="10.0,12.0"/></skeleton></image></annotations>
"""
LABEL_STUDIO = [{"id": 1, "data": {"image": "1.jpg"}, "annotations": [{"result": []}]}]


def image_targets() -> list[Target]:
    """The decoder and the header reader, for every format that OpenCV writes here."""
    from everypose.data.images import read_header, read_image
    from everypose.errors import EveryposeError

    def read(content: bytes, folder: Path) -> None:
        path = put(folder / "image", content)
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
    from everypose.data.discovery.tool_files import read_annotations
    from everypose.data.doctor import examine_all
    from everypose.data.formats.coco import read_coco
    from everypose.data.formats.convert import join, read_any, write_coco
    from everypose.data.formats.mpii import read_mpii
    from everypose.data.formats.yolo import read_yolo
    from everypose.data.formats.yolo_writing import write_yolo
    from everypose.data.masks import loss_mask
    from everypose.data.preparation.array_pickle import read_array_pickle
    from everypose.integrations.label_studio import labeling_config, read_controls
    from everypose.skeleton.skeleton import Skeleton

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

    def of_mpii(content: bytes, folder: Path) -> None:
        data_folder(folder)
        read_mpii(put(folder / "mpii_val.json", content), folder / "images")

    def tool_file(content: bytes, folder: Path) -> None:
        read_annotations(put(folder / "annotations.xml", content))

    def array_pickle(content: bytes, folder: Path) -> None:
        read_array_pickle(put(folder / "a.pkl", content))

    arrays = {"jointPositions": [np.ones((2, 72))], "sequence": "walk", "genders": ["m"], "frames": 2}
    seeds = tuple(pickle.dumps(arrays, protocol) for protocol in (2, 4))
    config = labeling_config(Skeleton.named("coco")).encode()
    return [
        Target("read COCO", (ANNOTATIONS,), both, coco),
        Target("doctor", (ANNOTATIONS,), both, doctor),
        Target("convert", (ANNOTATIONS,), both, convert),
        Target("join", (ANNOTATIONS,), both, joined),
        Target("data.yaml", (YAML.encode(),), mutate_text, yaml),
        Target("YOLO labels", (LABELS.encode(),), mutate_text, labels),
        Target("MPII", as_json(mpii()), both, of_mpii),
        Target("CVAT XML", (CVAT,), mutate_text, tool_file, accepts=False),
        Target("Label Studio JSON", as_json(LABEL_STUDIO), both, tool_file, accepts=False),
        Target(
            "Label Studio config", (config,), mutate_text,
            lambda content, _: read_controls(content.decode(errors="surrogateescape")),
        ),
        Target("pickle of arrays", seeds, mutate_bytes, array_pickle),
    ]  # fmt: skip

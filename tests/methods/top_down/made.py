"""Scenes as arrays."""

from pathlib import Path

import numpy as np

from everypose.core.geometry import xywh_to_xyxy
from everypose.data.scenes import Scene


def scene(boxes_xywh, keypoints, areas=None, crowd=None, ids=None, size=(640, 480), name="scene.jpg"):
    """A scene of N annotations of an image of ``size`` (width, height)."""
    count = len(boxes_xywh)
    return Scene(
        image_id=1,
        path=Path(name),
        file_name=name,
        width=size[0],
        height=size[1],
        annotation_ids=np.arange(count) if ids is None else np.asarray(ids),
        keypoints=np.asarray(keypoints, dtype=np.float64),
        boxes=xywh_to_xyxy(np.asarray(boxes_xywh, dtype=np.float64)),
        areas=np.full(count, 1000.0) if areas is None else np.asarray(areas, dtype=np.float64),
        is_crowd=np.zeros(count, dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool),
        segmentations=[None] * count,
    )


def golden_scene(golden, number):
    """One of the five scenes of ``golden/mipnet/assignment.npz``."""
    names = ("bbox_xywh", "keypoints_xyv", "area", "iscrowd", "ann_id")
    values = (golden[f"scene{number}/{name}"] for name in names)
    return scene(*values, size=tuple(golden["image_wh"].tolist()))

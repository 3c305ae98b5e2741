"""Poses in the boxes of several detectors, from one crop and from second crops, for trials.

    python -m research.mipnet_lite.trial_poses ANNOTATIONS.json IMAGES BOXES.npz OUT.npz [--views 150]

Of each image ``ID/boxes`` (N, 4); ``ID/scores`` (N, S + 1), a column for each name of ``names``, 0 where that detector
has no such box, and the last for boxes of the first detector that a suppression at an IoU of 0.75 keeps; and for each
view ``ID/VIEW`` (N, 2, 17, 3) of both instances: x, y in image pixels and the heatmap's peak.
``--views`` limits the images with other views than ``base``.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch

from everypose.core.arrays import Image
from everypose.core.files import read_json
from everypose.core.geometry import Size, box_iou, inverse, transform
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.inference.boxes import Boxes, box_nms
from everypose.inference.runtimes.onnx import open_session
from everypose.methods.top_down.crops import CropGeometry, keypoint_region, warp
from everypose.methods.top_down.decoding import decode
from everypose.models.locate import bundled
from everypose.studies.inner_maps import HEATMAP_HEADS

NMS, SAME, LEAST = 0.6, 0.55, 0.2
"""IoU of the suppression, IoU of boxes of one person in two detectors, least score of a box in any of them."""
CLOSE_NMS, CLOSE_LEAST = 0.75, 0.3
"""IoU and least score of further boxes of the first detector, which the suppression removes."""
SECOND_VIEWS = 0.3
"""Boxes with a lower score have the view ``base`` in place of all others."""
FLIP = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
PADDINGS = {"base": 1.25, "mirror": 1.25, "wide": 1.45}
MEANS = (("base", "mirror"), ("base", "wide"), ("base", "mirror", "wide"), ("base", "recrop"))
SIZE = Size(192, 256)
STRIDE = 4
SHOWN, FEWEST = 0.2, 5
"""Least peak of keypoints that a second crop is put around, and the least number of them."""


class Heatmaps:
    """A network on crops that everypose exported, cut off after its heatmaps."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        name = next(node.output[0] for node in model.graph.node if set(node.input[1:2]) & set(HEATMAP_HEADS))
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        with tempfile.TemporaryDirectory() as folder:
            cut = Path(folder) / path.name
            onnx.save(model, cut)
            self._session, self._output = open_session(cut, 1), name

    def __call__(self, crops: Sequence[Image]) -> np.ndarray:
        """(N, I, 17, 64, 48) of N crops and I instances."""
        found = []
        for begin in range(0, len(crops), 8):
            batch = np.stack(crops[begin : begin + 8])
            feed: dict[str, np.ndarray] = {"images": batch, "mirrored": np.zeros(0, np.float32)}
            maps = self._session.run([self._output], feed)[0]
            found.append(maps.reshape(-1, len(batch), *maps.shape[1:]).swapaxes(0, 1))
        return np.concatenate(found) if found else np.zeros((0, 1, 17, 64, 48), np.float32)


def joined(found: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of several detectors, one for each person: those of the first, then what the others add.

    Returns:
        Boxes (N, 4), and the scores (N, S + 1) of the S detectors and of close boxes.
    """
    kept = [box_nms(Boxes(one[:, :4].astype(np.float64), one[:, 4].astype(np.float64)), NMS) for one in found]
    boxes = np.zeros((0, 4))
    for one in kept:
        others = box_iou(one.boxes, boxes).max(axis=1, initial=0)
        boxes = np.concatenate([boxes, one.boxes[others <= SAME]])
    scores = np.zeros((len(boxes), len(kept)))
    for column, one in enumerate(kept):
        overlaps = box_iou(one.boxes, boxes)
        for row, score in zip(overlaps, one.scores, strict=True):
            if row.max(initial=0) > SAME:
                best = row.argmax()
                scores[best, column] = max(scores[best, column], score)
    raw = found[0][found[0][:, 4] >= CLOSE_LEAST].astype(np.float64)
    close = box_nms(Boxes(raw[:, :4], raw[:, 4]), CLOSE_NMS)
    further = close[box_iou(close.boxes, boxes).max(axis=1, initial=0) < 1 - 1e-6]
    boxes = np.concatenate([boxes, further.boxes])
    scores = np.pad(scores, ((0, len(further)), (0, 1)))
    scores[len(scores) - len(further) :, -1] = further.scores
    usable = (scores.max(axis=1, initial=0) >= LEAST) & (boxes[:, 2:] - boxes[:, :2] > 1).all(axis=1)
    return boxes[usable], scores[usable]


def crop_matrices(boxes: np.ndarray, padding: float) -> list[np.ndarray]:
    """From the image to the crop of each box (N, 4)."""
    geometry = CropGeometry(SIZE, padding=padding)
    centers, sizes = geometry.regions(boxes)
    return [geometry.matrix(center, size) for center, size in zip(centers, sizes, strict=True)]


def recrop_matrices(boxes: np.ndarray, poses: np.ndarray) -> list[np.ndarray]:
    """From the image to a second crop, around the keypoints of the first pose; around the box if there are few."""
    geometry = CropGeometry(SIZE)
    matrices = crop_matrices(boxes, geometry.padding)
    for index, pose in enumerate(poses[:, 0]):
        points = pose[pose[:, 2] > SHOWN, :2]
        if len(points) >= FEWEST:
            middle = np.stack([points.min(axis=0), points.max(axis=0)])
            matrices[index] = geometry.matrix(*keypoint_region(middle, geometry.aspect, 1.5))
    return matrices


def run_view(network: Heatmaps, image: Image, matrices: Sequence[np.ndarray], mirrored: bool = False) -> np.ndarray:
    """Heatmaps (N, 2, 17, 64, 48), as in unmirrored crops.

    Mirrored crops are cut so that cell c of the mirror image lies on cell 47 - c: x of the crop becomes 188 - x.
    """
    if not mirrored:
        return network([warp(image, matrix, SIZE) for matrix in matrices])
    turn = np.array([[-1.0, 0], [0, 1]])
    moved = [np.column_stack([turn @ m[:, :2], turn @ m[:, 2] + (SIZE.width - STRIDE, 0)]) for m in matrices]
    return network([warp(image, matrix, SIZE) for matrix in moved])[..., ::-1][:, :, FLIP]


def keypoints_of(maps: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 2, 17, 3) in image pixels."""
    decoded = decode(torch.from_numpy(np.ascontiguousarray(maps)), "dark-3", SIZE).numpy().astype(np.float64)
    for pose, matrix in zip(decoded, matrices, strict=True):
        pose[..., :2] = transform(pose[..., :2], inverse(matrix))
    return decoded


def in_frame(maps: np.ndarray, own: Sequence[np.ndarray], base: Sequence[np.ndarray]) -> np.ndarray:
    """Heatmaps of crops with matrices ``own`` as heatmaps of crops with matrices ``base``."""
    result = np.empty_like(maps)
    for index, (mine, other) in enumerate(zip(own, base, strict=True)):
        back = np.vstack([inverse(mine), [0, 0, 1]])
        matrix = (np.vstack([other, [0, 0, 1]]) @ back)[:2]
        matrix[:, 2] /= STRIDE
        for where in np.ndindex(maps.shape[1:3]):
            result[index][where] = cv2.warpAffine(maps[index][where], matrix, (48, 64), flags=cv2.INTER_LINEAR)
    return result


def views(network: Heatmaps, image: Image, boxes: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Poses (N, 2, 17, 3) by view; other views than ``base`` of the boxes of which ``second`` (N,) is True."""
    base = crop_matrices(boxes, PADDINGS["base"])
    maps = {"base": run_view(network, image, base)}
    whole = keypoints_of(maps["base"], base)
    if not second.any():
        return {"base": whole}
    kept = np.flatnonzero(second)
    boxes, base, maps["base"] = boxes[kept], [base[index] for index in kept], maps["base"][kept]
    poses = {"base": whole[kept]}
    for name in ("mirror", "wide", "recrop"):
        own = recrop_matrices(boxes, poses["base"]) if name == "recrop" else crop_matrices(boxes, PADDINGS[name])
        found = run_view(network, image, own, name == "mirror")
        poses[name] = keypoints_of(found, own)
        maps[name] = found if name == "mirror" else in_frame(found, own, base)
    for names in MEANS:
        poses["+".join(names)] = keypoints_of(np.mean([maps[name] for name in names], axis=0), base)
    filled = {name: whole.copy() for name in poses}
    for name, found in poses.items():
        filled[name][kept] = found
    return filled


def read_trial(path: Path) -> Mapping[int, dict[str, np.ndarray]]:
    """The arrays of each image, by name, without ``names``."""
    images: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            image, _, name = key.partition("/")
            if name:
                images.setdefault(int(image), {})[name] = arrays[key]
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("annotations", "images", "boxes", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--views", type=int, default=10**6)
    parser.add_argument("--network", type=Path, default=bundled("mipnet-lite.onnx"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    network = Heatmaps(given.network)
    detections = read_trial(given.boxes)
    names = list(next(iter(detections.values())))
    arrays: dict[str, np.ndarray] = {"names": np.array(names)}
    entries = [entry for entry in read_json(given.annotations)["images"] if entry["id"] in detections]
    for index, entry in enumerate(track(entries, "estimating", len(entries))):
        boxes, scores = joined([detections[entry["id"]][name] for name in names])
        second = (scores.max(axis=1, initial=0) >= SECOND_VIEWS) & (index < given.views)
        found = views(network, read_image(given.images / entry["file_name"]), boxes, second)
        arrays |= {f"{entry['id']}/boxes": boxes.astype(np.float32), f"{entry['id']}/scores": scores.astype(np.float32)}
        arrays |= {f"{entry['id']}/{name}": poses.astype(np.float32) for name, poses in found.items()}
    np.savez_compressed(given.out, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()

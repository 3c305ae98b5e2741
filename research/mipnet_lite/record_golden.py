"""Record the outputs of the unmodified files on the bundled pictures, for tests/golden/tinypose.npz.

python -m research.mipnet_lite.record_golden TINYPOSE.onnx PICODET_416.onnx tests/golden/tinypose.npz
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

import everypose
from everypose.methods.top_down.crops import CropGeometry, warp

EXAMPLES = Path(everypose.__file__).parent / "examples"
PICTURES = ("astronaut", "group", "pedestrians")
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
KEYPOINTS = (0, 9, 12, 15)
"""Nose, left wrist, right hip and left ankle."""
CROPS = (("astronaut", 0), ("group", 0), ("group", 1), ("pedestrians", 0), ("pedestrians", 1))


def read(name: str) -> np.ndarray:
    return np.asarray(cv2.cvtColor(cv2.imread(str(EXAMPLES / f"{name}.jpg")), cv2.COLOR_BGR2RGB))


def normalized(rgb: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(((rgb.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None])


def detect(session: onnxruntime.InferenceSession, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) x1 y1 x2 y2 and scores (N,), by OpenCV's suppression, as published."""
    height, width = rgb.shape[:2]
    corners, scores = session.run(
        None, {"image": normalized(cv2.resize(rgb, (416, 416), interpolation=cv2.INTER_CUBIC))}
    )
    above = scores[0, 0] > 0.3
    boxes = corners[0][above].astype(np.float64) * np.array([width, height, width, height]) / 416
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = np.array(cv2.dnn.NMSBoxes(sized.tolist(), scores[0, 0][above].tolist(), 0.3, 0.6)).ravel()[:100]
    return boxes[kept], scores[0, 0][above][kept]


def main(tinypose: str, picodet: str, out: str) -> None:
    pose, detector = onnxruntime.InferenceSession(tinypose), onnxruntime.InferenceSession(picodet)
    arrays: dict[str, np.ndarray] = {}
    for name in PICTURES:
        arrays[f"boxes_{name}"], arrays[f"scores_{name}"] = detect(detector, read(name))
    geometry, maps = CropGeometry(), []
    for name, box in CROPS:
        centers, sizes = geometry.regions(arrays[f"boxes_{name}"][[box]])
        crop = warp(read(name), geometry.matrix(centers[0], sizes[0]), geometry.size)
        maps.append(pose.run(None, {"image": normalized(crop)})[0][0])
    arrays["peaks"] = np.array([[divmod(int(m.argmax()), 48)[::-1] for m in crop] for crop in maps], np.int16)
    arrays["confidences"] = np.array([crop.max(axis=(1, 2)) for crop in maps], np.float32)
    arrays["heatmaps"] = np.array(maps, np.float32)[:, list(KEYPOINTS), ::2, ::2]
    np.savez_compressed(out, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""Compare ONNX Runtime with torch on photos: largest differences of keypoints and scores, single and batched.

python -m benchmarks.onnx_parity MODEL_FOLDER PHOTO [PHOTO ...] [--flip]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from everypose.errors import exit_on_user_error
from everypose.export.onnx import export_onnx
from everypose.inference.loading import load
from everypose.models.storage import load_model
from everypose.people import People


def difference(a: People, b: People) -> tuple[float, float]:
    """Largest distance of a keypoint, in image pixels, and largest difference of a person's score."""
    if len(a) != len(b):
        return float("inf"), float("inf")
    moved = np.abs(a.keypoints[..., :2] - b.keypoints[..., :2]).max(initial=0)
    return float(moved), float(np.abs(a.scores - b.scores).max(initial=0))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--flip", action="store_true")
    arguments = parser.parse_args()
    network, config = load_model(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "model.onnx")
        export_onnx(network, config, exported)
        torch = load(arguments.model, flip=arguments.flip, min_score=0.0)
        onnx = load(exported, flip=arguments.flip, min_score=0.0)
        alone = [onnx(photo) for photo in arguments.photos]
        pairs = {
            "ONNX Runtime against torch": [
                (people, torch(p)) for people, p in zip(alone, arguments.photos, strict=True)
            ],
            "a batch against one by one": list(zip(onnx(arguments.photos), alone, strict=True)),
        }
    for name, compared in pairs.items():
        differences = np.array([difference(a, b) for a, b in compared])
        people = sum(len(a) for a, _ in compared)
        pixels, score = differences.max(axis=0)
        print(f"{name}: {len(compared)} photos, {people} people, at most {pixels:.5f} px and {score:.2e} in score")


if __name__ == "__main__":
    with exit_on_user_error("onnx_parity"):
        main()

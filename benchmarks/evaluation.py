"""Time of scoring, loading included: everypose and pycocotools on the same files in one run.

python benchmarks/evaluation.py [ANNOTATIONS.json ...]

Without files it makes 5,000 images with 5 people and 20 detections each; for annotation files it makes predictions.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from everypose.core.files import read_json
from everypose.errors import exit_on_user_error
from everypose.evaluation.metrics.average_precision import evaluate_oks
from everypose.skeleton.skeleton import Skeleton

Content = dict[str, Any]
Floats = npt.NDArray[np.float64]
SKELETON = Skeleton.named("coco")


def made_truth(rng: np.random.Generator, images: int = 5000, people: int = 5) -> Content:
    """COCO annotations with random people."""
    annotations = []
    for row in range(images * people):
        size, corner = rng.uniform(20, 250, 2), rng.uniform(0, 400, 2)
        visible = rng.integers(0, 3, 17)
        pose = np.column_stack([corner + rng.uniform(0, 1, (17, 2)) * size, visible]) * (visible > 0)[:, None]
        annotations.append(
            {
                "id": row + 1,
                "image_id": row // people + 1,
                "category_id": 1,
                "bbox": [*corner.tolist(), *size.tolist()],
                "area": float(size.prod() * 0.6),
                "iscrowd": int(rng.random() < 0.02),
                "keypoints": pose.round(2).ravel().tolist(),
                "num_keypoints": int((visible > 0).sum()),
            }
        )
    return {
        "images": [{"id": i + 1} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def made_results(rng: np.random.Generator, truth: Content, detections: int = 20) -> list[Content]:
    """Detections of each image: its poses with random displacements; none for images without people."""
    poses: dict[int, list[Floats]] = {}
    for person in truth["annotations"]:
        poses.setdefault(person["image_id"], []).append(np.reshape(np.float64(person["keypoints"]), (17, 3)))
    results = []
    for image in truth["images"]:
        known = poses.get(image["id"], [np.zeros((17, 3))])
        for _ in range(detections):
            pose = known[rng.integers(len(known))].copy()
            pose[:, :2] += rng.normal(0, rng.uniform(0.5, 20), (17, 2))
            pose[:, 2] = rng.random(17)
            entry = {"image_id": image["id"], "category_id": 1, "keypoints": pose.round(3).ravel().tolist()}
            results.append({**entry, "score": round(float(rng.random()), 3)})
    return results


def pycocotools_numbers(annotations: Path, predictions: Path) -> Floats:
    """The ten numbers of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        people = COCO(str(annotations))
        scorer = COCOeval(people, people.loadRes(str(predictions)), "keypoints")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return np.asarray(scorer.stats)


def everypose_numbers(annotations: Path, predictions: Path) -> Floats:
    """The ten numbers of everypose."""
    scores = evaluate_oks(read_json(annotations), read_json(predictions), SKELETON)
    return np.array(list(scores.numbers().values()))


def timed(work: Callable[[Path, Path], Floats], annotations: Path, predictions: Path) -> tuple[Floats, float]:
    """The numbers and the seconds that they took."""
    begin = time.perf_counter()
    numbers = work(annotations, predictions)
    return numbers, time.perf_counter() - begin


def main() -> None:
    """Compare both tools on every file."""
    rng = np.random.default_rng(0)
    truths = {path: json.loads(Path(path).read_text()) for path in sys.argv[1:]} or {"generated": made_truth(rng)}
    with tempfile.TemporaryDirectory() as folder:
        for name, truth in truths.items():
            annotations, predictions = Path(folder) / "truth.json", Path(folder) / "results.json"
            annotations.write_text(json.dumps(truth))
            predictions.write_text(json.dumps(made_results(rng, truth)))
            del truth
            mine, seconds = timed(everypose_numbers, annotations, predictions)
            expected, reference = timed(pycocotools_numbers, annotations, predictions)
            print(f"{name}: pycocotools {reference:.2f} s, everypose {seconds:.2f} s, {reference / seconds:.1f} x")
            print(f"  largest difference of the ten numbers: {np.abs(mine - expected).max():.1e}")
            print("  " + " ".join(f"{number:.4f}" for number in mine))


if __name__ == "__main__":
    with exit_on_user_error("evaluation"):
        main()

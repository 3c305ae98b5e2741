"""AP of exported top-down models with one detector: as they are, and on crops with red and blue exchanged.

    python -m benchmarks.crop_networks ANNOTATIONS.json IMAGES MODEL.onnx... [--tinypose TINYPOSE.onnx] [--bgr]
        [--int8 PHOTOS] [--threads 2]

``MODEL`` is a name of the catalog or a file of ``everypose export``. ``--tinypose`` adds PP-TinyPose, imported and
exported. ``--bgr`` adds each model with BGR crops, normalized by the mean and standard deviation of RGB, as some tools
run networks that were trained on RGB; boxes are found in RGB. ``--int8`` adds each model in int8, calibrated on the
given photos. Boxes from a score of 0.25 on are cropped; every person is reported.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.lite_cascade import average_precision, unmodified
from everypose.core.arrays import Float32, Mask
from everypose.core.files import read_json
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.export.int8 import quantize
from everypose.inference.boxes import Boxes, Photo
from everypose.inference.detectors import find_detector
from everypose.inference.runtimes.onnx import OnnxCropRuntime
from everypose.inference.runtimes.protocols import CropRuntime
from everypose.inference.top_down import TopDownEstimator
from everypose.models.locate import resolve

BOX_THRESHOLD = 0.25


class SwappedChannels:
    """A crop model that gets BGR crops."""

    def __init__(self, runtime: CropRuntime) -> None:
        self._runtime = runtime

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:
        """Run the model on crops whose red and blue are exchanged."""
        return self._runtime.run(np.ascontiguousarray(crops[..., ::-1]), with_others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--tinypose", type=Path)
    parser.add_argument("--bgr", action="store_true")
    parser.add_argument("--int8", metavar="PHOTOS", nargs="+", default=[])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    truth = read_json(given.annotations)
    detector = find_detector("picodet-s", BOX_THRESHOLD, threads=given.threads)
    found: dict[Path, Boxes] = {}
    images = {given.images / entry["file_name"]: entry["id"] for entry in truth["images"]}
    for path in images:
        found[path] = detector(Photo(read_image(path), path))
    with tempfile.TemporaryDirectory() as folder:
        files = {name: resolve(name).path for name in given.models}
        if given.tinypose is not None:
            files["PP-TinyPose"] = unmodified(given.tinypose, Path(folder))
        for name in [*files] if given.int8 else []:
            quantize(files[name], given.int8, Path(folder) / f"{len(files)}.onnx")
            files[f"{name}, int8"] = Path(folder) / f"{len(files)}.onnx"
        for name, file in files.items():
            runtime = OnnxCropRuntime.open(file, threads=given.threads)
            ways: dict[str, CropRuntime] = {name: runtime}
            if given.bgr and "int8" not in name:
                ways[f"{name}, BGR"] = SwappedChannels(runtime)
            for way, network in ways.items():
                estimator = TopDownEstimator(network, runtime.config, _boxes(found), min_score=0.0)
                report(way, estimator, truth, images)


def report(name: str, estimator: TopDownEstimator, truth: dict[str, Any], images: dict[Path, int]) -> None:
    """Print the AP of a model, and the median time of a photo."""
    results: list[dict[str, Any]] = []
    seconds = []
    category = truth["categories"][0]["id"]
    for path, image_id in images.items():
        prepared = estimator.prepare(path)
        begin = time.perf_counter()
        (people,) = estimator.predict([prepared])
        seconds.append(time.perf_counter() - begin)
        results += [{**row, "category_id": category} for row in people.to_coco(image_id=image_id)]
    everyone, overlapped = average_precision(results, truth)
    milliseconds = 1000 * statistics.median(seconds)
    print(f"{name}: AP {everyone:.3f}, overlapped {overlapped:.3f}, median {milliseconds:.0f} ms", flush=True)


def _boxes(found: dict[Path, Boxes]) -> Any:
    """The boxes that the detector found, so that all models get the same."""

    def boxes_of(photo: Photo) -> Boxes:
        assert photo.path is not None
        return found[photo.path]

    return boxes_of


if __name__ == "__main__":
    with exit_on_user_error("crop_networks"):
        main()

"""Boxes of several detectors, before suppression, for trials.

    python -m research.mipnet_lite.trial_boxes ANNOTATIONS.json IMAGES OUT.npz 416=FILE.onnx 416-mirror=FILE.onnx

A name that ends in ``-mirror`` stands for the detector on the mirror image. The file has for each image and detector
``ID/NAME``: (N, 5) x1 y1 x2 y2 score, from 0.05 on.
"""

import argparse
from pathlib import Path

import numpy as np

from everypose.core.arrays import Image
from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.inference.detector_input import PERSON
from everypose.inference.onnx_detectors import PicoDet, recognize
from everypose.inference.runtimes.onnx import open_session

LEAST = 0.05


class RawDetector:
    """PicoDet without suppression."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path, 1)
        layout = recognize(self._session, path)
        assert isinstance(layout, PicoDet)
        self._layout = layout

    def __call__(self, image: Image) -> np.ndarray:
        """Boxes (N, 5) of an image."""
        corners, scores = self._session.run(["boxes", "scores"], self._layout.feed(image))
        kept = scores[0, PERSON] > LEAST
        scale = np.divide(image.shape[1::-1], self._layout.size).tolist() * 2
        return np.concatenate([corners[0][kept] * scale, scores[0, PERSON][kept, None]], axis=1)

    def mirrored(self, image: Image) -> np.ndarray:
        """Boxes (N, 5) of an image, found on its mirror image."""
        found = self(np.ascontiguousarray(image[:, ::-1]))
        found[:, [0, 2]] = image.shape[1] - found[:, [2, 0]]
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("annotations", "images", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("detectors", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--first", type=int, help="number of images, from the first on; all by default")
    given = parser.parse_args()
    named = (one.split("=", 1) for one in given.detectors)
    detectors = {name: RawDetector(Path(path)) for name, path in named}
    arrays: dict[str, np.ndarray] = {}
    entries = read_json(given.annotations)["images"][: given.first]
    for entry in track(entries, "detecting", len(entries)):
        image = read_image(given.images / entry["file_name"])
        for name, detector in detectors.items():
            found = detector.mirrored(image) if name.endswith("-mirror") else detector(image)
            arrays[f"{entry['id']}/{name}"] = found.astype(np.float32)
    np.savez_compressed(given.out, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()

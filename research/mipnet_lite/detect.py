"""Write a set's detector boxes for training: by image id, (N, 5) x1 y1 x2 y2 score.

python -m research.mipnet_lite.detect ANNOTATIONS.json IMAGES OUT.npz
"""

import sys
from pathlib import Path

import numpy as np

from everypose.core.files import read_json
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.inference.boxes import Photo
from everypose.inference.detectors import find_detector


def main(annotations: Path, images: Path, out: Path) -> None:
    detector = find_detector("picodet-s", 0.05, threads=1)
    found = {}
    entries = read_json(annotations)["images"]
    for entry in track(entries, "detecting", len(entries), quiet=False):
        boxes = detector(Photo(read_image(images / entry["file_name"])))
        found[str(entry["id"])] = np.concatenate([boxes.boxes, boxes.scores[:, None]], axis=1)
    np.savez(out, allow_pickle=False, **found)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

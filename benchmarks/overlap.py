"""Precision and recall of ``everypose data overlap`` on your own photos.

    python benchmarks/overlap.py PHOTOS [--photos 200] [--shared 60] [--seed 0]

One set is the unchanged photos. The other contains ``shared`` of them, each resized, recompressed, slightly cropped,
mirrored, or all of these, and other photos up to the same number.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from everypose.data.images import read_image
from everypose.data.leakage.find_shared import Picture, describe_all, shared_images
from everypose.errors import exit_on_user_error

CHANGES = ("resized", "recompressed", "cropped", "mirrored", "cropped, resized, mirrored and recompressed")
SUFFIXES = (".jpg", ".jpeg", ".png")


def changed(image: np.ndarray, change: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The changed picture and the JPEG quality to write it with."""
    quality = 95
    if "cropped" in change:
        height, width = image.shape[:2]
        left, right, top, bottom = rng.uniform(0, 0.07, 4)
        image = image[
            round(top * height) : round((1 - bottom) * height), round(left * width) : round((1 - right) * width)
        ]
    if "resized" in change:
        scale = rng.uniform(0.3, 1.5)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if "mirrored" in change:
        image = image[:, ::-1]
    if "recompressed" in change:
        quality = int(rng.integers(20, 60))
    return image, quality


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos_folder", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--shared", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.photos_folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(photos) < 2 * arguments.photos - arguments.shared:
        print(
            f"{arguments.photos_folder} holds {len(photos)} photos; {2 * arguments.photos} are needed", file=sys.stderr
        )
        return 2
    rng = np.random.default_rng(arguments.seed)
    order = rng.permutation(len(photos))
    first = [photos[i] for i in order[: arguments.photos]]
    others = [photos[i] for i in order[arguments.photos : 2 * arguments.photos - arguments.shared]]
    with tempfile.TemporaryDirectory() as folder:
        truth = {}
        for index, source in enumerate(first[: arguments.shared]):
            change = CHANGES[index % len(CHANGES)]
            image, quality = changed(read_image(source)[..., ::-1], change, rng)
            target = Path(folder) / f"{index:04d}.jpg"
            cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            truth[source, target] = change
        start = time.perf_counter()
        a = [picture for picture in describe_all(first) if isinstance(picture, Picture)]
        targets = [target for _, target in truth]
        b = [picture for picture in describe_all([*targets, *others]) if isinstance(picture, Picture)]
        found = {(pair.first, pair.second): pair for pair in shared_images(a, b)}
        seconds = time.perf_counter() - start
    right = found.keys() & truth.keys()
    print(f"{len(a)} photos against {len(b)}, {len(truth)} of them shared; {seconds:.1f} s")
    print(f"precision {len(right) / max(1, len(found)):.3f} ({len(right)} of {len(found)} pairs found)")
    print(f"recall    {len(right) / len(truth):.3f} ({len(right)} of {len(truth)} pairs there)")
    total, hit = Counter(truth.values()), Counter(truth[pair] for pair in right)
    for change in CHANGES:
        print(f"  {change}: {hit[change]} of {total[change]}")
    for pair in found.keys() - truth.keys():
        print(f"  wrong: {pair[0].name} {pair[1].name} {found[pair].how} {found[pair].similarity:.3f}")
    return 0


if __name__ == "__main__":
    with exit_on_user_error("overlap"):
        sys.exit(main())

"""People that the default model finds in pictures, from several scores on, next to boir-lite at its default.

python -m research.mipnet_lite.count_people PICTURE ...
"""

import sys
from pathlib import Path

import numpy as np

import everypose
from everypose.data.images import read_image

SCORES = (0.6, 0.5, 0.3, 0.2)


def main(*paths: str) -> None:
    model, other = everypose.load(min_score=min(SCORES), threads=1), everypose.load("boir-lite", threads=1)
    total = np.zeros(len(SCORES) + 1, int)
    for path in map(Path, paths):
        image = read_image(path)
        scores = model(image).scores
        counts = [*((scores >= score).sum() for score in SCORES), len(other(image))]
        total += counts
        print(f"{path.name}: {', '.join(map(str, counts))}", flush=True)
    print(f"from {SCORES} on, boir-lite: {total.tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:])

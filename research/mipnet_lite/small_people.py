"""AR of people by the height of their box, with and without tiles.

    python -m research.mipnet_lite.small_people ANNOTATIONS.json IMAGES

AR is the mean, over the ten OKS thresholds, of the share of people that one of the 20 best poses matches.
"""

import sys
import time
from pathlib import Path

import numpy as np

import everypose
from everypose.core.files import read_json
from everypose.core.geometry import oks
from everypose.core.progress import track
from everypose.data.images import read_image
from research.mipnet_lite.precision import THRESHOLDS
from research.mipnet_lite.trials import SIGMAS

HEIGHTS = (0, 60, 90, 120)


def main(annotations: str, images: str) -> None:
    truth = read_json(Path(annotations))
    models = {tiles: everypose.load(min_score=0.0, threads=1, tiles=tiles) for tiles in (None, 2, 3)}
    seconds = dict.fromkeys(models, 0.0)
    reached: dict[int | None, list[list[float]]] = {tiles: [[] for _ in HEIGHTS[1:]] for tiles in models}
    for entry in track(truth["images"], "estimating", len(truth["images"])):
        people = [
            one
            for one in truth["annotations"]
            if one["image_id"] == entry["id"] and one["num_keypoints"] and not one["iscrowd"]
            and one["bbox"][3] < HEIGHTS[-1]
        ]  # fmt: skip
        if not people:
            continue
        image = read_image(Path(images) / entry["file_name"])
        for tiles, model in models.items():
            begin = time.process_time()
            poses = model(image).keypoints[:20]
            seconds[tiles] += time.process_time() - begin
            for person in people:
                keypoints = np.array(person["keypoints"], np.float64).reshape(-1, 3)
                seen = keypoints[:, 2] > 0
                area = np.array([person["area"]])
                best = oks(keypoints[None, seen], poses[:, seen], area, SIGMAS[seen]).max(initial=0)
                height = int(np.searchsorted(HEIGHTS, person["bbox"][3], side="right")) - 1
                reached[tiles][height].append(float((best >= THRESHOLDS).mean()))
    for tiles, groups in reached.items():
        recalls = [f"{np.mean(group):.3f} ({len(group)})" for group in groups]
        print(f"tiles {tiles}: below 60, 90, 120 pixels {', '.join(recalls)}; CPU time {seconds[tiles]:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:3])

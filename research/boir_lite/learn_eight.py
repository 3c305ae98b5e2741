"""Overfitting test: a small BoIR trained on eight photos must reach AP 0.95 on them.

    python -m research.boir_lite.learn_eight --annotations data/train.json --images data/images --trunk movenet.npz

The first eight photos are used in which all people are labeled, there are one to three people, and each has at
least ten labeled keypoints and an area above 128 x 128 pixels. They are training and validation set in one: this
shows that network, targets, losses, schedule and decoding fit together, not that the model is good.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from everypose.errors import exit_on_user_error
from everypose.training.recipe_files import load_recipe
from everypose.training.run import Machines, train

SETTINGS = (
    "data.size=256",
    "data.minimum_area=0",
    "data.workers=0",
    # The training crop is as high as the photo and moves along it, so it covers what validation uses.
    "data.augmentation={scale=[1, 1], rotation=0, translation=40, flip=0}",
    "inference.size=256",
    "schedule.warmup_epochs=5",
    'optim.scales={"backbone."=0.2}',
    "validation.every_epochs=100",
    "ema.decay=0.98",
    "validation.flip=false",
    "trainer.batch=4",
)


def main() -> int:
    """Train, and print whether the AP was reached; exit code 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True, help="COCO-format JSON with COCO's keypoints")
    parser.add_argument("--images", type=Path, required=True, help="folder of its images")
    parser.add_argument("--out", type=Path, default=Path("runs/learn-eight"), help="run folder, replaced")
    parser.add_argument("--trunk", type=Path, required=True, help="initial weights of the small backbone")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="FIELD=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    chosen = arguments.out / "eight.json"
    chosen.write_text(json.dumps(eight_photos(json.loads(arguments.annotations.read_text()))))
    annotations, images = (json.dumps(str(path.resolve())) for path in (chosen, arguments.images))
    sources = f"[{{annotations={annotations}, images={images}}}]"
    start = f"start.backbone={json.dumps(str(arguments.trunk.resolve()))}"
    length = f"schedule.steps={arguments.steps}"
    settings = [*SETTINGS, start, length, f"data.train={sources}", f"data.val={sources}"]
    recipe = load_recipe("boir-tiny", [*settings, *arguments.overrides])
    begun, cpu = time.monotonic(), time.process_time()
    outcome = train(recipe, arguments.out, Machines(1))
    assert outcome is not None
    assert outcome.last_ap is not None
    reached = outcome.last_ap >= 0.95
    print(
        f"AP {outcome.last_ap:.4f} on its own eight photos after {recipe.schedule.steps} steps, "
        f"{(time.process_time() - cpu) / 60:.1f} CPU minutes, {(time.monotonic() - begun) / 60:.1f} minutes, "
        f"{arguments.threads} threads: {'reached' if reached else 'NOT reached'} 0.95"
    )
    return 0 if reached else 1


def eight_photos(content: dict[str, Any]) -> dict[str, Any]:
    """The first eight photos that satisfy the rule above."""
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)

    def fits(people: list[dict[str, Any]]) -> bool:
        clear = [
            sum(visibility > 0 for visibility in person["keypoints"][2::3]) >= 10
            and person["area"] > 128 * 128
            and not person.get("iscrowd")
            for person in people
        ]
        return 1 <= len(clear) <= 3 and all(clear)

    images = [image for image in content["images"] if fits(by_image[image["id"]])][:8]
    annotations = [annotation for image in images for annotation in by_image[image["id"]]]
    return content | {"images": images, "annotations": annotations}


if __name__ == "__main__":
    with exit_on_user_error("learn_eight"):
        sys.exit(main())

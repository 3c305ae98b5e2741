"""Memory, open files and threads of predictions or of a training over hours, which must not grow.

    python -m benchmarks.soak predict --minutes 180 --out soak.jsonl
    python -m benchmarks.soak train --minutes 180 --out soak.jsonl

Every half minute one line of JSON is written: minutes, images or steps done, resident memory in MiB, open files and
threads.
The last line compares the second half of the run with the first: the slope of the memory in MiB an hour.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from everypose.core.process_setup import silence_opencv
from everypose.errors import EveryposeError, exit_on_user_error
from everypose.inference.bulk import predict_all
from everypose.inference.inputs import find_images
from everypose.inference.loading import load
from everypose.inference.outputs import open_outputs
from everypose.skeleton.skeleton import Skeleton

SECONDS = 30.0
PHOTO_SIDES = (160, 240, 320, 480, 640)


class Watch:
    """Records the process's resources in a thread, until it is stopped."""

    def __init__(self, out: Path) -> None:
        self.done = 0
        self._out = out
        self._begin = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._rows: list[dict[str, float]] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._write(self._summary())

    @property
    def minutes(self) -> float:
        """Minutes since the beginning."""
        return (time.monotonic() - self._begin) / 60

    def _record(self) -> None:
        while not self._ended.wait(SECONDS):
            row = {"minutes": round(self.minutes, 2), "done": self.done, **resources_of_process()}
            self._rows.append(row)
            self._write(row)

    def _write(self, row: dict[str, float]) -> None:
        with self._out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _summary(self) -> dict[str, float]:
        """Slopes by least squares over the second half, when all caches are filled."""
        half = self._rows[len(self._rows) // 2 :]
        if len(half) < 2:
            return {"minutes": round(self.minutes, 2), "done": self.done}
        minutes = np.array([row["minutes"] for row in half])
        slopes = {
            f"{name}_an_hour": round(float(np.polyfit(minutes / 60, [row[name] for row in half], 1)[0]), 3)
            for name in ("memory", "files", "threads")
        }
        return {"minutes": round(self.minutes, 2), "done": self.done, **slopes}


def resources_of_process() -> dict[str, float]:
    """Resident memory in MiB, open file descriptors and threads, from /proc (Linux)."""
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if ":" in line
    )
    return {
        "memory": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": int(status["Threads"]),
    }


def soak_predict(minutes: float, watch: Watch, folder: Path) -> None:
    """Predict photos of many sizes, one of them damaged, again and again, by both bundled models in turn."""
    for example in ("astronaut", "group"):
        photo = cv2.imread(str(resources.files("everypose") / "examples" / f"{example}.jpg"))
        for index, side in enumerate(PHOTO_SIDES):
            done, content = cv2.imencode((".jpg", ".png", ".webp")[index % 3], cv2.resize(photo, (side, side * 3 // 4)))
            assert done
            (folder / f"{example}_{index}.jpg").write_bytes(content.tobytes())
    (folder / "damaged.jpg").write_bytes(b"not an image")
    sources = find_images([str(folder)])
    for estimator in itertools.cycle([load("boir-lite", threads=1), load("mipnet-lite", threads=2)]):
        if watch.minutes >= minutes:
            break
        with open_outputs(folder / "out", sources) as outputs:
            summary = predict_all(estimator, sources, outputs, quiet=True)
        watch.done += summary.images
        shutil.rmtree(folder / "out")


def soak_train(minutes: float, watch: Watch, folder: Path) -> None:
    """Train boir-tiny on drawn figures, with a checkpoint a minute, until the time limit."""
    from everypose.training.lightning_module import PoseTraining
    from everypose.training.recipe_files import load_recipe
    from everypose.training.run import Machines, train

    _draw_figures(folder)
    source = json.dumps([{"annotations": str(folder / "train.json"), "images": str(folder)}])
    source = source.replace('": ', '" = ').replace('"annotations"', "annotations").replace('"images"', "images")
    small = ["data.size=128", "inference.size=128", "data.workers=0", "trainer.batch=4", "schedule.steps=1000000"]
    settings = [f"data.train={source}", 'data.val_split=""', *small, "trainer.checkpoint_minutes=1"]
    step = PoseTraining.optimizer_step

    def counted(*arguments: Any, **named: Any) -> None:
        step(*arguments, **named)
        watch.done += 1

    PoseTraining.optimizer_step = counted  # type: ignore[method-assign]  # counts the steps
    train(load_recipe("boir-tiny", settings), folder / "run", Machines(1), quiet=True, max_minutes=minutes)


def _draw_figures(folder: Path, images: int = 16) -> None:
    """Photos of noise with a drawn figure each, and their COCO file."""
    rng = np.random.default_rng(0)
    skeleton = Skeleton.named("coco")
    entries, people = [], []
    for number in range(1, images + 1):
        picture = rng.integers(0, 60, (160, 160, 3), dtype=np.uint8)
        points = rng.uniform(30, 130, (len(skeleton), 2))
        for start, end in skeleton.links:
            ends = [tuple(map(round, points[joint].tolist())) for joint in (start, end)]
            cv2.line(picture, ends[0], ends[1], rng.integers(100, 255, 3).tolist(), 3)
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        entries.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 160})
        keypoints = np.column_stack([points, np.full(len(points), 2)]).reshape(-1).tolist()
        person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [30, 30, 100, 100]}
        people.append({**person, "area": 5000, "keypoints": keypoints})
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}
    content = {"images": entries, "annotations": people, "categories": [category]}
    (folder / "train.json").write_text(json.dumps(content), encoding="utf-8")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    """Run the soak that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("predict", "train"))
    parser.add_argument("--minutes", type=float, default=180.0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with exit_on_user_error("soak"):
        if not Path("/proc/self/status").exists():
            raise EveryposeError("the soak reads /proc, which only Linux has")
        silence_opencv()
        soak = soak_predict if arguments.what == "predict" else soak_train
        with _folder() as folder, Watch(arguments.out) as watch:
            soak(arguments.minutes, watch, folder)


if __name__ == "__main__":
    main()

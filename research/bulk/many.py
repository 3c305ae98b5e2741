"""100,000 images and a video of two hours through ``everypose bulk`` in two processes, with random kills.

    python -m research.bulk.many images --out FOLDER
    python -m research.bulk.many video --out FOLDER

The model is the stand-in of the tests, an ONNX file whose people are known, so that every row is counted. Shard 0 is
killed by SIGKILL at random moments and started again; shard 1 runs undisturbed, and its memory is compared. The last
line of the output is a JSON object with the counts.
"""

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from everypose.bulk.check import find_problems, shard_states
from everypose.bulk.merge import merge
from everypose.bulk.records import read_parts
from everypose.core.arrays import Image

ROOT = Path(__file__).parents[2]
KEYPOINTS = 17
SIDE = 64
RATE = 10
"""Frames a second of the video."""
BLOCKS = ((0, 0), (1, 0), (0, 1))
"""Columns and rows of the people of an image."""


def picture(number: int, people: int) -> Image:
    """Return a (64, 64, 3) RGB image with people for the stand-in model; their scores differ from image to image."""
    stand_in: Any = importlib.import_module("inference.stand_in")
    image: Image = stand_in.crowd([(*block, 100 + number % 150) for block in BLOCKS[:people]])
    return image


def write_images(folder: Path, count: int) -> int:
    """Write images, 1,000 in a folder; return the number of people in them."""
    files = {}
    for number in range(count):
        key = number % 4, number % 150
        if key not in files:
            files[key] = cv2.imencode(".png", picture(number, number % 4)[..., ::-1])[1].tobytes()
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[key])
    return sum(number % 4 for number in range(count))


def people_of_frame(number: int) -> int:
    """Return the people of a frame: one, and for 40 s of every 100 s two more."""
    return 3 if number // RATE % 100 < 40 else 1


def write_video(path: Path, frames: int) -> int:
    """Write a video; return the number of people in its frames."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    images = {people: picture(100, people) for people in (1, 3)}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(images[people_of_frame(number)], format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return sum(people_of_frame(number) for number in range(frames))


def run(command: list[str], out: Path, *, kills: int, items: int) -> dict[str, float]:
    """Run both shards to their end; kill shard 0 at random moments.

    Args:
        command: of a shard, without ``--shard``.
        out: the output folder.
        kills: how often.
        items: parts of a shard, over which the kills are spread.

    Returns:
        Seconds and kills.
    """
    rng = random.Random(0)
    begin = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(shard: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "--shard", f"{shard}/2"], env=environment)

    processes = [start(0), start(1)]
    done = 0
    deadline, parts_before = _next_kill(rng, items / (kills + 1)), 0
    while any(process.poll() is None for process in processes):
        time.sleep(0.2)
        if done < kills and processes[0].poll() is None:
            parts = len(list((out / "shard-00000-of-00002").glob("part-*.json")))
            if parts - parts_before >= deadline:
                time.sleep(rng.uniform(0, 0.5))
                processes[0].kill()
                processes[0].wait()
                done += 1
                print(f"kill {done} after {parts} parts, {time.monotonic() - begin:.0f} s", flush=True)
                processes[0] = start(0)
                deadline, parts_before = _next_kill(rng, (items - parts) / (kills - done + 1)), parts
    return {"seconds": round(time.monotonic() - begin), "kills": done}


def _next_kill(rng: random.Random, mean: float) -> float:
    """Return after how many more parts the next kill comes; often before the first one, also while it starts."""
    return rng.choice([0.0, rng.uniform(0, 2 * mean)])


def count_rows(out: Path, people: int) -> dict[str, float]:
    """Merge the shards and count the rows."""
    from pyarrow import parquet

    found = find_problems(out)
    assert not found, found[:3]
    rows = merge(out, out / "all.parquet")
    table = parquet.read_table(
        out / "all.parquet", columns=["file", "frame", "person", "keypoint"]
    ).unify_dictionaries()
    distinct = table.group_by(["file", "frame", "person", "keypoint"]).aggregate([]).num_rows
    return {
        "rows": rows,
        "expected rows": KEYPOINTS * people,
        "distinct rows": distinct,
        "items": sum(state.done for state in shard_states(out)),
        "failed": sum(state.failed for state in shard_states(out)),
        **memory_mb(out / "shard-00001-of-00002"),
    }


def memory_mb(folder: Path) -> dict[str, float]:
    """Return the largest resident memory of the undisturbed process up to some of its parts."""
    peaks = [record.peak_mb for record in read_parts(folder).values()]
    return {f"MB at {share} %": round(peaks[len(peaks) * share // 100 - 1], 1) for share in (10, 25, 50, 75, 100)}


def main() -> None:
    """Write the inputs, run, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("images", "video"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, help="images [100000], or seconds of video [7200]")
    parser.add_argument("--kills", type=int, help="of shard 0 [30, video: 10]")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    stand_in: Any = importlib.import_module("inference.stand_in")
    folder: Path = options.out / options.what
    folder.mkdir(parents=True, exist_ok=True)
    model = stand_in.write_model(folder / "stand_in.onnx")
    write: Callable[[Path, int], int]
    if options.what == "images":
        count, kills, write, source, extra = (
            options.count or 100_000,
            30,
            write_images,
            folder / "set",
            ["--batch", "16"],
        )
        items = count // 2 // 256
    else:
        count, kills, write, source, extra = (
            (options.count or 7200) * RATE,
            10,
            write_video,
            folder / "clip.mp4",
            ["--track"],
        )
        items = count // RATE // 60 // 2
    people = write(source, count)
    print(f"{count} inputs with {people} people", flush=True)
    out = folder / "out"
    command = [sys.executable, "-m", "everypose", "bulk", "run", str(source), "-m", str(model), "-q", *extra]
    measured = run(
        [*command, "--out", str(out)], out, kills=kills if options.kills is None else options.kills, items=items
    )
    print(json.dumps({"inputs": count, **measured, **count_rows(out, people)}))


if __name__ == "__main__":
    main()

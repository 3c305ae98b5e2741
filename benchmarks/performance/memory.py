"""Peak memory of commands, by the size of the image; each command is a process of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.performance.memory_of_commands import CLIPS, FRAMES, on_clip, on_labeled_photo, write_clip
from benchmarks.performance.photos import example
from benchmarks.performance.record import Findings, Options, Table, Target
from everypose.data.images import read_image

MODELS = ("mipnet-lite", "boir-lite")
SIDES = ((640, 480), (4000, 3000), (12_000, 9000))
QUICK_SIDES = ((64, 48),)
LARGE = SIDES[-1]
MOST = 600
"""Megabytes (2^20 bytes) for the largest photo."""
EXAMPLE = "group.jpg"
PANORAMAS = ((5120, 1280), (10_240, 1280), (12_000, 9000))
QUICK_PANORAMAS = ((256, 64),)
LARGEST_INPUT = ("--size", "1280")
"""The largest input of a single-stage model; a panorama eight times as wide as high has 13 million pixels then."""
MOST_OF_PANORAMAS = 2000
"""Megabytes (2^20 bytes) for the largest input."""
RUN = (
    "import pathlib, runpy, sys; sys.argv = sys.argv[1:]\n"
    "try: runpy.run_module('everypose', run_name='__main__')\n"
    "except SystemExit as end: assert not end.code, end.code\n"
    "print('VmHWM', pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
)
"""Runs the command in this process and prints the most memory it held, in KiB; Linux only."""


def measure(options: Options) -> Findings:
    """Peak memory of predicting with and without pictures and with the largest input, and of other commands."""
    sides = QUICK_SIDES if options.quick else SIDES
    wide = QUICK_PANORAMAS if options.quick else PANORAMAS
    size_option = ("--size", "64") if options.quick else LARGEST_INPUT
    rows, targets = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sides:
            photo = enlarged(folder / f"{size[0]}x{size[1]}.jpg", size)
            for label, command in commands(photo, folder / "out").items():
                peak = peak_memory(command, options.threads)
                rows.append((label, f"{size[0]} x {size[1]}", f"{peak:.0f}"))
                if size == LARGE:
                    targets.append(Target(f"{label}, 12,000 x 9000: below {MOST} MB", f"{peak:.0f} MB", peak < MOST))
        for size in wide:
            photo = panorama(folder / f"panorama-{size[0]}x{size[1]}.jpg", size)
            for flip in ((), ("--flip",)):
                command = ("predict", str(photo), "-m", "boir-lite", *size_option, *flip)
                peak = peak_memory((*command, "-o", str(folder / "out"), "--quiet"), options.threads)
                label = " ".join(("predict -m boir-lite", *size_option, *flip))
                rows.append((label, f"{size[0]} x {size[1]}", f"{peak:.0f}"))
                if not flip:
                    goal = f"{label}, {size[0]} x {size[1]}: below {MOST_OF_PANORAMAS} MB"
                    targets.append(Target(goal, f"{peak:.0f} MB", peak < MOST_OF_PANORAMAS))
        if not options.quick:
            others = _others(folder, options.threads)
            rows += [(label, shown, f"{peak:.0f}") for label, shown, peak in others]
            targets += [
                Target(f"{label}, 12,000 x 9000: below {MOST} MB", f"{peak:.0f} MB", peak < MOST)
                for label, shown, peak in others
                if shown == f"{LARGE[0]} x {LARGE[1]}"
            ]
    note = "The pixels of the largest photo alone take 309 MB."
    crowd = (
        "Inputs for --size 1280 repeat a picture of a group, so that they contain 30 people, the most that one pass "
        "can find."
    )
    table = Table(("command", "photo or frame", "MB"), rows, "peak resident memory, 2^20 bytes")
    return Findings(targets, [table], [note, crowd])


def _others(folder: Path, threads: int) -> list[tuple[str, str, float]]:
    """Peak memory in MB of other commands, on a labeled photo and on a clip of each size."""
    rows = []
    for size in SIDES:
        name = f"{size[0]}x{size[1]}"
        labeled = on_labeled_photo(folder / f"{name}.jpg", folder / f"labeled-{name}")
        rows += [(label, size, peak_memory(command, threads)) for label, command in labeled.items()]
    for clip_size in CLIPS:
        clip = folder / f"clip-{clip_size.width}x{clip_size.height}.mp4"
        write_clip(clip, example(EXAMPLE), clip_size, FRAMES)
        tracked = on_clip(clip, folder / clip.stem)
        rows += [(label, clip_size, peak_memory(command, threads)) for label, command in tracked.items()]
    return [(label, f"{width} x {height}", peak) for label, (width, height), peak in rows]


def commands(photo: Path, out: Path) -> dict[str, Sequence[str]]:
    """The commands on one photo."""
    runs: dict[str, Sequence[str]] = {}
    for model in MODELS:
        base = ("predict", str(photo), "-m", model, "-o", str(out), "--quiet")
        runs[f"predict -m {model} --save json"] = (*base, "--save", "json")
        runs[f"predict -m {model}"] = base
    return runs


def peak_memory(arguments: Sequence[str], threads: int) -> float:
    """Return the peak memory of a command in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", RUN, "everypose", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(done.stdout.rsplit("VmHWM", 1)[1]) / 1024


def enlarged(path: Path, size: tuple[int, int]) -> Path:
    """A picture of the package at another size, as a JPEG."""
    cv2.imwrite(str(path), cv2.resize(read_image(example(EXAMPLE)), size)[..., ::-1])
    return path


def panorama(path: Path, size: tuple[int, int]) -> Path:
    """A picture of the package, repeated to a panorama of a crowd, as a JPEG."""
    width, height = size
    picture = read_image(example(EXAMPLE))
    side = min(height, 1280)
    scaled = cv2.resize(picture, (side * picture.shape[1] // picture.shape[0], side))
    times = (-(-height // scaled.shape[0]), -(-width // scaled.shape[1]), 1)
    cv2.imwrite(str(path), np.tile(scaled, times)[:height, :width, ::-1])
    return path
